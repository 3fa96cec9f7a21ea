"""Feature networks: data or codes in, features out.

A network here ends in *features*, not in predictions. What the features mean is decided by the
module that follows: an `nn.Linear` that makes a code of them, or a head (`dgm.heads`) that makes a
distribution of them:

    encoder = nn.Sequential(nets.mlp((1, 8, 8), 400), heads.DiagonalNormal(400, 2))

Every network has `out_features`, what the next layer must take: a number for a vector, a tuple
(channels, height, width) for a feature map. Leading dimensions pass through, so that K draws of B
codes, shape (K, B, latent), are decoded in one call.

Encoders and decoders that go together come in pairs, from `dgm.architectures`.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .checks import (
    check_label_shape,
    check_labels,
    event_shape,
    image_shape,
    integer,
    positive,
    sizes,
)


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


class BesideVector(nn.Module):
    """A network of an event, flattened, with a label at its end.

    Args:
        network: takes (..., D + classes).
        shape: the event's, of D elements.

    Shapes: (..., *shape), one-hot labels (B, classes) -> what the network makes of both.
    """

    def __init__(self, network: nn.Module, shape: int | Sequence[int]):
        super().__init__()
        self.network, self.dims = network, len(event_shape(shape))

    def forward(self, x: Tensor, label: Tensor):
        x = x.flatten(-self.dims)  # (..., D)
        # draws lead, and share their labels
        check_label_shape(label.shape[:-1], x.shape[:-1][-max(label.dim() - 1, 1) :])
        label = label.expand(*x.shape[:-1], -1)  # (..., classes)
        return self.network(torch.cat([x, label], -1))

    @staticmethod
    def joined(shape: int | Sequence[int], classes: int) -> tuple[int]:
        """The shape of an event together with its label.

        >>> BesideVector.joined((1, 8, 8), classes=10)
        (74,)
        """
        return (math.prod(event_shape(shape)) + classes,)


class BesideImage(nn.Module):
    """A network of an image with a plane per class, 1 for the label's and 0 for the others.

    Args:
        network: takes (..., C + classes, H, W).
        shape: the image's, (C, H, W).

    Shapes: (..., C, H, W), one-hot labels (..., classes) -> what the network makes of both.
    """

    def __init__(self, network: nn.Module, shape: Sequence[int]):
        super().__init__()
        self.network, self.size = network, image_shape(shape)[1:]

    def forward(self, x: Tensor, label: Tensor):
        planes = label[..., None, None].expand(*label.shape, *self.size)
        return self.network(torch.cat([x, planes], -3))  # (..., C + classes, H, W)

    @staticmethod
    def joined(shape: Sequence[int], classes: int) -> tuple[int, int, int]:
        """The shape of an image together with its label.

        >>> BesideImage.joined((1, 8, 8), classes=10)
        (11, 8, 8)
        """
        channels, height, width = image_shape(shape)
        return channels + classes, height, width


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


class Fourier(nn.Module):
    r"""Waves of random directions and frequencies, $(\sin \Omega x, \cos \Omega x)$ with
    $\Omega_{ij} \sim \mathcal N(0, s^2)$, fixed.

    A perceptron of coordinates learns slow functions first and fine detail late. One of waves has
    detail of the size 1 / s to begin with.

    Args:
        inputs: number of coordinates.
        features: number of waves.
        scale: s, in radians per unit of x.

    Shapes: (..., inputs) -> (..., 2 features).

    Raises:
        ValueError: a size is no positive integer, or the scale is not positive.

    Source: Rahimi and Recht (2007), Random features for large-scale kernel machines; Tancik et al.
    (2020), arXiv:2006.10739, Fourier Features Let Networks Learn High Frequency Functions in Low
    Dimensional Domains.

    >>> import torch
    >>> Fourier(2, features=32)(torch.zeros(5, 2)).shape
    torch.Size([5, 64])
    """

    def __init__(self, inputs: int, features: int, scale: float = 2.5):
        super().__init__()
        inputs, features = integer("inputs", inputs), integer("features", features)
        self.out_features = 2 * features
        self.register_buffer(
            "frequencies", positive("scale", scale) * torch.randn(inputs, features)
        )

    def forward(self, x: Tensor) -> Tensor:
        phase = x @ self.frequencies  # (..., features)
        return torch.cat([phase.sin(), phase.cos()], -1)


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


class ClassEmbedding(nn.Module):
    """A learned vector per class, to be added to a layer: labels (B,) -> (B, width).

    Without classes it is a vector of zeros, (1, width), and y is None.
    """

    def __init__(self, classes: int, width: int):
        super().__init__()
        self.classes = classes
        if classes:
            self.vectors = nn.Embedding(classes, width)
        else:
            self.register_buffer("zero", torch.zeros(1, width), persistent=False)

    def forward(self, y: Tensor | None, batch: int) -> Tensor:
        check_labels(y, self.classes, (batch,))
        return self.vectors(y.long()) if self.classes else self.zero
