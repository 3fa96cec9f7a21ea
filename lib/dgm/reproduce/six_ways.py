"""One energy of the plane, trained in six ways on the same draws, and judged by the same sums."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from .._device import device
from ..data import Dataset
from ..energies import grid_points, log_density, score
from ..evaluate import grid_kl
from ..models import EnergyNetwork
from ..objectives import (
    contrastive_divergence,
    denoising_score_matching,
    grid_likelihood,
    noise_contrastive,
    score_matching,
    sliced_score_matching,
)
from ..samplers import metropolis
from ..train import Step
from .parts import falling_rate, scheduled_step
from .study import Study

UPDATES = 1200
BOX, CELLS = 3.0, 96  # the square that is summed over, and its squares per side
SCALES = (0.07, 0.07, 0.07, 0.35)  # of the walk: three steps within a mode, one between modes


def start(objective: Callable[..., Tensor], shape: tuple[int, ...]) -> Step:
    """The energy: waves, two layers of 64 units, and the energy of N(0, I)."""
    rate = partial(falling_rate, steps=UPDATES, highest=5e-3)
    model = EnergyNetwork.fourier(shape, confine=1.0)
    return scheduled_step(model, objective, rate, torch.optim.Adam)


def with_noise(shape: tuple[int, ...]) -> Step:
    """Noise-contrastive estimation, one draw of N(0, I) for each point."""
    zero = torch.zeros(shape, device=device())
    noise = Independent(Normal(zero, 1.0), 1)
    return start(partial(noise_contrastive, noise=noise), shape)


def distances(model: EnergyNetwork, dataset: Dataset) -> dict[str, float]:
    """KL(p_data || p_theta), and the Fisher divergence, half the mean square of what their scores
    differ by."""
    density, x = dataset.density, grid_points(BOX, CELLS, like=dataset.train.x)
    log_p = log_density(density, x).log_softmax(0)
    x, p = x[log_p > -25], log_p[log_p > -25].exp()  # what is left out weighs nothing
    off = score(model, x).detach() - score(density, x)
    return {
        "KL": grid_kl(density, model, BOX, CELLS, like=dataset.train.x),
        "Fisher divergence": (p * off.square().sum(1)).sum().item() / 2,
    }


class Draws:
    """Batches of fresh draws, without end: there is nothing to overfit."""

    def __init__(self, density: Distribution, size: int):
        self.density, self.size = density, size

    def __iter__(self) -> Iterator[tuple[Tensor]]:
        while True:
            yield (self.density.sample((self.size,)),)


class OfDraws(Study):
    """A study of a density that is known."""

    def batches(self, dataset: Dataset, seed: int = 0) -> Draws:
        return Draws(dataset.density, self.batch_size)


def six_ways(toy: str) -> OfDraws:
    walk = partial(metropolis, scale=SCALES)
    objectives = {
        "maximum likelihood": grid_likelihood,
        "CD, 20 steps": partial(contrastive_divergence, steps=20, sampler=walk),
        "score matching": score_matching,
        "sliced": sliced_score_matching,
        "denoising, σ = 0.05": partial(denoising_score_matching, sigma=0.05),
    }
    settings = {name: partial(start, objective) for name, objective in objectives.items()}
    return OfDraws(
        model="an energy, waves and 64-64 units, Adam at 0.005, falling; Z on 64 x 64 squares, a "
        "random walk, noise from N(0, I)",
        dataset=toy,
        settings=settings | {"noise contrast": with_noise},
        watched=("model",),
        measure=distances,
        measured=f"KL(data || model) in nats and the Fisher divergence, sums over {CELLS} x "
        f"{CELLS} squares of [-3, 3]^2; the mean objective since the last point",
        batch_size=256,
        updates=UPDATES,
        every=200,
        seeds=3,
    )


SIX_WAYS = {f"six-ways-{toy}": six_ways(toy) for toy in ("moons", "ring")}
