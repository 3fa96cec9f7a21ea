"""Straight trajectories in the plane: what couplings and reflow are worth at few steps."""

from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor, nn

from .. import data
from .._device import device
from ..couplings import minibatch_ot, pairs
from ..denoisers import Denoising
from ..evaluate import mmd, ode_log_prob, straightness, transport_cost
from ..models import Diffusion
from ..objectives import flow_between, flow_matching
from ..paths import grid, linear
from ..samplers import euler, heun
from ..train import Step, gradient_step, own_random_state, rising_average
from .parts import at_rate, falling_rate
from .six_ways import OfDraws

UPDATES, PAIRS, DRAWN = 1500, 20_000, 1000
EULER = (1, 2, 4, 8, 16, 64)  # steps
ALONE, BATCHES, ONCE, TWICE = "independent pairs", "minibatch OT", "reflow", "reflow twice"
TEACHER = {ONCE: ALONE, TWICE: ONCE}  # whose trajectories are learned


def start(objective: Callable[..., Tensor], shape: tuple[int, ...]) -> Step:
    """A flow on straight lines: a residual perceptron, two blocks of width 64."""
    model = Diffusion.mlp(shape, width=64, blocks=2, path=linear(), predict="velocity")
    rate = partial(falling_rate, steps=UPDATES, highest=3e-3)
    adam, lr_schedule = at_rate(partial(torch.optim.Adam, fused=True), rate)
    ema = partial(rising_average, ema=0.99)
    return gradient_step(
        model.to(device()), objective, optimizer=adam, lr_schedule=lr_schedule, ema=ema
    )


class OfPairs:
    """`flow_between` of a teacher's pairs, drawn anew for each batch, whatever points it has."""

    def __init__(self, teacher: Denoising):
        self.x, self.eps = pairs(teacher, PAIRS)

    def __call__(self, model: nn.Module, x: Tensor, y: None = None) -> Tensor:
        i = torch.randint(len(self.x), (len(x),), device=x.device)
        return flow_between(model, self.x[i], self.eps[i])


class Straightening(OfDraws):
    """Some settings learn from the model that another one ends with."""

    def start(self, setting: str, seed: int, shape: tuple[int, ...]) -> Step:
        step = super().start(setting, seed, shape)
        if setting in TEACHER:
            with own_random_state(seed):  # which training moves, if it was not done before
                teacher = taught(self.dataset, TEACHER[setting], seed)
            with own_random_state(seed):
                step.objective = OfPairs(teacher)
        return step


@cache
def taught(toy: str, setting: str, seed: int) -> nn.Module:
    """The model that a setting ends with."""
    study = STRAIGHT[f"straight-flows-{toy}"]
    rounds = study.updates // study.every
    return study.train(setting, seed, data.load(toy), rounds)[0].average


def by_steps(model: Diffusion, dataset: data.Dataset) -> dict[str, float]:
    """How far off draws are at each number of Euler steps, and what the flow is in the limit."""
    density = dataset.density
    x, found = density.sample((DRAWN,)), {}
    noise = model.start(DRAWN, grid(model.path, 1)[0])
    for steps in EULER:  # from where training has been: at t = 1 no network has seen the level
        drawn = euler(model, noise, grid(model.path, steps))
        found[f"{steps} MMD"] = mmd(drawn, x, bandwidth=0.3)
    excess = density.log_prob(x) - ode_log_prob(model, x, steps=50)
    x, eps = pairs(model, DRAWN, sampler=heun)
    return found | {
        "KL": excess.mean().item(),
        "straightness": straightness(model, DRAWN, steps=32)[0],
        "cost": transport_cost(x, eps)[0],
    }


def straight(toy: str) -> Straightening:
    """Sources: Liu, Gong and Liu (2023), arXiv:2209.03003; Tong et al. (2024), arXiv:2302.00482."""
    objectives = {
        ALONE: flow_matching,
        ONCE: flow_matching,  # until its pairs are there
        TWICE: flow_matching,
        BATCHES: partial(flow_matching, coupling=minibatch_ot),
    }
    return Straightening(
        model="a flow on straight lines, residual perceptron of 2 blocks of width 64, Adam at "
        "0.003, falling",
        dataset=toy,
        settings={name: partial(start, objective) for name, objective in objectives.items()},
        watched=("average",),
        measure=by_steps,
        measured=f"MMD² (bandwidth 0.3) of {DRAWN:,} draws by so many Euler steps, KL(data || "
        "model) in nats by the equation, straightness and transport cost, of the average; the mean "
        "objective since the last point",
        batch_size=256,
        updates=UPDATES,
        every=500,
        seeds=3,
        weights=False,
    )


STRAIGHT = {f"straight-flows-{toy}": straight(toy) for toy in ("moons", "ring")}
