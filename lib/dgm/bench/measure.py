"""Time and memory, each way in a process of its own."""

import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from multiprocessing import get_context

from .ways import TASKS

LAZY = ("torchvision", "matplotlib", "ipywidgets", "sklearn")  # not imported until used


def measure(task: str, way: str, place: str, n: int) -> tuple[float, float]:
    """Images per second of one way on the device `place`, and this process's peak memory."""
    os.environ["DGM_DEVICE"] = place
    make_batches, run = TASKS[task][1][way]
    batches = make_batches(n)
    seconds = seconds_per_pass(run, batches)
    return n / seconds, peak_memory(getattr(batches, "num_workers", 0))


def seconds_per_pass(run: Callable[[Iterable], object], batches: Iterable) -> float:
    """Mean time of `run(batches)`, which is called until a second has gone by."""
    run(list(islice(batches, 10)))  # what only the first call pays for: threads, kernels
    passes, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < 1:
        run(batches)
        passes += 1
    return elapsed / passes


def peak_memory(workers: int = 0) -> float:
    """The most that this process and its workers have held, in MiB (resident set).

    Pages that processes share count in each. Linux lets a process start from its parent's peak,
    so that a parent must hold little: `main` leaves the data to the measuring processes.
    """
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, else KiB
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest
    return (own + workers * worker) / unit


def in_fresh_process(function: Callable, *arguments):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def startup() -> tuple[float, list[str]]:
    """Seconds that `import dgm` takes once torch is there, and which of `LAZY` it brings along."""
    code = (
        "import sys, time, torch; start = time.perf_counter(); import dgm; "
        f"print(time.perf_counter() - start, *(name for name in {LAZY} if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    seconds, *imported = run.stdout.split()
    return float(seconds), imported
