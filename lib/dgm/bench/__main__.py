"""`python -m dgm.bench`: all measurements, then the tables, the record and the picture."""

import argparse
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from tqdm import tqdm

from .. import bench
from .._device import device
from ..reproduce.records import RECORDS, whole, write
from .measure import in_fresh_process
from .picture import write_picture
from .record import measured_on, other_jobs, surroundings_and, task_jobs
from .report import IDLE, tables
from .ways import MAY_BE_MISSING

BUILT = Path("_build")
PATIENCE = 300  # seconds to wait until the machine is idle
REPEATS = 3, 6  # at least, and at most, until the spread is small


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dgm.bench", description=bench.__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="a try-out: 6,000 images, once")
    options = parser.parse_args(arguments)
    n, repeats = (6_000, (1, 1)) if options.quick else (60_000, REPEATS)
    if not options.quick and not idle_within(PATIENCE):
        parser.exit(
            2,
            f"the machine is busy (load {os.getloadavg()[0]:.1f}), so that a record of its speed "
            "would be wrong: stop what runs beside, or try out with --quick\n",
        )
    record = surroundings_and(repeats)
    places = dict.fromkeys(["cpu", device().type])  # and the accelerator, if there is one
    results = run(places, n, repeats)
    record["places"] = {place: measured_on(place, n, results) for place in places}
    print("\n".join(tables(record)))
    keep(record, BUILT / "bench")
    if not options.quick:
        keep(record, RECORDS / "bench" / device().type)


def run(places: Iterable[str], n: int, repeats: tuple[int, int]) -> dict[tuple, list]:
    """The outcomes of all jobs: each round measures once what has not settled yet."""
    least, most = repeats
    results = defaultdict(list)
    for repeat in range(most):
        jobs = []
        for place in places:
            if repeat == 0:
                jobs += other_jobs(place, once=True)
            if repeat < least:
                jobs += other_jobs(place, once=False)
            for task in task_jobs(place, n).values():  # all its ways, that ratios be of pairs
                if repeat < least or not all(settled(results[job]) for job in task):
                    jobs += task
        if not jobs:
            break
        for job in tqdm(jobs, desc=f"round {repeat + 1}, at most {most}", unit="measurement"):
            results[job].append(outcome(job))
    return results


def settled(repeats: list[dict | str]) -> bool:
    """Whether the middle half of the repeats lies within a tenth of their median.

    >>> settled([{"seconds": 1.0}, {"seconds": 1.02}, {"seconds": 3.0}, {"seconds": 0.97}])
    False
    >>> settled([{"seconds": 1.0}, {"seconds": 1.02}, {"seconds": 1.04}, {"seconds": 0.97}])
    True
    """
    if any(isinstance(r, str) for r in repeats):  # the reason why it could not be measured
        return True
    low, median, high = statistics.quantiles([r["seconds"] for r in repeats], method="inclusive")
    return high - low <= 0.1 * median


def idle_within(seconds: float) -> bool:
    """Wait until the machine is idle, so long at most: its load is a mean over the last minute."""
    end = time.monotonic() + seconds
    while (busy := os.getloadavg()[0] >= IDLE) and time.monotonic() < end:
        print("waiting until nothing else runs ...", file=sys.stderr)
        time.sleep(20)
    return not busy


def keep(record: dict, path: Path) -> None:
    """Write record, tables and picture under one name, each whole or not at all."""
    write(path.with_suffix(".json"), record)
    with whole(path.with_suffix(".txt")) as temporary:
        temporary.write_text("\n".join(tables(record)) + "\n", encoding="utf-8")
    write_picture(path.with_suffix(".svg"), record)


def outcome(job: tuple) -> object:
    """What the job measured, or why not: another library may be missing, or a compiler."""
    function, *arguments = job
    try:
        return in_fresh_process(function, *arguments)
    except Exception as error:
        if MAY_BE_MISSING.intersection(arguments):
            return f"{type(error).__name__}: {error}".splitlines()[0]
        raise


if __name__ == "__main__":
    main()
