"""A line of the scoreboard: one model, trained as published and measured on test images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import nn

from .. import data
from .._device import device
from ..train import History, Step, rank
from .records import round_weights
from .runs import seconds_per_update, spent, stopwatch, train_rounds

SEED = 0
ABOUT = ("model", "dataset", "binarization", "estimator", "unit")  # a recipe, in its record


@dataclass(frozen=True)
class Schedule:
    """How long to train, and with which learning rates.

    Attributes:
        batch_size: examples per update.
        rate: rate(t, steps) -> learning rate after t updates of `steps`, t from 0 to `steps`.
        epochs: None if the budget decides.
        parts: how many rounds an epoch is divided into, so that no run is stopped far from its last
            checkpoint.
    """

    batch_size: int
    rate: Callable[[int, int], float]
    epochs: int | None = None
    parts: int = 1


@dataclass(frozen=True)
class Recipe:
    """One line of the scoreboard. A new one is a function that returns this, and a name for it.

    Attributes:
        model: the model and its objective, in words.
        dataset: a name for `dgm.data.load`.
        binarization: "dynamic", or None where the data stay as they are.
        estimator: how the figure is computed, in words.
        unit: of the figure; lower is better.
        step: step(shape, rate) -> a training step with a `model`, for examples of that shape;
            rate(t) is its learning rate.
        score: score(model, data, images) -> `figure` and `standard_error` on the first so many
            test images, and whatever else the record should say of them.
        full: the schedule without a budget: that of the publication, or of the implementation whose
            figure it is, or our own where none is published.
        short: the schedule for a budget.
        few: how many test images do for a budget on a CPU; None: all of them.
        prepare: prepare(model, data), what the model is told of the data before it is trained.
        seeds: how often the full schedule is run. The first model is kept and described; of the
            others the record has the figures.
        kept: whether its weights are, if they are small enough; else the record has what is shown.
    """

    model: str
    dataset: str
    binarization: str | None
    estimator: str
    unit: str
    step: Callable[[tuple[int, ...], Callable[[int], float]], Step]
    score: Callable[[nn.Module, data.Dataset, int], dict]
    full: Schedule
    short: Schedule
    few: int | None = 1000
    prepare: Callable[[nn.Module, data.Dataset], None] | None = None
    seeds: int = 1
    kept: bool = True
    folder: ClassVar[str] = ""

    def plan(self, budget: float | None) -> dict:
        """How many rounds of how many updates, and how many test images.

        A round is an epoch, or the part of one that the schedule says. Where the budget is for less
        than ten, it is a tenth of what there is time for, so that no run is stopped far from its
        last checkpoint.
        """
        schedule, dataset = self.schedule(budget), data.load(self.dataset)
        batches = dataset.train.batches(schedule.batch_size, binarize=self.binarization)
        updates, images = len(batches), len(dataset.test)
        if budget is None:
            rounds, updates = schedule.epochs * schedule.parts, updates // schedule.parts
        else:
            step = self.start(dataset, lambda t: schedule.rate(0, 1))
            update = seconds_per_update(step, batches, trial=0.05 * 60 * budget)
            affordable = 60 * budget / update
            updates = max(1, min(len(batches), int(affordable / 10)))
            rounds = max(1, int(affordable / updates))
            if device().type == "cpu":
                images = min(images, self.few or images)
        size = schedule.batch_size
        return {"batch_size": size, "rounds": rounds, "updates": updates, "images": images}

    def plan_again(self, record: dict) -> dict:
        """That of a record: as many updates, however long they take here."""
        budget, images, size = (record[k] for k in ("budget_minutes", "images", "batch_size"))
        if budget is None:
            return {"budget_minutes": None, **self.plan(None)}
        epochs, batches = record["epochs"], data.load(self.dataset).train.batches(size)
        rounds = max(10, int(epochs))
        updates = round(epochs * len(batches) / rounds)
        plan = {"batch_size": size, "rounds": rounds, "updates": updates, "images": images}
        return {"budget_minutes": budget, **plan}

    def schedule(self, budget: float | None) -> Schedule:
        return self.full if budget is None else self.short

    def start(self, dataset: data.Dataset, rate: Callable[[int], float], seed: int = SEED) -> Step:
        """The step as it stands before training, the same each time."""
        torch.manual_seed(seed)
        step = self.step(dataset.shape, rate)
        if self.prepare:
            self.prepare(step.model, dataset)
        return step

    def untrained(self, shape: tuple[int, ...], setting: None = None) -> nn.Module:
        """A model of the form that is kept."""
        return learned(self.step(shape, lambda t: 1e-3))

    def run(
        self, plan: dict, folder: Path, distributed: bool = False
    ) -> tuple[dict, dict[str, nn.Module]]:
        step, history = self.train(plan, folder / "checkpoint.pt", distributed=distributed)
        if distributed and rank() > 0:
            return {}, {}
        dataset, lap = data.load(self.dataset), stopwatch()
        size, updates = plan["batch_size"], plan["rounds"] * plan["updates"]
        record = {
            **{key: getattr(self, key) for key in ABOUT},
            "shape": [*dataset.shape],
            "images": plan["images"],
            **self.measure(learned(step), dataset, plan["images"]),
            "batch_size": size,
            "epochs": round(updates / len(dataset.train.batches(size)), 3),
            **spent(history),
            **curve(history),
            "measuring_seconds": lap(),
            "seed": SEED,
        }
        if self.seeds > 1 and not (plan["budget_minutes"] or distributed):
            others = range(SEED + 1, SEED + self.seeds)
            record["other_seeds"] = [self.figure(plan, folder, seed) for seed in others]
        return record, {"model": learned(step)} if self.kept else {}

    def train(
        self, plan: dict, checkpoint: Path, seed: int = SEED, distributed: bool = False
    ) -> tuple[Step, History]:
        """The step at the end, its model's weights rounded as they are kept."""
        dataset, rounds, updates = data.load(self.dataset), plan["rounds"], plan["updates"]
        batches = dataset.train.batches(plan["batch_size"], binarize=self.binarization)
        rate = partial(self.schedule(plan["budget_minutes"]).rate, steps=rounds * updates)
        step = self.start(dataset, rate, seed)
        options = {"checkpoint": checkpoint, "distributed": distributed}
        history = train_rounds(step, batches, updates, rounds, **options)
        round_weights(learned(step))
        return step, history

    def figure(self, plan: dict, folder: Path, seed: int) -> float:
        """That of a model which was trained alike from another seed."""
        step, _ = self.train(plan, folder / f"seed {seed}.pt", seed)
        return self.measure(learned(step), data.load(self.dataset), plan["images"])["figure"]

    def measure(self, model: nn.Module, dataset: data.Dataset, images: int) -> dict:
        """What the recipe says of a trained model, with the same draws each time."""
        torch.manual_seed(SEED)
        return self.score(model, dataset, images)

    def summary(self, record: dict) -> str:
        """The figure, in one line."""
        return "{name}: {figure:.2f} ± {standard_error:.2f} {unit}".format(**record)


def learned(step: Step) -> nn.Module:
    """What is measured and kept: the average of the model, where the step keeps one."""
    average = getattr(step, "average", None)
    return step.model if average is None else average


def curve(history: History) -> dict:
    """The objective in each round, of a step that has one."""
    values = history.metrics.get("objective")
    return {"objective": [float(f"{value:.5g}") for value in values]} if values else {}
