"""Flows that are built from their event shape alone: which layers, in which order."""

import math
from collections.abc import Callable, Sequence
from typing import Self

from torch import Tensor
from torch.distributions import constraints

from ... import heads
from ...checks import event_shape, image_shape, integer
from .autoregressive import MaskedAutoregressive
from .couplings import Coupling, alternating, channels, checkerboard
from .elementwise import Additive, Affine, Spline
from .layers import Composition, Flatten, Layer, Logit, Split, Squeeze
from .linear import ActNorm, Linear


class FromShape:
    """The constructors of `Flow`. Every fresh network is zero, and its layer the identity.

    Pixels lie in [0, 1]. What works on real numbers takes images through a logit first and
    standardises each coordinate, as the first batch is; what works by splines stays in [0, 1], on
    a uniform base. Events of other shapes are points, and real.

    >>> from dgm.models import Flow
    >>> Flow.autoregressive(2).support, Flow.autoregressive((1, 8, 8)).sample(5).shape
    (Real(), torch.Size([5, 1, 8, 8]))
    """

    @classmethod
    def coupling(
        cls,
        shape: int | Sequence[int],
        layers: int = 8,
        hidden: int | Sequence[int] = (64, 64),
        classes: int = 0,
    ) -> Self:
        """Affine couplings by perceptrons, which change every second coordinate in turn: Real NVP.

        Args:
            shape: event shape, of two elements at least.
            layers: how many couplings.
            hidden: widths of each network's hidden layers.
            classes: number of classes, 0 without labels.

        Source: Dinh, Sohl-Dickstein and Bengio (2017), arXiv:1605.08803.
        """
        shape, classes = event_shape(shape), integer("classes", classes, at_least=0)
        steps = couplings(shape, layers, Affine(), hidden, classes)
        return cls([*real_vectors(shape), *steps], shape, classes=classes)

    @classmethod
    def nice(
        cls,
        shape: int | Sequence[int],
        layers: int = 8,
        hidden: int | Sequence[int] = (64, 64),
        classes: int = 0,
    ) -> Self:
        """Additive couplings, which keep all volumes, and a scale per coordinate at the end: NICE.

        Args: as for `coupling`.

        Source: Dinh, Krueger and Bengio (2015), arXiv:1410.8516.
        """
        shape, classes = event_shape(shape), integer("classes", classes, at_least=0)
        steps = couplings(shape, layers, Additive(), hidden, classes)
        scale = ActNorm(math.prod(shape))
        return cls([*real_vectors(shape), *steps, scale], shape, classes=classes)

    @classmethod
    def spline(
        cls,
        shape: int | Sequence[int],
        layers: int = 4,
        hidden: int | Sequence[int] = (64, 64),
        bins: int = 8,
        classes: int = 0,
    ) -> Self:
        """Couplings by splines, on [-3, 3] of points and on [0, 1] of pixels.

        Args: as for `coupling`, and
            bins: of each spline; as many as a pixel has levels make a histogram of it.

        Source: Durkan, Bekasov, Murray and Papamakarios (2019), arXiv:1906.04032.
        """
        shape, classes = event_shape(shape), integer("classes", classes, at_least=0)
        if len(shape) != 3:
            steps = couplings(shape, layers, Spline(bins), hidden, classes)
            return cls([*vectors(shape), *steps], shape, classes=classes)
        steps = couplings(shape, layers, Spline(bins, 0.0, 1.0), hidden, classes)
        return cls([*vectors(shape), *steps], shape, **unit_cube(shape), classes=classes)

    @classmethod
    def autoregressive(
        cls,
        shape: int | Sequence[int],
        layers: int = 5,
        hidden: int | Sequence[int] = (64, 64),
        classes: int = 0,
    ) -> Self:
        """Affine autoregressive layers, in an order that each reverses: MAF.

        Args: as for `coupling`; an event may have one element.

        Source: Papamakarios, Pavlakou and Murray (2017), arXiv:1705.07057.
        """
        shape, classes = event_shape(shape), integer("classes", classes, at_least=0)
        there = range(math.prod(shape))
        steps = [
            MaskedAutoregressive(len(there), hidden, order, context=classes)
            for order in in_turn(layers, there, there[::-1])
        ]
        return cls([*real_vectors(shape), *steps], shape, classes=classes)

    @classmethod
    def conv(
        cls,
        shape: Sequence[int],
        layers: int = 2,
        scales: int = 2,
        width: int = 32,
        bins: int = 8,
        classes: int = 0,
    ) -> Self:
        """Convolutional couplings by splines, at several scales. Images only.

        At each scale come couplings on a checkerboard; then blocks of pixels become channels, with
        couplings on halves of these, one of which leaves. A side that is odd is the last scale's.

        Args:
            shape: (C, H, W).
            layers: how many couplings on each kind of mask.
            scales: how often blocks become channels, at most.
            width: channels of the networks.
            bins: of each spline.
            classes: number of classes, 0 without labels.

        Source: Durkan et al. (2019), arXiv:1906.04032; the scales are those of Dinh et al. (2017),
        arXiv:1605.08803, section 3.6.
        """
        shape, classes = image_shape(shape), integer("classes", classes, at_least=0)
        by = Spline(bins, 0.0, 1.0)

        def steps(masks: Callable[..., Tensor], shape: tuple[int, int, int]) -> list[Layer]:
            each = in_turn(layers, masks(shape), masks(shape, first=False))
            return [Coupling.conv(mask, by, width, classes) for mask in each]

        stack = by_scale(shape, scales, steps)
        return cls(stack, shape, **unit_cube(shape), classes=classes)

    @classmethod
    def glow(
        cls,
        shape: Sequence[int],
        layers: int = 4,
        scales: int = 2,
        width: int = 32,
        classes: int = 0,
    ) -> Self:
        """Steps of actnorm, 1 x 1 convolution and affine coupling, at several scales. Images only.

        Args: as for `conv`; `layers` is the number of steps at each scale, after two couplings on
            a checkerboard.

        Source: Kingma and Dhariwal (2018), arXiv:1807.03039.
        """
        shape, classes = image_shape(shape), integer("classes", classes, at_least=0)
        layers = integer("layers", layers)

        def steps(masks: Callable[..., Tensor], shape: tuple[int, int, int]) -> list[Layer]:
            if masks is checkerboard:
                each = masks(shape), masks(shape, first=False)
                return [Coupling.conv(mask, Affine(), width, classes) for mask in each]
            return [layer for _ in range(layers) for layer in glow_step(shape, width, classes)]

        stack = [Logit(shape), ActNorm(shape), *by_scale(shape, scales, steps)]
        return cls(stack, shape, classes=classes)


def glow_step(shape: Sequence[int], width: int = 32, context: int = 0) -> list[Layer]:
    """One step of Glow: scale each channel, mix them, and change half of them as the others say."""
    coupling = Coupling.conv(channels(shape), Affine(), width, context)
    return [ActNorm(shape), Linear(shape), coupling]


def by_scale(
    shape: tuple[int, int, int], scales: int, steps: Callable[..., list[Layer]]
) -> list[Layer]:
    """Layers on the image, layers on channels of blocks of it, and so on with half of those.

    Args:
        steps: makes layers, of `checkerboard` or `channels` and a shape.
    """
    scales = integer("scales", scales, at_least=0)
    c, h, w = shape
    fine = steps(checkerboard, shape) if h * w > 1 else []
    if not scales or h % 2 or w % 2:
        return [*fine, Flatten(shape)]
    coarse = 4 * c, h // 2, w // 2
    stack = [*fine, Squeeze(), *steps(channels, coarse)]
    if scales == 1:
        return [*stack, Flatten(coarse)]
    rest = by_scale((2 * c, h // 2, w // 2), scales - 1, steps)
    return [*stack, Split(coarse, Composition(rest))]


def couplings(
    shape: Sequence[int], layers: int, by, hidden: int | Sequence[int], context: int
) -> list[Layer]:
    """Couplings of flattened events, which keep the even coordinates and the odd ones in turn."""
    d = math.prod(shape)
    if d < 2:
        raise ValueError(
            f"shape: got {tuple(shape)}, expected two elements at least, one to say how the other "
            "is changed; Flow.autoregressive takes one"
        )
    masks = in_turn(layers, alternating(d), alternating(d, first=False))
    return [Coupling.of(mask, by, hidden, context) for mask in masks]


def in_turn(layers: int, one, other) -> list:
    """One and the other in turn, as many as there are layers."""
    return [(one, other)[k % 2] for k in range(integer("layers", layers))]


def vectors(shape: Sequence[int]) -> list[Layer]:
    return [Flatten(shape)] if len(shape) > 1 else []


def real_vectors(shape: Sequence[int]) -> list[Layer]:
    """Pixels through a logit and standardised; else vectors of what is real anyway."""
    if len(shape) != 3:
        return vectors(shape)
    return [Logit(shape), Flatten(shape), ActNorm(math.prod(shape))]


def unit_cube(shape: Sequence[int]) -> dict:
    """A uniform base, and that data lie where it lives."""
    return {"base": heads.UnitCube(math.prod(shape)), "support": constraints.unit_interval}
