"""A small classifier of the data at hand, whose features are a space to compare images in."""

import torch
from torch import Tensor, nn

from ..architectures import Convolution


class Classifier(nn.Module):
    """A small convolutional classifier; what its last hidden layer sees serves as features.

    `dgm.reproduce.train_classifier` makes one of a data set.

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
