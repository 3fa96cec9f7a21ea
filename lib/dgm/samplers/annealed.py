"""Annealed Langevin sampling: from coarse noise, where chains move freely, down to fine."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import check_examples, check_finite, integer, positive, readable
from ..protocols import given


def noise_levels(largest: float, smallest: float, n: int) -> tuple[float, ...]:
    """n noise levels from the largest down to the smallest, each the same part of the one before.

    Raises:
        ValueError: one is not positive, they do not fall, or n is less than 2.

    >>> noise_levels(1.0, 0.01, 3)
    (1.0, 0.1, 0.01)
    """
    largest, smallest = positive("largest", largest), positive("smallest", smallest)
    n = integer("n", n, at_least=2)
    if largest <= smallest:
        raise ValueError(f"largest: got {largest:g}, expected more than the smallest, {smallest:g}")
    fall = (smallest / largest) ** (1 / (n - 1))
    return (*(largest * fall**i for i in range(n - 1)), smallest)


@torch.no_grad()
def annealed_langevin(
    model,
    x: Tensor,
    steps: int = 10,
    y: Tensor | None = None,
    *,
    sigmas: Sequence[float],
    ratio: float = 0.2,
) -> Tensor:
    r"""Langevin steps on the noised densities $p_\sigma = p * \mathcal N(0, \sigma^2 I)$, one level
    after the other:

    $$x' = x + \tfrac{\eta_l}2 \nabla \log p_{\sigma_l}(x) + \sqrt{\eta_l} \, \xi, \qquad
      \eta_l = r \sigma_l^2 .$$

    On wide noise there are no barriers, and the chains find how much mass lies where; each level
    starts where the one before it stopped. At the end they are draws of p at the last level's
    noise, roughly: `model.denoise(x, sigmas[-1])` takes that noise off.

    Shapes: x (B, *event) -> (B, *event).

    Args:
        model: has `score(x, sigma)`: `dgm.models.ScoreNetwork`, `dgm.toys.Noised`.
        x: where the chains stand; draws of the first level's noise will do if it is wide.
        steps: how many, at each level.
        y: labels (B,), for a model with classes.
        sigmas: the levels, in the order in which they are visited (`noise_levels`).
        ratio: r, the length of a step in units of the noise's variance.

    Raises:
        ValueError: a level or the ratio is not positive, there are no levels, or a chain has run
            off (looked at on a CPU only).

    Source: Song and Ermon (2019), arXiv:1907.05600, Generative Modeling by Estimating Gradients of
    the Data Distribution, algorithm 1.

    >>> from dgm import toys
    >>> ring, sigmas = toys.Noised(toys.ring(device="cpu")), noise_levels(1.0, 0.03, 8)
    >>> x = annealed_langevin(ring, torch.randn(500, 2), sigmas=sigmas)
    >>> bool((ring.denoise(x, sigmas[-1]).norm(dim=1) - 1).abs().mean() < 0.1)
    True
    """
    check_examples(model, x, y)
    if readable(x):
        check_finite("x", x)
    steps, ratio = integer("steps", steps), positive("ratio", ratio)
    levels = [positive("sigmas", sigma) for sigma in sigmas]
    if not levels:
        raise ValueError("sigmas: got none, expected at least one noise level")
    for sigma in levels:
        step = ratio * sigma**2
        for _ in range(steps):
            slope = model.score(x, sigma, **given(model, y))  # (B, *event)
            x = x + step / 2 * slope + math.sqrt(step) * torch.randn_like(x)
    if readable(x) and not x.isfinite().all():
        raise ValueError(
            f"ratio: got {ratio:g}, expected a smaller one: a chain ran off to values that are not "
            "finite"
        )
    return x
