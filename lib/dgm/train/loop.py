"""The loop: epochs, a progress bar, a history."""

import copy
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from ..checks import examples, integer
from .checkpoints import check_room, load_checkpoint, save_checkpoint
from .ctrl_c import CtrlC
from .distributed import Ranks
from .randomness import own_random_state
from .steps import Step


class History:
    """The metrics of a run, one number per epoch: `history["objective"]` is a list.

    Attributes:
        epochs: how many epochs it covers.
        interrupted: True if Ctrl-C ended the run; the last entry then covers part of an epoch.
        best_epoch: with early stopping, the epoch whose parameters the model has at the end.

    >>> history = History()
    >>> history.append({"objective": -3.0})
    >>> history
    History of 1 epoch: objective -3.000
    """

    def __init__(self):
        self.metrics: dict[str, list[float]] = {}
        self.interrupted = False
        self.best_epoch: int | None = None

    def append(self, metrics: dict[str, float]) -> None:
        for name, value in metrics.items():
            self.metrics.setdefault(name, []).append(float(value))

    def __getitem__(self, name: str) -> list[float]:
        if name not in self.metrics:
            raise KeyError(f"no metric {name!r}; there are {', '.join(self.metrics)}")
        return self.metrics[name]

    @property
    def epochs(self) -> int:
        return max((len(values) for values in self.metrics.values()), default=0)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in self.metrics.items())
        return f"History of {self.epochs} epoch{'s' * (self.epochs != 1)}: {last or 'empty'}"


def fit(
    step: Step,
    batches: Iterable[Sequence[Tensor]],
    epochs: int,
    validate: Callable[[], dict[str, float]] | None = None,
    patience: int | None = None,
    checkpoint: str | os.PathLike | None = None,
    compile: bool = False,
    distributed: bool = False,
    seed: int | None = None,
    progress: bool = True,
) -> History:
    """Call `step` on every batch, `epochs` times over, and return the history.

    Metrics stay on the device; they are read twice a second for the progress bar and once at the
    end of an epoch, when the history takes their means.

    Args:
        step: for example `gradient_step(model, objective)`.
        batches: iterated anew in each epoch, for example `data.train.batches(128)`; of `(x,)` or
            `(x, y)`. What can be gone through only once, an iterator, serves one epoch.
        epochs: how many passes in all, those of a checkpoint included.
        validate: called after each epoch; its metrics join the history.
        patience: stop early, once the first metric of `validate`, an objective, has been no higher
            than its best for so many epochs. The step then goes back to where it was at its best;
            it does so too if the epochs are over first.
        checkpoint: a file, written after every epoch, whole or not at all. If it exists, training
            goes on from there and ends where an uninterrupted run would have (on a CPU bit for
            bit), with the settings of its optimiser and schedule; if others were given, a warning
            says so.
        compile: on a GPU, make one program of objective and gradient. It takes from seconds to a
            minute before the first update; see `Compiled`. On a CPU one line says that training
            goes on without: there it gains little or nothing.
        distributed: share every batch among the processes that torchrun started. All of them get
            the same parameters and history; rank 0 reads and writes the checkpoint and shows the
            progress bar, and it is its validation that counts. Without torchrun the one process
            has all of every batch.
        seed: draw from a random state of the run's own, which starts there. Other draws of the
            program neither change the run nor are changed by it.
        progress: show a progress bar (on stderr).

    Returns:
        The `History`. Ctrl-C ends training, not the program, and never in the middle of an update:
        what was learned until then stays in the model, and the history says so.

    Raises:
        ValueError: bad arguments, no batches, data that cannot be the model's (what an objective
            would make of x first belongs into the batches), a checkpoint that does not fit, or a
            step of several processes that is no `gradient_step`.
        FloatingPointError: a metric or, in the end, a parameter is not finite; the message says
            which, when, and what is known of the cause. The last checkpoint is left as it was.
        OSError: the checkpoint cannot be read, or could not be written, which is tried before the
            first epoch.
        RuntimeError: of several processes, another one is lost. If one is told to end, by Ctrl-C
            too, SystemExit.

    >>> import dgm
    >>> data = dgm.data.load("ring")
    >>> model = dgm.models.Autoencoder.linear(data.shape, latent=1)
    >>> step = dgm.train.gradient_step(model, dgm.objectives.reconstruction, lr=1e-2)
    >>> fit(step, data.train.batches(500), epochs=2, progress=False).epochs
    2
    """
    epochs = integer("epochs", epochs)
    if patience is not None:
        integer("patience", patience)
        if validate is None:
            raise ValueError(
                "validate: got None, expected a function that early stopping can go by"
            )
    ranks = Ranks.connect() if distributed else Ranks()
    history, epoch = History(), None
    # of several ranks, one may wait in an update for another that has gone: it must be stoppable
    with (
        CtrlC(wanted=ranks.world == 1) as ctrl_c,
        ranks.together(checkpoint),
        own_random_state(seed),
        ranks.parallel(step) if distributed else nullcontext(),
    ):
        try:
            with ctrl_c.held_off():
                file = checkpoint if ranks.rank == 0 else None
                best = _start(step, history, file, epochs, patience)
                best = ranks.same_state(step, history, best)
            _check_passes(batches, epochs - history.epochs)
            if compile:
                step.compile()
            hidden = not progress or ranks.rank > 0
            bar = tqdm(total=epochs, initial=history.epochs, unit="epoch", disable=hidden)
            with bar:
                while history.epochs < epochs and not _is_over(best, history.epochs, patience):
                    first = epoch is None
                    epoch = _Epoch(step, history.epochs + 1, bar, ranks, ctrl_c)
                    epoch.run(batches, check=first)
                    means = epoch.means(batches)
                    epoch.show(means, refresh=False)  # the bar redraws itself when it is time
                    validation = ranks.from_first(validate()) if validate else {}
                    with ctrl_c.held_off():
                        history.append(means | validation)
                        if patience is not None:
                            best = _better(best, history.epochs, validation, step)
                        if checkpoint is not None:
                            _check_parameters(step, batches, history)
                        if file is not None:
                            save_checkpoint(file, step, history, best)
                    bar.update()
            ctrl_c.leaving = True  # what is left to do is short
            if patience is not None and best is not None:
                step.load_state_dict(best["step"])
                history.best_epoch = best["epoch"]
        except KeyboardInterrupt:
            if ranks.world > 1:
                raise  # the others are elsewhere in the epoch
            history.interrupted = True
            if epoch and epoch.metrics and history.epochs < epoch.number:
                history.append(epoch.means(batches))
            number = epoch.number if epoch else history.epochs + 1
            tqdm.write(f"interrupted in epoch {number}; what was learned is kept")
        _check_parameters(step, batches, history)
        return history


class _Epoch:
    """One pass over the batches and the metrics it produced."""

    def __init__(self, step: Step, number: int, bar: tqdm, ranks: Ranks, ctrl_c: CtrlC):
        self.step, self.number, self.bar, self.ranks, self.ctrl_c = step, number, bar, ranks, ctrl_c
        self.metrics: list[dict[str, Tensor]] = []  # one dict per batch, still on the device

    def run(self, batches: Iterable[Sequence[Tensor]], check: bool) -> None:
        shown = time.monotonic()
        whole = _first_checked(batches, self.step) if check else batches
        for batch in self.ranks.shares(whole, self.step):
            with self.ctrl_c.held_off():
                metrics = self.step(batch)
                # a copy, made after the step's large tensors are freed: metrics that lay among them
                # would keep the gaps from being used again (132 MiB more after 469 steps, 16 with)
                weight = self.ranks.weight  # of this share of the batch; 1 of a process alone
                self.metrics.append({name: weight * value for name, value in metrics.items()})
            # reading a metric waits for the device, and for the other ranks: not often, or not here
            if self.ranks.world == 1 and time.monotonic() - shown > 0.5:
                shown = time.monotonic()
                self.show(self.means(batches), refresh=True)
        if not self.metrics:
            raise ValueError(f"batches: nothing to iterate over in epoch {self.number}")

    def show(self, means: dict[str, float], refresh: bool) -> None:
        self.bar.set_postfix({k: f"{v:.4g}" for k, v in means.items()}, refresh=refresh)

    def means(self, batches: Iterable[Sequence[Tensor]]) -> dict[str, float]:
        """The mean of each metric so far, over all ranks, which have to call it together.

        Raises FloatingPointError if one is not finite, on all ranks alike.
        """
        means = {}
        for name in self.metrics[0]:
            values = self.ranks.mean(torch.stack([m[name] for m in self.metrics]))  # (steps,)
            mean = values.mean().item()
            if not -float("inf") < mean < float("inf"):
                bad = int((~values.isfinite()).int().argmax())
                first = bad == 0 and self.step.t == len(values)
                raise FloatingPointError(
                    f"{name} is {values[bad].item()} at step {bad + 1} of epoch {self.number}; "
                    + _what_is_known(self.step, batches, first)
                )
            means[name] = mean
        return means


def _check_parameters(step: Step, batches: Iterable[Sequence[Tensor]], history: History) -> None:
    """Raise FloatingPointError if the last update broke them, which no metric has seen yet."""
    broken = step.not_finite()
    if broken:
        raise FloatingPointError(
            f"{broken[0]} is not finite after epoch {history.epochs}; "
            + _what_is_known(step, batches, first=False)
        )


def _what_is_known(step: Step, batches: Iterable[Sequence[Tensor]], first: bool) -> str:
    """Of the cause of a metric that is not finite: do the data hold it, had anything been learned?

    Goes once through the batches, if they can be gone through again.
    """
    if not hasattr(batches, "__next__"):
        with own_random_state(0):
            finite = all(part.isfinite().all() for batch in batches for part in examples(batch))
        if not finite:
            return "the data hold values that are not finite"
    if first:
        return "no update had been made yet: look at the data and the model"
    rates = step.learning_rates()
    if not rates:
        return "the step has no learning rate"
    return f"the learning rate is {', '.join(f'{rate:g}' for rate in rates)}: is it too large?"


def _first_checked(batches: Iterable[Sequence[Tensor]], step: Step) -> Iterator[Sequence[Tensor]]:
    """The batches, of which the step is asked whether the first can be its model's data."""
    for number, batch in enumerate(batches):
        if number == 0:
            step.check(batch)
        yield batch


def _check_passes(batches: Iterable[Sequence[Tensor]], epochs: int) -> None:
    if hasattr(batches, "__next__") and epochs > 1:
        raise ValueError(
            f"batches: got a {type(batches).__name__}, which can be gone through once, for {epochs}"
            " epochs; expected a list, a DataLoader, `data.train.batches(...)`"
        )


def _start(
    step: Step,
    history: History,
    checkpoint: str | os.PathLike | None,
    epochs: int,
    patience: int | None,
) -> dict | None:
    """Go to where the checkpoint is, if there is one; returns the best state until then."""
    if checkpoint is None:
        return None
    best = load_checkpoint(checkpoint, step, history) if Path(checkpoint).exists() else None
    if history.epochs < epochs and not _is_over(best, history.epochs, patience):
        check_room(checkpoint, step, history, best)
    return best


def _is_over(best: dict | None, epochs: int, patience: int | None) -> bool:
    """Whether the best epoch was `patience` epochs ago."""
    return patience is not None and best is not None and epochs - best["epoch"] >= patience


def _better(best: dict | None, epoch: int, validation: dict[str, float], step: Step) -> dict:
    """The best epoch so far: this one, if the first metric of its validation is the highest."""
    if not validation:
        raise ValueError("validate: got no metrics, expected one that early stopping can go by")
    name, value = next(iter(validation.items()))
    if not -float("inf") < value < float("inf"):
        raise FloatingPointError(f"{name} is {float(value)} after epoch {epoch}")
    if best is not None and value <= best["value"]:
        return best
    return {"epoch": epoch, "value": float(value), "step": copy.deepcopy(step.state_dict())}
