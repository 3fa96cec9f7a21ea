"""What is measured, and the record that keeps it: JSON, which tables and picture are made of."""

import os
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version

from ..reproduce.records import surroundings
from . import denoisers, flows, quantisers
from .costs import CURVES, cost, evaluation
from .measure import measure, peak_memory, startup
from .parts import parts
from .products import peaks
from .sampling import MODELS, sampling
from .ways import IWAE, NETWORKS, OTHERS, TASKS, batch_size, mnist_is_here


def surroundings_and(repeats: tuple[int, int]) -> dict:
    """The head of a record: where it was made, of what, and the start-up of `import dgm`."""
    record = {"name": "bench", **surroundings()}
    for package in OTHERS:
        with suppress(PackageNotFoundError):
            record["versions"][package] = version(package)
    return record | {
        "source": "of MNIST" if mnist_is_here() else "of MNIST's size, digits enlarged: no MNIST",
        "load": os.getloadavg()[0],  # programs that wanted to run, mean of the last minute
        "repeats": repeats,  # at least, at most
        "import_memory": peak_memory(),
        "startup": [startup() for _ in range(repeats[0])],
    }


def images_of(task: str, n: int) -> int:
    """How many images to measure a task with: fewer for those that take a minute an epoch."""
    if task == IWAE or denoisers.IMAGES in task:
        return n // 30
    return n // 10 if task in flows.TASKS | denoisers.TASKS | quantisers.TASKS else n


def task_jobs(place: str, n: int) -> dict[str, list[tuple]]:
    """For each task its ways, as functions and their arguments, each for a fresh process."""
    return {
        task: [(measure, task, way, place, images_of(task, n)) for way in ways]
        for task, ways in TASKS.items()
    }


def other_jobs(place: str, once: bool) -> list[tuple]:
    """What is measured beside the tasks; `once`, what is not repeated."""
    if once:
        return [(sampling, name, place) for name in MODELS]
    return [
        (peaks, place),
        *((cost, curve, place) for curve in CURVES),
        *((evaluation, at_once, place) for at_once in (False, True)),
        *((parts, task, place) for task in NETWORKS if place == "cpu"),
    ]


def measured_on(place: str, n: int, results: dict[tuple, list]) -> dict:
    """What the repeats of all jobs on one device gave, as plain lists and numbers."""

    def of_task(task: str) -> dict:
        m = images_of(task, n)
        ways = {way: results[measure, task, way, place, m] for way in TASKS[task]}
        reasons = {way: [r for r in rs if isinstance(r, str)] for way, rs in ways.items()}
        failed = {way: found[0] for way, found in reasons.items() if found}
        return {"images": m, "ways": ways | failed}

    return {
        "batch_size": batch_size(),
        "tasks": {task: of_task(task) for task in TASKS},
        "peaks": results[peaks, place],
        "parts": {task: results[parts, task, place] for task in NETWORKS if place == "cpu"},
        "costs": {curve: results[cost, curve, place] for curve in CURVES},
        "evaluation": {
            "by chunk": results[evaluation, False, place],
            "at once": results[evaluation, True, place],
        },
        "sampling": {name: results[sampling, name, place] for name in MODELS},
    }
