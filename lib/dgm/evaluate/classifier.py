"""A small classifier of the data at hand, whose features are a space to compare images in."""

import math

import torch
from torch import Tensor, nn
from torch.distributions import Categorical

from ..architectures import Convolution
from ..checks import integer
from ..data import Dataset
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
