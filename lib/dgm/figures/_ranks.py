"""Families between two columns of ranks: where the lines cross, two measures disagree.

Two families cross if their order by one measure is the other one's reverse. That is sure if by both
measures their difference is more than two standard errors of it, sqrt(e_1^2 + e_2^2).
"""

import math
from collections.abc import Mapping
from functools import partial

from ._energies import BLUE
from ._formats import to_pixels

ERRORS = 2.0  # standard errors beyond which a difference counts
MOST = 30


def ranks(
    table: Mapping[str, Mapping[str, tuple[float, float]]],
    good: Mapping[str, str],
    *,
    left: str | None = None,
    right: str | None = None,
    caption: str = "",
):
    """Choose two measures, and see how the ranks by one go over into those by the other.

    A line that crosses another one for sure, by more than the errors of both measures, is drawn
    strong; one whose crossings may all be chance is dashed; one without any is thin. At its ends
    are the values with their errors, between the columns Spearman's correlation of the ranks.

    Args:
        table: for each family and measure a value and its standard error. What a family has not
            been measured by may be missing, None or nan: it is left out there.
        good: for each measure whether "small" or "large" values are good, two measures at least, in
            the order in which they are offered.
        left: the measure on the left at the start; None takes the first.
        right: that on the right; None takes the second.
        caption: text below the figure.

    Returns:
        A widget; its `left` and `right` can be read, set and observed, and `numbers` read: a
        dictionary with `spearman` (nan with fewer than three families, or where all are equal), how
        many `families` have both measures, how many pairs of them are `crossings`, and how many of
        these are `sure`.

    Raises:
        ValueError: fewer than two measures or families, a measure that is neither good small nor
            large, a value without an error or with a negative one, or left or right is no measure.

    Source: Spearman (1904), doi:10.2307/1412159, The proof and measurement of association between
    two things.

    >>> table = {"A": {"bits": (1.9, 0.01), "distance": (5.1, 0.5)},
    ...          "B": {"bits": (2.1, 0.01), "distance": (2.9, 0.2)},
    ...          "C": {"bits": (2.4, 0.01), "distance": (5.6, 0.4)}}
    >>> ranks(table, {"bits": "small", "distance": "small"}).numbers
    {'spearman': 0.5, 'families': 3, 'crossings': 1, 'sure': 1}
    """
    from ._widgets import Ranks

    names = list(good)
    if len(names) < 2 or not set(good.values()) <= {"small", "large"}:
        raise ValueError(
            f'good: got {dict(good)}, expected "small" or "large" for two measures at least'
        )
    if not 2 <= len(table) <= MOST:
        raise ValueError(f"table: got {len(table)} families, expected 2 to {MOST}")
    chosen = {"left": left or names[0], "right": right or names[1]}
    for side, name in chosen.items():
        if name not in names:
            raise ValueError(f"{side}: got {name!r}, expected one of {', '.join(names)}")
    measures = [
        {"name": name, "good": good[name], "values": [_value(table, f, name) for f in table]}
        for name in names
    ]
    for measure in measures:
        measure["texts"] = [pair and with_error(*pair) for pair in measure["values"]]
    spec = {
        "families": list(table),
        "measures": measures,
        "errors": ERRORS,
        "details": [
            f"A crossing is sure if the two families differ by more than {ERRORS:g} standard "
            "errors of the difference, by both measures. Of equal values the ranks are averaged."
        ],
    }
    functions = {"measure": partial(numbers, spec), "draw_still": partial(_still, spec)}
    return Ranks.within(40_000, spec, **functions, **chosen, caption=caption)


def _value(table: Mapping, family: str, measure: str) -> list[float] | None:
    pair = table[family].get(measure)
    if pair is None:
        return None
    try:
        value, error = map(float, pair)
    except TypeError as wrong:
        raise ValueError(
            f"table: got {pair!r} for {measure} of {family}, expected a value and its error"
        ) from wrong
    if math.isnan(value):
        return None
    if not math.isfinite(value) or not 0 <= error < math.inf:
        raise ValueError(
            f"table: got {value} ± {error} for {measure} of {family}, expected finite numbers and "
            "an error of at least 0"
        )
    return [value, error]


def with_error(value: float, error: float) -> str:
    """As many digits as the error has: one, or two if the first is 1.

    >>> with_error(1.8923, 0.0091), with_error(13.62, 0.14), with_error(0.5, 0.0)
    ('1.892 ± 0.009', '13.62 ± 0.14', '0.5')
    """
    if error == 0:
        return f"{value:.3g}".replace("-", "−")
    power = math.floor(math.log10(error))
    digits = max(0, -power + (error < 2 * 10.0**power))
    return f"{value:.{digits}f} ± {error:.{digits}f}".replace("-", "−")


def both(spec: dict, left: str, right: str) -> list[tuple[int, list[float], list[float]]]:
    """The families with both measures: which, and (value, error) of each, small ones good."""
    columns = []
    for name in (left, right):
        (measure,) = (m for m in spec["measures"] if m["name"] == name)
        sign = 1 if measure["good"] == "small" else -1
        columns.append([pair and [sign * pair[0], pair[1]] for pair in measure["values"]])
    return [(i, a, b) for i, (a, b) in enumerate(zip(*columns, strict=True)) if a and b]


def crossing(one: tuple, other: tuple) -> str:
    """Of two families as `both` has them: "none", "unsure" or "sure"."""
    off = [a[0] - b[0] for a, b in zip(one[1:], other[1:], strict=True)]
    if off[0] * off[1] >= 0:
        return "none"
    errors = [math.hypot(a[1], b[1]) for a, b in zip(one[1:], other[1:], strict=True)]
    sure = all(abs(d) > ERRORS * e for d, e in zip(off, errors, strict=True))
    return "sure" if sure else "unsure"


def numbers(spec: dict, left: str, right: str) -> dict[str, float | int]:
    from scipy.stats import spearmanr

    shown = both(spec, left, right)
    a, b = ([family[side][0] for family in shown] for side in (1, 2))
    defined = len(shown) > 2 and len(set(a)) > 1 and len(set(b)) > 1
    pairs = [crossing(p, q) for i, p in enumerate(shown) for q in shown[:i]]
    return {
        "spearman": float(spearmanr(a, b).statistic) if defined else math.nan,
        "families": len(shown),
        "crossings": len(pairs) - pairs.count("none"),
        "sure": pairs.count("sure"),
    }


def style(shown: list[tuple], i: int) -> str:
    """How the line of the i-th family is drawn."""
    kinds = {crossing(shown[i], other) for j, other in enumerate(shown) if j != i}
    return "sure" if "sure" in kinds else "unsure" if "unsure" in kinds else "none"


LINES = {
    "sure": {"color": BLUE, "linewidth": 2.5},
    "unsure": {"color": BLUE, "linewidth": 1.2, "linestyle": "--"},
    "none": {"color": "#4d5b6b", "linewidth": 1.0},
}


def _still(spec: dict, left: str, right: str):
    """The picture for print."""
    import matplotlib.pyplot as plt

    shown = both(spec, left, right)
    orders = [sorted(range(len(shown)), key=lambda i: key(shown[i])) for key in KEYS]
    size = (6.4, 1.2 + 0.42 * max(len(shown), 2))
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    measures = {m["name"]: m for m in spec["measures"]}
    for i, (family, *_) in enumerate(shown):
        ends = [order.index(i) + 1 for order in orders]
        ax.plot([0, 1], ends, marker="o", **LINES[style(shown, i)])
        for x, y, name, side in ((0, ends[0], left, "right"), (1, ends[1], right, "left")):
            text = f"{spec['families'][family]}  {measures[name]['texts'][family]}"
            away = -0.05 if side == "right" else 0.05
            ax.text(x + away, y, text, ha=side, va="center", fontsize="small")
    found = numbers(spec, left, right)
    ax.set(xlim=(-0.9, 1.9), ylim=(max(len(shown), 2) + 0.6, 0.4), yticks=[])
    ax.set_xticks([0, 1], [f"{m} ({measures[m]['good']} is good)" for m in (left, right)])
    ax.xaxis.tick_top()
    ax.set_title(f"Spearman's correlation {found['spearman']:.2f}", fontsize="medium")
    ax.spines[:].set_visible(False)
    return to_pixels(figure, dpi=110)


KEYS = (  # of equal values first the one that is better on the other side: no line crosses for it
    lambda family: (family[1][0], family[2][0]),
    lambda family: (family[2][0], family[1][0]),
)
