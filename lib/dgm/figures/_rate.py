"""A slider over models of symbols, from short codes to long: where their nats go."""

import math
from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor

from .. import plots
from ..checks import image_shape
from ..plots import COLORS
from ._formats import sixteen_levels, to_pixels

MOST_IMAGES = 12


def rate(
    points: Mapping[object, Sequence[float]],
    *,
    originals: Tensor | None = None,
    reconstructions: Mapping[object, Tensor] | None = None,
    at: str | None = None,
    caption: str = "",
    limit: int = 300_000,
):
    r"""Three numbers of each model against its rate, and what lies between them.

    For a code k(x), $\log p(x)$ is more than minus distortion + rate, by $-\log p(k(x) \mid x)$.
    That wedge has two parts: what a better code would have said, and what the others say that draw
    nearly the same image.

    Args:
        points: for each model, by its name, (distortion, rate, best, exact) in nats: minus the mean
            of $\log p(x \mid k(x))$, of $\log p(k(x))$, of $\max_k \log p(x, k)$ and of $\log
            p(x)$. A fifth value that is true says that the last two are upper bounds.
        originals: (n, C, H, W), up to twelve images.
        reconstructions: what each model makes of them, by the same names.
        at: name of the model at the start, by default that with the least distortion + rate.
        caption: text below the figure.
        limit: the most bytes that the figure's data may take in a page.

    Returns:
        A widget; its `at` can be read, set and observed, and `numbers` read: a dictionary with the
        `distortion`, the `rate`, their `total`, `best` and `exact` of this model, and in the wedge
        `not_best`, total - best, and `others`, best - exact.

    Raises:
        ValueError: less than two points, one that has other numbers or whose total, best and exact
            do not fall, images that do not go with them, or the data exceed `limit`.

    >>> fig = rate({(1, 16): (21.2, 2.7, 23.7, 23.5), (4, 16): (15.2, 10.7, 24.8, 22.8)})
    >>> fig.at, {name: round(value, 1) for name, value in fig.numbers.items()}["others"]
    ('(1, 16)', 0.2)
    """
    from ._widgets import Rate

    found = sorted((_point(name, p) for name, p in points.items()), key=lambda p: p["rate"])
    names = [p["name"] for p in found]
    if len(found) < 2 or len(set(names)) < len(names):
        raise ValueError(f"points: got {names}, expected two or more with different names")
    if at is None:
        at = min(found, key=lambda p: p["total"])["name"]
    at = str(at)
    if at not in names:
        raise ValueError(f"at: got {at!r}, expected one of {names}")
    images = _images(names, originals, reconstructions)  # (models + 1, n, C, H, W), or None
    spec = {"points": found, "details": [WEDGE]}
    if images is not None:
        spec |= {
            "images": sixteen_levels(images.flatten(0, 1).flatten(1)),
            "shape": list(images.shape[2:]),
            "columns": images.shape[1],
        }
    draw = partial(_still, found, images)
    return Rate.within(limit, spec, draw_still=draw, at=at, caption=caption)


WEDGE = (
    "All numbers are means over images, of minus the logarithm of a probability, in nats. Points "
    "drawn hollow are upper bounds, found by a search."
)


def _point(name, numbers: Sequence[float]) -> dict:
    wrong = ValueError(
        f"points: got {numbers} for {name}, expected (distortion, rate, best, exact), with "
        "distortion + rate >= best >= exact"
    )
    if len(numbers) not in (4, 5):
        raise wrong
    distortion, nats, best, exact = (float(v) for v in numbers[:4])
    total = distortion + nats
    bound = len(numbers) == 5 and bool(numbers[4])
    most = math.inf if bound else total + 1e-3  # a search may have had other images
    if not most >= best >= exact - 1e-3 or not nats >= 0 or not math.isfinite(total):
        raise wrong  # nan is none of it
    values = {"distortion": distortion, "rate": nats, "total": total, "best": best, "exact": exact}
    return {"name": str(name), **values, "bound": bound}


def _images(names: list[str], originals, reconstructions) -> Tensor | None:
    """Originals, and what each model makes of them, in the order of the points."""
    if originals is None and reconstructions is None:
        return None
    if originals is None or reconstructions is None:
        raise ValueError("reconstructions: got them or originals alone, expected both or neither")
    by_name = {str(name): x for name, x in reconstructions.items()}
    if not set(names) <= set(by_name):
        raise ValueError(f"reconstructions: got those of {list(by_name)}, expected {names}")
    rows = [originals, *(by_name[name] for name in names)]
    shape = image_shape(originals.shape[1:])
    if shape[0] not in (1, 3) or not 1 <= len(originals) <= MOST_IMAGES:
        raise ValueError(
            f"originals: got shape {tuple(originals.shape)}, expected 1 to {MOST_IMAGES} images of "
            "1 channel or 3"
        )
    if any(x.shape != originals.shape for x in rows):
        got = [tuple(x.shape) for x in rows[1:]]
        raise ValueError(f"reconstructions: got {got}, expected {tuple(originals.shape)} for each")
    return torch.stack([x.detach().cpu().float().clamp(0, 1) for x in rows])


LINES = {
    "distortion + rate": ("total", "o-"),
    "best code": ("best", "s--"),
    "all codes": ("exact", "d:"),
}


def _still(points: list[dict], images: Tensor | None, at: str):
    """The picture for print: the lines, a mark at the model, its images."""
    import matplotlib.pyplot as plt

    k = [p["name"] for p in points].index(at)
    heights = (3, 1) if images is not None else (1,)
    figure, axes = plt.subplots(
        len(heights), 1, figsize=(6.4, 1.1 * sum(heights) + 0.4), layout="constrained",
        height_ratios=heights, squeeze=False,
    )  # fmt: skip
    ax, x = axes[0, 0], [p["rate"] for p in points]
    ax.fill_between(x, [p["exact"] for p in points], [p["total"] for p in points], color="0.92")
    for color, (name, (key, style)) in zip(COLORS, LINES.items(), strict=False):
        ax.plot(x, [p[key] for p in points], style, color=color, label=name)
        for p in points:
            if p["bound"] and key != "total":
                ax.plot(p["rate"], p[key], style[0], color=color, mfc="white")
    ax.axvline(x[k], color="0.4", lw=1)
    ax.set(xlabel="rate, nats", ylabel="nats per image", title=at)
    ax.legend(frameon=False)
    if images is not None:
        plots.rows({"images": images[0], at: images[1 + k]}, ax=axes[1, 0])
    return to_pixels(figure, dpi=110)
