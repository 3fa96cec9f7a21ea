r"""Two classes on the line: what guidance draws, and what it is said to draw.

The ODE with the guided score maps the line to itself and keeps its order. So quantiles of the
noise, pushed forward, are those of its samples, and their distribution is known without a draw.
"""

from functools import partial

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ..checks import check_labels, positive
from ..denoisers import guided
from ..paths import cosine, grid
from ..samplers import heun
from . import _exact, _sampling
from ._energies import BLUE, WARM
from ._formats import to_pixels

POINTS, FAR, STEPS, CELLS = 400, 5.0, 100, 400  # FAR in standard deviations of the noise


def guidance(
    density: MixtureSameFamily | None = None,
    labels: Tensor | None = None,
    *,
    y: int = 1,
    w: float = 1.0,
    most: float = 5.0,
    caption: str = "",
):
    r"""Move a slider over guidance w; see what the ODE draws beside $p(x \mid y) \, p(y \mid x)^w$.

    The total variation between the two stands below. w is that of `dgm.denoisers.guided`: at 0 both
    are $p(x \mid y)$.

    Args:
        density: a mixture of Gaussians on the line; None takes two of standard deviation 0.6, at -1
            and 1.
        labels: (K,), the class of each component; None for one each.
        y: the class that is asked for.
        w: at the start.
        most: the largest w.
        caption: text below the figure.

    Returns:
        A widget; its `w` can be read, set and observed, and `numbers` read: a dictionary with the
        total variation `tv`, and the means `mean_ode` and `mean_tilted`.

    Raises:
        ValueError: the density is no mixture of Gaussians on the line, labels are not one for each
            component, y is no class, or w is not from 0 to most.

    >>> fig = guidance(w=0.0)
    >>> round(fig.numbers["tv"], 2), round(fig.numbers["mean_ode"], 2)
    (0.0, 1.0)
    """
    from ._widgets import Guidance

    if density is None:
        parts = Independent(Normal(torch.tensor([[-1.0], [1.0]]), 0.6), 1)
        density = MixtureSameFamily(Categorical(torch.ones(2)), parts)
    spec = _exact.mixture_spec(density, (1,))
    k = len(spec["means"])
    labels = torch.arange(k) if labels is None else labels.cpu()
    if labels.shape != (k,):
        raise ValueError(f"labels: got shape {tuple(labels.shape)}, expected ({k},)")
    check_labels(labels, int(labels.max()) + 1)
    if y not in labels.tolist():
        raise ValueError(f"y: got {y}, expected one of the classes {sorted(set(labels.tolist()))}")
    if not 0 <= w <= positive("most", most):
        raise ValueError(f"w: got {w}, expected a number from 0 to {most:g}")
    z = torch.linspace(-FAR, FAR, POINTS, dtype=torch.float64)
    noise = _sampling.size(cosine(), grid(cosine(), STEPS)[0]) * z
    spec |= {
        "labels": labels.tolist(),
        "y": int(y),
        "most": float(most),
        "path": _sampling.path_spec(cosine()),
        "steps": STEPS,
        "noise": [round(v, 6) for v in noise.tolist()],
        "below": [float(f"{v:.8g}") for v in Normal(0.0, 1.0).cdf(z).tolist()],
        "cells": CELLS,
    }
    spec |= {
        "span": _span(spec, noise),
        "details": [
            f"{POINTS} points of the noise, {STEPS} steps of Heun's method on the cosine path. The "
            f"total variation is half the sum of differences over {CELLS} cells."
        ],
    }
    functions = {"measure": partial(numbers, spec), "draw_still": partial(_still, spec)}
    return Guidance.within(30_000, spec, **functions, w=float(w), caption=caption)


def _span(spec: dict, noise: Tensor) -> list[float]:
    """The ends of the picture: all of the density, and of what the largest w draws."""
    sd = max(spec["variances"]) ** 0.5
    low, high = min(spec["means"])[0] - 4 * sd, max(spec["means"])[0] + 4 * sd
    drawn = push(spec, spec["most"])[noise.abs() < 4]
    return [round(min(low, drawn[0].item()), 2), round(max(high, drawn[-1].item()), 2)]


def push(spec: dict, w: float) -> Tensor:
    """Where points of the noise go: (points,), rising."""
    model = _exact.denoiser(spec, cosine())
    x = torch.tensor(spec["noise"], dtype=torch.float64)[:, None]
    y = torch.full((len(x),), spec["y"])
    return heun(guided(model, w), x, grid(cosine(), STEPS), y)[:, 0]


def masses(spec: dict, w: float) -> tuple[Tensor, Tensor, Tensor]:
    """Cells' midpoints, and what the ODE and the tilted density have in each: (cells,) each."""
    low, high = spec["span"]
    edges = torch.linspace(low, high, spec["cells"] + 1, dtype=torch.float64)
    x = (edges[1:] + edges[:-1]) / 2
    below = torch.tensor(spec["below"], dtype=torch.float64)
    return x, shares(push(spec, w), below, edges), tilted(spec, w, x)


def shares(points: Tensor, below: Tensor, edges: Tensor) -> Tensor:
    """The mass between neighbouring edges, where so much lies below each of the points, and evenly
    between two of them.
    """
    right = torch.searchsorted(points, edges).clamp(1, len(points) - 1)
    share = ((edges - points[right - 1]) / (points[right] - points[right - 1])).clamp(0, 1)
    return (below[right - 1] + share * (below[right] - below[right - 1])).diff()


def tilted(spec: dict, w: float, x: Tensor) -> Tensor:
    r"""$p(x \mid y) \, p(y \mid x)^w$ at midpoints of cells, with the sum 1."""
    model = _exact.denoiser(spec, cosine())
    y = torch.full((len(x),), spec["y"])
    of_class = model.log_prob(x[:, None], 0.0, y)
    return (of_class + w * model.classify(x[:, None], 0.0).log_prob(y)).softmax(0)


def numbers(spec: dict, w: float) -> dict[str, float]:
    x, ode, tilt = masses(spec, w)
    return {
        "tv": 0.5 * (ode - tilt).abs().sum().item(),
        "mean_ode": (x * ode).sum().item(),
        "mean_tilted": (x * tilt).sum().item(),
    }


def _still(spec: dict, w: float):
    """The picture for print."""
    import matplotlib.pyplot as plt

    x, ode, tilt = masses(spec, w)
    cell = (spec["span"][1] - spec["span"][0]) / spec["cells"]
    figure, ax = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    ax.plot(x, tilted(spec, 0.0, x) / cell, ":", color="#4d5b6b", label="p(x | y)")
    ax.plot(x, tilt / cell, "--", color=WARM, label="p(x | y) p(y | x)^w, normalised")
    ax.plot(x, ode / cell, color=BLUE, label="what the ODE draws")
    ax.set(xlabel="x", ylabel="density", title=f"w = {w:g}")
    ax.legend(frameon=False)
    return to_pixels(figure, dpi=110)
