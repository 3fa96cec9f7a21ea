"""What experiments share: rounds of updates that can be stopped, their time, their spread."""

import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat

from torch import Tensor

from ..train import History, Step, fit

Batch = Sequence[Tensor]


def train_rounds(
    step: Step,
    batches: Iterable[Batch],
    updates: int,
    rounds: int = 1,
    measure: Callable[[], dict[str, float]] = dict,
    **options,
) -> History:
    """`rounds` of so many updates each, with what is measured after each of them.

    The history also has the `seconds` of each round, without those of measuring, and the `load`
    of the machine: how many programs wanted to run, the mean of the last minute.

    Args:
        options: of `fit`, such as `checkpoint`.

    Raises:
        KeyboardInterrupt: at Ctrl-C, after the update.
    """
    lap = stopwatch()

    def validate() -> dict[str, float]:
        about = {"seconds": lap(), "load": os.getloadavg()[0]}
        measured = measure()
        lap()
        return measured | about

    history = fit(step, Updates(batches, updates), rounds, validate=validate, **options)
    if history.interrupted:
        raise KeyboardInterrupt
    return history


def spent(*histories: History) -> dict:
    """How long the rounds of `train_rounds` took, and how busy the machine was."""
    seconds, load = ([v for h in histories for v in h[name]] for name in ("seconds", "load"))
    return {"seconds": sum(seconds), "load": round(statistics.mean(load), 2)}


class Updates:
    """The first so many of batches that start over when they are through."""

    def __init__(self, batches: Iterable[Batch], count: int):
        self.batches, self.count = batches, count

    def __iter__(self) -> Iterator[Batch]:
        return islice(chain.from_iterable(repeat(self.batches)), self.count)


def seconds_per_update(step: Step, batches: Iterable[Batch], trial: float) -> float:
    """What an update takes here, from a trial of so many seconds."""
    stream = chain.from_iterable(repeat(batches))

    def update() -> None:
        for value in step(next(stream)).values():
            value.item()  # waits for the device

    for _ in range(5):
        update()  # the first ones take longer
    lap, updates, seconds = stopwatch(), 0, 0.0
    while updates < 5 or seconds < trial:
        update()
        updates, seconds = updates + 1, seconds + lap()
    return seconds / updates


def stopwatch(clock: Callable[[], float] = time.perf_counter) -> Callable[[], float]:
    """A function that returns the seconds since it was last called.

    By `time.process_time` they are those of this process alone, however busy the machine is.
    """
    last = clock()

    def lap() -> float:
        nonlocal last
        before, last = last, clock()
        return last - before

    return lap


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (dividing by n - 1), of draws or of seeds.

    >>> mean_and_deviation([1.0, 2.0, 3.0])
    (2.0, 1.0)
    """
    return statistics.mean(values), statistics.stdev(values)
