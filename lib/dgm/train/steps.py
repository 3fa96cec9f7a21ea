"""Steps: one update from one batch, and its metrics."""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from .._device import device
from ..protocols import LatentVariable, Tractable, given
from .checkpoints import random_state, set_random_state


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
        schedules: keywords of the objective that change in training, each a function of the number
            of updates done, `t`: `gradient_step(model, elbo, beta=partial(linear_warmup,
            steps=1000))`. What is fixed goes into `partial(elbo, k=5)`.

    Calling it with a batch `(x,)` or `(x, y)` returns `{"objective": mean over the batch}`. Its
    state (parameters, optimiser, number of updates `t`, random state) is complete: a run that is
    saved and resumed takes the same path, schedules included, as one that was never stopped.

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
        **schedules: Callable[[int], float],
    ):
        if not lr > 0:
            raise ValueError(f"lr: got {lr}, expected a positive learning rate")
        self.model = model.to(device())
        self.objective = objective
        self.schedules = schedules
        if optimizer is None:
            self.optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
        else:
            self.optimizer = optimizer(model.parameters())
        self.t = 0

    def __call__(self, batch: Sequence[Tensor]) -> dict[str, Tensor]:
        scheduled = {name: value(self.t) for name, value in self.schedules.items()}
        objective = self.objective(self.model, *batch, **scheduled).mean()
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


def check_batch(model: nn.Module, x: Tensor, y: Tensor | None = None) -> None:
    """Raise ValueError if `x` holds nan or inf, or values the model's likelihood gives no mass.

    Or if a conditional model gets no labels, or a model of classes others than 0 to
    `model.classes` - 1 (and -1, no label, where it can be without).

    Heads skip this check for speed; a likelihood evaluated off its support is a number without a
    meaning, for example a Bernoulli's at a grey pixel.
    """
    if not x.isfinite().all():
        raise ValueError("batches: x holds values that are not finite")
    lowest, classes = 0 if given(model, y) else -1, getattr(model, "classes", None)
    if classes and y is not None and not ((y >= lowest) & (y < classes)).all():
        raise ValueError(f"batches: expected labels y from {lowest} to {classes - 1}")
    support = likelihood_support(model, y)
    if support is not None and not support.check(x).all():
        raise ValueError(
            f"batches: x lies outside the support of the likelihood ({support}); for a Bernoulli "
            'likelihood use batches(..., binarize="dynamic"), for grey levels use the data set\'s'
        )


def likelihood_support(
    model: nn.Module, y: Tensor | None = None
) -> torch.distributions.constraints.Constraint | None:
    """The set on which p(x | z), or p(x) of a model with a `support`, lives; None if unknown.

    `y` is for a conditional model: labels, of which any will do. A model that has a `vae` among its
    parts is asked for the VAE's.
    """
    if hasattr(model, "vae"):
        return likelihood_support(model.vae, y if y is None else y.clamp(min=0))
    if isinstance(model, LatentVariable):
        label = given(model, y)
        with torch.no_grad():
            z = model.prior(**label).sample((1,))
            likelihood: Distribution = model.likelihood(z, **label)
        return likelihood.support
    return getattr(model, "support", None) if isinstance(model, Tractable) else None
