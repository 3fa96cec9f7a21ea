"""All measures of one model, each with its error: what the final comparison asks of a family."""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..data import Dataset
from ..evaluate import (
    bits_per_dimension,
    classifier_test,
    copying,
    frechet_distance,
    kid,
    prdc,
)
from .gans import features_of
from .grey_levels import to_level
from .runs import stopwatch

BITS, SECONDS, MILLISECONDS = "bits per dimension", "training seconds", "milliseconds per draw"
NEARER, FOREST = "nearer to the training set", "accuracy of a forest"
TREES = 100

Nats = Callable[[nn.Module, Tensor], Tensor]  # of a model and images, log p(x): (N,)


def compared_images(dataset: Dataset, images: int) -> Tensor:
    """So many test images, evenly from all of them: (N, *shape)."""
    return dataset.test.images[:: len(dataset.test) // images][:images]


def judged(
    draw: Callable[[int], Tensor], dataset: Dataset, images: int
) -> tuple[dict[str, tuple[float, float]], Tensor]:
    """What samples say: by name a value and its standard error; and the samples.

    As many are drawn as there are test images to compare with, and put on the grid of grey levels,
    as the data are: else a forest would know them by their fractions. Milliseconds are those of the
    processor, whatever else it does.
    """
    classifier, _ = features_of(dataset)
    real = compared_images(dataset, images)
    lap = stopwatch(time.process_time)
    fake = to_level(draw(images), dataset.levels)
    milliseconds = 1000 * lap() / images
    f_real, f_fake = classifier.features(real), classifier.features(fake)
    balls = prdc(f_real, f_fake)
    forest = classifier_test(real, fake, trees=TREES)
    found = {
        "Fréchet distance": frechet_distance(f_real, f_fake),
        "KID": kid(f_real, f_fake),
        **{name: getattr(balls, name) for name in ("precision", "recall", "density", "coverage")},
        FOREST: (forest.accuracy, forest.error),
        NEARER: nearer(fake, dataset.train.images, real),
        MILLISECONDS: (milliseconds, 0.0),
    }
    return found, fake


def nearer(samples: Tensor, train: Tensor, test: Tensor) -> tuple[float, float]:
    """`copying`, and the error of Mann and Whitney's statistic where samples are like data.

    Of a large training set only those images are looked at that lie next to something by the fast
    formula for distances, whose rounding leaves who is nearest as it is.
    """
    parts = torch.cat([samples, test]).flatten(1).split(500)
    near = torch.cat([torch.cdist(x, train.flatten(1)).argmin(1) for x in parts]).unique()
    value, _ = copying(samples, train[near], test)
    n, m = len(samples), len(test)
    return value, ((n + m + 1) / (12 * n * m)) ** 0.5


@torch.no_grad()
def bits(nats: Nats, model: nn.Module, dataset: Dataset, images: int) -> Tensor:
    """Bits per dimension of each test image, (N,)."""
    return bits_per_dimension(nats(model, compared_images(dataset, images)), dataset.shape)
