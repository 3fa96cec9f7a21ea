"""A diffusion model of MNIST, told the class, for a chapter to draw from."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .._device import device
from ..data import Dataset
from ..denoisers import guided
from ..evaluate import bits_per_dimension, mean_and_error, nearest_distance
from ..models import Diffusion
from ..objectives import denoising, diffusion_bound
from ..samplers import ddim, heun
from ..train import Step, gradient_step, rising_average
from .gans import distance_of_samples, features_of
from .parts import at_rate
from .recipe import Recipe, Schedule
from .records import packed

STEPS = 10  # of Heun's method: 19 evaluations
DRAWN = 1000  # images, where all of them would take long
END, ENDS = 10.0, (6.0, 8.0, 9.0, 10.0, 11.0)  # log SNR, of the bound


def diffusion(epochs: int, objective: Callable[..., Tensor] = denoising, **model) -> Recipe:
    """A U-Net of 243,028 weights on the cosine path, that predicts v.

    Sources: Ho, Jain and Abbeel (2020), arXiv:2006.11239; Salimans and Ho (2022), arXiv:2202.00512;
    Kingma et al. (2021), arXiv:2107.00630, for the stratified times. The settings are our own.

    Args:
        objective: what trains it.
        model: another path, another prediction.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        network = Diffusion.conv(shape, classes=10, **model)
        adam, lr_schedule = at_rate(partial(torch.optim.Adam, betas=(0.9, 0.99), fused=True), rate)
        return gradient_step(
            network.to(device(), memory_format=torch.channels_last),
            objective,
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
        score=samples_and_bounds,
        full=schedule,
        short=schedule,
        few=None,
        prepare=lambda model, dataset: model.standardise(dataset.train.images),
    )


# ---------------------------------------------------------------- what is measured and kept


def samples_and_bounds(model: Diffusion, dataset: Dataset, images: int) -> dict:
    """Fréchet distances of two samplers; whether the class is right, with guidance and without; how
    near the training images are; the bound in bits per dimension; some samples of each class.
    """
    few = partial(distance_of_samples, model, dataset, images)
    return {
        **few(draw=drawn),
        "heun_steps": STEPS,
        "ddim": {"steps": 2 * STEPS} | few(draw=partial(drawn, sampler=ddim, steps=2 * STEPS)),
        "guidance": {f"{w:g}": of_class(guided(model, w), dataset) for w in (0.0, 1.0)},
        "nearest_training_image": nearest(model, dataset),
        "bits": bits(model, dataset, images),
    }


@torch.no_grad()
def drawn(model, n: int, sampler: Callable = heun, steps: int = STEPS) -> Tensor:
    """As many images of each class, within [0, 1]."""
    y = torch.arange(n, device=model.mean.device) % model.classes
    return model.sample(n, y, steps=steps, sampler=sampler).clamp(0, 1)


def of_class(model, dataset: Dataset) -> dict:
    """The share of 1,000 images that the classifier takes for what was asked for; some of them."""
    classifier, _ = features_of(dataset)
    x = drawn(model, DRAWN)
    guess = classifier.logits(classifier.features(x)).argmax(1).cpu()
    right = guess == torch.arange(DRAWN) % model.classes
    return {"right": right.float().mean().item(), "images": packed(x[: 5 * model.classes])}


def nearest(model: Diffusion, dataset: Dataset) -> dict:
    """The median distance of samples and of test images to the nearest training image."""
    train, n = dataset.train.images, DRAWN // 2
    both = {"samples": drawn(model, n), "test_images": dataset.test.images[:n]}
    return {name: nearest_distance(x, train).median().item() for name, x in both.items()}


@torch.no_grad()
def bits(model: Diffusion, dataset: Dataset, images: int) -> dict:
    """The bound in bits per dimension, of the class and of any; by the log SNR where it ends."""

    def bound(y: Tensor, images: int, end: float) -> tuple[float, float]:
        parts = zip(dataset.test.images[:images].split(500), y[:images].split(500), strict=True)
        ends = {"levels": dataset.levels, "log_snr": (-8.0, end)}
        each = torch.cat([diffusion_bound(model, x, y, k=2, **ends) for x, y in parts])
        return mean_and_error(bits_per_dimension(each, dataset.shape))

    y = dataset.test.y
    unknown = torch.full_like(y, -1)
    return {
        "levels": dataset.levels,
        "log_snr": [-8.0, END],
        "given_class": bound(y, images, END),
        "any_class": bound(unknown, images, END),
        "by_end": {f"{end:g}": bound(unknown, 2 * DRAWN, end) for end in ENDS},
    }


# ---------------------------------------------------------------- the learning rate


def warm_then_falling(t: int, steps: int, highest: float, warm_up: int = 200) -> float:
    """Up to `highest` in a straight line, times half a cosine that falls to zero.

    >>> [round(warm_then_falling(t, 1000, highest=1.0), 3) for t in (0, 199, 500, 1000)]
    [0.005, 0.905, 0.5, 0.0]
    """
    return highest * min(1.0, (t + 1) / warm_up) * (1 + math.cos(math.pi * t / steps)) / 2


DIFFUSION = {"diffusion": diffusion(epochs=8)}
