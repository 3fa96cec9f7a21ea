"""What is measured, and the record that keeps it: JSON, which tables and picture are made of."""

import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from ..reproduce.records import surroundings
from . import denoisers, flows, quantisers
from .costs import CURVES, cost, evaluation
from .measure import measure, peak_memory, startup
from .products import peaks
from .sampling import MODELS, sampling
from .ways import IWAE, OTHERS, TASKS, batch_size, mnist_is_here


def surroundings_and(repeats: int) -> dict:
    """The head of a record: where it was made, of what, and the start-up of `import dgm`."""
    record = {"name": "bench", **surroundings()}
    for package in OTHERS:
        with suppress(PackageNotFoundError):
            record["versions"][package] = version(package)
    return record | {
        "source": "of MNIST" if mnist_is_here() else "of MNIST's size, digits enlarged: no MNIST",
        "load": os.getloadavg()[0],  # programs that wanted to run, mean of the last minute
        "repeats": repeats,
        "import_memory": peak_memory(),
        "startup": [startup() for _ in range(repeats)],
    }


def images_of(task: str, n: int) -> int:
    """How many images to measure a task with: fewer for those that take a minute an epoch."""
    if task == IWAE or denoisers.IMAGES in task:
        return n // 30
    return n // 10 if task in flows.TASKS | denoisers.TASKS | quantisers.TASKS else n


def jobs_on(place: str, n: int, repeat: int) -> list[tuple]:
    """Functions and their arguments, each for a fresh process. Sampling is done once."""
    return [
        *((measure, t, way, place, images_of(t, n)) for t, ways in TASKS.items() for way in ways),
        (peaks, place),
        *((cost, curve, place) for curve in CURVES),
        *((evaluation, at_once, place) for at_once in (False, True)),
        *((sampling, name, place) for name in MODELS if repeat == 0),
    ]


def measured_on(place: str, n: int, results: dict[tuple, list]) -> dict:
    """What the repeats of all jobs on one device gave, as plain lists and numbers."""

    def of_task(task: str) -> dict:
        m = images_of(task, n)
        ways = {way: results[measure, task, way, place, m] for way in TASKS[task]}
        failed = {way: r[0] for way, r in ways.items() if isinstance(r[0], str)}  # the reason
        return {"images": m, "ways": ways | failed}

    return {
        "batch_size": batch_size(),
        "tasks": {task: of_task(task) for task in TASKS},
        "peaks": results[peaks, place],
        "costs": {curve: results[cost, curve, place] for curve in CURVES},
        "evaluation": {
            "by chunk": results[evaluation, False, place],
            "at once": results[evaluation, True, place],
        },
        "sampling": {name: results[sampling, name, place] for name in MODELS},
    }
