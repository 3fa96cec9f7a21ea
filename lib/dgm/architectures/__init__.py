"""Architectures: encoders and decoders that go together, each pair in one file.

A model is made of networks; an architecture says which. Every model that needs an encoder or a
decoder takes any architecture, and adds what makes the features its own: a code, a head, a logit.

    VAE.of(Residual(width=32), (1, 28, 28), latent=16)
    Critic.of(Residual(width=32), (1, 28, 28))

`VAE.residual((1, 28, 28), width=32, latent=16)` is short for the first: see
`dgm.models.FromArchitecture`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import nn

from ..nets import BesideImage, BesideVector, Features
from .convolution import Convolution
from .perceptron import Perceptron
from .residual import Residual

__all__ = ["Architecture", "Convolution", "Perceptron", "Residual"]


class Architecture(Protocol):
    """Two networks that go together: from events to features, and from codes to features.

    Sizes are the object's own, so that `encoder` and `decoder` need only shapes. No layer may look
    at more than one example (batch normalisation does): per-example gradients and critics' gradient
    penalties would be wrong.

    Attributes:
        beside: how a label joins an event, `nets.BesideVector` or `nets.BesideImage`.
    """

    beside: type[BesideVector] | type[BesideImage]

    def encoder(
        self, shape: int | Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU
    ) -> Features:
        """(..., *shape) -> features, a vector per example."""
        ...

    def decoder(self, latent: int | Sequence[int], shape: int | Sequence[int]) -> Features:
        """(..., *latent) -> features of events of this shape: a vector, or a map as large as it."""
        ...
