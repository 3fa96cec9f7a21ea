"""Convolutional models of 28x28 digits, for pictures in a chapter: two VAEs and an autoencoder.

Readers who have the weights and not the data need a few images to encode, and codes to see: a
record keeps both.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor, nn

from ..data import Dataset
from ..evaluate import importance_weighted, mean_and_error, rate_distortion
from ..models import VAE, Autoencoder
from ..models.codes import encode
from ..objectives import elbo, reconstruction
from ..train import Step
from .parts import falling_rate, scheduled_step
from .recipe import Recipe, Schedule
from .records import packed

DRAWS = 50  # per test image
WIDTH = 16  # channels; all three have the same networks, up to the layers next to the code
EXAMPLES, CODES = 20, 500  # test images that a record keeps, and codes of test images
RATE = partial(falling_rate, highest=2e-3)


@dataclass(frozen=True)
class AtScale(Recipe):
    """A recipe whose record a chapter shows, and not the scoreboard; 1,000 test images will do."""

    folder: ClassVar[str] = "at-scale"

    def plan(self, budget: float | None) -> dict:
        return super().plan(budget) | {"images": 1000}


def vae(latent: int, epochs: int) -> AtScale:
    """A convolutional VAE with Bernoulli pixels."""

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        model = VAE.conv(shape, width=WIDTH, latent=latent)
        return scheduled_step(model, elbo, rate, partial(torch.optim.Adam, fused=True))

    return AtScale(
        model=f"convolutional VAE, code of {latent}",
        dataset="mnist",
        binarization="dynamic",
        estimator=f"importance weighting, {DRAWS} draws",
        unit="nats",
        step=step,
        score=bounds,
        full=Schedule(64, RATE, epochs),
        short=Schedule(64, RATE),
    )


def autoencoder(latent: int, epochs: int) -> AtScale:
    """The same networks, trained to copy grey images."""

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        model = Autoencoder.conv(shape, width=WIDTH, latent=latent)
        return scheduled_step(model, reconstruction, rate, partial(torch.optim.Adam, fused=True))

    return AtScale(
        model=f"convolutional autoencoder, code of {latent}",
        dataset="mnist",
        binarization=None,
        estimator="squared error",
        unit="per image, summed over pixels",
        step=step,
        score=squared_error,
        full=Schedule(64, RATE, epochs),
        short=Schedule(64, RATE),
    )


# ---------------------------------------------------------------- what is measured and kept


def bounds(model: VAE, dataset: Dataset, images: int) -> dict:
    """Minus log p(x), estimated, with the ELBO's two parts, for test images binarised once."""
    x = next(iter(dataset.test.batches(images, shuffle=False, binarize="fixed")))[0]
    rate, distortion = rate_distortion(model, x)
    values = torch.cat([-importance_weighted(model, part, k=DRAWS) for part in x.split(100)])
    figure, standard_error = mean_and_error(values)
    measured = {"figure": figure, "standard_error": standard_error}
    return measured | {"rate": rate, "distortion": distortion} | kept(model, x, dataset)


@torch.no_grad()
def squared_error(model: Autoencoder, dataset: Dataset, images: int) -> dict:
    x = dataset.test.images[:images]
    values = torch.cat([-reconstruction(model, part) for part in x.split(1000)])
    figure, standard_error = mean_and_error(values)
    return {"figure": figure, "standard_error": standard_error} | kept(model, x, dataset)


def kept(model: nn.Module, x: Tensor, dataset: Dataset) -> dict:
    """Codes of the first test images as the model saw them, to two decimals, and some images."""
    codes = encode(model, x[:CODES]).tolist()
    return {
        "codes": [[round(value, 2) for value in code] for code in codes],
        "labels": dataset.test.y[:CODES].tolist(),
        "examples": packed(dataset.test.images[:EXAMPLES]),
    }


AT_SCALE = {
    "conv-vae": vae(16, epochs=6),
    "conv-vae-plane": vae(2, epochs=2),
    "conv-autoencoder": autoencoder(16, epochs=2),
}
