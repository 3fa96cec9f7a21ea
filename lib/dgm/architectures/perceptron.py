"""Multilayer perceptrons, for events of any shape."""

from collections.abc import Callable, Sequence

from torch import nn

from ..checks import sizes
from ..nets import BesideVector, Features, mlp


class Perceptron:
    """Multilayer perceptrons; the decoder's hidden layers are the encoder's in reverse.

    Args:
        hidden: widths of the encoder's hidden layers. With none, what stands on top of the features
            is all there is: affine maps.

    Raises:
        ValueError: a width is not a positive integer.

    >>> import torch
    >>> pair = Perceptron((400, 200))
    >>> pair.encoder((1, 8, 8))(torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 200])
    >>> pair.decoder(2, (1, 8, 8))(torch.zeros(3, 5, 2)).shape
    torch.Size([3, 5, 400])
    """

    beside = BesideVector

    def __init__(self, hidden: int | Sequence[int] = (400,)):
        self.hidden = sizes("hidden", hidden)

    def encoder(
        self, shape: int | Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU
    ) -> Features:
        """(..., *shape) -> (..., hidden[-1])."""
        return mlp(shape, *self.hidden, activation=activation)

    def decoder(self, latent: int | Sequence[int], shape: int | Sequence[int]) -> Features:
        """(..., *latent) -> (..., hidden[0]), whatever the shape of the event."""
        return mlp(latent, *reversed(self.hidden))
