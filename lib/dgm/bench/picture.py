"""A record as a picture: what an epoch takes, and how cost grows with the work."""

import statistics
from pathlib import Path

from ..plots import COLORS, use_style
from ..reproduce.records import whole
from .costs import CHUNK, CURVES, DRAWS
from .report import epoch_seconds
from .ways import BF16, COMPILED, EPOCH, OURS, PRODUCTS

GROWS = {
    "batch": "images per batch",
    "width": "hidden units per layer",
    "k": "draws $k$ of the importance-weighted bound",
    "side": "pixels per side of an image",
}


def ways(measured: dict, ax) -> None:
    """A bar per way to train for an epoch: median, and the range of the repeats."""
    result = measured["tasks"][EPOCH]
    shown = [way for way, repeats in result["ways"].items() if not isinstance(repeats, str)]
    for i, way in enumerate(shown):
        taken = epoch_seconds(result, way)
        median = statistics.median(taken)
        hatch = "" if way in (OURS, BF16, COMPILED) else "//"
        ax.barh(i, median, color=COLORS[0 if not hatch else 1], hatch=hatch, edgecolor="white")
        ax.plot([min(taken), max(taken)], [i, i], color="black", linewidth=1)
        ax.annotate(f" {median:.3g} s", (max(taken), i), va="center")
    ax.set_yticks(range(len(shown)), shown)
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.set_xlabel("seconds per epoch of 60,000 images")


def growth(measured: dict, curve: str, ax) -> None:
    """Seconds per epoch against one kind of work: ours, and its matrix products alone."""
    from matplotlib.ticker import LogLocator

    by_value = list(zip(*measured["costs"][curve], strict=True))  # per value, its repeats
    ours, products = (
        [statistics.median(pair[i] for pair in pairs) for pairs in by_value] for i in (0, 1)
    )
    ax.loglog(CURVES[curve], ours, "o-", color=COLORS[0], label=OURS)
    ax.loglog(CURVES[curve], products, "s--", color=COLORS[1], label=PRODUCTS)
    ax.set_xticks(CURVES[curve], [f"{value:,}" for value in CURVES[curve]])
    ax.minorticks_off()
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.yaxis.set_major_formatter("{x:g}")
    ax.set_xlabel(GROWS[curve])
    ax.set_ylabel("seconds per epoch")


def memory(measured: dict, ax) -> None:
    """Memory for an estimate of log p(x) against the number of draws."""
    for how, style, color, label in (
        ("by chunk", "o-", COLORS[0], f"{CHUNK} codes decoded at a time"),
        ("at once", "s--", COLORS[1], "all codes at once"),
    ):
        by_k = zip(*measured["evaluation"][how], strict=True)  # per k, its repeats
        used = [max(most for _, most in repeats) for repeats in by_k]
        ax.semilogx(DRAWS, used, style, color=color, label=label)
    ax.set_xticks(DRAWS, [f"{k:,}" for k in DRAWS])
    ax.minorticks_off()
    ax.set_xlabel("draws $k$ of an estimate of $\\log p(x)$")
    ax.set_ylabel(f"memory beyond {CHUNK} draws, MiB")
    ax.legend()


def write_picture(file: Path, record: dict) -> None:
    """All of it for the first device of the record that is no CPU, if there is one, as SVG."""
    from matplotlib.figure import Figure

    use_style()
    measured = list(record["places"].values())[-1]
    figure = Figure(figsize=(9, 9))
    axes = figure.subplots(3, 2)
    ways(measured, axes[0, 0])
    memory(measured, axes[0, 1])
    for curve, ax in zip(CURVES, axes[1:].flat, strict=True):
        growth(measured, curve, ax)
    axes[1, 0].legend()
    with whole(file) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
