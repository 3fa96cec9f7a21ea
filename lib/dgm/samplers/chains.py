"""Chains that need no slope: block Gibbs, which asks conditionals, and the random walk."""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import check_examples, check_finite, integer, positive, readable
from ..energies import log_density
from ..protocols import given
from .langevin import choose


def gibbs(model, x: Tensor, steps: int = 1, y: Tensor | None = None) -> Tensor:
    """Block Gibbs sampling, by the model's own `gibbs(x, steps)`: (B, *event) -> (B, *event).

    Raises:
        ValueError: the model has none, x is not (B, *event), or steps is no positive integer.

    Equation: eq-detailed-balance

    >>> from dgm.models import RBM
    >>> gibbs(RBM((1, 8, 8)), torch.ones(5, 1, 8, 8), steps=10).shape
    torch.Size([5, 1, 8, 8])
    """
    check_examples(model, x, y)
    if not hasattr(model, "gibbs"):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with a method gibbs, as RBM; "
            "of densities use another sampler, for example partial(mala, step=0.01)"
        )
    return model.gibbs(x, steps, **given(model, y))


@torch.no_grad()
def metropolis(
    model,
    x: Tensor,
    steps: int = 1,
    y: Tensor | None = None,
    scale: float | Sequence[float] = 0.1,
) -> Tensor:
    r"""A random walk, $x' = x + s \xi$, whose steps are accepted with probability
    $\min(1, p(x') / p(x))$. It leaves p as it is.

    With several scales the chain takes them in turn, so that a few long jumps between modes can go
    with many short steps within one.

    Shapes: x (B, *event) -> (B, *event).

    Args:
        model: an energy, or anything with a `log_prob`.
        x: where the chains stand.
        steps: how many.
        y: labels (B,), for a model with classes.
        scale: the standard deviation s of a step, or several.

    Raises:
        ValueError: as `dgm.energies.log_density`; a scale is not positive; the energy is not finite
            at x (looked at on a CPU only).

    Source: Metropolis et al. (1953), doi:10.1063/1.1699114, Equation of state calculations by fast
    computing machines.

    >>> from torch.distributions import Normal
    >>> x = metropolis(Normal(0.0, 1.0), torch.randn(10_000), steps=20, scale=(0.5, 2.0))
    >>> bool((x.var() - 1).abs() < 0.06)
    True
    """
    steps = integer("steps", steps)
    scales = [positive("scale", s) for s in (scale if isinstance(scale, Sequence) else [scale])]
    if not scales:
        raise ValueError(f"scale: got {scale!r}, expected at least one positive number")
    log_p = log_density(model, x, y)  # (B,)
    if readable(x) and not log_p.isfinite().all():
        check_finite("x", x)
        raise ValueError(
            f"model: the energy of {type(model).__name__} is not finite at x, where the chains "
            "start; expected finite numbers"
        )
    for number in range(steps):
        there = x + scales[number % len(scales)] * torch.randn_like(x)
        log_p_there = log_density(model, there, y)
        accepted = torch.rand_like(log_p).log() < log_p_there - log_p  # (B,)
        x, log_p = choose(accepted, there, x), choose(accepted, log_p_there, log_p)
    return x
