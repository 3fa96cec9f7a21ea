"""Feature networks: data or codes in, features out.

A network here ends in *features*, not in predictions. What the features mean is decided by the
module that follows: an `nn.Linear` that makes a code of them, or a head (`dgm.heads`) that makes a
distribution of them:

    encoder = nn.Sequential(nets.mlp((1, 8, 8), 400), heads.DiagonalNormal(400, 2))

Every network has `out_features`, what the next layer must take: a number for a vector, a tuple
(channels, height, width) for a feature map. Leading dimensions pass through, so that K draws of B
codes, shape (K, B, latent), are decoded in one call.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .checks import check_labels, event_shape, image_shape, integer, sizes


class Features(nn.Sequential):
    """A sequence of layers that knows the size of what it puts out."""

    def __init__(self, layers: Sequence[nn.Module], out_features: int | tuple[int, int, int]):
        super().__init__(*layers)
        self.out_features = out_features


class OverImages(nn.Module):
    """Apply an image layer, which takes one batch dimension, to any number of them.

    Shapes: (..., C, H, W) -> (..., C', H', W').
    """

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x.reshape(-1, *x.shape[-3:]))  # (N, C', H', W'), N the product of (...)
        return y.reshape(*x.shape[:-3], *y.shape[-3:])


def mlp(inputs: int | Sequence[int], *hidden: int, activation=nn.ReLU) -> Features:
    """A multilayer perceptron: per hidden layer an affine map and a nonlinearity.

    Args:
        inputs: number of inputs, or the shape of an event, which is flattened.
        hidden: widths of the hidden layers. With none, the features are the (flattened) inputs,
            so that a head on top is a linear model.
        activation: class of the nonlinearity.

    Shapes: (..., *inputs) -> (..., hidden[-1]).

    Raises:
        ValueError: a size is not a positive integer.

    >>> import torch
    >>> mlp((1, 8, 8), 400, 200)(torch.zeros(5, 3, 1, 8, 8)).shape
    torch.Size([5, 3, 200])
    """
    shape = event_shape(inputs, "inputs")
    widths = [math.prod(shape), *sizes("hidden", hidden)]
    layers: list[nn.Module] = [nn.Flatten(-len(shape))] if len(shape) > 1 else []
    for n_in, n_out in zip(widths[:-1], widths[1:], strict=True):
        layers += [nn.Linear(n_in, n_out), activation()]
    return Features(layers, widths[-1])


def conv_encoder(shape: Sequence[int], width: int = 32) -> Features:
    """Convolutions that halve the image until its shorter side is 4 or less.

    Each stride-2 convolution quarters the area and, after the first, doubles the channels. Odd
    sides round up, which is how 28 becomes 14, 7 and 4.

    Args:
        shape: (channels, height, width) of an image.
        width: channels after the first convolution.

    Shapes: (..., C, H, W) -> (..., out_features).

    Raises:
        ValueError: `shape` is not (C, H, W), for example (2,): points in the plane have no
            neighbouring pixels to convolve.

    >>> import torch
    >>> conv_encoder((1, 28, 28))(torch.zeros(5, 1, 28, 28)).shape
    torch.Size([5, 2048])
    """
    shape, width = image_shape(shape), integer("width", width)
    sides, channels = _pyramid(shape, width)
    layers: list[nn.Module] = []
    for c_in, c_out in zip([shape[0], *channels[:-1]], channels, strict=True):
        layers += [nn.Conv2d(c_in, c_out, 3, stride=2, padding=1), nn.ReLU()]
    h, w = sides[-1]
    return Features([OverImages(*layers), nn.Flatten(-3)], channels[-1] * h * w)


def conv_decoder(latent: int, shape: Sequence[int], width: int = 32) -> Features:
    """The mirror image of `conv_encoder`: transposed convolutions that double the image.

    It stops at a feature map of the image's own height and width; the layer that turns its
    `out_features` channels into pixels belongs to the model or the head.

    Args:
        latent: size of a code.
        shape: (channels, height, width) of an image.
        width: channels of the feature map at full size.

    Shapes: (..., latent) -> (..., width, H, W).

    Raises:
        ValueError: `latent` is not positive or `shape` is not (C, H, W).

    >>> import torch
    >>> conv_decoder(2, (1, 28, 28))(torch.zeros(3, 5, 2)).shape
    torch.Size([3, 5, 32, 28, 28])
    """
    latent, shape, width = integer("latent", latent), image_shape(shape), integer("width", width)
    sides, channels = _pyramid(shape, width)
    sides, channels = sides[::-1], [*channels[::-1], width]  # from the small map to the full image
    h, w = sides[0]
    layers: list[nn.Module] = []
    for i, (h_out, w_out) in enumerate(sides[1:]):
        h_in, w_in = sides[i]
        # 3x3 with stride 2 and padding 1 gives 2n - 1 pixels; output_padding restores an even side
        extra = (h_out - (2 * h_in - 1), w_out - (2 * w_in - 1))
        layers += [
            nn.ConvTranspose2d(channels[i], channels[i + 1], 3, 2, 1, output_padding=extra),
            nn.ReLU(),
        ]
    start = [
        nn.Linear(latent, channels[0] * h * w),
        nn.ReLU(),
        nn.Unflatten(-1, (channels[0], h, w)),
    ]
    return Features([*start, OverImages(*layers)], (width, *sides[-1]))


def to_event(
    features: int | tuple[int, int, int], shape: int | Sequence[int], n: int = 1
) -> nn.Module:
    """The last layer of a network: from features to `n` real parameters per element of an event.

    A vector of features goes through a linear layer, a feature map through a 3x3 convolution.

    Args:
        features: `out_features` of the network before it.
        shape: event shape.
        n: parameters per element; `n > 1` adds a dimension of that size before the event's.

    Shapes: (..., features) or (..., C, H, W) -> (..., *shape), or (..., n, *shape) for n > 1.

    Raises:
        ValueError: a feature map of another height and width than the event's.

    >>> import torch
    >>> to_event(400, (1, 8, 8), n=17)(torch.zeros(5, 400)).shape
    torch.Size([5, 17, 1, 8, 8])
    """
    shape, features, n = event_shape(shape), sizes("features", features), integer("n", n)
    full = (n, *shape) if n > 1 else shape
    if len(features) == 1:
        return nn.Sequential(nn.Linear(*features, math.prod(full)), nn.Unflatten(-1, full))
    if len(shape) != 3 or features[1:] != shape[1:]:
        raise ValueError(
            f"features: a feature map of shape {features} cannot become an event of shape "
            f"{shape}; expected the same height and width"
        )
    layers: list[nn.Module] = [OverImages(nn.Conv2d(features[0], n * shape[0], 3, padding=1))]
    return nn.Sequential(*layers, nn.Unflatten(-3, full[:-2])) if n > 1 else layers[0]


def _pyramid(shape: tuple[int, int, int], width: int) -> tuple[list[tuple[int, int]], list[int]]:
    """Sides of the images from full size down, and the channels after each halving."""
    sides = [(shape[1], shape[2])]
    while min(sides[-1]) > 4:
        h, w = sides[-1]
        sides.append(((h + 1) // 2, (w + 1) // 2))
    if len(sides) == 1:
        raise ValueError(f"shape: got {shape}, expected height and width of at least 5")
    return sides, [width * 2**i for i in range(len(sides) - 1)]


class Label(nn.Module):
    """A learned vector per class, to be added to a layer: labels (B,) -> (B, width).

    Without classes it is a vector of zeros, (1, width), that takes no label.
    """

    def __init__(self, classes: int, width: int):
        super().__init__()
        self.classes = classes
        if classes:
            self.vectors = nn.Embedding(classes, width)
        else:
            self.register_buffer("zero", torch.zeros(1, width), persistent=False)

    def forward(self, y: Tensor | None) -> Tensor:
        check_labels(y, self.classes)
        return self.vectors(y.long()) if self.classes else self.zero
