"""Couplings: one part of the coordinates says how the others are changed."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ...checks import check_shape, event_shape, image_shape, integer, sizes
from ...nets import OverImages
from .elementwise import Affine
from .layers import Layer


class Coupling(Layer):
    r"""What is kept, $x_a$, says by a network how each other coordinate is changed, $x_b$:

    $$z_a = x_a, \qquad z_b = g(x_b; \, \text{network}(x_a)), \qquad
    \log |\det| = \sum_{j \in b} \log g'(x_j).$$

    The network is never inverted: on the way back it is told the same $x_a$.

    Args:
        mask: bool, of the event's shape, true where x is kept.
        network: called with what is kept, as a vector (..., kept), and the context; returns the
            parameters of the others, (..., changed, by.parameters).
        by: g, of `elementwise`: `Affine()`, `Additive()` or `Spline()`.

    Raises:
        ValueError: the mask is not of type bool, or it keeps nothing, or all, so that nothing
            would be changed; x has another shape; the network returns another shape.

    Equation: def-coupling, eq-coupling

    Source: Dinh, Krueger and Bengio (2015), arXiv:1410.8516, NICE; Dinh, Sohl-Dickstein and Bengio
    (2017), arXiv:1605.08803, Density estimation using Real NVP.

    >>> layer = Coupling.of(alternating(4), hidden=(64,))
    >>> z, log_det = layer(torch.randn(5, 4))
    >>> z.shape, log_det.shape
    (torch.Size([5, 4]), torch.Size([5]))
    """

    def __init__(self, mask: Tensor, network: nn.Module, by: Callable | None = None):
        super().__init__()
        kept, changed = parts_of(mask)
        self.mask, self.shape = mask, tuple(mask.shape)
        self.network, self.by = network, by or Affine()
        self.register_buffer("kept", torch.tensor(kept), persistent=False)
        self.register_buffer("changed", torch.tensor(changed), persistent=False)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(x, self.shape)
        return self._by(self.by, x, context)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(z, self.shape, "z")
        return self._by(self.by.inverse, z, context)

    def _by(self, g: Callable, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = x.flatten(-len(self.shape))  # (..., D)
        x_a, x_b = x.index_select(-1, self.kept), x.index_select(-1, self.changed)
        params = self.network(x_a, context)
        if params.shape != (*x_b.shape, self.by.parameters):
            expected = (*x_b.shape, self.by.parameters)
            raise ValueError(f"network: returned {tuple(params.shape)}, expected {expected}")
        z_b, log_slope = g(x_b, params)
        z = x.index_copy(-1, self.changed, z_b)
        return z.unflatten(-1, self.shape), log_slope.sum(-1)

    @classmethod
    def of(
        cls,
        mask: Tensor,
        by: Callable | None = None,
        hidden: int | Sequence[int] = (64, 64),
        context: int = 0,
    ) -> "Coupling":
        """A coupling by a multilayer perceptron. A fresh one is the identity."""
        by = by or Affine()
        kept, changed = parts_of(mask)
        network = VectorNetwork(len(kept), len(changed), by.parameters, hidden, context)
        return cls(mask, network, by)

    @classmethod
    def conv(
        cls, mask: Tensor, by: Callable | None = None, width: int = 32, context: int = 0
    ) -> "Coupling":
        """A coupling of images, by three convolutions. A fresh one is the identity."""
        by = by or Affine()
        return cls(mask, ImageNetwork(mask, by.parameters, width, context), by)


# ------------------------------------------------------------------ masks


def alternating(shape: int | Sequence[int], first: bool = True) -> Tensor:
    """Every second element of an event is kept: bool, `shape`. Of a square it is no checkerboard.

    >>> alternating(5), alternating(5, first=False)
    (tensor([ True, False,  True, False,  True]), tensor([False,  True, False,  True, False]))
    """
    shape = event_shape(shape)
    even = torch.arange(math.prod(shape), device="cpu") % 2 == 0
    return (even == first).view(shape)


def checkerboard(shape: Sequence[int], first: bool = True) -> Tensor:
    """Pixels of one colour of a checkerboard are kept, in all channels: bool, (C, H, W).

    >>> checkerboard((1, 2, 3)).int()
    tensor([[[1, 0, 1],
             [0, 1, 0]]], dtype=torch.int32)
    """
    c, h, w = image_shape(shape)
    rows, columns = torch.arange(h, device="cpu"), torch.arange(w, device="cpu")
    even = (rows[:, None] + columns) % 2 == 0  # (H, W)
    return (even == first).expand(c, h, w).contiguous()


def channels(shape: Sequence[int], first: bool = True) -> Tensor:
    """Half of the channels is kept, the first or the second: bool, (C, H, W).

    >>> channels((4, 1, 1)).flatten()
    tensor([ True,  True, False, False])
    """
    c, h, w = image_shape(shape)
    lower = torch.arange(c, device="cpu") < c // 2
    return (lower == first)[:, None, None].expand(c, h, w).contiguous()


def parts_of(mask: Tensor) -> tuple[list[int], list[int]]:
    """The flat indices of what a mask keeps, and of the others.

    Raises:
        ValueError: one of them is empty, or the mask is not of type bool.

    >>> parts_of(torch.tensor([True, True]))
    Traceback (most recent call last):
    ValueError: mask: keeps 2 of 2 elements, expected some to be kept and some to be changed
    """
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool or mask.dim() == 0:
        got = f"a tensor of {mask.dtype}" if isinstance(mask, Tensor) else f"{type(mask).__name__}"
        raise ValueError(f"mask: got {got}, expected a tensor of bool, of the event's shape")
    flat = mask.flatten().tolist()
    kept = [j for j, keep in enumerate(flat) if keep]
    if not 0 < len(kept) < len(flat):
        raise ValueError(
            f"mask: keeps {len(kept)} of {len(flat)} elements, expected some to be kept and some "
            "to be changed"
        )
    return kept, [j for j, keep in enumerate(flat) if not keep]


# ------------------------------------------------------------------ networks


class VectorNetwork(nn.Module):
    """A multilayer perceptron: (..., inputs), context (..., n) -> (..., outputs, parameters).

    The last layer starts at zero.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        parameters: int,
        hidden: int | Sequence[int] = (64, 64),
        context: int = 0,
    ):
        super().__init__()
        widths = [inputs, *widths_of(hidden)]
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.told = nn.Linear(context, widths[1], bias=False) if context else None
        self.last = starting_at_zero(nn.Linear(widths[-1], outputs * parameters))
        self.outputs = outputs, parameters

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        first, *others = self.layers
        h = first(x)
        if self.told is not None:
            h = h + self.told(context)
        for layer in others:
            h = layer(h.relu())
        return self.last(h.relu()).unflatten(-1, self.outputs)


class ImageNetwork(nn.Module):
    """Three convolutions: what a mask keeps of images, as vectors, to parameters of the others.

    Where whole channels are kept, they are the image; else what is changed is zero in it. Every
    pixel has an offset of its own: what convolutions cannot know is where they are.

    Shapes: (..., kept), context (..., n) -> (..., changed, parameters).
    """

    def __init__(self, mask: Tensor, parameters: int, width: int = 32, context: int = 0):
        super().__init__()
        c, h, w = image_shape(mask.shape)
        kept, changed = parts_of(mask)
        whole = bool((mask == mask[:, :1, :1]).all())  # channels, each kept or changed as a whole
        c_in, c_out = (len(kept) // (h * w), len(changed) // (h * w)) if whole else (c, c)
        width = integer("width", width)
        self.image_in, self.maps_out, self.whole = (c_in, h, w), (c_out, parameters, h, w), whole
        self.register_buffer("kept", torch.tensor(kept), persistent=False)
        self.register_buffer("changed", torch.tensor(changed), persistent=False)
        self.first = OverImages(nn.Conv2d(c_in, width, 3, padding=1))
        self.told = nn.Linear(context, width, bias=False) if context else None
        self.second = OverImages(nn.Conv2d(width, width, 3, padding=1))
        self.last = OverImages(
            starting_at_zero(nn.Conv2d(width, c_out * parameters, 3, padding=1, bias=False))
        )
        self.offset = nn.Parameter(torch.zeros(len(changed), parameters))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if not self.whole:
            zeros = x.new_zeros(*x.shape[:-1], math.prod(self.image_in))
            x = zeros.index_copy(-1, self.kept, x)
        h = self.first(x.unflatten(-1, self.image_in))  # (..., width, H, W)
        if self.told is not None:
            h = h + self.told(context)[..., None, None]
        maps = self.last(self.second(h.relu()).relu()).unflatten(-3, self.maps_out[:2])
        params = maps.movedim(-3, -1).flatten(-4, -2)  # (..., C H W, parameters)
        if not self.whole:
            params = params.index_select(-2, self.changed)
        return params + self.offset


def starting_at_zero(layer: nn.Module) -> nn.Module:
    for value in layer.parameters():
        nn.init.zeros_(value)
    return layer


def widths_of(hidden: int | Sequence[int]) -> tuple[int, ...]:
    """Widths of hidden layers, of which there is at least one."""
    widths = sizes("hidden", hidden)
    if not widths:
        raise ValueError("hidden: got no layer, expected at least one width")
    return widths
