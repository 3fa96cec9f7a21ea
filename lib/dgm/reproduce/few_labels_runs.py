"""The recorded comparisons of `few_labels`: how long, where to, how to go on."""

import json
import math
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import sklearn

from .. import data
from .few_labels import SETTINGS, Draw, Setting, compare
from .runs import stopwatch, surroundings, write

RECORDS, RUNS = Path("book/records/few-labels"), Path("runs/few-labels")
DRAWS, UPDATES = 5, 20_000


def reproduce(name: str, budget: float | None = None) -> dict | None:
    """Run one of `SETTINGS` with 100, 1,000 and 80 % of all labels, and write the record.

    Args:
        name: of the setting.
        budget: minutes of training networks, all of them together (logistic regressions come on
            top); None: 20,000 updates each.

    Returns:
        The record, or None if Ctrl-C stopped it: the same call goes on with the unfinished parts.

    Raises:
        ValueError: the budget is not positive.
        RuntimeError: the data set is not to be had.
    """
    if budget is not None and not 0 < budget < math.inf:
        raise ValueError(f"budget: got {budget:g}, expected more than 0 minutes")
    setting, run = SETTINGS[name], name if budget is None else f"{name}-{budget:g}min"
    dataset = data.load(setting.dataset)
    unit = 5 * len(dataset.classes)
    numbers = (100, 1000, len(dataset.train) * 4 // 5 // unit * unit)
    plan = plan_of(setting, dataset, len(numbers), budget, RUNS / run / "plan.json")
    clock = stopwatch()
    try:
        rows = compare(setting, numbers, DRAWS, plan["updates"], RUNS / run)
    except KeyboardInterrupt:
        return None
    finally:
        plan["seconds"] += clock()
        write(RUNS / run / "plan.json", plan)
    head = partial(setting.likelihood)  # the head itself, or one with something fixed
    record = surroundings() | {
        "name": name,
        "dataset": setting.dataset,
        "training_images": len(dataset.train),
        "test_images": len(dataset.test),
        "networks": f"{setting.networks}, {words(setting.size | {'latent': setting.latent})}",
        "likelihood": f"{head.func.__name__} {words(head.keywords)}".strip(),
        "binarization": setting.binarize,
        "batch_size": setting.batch_size,
        "labelled_per_batch": setting.labelled,
        "draws": DRAWS,  # their seeds are 0, 1, ...; the next one is that of the choosing draw
        "budget_minutes": budget,
        **plan,
        "rows": rows,
    }
    record["versions"]["scikit-learn"] = sklearn.__version__
    write(RECORDS / f"{run}.json", record)
    return record


def words(settings: dict) -> str:
    """
    >>> words({"hidden": (256, 128), "sigma": 0.1})
    'hidden 256-128, sigma 0.1'
    """
    values = {k: "-".join(map(str, v)) if isinstance(v, tuple) else v for k, v in settings.items()}
    return ", ".join(f"{name} {value}" for name, value in values.items())


def summary(record: dict) -> str:
    """The table as text: mean and standard deviation over draws of the test error in percent."""
    lines = [f"{record['name']}: test error in percent"]
    for row in record["rows"]:
        mean, deviation = mean_and_deviation(row["errors"])
        lines.append(f"{row['method']:34}{row['labels']:7,} labels {mean:6.2f} ± {deviation:.2f}")
    return "\n".join(lines)


def mean_and_deviation(errors: Sequence[float]) -> tuple[float, float]:
    """Mean and standard deviation (dividing by n - 1) of the errors of n draws.

    >>> mean_and_deviation([1.0, 2.0, 3.0])
    (2.0, 1.0)
    """
    return statistics.mean(errors), statistics.stdev(errors)


def plan_of(
    setting: Setting, dataset: data.Dataset, numbers: int, budget: float | None, file: Path
) -> dict:
    """The number of updates, made once per run, and the seconds that were spent on it so far."""
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    updates = UPDATES
    if budget is not None:
        updates = max(1, int(60 * budget / seconds_per_update(setting, dataset, numbers)))
    write(file, plan := {"updates": updates, "seconds": 0.0})
    return plan


def seconds_per_update(
    setting: Setting, dataset: data.Dataset, numbers: int, trial: int = 10
) -> float:
    """What one update more of each network costs the whole comparison.

    Two short comparisons differ by 2 * trial updates; what does not depend on them drops out.
    """

    def seconds(updates: int) -> float:
        draw, lap = Draw(setting, dataset, seed=0, updates=updates), stopwatch()
        draw.vae(1.0), draw.vae(0.25)
        vaes = lap()
        for method in setting.methods:
            method.learn(draw, draw.split(100), method.choices[0], updates)
        return vaes + numbers * lap()

    seconds(1)  # the first one takes longer
    short = seconds(trial)
    return (DRAWS + 1) * max(seconds(3 * trial) - short, 1e-3) / (2 * trial)
