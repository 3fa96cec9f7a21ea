"""Sphinx extension: the recorded benchmark as tables and numbers of the page on speed.

    ```{speed} training
    ```

shows one of `TABLES` of book/records/bench/cpu.json, as `make bench` wrote it. The role
{measured}`name` shows one of `numbers`, the role {holds}`name` a tick for one of `conditions`; a
condition that the record denies is a warning, and fails the build. So the page cannot contradict
its record.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Callable
from pathlib import Path

from computed_text import held
from docutils import nodes
from scoreboard import table, warn
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective, SphinxRole

from dgm.bench import denoisers, flows, quantisers
from dgm.bench.costs import EPOCH_OF
from dgm.bench.products import Work
from dgm.bench.report import NAMES, epoch_seconds, gain, launches, measured_ways, points_of, ratios
from dgm.bench.sampling import BATCHES
from dgm.bench.ways import BARE, BF16, COMPILED, DIGITS, EPOCH, NARROW, OURS, PRODUCTS, PYTHAE

PEERS = flows.TASKS | denoisers.TASKS | quantisers.TASKS

Table = tuple[list[str], list[list[str]]]  # headings, rows


# ---------------------------------------------------------------- tables


def training(measured: dict) -> Table:
    """Seconds of an epoch, and in brackets how many times ours."""
    results = [measured["tasks"][task] for task in NAMES]

    def cell(result: dict, way: str) -> str:
        if way not in measured_ways(result):
            return "not measured" if way in result["ways"] else ""
        seconds = statistics.median(epoch_seconds(result, way))
        return in_seconds(seconds) + ("" if way == OURS else f" ({ratio(result, way, OURS):.2f})")

    rows = [[way, *(cell(result, way) for result in results)] for way in results[0]["ways"]]
    return ["An epoch of 60,000 images", *NAMES.values()], rows


def in_seconds(seconds: float) -> str:
    """
    >>> in_seconds(1150.2), in_seconds(2.4871), in_seconds(0.0605)
    ('1,150 s', '2.49 s', '0.0605 s')
    """
    return f"{seconds:,.0f} s" if seconds >= 100 else f"{seconds:.3g} s"


def parts(measured: dict) -> Table:
    rows = [
        [kind, *(f"{share(measured, task, kind):.0%}" for task in NAMES)]
        for kind in measured["parts"][EPOCH][0]
    ]
    return ["A step's time goes into", *NAMES.values()], rows


def peers(measured: dict) -> Table:
    """Of each task that other libraries do too: how many times as long they take."""
    rows = []
    for task in PEERS:
        result = measured["tasks"][task]
        others = (way for way in result["ways"] if way not in (OURS, flows.NETWORKS))
        times = (f"{other} {said(ratio(result, other, OURS))}" for other in others)
        a_second = EPOCH_OF / statistics.median(epoch_seconds(result, OURS))
        networks = ""
        if flows.NETWORKS in result["ways"]:
            networks = said(ratio(result, OURS, flows.NETWORKS))
        rows.append([task, f"{a_second:,.0f}", ", ".join(times), networks])
    headings = ["Task", "a second", "others take, times dgm", "times networks"]
    return headings, rows


def sampling(measured: dict) -> Table:
    rows = []
    for name, repeats in measured["sampling"].items():
        (triples,) = repeats  # sampling is measured once
        for images, (naive, incremental, parallel) in zip(BATCHES, triples, strict=True):
            seconds = in_seconds(naive), in_seconds(incremental)
            times = f"{naive / incremental:,.0f}", f"{incremental / parallel:.2g}"
            rows.append([f"{name}, {images}", *seconds, *times])
    headings = ["Model, images", "naive", "incremental", "times as fast", "times a parallel pass"]
    return headings, rows


def growth(measured: dict) -> Table:
    """Of width and batch: how near the products, and what a GPU could gain."""
    rows, costs = [], measured["costs"]
    for curve, unit in (("width", "units"), ("batch", "images a batch")):
        for value, repeats in points_of(costs, curve):
            times = statistics.median(ours / products for ours, products in repeats)
            gains = gain(costs, curve, value)
            rows.append([f"{value:,} {unit}", f"{times:.2f}", f"{gains:.2g}"])
    return ["A step of", "times its products", "a GPU gains about, times"], rows


TABLES: dict[str, Callable[[dict], Table]] = {
    "training": training,
    "parts": parts,
    "peers": peers,
    "sampling": sampling,
    "growth": growth,
}


# ---------------------------------------------------------------- numbers and conditions


def ratio(result: dict, way: str, other: str) -> float:
    """How many times as long one way takes as another: the median over repeats, nan if one of them
    was not measured."""
    if not {way, other} <= measured_ways(result):
        return math.nan
    return statistics.median(ratios(result, way, other))


def between(result: dict, way: str, other: str) -> float:
    """Seconds of a step that one way takes more than another, nan if one was not measured."""
    if not {way, other} <= measured_ways(result):
        return math.nan
    longer, shorter = (statistics.median(epoch_seconds(result, w)) for w in (way, other))
    return (longer - shorter) * Work.batch / EPOCH_OF


def said(*values: float, decimals: int = 2) -> str:
    """
    >>> said(1.254, 2.0), said(math.nan), said(4.19, decimals=1)
    ('1.25 and 2.00', 'not measured', '4.2')
    """
    texts = ["not measured" if math.isnan(v) else f"{v:.{decimals}f}" for v in values]
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def compiling(result: dict) -> float:
    """How many epochs of ours pass while the program is made, nan if it could not be."""
    if COMPILED not in measured_ways(result):
        return math.nan
    first = [statistics.median(r["first"] for r in result["ways"][way]) for way in (OURS, COMPILED)]
    return (first[1] - first[0]) / statistics.median(epoch_seconds(result, OURS))


def share(measured: dict, task: str, kind: str) -> float:
    return statistics.median(r[kind] for r in measured["parts"][task])


def numbers(measured: dict) -> dict[str, str]:
    """What the page says of the record, by name."""
    wide, narrow, digits = (measured["tasks"][task] for task in (EPOCH, NARROW, DIGITS))
    drawn = {name: repeats[0][0] for name, repeats in measured["sampling"].items()}  # one image
    of_all = wide, narrow, digits
    return {
        "wide": said(ratio(wide, OURS, PRODUCTS)),
        "narrow": said(ratio(narrow, OURS, PRODUCTS), decimals=1),
        "digits": said(ratio(digits, OURS, PRODUCTS), decimals=1),
        "bare_wide": said(ratio(wide, BARE, PRODUCTS)),
        "bare_narrow": said(ratio(narrow, BARE, PRODUCTS), decimals=1),
        "beside_bare": said(*(ratio(result, OURS, BARE) for result in of_all)),
        "pays": said(1e3 * between(digits, OURS, BARE), decimals=1),
        "pythae": said(*(ratio(result, PYTHAE, OURS) for result in of_all)),
        "bf16": said(ratio(wide, OURS, BF16)),
        "bf16_narrow": said(ratio(narrow, OURS, BF16)),
        "bf16_pythae": said(ratio(wide, PYTHAE, BF16)),
        "compiled": said(ratio(wide, OURS, COMPILED)),
        "compile_epochs": said(compiling(wide), decimals=0),
        "launch": said(1e3 * launches(measured["costs"]), decimals=1),
        "gain": said(gain(measured["costs"], "width", 400), decimals=1),
        "gain_narrow": said(gain(measured["costs"], "width", 100), decimals=1),
        "gain_large": said(gain(measured["costs"], "batch", 4096), decimals=0),
        "transformer": said(drawn["Transformer"][1] / drawn["Transformer"][2], decimals=0),
        "pixelcnn": said(drawn["PixelCNN"][1] / drawn["PixelCNN"][2], decimals=0),
    }


def conditions(measured: dict) -> dict[str, bool]:
    """What the page claims of the record, by name."""
    wide, narrow, digits = (measured["tasks"][task] for task in (EPOCH, NARROW, DIGITS))
    beside_bare = [ratio(result, OURS, BARE) for result in (wide, narrow, digits)]
    in_bf16, narrow_in_bf16 = ratio(wide, OURS, BF16), ratio(narrow, OURS, BF16)
    costs = measured["costs"]
    of_narrow, of_large = gain(costs, "width", 100), gain(costs, "batch", 4096)
    return {
        "at most half as long again, and in the wide network a tenth": (
            max(beside_bare) < 1.5 and beside_bare[0] < 1.1
        ),
        "compiling gains less than a fifth on a CPU": not ratio(wide, OURS, COMPILED) > 1.2,
        "bf16 pays, and most in the wide network": in_bf16 > max(1, narrow_in_bf16),
        "less than three times at 100 units, more than twenty times with batches of 4,096": (
            of_narrow < 3 and of_large > 20
        ),
    }


# ---------------------------------------------------------------- Sphinx


class Speed(SphinxDirective):
    """`{speed} NAME`: a table of the record."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the page does not change when the record does
        name = self.arguments[0]
        if name not in TABLES:
            raise self.error(f"speed: got {name!r}, expected one of {', '.join(TABLES)}")
        return [table(*TABLES[name](self.env.speed_record["places"]["cpu"]))]


class Measured(SphinxRole):
    """{measured}`name`."""

    def run(self) -> tuple[list[nodes.Node], list]:
        known = numbers(self.env.speed_record["places"]["cpu"])
        if self.text not in known:
            warn("measured: there is no %s, only %s", self.text, ", ".join(known))
            return [], []
        return [nodes.inline(known[self.text], known[self.text])], []


class Holds(SphinxRole):
    """{holds}`name`."""

    def run(self) -> tuple[list[nodes.Node], list]:
        known = conditions(self.env.speed_record["places"]["cpu"])
        if not known.get(self.text, False):
            why = "the record denies it" if self.text in known else "nothing claims it"
            warn("holds: %s: %s", self.text, why)
        return [held(self.rawtext, "", condition=self.text, where="the record below")], []


def load_record(app: Sphinx) -> None:
    """Read it once per build."""
    path = Path(app.srcdir, "records", "bench", "cpu.json")
    app.env.speed_record = json.loads(path.read_text(encoding="utf-8"))


def setup(app: Sphinx) -> dict:
    app.setup_extension("computed_text")
    app.add_directive("speed", Speed)
    app.add_role("measured", Measured())
    app.add_role("holds", Holds())
    app.connect("builder-inited", load_record)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
