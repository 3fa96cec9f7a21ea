"""Convolutions that halve an image, and transposed ones that double it."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from torch import nn

from ..checks import event_shape, image_shape, integer
from ..nets import BesideImage, Features, OverImages, mlp


class Convolution:
    """Strided convolutions down, transposed convolutions up. Images only.

    Each stride-2 convolution quarters the area and, after the first, doubles the channels, until
    the shorter side is 4 or less. Odd sides round up, which is how 28 becomes 14, 7 and 4. The
    decoder is the mirror image; it stops at a feature map of the image's own height and width: the
    layer that turns its channels into pixels belongs to the model or the head.

    Args:
        width: channels after the encoder's first convolution, and at the decoder's end.

    Raises:
        ValueError: `width` or a code's size is not positive; an event is not (C, H, W), for example
            (2,): points in the plane have no neighbouring pixels to convolve; or it has less than
            5 x 5 pixels.

    >>> import torch
    >>> pair = Convolution()
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
            layers += [halve(c_in, c_out), activation()]
        return Features([OverImages(*layers), nn.Flatten(-3)], math.prod(maps[-1]))

    def decoder(self, latent: int | Sequence[int], shape: Sequence[int]) -> Features:
        """(..., *latent) -> (..., width, H, W)."""
        maps = mirrored(shape, self.width)
        layers: list[nn.Module] = []
        for small, large in pairwise(maps):
            layers += [double(small, large), nn.ReLU()]
        return Features([*from_code(latent, maps[0]), OverImages(*layers)], maps[-1])


def pyramid(shape: Sequence[int], width: int) -> list[tuple[int, int, int]]:
    """The image, then feature maps of half the size and half that, until one side is 4 or less.

    Raises:
        ValueError: the image has less than 5 x 5 pixels.

    >>> pyramid((1, 28, 28), width=32)
    [(1, 28, 28), (32, 14, 14), (64, 7, 7), (128, 4, 4)]
    """
    maps = [image_shape(shape)]
    while min(maps[-1][1:]) > 4:
        _, h, w = maps[-1]
        maps.append((width, (h + 1) // 2, (w + 1) // 2))
        width *= 2
    if len(maps) == 1:
        raise ValueError(f"shape: got {maps[0]}, expected height and width of at least 5")
    return maps


def mirrored(shape: Sequence[int], width: int) -> list[tuple[int, int, int]]:
    """The way back: from the smallest map of `pyramid` up to `width` channels of full size.

    >>> mirrored((1, 28, 28), width=32)
    [(128, 4, 4), (64, 7, 7), (32, 14, 14), (32, 28, 28)]
    """
    (_, h, w), *maps = pyramid(shape, width)
    return [*reversed(maps), (width, h, w)]


def halve(c_in: int, c_out: int) -> nn.Conv2d:
    """(N, c_in, H, W) -> (N, c_out, H / 2, W / 2), rounded up."""
    return nn.Conv2d(c_in, c_out, 3, stride=2, padding=1)


def double(small: tuple[int, int, int], large: tuple[int, int, int]) -> nn.ConvTranspose2d:
    """(N, *small) -> (N, *large), the sizes of `halve` on the way back."""
    (c_in, h, w), (c_out, *sides) = small, large
    # 3x3 with stride 2 and padding 1 gives 2n - 1 pixels; output_padding restores an even side
    extra = [side - (2 * n - 1) for side, n in zip(sides, (h, w), strict=True)]
    return nn.ConvTranspose2d(c_in, c_out, 3, stride=2, padding=1, output_padding=extra)


def from_code(latent: int | Sequence[int], small: tuple[int, int, int]) -> list[nn.Module]:
    """A hidden layer on a code, seen as a small feature map: (..., *latent) -> (..., C, h, w)."""
    return [*mlp(event_shape(latent, "latent"), math.prod(small)), nn.Unflatten(-1, small)]
