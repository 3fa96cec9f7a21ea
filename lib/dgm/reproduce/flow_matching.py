"""The diffusion model's network, trained as a flow on straight lines: are they the same model?"""

import dataclasses
from collections.abc import Callable
from functools import partial

from ..data import Dataset
from ..models import Diffusion
from ..objectives import flow_matching
from ..paths import linear
from ..samplers import euler
from ..train import own_random_state
from .diffusion import STEPS, bits, diffusion, drawn, of_class
from .gans import distance_of_samples
from .recipe import Recipe
from .records import packed

EULER = (1, 2, 4, 8, 50)  # steps
SHOWN = 3  # images of each class, of the same noise at each number of steps


def matched(epochs: int) -> Recipe:
    """All as for `diffusion`, but for the path, what is predicted and how its errors are weighed.

    Source: Lipman et al. (2023), arXiv:2210.02747. The settings are those of `diffusion`.
    """
    recipe = diffusion(epochs, flow_matching, path=linear(), predict="velocity")
    return dataclasses.replace(
        recipe,
        model="flow matching, U-Net of 243,028 weights, given the class",
        score=by_steps,
        kept=False,
    )


def by_steps(model: Diffusion, dataset: Dataset, images: int) -> dict:
    """The figures of `diffusion`; those of Euler's method with few steps; what these draw."""
    few = partial(distance_of_samples, model, dataset, images)
    by_euler = {steps: partial(drawn, sampler=euler, steps=steps) for steps in EULER}
    return {
        **few(draw=drawn),
        "heun_steps": STEPS,
        "euler": {f"{steps}": few(draw=draw) for steps, draw in by_euler.items()},
        "drawn": {f"{steps}": shown(model, draw) for steps, draw in by_euler.items()},
        "right": of_class(model, dataset)["right"],
        "bits": bits(model, dataset, images),
    }


def shown(model: Diffusion, draw: Callable) -> str:
    """Some images of each class, packed; their noise is the same each time."""
    with own_random_state(0):
        return packed(draw(model, SHOWN * model.classes))


FLOW_MATCHING = {"flow-matching": matched(epochs=8)}
