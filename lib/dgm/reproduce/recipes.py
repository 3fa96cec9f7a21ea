"""Recipes: what is trained, how, and how it is measured. One small function each."""

import dataclasses
from collections.abc import Callable
from functools import partial

import torch
from torch import nn

from .. import data, heads, nets
from ..architectures import Convolution
from ..models import MADE, NADE, VAE, PixelCNN, Transformer
from ..objectives import (
    critic_logistic,
    critic_wasserstein,
    elbo,
    generator_linear,
    generator_non_saturating,
    iwae,
    log_likelihood,
)
from ..train import Step
from .gans import gan, vae_means
from .parts import (
    DRAWS,
    burda_rate,
    constant_rate,
    decaying_rate,
    exact_negative_log_likelihood,
    falling_rate,
    likelihoods_and_images,
    negative_log_likelihood,
    scheduled_step,
)
from .patches import PatchTransformer
from .recipe import Recipe, Schedule

# ---------------------------------------------------------------- variational autoencoders


def vae(
    bound: Callable,
    k: int,
    dataset: str = "mnist",
    sizes: tuple[int, int, int, int] = (784, 200, 200, 50),
) -> Recipe:
    """A VAE with 50 latent variables and two tanh layers of 200 units on either side.

    Source: Burda, Grosse and Salakhutdinov (2016), arXiv:1509.00519, Importance Weighted
    Autoencoders, section 5, and their code: Glorot's initialisation, the decoder's last bias at the
    mean image, Adam with epsilon 1e-4, batches of 20.

    Args:
        bound: what is maximised, `elbo` or `iwae`.
        k: draws per example in training.
        sizes: of an event, two hidden layers and a code.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        model = two_layer_vae(shape, *sizes[1:])
        adam = partial(torch.optim.Adam, eps=1e-4, fused=True)
        return scheduled_step(model, partial(bound, k=k), rate, adam)

    return Recipe(
        model=f"VAE {'-'.join(map(str, sizes))}, {bound.__name__.upper()}, k = {k}",
        dataset=dataset,
        binarization="dynamic",
        estimator=f"importance weighting, {DRAWS} draws",
        unit="nats",
        step=step,
        score=negative_log_likelihood,
        full=Schedule(20, burda_rate, sum(3**i for i in range(8))),
        short=Schedule(100 if k < 50 else 20, partial(falling_rate, highest=2e-3)),
        prepare=start_at_mean,
    )


def small_vae(bound: Callable, k: int) -> Recipe:
    """The same, smaller, for the digits, which takes minutes. Nobody has published a figure."""
    full = Schedule(100, partial(falling_rate, highest=2e-3), 500)
    return dataclasses.replace(vae(bound, k, "digits", (64, 100, 100, 20)), full=full, seeds=3)


def two_layer_vae(
    shape: tuple[int, ...], first: int = 200, second: int = 200, latent: int = 50
) -> VAE:
    hidden = partial(nets.mlp, activation=nn.Tanh)
    model = VAE(
        nn.Sequential(hidden(shape, first, second), heads.DiagonalNormal(second, latent)),
        nn.Sequential(hidden(latent, second, first), heads.Bernoulli(first, shape)),
        heads.StandardNormal(latent),
        shape,
    )
    for layer in linear_layers(model):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return model


def start_at_mean(model: VAE, dataset: data.Dataset) -> None:
    """Set the decoder's last bias so that it puts out about the mean image."""
    x = dataset.train.x
    mean = x.sum(0, dtype=torch.float32) / (len(x) * (dataset.levels - 1))  # (C, H, W)
    bias = mean.flatten().clamp(1e-3, 1 - 1e-3).logit()
    linear_layers(model)[-1].bias.data.copy_(bias)


def linear_layers(model: nn.Module) -> list[nn.Linear]:
    return [layer for layer in model.modules() if isinstance(layer, nn.Linear)]


# ---------------------------------------------------------------- autoregressive models


def autoregressive(
    model: str, build: Callable[[tuple[int, ...]], nn.Module], full: Schedule, short: Schedule
) -> Recipe:
    """Maximum likelihood for a model of binary MNIST that knows its likelihood.

    Source: the public implementation whose figures stand on the scoreboard, pytorch-generative: its
    sizes, batches, epochs and learning rates, for this library's models.

    Args:
        model: in words.
        build: from the event shape.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        adam = partial(torch.optim.Adam, fused=True)
        return scheduled_step(build(shape), log_likelihood, rate, adam)

    return Recipe(
        model=model,
        dataset="mnist",
        binarization="dynamic",
        estimator="exact",
        unit="nats",
        step=step,
        score=exact_negative_log_likelihood,
        full=full,
        short=short,
        few=None,  # exact and cheap: all test images, whatever the budget
    )


def small_autoregressive(
    model: str, build: Callable[[tuple[int, ...]], nn.Module], schedule: Schedule
) -> Recipe:
    """One that minutes train, whose weights are kept and from which a chapter draws."""
    recipe = autoregressive(model, build, full=schedule, short=schedule)
    return dataclasses.replace(recipe, score=likelihoods_and_images)


# ---------------------------------------------------------------- the names

RECIPES = {
    "vae-1": vae(elbo, k=1),
    "vae-5": vae(elbo, k=5),
    "vae-50": vae(elbo, k=50),
    "iwae-1": vae(iwae, k=1),
    "iwae-5": vae(iwae, k=5),
    "iwae-50": vae(iwae, k=50),
    "made": autoregressive(
        "MADE, 8,000 hidden units",
        partial(MADE, hidden=(8000,)),
        full=Schedule(64, constant_rate, 85),
        short=Schedule(100, partial(falling_rate, highest=1e-3)),
    ),
    "nade": autoregressive(
        "NADE, 500 hidden units",
        partial(NADE, hidden=500),
        full=Schedule(512, constant_rate, 50),
        short=Schedule(20, partial(falling_rate, highest=1e-3)),
    ),
    "pixelcnn": autoregressive(
        "PixelCNN, 15 layers of width 32",
        partial(PixelCNN, width=32, layers=15),
        full=Schedule(256, decaying_rate, 457),
        short=Schedule(20, partial(falling_rate, highest=2e-3)),
    ),
    "transformer": autoregressive(
        "Transformer, 8 layers of width 64",
        partial(Transformer, width=64, layers=8, heads=2),
        full=Schedule(64, decaying_rate, 457),
        short=Schedule(8, partial(falling_rate, highest=2e-3)),
    ),
    "pixelcnn-small": small_autoregressive(  # small batches: the updates are what it lacks
        "PixelCNN, 10 layers of width 32",
        partial(PixelCNN, width=32, layers=10),
        Schedule(8, partial(falling_rate, highest=2e-3), 2, parts=15),
    ),
    "transformer-patches": small_autoregressive(
        "Transformer on patches of 2 × 2, 4 layers of width 64",
        partial(PatchTransformer, width=64, layers=4, heads=4),
        Schedule(32, partial(falling_rate, highest=4e-3), 2, parts=15),
    ),
    "vae-1-digits": small_vae(elbo, k=1),
    "iwae-5-digits": small_vae(iwae, k=5),
    "gan": gan("non-saturating", critic_logistic, generator_non_saturating),
    "gan-r1": gan("non-saturating, R1", partial(critic_logistic, r1=1.0), generator_non_saturating),
    "wgan-gp": gan(
        "Wasserstein, gradient penalty",
        critic_wasserstein,
        generator_linear,
        critic_steps=5,
        betas=(0.0, 0.9),
    ),
    "wgan-gp-conv": dataclasses.replace(
        gan(
            "Wasserstein, gradient penalty, convolutions",
            critic_wasserstein,
            generator_linear,
            critic_steps=3,
            betas=(0.0, 0.9),
            architecture=Convolution(width=16),
        ),
        full=Schedule(96, partial(falling_rate, highest=1e-3), 10),
    ),
    "vae-means": vae_means(),
}
