"""Every family of the course on the same images, with equal updates, judged by the same measures.

A line of the final table is a setting, a column a metric; three seeds. What a family is asked for
that it cannot say, it leaves out: a GAN has no likelihood.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from .. import data, heads
from .._device import device
from ..data import Dataset
from ..evaluate import (
    bits_per_dimension,
    classifier_test,
    copying,
    frechet_distance,
    importance_weighted,
    kid,
    mean_and_error,
    prdc,
)
from ..models import MADE, VAE, Critic, Diffusion, Flow, GatedPixelCNN, Generator
from ..models.flows import Dequantised
from ..objectives import critic_logistic, denoising, diffusion_bound, elbo, log_likelihood
from ..protocols import Denoiser, LatentVariable, Tractable
from ..train import Step, adversarial_step, gradient_step, rising_average
from .gans import features_of
from .parts import at_rate, falling_rate
from .runs import stopwatch
from .study import Study

IMAGES = 1000  # drawn, and compared with as many test images, or with all if there are fewer
DRAWS = 100  # of importance weighting, per image
AVERAGE = partial(rising_average, ema=0.995)


def by_likelihood(
    build: Callable[[tuple[int, ...]], nn.Module],
    objective: Callable,
    updates: int,
    highest: float,
    shape: tuple[int, ...],
) -> Step:
    """Gradient steps of Adam at a falling rate, and the average of the parameters."""
    rate = partial(falling_rate, steps=updates, highest=highest)
    adam, lr_schedule = at_rate(partial(torch.optim.Adam, fused=True), rate)
    return gradient_step(
        build(shape).to(device()),
        objective,
        optimizer=adam,
        lr_schedule=lr_schedule,
        clip=float(math.prod(shape)),
        ema=AVERAGE,
    )


def by_game(updates: int, shape: tuple[int, ...]) -> Step:
    """A GAN with the gradient penalty R1."""
    rate = partial(falling_rate, steps=updates, highest=2e-3)
    adam, lr_schedule = at_rate(partial(torch.optim.Adam, betas=(0.0, 0.99), fused=True), rate)
    return adversarial_step(
        Generator.mlp(shape, latent=16, hidden=(200, 200)).to(device()),
        Critic.mlp(shape, hidden=(200, 200)).to(device()),
        partial(critic_logistic, r1=1.0),
        generator_optimizer=adam,
        critic_optimizer=adam,
        lr_schedule=lr_schedule,
        ema=0.995,
    )


def standardised(dataset: str, shape: tuple[int, ...]) -> Diffusion:
    return Diffusion.mlp(shape).standardise(data.load(dataset).train.images)


def families(dataset: str, levels: int, updates: int) -> Study:
    """The final comparison on one data set."""
    pixels = partial(heads.Categorical, levels=levels)
    likelihood: dict[str, tuple[Callable, Callable, float]] = {
        "PixelCNN": (
            partial(GatedPixelCNN, levels=levels, width=24, layers=5),
            log_likelihood,
            5e-3,
        ),
        "MADE": (partial(MADE, levels=levels, hidden=(200,)), log_likelihood, 5e-3),
        "VAE": (partial(VAE.mlp, latent=8, hidden=(200,), likelihood=pixels), elbo, 3e-3),
        "flow": (lambda shape: Dequantised(Flow.conv(shape, width=16), levels), elbo, 5e-3),
        "diffusion": (partial(standardised, dataset), denoising, 3e-3),
    }
    settings = {
        name: partial(by_likelihood, build, objective, updates, highest)
        for name, (build, objective, highest) in likelihood.items()
    }
    return Study(
        model="one network of each family, Adam at a falling rate, the average of its parameters",
        dataset=dataset,
        settings=settings | {"GAN": partial(by_game, updates)},
        watched=("average",),
        measure=partial(judged, images=IMAGES),
        measured=f"of {IMAGES} draws and as many test images, or all: bits per dimension (exact, "
        f"estimate of {DRAWS} draws, or bound), distances in the features of a classifier, a "
        "random forest on pixels, each with its standard error; milliseconds per draw",
        batch_size=64,
        updates=updates,
        every=updates,
        seeds=3,
    )


# ---------------------------------------------------------------- what is measured


@torch.no_grad()
def judged(model: nn.Module, dataset: Dataset, images: int) -> dict[str, float]:
    """All measures of one model, each with its error, as `bits` and `bits error`."""
    classifier, _ = features_of(dataset)
    real = dataset.test.images[:images]
    lap = stopwatch()
    fake = model.sample(len(real)).clamp(0, 1)
    milliseconds = 1000 * lap() / len(real)
    f_real, f_fake = classifier.features(real), classifier.features(fake)
    balls = prdc(f_real, f_fake)
    forest = classifier_test(real, fake)
    nearer, _ = copying(fake, dataset.train.images, real)
    found = {
        "Fréchet distance": frechet_distance(f_real, f_fake),
        "KID": kid(f_real, f_fake),
        **{name: getattr(balls, name) for name in ("precision", "recall", "density", "coverage")},
        "accuracy of a forest": (forest.accuracy, forest.error),
        # of Mann and Whitney's statistic, where samples are like data
        "nearer to the training set": (nearer, ((2 * len(real) + 1) / 12) ** 0.5 / len(real)),
    }
    nats = nats_of(model, real, dataset.levels)
    if nats is not None:
        kind, each = nats
        found[f"bits per dimension, {kind}"] = mean_and_error(
            bits_per_dimension(each, real[0].shape)
        )
    errors = {f"{name}, error": error for name, (_, error) in found.items()}
    parameters = sum(p.numel() for p in model.parameters())
    values = {name: value for name, (value, _) in found.items()}
    return values | errors | {"parameters": parameters, "milliseconds per draw": milliseconds}


def nats_of(model: nn.Module, x: Tensor, levels: int) -> tuple[str, Tensor] | None:
    """What a model says of grey images, in nats, and whether that is exact; None if it cannot.

    Whatever can be asked for its exact value is; of a model that has only the parts of it an
    estimate is made, which is too small on average, and of a diffusion model its bound.
    """
    ask: dict[type, tuple[str, Callable[[Tensor], Tensor]]] = {
        Tractable: ("exact", lambda part: log_likelihood(model, part)),
        LatentVariable: ("estimate", lambda part: importance_weighted(model, part, k=DRAWS)),
        Denoiser: ("bound", lambda part: diffusion_bound(model, part, levels=levels, k=10)),
    }
    for protocol, (kind, nats) in ask.items():
        if isinstance(model, protocol):
            return kind, torch.cat([nats(part) for part in x.split(100)])
    return None


FAMILIES = {
    "families-digits": families("digits", levels=17, updates=3000),
    "families-mnist": families("mnist", levels=256, updates=20_000),
}
