"""The experiments by name, and how one is run: a plan, resuming, the record."""

import json
import math
from pathlib import Path
from typing import Protocol

from torch import nn

from ..train import rank, world_size
from .at_scale import AT_SCALE
from .bits import BITS
from .comparison import COMPARISONS
from .diffusion import DIFFUSION
from .digits import DIGITS, ORDERS
from .energies import ENERGIES
from .families import FAMILIES
from .flow_matching import FLOW_MATCHING
from .flows import FLOWS
from .latent_flow import LATENT_FLOW
from .masked_text import MASKED_TEXT
from .recipe import Recipe
from .recipes import RECIPES
from .records import RECORDS, RUNS, surroundings, write, write_models
from .ring import RING_COLLAPSE, RING_GAME
from .runs import stopwatch
from .six_ways import SIX_WAYS
from .stacked import HUNDRED_LABELS
from .straight import STRAIGHT
from .variants import VARIANTS
from .vq_vae import VQ_VAE


class Experiment(Protocol):
    """What can be run: a `Recipe` of the scoreboard, a `Comparison`, a `Study`.

    One whose models are kept has `untrained(shape, setting)` too, a model of the form that is kept.

    Attributes:
        folder: of its records, within book/records/.
    """

    folder: str

    def plan(self, budget: float | None) -> dict:
        """How long to train. Made once per run: a resumed run must follow the same."""
        ...

    def run(self, plan: dict, folder: Path) -> tuple[dict, dict[str, nn.Module]]:
        """Train, or go on with what lies in the folder, and measure.

        Returns what the record says, and by name the models whose weights are kept if they are
        small enough. KeyboardInterrupt ends it; what is finished lies in the folder.
        """
        ...

    def summary(self, record: dict) -> str:
        """The outcome, for people."""
        ...


EXPERIMENTS: dict[str, Experiment] = {
    **RECIPES,
    **AT_SCALE,
    **FLOWS,
    **ENERGIES,
    **SIX_WAYS,
    **DIFFUSION,
    **FLOW_MATCHING,
    **STRAIGHT,
    **LATENT_FLOW,
    **VQ_VAE,
    **COMPARISONS,
    **FAMILIES,
    "ring-game": RING_GAME,
    "ring-collapse": RING_COLLAPSE,
    "bits": BITS,
    "vae-variants": VARIANTS,
    "hundred-labels": HUNDRED_LABELS,
    "autoregressive-digits": DIGITS,
    "autoregressive-orders": ORDERS,
    "masked-text": MASKED_TEXT,
}


def reproduce(name: str, budget: float | None = None, distributed: bool = False) -> dict | None:
    """Run an experiment, or go on with it, and write the record.

    Models that are small enough are kept in book/records/models/, so that anyone can measure them
    again and draw from them.

    Args:
        name: one of `EXPERIMENTS`.
        budget: minutes of training; None follows the full schedule.
        distributed: train a recipe together with the other processes that torchrun started.

    Returns:
        The record, or None if Ctrl-C stopped the training. Of several processes, rank 0 measures
        and writes; the others return None.

    Raises:
        ValueError: the name is unknown, the budget is not positive, or several processes got one,
            or something else than a recipe.
        RuntimeError: the data set is not to be had (`dgm.data.load` says why and what to do), or
            another process is lost.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(EXPERIMENTS)}")
    if budget is not None and not 0 < budget < math.inf:
        raise ValueError(f"budget: got {budget:g}, expected more than 0 minutes")
    if budget is not None and distributed:
        raise ValueError(f"budget: got {budget:g}, expected none of several processes")
    experiment, together = EXPERIMENTS[name], {"distributed": True} if distributed else {}
    if distributed and not isinstance(experiment, Recipe):
        raise ValueError(f"distributed: got {name}, expected one of {', '.join(RECIPES)}")
    run = run_of(name, budget)
    try:
        plan = plan_of(experiment, budget, RUNS / run / "plan.json")
        outcome, models = experiment.run(plan, RUNS / run, **together)
    except KeyboardInterrupt:
        return None
    if distributed and rank() > 0:
        return None
    record = {"name": name, **outcome, "budget_minutes": budget}
    record["processes"] = world_size() if distributed else 1
    about = surroundings()  # before weights are written over, which git would call a change
    if write_models(RECORDS / "models" / f"{run}.pt", models):
        record["weights"] = "float16"
    record |= about
    write(RECORDS / experiment.folder / f"{run}.json", record)
    return record


def add_seeds(name: str, budget: float | None = None, seeds: int = 3) -> dict | None:
    """Add the figures of other seeds to a recipe's record, which stays as it is.

    Each is trained for as many updates as the record says, so that a budget in minutes, which buys
    another number of them on another day, leaves the seeds comparable.

    Args:
        name, budget: those of the record.
        seeds: how many there are then, with the first.

    Returns:
        The record, or None if Ctrl-C stopped the training.

    Raises:
        ValueError: the name is none of a recipe, there is no such record, or seeds is less than 2.
    """
    recipe, file = EXPERIMENTS.get(name), RECORDS / f"{run_of(name, budget)}.json"
    if not isinstance(recipe, Recipe):
        raise ValueError(f"name: got {name!r}, expected one of {', '.join(RECIPES)}")
    if not file.exists():
        raise ValueError(f"name, budget: got {file.stem}, expected those of a record that stands")
    if seeds < 2:
        raise ValueError(f"seeds: got {seeds}, expected 2 or more, of which the record has one")
    record, lap = json.loads(file.read_text(encoding="utf-8")), stopwatch()
    try:
        plan, folder = recipe.plan_again(record), RUNS / file.stem
        others = range(record["seed"] + 1, record["seed"] + seeds)
        figures = [recipe.figure(plan, folder, seed) for seed in others]
    except KeyboardInterrupt:
        return None
    record |= {"other_seeds": figures, "others": {"seconds": lap()} | surroundings()}
    write(file, record)
    return record


def run_of(name: str, budget: float | None) -> str:
    """What a run is called: "gan", or "gan-5min" with a budget."""
    return name if budget is None else f"{name}-{budget:g}min"


def plan_of(experiment: Experiment, budget: float | None, file: Path) -> dict:
    """The plan of a run, from its file if there is one."""
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    plan = {"budget_minutes": budget, **experiment.plan(budget)}
    if rank() == 0:
        write(file, plan)
    return plan
