"""What recipes are made of: learning rates, and how a likelihood is measured."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from .. import data
from .._device import device
from ..evaluate import importance_weighted, mean_and_error
from ..train import gradient_step
from .records import packed

DRAWS = 5000  # per test image, as published


# ---------------------------------------------------------------- learning rates


def scheduled_step(
    model: nn.Module, objective: Callable, rate: Callable[[int], float], optimizer: Callable
) -> gradient_step:
    """A gradient step whose learning rate is a function of the number of updates so far."""
    optimizer, lr_schedule = at_rate(optimizer, rate)
    return gradient_step(
        model.to(device()), objective, optimizer=optimizer, lr_schedule=lr_schedule
    )


def at_rate(optimizer: Callable, rate: Callable[[int], float]) -> tuple[Callable, Callable]:
    """What makes the optimiser, and the scheduler that sets its learning rate to rate(t)."""
    return partial(optimizer, lr=1.0), partial(LambdaLR, lr_lambda=rate)  # 1 times rate(t)


def burda_rate(t: int, steps: int) -> float:
    """0.001 x 10^(-i/7) for 3^i epochs, i = 0 ... 7, of the 3,280 that make up all steps.

    >>> [f"{burda_rate(epoch, 3280):.5f}" for epoch in (0, 1, 3, 4, 12, 13, 3279)]
    ['0.00100', '0.00072', '0.00072', '0.00052', '0.00052', '0.00037', '0.00010']
    """
    epoch = min(3280 * t // steps, 3279)
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


# ---------------------------------------------------------------- scores


def negative_log_likelihood(
    model: nn.Module, dataset: data.Dataset, images: int, draws: int = DRAWS
) -> dict:
    """The mean of -log p(x) over the first so many test images, binarised once, and its error."""
    return mean_over_test(partial(importance_weighted, model, k=draws), dataset, images)


def exact_negative_log_likelihood(model: nn.Module, dataset: data.Dataset, images: int) -> dict:
    """The same for a model that knows its log p(x)."""
    with torch.no_grad():
        return mean_over_test(model.log_prob, dataset, images)


def likelihoods_and_images(model: nn.Module, dataset: data.Dataset, images: int) -> dict:
    """The same, and what a chapter shows: -log p(x) of 1,000 images, one image of each class."""
    x, y = next(iter(dataset.test.batches(1000, shuffle=False, binarize="fixed")))
    firsts = [(y == label).nonzero()[0].item() for label in range(len(dataset.classes))]
    with torch.no_grad():
        each = torch.cat([-model.log_prob(part) for part in x.split(10)])
    return exact_negative_log_likelihood(model, dataset, images) | {
        "nats": [round(value, 3) for value in each.tolist()],
        "examples": packed(x[firsts]),
    }


def mean_over_test(
    log_prob: Callable[[Tensor], Tensor], dataset: data.Dataset, images: int
) -> dict:
    x = next(iter(dataset.test.batches(images, shuffle=False, binarize="fixed")))[0]
    values = []
    with tqdm(total=len(x), unit="image", desc="measuring") as bar:
        for part in x.split(10):
            values.append(-log_prob(part))
            bar.update(len(part))
    figure, standard_error = mean_and_error(torch.cat(values))
    return {"figure": figure, "standard_error": standard_error}
