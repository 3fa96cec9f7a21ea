"""A run: train a recipe or go on with it, measure it, write the record."""

import json
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import data
from .._device import device
from ..train import Step, fit, rank, world_size
from .recipes import RECIPES, Recipe
from .records import RECORDS, RUNS, megabytes, surroundings, write, write_model

SEED = 0
KEPT = 1.0  # megabytes: a model that takes no more is kept beside its record


def reproduce(name: str, budget: float | None = None, distributed: bool = False) -> dict | None:
    """Train and measure one recipe, or go on with it, and write the record.

    A model of at most a megabyte is kept in book/records/models/, so that anyone can measure it
    again.

    Args:
        name: one of `RECIPES`.
        budget: minutes of training; None follows the full schedule.
        distributed: train together with the other processes that torchrun started.

    Returns:
        The record, or None if Ctrl-C stopped the training. Of several processes, rank 0 measures
        and writes; the others return None.

    Raises:
        ValueError: the name is unknown, the budget is not positive, or several processes got one.
        RuntimeError: the data set is not to be had (`dgm.data.load` says why and what to do), or
            another process is lost.
    """
    if name not in RECIPES:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(RECIPES)}")
    if budget is not None and not 0 < budget < math.inf:
        raise ValueError(f"budget: got {budget:g}, expected more than 0 minutes")
    if budget is not None and distributed:
        raise ValueError(f"budget: got {budget:g}, expected none of several processes")
    recipe = RECIPES[name]
    dataset = data.load(recipe.dataset)
    run = name if budget is None else f"{name}-{budget:g}min"
    plan = plan_of(recipe, dataset, budget, RUNS / f"{run}.json")
    batches = dataset.train.batches(plan["batch_size"], binarize=recipe.binarization)
    schedule = recipe.full if budget is None else recipe.short
    updates = plan["rounds"] * plan["updates"]
    rate = partial(schedule.rate, steps=updates)
    step, lap = new_step(recipe, dataset, rate), stopwatch()
    history = fit(
        step,
        First(plan["updates"], batches),
        plan["rounds"],
        validate=lambda: {"seconds": lap()},
        checkpoint=RUNS / f"{run}.pt",
        distributed=distributed,
    )
    if history.interrupted or (distributed and rank() > 0):
        return None
    images = len(dataset.test)
    if budget is not None and device().type == "cpu":
        images = min(images, recipe.few or images)
    lap()
    measured = measure(recipe, step.model, dataset, images)
    record = {
        "name": name,
        "model": recipe.model,
        "dataset": recipe.dataset,
        "binarization": recipe.binarization,
        "estimator": recipe.estimator,
        "unit": recipe.unit,
        "images": images,
        **measured,
        "budget_minutes": budget,
        "batch_size": plan["batch_size"],
        "epochs": round(updates / len(batches), 3),
        "seconds": sum(history["seconds"]),
        "measuring_seconds": lap(),
        "seed": SEED,
        "processes": world_size() if distributed else 1,
        **surroundings(),
    }
    if megabytes(step.model) <= KEPT:
        write_model(RECORDS / "models" / f"{run}.pt", step.model)
    write(RECORDS / f"{run}.json", record)
    return record


def measure(recipe: Recipe, model: nn.Module, dataset: data.Dataset, images: int) -> dict:
    """What the recipe says of a trained model, with the same draws each time."""
    torch.manual_seed(SEED)
    return recipe.score(model, dataset, images)


def summary(record: dict) -> str:
    """The figure, in one line."""
    return "{name}: {figure:.2f} ± {standard_error:.2f} {unit}".format(**record)


def plan_of(recipe: Recipe, dataset: data.Dataset, budget: float | None, file: Path) -> dict:
    """How many rounds of how many updates. Made once per run: a resumed run must follow the same.

    A round is an epoch. Where the budget is for less than ten, it is a tenth of what there is time
    for, so that no run is stopped far from its last checkpoint.
    """
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    schedule = recipe.full if budget is None else recipe.short
    batches = dataset.train.batches(schedule.batch_size)
    rounds, updates = schedule.epochs, len(batches)
    if budget is not None:
        update = seconds_per_update(recipe, dataset, trial=0.05 * 60 * budget)
        affordable = 60 * budget / update
        updates = max(1, min(len(batches), int(affordable / 10)))
        rounds = max(1, int(affordable / updates))
    plan = {"batch_size": schedule.batch_size, "rounds": rounds, "updates": updates}
    if rank() == 0:
        write(file, plan)
    return plan


class First:
    """The first so many batches of every pass."""

    def __init__(self, count: int, batches: data.Batches):
        self.count, self.batches = count, batches

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        return islice(self.batches, self.count)


def new_step(recipe: Recipe, dataset: data.Dataset, rate: Callable[[int], float]) -> Step:
    """The step as it stands before training, the same each time."""
    torch.manual_seed(SEED)
    return recipe.step(dataset, rate)


def seconds_per_update(recipe: Recipe, dataset: data.Dataset, trial: float) -> float:
    """What an update of the short schedule takes here, from a trial of so many seconds."""
    batches = dataset.train.batches(recipe.short.batch_size, binarize=recipe.binarization)
    stream = chain.from_iterable(repeat(batches))
    step = new_step(recipe, dataset, lambda t: recipe.short.rate(0, 1))

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


def stopwatch() -> Callable[[], float]:
    """A function that returns the seconds since it was last called."""
    last = time.perf_counter()

    def lap() -> float:
        nonlocal last
        before, last = last, time.perf_counter()
        return last - before

    return lap
