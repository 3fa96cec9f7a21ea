"""Recipes: what is trained, how, and how it is measured. One small function each."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import data, heads, nets
from ..evaluate import importance_weighted, mean_and_error
from ..models import MADE, NADE, VAE, PixelCNN, Transformer
from ..objectives import elbo, iwae, log_likelihood
from ..train import Step, gradient_step

DRAWS = 5000  # per test image, as published


@dataclass(frozen=True)
class Schedule:
    """How long to train, and with which learning rates.

    Attributes:
        batch_size: examples per update.
        rate: rate(t, steps) -> learning rate of update t, counted from 0, of `steps` in all.
        epochs: None if the budget decides.
    """

    batch_size: int
    rate: Callable[[int, int], float]
    epochs: int | None = None


@dataclass(frozen=True)
class Recipe:
    """One line of the scoreboard. A new one is a function that returns this, and a name for it.

    Attributes:
        model: the model and its objective, in words.
        dataset: a name for `dgm.data.load`.
        binarization: "dynamic", or None where the data stay as they are.
        estimator: how the figure is computed, in words.
        unit: of the figure; lower is better.
        step: step(data, rate) -> a training step with a `model`; rate(t) is its learning rate.
        score: score(model, data, images) -> (figure, standard error) on the first so many test
            images.
        published: the schedule of the publication, or of the implementation whose figure it is.
        short: the schedule for a budget.
    """

    model: str
    dataset: str
    binarization: str | None
    estimator: str
    unit: str
    step: Callable[[data.Dataset, Callable[[int], float]], Step]
    score: Callable[[nn.Module, data.Dataset, int], tuple[float, float]]
    published: Schedule
    short: Schedule


# ---------------------------------------------------------------- variational autoencoders


def vae(bound: Callable, k: int, dataset: str = "mnist") -> Recipe:
    """A VAE with 50 latent variables and two tanh layers of 200 units on either side.

    Source: Burda, Grosse and Salakhutdinov (2016), Importance Weighted Autoencoders, section 5 and
    their code: Glorot's initialisation, the decoder's last bias at the mean image, Adam with
    epsilon 1e-4, batches of 20.

    Args:
        bound: what is maximised, `elbo` or `iwae`.
        k: draws per example in training.
    """

    def step(dataset: data.Dataset, rate: Callable[[int], float]) -> Step:
        model = two_layer_vae(dataset)
        adam = partial(torch.optim.Adam, eps=1e-4, fused=True)
        return scheduled_step(model, partial(bound, k=k), rate, adam)

    return Recipe(
        model=f"VAE 784-200-200-50, {bound.__name__.upper()}, k = {k}",
        dataset=dataset,
        binarization="dynamic",
        estimator=f"importance weighting, {DRAWS} draws",
        unit="nats",
        step=step,
        score=negative_log_likelihood,
        published=Schedule(20, burda_rate, sum(3**i for i in range(8))),
        short=Schedule(100 if k < 50 else 20, partial(falling_rate, highest=2e-3)),
    )


def two_layer_vae(dataset: data.Dataset) -> VAE:
    shape, hidden = dataset.shape, partial(nets.mlp, activation=nn.Tanh)
    model = VAE(
        nn.Sequential(hidden(shape, 200, 200), heads.DiagonalNormal(200, 50)),
        nn.Sequential(hidden(50, 200, 200), heads.Bernoulli(200, shape)),
        heads.StandardNormal(50),
    )
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    for layer in layers:
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    x = dataset.train.x
    mean = x.sum(0, dtype=torch.float32) / (len(x) * (dataset.levels - 1))  # (C, H, W)
    layers[-1].bias.data = mean.flatten().clamp(1e-3, 1 - 1e-3).logit()
    return model


# ---------------------------------------------------------------- autoregressive models


def autoregressive(
    model: str, build: Callable[[tuple[int, ...]], nn.Module], published: Schedule, short: Schedule
) -> Recipe:
    """Maximum likelihood for a model of binary MNIST that knows its likelihood.

    Source: the public implementation whose figures stand on the scoreboard, pytorch-generative: its
    sizes, batches, epochs and learning rates, for this library's models.

    Args:
        model: in words.
        build: from the event shape.
    """

    def step(dataset: data.Dataset, rate: Callable[[int], float]) -> Step:
        adam = partial(torch.optim.Adam, fused=True)
        return scheduled_step(build(dataset.shape), log_likelihood, rate, adam)

    return Recipe(
        model=model,
        dataset="mnist",
        binarization="dynamic",
        estimator="exact",
        unit="nats",
        step=step,
        score=exact_negative_log_likelihood,
        published=published,
        short=short,
    )


# ---------------------------------------------------------------- parts of recipes


class scheduled_step(gradient_step):
    """A gradient step whose learning rate is a function of the number of updates so far."""

    def __init__(self, model, objective, rate: Callable[[int], float], optimizer: Callable):
        super().__init__(model, objective, optimizer=optimizer)
        self.rate = rate

    def __call__(self, batch) -> dict[str, Tensor]:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(self.t)
        return super().__call__(batch)


def burda_rate(t: int, steps: int) -> float:
    """0.001 x 10^(-i/7) for 3^i epochs, i = 0 ... 7, of the 3,280 that make up all steps.

    >>> [f"{burda_rate(epoch, 3280):.5f}" for epoch in (0, 1, 3, 4, 12, 13, 3279)]
    ['0.00100', '0.00072', '0.00072', '0.00052', '0.00052', '0.00037', '0.00010']
    """
    epoch = 3280 * t // steps
    i = next(i for i in range(8) if epoch < sum(3**j for j in range(i + 1)))
    return 1e-3 * 10 ** (-i / 7)


def falling_rate(t: int, steps: int, highest: float) -> float:
    """From `highest` to zero in a straight line.

    >>> [falling_rate(t, 10, highest=1.0) for t in (0, 5)]
    [1.0, 0.5]
    """
    return highest * (1 - t / steps)


def constant_rate(t: int, steps: int) -> float:
    return 1e-3


def decaying_rate(t: int, steps: int) -> float:
    """0.001, less 23 millionths of itself with every update."""
    return 1e-3 * 0.999977**t


def negative_log_likelihood(
    model: nn.Module, dataset: data.Dataset, images: int, draws: int = DRAWS
) -> tuple[float, float]:
    """The mean of -log p(x) over the first so many test images, binarised once, and its error."""
    return mean_over_test(partial(importance_weighted, model, k=draws), dataset, images)


def exact_negative_log_likelihood(
    model: nn.Module, dataset: data.Dataset, images: int
) -> tuple[float, float]:
    """The same for a model that knows its log p(x)."""
    with torch.no_grad():
        return mean_over_test(model.log_prob, dataset, images)


def mean_over_test(
    log_prob: Callable[[Tensor], Tensor], dataset: data.Dataset, images: int
) -> tuple[float, float]:
    x = next(iter(dataset.test.batches(images, shuffle=False, binarize="fixed")))[0]
    values = []
    with tqdm(total=len(x), unit="image", desc="measuring") as bar:
        for part in x.split(10):
            values.append(-log_prob(part))
            bar.update(len(part))
    return mean_and_error(torch.cat(values))


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
        published=Schedule(64, constant_rate, 85),
        short=Schedule(100, partial(falling_rate, highest=1e-3)),
    ),
    "nade": autoregressive(
        "NADE, 500 hidden units",
        partial(NADE, hidden=500),
        published=Schedule(512, constant_rate, 50),
        short=Schedule(20, partial(falling_rate, highest=1e-3)),
    ),
    "pixelcnn": autoregressive(
        "PixelCNN, 15 layers of width 32",
        partial(PixelCNN, width=32, layers=15),
        published=Schedule(256, decaying_rate, 457),
        short=Schedule(20, partial(falling_rate, highest=2e-3)),
    ),
    "transformer": autoregressive(
        "Transformer, 8 layers of width 64",
        partial(Transformer, width=64, layers=8, heads=2),
        published=Schedule(64, decaying_rate, 457),
        short=Schedule(8, partial(falling_rate, highest=2e-3)),
    ),
}
