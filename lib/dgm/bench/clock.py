"""Seconds, until the device is done."""

import statistics
import time
from collections.abc import Callable

import torch

from .._device import device


def wait() -> None:
    """Until `dgm.device()` has done what it was given."""
    if device().type != "cpu":
        torch.get_device_module(device()).synchronize()


def seconds(run: Callable[[], object]) -> float:
    """What one call of `run` takes."""
    wait()
    start = time.perf_counter()
    run()
    wait()
    return time.perf_counter() - start


def seconds_per_call(run: Callable[[], object], at_least: float = 1.0) -> float:
    """The median over as many calls as take so many seconds together, one at least."""
    calls = []
    while not calls or sum(calls) < at_least:
        calls.append(seconds(run))
    return statistics.median(calls)
