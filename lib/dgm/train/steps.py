"""Steps: one update from one batch, and its metrics."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from inspect import signature
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .._device import device
from ..checks import check_data, examples, one_each
from .averages import start_average, update_average
from .checkpoints import random_state, set_random_state
from .compiled import Compiled


class Step(Protocol):
    """What `fit` needs of a step. One that can be compiled has `compile()` too."""

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
        lr_schedule: makes a scheduler of the optimiser, one of torch's, which goes on by one with
            every update: `partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=updates)`.
        clip: the largest norm of the whole gradient; a longer one is shortened to it.
        ema: keep `step.average`, a copy of the model that follows it slowly,
            average <- ema * average + (1 - ema) * theta, and starts at the first theta.
        precision: "float32", or "bf16", in which matrix products and convolutions are computed
            with 8 bits of mantissa (torch's autocast; parameters, sums over pixels and the
            optimiser stay float32). It pays for convolutions and attention on a GPU.
        schedules: keywords of the objective that change in training, each a function of the number
            of updates done, `t`: `gradient_step(model, elbo, beta=partial(linear_warmup,
            steps=1000))`. What is fixed goes into `partial(elbo, k=5)`.

    Calling it with a batch `(x,)` or `(x, y)` returns `{"objective": mean over the batch}` and, if
    gradients are clipped, `"gradient_norm"`, before clipping. Its state (parameters, average,
    optimiser, scheduler, number of updates `t`, random state) is complete: a run that is saved and
    resumed takes the same path, schedules included, as one that was never stopped.

    Raises:
        ValueError: a bad argument, among them optimisers and schedulers whose `step` must be given
            more than nothing (LBFGS, ReduceLROnPlateau), and a model without parameters that learn;
            a batch of another form; an objective that is not one number per example.

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
        optimizer: Callable[[Iterable[nn.Parameter]], Optimizer] | None = None,
        lr_schedule: Callable[[Optimizer], LRScheduler] | None = None,
        clip: float | None = None,
        ema: float | None = None,
        precision: str = "float32",
        **schedules: Callable[[int], float],
    ):
        if not lr > 0:
            raise ValueError(f"lr: got {lr}, expected a positive learning rate")
        if clip is not None and not clip > 0:
            raise ValueError(f"clip: got {clip}, expected a positive norm")
        if ema is not None and not 0 <= ema < 1:
            raise ValueError(f"ema: got {ema}, expected at least 0 and less than 1")
        if precision not in ("float32", "bf16"):
            raise ValueError(f"precision: got {precision!r}, expected 'float32' or 'bf16'")
        check_learns("model", model)
        self.model = model.to(device())
        self.objective = objective
        self.schedules = schedules
        self.clip, self.ema, self.bf16 = clip, ema, precision == "bf16"
        if optimizer is None:
            self.optimizer = torch.optim.Adam(model.parameters(), lr=float(lr), fused=True)
        else:
            self.optimizer = optimizer(model.parameters())
        self.scheduler = lr_schedule(self.optimizer) if lr_schedule else None
        check_steps_alone("optimizer", self.optimizer)
        check_steps_alone("lr_schedule", self.scheduler)
        self.average = None if ema is None else start_average(model)
        self._value, self._compiled = self._mean_objective, False
        self.t = 0

    def __call__(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        objective = self._value(*examples(batch), **self._scheduled())
        self.optimizer.zero_grad(set_to_none=True)
        (-objective).backward()  # optimisers minimise
        metrics = {"objective": objective.detach()}
        if self.clip is not None:
            metrics["gradient_norm"] = nn.utils.clip_grad_norm_(self.model.parameters(), self.clip)
        self.optimizer.step()
        if self.scheduler:
            self.scheduler.step()
        if self.average is not None:
            update_average(self.average, self.model, self.ema)
        self.t += 1
        return metrics

    def _mean_objective(self, *batch: Tensor, **scheduled: float | Tensor) -> Tensor:
        with torch.autocast(device().type, torch.bfloat16) if self.bf16 else nullcontext():
            values = self.objective(self.model, *batch, **scheduled)  # (B,)
        return one_each(values, batch[0], "objective").mean()

    def _scheduled(self) -> dict[str, float | Tensor]:
        values = {name: value(self.t) for name, value in self.schedules.items()}
        if self._compiled:  # a number would be a constant of the program: compiled anew for each
            return {name: torch.tensor(value, device=device()) for name, value in values.items()}
        return values

    def compile(self, **options) -> None:
        """Compile objective and gradient; `fit(..., compile=True)` does it.

        Args:
            options: for `torch.compile`, for example `backend="aot_eager"`.
        """
        self._value, self._compiled = Compiled(self._mean_objective, **options), True

    def check(self, batch: Sequence[Tensor]) -> None:
        """Raise ValueError if the batch cannot be data of this model. `fit` asks once."""
        check_data(self.model, *examples(batch))

    def state_dict(self) -> dict:
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        return parts | {"t": self.t, "random": random_state()}

    def load_state_dict(self, state: dict) -> None:
        for name, part in self._parts.items():
            part.load_state_dict(state[name])
        self.t = state["t"]
        set_random_state(state["random"])

    @property
    def _parts(self) -> dict:
        names = ("model", "optimizer", "scheduler", "average")
        return {name: part for name in names if (part := getattr(self, name)) is not None}


def check_learns(argument: str, model: nn.Module) -> None:
    """Raise ValueError if the model has no parameter that learns."""
    if not any(p.requires_grad for p in model.parameters()):
        raise ValueError(
            f"{argument}: got a {type(model).__name__} with nothing to learn, "
            "expected a parameter that requires a gradient"
        )


def check_steps_alone(argument: str, part: Optimizer | LRScheduler | None) -> None:
    """Raise ValueError if `part.step()` needs an argument: a training step has none to give."""
    # of the class: a scheduler puts a wrapper in the place of its optimiser's own
    needed = [] if part is None else _required(type(part).step)[1:]  # but for self
    if needed:
        raise ValueError(
            f"{argument}: got {type(part).__name__}, whose step needs {', '.join(needed)}; "
            "expected one whose step needs nothing"
        )


def _required(function: Callable) -> list[str]:
    parameters = signature(function).parameters.values()
    named = (p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    return [p.name for p in named if p.default is p.empty]
