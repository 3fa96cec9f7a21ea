"""`python -m dgm.bench`: all measurements, then the tables, the record and the picture."""

import argparse
import os
import sys
import time
from collections import defaultdict
from pathlib import Path

from tqdm import tqdm

from .. import bench
from .._device import device
from ..reproduce.records import RECORDS, whole, write
from .measure import in_fresh_process
from .picture import write_picture
from .record import jobs_on, measured_on, surroundings_and
from .report import IDLE, tables
from .ways import MAY_BE_MISSING

BUILT = Path("_build")
PATIENCE = 300  # seconds to wait until the machine is idle


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dgm.bench", description=bench.__doc__.split("\n")[0]
    )
    parser.add_argument("--quick", action="store_true", help="a try-out: 6,000 images, once")
    options = parser.parse_args(arguments)
    n, repeats = (6_000, 1) if options.quick else (60_000, 3)
    if not options.quick and not idle_within(PATIENCE):
        parser.exit(
            2,
            f"the machine is busy (load {os.getloadavg()[0]:.1f}), so that a record of its speed "
            "would be wrong: stop what runs beside, or try out with --quick\n",
        )
    record = surroundings_and(repeats)
    places = dict.fromkeys(["cpu", device().type])  # and the accelerator, if there is one
    jobs = [
        job for repeat in range(repeats) for place in places for job in jobs_on(place, n, repeat)
    ]
    results = defaultdict(list)
    for job in tqdm(jobs, unit="measurement"):
        results[job].append(outcome(job))
    record["places"] = {place: measured_on(place, n, results) for place in places}
    print("\n".join(tables(record)))
    keep(record, BUILT / "bench")
    if not options.quick:
        keep(record, RECORDS / "bench" / device().type)


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
