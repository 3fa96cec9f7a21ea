"""A small classifier of the data at hand, whose features are a space to compare images in."""

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from ..architectures import Convolution
from ..checks import check_integers, check_range, integer
from ..data import Dataset, Split
from ..labels import known
from ..train import fit, gradient_step, own_random_state


class Classifier(nn.Module):
    """A small convolutional classifier; what its last hidden layer sees serves as features.

    `train_classifier` makes one of a data set.

    >>> classifier = Classifier((1, 8, 8), classes=10)
    >>> x = torch.rand(5, 1, 8, 8)
    >>> classifier(x).shape, classifier.features(x).shape
    (torch.Size([5, 10]), torch.Size([5, 32]))
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, features: int = 32):
        super().__init__()
        self.shape = tuple(shape)
        conv = Convolution(width=16).encoder(shape)
        self.network = nn.Sequential(conv, nn.Linear(conv.out_features, features), nn.ReLU())
        self.logits = nn.Linear(features, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the classes: (B, C, H, W) -> (B, classes)."""
        return self.logits(self.network(x))

    @torch.no_grad()
    def features(self, x: Tensor, batch_size: int = 1000) -> Tensor:
        """(N, C, H, W) -> (N, features), in batches, without a graph."""
        return torch.cat([self.network(batch) for batch in x.split(batch_size)])


def train_classifier(data: Dataset, updates: int = 500, seed: int = 0) -> Classifier:
    """A `Classifier` of the data set's classes, trained by maximum likelihood on its training half.

    The same data and seed give the same classifier (on one machine), whatever was drawn before;
    afterwards the random state is what it was.

    Args:
        data: images with labels; those without one (y = -1) are left out.
        updates: of Adam, on batches of 128, rounded up to whole epochs.

    Raises:
        ValueError: the examples are not images, none is labelled, or no updates are asked for.
        KeyboardInterrupt: at Ctrl-C. A classifier that has not learned everything is not returned,
            because nobody could tell it from one that has.

    >>> import dgm
    >>> data = dgm.data.load("digits")
    >>> classifier = train_classifier(data, updates=100)
    >>> accuracy = (classifier(data.test.images).argmax(1) == data.test.y).float().mean()
    >>> bool(accuracy > 0.8)
    True
    """
    updates = integer("updates", updates)

    def log_prob_of_label(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return Categorical(logits=model(x), validate_args=False).log_prob(y)  # (B,)

    batches = known(data.train).batches(128)
    with own_random_state(seed):
        classifier = Classifier(data.shape, len(data.classes)).to(data.train.x.device)
        step = gradient_step(classifier, log_prob_of_label)
        history = fit(step, batches, epochs=math.ceil(updates / len(batches)), progress=False)
    if history.interrupted:
        raise KeyboardInterrupt
    return classifier.requires_grad_(False)


class ConditionalAccuracy(NamedTuple):
    """Of a classifier that learned from samples, on test data; and of one that learned from data.

    Attributes:
        accuracy, error: the share of test images that it gets right, and its standard error.
        real: the share that a classifier gets right which learned from as many training images.
    """

    accuracy: float
    error: float
    real: float


def conditional_accuracy(
    samples: Tensor, y: Tensor, data: Dataset, updates: int = 500, seed: int = 0
) -> ConditionalAccuracy:
    """Whether a classifier learns from samples of given classes what it would learn from data.

    To be as good on test images it needs samples that look like their class *and* differ as the
    images of that class do; a score of the samples by a classifier of real images asks for the
    first only. It says nothing of a model without classes, nor whether samples are copies.

    Args:
        samples: (N, C, H, W) in [0, 1]; they are rounded to the data's grey levels, and what is
            outside is cut off.
        y: (N,), the class that each was drawn for.
        data: on whose test half both classifiers are asked.
        updates, seed: of `train_classifier`.

    Returns:
        `ConditionalAccuracy`. The yardstick learned from the first N training images with a label,
        or from all if there are fewer.

    Raises:
        ValueError: samples are no images of the data's shape, y are no labels of them, or no test
            image has a label.

    Source: Ravuri and Vinyals (2019), arXiv:1905.10887, Classification accuracy score for
    conditional generative models.
    """
    if samples.shape[1:] != data.shape or len(samples) == 0:
        raise ValueError(
            f"samples: got shape {tuple(samples.shape)}, expected (N, "
            f"{', '.join(map(str, data.shape))}), N at least 1"
        )
    check_integers(y, samples.shape[:1])
    check_range(y, len(data.classes))
    device, top = data.train.x.device, data.levels - 1
    grey = (samples.detach().clamp(0, 1) * top).round().to(torch.uint8)
    drawn = Split(grey.to(device), y.long().to(device), data.levels)
    train, test = known(data.train), known(data.test)
    as_many = train.select(torch.arange(min(len(samples), len(train)), device=device))
    accuracy, real = (
        (
            train_classifier(replace(data, train=split), updates, seed)(test.images).argmax(1)
            == test.y
        )
        .double()
        .mean()
        .item()
        for split in (drawn, as_many)
    )
    error = (accuracy * (1 - accuracy) / len(test)) ** 0.5
    return ConditionalAccuracy(accuracy, error, real)
