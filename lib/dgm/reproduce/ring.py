"""The ring games of the chapter on GANs: Adam's memory and R1 in the long run, and a collapse."""

from functools import partial

import torch
from torch import nn

from .._device import device
from ..data import Dataset
from ..evaluate import good_share, modes_covered
from ..models import Critic, Generator
from ..objectives import critic_logistic
from ..train import adversarial_step
from .study import Study


def game(
    shape: tuple[int, ...],
    beta1: float,
    r1: float = 0.0,
    critic_hidden: tuple[int, ...] = (64, 64),
    generator_rate: float = 2e-3,
) -> adversarial_step:
    """Two perceptrons, with Adam's memory beta1 and the penalty R1 of weight r1.

    `critic_hidden` are the widths of the critic's hidden layers.
    """
    generator = Generator.mlp(shape, latent=2, hidden=(64, 64)).to(device())
    critic = Critic.mlp(shape, hidden=critic_hidden).to(device())
    adam = partial(torch.optim.Adam, lr=2e-3, betas=(beta1, 0.99), fused=True)
    objective = partial(critic_logistic, r1=r1)
    slower = partial(adam, lr=generator_rate)
    return adversarial_step(
        generator, critic, objective, generator_optimizer=slower, critic_optimizer=adam
    )


def coverage(model: nn.Module, dataset: Dataset) -> dict[str, float]:
    x = model.sample(1000)  # (1000, 2)
    modes = modes_covered(x, dataset.density, at_least=10)
    return {"modes": modes, "good": good_share(x, dataset.density)}


RING_GAME = Study(
    model="GAN, perceptrons 2-64-64-2 and 2-64-64-1, non-saturating, Adam with rate 0.002",
    dataset="ring",
    settings={
        "β₁ = 0.9": partial(game, beta1=0.9),
        "β₁ = 0.5": partial(game, beta1=0.5),
        "β₁ = 0": partial(game, beta1=0.0),
        "β₁ = 0.9, R1 γ = 0.3": partial(game, beta1=0.9, r1=0.3),
        "β₁ = 0.9, R1 γ = 1": partial(game, beta1=0.9, r1=1.0),
    },
    watched=("generator", "average"),
    measure=coverage,
    measured="modes with at least 10 of 1000 draws within three standard deviations, and the "
    "share of such draws, of the generator and of its average (ema = 0.99); the players' mean "
    "objectives since the last point",
    batch_size=128,
    updates=7440,
    every=124,  # four passes over 31 batches
)


small = partial(game, beta1=0.5, critic_hidden=(8,))  # a critic of 33 weights

RING_COLLAPSE = Study(
    model="GAN, perceptrons 2-64-64-2 and 2-8-1, non-saturating, Adam with rate 0.002, β₁ = 0.5",
    dataset="ring",
    settings={
        "equal rates": small,
        "R1 γ = 0.1": partial(small, r1=0.1),
        "generator at a tenth": partial(small, generator_rate=2e-4),
    },
    watched=("generator",),
    measure=coverage,
    measured=RING_GAME.measured.replace(" and of its average (ema = 0.99)", ""),
    batch_size=128,
    updates=3720,  # half as many
    every=124,
    seeds=3,
)
