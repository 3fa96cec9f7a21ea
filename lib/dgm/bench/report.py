"""Tables of a record, and whether targets are met."""

import statistics

from . import denoisers, flows, quantisers
from .costs import CHUNK, CURVES, DRAWS, EPOCH_OF
from .measure import LAZY
from .products import bytes_moved, operations
from .sampling import BATCHES, MODELS, PIXELS
from .ways import EPOCH, FEEDING, IWAE, LAYERS, OURS, PRODUCTS, PYTHAE

# How many times as fast ours shall be, on which device, as which way to do which task.
TARGETS = {
    ("cpu", FEEDING): {"DataLoader, 0 workers": 50, "DataLoader, 2 workers": 50},
    ("cuda", FEEDING): {"DataLoader, 0 workers": 50, "DataLoader, 2 workers": 50},
    ("cpu", EPOCH): {"DataLoader": 3.5, PYTHAE: 2},
    ("cuda", EPOCH): {"DataLoader": 50, PYTHAE: 30},
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
# how many times as long an epoch may take on CPUs as its matrix products, a flow as its networks
OF_PRODUCTS = 1.5
EPOCH_ON_CUDA, IWAE_ON_CUDA = 0.1, 20  # an epoch in seconds, the whole IWAE recipe in minutes
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
    return "{:<31}{:<27}{:<25}{:<42}{}".format(*cells).rstrip()


def tables(record: dict) -> list[str]:
    """All of a record as lines of text."""
    lines = heading(record)
    for place, measured in record["places"].items():
        lines += ["", f"on {place}"]
        for task, result in measured["tasks"].items():
            lines += [""] + task_table(place, task, result)
            if task == EPOCH:
                lines += bound(measured["batch_size"], measured["peaks"], result)
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
        f"medians (and ranges) of {record['repeats']} repeats, taken in turns, each in a fresh "
        "process; sampling once",
    ]


def task_table(place: str, task: str, result: dict) -> list[str]:
    """The task and a line per way.

    The i-th repeat of ours is divided by the i-th of another way, next to which it was run. A way
    that could not be measured has a reason in place of its repeats.
    """
    ways, ours = result["ways"], best(result)
    lines = [
        f"{task}: 60,000 images" + extrapolated(result["images"]),
        row("", "seconds", f"times {ours}", "target", "peak memory"),
    ]
    for way, repeats in ways.items():
        if isinstance(repeats, str):
            lines.append(f"  {way}: not measured, {repeats}")
            continue
        taken, memory = epoch_seconds(result, way), max(r["memory"] for r in repeats)
        times = [
            theirs / mine for theirs, mine in zip(taken, epoch_seconds(result, ours), strict=True)
        ]
        ratio, verdict = spread(times, ".3g"), ""
        if way == ours:
            ratio = ""
        if way in (PRODUCTS, flows.NETWORKS) and place == "cpu":
            verdict = at_most(1 / statistics.median(times), OF_PRODUCTS, "times as long")
        if way == ours and (place, task) == ("cuda", EPOCH):
            verdict = at_most(statistics.median(taken), EPOCH_ON_CUDA, "s")
        if target := TARGETS.get((place, task), {}).get(way):
            verdict = at_least(statistics.median(times), target)
        lines.append(row(f"  {way}", spread(taken, ".3g"), ratio, verdict, f"{memory:,.0f} MiB"))
    return lines + (compiling(result) if ours == OURS else [])


def best(result: dict) -> str:
    """Which way of ours is compared: the compiled one, where there is one."""
    return "dgm" if isinstance(result["ways"].get(OURS, ""), str) else OURS


def extrapolated(images: int) -> str:
    return "" if images == EPOCH_OF else f", extrapolated from {images:,}"


def epoch_seconds(result: dict, way: str) -> list[float]:
    """Of each repeat, for 60,000 images."""
    return [r["seconds"] * EPOCH_OF / result["images"] for r in result["ways"][way]]


def compiling(result: dict) -> list[str]:
    """What compiling takes, and how many epochs it needs to pay."""
    first = {w: statistics.median(r["first"] for r in result["ways"][w]) for w in ("dgm", OURS)}
    epoch = {w: statistics.median(epoch_seconds(result, w)) for w in first}
    price, gain = first[OURS] - first["dgm"], epoch["dgm"] - epoch[OURS]
    pays = f"pays after {price / gain:,.0f} epochs" if gain > 0 else "does not pay"
    return [f"  compiling takes {price:.1f} s and {pays}"]


def bound(batch_size: int, peaks: list[tuple[float, float]], result: dict) -> list[str]:
    """The least that an epoch could take at the measured peaks, and ours as a share of it."""
    layers, steps = [(batch_size, *sizes) for sizes in LAYERS], EPOCH_OF / batch_size
    rate, bandwidth = (statistics.median(values) for values in zip(*peaks, strict=True))
    work, moved = steps * operations(layers), steps * bytes_moved(layers)
    least = max(work / rate, moved / bandwidth)
    share = least / statistics.median(epoch_seconds(result, best(result)))
    return [
        f"  {work / 1e12:.2f} TFLOP of matrix products at a measured peak of {rate / 1e12:.3g} "
        f"TFLOP/s: {work / rate:.3g} s",
        f"  {moved / 1e9:.1f} GB for Adam at a measured {bandwidth / 1e9:.3g} GB/s: "
        f"{moved / bandwidth:.3g} s",
        f"  the larger is a bound, of whose speed {best(result)} reaches {share:.0%}",
    ]


def whole_recipe(place: str, result: dict) -> list[str]:
    total = PUBLISHED * statistics.median(epoch_seconds(result, best(result)))
    verdict = f"; {at_most(total / 60, IWAE_ON_CUDA, 'minutes')}" if place == "cuda" else ""
    return [f"  the published {PUBLISHED:,} epochs would take {total / 3600:.3g} hours{verdict}"]


def sampling_table(results: dict[str, list]) -> list[str]:
    """A line per model and number of images."""
    lines = [
        f"drawing {PIXELS} pixels",
        row("", "naive, then incremental, s", "times as fast", "target", ""),
    ]
    for name, repeats in results.items():
        for images, pairs in zip(BATCHES, zip(*repeats, strict=True), strict=True):
            naive, incremental = zip(*pairs, strict=True)
            times = [a / b for a, b in pairs]
            _, target = MODELS[name]
            verdict = at_least(statistics.median(times), target) if target else ""
            both = f"{statistics.median(naive):.3g}, {statistics.median(incremental):.3g}"
            lines.append(row(f"  {images} of {name}", both, spread(times, ".3g"), verdict, ""))
    return lines


def cost_tables(costs: dict[str, list]) -> list[str]:
    lines = ["", "an epoch of dgm, not compiled, as the work grows (batch 128, width 400, 28 x 28)"]
    for curve, repeats in costs.items():
        lines.append(row(f"  {curve}", "seconds", "matrix products alone", "ratio", ""))
        for value, measured in zip(CURVES[curve], zip(*repeats, strict=True), strict=True):
            ours, products = zip(*measured, strict=True)
            ratios = [a / b for a, b in measured]
            cells = spread(ours, ".3g"), spread(products, ".3g"), spread(ratios, ".2f")
            lines.append(row(f"    {value}", *cells, ""))
    return lines


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
