"""Residual convolutional networks: deeper ones, whose blocks add to what they are given."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from ..checks import integer
from ..nets import BesideImage, Features, OverImages
from .convolution import double, from_code, halve, mirrored, pyramid


class Residual:
    """`Convolution` with a residual block at every size of the feature map. Images only.

    A block follows each convolution that halves the map, and precedes each that doubles it: deeper
    networks of the same sizes.

    Args:
        width: channels after the encoder's first convolution, and at the decoder's end.

    Raises:
        ValueError: as for `Convolution`.

    >>> import torch
    >>> pair = Residual()
    >>> pair.encoder((1, 28, 28))(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 2048])
    >>> pair.decoder(2, (1, 28, 28))(torch.zeros(3, 5, 2)).shape
    torch.Size([3, 5, 32, 28, 28])
    """

    beside = BesideImage

    def __init__(self, width: int = 32):
        self.width = integer("width", width)

    def encoder(
        self, shape: Sequence[int], activation: Callable[[], nn.Module] = nn.ReLU
    ) -> Features:
        """(..., C, H, W) -> (..., features)."""
        maps = pyramid(shape, self.width)
        layers: list[nn.Module] = []
        for (c_in, *_), (c_out, *_) in pairwise(maps):
            layers += [halve(c_in, c_out), Block(c_out, activation)]
        return Features([OverImages(*layers, activation()), nn.Flatten(-3)], math.prod(maps[-1]))

    def decoder(self, latent: int | Sequence[int], shape: Sequence[int]) -> Features:
        """(..., *latent) -> (..., width, H, W)."""
        maps = mirrored(shape, self.width)
        layers: list[nn.Module] = []
        for small, large in pairwise(maps):
            layers += [Block(small[0]), double(small, large)]
        return Features([*from_code(latent, maps[0]), OverImages(*layers, nn.ReLU())], maps[-1])


class Block(nn.Module):
    r"""$x + F(x)$, with F two convolutions, an activation before each.

    The way from block to block is free of activations, so that gradients pass undamped. There is no
    normalisation: as PyTorch initialises convolutions, F is small beside x at first, which is what
    deep networks need, and each example is judged alone.

    Shapes: (N, channels, H, W) -> the same.

    Source: He, Zhang, Ren and Sun (2016), arXiv:1603.05027, Identity Mappings in Deep Residual
    Networks (full pre-activation).
    """

    def __init__(self, channels: int, activation: Callable[[], nn.Module] = nn.ReLU):
        super().__init__()
        self.change = nn.Sequential(
            activation(),
            nn.Conv2d(channels, channels, 3, padding=1),
            activation(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.change(x)
