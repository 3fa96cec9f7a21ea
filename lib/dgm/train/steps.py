"""Steps: one update from one batch, and its metrics."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from numbers import Integral
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from .._device import emulates_bf16
from ..checks import check_data, examples, integer, one_each
from .checkpoints import load_states, states
from .compiled import Compiled, not_compiled, worth_compiling
from .learner import Learner, MakeOptimizer, MakeScheduler, adam


class Step(Protocol):
    """One update from one batch, and all that `fit` asks of it.

    A step of your own inherits from this class. It has to define `__call__`, and `parts` if it is
    to be saved; to the other questions there are answers here.

    Attributes:
        t: updates done.
    """

    t: int = 0

    def __call__(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        """Update once; return metrics as scalar tensors, without waiting for the device."""
        ...

    @property
    def parts(self) -> dict[str, Any]:
        """What has a state, that is, `state_dict` and `load_state_dict`: learners, models, ..."""
        return {}

    def check(self, batch: Sequence[Tensor]) -> None:
        """Raise ValueError if the batch cannot be the model's data. Asked of the first batch."""

    def compile(self) -> None:
        """Make one program of objective and gradient, or say in one line why not."""
        not_compiled(f"{type(self).__name__} has no gradient")

    def distribute(self, reduce: Callable[[list[nn.Parameter]], None] | None) -> None:
        """From now on, let `reduce` average gradients over the processes; None: no longer."""
        raise ValueError(f"distributed: got {type(self).__name__}, expected a gradient_step")

    def learning_rates(self) -> list[float]:
        """As they are now, each once."""
        learners = [part for part in self.parts.values() if isinstance(part, Learner)]
        return sorted({rate for learner in learners for rate in learner.learning_rates()})

    def not_finite(self) -> list[str]:
        """The names of the parameters that an update has made infinite or nan."""
        learners = {k: part for k, part in self.parts.items() if isinstance(part, Learner)}
        return [f"{k}.{name}" for k, learner in learners.items() for name in learner.not_finite()]

    def state_dict(self) -> dict:
        return states(self.parts) | {"t": self.t}

    def load_state_dict(self, state: dict) -> None:
        load_states(self.parts, {name: part for name, part in state.items() if name != "t"})
        self.t = integer("t", state["t"], at_least=0)


class gradient_step(Step):
    """Stochastic gradient ascent on an objective, with Adam.

    Args:
        model: an `nn.Module`; it stays on its device, where the batches have to be too.
        objective: `objective(model, x, y=None) -> (B,)`, to be maximised.
        lr: learning rate.
        optimizer: makes an optimiser of the parameters; by default Adam with this `lr`.
        lr_schedule: makes a scheduler of the optimiser, one of torch's, which goes on by one with
            every update: `partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=updates)`.
        clip: the largest norm of the whole gradient; a longer one is shortened to it.
        ema: keep `step.average`, a copy of the model that follows it slowly,
            average <- ema * average + (1 - ema) * theta, and starts at the first theta; a number,
            or a function of the number of updates done, `partial(rising_average, ema=0.999)`.
        precision: "float32", or "bf16", in which matrix products and convolutions are computed
            with 8 bits of mantissa (torch's autocast; parameters, sums over pixels and the
            optimiser stay float32). It pays for large layers on a GPU, and on a CPU with AMX or
            AVX512_BF16; where the hardware would emulate it, a warning says so.
        schedules: keywords of the objective that change in training, each a function of the number
            of updates done, `t`: `gradient_step(model, elbo, schedules={"beta":
            partial(linear_warmup, steps=1000)})`. What is fixed goes into `partial(elbo, k=5)`.

    Calling it with a batch `(x,)` or `(x, y)` returns `{"objective": mean over the batch}` and, if
    gradients are clipped, `"gradient_norm"`, before clipping. A checkpoint is complete (parameters,
    average, optimiser, scheduler, number of updates `t`, random state): a run that is saved and
    resumed takes the same path, schedules included, as one that was never stopped. An objective may
    have a state too, a buffer of examples for instance: it, the object whose method it is, or what
    `partial` gives it, then has `state_dict` and `load_state_dict`, and is saved and restored with
    the rest.

    Raises:
        ValueError: a bad argument, among them optimisers and schedulers whose `step` must be given
            more than nothing (LBFGS, ReduceLROnPlateau), and a model without parameters that learn;
            a batch of another form; an objective that is not one number per example.

    >>> from dgm.models import Autoencoder
    >>> from dgm.objectives import reconstruction
    >>> step = gradient_step(Autoencoder.linear((2,), latent=1), reconstruction)
    >>> metrics = step((torch.randn(16, 2),))
    >>> list(metrics), step.t
    (['objective'], 1)
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Callable[..., Tensor],
        lr: float = 1e-3,
        optimizer: MakeOptimizer | None = None,
        lr_schedule: MakeScheduler | None = None,
        clip: float | None = None,
        ema: float | Callable[[int], float] | None = None,
        precision: str = "float32",
        schedules: Mapping[str, Callable[[int], float]] | None = None,
    ):
        default = adam(lr)
        if precision not in ("float32", "bf16"):
            raise ValueError(f"precision: got {precision!r}, expected 'float32' or 'bf16'")
        self.learner = Learner(model, optimizer or default, lr_schedule, clip, ema)
        self.model, self.average = model, self.learner.average
        self.objective = objective
        self.schedules = _functions(schedules or {})
        self.bf16 = precision == "bf16"
        if self.bf16 and emulates_bf16(self.learner.device):
            warnings.warn(
                f"precision: this {self.learner.device.type} emulates bf16, more slowly than it "
                "computes in float32",
                stacklevel=2,
            )
        self._value = self._mean_objective

    def __call__(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        batch = examples(batch)
        objective = self._value(*batch, **self._scheduled(batch[0].device))
        metrics = {"objective": self.learner.gradient(objective)}
        norm = self.learner.update()
        if norm is not None:
            metrics["gradient_norm"] = norm
        self.learner.advance(self.t)
        self.t += 1
        return metrics

    def _mean_objective(self, *batch: Tensor, **scheduled: float | Tensor) -> Tensor:
        place = batch[0].device.type
        with torch.autocast(place, torch.bfloat16) if self.bf16 else nullcontext():
            values = self.objective(self.model, *batch, **scheduled)  # (B,)
        return one_each(values, batch[0], "objective").mean()

    def _scheduled(self, device: torch.device) -> dict[str, float | Tensor]:
        values = {name: value(self.t) for name, value in self.schedules.items()}
        if not self.compiled:
            return values
        # a number is a constant of the program, which is compiled anew for each: right for
        # integers, such as how many draws
        return {
            name: value if isinstance(value, Integral) else torch.tensor(value, device=device)
            for name, value in values.items()
        }

    @property
    def parts(self) -> dict[str, Any]:
        return {"model": self.learner} | with_state("objective", self.objective)

    def check(self, batch: Sequence[Tensor]) -> None:
        check_data(self.model, *examples(batch))

    def compile(self, **options) -> None:
        """Compile objective and gradient; `fit(..., compile=True)` does it.

        Args:
            options: for `torch.compile`, for example `backend="inductor"`. On a CPU it goes on
                without unless some are given.
        """
        if worth_compiling(self.learner.device, options):
            self._value = Compiled(self._mean_objective, self.learner.device, **options)

    @property
    def compiled(self) -> bool:
        """Whether a program does the work, so far."""
        return isinstance(self._value, Compiled) and self._value.works

    def distribute(self, reduce: Callable[[list[nn.Parameter]], None] | None) -> None:
        self.learner.reduce = reduce


def with_state(name: str, objective: Callable) -> dict[str, Any]:
    """What of an objective has a state: itself, whose method it is, or what `partial` gives it.

    >>> with_state("objective", partial(lambda model, x, critic: x, critic=nn.Linear(2, 1)))
    {'objective.critic': Linear(in_features=2, out_features=1, bias=True)}
    """
    given = {}
    if isinstance(objective, partial):
        given = dict(enumerate(objective.args)) | objective.keywords
        objective = objective.func
    parts = {name: getattr(objective, "__self__", objective)}
    parts |= {f"{name}.{key}": part for key, part in given.items()}
    return {key: part for key, part in parts.items() if _has_state(part)}


def _has_state(part: Any) -> bool:
    a_class = isinstance(part, type)  # has the methods, and no state
    return not a_class and hasattr(part, "state_dict") and hasattr(part, "load_state_dict")


def _functions(schedules: Mapping[str, Callable[[int], float]]) -> dict:
    for name, value in schedules.items():
        if not callable(value):
            raise ValueError(
                f"schedules: got {value!r} for {name}, expected a function of t; "
                f"what is fixed goes into partial(objective, {name}={value!r})"
            )
    return dict(schedules)
