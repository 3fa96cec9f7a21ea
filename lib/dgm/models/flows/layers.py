"""Invertible layers: what each does to a point, and what it does to volume."""

import math
from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from ...checks import check_shape, event_shape
from ..autoregressive.base import permutation


class Layer(nn.Module):
    r"""One invertible step from data towards codes, and what it does to volume.

        forward(x) -> (z, log |det dz/dx|),        inverse(z) -> (x, log |det dx/dz|).

    `log_det` is always that of the direction in which one goes, so that the two cancel on the way
    there and back. It is one number per event, summed over the event.

    Shapes: (..., *event) -> (..., *event of the code), (...). The second argument of both methods,
    `context`, (..., n), is what networks are told besides x: a label as a one-hot vector, features
    of an encoder. Most layers have no use for it.

    Attributes:
        support: where x may lie.
        mixes: whether it carries numbers from one coordinate to another.
    """

    support: Constraint = constraints.real
    mixes = False

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class Composition(Layer):
    r"""Layers one after the other: log-determinants add up, each taken where its layer stands.

    $$\log |\det J_{f_K \circ \dots \circ f_1}(x_0)| = \sum_k \log |\det J_{f_k}(x_{k-1})|.$$

    It is a sequence: `len(layers)`, `layers[k]`, `for layer in layers`; a slice is a composition.

    Equation: eq-flow-composition

    >>> layers = Composition([Permute([1, 0]), Permute([1, 0])])
    >>> layers(torch.tensor([[1.0, 2.0]]))
    (tensor([[1., 2.]]), tensor([0.]))
    """

    mixes = True

    def __init__(self, layers: Iterable[Layer]):
        super().__init__()
        self.layers = nn.ModuleList(layers)

    @property
    def support(self) -> Constraint:
        return self.layers[0].support if len(self.layers) else constraints.real

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = 0.0
        for layer in self.layers:
            x, log_det = layer(x, context)
            total = total + log_det  # (...)
        return x, total

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = 0.0
        for layer in reversed(self.layers):
            z, log_det = layer.inverse(z, context)
            total = total + log_det  # (...)
        return z, total

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Layer]:
        return iter(self.layers)

    def __getitem__(self, k):
        return Composition(self.layers[k]) if isinstance(k, slice) else self.layers[k]


class Inverse(Layer):
    """A layer read backwards: its `forward` is the other's `inverse`.

    What was fast to score is now fast to draw, and the other way round: an inverse autoregressive
    layer is `Inverse(MaskedAutoregressive(d))`.

    Equation: eq-iaf
    """

    mixes = True

    def __init__(self, layer: Layer):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.layer.inverse(x, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.layer(z, context)


# ------------------------------------------------------------------ that only move coordinates


class Flatten(Layer):
    """Events as vectors: (..., *shape) -> (..., D). No volume changes."""

    def __init__(self, shape: int | Sequence[int]):
        super().__init__()
        self.shape = event_shape(shape)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(x, self.shape)
        z = x.flatten(-len(self.shape))
        return z, z.new_zeros(z.shape[:-1])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(z, (math.prod(self.shape),), "z")
        return z.unflatten(-1, self.shape), z.new_zeros(z.shape[:-1])


class Permute(Layer):
    """The coordinates of a vector in another order, z_j = x_{order(j)}: |det| = 1.

    Raises:
        ValueError: order is no permutation; x has another number of coordinates.

    >>> Permute([2, 0, 1])(torch.tensor([10.0, 20.0, 30.0]))
    (tensor([30., 10., 20.]), tensor(0.))
    """

    mixes = True

    def __init__(self, order: Sequence[int]):
        super().__init__()
        self.register_buffer("order", torch.tensor(permutation(order, len(order))))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(x, self.order.shape)
        return x[..., self.order], x.new_zeros(x.shape[:-1])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(z, self.order.shape, "z")
        return z[..., self.order.argsort()], z.new_zeros(z.shape[:-1])


class Squeeze(Layer):
    """Blocks of 2 x 2 pixels as four channels: (..., C, H, W) -> (..., 4 C, H/2, W/2), |det| = 1.

    Half of the channels is then a coarser image, in which a convolution reaches twice as far.

    Raises:
        ValueError: a side is odd, or the channels are no multiple of four on the way back.

    >>> Squeeze()(torch.zeros(5, 1, 8, 8))[0].shape
    torch.Size([5, 4, 4, 4])
    """

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if x.dim() < 3 or x.shape[-1] % 2 or x.shape[-2] % 2:
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected (..., C, H, W), H, W even")
        return F.pixel_unshuffle(x, 2), x.new_zeros(x.shape[:-3])

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if z.dim() < 3 or z.shape[-3] % 4:
            raise ValueError(f"z: got shape {tuple(z.shape)}, expected (..., 4 C, H, W)")
        return F.pixel_shuffle(z, 2), z.new_zeros(z.shape[:-3])


class Split(Layer):
    """Half of the channels are done and leave; `rest` goes on with the others.

    The density is that of a flat flow with the identity on the half that left. What comes out is a
    vector: the code of `rest`, then the half that left.

    Shapes: (..., C, H, W) -> (..., C H W).

    Raises:
        ValueError: C is odd.

    Equation: eq-multiscale
    """

    mixes = True

    def __init__(self, shape: Sequence[int], rest: Layer):
        super().__init__()
        c, h, w = self.shape = event_shape(shape)
        if c % 2:
            raise ValueError(f"shape: got {self.shape}, expected an even number of channels")
        self.half, self.rest = (c // 2, h, w), rest

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(x, self.shape)
        stays, leaves = x.chunk(2, -3)  # (..., C/2, H, W) each
        z, log_det = self.rest(stays, context)  # (..., C H W / 2)
        return torch.cat([z, leaves.flatten(-3)], -1), log_det

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(z, (math.prod(self.shape),), "z")
        z, left = z.chunk(2, -1)
        x, log_det = self.rest.inverse(z, context)
        return torch.cat([x, left.unflatten(-1, self.half)], -3), log_det


# ------------------------------------------------------------------ pixels


class Logit(Layer):
    r"""Pixels in [0, 1] as real numbers, $z = \operatorname{logit}(m + (1 - 2m) x)$, m the margin:

    $$\log \Big|\frac{dz}{dx}\Big| = \log(1 - 2m) - \log w - \log(1 - w), \qquad w = m+(1-2m)x.$$

    The margin keeps 0 and 1 away from infinity. What is drawn may therefore lie beyond them, by up
    to m / (1 - 2m): such numbers have a density, too.

    Raises:
        ValueError: the margin is not between 0 and 1/2.

    Equation: eq-logit

    Source: Dinh, Sohl-Dickstein and Bengio (2017), arXiv:1605.08803, section 4.1.

    >>> z, log_det = Logit(3, margin=0.05)(torch.tensor([[0.0, 0.5, 1.0]]))
    >>> z
    tensor([[-2.9444,  0.0000,  2.9444]])
    """

    def __init__(self, shape: int | Sequence[int], margin: float = 0.05):
        super().__init__()
        if not 0 < margin < 0.5:
            raise ValueError(f"margin: got {margin}, expected a number between 0 and 1/2")
        self.shape, self.margin = event_shape(shape), margin
        beyond = margin / (1 - 2 * margin)
        self.support = constraints.interval(-beyond, 1 + beyond)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(x, self.shape)
        w = self.margin + (1 - 2 * self.margin) * x
        z = w.logit(torch.finfo(w.dtype).eps)  # a sigmoid that was rounded to 1 stays finite
        return z, self._log_slope(z)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(z, self.shape, "z")
        x = (z.sigmoid() - self.margin) / (1 - 2 * self.margin)
        return x.clamp(self.support.lower_bound, self.support.upper_bound), -self._log_slope(z)

    def _log_slope(self, z: Tensor) -> Tensor:
        """The sum over the event of log dz/dx: w (1 - w) is the slope of the sigmoid at z."""
        each = math.log(1 - 2 * self.margin) + F.softplus(z) + F.softplus(-z)
        return each.flatten(-len(self.shape)).sum(-1)
