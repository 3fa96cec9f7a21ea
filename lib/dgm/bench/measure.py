"""Time and memory, each way in a process of its own."""

import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import torch

from .._device import device
from .clock import seconds, seconds_per_call
from .ways import TASKS, WORKERS

LAZY = ("torchvision", "matplotlib", "ipywidgets", "sklearn")  # not imported until used


def measure(task: str, way: str, place: str, n: int) -> dict[str, float]:
    """One way of a task on the device `place`, with n images.

    Returns:
        "seconds" an epoch takes; "first", those of the first call, in which what has to be compiled
        is compiled, nothing being left from an earlier run; "memory", the most that was held (MiB).
    """
    os.environ["DGM_DEVICE"] = place
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        first, epoch = TASKS[task][way](n)
        return {
            "first": seconds(first),
            "seconds": seconds_per_call(epoch),
            "memory": peak_memory(WORKERS.get(way, 0)),
        }


def peak_memory(workers: int = 0) -> float:
    """The most that was held, in MiB: on a GPU of its memory, else by this process and its workers.

    Pages that processes share count in each. Linux lets a process start from its parent's peak,
    so that a parent must hold little: `main` leaves the data to the measuring processes.
    """
    if device().type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes on macOS, else KiB
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    worker = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss  # of the largest
    return (own + workers * worker) / unit


def in_fresh_process(function: Callable, *arguments):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def startup() -> tuple[float, list[str]]:
    """Seconds of CPU that `import dgm` takes once torch is there, and what of `LAZY` it brings."""
    code = (
        "import sys, time, torch; start = time.process_time(); import dgm; "
        f"print(time.process_time() - start, *(name for name in {LAZY} if name in sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    elapsed, *imported = run.stdout.split()
    return float(elapsed), imported
