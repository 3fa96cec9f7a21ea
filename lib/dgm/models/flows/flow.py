"""Normalising flows: an invertible map between data and noise, and therefore an exact density."""

import math
from collections.abc import Iterable, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.distributions.constraints import Constraint

from ... import heads
from ...checks import check_event, check_labels, event_shape, integer
from . import stacks
from .couplings import Coupling
from .elementwise import Additive, Affine, Spline
from .layers import Composition, Layer, Logit
from .linear import ActNorm
from .stacks import Sizes, real_vectors, unit_cube, vectors


class Flow(nn.Module):
    r"""$x = f_\theta(z)$ with $z \sim p_z$ and f invertible, scored exactly and drawn in one go:

    $$\log p_\theta(x) = \log p_z(f_\theta^{-1}(x)) + \log |\det J_{f_\theta^{-1}}(x)|.$$

    Training maximises `dgm.objectives.log_likelihood`. Of pixels, which are discrete, it is a
    density only once noise fills the steps between their levels: see `Dequantised`.

    Called without an input, of a model with classes with labels, it returns its distribution as a
    head does: a flow is the prior of a VAE as it is, `VAE(encoder, decoder, Flow.coupling(2), ..)`.

    Some flows are built from their event shape alone: `Flow.coupling(shape)` and the others below.
    Pixels lie in [0, 1]. What works on real numbers takes images through a logit first and
    standardises each coordinate, as the first batch is; what works by splines stays in [0, 1], on
    a uniform base. Events of other shapes are points, and real. Every fresh network is zero, and
    its layer the identity.

    Args:
        layers: from data to codes, the last of which puts out vectors of D numbers.
        shape: the event shape, of D elements.
        base: p_z, a head without features over vectors of D; None for N(0, I).
        classes: 0, or the number of classes of a conditional flow p(x | y): its layers are told the
            label, a one-hot vector, as their context.
        support: where data lie; None for where the first layer takes them from.

    Raises:
        ValueError: all couplings keep the same coordinates, which are therefore never changed; from
            the methods: x of another shape or type, labels that are missing or none of the model's;
            the layers do not put out vectors of D.

    Equation: def-flow

    Source: Rezende and Mohamed (2015), arXiv:1505.05770; Papamakarios, Nalisnick, Rezende, Mohamed
    and Lakshminarayanan (2021), arXiv:1912.02762, Normalizing Flows for Probabilistic Modeling and
    Inference.

    >>> flow = Flow.coupling((2,))
    >>> flow.log_prob(torch.zeros(5, 2)).shape, flow.sample(3).shape
    (torch.Size([5]), torch.Size([3, 2]))

    The first two layers alone, and what they make of x:

    >>> Flow(flow.layers[:2], shape=(2,)).encode(torch.zeros(5, 2)).shape
    torch.Size([5, 2])
    """

    def __init__(
        self,
        layers: Iterable[Layer],
        shape: int | Sequence[int],
        base: nn.Module | None = None,
        classes: int = 0,
        support: Constraint | None = None,
    ):
        super().__init__()
        self.shape = event_shape(shape)
        self.classes = integer("classes", classes, at_least=0)
        self.layers = Composition(layers)
        self.base = heads.StandardNormal(math.prod(self.shape)) if base is None else base
        self.support = self.layers.support if support is None else support
        check_masks(self.layers)

    def forward(self, y: Tensor | None = None) -> Distribution:
        """p(x), or p(x | y) of batch shape (...), as a distribution: event shape `shape`."""
        context, base = self._context(y), self.base()
        if y is not None:
            base = base.expand(y.shape)
        support = constraints.independent(self.support, len(self.shape))
        return heads.Flowed(base, self.layers, context, self.shape, support)

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x), or log p(x | y), in nats: (..., *shape), labels (...) -> (...).

        Equation: eq-flow-density
        """
        z, log_det = self._to_code(x, y)
        return self.base().log_prob(z) + log_det

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The code of x, which says all about it: (..., *shape) -> (..., D)."""
        return self._to_code(x, y)[0]

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """f(z): (..., D) -> (..., *shape)."""
        return self.layers.inverse(z, self._context(y, z.shape[:-1]))[0]

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """Draw z from the base and decode it: (n, *shape), labels (n,)."""
        return self.decode(self.base().sample((integer("n", n),)), y)

    def _to_code(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        check_event(self, x)
        lead = x.shape[: x.dim() - len(self.shape)]
        z, log_det = self.layers(x, self._context(y, lead))
        if z.shape != (*lead, math.prod(self.shape)):
            expected = (*lead, math.prod(self.shape))
            raise ValueError(
                f"layers: put out codes of shape {tuple(z.shape)}, expected {expected}: "
                "let Flatten be the last"
            )
        return z, log_det

    def _context(self, y: Tensor | None, lead: Sequence[int] | None = None) -> Tensor | None:
        """What the layers are told of labels (...): (..., classes), or nothing."""
        check_labels(y, self.classes, lead)
        if not self.classes:
            return None
        like = next(self.parameters())
        return F.one_hot(y.long(), self.classes).to(like)

    @classmethod
    def coupling(
        cls, shape: Sizes, layers: int = 8, hidden: Sizes = (64, 64), classes: int = 0
    ) -> Self:
        """Affine couplings by perceptrons, which change every second coordinate in turn: Real NVP.

        Args:
            shape: event shape, of two elements at least.
            layers: how many couplings.
            hidden: widths of each network's hidden layers.
            classes: number of classes, 0 without labels.

        Source: Dinh, Sohl-Dickstein and Bengio (2017), arXiv:1605.08803.
        """
        steps = stacks.couplings(shape, Affine(), layers, hidden, classes)
        return cls([*real_vectors(shape), *steps], shape, classes=classes)

    @classmethod
    def nice(
        cls, shape: Sizes, layers: int = 8, hidden: Sizes = (64, 64), classes: int = 0
    ) -> Self:
        """Additive couplings, which keep all volumes, and a scale per coordinate at the end: NICE.

        Args: as for `coupling`.

        Source: Dinh, Krueger and Bengio (2015), arXiv:1410.8516.
        """
        steps = stacks.couplings(shape, Additive(), layers, hidden, classes)
        scale = ActNorm(math.prod(event_shape(shape)))
        return cls([*real_vectors(shape), *steps, scale], shape, classes=classes)

    @classmethod
    def autoregressive(
        cls, shape: Sizes, layers: int = 5, hidden: Sizes = (64, 64), classes: int = 0
    ) -> Self:
        """Affine autoregressive layers, in an order that each reverses: MAF.

        Args: as for `coupling`; an event may have one element.

        Source: Papamakarios, Pavlakou and Murray (2017), arXiv:1705.07057.
        """
        steps = stacks.autoregressive(shape, layers, hidden, classes)
        return cls([*real_vectors(shape), *steps], shape, classes=classes)

    @classmethod
    def spline(
        cls,
        shape: Sizes,
        layers: int = 4,
        hidden: Sizes = (64, 64),
        bins: int = 8,
        classes: int = 0,
    ) -> Self:
        """Couplings by splines, on [-3, 3] of points and on [0, 1] of pixels.

        Args: as for `coupling`, and
            bins: of each spline; as many as a pixel has levels make a histogram of it.

        Source: Durkan, Bekasov, Murray and Papamakarios (2019), arXiv:1906.04032.
        """
        shape = event_shape(shape)
        image = len(shape) == 3
        by = Spline(bins, 0.0, 1.0) if image else Spline(bins)
        steps = stacks.couplings(shape, by, layers, hidden, classes)
        where = unit_cube(shape) if image else {}
        return cls([*vectors(shape), *steps], shape, **where, classes=classes)

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
        steps = stacks.spline_scales(shape, layers, scales, width, bins, classes)
        return cls(steps, shape, **unit_cube(shape), classes=classes)

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
        steps = stacks.glow_scales(shape, layers, scales, width, classes)
        return cls([Logit(shape), ActNorm(shape), *steps], shape, classes=classes)


def check_masks(layers: Composition) -> None:
    """Raise ValueError if couplings follow each other that all keep the same coordinates."""
    masks = [layer.mask for layer in layers if isinstance(layer, Coupling)]
    if len(masks) < 2 or any(layer.mixes for layer in layers):
        return
    if all(torch.equal(mask, masks[0]) for mask in masks):
        raise ValueError(
            f"layers: got {len(masks)} couplings with one and the same mask, under which "
            f"{int(masks[0].sum())} coordinates are never changed; expected masks that differ, or "
            "a layer between them that mixes coordinates"
        )
