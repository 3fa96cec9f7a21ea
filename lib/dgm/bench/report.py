"""Tables of a record, and whether targets are met."""

import statistics
from collections.abc import Iterator
from dataclasses import replace

from . import denoisers, flows, quantisers
from .costs import CHUNK, CURVES, DRAWS, EPOCH_OF
from .measure import LAZY
from .products import Work, bytes_moved, operations
from .sampling import BATCHES, MODELS, PIXELS
from .ways import (
    BARE,
    BF16,
    COMPILED,
    DIGITS,
    EPOCH,
    FEEDING,
    IWAE,
    NARROW,
    NETWORKS,
    OURS,
    PRODUCTS,
    PYTHAE,
)

# How many times as fast ours shall be, on which device, as which way to do which task.
TARGETS = {
    ("cpu", FEEDING): {"DataLoader, 0 workers": 50, "DataLoader, 2 workers": 50},
    ("cuda", FEEDING): {"DataLoader, 0 workers": 50, "DataLoader, 2 workers": 50},
    ("cuda", EPOCH): {"DataLoader": 50, PYTHAE: 30},
    ("cpu", EPOCH): {"DataLoader": 3.5, PYTHAE: 1.4, BARE: 1},
    **{("cpu", task): {PYTHAE: 1.4, BARE: 1} for task in (NARROW, DIGITS)},
    **{
        (place, task): {flows.ZUKO: 1, flows.NORMFLOWS: 1}
        for place in ("cpu", "cuda")
        for task in flows.TASKS
    },
    **{
        (place, task): {other: 1}
        for place in ("cpu", "cuda")
        for task, other in (denoisers.OTHERS | quantisers.OTHERS).items()
    },
}
# how many times as long a task may take on CPUs as its matrix products, or as its networks
OF_PRODUCTS = dict.fromkeys(flows.TASKS | denoisers.TASKS | quantisers.TASKS, 1.5)
OF_PRODUCTS |= {EPOCH: 1.5, NARROW: 2.5}
BF16_OF_PYTHAE = 1.9  # how many times as fast an epoch in bf16 shall be
EPOCH_ON_CUDA, IWAE_ON_CUDA = 0.1, 20  # an epoch in seconds, the whole IWAE recipe in minutes
NAMES = {EPOCH: "784-400-20", NARROW: "784-100-20", DIGITS: "64-100-20"}
IDLE = 0.5  # programs that want to run beside, at most
PUBLISHED = 3280  # epochs of the IWAE recipe


def spread(values: list[float], form: str) -> str:
    """The median and the range, if there is one.

    >>> spread([3, 1, 2], ".1f"), spread([3], ".1f")
    ('2.0 (1.0 to 3.0)', '3.0')
    """
    median, low, high = statistics.median(values), min(values), max(values)
    return (
        f"{median:{form}} ({low:{form}} to {high:{form}})" if len(values) > 1 else f"{low:{form}}"
    )


def at_least(value: float, target: float) -> str:
    """
    >>> at_least(4.0, 3.5), at_least(2.8, 3.5)
    ('3.5 times: met', '3.5 times: missed by 20.0%')
    """
    missed = f"missed by {1 - value / target:.1%}"
    return f"{target} times: {'met' if value >= target else missed}"


def at_most(value: float, target: float, unit: str) -> str:
    """
    >>> at_most(0.2, 0.3, "s"), at_most(1.8, 1.5, "times")
    ('at most 0.3 s: met', 'at most 1.5 times: missed by 20.0%')
    """
    missed = f"missed by {value / target - 1:.1%}"
    return f"at most {target} {unit}: {'met' if value <= target else missed}"


def row(*cells: str) -> str:
    return "{:<31}{:<27}{:<25}{:<44}{}".format(*cells).rstrip()


def tables(record: dict) -> list[str]:
    """All of a record as lines of text."""
    lines = heading(record)
    for place, measured in record["places"].items():
        lines += ["", f"on {place}"]
        for task, result in measured["tasks"].items():
            lines += [""] + task_table(place, task, result)
            if task == EPOCH:
                lines += bound(measured["batch_size"], measured["peaks"], result)
            if task == DIGITS and measured["parts"]:
                lines += ["", *parts_table(measured["parts"])]
            if task == IWAE:
                lines += whole_recipe(place, result)
        lines += [""] + sampling_table(measured["sampling"])
        lines += cost_tables(measured["costs"]) + evaluation_table(measured["evaluation"])
    memory = f"importing torch and dgm alone: {record['import_memory']:,.0f} MiB"
    return [*lines, "", memory, "", *startup_table(record["startup"])]


def heading(record: dict) -> list[str]:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    idle = "idle" if record["load"] < IDLE else "NOT IDLE: the figures may tell little"
    return [
        f"training images {record['source']}; float32; {versions}",
        f"{record['device']}, {record['threads']} threads, commit {record['commit']}, "
        f"{record['date']}",
        f"load average before the run {record['load']:.1f}: {idle}",
        f"medians (and ranges) of {' to '.join(map(str, record['repeats']))} repeats of a task, "
        "until the spread is small, taken in turns, each in a fresh process; sampling once",
    ]


def task_table(place: str, task: str, result: dict) -> list[str]:
    """The task and a line per way.

    The i-th repeat of another way is divided by the i-th of ours, next to which it was run. A way
    that could not be measured has a reason in place of its repeats.
    """
    lines = [
        f"{task}: 60,000 images" + extrapolated(result["images"]),
        row("", "seconds", f"times {OURS}", "target", "peak memory"),
    ]
    for way, repeats in result["ways"].items():
        if isinstance(repeats, str):
            lines.append(f"  {way}: not measured, {repeats}")
            continue
        taken, memory = epoch_seconds(result, way), max(r["memory"] for r in repeats)
        times = ratios(result, way, OURS)
        ratio, verdict = spread(times, ".3g"), ""
        if way == OURS:
            ratio = ""
        if way in (PRODUCTS, flows.NETWORKS) and place == "cpu" and task in OF_PRODUCTS:
            longer = statistics.median(ratios(result, OURS, way))
            verdict = at_most(longer, OF_PRODUCTS[task], "times as long")
        if (place, task) == ("cuda", EPOCH) and way == fastest(result):
            verdict = at_most(statistics.median(taken), EPOCH_ON_CUDA, "s")
        if target := TARGETS.get((place, task), {}).get(way):
            verdict = at_least(statistics.median(times), target)
        lines.append(row(f"  {way}", spread(taken, ".3g"), ratio, verdict, f"{memory:,.0f} MiB"))
    if task.startswith(flows.DRAWING):
        drawn = EPOCH_OF / statistics.median(epoch_seconds(result, OURS))
        lines.append(f"  {OURS} draws {drawn:,.0f} a second")
    if place == "cpu" and task == EPOCH and {BF16, PYTHAE} <= measured_ways(result):
        times = statistics.median(ratios(result, PYTHAE, BF16))
        verdict = at_least(times, BF16_OF_PYTHAE)
        lines.append(f"  in bf16 {times:.2f} times as fast as pythae; {verdict}")
    return lines + (compiling(result) if COMPILED in measured_ways(result) else [])


def measured_ways(result: dict) -> set[str]:
    return {way for way, repeats in result["ways"].items() if not isinstance(repeats, str)}


def ratios(result: dict, way: str, other: str) -> list[float]:
    """How many times as long one way takes as another, in each repeat."""
    pairs = zip(epoch_seconds(result, way), epoch_seconds(result, other), strict=True)
    return [a / b for a, b in pairs]


def fastest(result: dict) -> str:
    """Of ours in float32."""
    ways = {OURS, COMPILED} & measured_ways(result)
    return min(sorted(ways), key=lambda way: statistics.median(epoch_seconds(result, way)))


def extrapolated(images: int) -> str:
    return "" if images == EPOCH_OF else f", extrapolated from {images:,}"


def epoch_seconds(result: dict, way: str) -> list[float]:
    """Of each repeat, for 60,000 images."""
    return [r["seconds"] * EPOCH_OF / result["images"] for r in result["ways"][way]]


def compiling(result: dict) -> list[str]:
    """What compiling takes, and how many epochs it needs to pay."""
    both = (OURS, COMPILED)
    first = {way: statistics.median(r["first"] for r in result["ways"][way]) for way in both}
    epoch = {way: statistics.median(epoch_seconds(result, way)) for way in both}
    price, gain = first[COMPILED] - first[OURS], epoch[OURS] - epoch[COMPILED]
    pays = f"pays after {price / gain:,.0f} epochs" if gain > 0 else "does not pay"
    return [f"  compiling takes {price:.1f} s and {pays}"]


def bound(batch_size: int, peaks: list[tuple[float, float]], result: dict) -> list[str]:
    """The least that an epoch could take at the measured peaks, and ours as a share of it."""
    layers = replace(NETWORKS[EPOCH], batch=batch_size).layers()
    steps = EPOCH_OF / batch_size
    rate, bandwidth = (statistics.median(values) for values in zip(*peaks, strict=True))
    work, moved = steps * operations(layers), steps * bytes_moved(layers)
    least = max(work / rate, moved / bandwidth)
    share = least / statistics.median(epoch_seconds(result, fastest(result)))
    return [
        f"  {work / 1e12:.2f} TFLOP of matrix products at a measured peak of {rate / 1e12:.3g} "
        f"TFLOP/s: {work / rate:.3g} s",
        f"  {moved / 1e9:.1f} GB for Adam at a measured {bandwidth / 1e9:.3g} GB/s: "
        f"{moved / bandwidth:.3g} s",
        f"  the larger is a bound, of whose speed {fastest(result)} reaches {share:.0%}",
    ]


def parts_table(parts: dict[str, list[dict]]) -> list[str]:
    """What the time of a step goes into, by network: a line per part."""
    lines = ["what a step's time goes into, by torch's profiler (shares, medians)"]
    lines.append(row("", *(NAMES[task] for task in parts), "", ""))
    for kind in next(iter(parts.values()))[0]:
        shares = (statistics.median(r[kind] for r in repeats) for repeats in parts.values())
        lines.append(row(f"  {kind}", *(f"{share:.0%}" for share in shares), "", ""))
    return lines


def whole_recipe(place: str, result: dict) -> list[str]:
    total = PUBLISHED * statistics.median(epoch_seconds(result, fastest(result)))
    verdict = f"; {at_most(total / 60, IWAE_ON_CUDA, 'minutes')}" if place == "cuda" else ""
    return [f"  the published {PUBLISHED:,} epochs would take {total / 3600:.3g} hours{verdict}"]


def sampling_table(results: dict[str, list]) -> list[str]:
    """A line per model and number of images."""
    lines = [
        f"drawing {PIXELS} pixels, one after the other",
        row("", "naive, then incremental, s", "times as fast", "target", "times a parallel pass"),
    ]
    for name, repeats in results.items():
        for images, triples in zip(BATCHES, zip(*repeats, strict=True), strict=True):
            naive, incremental, parallel = zip(*triples, strict=True)
            times = [a / b for a, b, _ in triples]
            passes = statistics.median(b / c for _, b, c in triples)
            _, target = MODELS[name]
            verdict = at_least(statistics.median(times), target) if target else ""
            both = f"{statistics.median(naive):.3g}, {statistics.median(incremental):.3g}"
            cells = both, spread(times, ".3g"), verdict, f"{passes:.3g}"
            lines.append(row(f"  {images} of {name}", *cells))
    return lines


def cost_tables(costs: dict[str, list]) -> list[str]:
    """Seconds as the work grows, and how many times as fast a GPU could be, about."""
    lines = [
        "",
        "an epoch of dgm as the work grows (batch 128, width 400, 28 x 28); launching a step's "
        f"operations takes about {1e3 * launches(costs):.2g} ms, as the shortest step does",
    ]
    for curve in costs:
        cells = "seconds", "matrix products alone", "ratio", "a GPU gains about"
        lines.append(row(f"  {curve}", *cells))
        for value, repeats in points_of(costs, curve):
            ours, products = zip(*repeats, strict=True)
            cells = spread(ours, ".3g"), spread(products, ".3g")
            times = spread([a / b for a, b in repeats], ".2f")
            lines.append(
                row(f"    {value}", *cells, times, f"{gain(costs, curve, value):.2g} times")
            )
    return lines


def gain(costs: dict[str, list], curve: str, value: int) -> float:
    """How many times as long a step takes as the shortest one: about what a GPU could gain that
    launches one operation after the other."""
    return step_seconds(costs)[curve, value] / launches(costs)


def launches(costs: dict[str, list]) -> float:
    """Seconds of the shortest step that was measured, which are mostly for launching operations:
    an estimate, somewhat too large, since some arithmetic is in it."""
    return min(step_seconds(costs).values())


def step_seconds(costs: dict[str, list]) -> dict[tuple[str, int], float]:
    """Of each curve and value, the median."""
    return {
        (curve, value): statistics.median(ours for ours, _ in repeats)
        * (value if curve == "batch" else Work.batch)
        / EPOCH_OF
        for curve in costs
        for value, repeats in points_of(costs, curve)
    }


def points_of(costs: dict[str, list], curve: str) -> Iterator[tuple[int, list]]:
    """The values of a curve, and the repeats of each."""
    return zip(CURVES[curve], zip(*costs[curve], strict=True), strict=True)


def evaluation_table(results: dict[str, list]) -> list[str]:
    """What estimating a likelihood takes, decoding `CHUNK` codes at a time or all at once."""
    lines = ["", f"estimating log p(x), and memory beyond what {CHUNK} draws take"]
    lines.append(row("", "seconds per image", f"{CHUNK} codes at a time", "all codes at once", ""))
    (chunked, at_once) = (zip(*results[how], strict=True) for how in ("by chunk", "at once"))
    for k, by_chunk, whole in zip(DRAWS, chunked, at_once, strict=True):
        elapsed, memory = zip(*by_chunk, strict=True)
        more = max(used for _, used in whole)
        cells = spread(elapsed, ".2g"), f"{max(memory):.1f} MiB", f"{more:.1f} MiB"
        lines.append(row(f"  k = {k:,}", *cells, ""))
    return lines


def startup_table(repeats: list[tuple[float, list[str]]]) -> list[str]:
    taken = [elapsed for elapsed, _ in repeats]
    imported = sorted({name for _, names in repeats for name in names})
    lean = f"missed: {' '.join(imported)}" if imported else "met"
    return [
        "start-up of import dgm, beyond torch's own",
        f"  {spread(taken, '.3f')} s of CPU; {at_most(statistics.median(taken), 0.3, 's')}",
        f"  without {', '.join(LAZY)}: {lean}",
    ]
