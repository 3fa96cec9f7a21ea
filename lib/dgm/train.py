"""Training: one loop for every model.

A *step* makes one update from one batch and returns its metrics. `fit` calls it over and over,
shows a progress bar, keeps the history and writes checkpoints. It knows nothing of models,
objectives or optimisers: those belong to the step.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from tqdm import tqdm

from ._device import device
from .protocols import LatentVariable, Tractable


class Step(Protocol):
    """What `fit` needs of a step."""

    def __call__(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """Update once; return metrics as scalar tensors, without waiting for the device."""
        ...

    def state_dict(self) -> dict: ...

    def load_state_dict(self, state: dict) -> None: ...


class gradient_step:
    """Stochastic gradient ascent on an objective, with Adam.

    Args:
        model: an `nn.Module`; it is moved to `dgm.device()`.
        objective: `objective(model, x, y=None) -> (B,)`, to be maximised.
        lr: learning rate.
        optimizer: makes an optimiser of the parameters; by default Adam with this `lr`.

    Calling it with a batch `(x,)` or `(x, y)` returns `{"objective": mean over the batch}`. Its
    state (parameters, optimiser, number of updates `t`, random state) is complete: a run that is
    saved and resumed takes the same path as one that was never stopped.

    >>> from dgm.models import Autoencoder
    >>> from dgm.objectives import reconstruction
    >>> step = gradient_step(Autoencoder.linear((2,), latent=1), reconstruction)
    >>> metrics = step((torch.randn(16, 2, device=device()),))
    >>> list(metrics), step.t
    (['objective'], 1)
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Callable[..., Tensor],
        lr: float = 1e-3,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer] | None = None,
    ):
        if not lr > 0:
            raise ValueError(f"lr: got {lr}, expected a positive learning rate")
        self.model = model.to(device())
        self.objective = objective
        if optimizer is None:
            self.optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
        else:
            self.optimizer = optimizer(model.parameters())
        self.t = 0

    def __call__(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        objective = self.objective(self.model, *batch).mean()
        self.optimizer.zero_grad(set_to_none=True)
        (-objective).backward()  # optimisers minimise
        self.optimizer.step()
        self.t += 1
        return {"objective": objective.detach()}

    def check(self, batch: Sequence[Tensor]) -> None:
        """Raise ValueError if the batch cannot be data of this model. `fit` asks once."""
        check_batch(self.model, *batch)

    def state_dict(self) -> dict:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "t": self.t,
            "random": random_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.t = state["t"]
        set_random_state(state["random"])


class History:
    """The metrics of a run, one number per epoch: `history["objective"]` is a list.

    Attributes:
        epochs: how many epochs it covers.
        interrupted: True if Ctrl-C ended the run; the last entry then covers part of an epoch.

    >>> history = History()
    >>> history.append({"objective": -3.0})
    >>> history
    History of 1 epoch: objective -3.000
    """

    def __init__(self):
        self.metrics: dict[str, list[float]] = {}
        self.interrupted = False

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

    def plot(self, ax=None):
        """Draw every metric against the epoch; returns the matplotlib axes."""
        from .plots import history

        return history(self, ax=ax)

    def __repr__(self) -> str:
        last = ", ".join(f"{name} {values[-1]:.3f}" for name, values in self.metrics.items())
        return f"History of {self.epochs} epoch{'s' * (self.epochs != 1)}: {last or 'empty'}"


def fit(
    step: Step,
    batches: Iterable[Sequence[Tensor]],
    epochs: int,
    validate: Callable[[], dict[str, float]] | None = None,
    checkpoint: str | os.PathLike | None = None,
    progress: bool = True,
) -> History:
    """Call `step` on every batch, `epochs` times over, and return the history.

    Metrics stay on the device; they are read twice a second for the progress bar and once at the
    end of an epoch, when the history takes their means.

    Args:
        step: for example `gradient_step(model, objective)`.
        batches: iterated anew in each epoch, for example `data.train.batches(128)`.
        epochs: how many passes in all, those of a checkpoint included.
        validate: called after each epoch; its metrics join the history.
        checkpoint: a file, written after every epoch, whole or not at all. If it exists, training
            goes on from there and ends where an uninterrupted run would have (on a CPU bit for
            bit).
        progress: show a progress bar (on stderr).

    Returns:
        The `History`. Ctrl-C ends training, not the program: what was learned until then stays in
        the model, and the history says so.

    Raises:
        ValueError: bad arguments, no batches, data outside the likelihood's support, or a
            checkpoint that does not fit.
        FloatingPointError: a metric is not finite; the message names it and the step. The last
            checkpoint is left as it was.

    >>> import dgm
    >>> data = dgm.data.load("ring")
    >>> model = dgm.models.Autoencoder.linear(data.shape, latent=1)
    >>> step = gradient_step(model, dgm.objectives.reconstruction, lr=1e-2)
    >>> fit(step, data.train.batches(500), epochs=2, progress=False).epochs
    2
    """
    if not isinstance(epochs, int) or epochs < 1:
        raise ValueError(f"epochs: got {epochs!r}, expected a positive integer")
    history = History()
    if checkpoint is not None and Path(checkpoint).exists():
        load_checkpoint(checkpoint, step, history)
    elif hasattr(step, "check"):
        _check_first(step, batches)
    bar = tqdm(total=epochs, initial=history.epochs, unit="epoch", disable=not progress)
    with bar:
        while history.epochs < epochs:
            epoch = _Epoch(step, history.epochs + 1, bar)
            try:
                epoch.run(batches)
            except KeyboardInterrupt:
                history.interrupted = True
                if epoch.metrics:
                    history.append(epoch.means())
                bar.write(f"interrupted in epoch {epoch.number}; what was learned is kept")
                return history
            history.append(epoch.means() | (validate() if validate else {}))
            if checkpoint is not None:
                save_checkpoint(checkpoint, step, history)
            bar.update()
    return history


class _Epoch:
    """One pass over the batches and the metrics it produced."""

    def __init__(self, step: Step, number: int, bar: tqdm):
        self.step, self.number, self.bar = step, number, bar
        self.metrics: list[dict[str, Tensor]] = []  # one dict per batch, still on the device

    def run(self, batches: Iterable[Sequence[Tensor]]) -> None:
        shown = time.monotonic()
        for batch in batches:
            # a copy, made after the step's large tensors are freed: metrics that lay among them
            # would keep the gaps from being used again (132 MiB more after 469 steps, 16 with it)
            self.metrics.append({name: value.clone() for name, value in self.step(batch).items()})
            if time.monotonic() - shown > 0.5:  # reading a metric waits for the device: not often
                shown = time.monotonic()
                self.show(refresh=True)
        if not self.metrics:
            raise ValueError(f"batches: nothing to iterate over in epoch {self.number}")
        self.show(refresh=False)  # the bar redraws itself when its time has come

    def show(self, refresh: bool) -> None:
        self.bar.set_postfix({k: f"{v:.4g}" for k, v in self.means().items()}, refresh=refresh)

    def means(self) -> dict[str, float]:
        """The mean of each metric so far. Raises FloatingPointError if one is not finite."""
        means = {}
        for name in self.metrics[0]:
            values = torch.stack([m[name] for m in self.metrics])  # (steps,)
            mean = values.mean().item()
            if not -float("inf") < mean < float("inf"):
                bad = int((~values.isfinite()).nonzero()[0])
                raise FloatingPointError(
                    f"{name} is {values[bad].item()} at step {bad + 1} of epoch {self.number}; "
                    "a smaller learning rate is the first thing to try"
                )
            means[name] = mean
        return means


def check_batch(model: nn.Module, x: Tensor, y: Tensor | None = None) -> None:
    """Raise ValueError if `x` holds nan or inf, or values the model's likelihood gives no mass.

    Heads skip this check for speed; a likelihood evaluated off its support is a number without a
    meaning, for example a Bernoulli's at a grey pixel.
    """
    if not x.isfinite().all():
        raise ValueError("batches: x holds values that are not finite")
    support = likelihood_support(model)
    if support is not None and not support.check(x).all():
        raise ValueError(
            f"batches: x lies outside the support of the likelihood ({support}); for a Bernoulli "
            'likelihood use batches(..., binarize="dynamic"), for grey levels use the data set\'s'
        )


def likelihood_support(model: nn.Module) -> torch.distributions.constraints.Constraint | None:
    """The set on which p(x | z), or p(x) of a model with a `support`, lives; None if unknown."""
    if isinstance(model, LatentVariable):
        with torch.no_grad():
            likelihood: Distribution = model.likelihood(model.prior().sample((1,)))
        return likelihood.support
    return getattr(model, "support", None) if isinstance(model, Tractable) else None


def random_state() -> dict[str, Tensor]:
    """The state of torch's global random generators, one per kind of device in use."""
    state = {"cpu": torch.get_rng_state()}
    if device().type != "cpu":
        state[device().type] = torch.get_device_module(device()).get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor]) -> None:
    """Restore what `random_state` returned. A device that is not here keeps its own state."""
    torch.set_rng_state(state["cpu"])
    if device().type in state and device().type != "cpu":
        torch.get_device_module(device()).set_rng_state(state[device().type])


def save_checkpoint(path: str | os.PathLike, step: Step, history: History) -> None:
    """Write the state of a run to one file, whole or not at all.

    The state goes to a temporary file in the same folder, which then takes the place of the old one
    in one operation of the file system.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"step": step.state_dict(), "history": history.metrics}, temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def load_checkpoint(path: str | os.PathLike, step: Step, history: History | None = None) -> None:
    """Restore a run that `save_checkpoint` wrote. Only tensors and plain values are read.

    Raises:
        ValueError: the file is not a checkpoint, or one of another model.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        step_state, metrics = state["step"], state["history"]
    except FileNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"checkpoint: {path} is not a checkpoint of dgm.train.fit") from error
    try:
        step.load_state_dict(step_state)
    except (RuntimeError, KeyError, ValueError) as error:
        raise ValueError(f"checkpoint: {path} belongs to another model or step: {error}") from error
    if history is not None:
        history.metrics = {name: list(values) for name, values in metrics.items()}


def _check_first(step: Step, batches: Iterable[Sequence[Tensor]]) -> None:
    """Let the step look at one batch, and undo what drawing it did to the random state."""
    before = random_state()
    first = next(iter(batches), None)
    if first is None:
        raise ValueError("batches: nothing to iterate over")
    step.check(first)
    set_random_state(before)
