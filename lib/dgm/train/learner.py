"""What learns: a module with its optimiser, learning rate, clipping and average."""

import warnings
from collections.abc import Callable, Iterable
from functools import partial
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from .averages import start_average, update_average
from .checkpoints import load_states, states

MakeOptimizer = Callable[[Iterable[nn.Parameter]], Optimizer]
MakeScheduler = Callable[[Optimizer], LRScheduler]


class Learner:
    """A module that climbs an objective. Each player of a step is one.

    An update is `gradient(objective)`, then `update()`; between the two, other learners can take
    their gradients at the same point. `advance()` ends a step, however many updates it made.

    Args:
        module: stays on its device.
        optimizer: makes an optimiser of the parameters.
        lr_schedule: makes a scheduler of the optimiser, one of torch's, which goes on by one with
            every step.
        clip: the largest norm of the whole gradient; a longer one is shortened to it.
        ema: keep `average`, a copy of the module that follows it slowly,
            average <- ema * average + (1 - ema) * theta, and starts at the first theta; a number,
            or a function of the number of steps done.
        arguments: what an error calls module and optimiser.

    Attributes:
        reduce: called with the parameters between gradient and update, if there are several
            processes: it puts the mean of their gradients in the place of each one's own.

    Raises:
        ValueError: a bad argument; nothing to learn; an optimiser or a scheduler whose `step` must
            be given more than nothing (LBFGS, ReduceLROnPlateau).

    >>> learner = Learner(nn.Linear(1, 1), partial(torch.optim.SGD, lr=0.1), clip=1.0)
    >>> weight = learner.module.weight.item()
    >>> value = learner.gradient(3 * learner.module.weight.sum())  # climbs by 3, but for the clip
    >>> learner.update()  # the norm of the gradient
    tensor(3.)
    >>> round(learner.module.weight.item() - weight, 4)
    0.1
    """

    def __init__(
        self,
        module: nn.Module,
        optimizer: MakeOptimizer,
        lr_schedule: MakeScheduler | None = None,
        clip: float | None = None,
        ema: float | Callable[[int], float] | None = None,
        arguments: tuple[str, str] = ("model", "optimizer"),
    ):
        if clip is not None and not clip > 0:
            raise ValueError(f"clip: got {clip}, expected a positive norm")
        if ema is not None and not callable(ema) and not 0 <= ema < 1:
            raise ValueError(f"ema: got {ema}, expected at least 0 and less than 1")
        self.module, self.clip, self.ema = module, clip, ema
        self.parameters = list(module.parameters())
        if not any(p.requires_grad for p in self.parameters):
            raise ValueError(
                f"{arguments[0]}: got a {type(module).__name__} with nothing to learn, "
                "expected a parameter that requires a gradient"
            )
        self.optimizer = optimizer(module.parameters())
        self.scheduler = lr_schedule(self.optimizer) if lr_schedule else None
        _check_steps_alone(arguments[1], self.optimizer)
        _check_steps_alone("lr_schedule", self.scheduler)
        self.average = None if ema is None else start_average(module)
        self.reduce: Callable[[list[nn.Parameter]], None] | None = None

    def gradient(self, objective: Tensor) -> Tensor:
        """Leave the gradient of minus the objective in the parameters, and in no others.

        Returns the objective as a number, without its graph.
        """
        learning = [p for p in self.parameters if p.requires_grad]
        for p in self.parameters:
            p.grad = None
        (-objective).backward(inputs=learning)  # optimisers minimise
        return objective.detach()

    def update(self) -> Tensor | None:
        """Move by the gradient; returns its norm, before clipping, if it is clipped."""
        norm = None
        if self.reduce is not None:
            self.reduce(self.parameters)
        if self.clip is not None:
            norm = nn.utils.clip_grad_norm_(self.parameters, self.clip)
        self.optimizer.step()
        return norm

    def advance(self, t: int) -> None:
        """At the end of a step, after t others: the learning rate goes on, the average follows."""
        if self.scheduler is not None:
            self.scheduler.step()
        if self.average is not None:
            ema = self.ema(t) if callable(self.ema) else self.ema
            update_average(self.average, self.module, ema)

    @property
    def device(self) -> torch.device:
        return self.parameters[0].device

    def learning_rates(self) -> list[float]:
        """As they are now, of each group of parameters."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def not_finite(self) -> list[str]:
        """The names of the parameters that learn and hold values which are not finite."""
        named = self.module.named_parameters()
        return [name for name, p in named if p.requires_grad and not p.isfinite().all()]

    def state_dict(self) -> dict:
        return states(self._parts)

    def load_state_dict(self, state: dict) -> None:
        """Restore all of it, the learning rate too; warns if another one was given."""
        given = self._first_rates()
        load_states(self._parts, state)
        kept = self._first_rates()
        if kept != given:
            warnings.warn(
                f"lr: got {_listed(given)}, but the saved run goes on with its own, "
                f"{_listed(kept)}. To change it: load_checkpoint, set group['lr'] for each group "
                "of the optimiser's param_groups, and fit with another file as checkpoint",
                stacklevel=2,
            )

    def _first_rates(self) -> list[float]:
        """The learning rates that a schedule starts from, or that stay as they are."""
        return [float(g.get("initial_lr", g["lr"])) for g in self.optimizer.param_groups]

    @property
    def _parts(self) -> dict[str, Any]:
        """What has a state. The state of one kind of optimiser or schedule is not another's."""
        parts = {
            "module": self.module,
            f"optimizer {type(self.optimizer).__name__}": self.optimizer,
            f"lr_schedule {type(self.scheduler).__name__}": self.scheduler,
            "average": self.average,
        }
        return {name: part for name, part in parts.items() if part is not None}


def adam(lr: float, **more) -> MakeOptimizer:
    """Makes an Adam that updates all parameters in one operation.

    Raises:
        ValueError: the learning rate is not positive.
    """
    if not lr > 0:
        raise ValueError(f"lr: got {lr}, expected a positive learning rate")
    return partial(torch.optim.Adam, lr=float(lr), fused=True, **more)


def _check_steps_alone(argument: str, part: Optimizer | LRScheduler | None) -> None:
    """Raise ValueError if `part.step()` needs an argument: a training step has none to give."""
    # of the class: a scheduler puts a wrapper in the place of its optimiser's own
    needed = [] if part is None else _required(type(part).step)[1:]  # but for self
    if needed:
        raise ValueError(
            f"{argument}: got {type(part).__name__}, whose step needs {', '.join(needed)}; "
            "expected one whose step needs nothing"
        )


def _listed(rates: list[float]) -> str:
    return ", ".join(f"{rate:g}" for rate in rates)


def _required(function: Callable) -> list[str]:
    parameters = signature(function).parameters.values()
    named = (p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
    return [p.name for p in named if p.default is p.empty]
