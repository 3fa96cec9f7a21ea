"""Energies and scores of MNIST: a Boltzmann machine, and a score network at many noise levels."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from .._device import device
from ..data import Dataset
from ..estimators import logmeanexp
from ..evaluate import RBMPath, ais, mean_and_error, reverse_ais, sandwich
from ..models import RBM, ScoreNetwork
from ..objectives import annealed_score_matching, contrastive_divergence
from ..samplers import ReplayBuffer, annealed_langevin, noise_levels
from ..train import Step
from .gans import distance_of_samples, judged_by_samples
from .parts import falling_rate, scheduled_step
from .recipe import Recipe, Schedule
from .records import packed

# ---------------------------------------------------------------- a Boltzmann machine

CHAINS, STOPS, GIBBS = 100, 5000, 5000  # of annealed importance sampling; steps to a draw
SHOWN = 20  # draws of each kind that the record keeps


@dataclass(frozen=True)
class Shown(Recipe):
    """One that a chapter shows, and not the scoreboard."""

    folder: ClassVar[str] = "at-scale"


def boltzmann(hidden: int, epochs: int, renew: float, kind: type[Recipe] = Recipe) -> Recipe:
    """A restricted Boltzmann machine, trained by persistent chains.

    Chains that are never begun anew can leave a mode to itself where no data are: nothing raises
    its energy again.

    Source: Tieleman (2008), doi:10.1145/1390156.1390290; for the measuring Salakhutdinov and Murray
    (2008), doi:10.1145/1390156.1390266, whose machine has 500 hidden units.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        chains = ReplayBuffer(lambda n: coins(n, shape), CHAINS, renew)
        objective = partial(contrastive_divergence, chains=chains)
        descent = partial(torch.optim.SGD, momentum=0.5)
        return scheduled_step(RBM(shape, hidden), objective, rate, descent)

    schedule = Schedule(CHAINS, partial(falling_rate, highest=0.1), epochs)
    again = f", {renew:.1%} begun anew" if renew else ""
    return kind(
        model=f"restricted Boltzmann machine, {hidden} hidden units, {CHAINS} chains{again}",
        dataset="mnist",
        binarization="fixed",
        estimator=f"annealed importance sampling, {CHAINS} chains, {STOPS:,} stops",
        unit="nats",
        step=step,
        score=counted,
        full=schedule,
        short=schedule,
        few=None,
        prepare=start_at_mean,
    )


def coins(n: int, shape: tuple[int, ...]) -> Tensor:
    """n examples, each of independent bits with a rate of its own: (n, *shape)."""
    return torch.rand(n, *[1] * len(shape)).expand(n, *shape).bernoulli()


def start_at_mean(model: RBM, dataset: Dataset) -> None:
    """Begin as independent pixels of the rates of the data."""
    x = dataset.train.x
    mean = x.sum(0, dtype=torch.float32) / (len(x) * (dataset.levels - 1))  # (C, H, W)
    model.visible_bias.data.copy_(mean.flatten().clamp(1e-3, 1 - 1e-3).logit())


@torch.no_grad()
def counted(model: RBM, dataset: Dataset, images: int) -> dict:
    """Minus log p(x), with log Z estimated by chains that start at the data's rates.

    Beside it are the two bounds of log Z. The lower one holds on average. So does the upper one if
    the chains that go back start at draws of the model; here they have only gone on for very long,
    half of them from the same rates, half from coins. A mode that the one kind finds and the other
    does not parts the bounds.
    """
    train = next(iter(dataset.train.batches(len(dataset.train), False, binarize="fixed")))[0]
    test = next(iter(dataset.test.batches(images, False, binarize="fixed")))[0]
    path, betas = RBMPath(model, train), torch.linspace(0, 1, STOPS + 1)
    forward = ais(path, betas, CHAINS)
    start = torch.cat([path.start(CHAINS // 2), coins(CHAINS // 2, model.shape)])
    draws = model.gibbs(start, GIBBS)
    low, high, low_error, high_error = sandwich(forward, reverse_ais(path, betas, draws))
    log_z = logmeanexp(forward)
    figure, standard_error = mean_and_error(model.energy(test) + log_z)
    return {
        "figure": figure,
        "standard_error": standard_error,
        "training": (model.energy(train).mean() + log_z).item(),
        "log_z": {
            "estimate": log_z.item(),
            "low": low.item(),
            "low_error": low_error.item(),
            "high": high.item(),
            "high_error": high_error.item(),
        },
        "from_rates": packed(draws[:SHOWN]),
        "from_coins": packed(draws[-SHOWN:]),
    }


# ---------------------------------------------------------------- many noise levels

SIGMAS = noise_levels(5.0, 0.05, 40)  # of images in [-1, 1]
STEPS, RATIO = 5, 0.3  # of Langevin, at each level
DRAWS = 2000  # images that are drawn and compared: each takes 200 calls of the network
PICTURED, EVERY, COMPARED = 10, 6, 500  # chains in the picture, every 6th level; draws, test images


@dataclass(frozen=True)
class FewDraws(Recipe):
    """A line of the scoreboard whose draws are dear: it is measured by fewer of them."""

    def plan(self, budget: float | None) -> dict:
        return super().plan(budget) | {"images": DRAWS}


def score_network(width: int, epochs: int) -> Recipe:
    """A convolutional score network of grey images, judged by draws of annealed Langevin.

    Source: Song and Ermon (2019), arXiv:1907.05600, with the range of levels of Song and Ermon
    (2020), arXiv:2006.09011, Improved Techniques for Training Score-Based Generative Models.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        model = ScoreNetwork.conv(shape, width=width).to(memory_format=torch.channels_last)
        adam = partial(torch.optim.Adam, betas=(0.9, 0.99), fused=True)
        return scheduled_step(model, matched, rate, adam)

    recipe = judged_by_samples("score network, annealed Langevin", step, 64, drawn)
    schedule = Schedule(64, partial(falling_rate, highest=2e-3), epochs, parts=5)
    settings = {"score": pictured, "full": schedule, "short": schedule}
    return FewDraws(**vars(recipe) | settings)


def matched(model: ScoreNetwork, x: Tensor, y: Tensor | None = None) -> Tensor:
    return annealed_score_matching(model, 2 * x - 1, sigmas=SIGMAS)


@torch.no_grad()
def pictured(model: ScoreNetwork, dataset: Dataset, images: int) -> dict:
    """The distance of draws to the test images, the way of a few chains, and the training images
    next to where they end.

    Beside it stands how far, in the mean, draws are from the training image next to them, and how
    far test images are: a model that copies would be nearer.
    """
    way = along(model, PICTURED)
    levels = range(EVERY // 2, len(SIGMAS), EVERY)
    train, test = dataset.train.images, dataset.test.images
    return distance_of_samples(model, dataset, images, drawn) | {
        "sigmas": [round(SIGMAS[i], 3) for i in levels],
        "along": packed(torch.cat([way[i] for i in levels])),
        "nearest": packed(train[nearest(way[-1], train)[1]]),
        "to_nearest": nearest(drawn(model, COMPARED), train)[0].mean().item(),
        "test_to_nearest": nearest(test[:COMPARED], train)[0].mean().item(),
    }


def drawn(model: ScoreNetwork, n: int) -> Tensor:
    """(n, C, H, W)."""
    return along(model, n)[-1]


@torch.no_grad()
def along(model: ScoreNetwork, n: int) -> list[Tensor]:
    """Chains at the end of each level, without its noise, as images in [0, 1]: (n, C, H, W)."""
    x, images = SIGMAS[0] * torch.randn(n, *model.shape, device=device()), []
    for sigma in SIGMAS:
        x = annealed_langevin(model, x, STEPS, sigmas=(sigma,), ratio=RATIO)
        images.append((model.denoise(x, sigma).clamp(-1, 1) + 1) / 2)
    return images


def nearest(x: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """The Euclidean distance of each image to the nearest of the others, and its number, (n,)."""
    return torch.cdist(x.flatten(1), others.flatten(1)).min(1)


ENERGIES = {
    "rbm": boltzmann(300, epochs=60, renew=0.0, kind=Shown),
    "rbm-renewed": boltzmann(300, epochs=40, renew=0.002),
    "score-network": score_network(24, epochs=6),
}
