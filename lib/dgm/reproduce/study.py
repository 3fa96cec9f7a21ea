"""Studies: several settings, each trained with several seeds, and curves of what is measured."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import data
from ..train import History, Step, own_random_state
from .runs import mean_and_deviation, seconds_per_update, spent, train_rounds

MEASURING_SEED = 0  # measuring draws the same numbers each time, and none of the training's


@dataclass(frozen=True)
class Study:
    """An experiment of a chapter: curves of several settings over several seeds.

    Attributes:
        model: what is trained and how, in words.
        dataset: a name for `dgm.data.load`, or, where `load` is a subclass's own, for people.
        settings: by name, start(shape) -> a training step, from the shape of an example.
        watched: the attributes of a step that hold models to be measured. The weights of the first
            are kept.
        measure: measure(model, data) -> figures.
        measured: how, in words.
        batch_size: examples per update.
        updates: of each step.
        every: updates between two points of a curve, of which the first is not at the start.
        seeds: how many; they are 0, 1, ...
        binarize: how the training images are made binary, as in `Split.batches`.
        held_back: so many of the last training examples are left out, for `measure` to validate on.
        weights: whether those of the models are kept.
    """

    model: str
    dataset: str
    settings: dict[str, Callable[[tuple[int, ...]], Step]]
    watched: tuple[str, ...]
    measure: Callable[[nn.Module, data.Dataset], dict[str, float]]
    measured: str
    batch_size: int
    updates: int
    every: int
    seeds: int = 5
    binarize: str | None = None
    held_back: int = 0
    weights: bool = True
    folder: ClassVar[str] = ""

    def plan(self, budget: float | None) -> dict:
        rounds = self.updates // self.every
        if budget is not None:
            dataset = self.load()
            trial = 0.05 * 60 * budget / len(self.settings)
            update = sum(
                seconds_per_update(
                    self.start(name, 0, self.shape(dataset)), self.batches(dataset), trial
                )
                for name in self.settings
            )
            affordable = 60 * budget / (self.seeds * self.every * update)
            rounds = max(1, min(rounds, int(affordable)))
        return {"rounds": rounds}

    def run(self, plan: dict, folder: Path) -> tuple[dict, dict[str, nn.Module]]:
        dataset, seeds = self.load(), range(self.seeds)
        settings, models, everything = {}, {}, []
        with tqdm(total=len(self.settings) * self.seeds, unit="run") as bar:
            for name in self.settings:
                histories = []
                for seed in seeds:
                    bar.set_postfix_str(f"{name}, seed {seed}")
                    file = folder / f"{name}, seed {seed}.pt"
                    step, history = self.train(name, seed, dataset, plan["rounds"], file)
                    models[f"{name}, seed {seed}"] = self.kept(step)
                    histories.append(history)
                    bar.update()
                curves = curves_of(histories)
                figures = {metric: last(curve) for metric, curve in curves.items()}
                settings[name] = {"seeds": [*seeds], "figures": figures, "curves": curves}
                everything += histories
        record = {
            "model": self.model,
            "dataset": self.dataset,
            "shape": [*self.shape(dataset)],
            "measured": self.measured,
            "batch_size": self.batch_size,
            "updates": [self.every * (i + 1) for i in range(plan["rounds"])],
            **spent(*everything),
            "settings": settings,
        }
        return record, models if self.weights else {}

    def summary(self, record: dict) -> str:
        """The figures at the end, mean and standard deviation over seeds."""
        lines = [f"{record['name']}: after {record['updates'][-1]:,} updates"]
        for name, setting in record["settings"].items():
            for metric, figure in setting["figures"].items():
                lines.append(
                    f"{name:24}{metric:24}{figure['mean']:8.3f} ± {figure['deviation']:.3f}"
                )
        return "\n".join(lines)

    def train(
        self, setting: str, seed: int, dataset: data.Dataset, rounds: int, file: Path | None = None
    ) -> tuple[Step, History]:
        """One setting, one seed: the step and the history of so many rounds."""
        step = self.start(setting, seed, self.shape(dataset))
        watch = partial(self.watch, step, dataset)
        options = {"checkpoint": file, "progress": False}
        return step, train_rounds(
            step, self.batches(dataset, seed), self.every, rounds, watch, **options
        )

    def start(self, setting: str, seed: int, shape: tuple[int, ...]) -> Step:
        """The step as it stands before training, the same each time."""
        torch.manual_seed(seed)
        return self.settings[setting](shape)

    def kept(self, step: Step) -> nn.Module:
        """The model whose weights are kept."""
        return getattr(step, self.watched[0])

    def untrained(self, shape: tuple[int, ...], setting: str) -> nn.Module:
        """A model of the form that is kept."""
        return self.kept(self.start(setting, 0, shape))

    def load(self) -> data.Dataset:
        """What it learns from and is measured on."""
        return data.load(self.dataset)

    def shape(self, dataset: data.Dataset) -> tuple[int, ...]:
        """Of what is learned: that of an example."""
        return dataset.shape

    def batches(self, dataset: data.Dataset, seed: int = 0) -> Iterable[Sequence[Tensor]]:
        """What a run with this seed learns from: here, of any seed, the training examples."""
        train = dataset.train
        if self.held_back:
            train = train.select(torch.arange(len(train) - self.held_back, device=train.y.device))
        return train.batches(self.batch_size, binarize=self.binarize, drop_last=True)

    def watch(self, step: Step, dataset: data.Dataset) -> dict[str, float]:
        """What is measured of the models in a step; training does not notice."""
        with own_random_state(MEASURING_SEED):
            return {
                f"{name} {metric}": value
                for name in self.watched
                for metric, value in self.measure(getattr(step, name), dataset).items()
            }


def curves_of(histories: Sequence[History]) -> dict[str, list[list[float]]]:
    """For each metric the values of each seed (a list), to six digits.

    >>> history = History()
    >>> history.append({"good": 1 / 3, "seconds": 2.0, "load": 1.0})
    >>> curves_of([history, history])
    {'good': [[0.333333], [0.333333]]}
    """
    metrics = [name for name in histories[0].metrics if name not in ("seconds", "load")]
    return {name: [[float(f"{v:.6g}") for v in h[name]] for h in histories] for name in metrics}


def last(curve: Sequence[Sequence[float]]) -> dict[str, float]:
    """The spread over seeds of the last values.

    >>> last([[9.0, 1.0], [9.0, 2.0], [9.0, 3.0]])
    {'mean': 2.0, 'deviation': 1.0}
    """
    mean, deviation = mean_and_deviation([values[-1] for values in curve])
    return {"mean": mean, "deviation": deviation}
