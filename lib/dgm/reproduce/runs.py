"""A run: train a recipe or go on with it, measure it, write the record."""

import json
import math
import os
import platform
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import chain, islice, repeat
from pathlib import Path

import torch
from torch import Tensor

from .. import data
from .._device import device
from ..train import Step, fit
from .recipes import RECIPES, Recipe

RECORDS, RUNS = Path("book/records"), Path("runs")
SEED = 0
FEW = 1000  # test images of a budgeted run on a CPU


def reproduce(name: str, budget: float | None = None) -> dict | None:
    """Train and measure one recipe, or go on with it, and write the record.

    Args:
        name: one of `RECIPES`.
        budget: minutes of training; None follows the published schedule.

    Returns:
        The record, or None if Ctrl-C stopped the training.

    Raises:
        ValueError: the name is unknown, or the budget is not positive.
        RuntimeError: the data set is not to be had (`dgm.data.load` says why and what to do).
    """
    if name not in RECIPES:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(RECIPES)}")
    if budget is not None and not 0 < budget < math.inf:
        raise ValueError(f"budget: got {budget:g}, expected more than 0 minutes")
    recipe = RECIPES[name]
    dataset = data.load(recipe.dataset)
    run = name if budget is None else f"{name}-{budget:g}min"
    plan = plan_of(recipe, dataset, budget, RUNS / f"{run}.json")
    batches = dataset.train.batches(plan["batch_size"], binarize=recipe.binarization)
    schedule = recipe.published if budget is None else recipe.short
    updates = plan["rounds"] * plan["updates"]
    rate = partial(schedule.rate, steps=updates)
    step, lap = new_step(recipe, dataset, rate), stopwatch()
    history = fit(
        step,
        First(plan["updates"], batches),
        plan["rounds"],
        validate=lambda: {"seconds": lap()},
        checkpoint=RUNS / f"{run}.pt",
    )
    if history.interrupted:
        return None
    few = budget is not None and device().type == "cpu"
    images = min(FEW, len(dataset.test)) if few else len(dataset.test)
    torch.manual_seed(SEED)
    lap()
    figure, standard_error = recipe.score(step.model, dataset, images)
    record = {
        "name": name,
        "model": recipe.model,
        "dataset": recipe.dataset,
        "binarization": recipe.binarization,
        "estimator": recipe.estimator,
        "unit": recipe.unit,
        "images": images,
        "figure": figure,
        "standard_error": standard_error,
        "budget_minutes": budget,
        "batch_size": plan["batch_size"],
        "epochs": round(updates / len(batches), 3),
        "seconds": sum(history["seconds"]),
        "measuring_seconds": lap(),
        "seed": SEED,
        **surroundings(),
    }
    write(RECORDS / f"{run}.json", record)
    return record


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
    schedule = recipe.published if budget is None else recipe.short
    batches = dataset.train.batches(schedule.batch_size)
    rounds, updates = schedule.epochs, len(batches)
    if budget is not None:
        update = seconds_per_update(recipe, dataset, trial=0.05 * 60 * budget)
        affordable = 60 * budget / update
        updates = max(1, min(len(batches), int(affordable / 10)))
        rounds = max(1, int(affordable / updates))
    plan = {"batch_size": schedule.batch_size, "rounds": rounds, "updates": updates}
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


def surroundings() -> dict:
    """Where and with what a run was made."""
    place = device()
    return {
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else place.type,
        "threads": torch.get_num_threads(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def commit() -> str | None:
    """The commit of this source, with "-dirty" if files differ from it; None without git."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        run = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def write(file: Path, content: dict) -> None:
    """JSON, whole or not at all: to a temporary file, which then takes the place of the old one."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(file.name + ".part")
    try:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
