"""A flow on the line: an increasing curve through knots that the reader drags.

The curve x = f(z) is a rational-quadratic spline through the knots, with the mean of the two
neighbouring secants for the slope at an inner knot and the secant at an outer one, beyond which it
goes on straight. With z on a grid, x_i = f(z_i), the density is p(x_i) = N(z_i; 0, 1) / f'(z_i),
and integrals over x are sums over trapezoids,

    mass           = int p(x) dx
    KL(target, p)  = int t(x) [log t(x) - log p(x)] dx,

t a mixture of two Gaussians. figures.js computes the same sums.
"""

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Normal

from ..models.flows import rational_quadratic
from ._formats import to_pixels

REACH, CELLS = 8.0, 1600  # the grid over z: it ends where N(0, 1) has nothing left
AXIS = 3.2  # both axes are drawn from -AXIS to AXIS
LEAST = 0.02  # distance of neighbouring knots, in z and in x
START = ((-2.0, -2.0), (-0.8, -0.8), (0.0, 0.0), (0.8, 0.8), (2.0, 2.0))
BANDS = 8  # of equal mass, shaded in turn on both axes


def flow_1d(
    knots: Sequence[Sequence[float]] = START,
    *,
    modes: float = 1.5,
    sigma: float = 0.35,
    caption: str = "",
):
    """Drag the knots of an increasing curve x = f(z); watch what becomes of N(0, 1).

    The page draws the density of x beside the curve, the base below it, bands of equal mass on
    both, and a target with two modes; it says the total mass, the steepest slope, and how far the
    target is, in nats. Nothing is fitted and nothing is sampled.

    Args:
        knots: at the start, (z, x) each, both increasing.
        modes: the target is half N(-modes, sigma^2), half N(modes, sigma^2).
        sigma: see there.
        caption: text below the figure.

    Returns:
        A widget; its `knots` can be read, set and observed, and `numbers` read: a dictionary with
        mass, kl and steepest.

    Raises:
        ValueError: fewer than two knots, or knots that do not increase in both coordinates.

    >>> fig = flow_1d()
    >>> {name: round(value, 3) for name, value in fig.numbers.items()}
    {'mass': 1.0, 'kl': 1.043, 'steepest': 1.0}
    """
    from ._widgets import Flow1d

    knots = [[float(z), float(x)] for z, x in knots]
    check_knots(knots)
    spec = {
        "reach": REACH,
        "cells": CELLS,
        "axis": AXIS,
        "least": LEAST,
        "modes": float(modes),
        "sigma": float(sigma),
        "edges": Normal(0.0, 1.0).icdf(torch.arange(1, BANDS) / BANDS).tolist(),
        "details": [
            f"Integrals are sums over {CELLS} values of z. Between knots the curve is a "
            "rational-quadratic spline, beyond them a straight line."
        ],
    }
    measure = partial(numbers, modes=modes, sigma=sigma)
    draw = partial(_still, modes=modes, sigma=sigma)
    functions = {"check": check_knots, "measure": measure, "draw_still": draw}
    return Flow1d.within(10_000, spec, **functions, knots=knots, caption=caption)


def check_knots(knots: Sequence[Sequence[float]]) -> None:
    rising = all(list(v) == sorted(set(v)) for v in zip(*knots, strict=True))
    if len(knots) < 2 or not rising:
        raise ValueError(f"knots: got {knots}, expected two at least, increasing in z and in x")


def curve(knots: Sequence[Sequence[float]], z: Tensor) -> tuple[Tensor, Tensor]:
    """f(z) and log f'(z), as in this module's docstring: (n,) each.

    >>> x, log_slope = curve([(-1, -2), (0, 0), (1, 2)], torch.tensor([-3.0, 0.5]))
    >>> x, log_slope.exp()
    (tensor([-6.,  1.]), tensor([2., 2.]))
    """
    at, to = torch.tensor(knots, dtype=z.dtype).T.contiguous()
    secants = to.diff() / at.diff()
    slopes = torch.cat([secants[:1], (secants[1:] + secants[:-1]) / 2, secants[-1:]])
    which = torch.bucketize(z, at[1:-1], right=True)  # the bin of z
    inner = z.clamp(at[0], at[-1])
    ends = [v[which + k] for k in (0, 1) for v in (at, to, slopes)]
    x0, z0, d0, x1, z1, d1 = ends
    x, log_slope = rational_quadratic(inner, x0, x1, z0, z1, d0, d1)
    return x + (z - inner) * log_slope.exp(), log_slope


def numbers(
    knots: Sequence[Sequence[float]], modes: float = 1.5, sigma: float = 0.35
) -> dict[str, float]:
    """The sums of this module's docstring, and the steepest slope on the grid."""
    z = torch.linspace(-REACH, REACH, CELLS + 1, dtype=torch.float64)
    x, log_slope = curve(knots, z)
    log_p = Normal(0.0, 1.0).log_prob(z) - log_slope
    log_t = log_target(x, modes, sigma)
    t = log_t.exp()
    return {
        "mass": torch.trapezoid(log_p.exp(), x).item(),
        "kl": torch.trapezoid(t * (log_t - log_p), x).item(),
        "steepest": log_slope.max().exp().item(),
    }


def log_target(x: Tensor, modes: float, sigma: float) -> Tensor:
    both = [Normal(m, sigma).log_prob(x) for m in (-modes, modes)]
    return torch.logaddexp(*both) - math.log(2)


def _still(knots: Sequence[Sequence[float]], modes: float, sigma: float):
    """The picture for print, a Pillow image."""
    import matplotlib.pyplot as plt

    z = torch.linspace(-AXIS, AXIS, 801, dtype=torch.float64)
    x, log_slope = curve(knots, z)
    base = Normal(0.0, 1.0).log_prob(z).exp()
    figure, ((plane, side), (below, corner)) = plt.subplots(
        2, 2, figsize=(6.4, 5.4), width_ratios=(3, 1), height_ratios=(3, 1), layout="constrained"
    )
    corner.axis("off")
    plane.plot(z, x, color="#0b5c9e")
    plane.plot(*zip(*knots, strict=True), "o", color="#a8480a")
    plane.set(xlim=(-AXIS, AXIS), ylim=(-AXIS, AXIS), ylabel="x = f(z)")
    side.plot((Normal(0.0, 1.0).log_prob(z) - log_slope).exp(), x, color="#0b5c9e")
    side.plot(log_target(z, modes, sigma).exp(), z, "--", color="#a8480a")
    side.set(ylim=(-AXIS, AXIS), xlabel="density of x")
    below.plot(z, base, color="#0b5c9e")
    below.set(xlim=(-AXIS, AXIS), xlabel="z", ylabel="density of z")
    return to_pixels(figure, dpi=110)
