"""`python -m dgm.bench`: all measurements, then the tables."""

import argparse

from tqdm import tqdm

from .. import bench
from .._device import device
from .measure import in_fresh_process, measure, peak_memory, startup
from .report import heading, row, sampling_table, startup_table, task_table
from .sampling import BATCHES, MODELS, sampling
from .ways import TASKS


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dgm.bench", description=bench.__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="a try-out: 6,000 images, once")
    parser.add_argument("--only", choices=["sampling"], help="nothing but this")
    options = parser.parse_args(arguments)
    n, repeats = (6_000, 1) if options.quick else (60_000, 5)
    lines = heading(n, repeats)
    places = dict.fromkeys(["cpu", device().type])  # and the accelerator, if there is one
    jobs = [(sampling, name, b, p) for p in places for b in BATCHES for name in MODELS]
    tasks = {} if options.only else TASKS
    jobs += [
        (measure, task, way, p, n)
        for p in places
        for task, (_, ways) in tasks.items()
        for way in ways
    ]
    results = {job: [] for job in jobs}
    for job in tqdm(jobs * repeats, unit="measurement"):
        results[job].append(in_fresh_process(*job))
    for p in places:
        lines += [
            "",
            row(f"on {p}", "1000 images/s", "dgm, times as fast", "target", "peak memory"),
        ]
        for task, (_, ways) in tasks.items():
            lines += task_table(task, {way: results[measure, task, way, p, n] for way in ways})
        lines += sampling_table(
            {(name, b): results[sampling, name, b, p] for b in BATCHES for name in MODELS}
        )
    lines += [f"importing torch and dgm alone: {peak_memory():,.0f} MiB", ""]
    print("\n".join(lines + startup_table([startup() for _ in range(repeats)])))


if __name__ == "__main__":
    main()
