"""What flows are stacked from: layers of one kind, in turn, at one scale or at several."""

import math
from collections.abc import Callable, Sequence
from functools import partial

from torch import Tensor
from torch.distributions import constraints

from ... import heads
from ...checks import event_shape, image_shape, integer
from .autoregressive import MaskedAutoregressive
from .couplings import Coupling, alternating, channels, checkerboard
from .elementwise import Affine, Spline
from .layers import Composition, Flatten, Layer, Logit, Split, Squeeze
from .linear import ActNorm, Linear

Sizes = int | Sequence[int]  # one, or several
Image = tuple[int, int, int]  # (C, H, W)


def in_turn(layers: int, one, other) -> list:
    """One and the other in turn, as many as there are layers."""
    return [(one, other)[k % 2] for k in range(integer("layers", layers))]


# ------------------------------------------------------------------ before the first layer


def vectors(shape: Sizes) -> list[Layer]:
    """Events as vectors, which points are."""
    shape = event_shape(shape)
    return [Flatten(shape)] if len(shape) > 1 else []


def real_vectors(shape: Sizes) -> list[Layer]:
    """Pixels through a logit and standardised; else vectors of what is real anyway."""
    shape = event_shape(shape)
    if len(shape) != 3:
        return vectors(shape)
    return [Logit(shape), Flatten(shape), ActNorm(math.prod(shape))]


def unit_cube(shape: Sequence[int]) -> dict:
    """A uniform base, and that data lie where it lives."""
    return {"base": heads.UnitCube(math.prod(shape)), "support": constraints.unit_interval}


# ------------------------------------------------------------------ on vectors


def couplings(shape: Sizes, by: Callable, layers: int, hidden: Sizes, classes: int) -> list[Layer]:
    """Couplings of flattened events, which keep the even coordinates and the odd ones in turn."""
    shape, context = event_shape(shape), integer("classes", classes, at_least=0)
    d = math.prod(shape)
    if d < 2:
        raise ValueError(
            f"shape: got {shape}, expected two elements at least, one to say how the other "
            "is changed; Flow.autoregressive takes one"
        )
    masks = in_turn(layers, alternating(d), alternating(d, first=False))
    return [Coupling.of(mask, by, hidden, context) for mask in masks]


def autoregressive(shape: Sizes, layers: int, hidden: Sizes, classes: int) -> list[Layer]:
    """Affine autoregressive layers of flattened events, in an order that each reverses."""
    there, context = range(math.prod(event_shape(shape))), integer("classes", classes, at_least=0)
    orders = in_turn(layers, there, there[::-1])
    return [MaskedAutoregressive(len(there), hidden, order, context=context) for order in orders]


# ------------------------------------------------------------------ on images


def spline_scales(
    shape: Sequence[int], layers: int, scales: int, width: int, bins: int, classes: int
) -> list[Layer]:
    """Couplings by splines on [0, 1], of pixels and of the channels that blocks of them become."""
    context = integer("classes", classes, at_least=0)
    by = Spline(bins, 0.0, 1.0)
    kind = partial(image_couplings, by=by, layers=layers, width=width, context=context)
    return by_scale(shape, scales, partial(kind, checkerboard), partial(kind, channels))


def glow_scales(
    shape: Sequence[int], layers: int, scales: int, width: int, classes: int
) -> list[Layer]:
    """Two affine couplings of pixels, and steps of Glow on the channels that blocks become."""
    layers, context = integer("layers", layers), integer("classes", classes, at_least=0)
    pair = partial(image_couplings, by=Affine(), layers=2, width=width, context=context)

    def steps(shape: Image) -> list[Layer]:
        return [layer for _ in range(layers) for layer in glow_step(shape, width, context)]

    return by_scale(shape, scales, partial(pair, checkerboard), steps)


def by_scale(
    shape: Sequence[int],
    scales: int,
    of_pixels: Callable[[Image], list[Layer]],
    of_blocks: Callable[[Image], list[Layer]],
) -> list[Layer]:
    """Layers on the image, layers on channels of blocks of it, and so on with half of those."""
    (c, h, w), scales = image_shape(shape), integer("scales", scales, at_least=0)
    fine = of_pixels((c, h, w)) if h * w > 1 else []
    if not scales or h % 2 or w % 2:
        return [*fine, Flatten(shape)]
    blocks = 4 * c, h // 2, w // 2
    stack = [*fine, Squeeze(), *of_blocks(blocks)]
    if scales == 1:
        return [*stack, Flatten(blocks)]
    rest = by_scale((2 * c, h // 2, w // 2), scales - 1, of_pixels, of_blocks)
    return [*stack, Split(blocks, Composition(rest))]


def image_couplings(
    masks: Callable[..., Tensor],
    shape: Image,
    by: Callable,
    layers: int,
    width: int,
    context: int,
) -> list[Layer]:
    """Convolutional couplings under masks of one kind, which keep one part and the other in turn.

    Args:
        masks: `checkerboard` or `channels`.
    """
    each = in_turn(layers, masks(shape), masks(shape, first=False))
    return [Coupling.conv(mask, by, width, context) for mask in each]


def glow_step(shape: Sequence[int], width: int = 32, context: int = 0) -> list[Layer]:
    """One step of Glow: scale each channel, mix them, and change half of them as the others say."""
    coupling = Coupling.conv(channels(shape), Affine(), width, context)
    return [ActNorm(shape), Linear(shape), coupling]
