"""Tables, and whether targets are met."""

import os
import statistics

import torch

from .measure import LAZY
from .sampling import MODELS, PIXELS
from .ways import BATCH, TASKS, mnist_is_here


def spread(values: list[float], form: str) -> str:
    """The median and the range.

    >>> spread([3, 1, 2], ".1f")
    '2.0 (1.0 to 3.0)'
    """
    median, low, high = statistics.median(values), min(values), max(values)
    return f"{median:{form}} ({low:{form}} to {high:{form}})"


def verdict(met: bool, target: str) -> str:
    return f"{target}: {'met' if met else 'missed'}"


def row(*cells: str) -> str:
    return "{:<25}{:<29}{:<25}{:<19}{}".format(*cells).rstrip()


def task_table(task: str, results: dict[str, list[tuple[float, float]]]) -> list[str]:
    """The task and a line per way. `results`: of each way its repeats, as `measure` returns them.

    The i-th repeat of ours is divided by the i-th of another way, next to which it was run.
    """
    target, _ = TASKS[task]
    ours = [rate for rate, _ in list(results.values())[-1]]
    lines = [task]
    for way, repeats in results.items():
        rates, peaks = zip(*repeats, strict=True)
        times = [mine / rate for mine, rate in zip(ours, rates, strict=True)]
        met = verdict(statistics.median(times) >= target, f"{target} times")
        ratio = ("", "") if way == "dgm" else (spread(times, ".3g"), met)
        rate = spread([rate / 1000 for rate in rates], ",.1f")
        lines.append(row(f"  {way}", rate, *ratio, f"{max(peaks):,.0f} MiB"))
    return lines


def startup_table(repeats: list[tuple[float, list[str]]]) -> list[str]:
    seconds = [s for s, _ in repeats]
    imported = sorted({name for _, names in repeats for name in names})
    fast = verdict(statistics.median(seconds) < 0.3, "under 0.3 s")
    lean = verdict(not imported, f"without {', '.join(LAZY)}")
    return [
        "start-up of import dgm, beyond torch's own",
        f"  {spread(seconds, '.3f')} s; {fast}",
        f"  {lean} {' '.join(imported)}".rstrip(),
    ]


def heading(n: int, repeats: int) -> list[str]:
    source = "of MNIST" if mnist_is_here() else "of MNIST's size, digits enlarged: no MNIST here"
    load = os.getloadavg()[0]  # programs that wanted to run, mean of the last minute
    state = "idle" if load < 0.5 else "NOT IDLE: the figures may tell little"
    return [
        f"{n:,} training images {source}; batches of {BATCH}; float32",
        f"torch {torch.__version__}, {torch.get_num_threads()} threads",
        f"load average before the run {load:.1f}: {state}",
        f"medians (and ranges) of {repeats} repeats, taken in turns, each in a fresh process",
    ]


def sampling_table(results: dict[tuple[str, int], list[tuple[float, float]]]) -> list[str]:
    """A line per model and batch size, of which `results` has the repeats, in seconds."""
    lines = [f"drawing {PIXELS} pixels: incremental against naive sampling, seconds"]
    for (model, n), repeats in results.items():
        naive, incremental = zip(*repeats, strict=True)
        times = [a / b for a, b in repeats]
        _, target = MODELS[model]
        met = verdict(statistics.median(times) >= target, f"{target} times") if target else ""
        both = f"{statistics.median(naive):.3g} to {statistics.median(incremental):.3g}"
        lines.append(row(f"  {n} of {model}", both, spread(times, ".3g"), met, ""))
    return lines
