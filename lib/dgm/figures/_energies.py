r"""Energies and scores in the plane, of mixtures of round Gaussians, behind noise or not.

With weights pi_k, means m_k and variances v_k the density behind noise of standard deviation sigma
is p(x) = sum_k pi_k N(x; m_k, (v_k + sigma^2) I), E = -log p is its energy and s = -grad E its
score. Walkers take the steps

    x' = x + eta / 2 s(x) + noise sqrt(eta) xi,        xi from N(0, I),

which sample p^(1 / T) at T = noise^2 for small eta, and for every eta if steps may be refused.
Expectations are sums over the midpoints of a grid. figures.js computes all of this again.
"""

import math

import torch
from torch import Tensor
from torch.distributions import MixtureSameFamily

from ..checks import integer, positive
from ..energies import grid_points
from ..toys import ring
from ._exact import mixture_spec
from ._formats import to_pixels

PER_DEVIATION, MOST_CELLS = 3, 256  # cells to a standard deviation; along a side
CELLS, ARROWS = 100, 15  # of the field, along a side
BLUE, WARM = "#0b5c9e", "#a8480a"


def walkers(
    density: MixtureSameFamily | None = None,
    *,
    n: int = 200,
    step: float | None = None,
    noise: float = 1.0,
    adjusted: bool = False,
    box: float = 2.0,
    caption: str = "",
):
    r"""Let particles walk on an exact energy; choose their steps, their noise, and whether all
    steps are taken (`langevin`) or some are refused (`mala`).

    The page shows the density, the walkers, their mean energy beside the exact one at their
    temperature, and how many steps are accepted. Everything happens in the reader's browser.

    Args:
        density: a mixture of round Gaussians, of `dgm.toys`; None takes `toys.ring(sigma=0.15)`.
        n: walkers; they start at draws of a standard normal.
        step: $\eta$ at the start; None takes the smallest variance of a Gaussian. The slider goes
            from a fiftieth of that variance to five times, beyond 4, where Langevin runs off.
        noise: factor of the noise at the start, from 0 (descent) to 2.
        adjusted: whether steps are accepted or refused at the start.
        box: the picture shows [-box, box]^2, and sums are over it.
        caption: text below the figure.

    Returns:
        A widget; its `step`, `noise` and `adjusted` can be read, set and observed, and `numbers`
        read: a dictionary with the exact mean `energy` at this noise.

    Raises:
        ValueError: the density is no mixture of round Gaussians, n is no positive integer, box or
            step is not positive, or noise is not from 0 to 2.

    >>> fig = walkers()
    >>> round(fig.numbers["energy"], 2), fig.step
    (1.09, 0.0225)
    """
    from ._widgets import Walkers

    spec = mixture_spec(ring(sigma=0.15, device="cpu") if density is None else density, (2,))
    box, least = positive("box", box), min(spec["variances"])
    if not 0 <= noise <= 2:
        raise ValueError(f"noise: got {noise}, expected a factor from 0 to 2")
    step = least if step is None else positive("step", step)
    start = torch.randn(integer("n", n), 2, generator=torch.Generator().manual_seed(0))
    cells = min(MOST_CELLS, math.ceil(2 * box * PER_DEVIATION / math.sqrt(least)))
    spec |= {
        "box": box,
        "cells": cells,
        "steps": [least / 50, 5 * least],
        "start": [[round(v, 3) for v in point] for point in start.tolist()],
        "details": [f"The exact mean energy is a sum over {cells} × {cells} squares."],
    }
    state = {"step": float(step), "noise": float(noise), "adjusted": bool(adjusted)}
    functions = {"measure": mean_energy, "draw_still": _walkers_still}
    return Walkers.within(50_000, spec, **functions, **state, caption=caption)


def score_field(
    density: MixtureSameFamily | None = None,
    *,
    sigma: float = 0.3,
    sigmas: tuple[float, float] = (0.03, 1.0),
    box: float = 2.0,
    caption: str = "",
):
    r"""Move a slider over noise levels; see the noised density and the arrows of its score.

    An arrow is as long as $\lVert \sigma s \rVert / (1 + \lVert \sigma s \rVert)$ of the way to its
    neighbour. Below stands $\mathbb E \lVert \sigma s_\sigma \rVert^2$, the part of the noise's 2
    that can be told from the noised point, and what is left of it: the least loss that denoising
    score matching can reach.

    Args:
        density: a mixture of round Gaussians, of `dgm.toys`; None takes `toys.ring()`.
        sigma: the noise level at the start.
        sigmas: the smallest and the largest.
        box: the picture shows [-box, box]^2.
        caption: text below the figure.

    Returns:
        A widget; its `sigma` can be read, set and observed, and `numbers` read: a dictionary with
        `told` and `left`, which add up to 2.

    Raises:
        ValueError: the density is no mixture of round Gaussians, box or a level is not positive, or
            sigma does not lie between the two levels.

    >>> fig = score_field(sigma=0.3)
    >>> {name: round(value, 2) for name, value in fig.numbers.items()}
    {'told': 0.96, 'left': 1.04}
    """
    from ._widgets import ScoreField

    spec = mixture_spec(ring(device="cpu") if density is None else density, (2,))
    low, high = (positive("sigmas", level) for level in sigmas)
    if not low <= sigma <= high:
        raise ValueError(f"sigma: got {sigma}, expected a level from {low:g} to {high:g}")
    spec |= {
        "box": positive("box", box),
        "cells": CELLS,
        "arrows": ARROWS,
        "sigmas": [low, high],
        "details": [
            "An arrow shows the direction of the score, and is the longer the larger σ times the "
            f"score. Expectations are sums over {CELLS} × {CELLS} squares."
        ],
    }
    functions = {"measure": told, "draw_still": _field_still}
    return ScoreField.within(50_000, spec, **functions, sigma=float(sigma), caption=caption)


def energy_and_score(spec: dict, x: Tensor, sigma: float = 0.0) -> tuple[Tensor, Tensor]:
    """E and s of this module's docstring: (B, 2) -> (B,), (B, 2)."""
    means, variances, log_weights = (
        torch.tensor(spec[name], dtype=x.dtype) for name in ("means", "variances", "logWeights")
    )
    variances = variances + sigma**2  # (K,)
    pull = means - x[:, None]  # (B, K, 2)
    logs = log_weights - (2 * math.pi * variances).log() - pull.square().sum(-1) / (2 * variances)
    score = (logs.softmax(-1)[..., None] * pull / variances[:, None]).sum(1)
    return -logs.logsumexp(-1), score


def mean_energy(spec: dict, noise: float) -> dict[str, float]:
    """The mean of E under p^(1 / noise^2), without noise its least value."""
    energy, _ = energy_and_score(spec, _midpoints(spec["box"], spec["cells"]))
    if noise == 0:
        return {"energy": energy.min().item()}
    weights = (-energy / noise**2).softmax(0)
    return {"energy": (weights * energy).sum().item()}


def told(spec: dict, sigma: float) -> dict[str, float]:
    """E |sigma s|^2 under the noised density, and what is left of 2, the noise's own."""
    reach = max(abs(v) for mean in spec["means"] for v in mean)
    box = reach + 5 * math.sqrt(max(spec["variances"]) + sigma**2)
    energy, score = energy_and_score(spec, _midpoints(box, spec["cells"]), sigma)
    square = (2 * box / spec["cells"]) ** 2
    found = square * ((-energy).exp() * (sigma * score).square().sum(1)).sum().item()
    return {"told": found, "left": 2 - found}


def _midpoints(box: float, cells: int) -> Tensor:
    return grid_points(box, cells, like=torch.zeros((), dtype=torch.float64))


# ---------------------------------------------------------------- still pictures


def _ground(spec: dict, sigma: float):
    """Axes with the density."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap

    box = spec["box"]
    energy, _ = energy_and_score(spec, _midpoints(box, 100), sigma)
    _, ax = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    shade = LinearSegmentedColormap.from_list("shade", ["#ffffff", BLUE])
    sides = (-box, box, -box, box)
    ax.imshow((-energy / 2).exp().reshape(100, 100), cmap=shade, origin="lower", extent=sides)
    ax.set(xlabel="x₁", ylabel="x₂")
    return ax


def _walkers_still(spec: dict):
    ax = _ground(spec, 0.0)
    ax.plot(*zip(*spec["start"], strict=True), ".", color=WARM, markersize=4)
    ax.set(xlim=(-spec["box"], spec["box"]), ylim=(-spec["box"], spec["box"]))
    return to_pixels(ax.figure, dpi=110)


def _field_still(spec: dict, sigma: float):
    ax = _ground(spec, sigma)
    x = _midpoints(spec["box"], ARROWS)
    arrow = sigma * energy_and_score(spec, x, sigma)[1]
    arrow = arrow / (1 + arrow.norm(dim=1, keepdim=True)) * (2 * spec["box"] / ARROWS)
    ax.quiver(*x.T, *arrow.T, angles="xy", scale_units="xy", scale=1, width=0.004)
    return to_pixels(ax.figure, dpi=110)
