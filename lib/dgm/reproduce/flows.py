"""A flow of grey levels: convolutional splines on all 256 levels of MNIST, for a chapter to draw
from, and a line of the scoreboard."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from .. import data
from ..evaluate import bits_per_dimension, importance_weighted, mean_and_error
from ..models import Dequantised, Flow
from ..objectives import elbo
from ..train import Step
from .at_scale import EXAMPLES, packed
from .parts import falling_rate, scheduled_step
from .recipe import Recipe, Schedule

TRAINING, WEIGHTED, DRAWS = 2000, 500, 16  # images, test images of a tighter bound, its draws


def spline_flow(levels: int = 256, width: int = 24, bins: int = 10, epochs: int = 1) -> Recipe:
    """Convolutional spline couplings at two scales, eight in all, under uniform dequantisation.

    Source: Durkan et al. (2019), arXiv:1906.04032, with the scales of Dinh et al. (2017),
    arXiv:1605.08803; far smaller, so that its weights can be kept.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        flow = Flow.conv(shape, layers=2, scales=2, width=width, bins=bins)
        adam = partial(torch.optim.Adam, fused=True)
        return scheduled_step(Dequantised(flow, levels), elbo, rate, adam)

    schedule = Schedule(24, partial(falling_rate, highest=1e-2), epochs, parts=10)
    return Recipe(
        model=f"spline flow, 8 convolutional couplings of width {width}",
        dataset="mnist",
        binarization=None,
        estimator="uniform dequantisation, one draw",
        unit="bits per dimension",
        step=step,
        score=bits_and_images,
        full=schedule,
        short=schedule,
    )


@torch.no_grad()
def bits_and_images(model: Dequantised, dataset: data.Dataset, images: int) -> dict:
    """The bound of test images in bits per dimension, and of training images; some test images.

    The bound with several draws, which is nearer to the truth, is measured on fewer test images,
    and beside it the first one on the same.
    """
    bits = partial(bits_per_dimension, shape=dataset.shape)
    each = bounds(model, dataset.test.images[:images])
    some = dataset.test.images[:WEIGHTED]
    figure, standard_error = mean_and_error(bits(each))
    return {
        "figure": figure,
        "standard_error": standard_error,
        "training": bits(bounds(model, dataset.train.images[:TRAINING]).mean()).item(),
        "one_draw": bits(each[:WEIGHTED].mean()).item(),
        "draws": DRAWS,
        "several_draws": bits(importance_weighted(model, some, k=DRAWS).mean()).item(),
        "examples": packed(dataset.test.images[:EXAMPLES]),
    }


def bounds(model: Dequantised, x: Tensor) -> Tensor:
    """The ELBO of each image, in nats, from one draw: (N, *shape) -> (N,)."""
    return torch.cat([elbo(model, part) for part in x.split(100)])


FLOWS = {"spline-flow": spline_flow()}
