"""Balls to the k-th neighbour, and what one point far out does to the numbers that count them.

The page computes precision, recall, density and coverage of `dgm.evaluate.prdc` each time the
reader moves the outlier, which is one of the real points.
"""

import math
from functools import partial

import torch
from torch import Tensor

from ..checks import check_finite, integer
from ..evaluate import prdc
from . import _sampling
from ._energies import BLUE, WARM
from ._formats import to_pixels

DRAWN = 100  # points of either kind, if none are given
APART, SIGMA = 3.0, 0.5  # the two Gaussians they are from
FEWEST, MOST, MOST_K = 4, 300, 20
NEAR = 10  # real points whose balls are drawn beside the outlier's
AROUND = ("outlier", "real", "generated", "none")


def balls(
    real: Tensor | None = None,
    fake: Tensor | None = None,
    *,
    k: int = 5,
    outlier: tuple[float, float] = (0.0, 0.0),
    around: str = "outlier",
    caption: str = "",
):
    """Drag one real point away from the others; watch precision, recall, density and coverage.

    Every point has a ball that reaches to its k-th neighbour of the same kind. Filled marks count:
    samples that lie in some ball of the data, data whose own ball holds some sample.

    Args:
        real: (N, 2), 4 to 300 points; None takes 100 from a Gaussian.
        fake: (M, 2), 4 to 300 samples; None takes 100 from another one, which is six standard
            deviations away.
        k: which neighbour, at the start.
        outlier: one more real point, where it is at the start. It cannot leave the picture.
        around: whose balls are drawn at the start: "outlier" (also those of the 10 real points next
            to it), "real", "generated" or "none".
        caption: text below the figure.

    Returns:
        A widget; its `k`, `outlier` and `around` can be read, set and observed, and `numbers` read:
        a dictionary with precision, recall, density and coverage of the points in the page, the
        outlier among them, and the coverage `expected` of a perfect model.

    Raises:
        ValueError: points are not (N, 2) and finite, fewer than 4 or more than 300; k is not from 1
            to 20 and less than half the number of points; the outlier is no point, or around is
            none of these.

    >>> fig = balls()
    >>> fig.outlier = [5.0, 0.0]
    >>> fig.numbers["precision"], fig.numbers["coverage"] < 0.05
    (1.0, True)
    """
    from ._widgets import Balls

    draw = _sampling.Normals(0)
    given = {
        "real": SIGMA * draw(DRAWN, 2) if real is None else real,
        "fake": SIGMA * draw(DRAWN, 2) + torch.tensor([APART, 0.0]) if fake is None else fake,
    }
    for name, x in given.items():
        _check(name, x)
    most = min(MOST_K, (min(len(given["real"]) + 1, len(given["fake"])) - 1) // 2)
    if integer("k", k) > most:
        raise ValueError(f"k: got {k}, expected 1 to {most}, less than half the number of points")
    if len(outlier) != 2 or not all(map(math.isfinite, outlier)):
        raise ValueError(f"outlier: got {outlier}, expected two finite numbers")
    if around not in AROUND:
        raise ValueError(f"around: got {around!r}, expected one of {', '.join(AROUND)}")
    points = torch.cat([x.detach().cpu().double() for x in given.values()])
    low, side = _square(points)
    digits = 4 - math.floor(math.log10(side))
    lists = {name: _rounded(x, digits) for name, x in given.items()}
    spec = lists | {
        "low": low,
        "side": side,
        "most": most,
        "near": NEAR,
        "details": [
            f"{len(lists['real']):,} real points and the outlier, {len(lists['fake']):,} samples. "
            "All distances are measured anew when a point moves."
        ],
    }
    functions = {"measure": partial(numbers, spec), "draw_still": partial(_still, spec)}
    values = {"k": int(k), "outlier": [float(v) for v in outlier], "around": around}
    return Balls.within(40_000, spec, **functions, **values, caption=caption)


def _check(name: str, x: Tensor) -> None:
    if x.dim() != 2 or x.shape[1] != 2 or not FEWEST <= len(x) <= MOST:
        raise ValueError(
            f"{name}: got shape {tuple(x.shape)}, expected (N, 2) with N from {FEWEST} to {MOST}"
        )
    check_finite(name, x)


def _square(points: Tensor) -> tuple[list[float], float]:
    """The lower corner and the side of a square with room for an outlier around the points."""
    low, high = points.amin(0), points.amax(0)
    side = float(f"{1.8 * float((high - low).max()) or 1.0:.3g}")
    corner = (low + high) / 2 - side / 2
    return _rounded(corner[None], 4 - math.floor(math.log10(side)))[0], side


def _rounded(x: Tensor, digits: int) -> list[list[float]]:
    return [[round(v, digits) for v in point] for point in x.detach().cpu().double().tolist()]


def points(spec: dict, outlier: list[float]) -> tuple[Tensor, Tensor]:
    """Real points, the outlier last, and samples, as the page has them."""
    real, fake = [*spec["real"], outlier], spec["fake"]
    return torch.tensor(real, dtype=torch.float64), torch.tensor(fake, dtype=torch.float64)


def numbers(spec: dict, k: int, outlier: list[float]) -> dict[str, float]:
    real, fake = points(spec, outlier)
    with torch.random.fork_rng(devices=[]):  # its errors, not needed here, draw numbers
        found = prdc(real, fake, k, splits=1)
    names = ("precision", "recall", "density", "coverage")
    values = {name: getattr(found, name)[0] for name in names}
    return values | {"expected": found.expected_coverage}


def radii(x: Tensor, k: int) -> Tensor:
    """The distance of each point to its k-th neighbour: (N,)."""
    return torch.cdist(x, x).sort(1).values[:, k]  # a point is its own neighbour number 0


def _still(spec: dict, k: int, outlier: list[float], around: str):
    """The picture for print."""
    import matplotlib.pyplot as plt

    real, fake = points(spec, outlier)
    shown = {"outlier": real, "real": real, "generated": fake, "none": real[:0]}[around]
    reach = radii(shown, k) if len(shown) else []
    if around == "outlier":
        near = (real - real[-1]).norm(dim=1).argsort()[: NEAR + 1]
        shown, reach = shown[near], reach[near]
    colour = WARM if around == "generated" else BLUE
    figure, ax = plt.subplots(figsize=(5.4, 5.2), layout="constrained")
    for centre, radius in zip(shown, reach, strict=True):
        ax.add_patch(plt.Circle(centre.tolist(), float(radius), color=colour, alpha=0.08))
        ax.add_patch(plt.Circle(centre.tolist(), float(radius), color=colour, fill=False))
    ax.plot(*real[:-1].T, "o", ms=4, color=BLUE, label="data")
    ax.plot(*fake.T, "^", ms=4, color=WARM, label="samples")
    ax.plot(*real[-1:].T, "D", ms=8, color="black", label="the outlier")
    (a, b), side = spec["low"], spec["side"]
    ax.set(xlim=(a, a + side), ylim=(b, b + side), aspect="equal", xlabel="x₁", ylabel="x₂")
    found = numbers(spec, k, outlier)
    title = ", ".join(f"{name} {v:.2f}" for name, v in found.items() if name != "expected")
    ax.set_title(f"k = {k}: {title}", fontsize="medium")
    ax.legend(frameon=False, loc="upper left")
    return to_pixels(figure, dpi=110)
