"""The comparison of few labels as an experiment: how long, with how many labels, what is kept."""

from dataclasses import dataclass
from functools import partial
from os import getloadavg
from pathlib import Path
from typing import ClassVar

from torch import nn

from .. import data
from .few_labels import SETTINGS, Draw, Setting, compare
from .records import write
from .runs import mean_and_deviation, stopwatch


@dataclass(frozen=True)
class Comparison:
    """A setting with several numbers of labels.

    A budget is of training networks, all of them together; logistic regressions come on top.

    Attributes:
        draws: of the labels; their seeds are 0, 1, ..., the next one is that of the choosing draw.
        updates: of each network, without a budget.
    """

    setting: Setting
    draws: int = 5
    updates: int = 20_000
    folder: ClassVar[str] = "few-labels"

    def plan(self, budget: float | None) -> dict:
        """The number of updates, and the seconds that were spent on them so far."""
        updates = self.updates
        if budget is not None:
            updates = max(1, int(60 * budget / self.seconds_per_update()))
        return {"updates": updates, "seconds": 0.0}

    def numbers(self, dataset: data.Dataset) -> tuple[int, ...]:
        """Of labels: 100, 1,000 and 80 % of all."""
        unit = 5 * len(dataset.classes)
        return 100, 1000, len(dataset.train) * 4 // 5 // unit * unit

    def run(self, plan: dict, folder: Path) -> tuple[dict, dict[str, nn.Module]]:
        setting, dataset, clock = self.setting, data.load(self.setting.dataset), stopwatch()
        try:
            rows = compare(setting, self.numbers(dataset), self.draws, plan["updates"], folder)
        finally:
            plan["seconds"] += clock()
            write(folder / "plan.json", plan)
        head = partial(setting.likelihood)  # the head itself, or one with something fixed
        record = {
            "dataset": setting.dataset,
            "training_images": len(dataset.train),
            "test_images": len(dataset.test),
            "networks": f"{setting.networks}, {words(setting.size | {'latent': setting.latent})}",
            "likelihood": f"{head.func.__name__} {words(head.keywords)}".strip(),
            "binarization": setting.binarize,
            "batch_size": setting.batch_size,
            "labelled_per_batch": setting.labelled,
            "draws": self.draws,
            **plan,
            "load": round(getloadavg()[0], 2),
            "rows": rows,
        }
        return record, {}

    def seconds_per_update(self, trial: int = 10) -> float:
        """What one update more of each network costs the whole comparison.

        Two short comparisons differ by 2 * trial updates; what does not depend on them drops out.
        """
        dataset = data.load(self.setting.dataset)

        def seconds(updates: int) -> float:
            draw, lap = Draw(self.setting, dataset, seed=0, updates=updates), stopwatch()
            draw.vae(1.0), draw.vae(0.25)
            vaes = lap()
            for method in self.setting.methods:
                method.learn(draw, draw.split(100), method.choices[0], updates)
            return vaes + len(self.numbers(dataset)) * lap()

        seconds(1)  # the first one takes longer
        short = seconds(trial)
        return (self.draws + 1) * max(seconds(3 * trial) - short, 1e-3) / (2 * trial)

    def summary(self, record: dict) -> str:
        """The table as text: mean and standard deviation over draws of the test error."""
        lines = [f"{record['name']}: test error in percent"]
        for row in record["rows"]:
            mean, deviation = mean_and_deviation(row["errors"])
            label = f"{row['method']:34}{row['labels']:7,} labels"
            lines.append(f"{label} {mean:6.2f} ± {deviation:.2f}")
        return "\n".join(lines)


def words(settings: dict) -> str:
    """
    >>> words({"hidden": (256, 128), "sigma": 0.1})
    'hidden 256-128, sigma 0.1'
    """
    values = {k: "-".join(map(str, v)) if isinstance(v, tuple) else v for k, v in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in values.items())


COMPARISONS = {name: Comparison(setting) for name, setting in SETTINGS.items()}
