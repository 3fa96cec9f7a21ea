"""A diffusion model of MNIST, told the class, for a chapter to draw from."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .._device import device
from ..models import Diffusion
from ..objectives import denoising
from ..samplers import heun
from ..train import Step, gradient_step, rising_average
from .gans import distance_of_samples
from .parts import at_rate
from .recipe import Recipe, Schedule

STEPS = 10  # of Heun's method: 19 evaluations


def diffusion(epochs: int) -> Recipe:
    """A U-Net of 243,028 weights on the cosine path, that predicts v.

    Sources: Ho, Jain and Abbeel (2020), arXiv:2006.11239; Salimans and Ho (2022), arXiv:2202.00512;
    Kingma et al. (2021), arXiv:2107.00630, for the stratified times. The settings are our own.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        model = Diffusion.conv(shape, classes=10)
        adam, lr_schedule = at_rate(partial(torch.optim.Adam, betas=(0.9, 0.99), fused=True), rate)
        return gradient_step(
            model.to(device(), memory_format=torch.channels_last),
            denoising,
            optimizer=adam,
            lr_schedule=lr_schedule,
            clip=float(math.prod(shape)),  # 1 per pixel
            ema=partial(rising_average, ema=0.999),
        )

    schedule = Schedule(128, partial(warm_then_falling, highest=3e-3), epochs, parts=2)
    return Recipe(
        model="diffusion, U-Net of 243,028 weights, given the class",
        dataset="mnist",
        binarization=None,
        estimator="Fréchet distance to the test images",
        unit="percent of the variance of the test images' features",
        step=step,
        score=partial(distance_of_samples, draw=drawn),
        full=schedule,
        short=schedule,
        few=None,
        prepare=lambda model, dataset: model.standardise(dataset.train.images),
    )


def drawn(model: Diffusion, n: int) -> Tensor:
    """As many images of each class, within [0, 1]."""
    y = torch.arange(n, device=model.mean.device) % model.classes
    return model.sample(n, y, steps=STEPS, sampler=heun).clamp(0, 1)


def warm_then_falling(t: int, steps: int, highest: float, warm_up: int = 200) -> float:
    """Up to `highest` in a straight line, times half a cosine that falls to zero.

    >>> [round(warm_then_falling(t, 1000, highest=1.0), 3) for t in (0, 199, 500, 1000)]
    [0.005, 0.905, 0.5, 0.0]
    """
    return highest * min(1.0, (t + 1) / warm_up) * (1 + math.cos(math.pi * t / steps)) / 2


DIFFUSION = {"diffusion": diffusion(epochs=8)}
