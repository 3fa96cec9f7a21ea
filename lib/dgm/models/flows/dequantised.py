"""Grey levels by a flow: noise fills the steps between them, and is a latent variable."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributions as D

from ...checks import check_event, check_labels, integer, readable
from ...heads import Flowed, OnGrid
from ...protocols import given
from .flow import Flow
from .layers import Layer


class Dequantised(nn.Module):
    r"""Pixels of L levels, $x = i / (L - 1)$, and v in the cell $[i / L, (i + 1) / L)$ of each:

    $$p(x, v) = p_\theta(v) \, [v \in \text{cell of } x], \qquad
    P(x) = \int_{\text{cell of } x} p_\theta(v) \, dv.$$

    A density of discrete data has no meaning and no maximum. The probability P(x) of a cell has
    both, and $q(v \mid x)$, a density on the cell, bounds it:

    $$\log P(x) \ge \mathbb E_{q(v \mid x)}[\log p_\theta(v) - \log q(v \mid x)].$$

    It is the ELBO of a latent-variable model, so that `elbo`, `iwae` and `importance_weighted`
    serve it as they are. Uniform noise has $\log q = D \log L$: the constant that turns densities
    of v into probabilities of levels stands in q. What the flow puts outside [0, 1] belongs to the
    levels 0 and L - 1.

    Args:
        flow: p(v), over events in [0, 1].
        levels: L, of the data: 2 of binary pixels, 17 of the digits, 256 of photographs.
        noise: None for uniform noise; else a network that maps x, (B, *shape), to a distribution
            over real vectors (D,), with `rsample`, whose sigmoid is the place in the cell:
            variational dequantisation.

    Raises:
        ValueError: levels is no integer of two or more; from `posterior`, where values can be
            looked at: x is not on the grid of these levels, or as the flow's methods.

    Source: Theis, van den Oord and Bethge (2016), arXiv:1511.01844; Ho et al. (2019),
    arXiv:1902.00275, Flow++, for the noise that is learned.

    >>> model = Dequantised(Flow.spline((1, 8, 8)), levels=17)
    >>> model.posterior(torch.ones(5, 1, 8, 8)).event_shape, model.sample(3).shape
    (torch.Size([64]), torch.Size([3, 1, 8, 8]))
    """

    def __init__(self, flow: Flow, levels: int, noise: nn.Module | None = None):
        super().__init__()
        self.flow, self.noise = flow, noise
        self.levels = integer("levels", levels, at_least=2)
        self.shape, self.classes = flow.shape, flow.classes
        self.support = OnGrid(self.levels - 1)

    def prior(self, y: Tensor | None = None) -> D.Distribution:
        """p(v), or p(v | y): the flow, with events as vectors of D."""
        p = self.flow(**given(self, y))
        if len(self.shape) == 1:
            return p
        flat = D.ReshapeTransform(self.shape, (math.prod(self.shape),))
        return D.TransformedDistribution(p, [flat], validate_args=False)

    def posterior(self, x: Tensor, y: Tensor | None = None) -> D.Distribution:
        """q(v | x), on the cell of x: (B, *shape) -> batch shape (B,), event shape (D,)."""
        check_event(self, x, y)
        check_labels(y, self.classes)
        if readable(x) and not self.support.check(x).all():
            raise ValueError(f"x: got values that are not on the grid, expected {self.support}")
        index = (x * (self.levels - 1)).round().flatten(-len(self.shape))
        if self.noise is None:
            return Cell(index, self.levels)
        return Flowed(self.noise(x), IntoCell(index, self.levels))

    def likelihood(self, v: Tensor, y: Tensor | None = None) -> D.Distribution:
        """p(x | v), all on the level in whose cell v lies: (..., D) -> (...), events of `shape`."""
        check_labels(y, self.classes)
        return LevelOf(v.unflatten(-1, self.shape), self.levels, len(self.shape))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """Draw v from the flow, and take its level: (n, *shape)."""
        v = self.flow.sample(n, **given(self, y))
        return level_of(v, self.levels) / (self.levels - 1)


def level_of(v: Tensor, levels: int) -> Tensor:
    """The number of the cell in which v lies, the outer ones reaching on without end: (...)."""
    return (v * levels).floor().clamp(0, levels - 1)


def within(v: Tensor, index: Tensor, levels: int) -> Tensor:
    """Whether v lies in the cell of this number; next to an edge it may have been rounded out."""
    return (v * levels - index - 0.5).abs() < 0.5 + 1e-3


class Cell(D.Distribution):
    """The uniform distribution on cells of width 1 / L, one for each coordinate: log q = D log L.

    Shapes: index, the cells' numbers, (..., D) -> batch shape (...), event shape (D,).

    >>> q = Cell(torch.tensor([[0.0, 16.0]]), levels=17)
    >>> torch.allclose(q.log_prob(q.sample()), torch.tensor(2 * math.log(17)))
    True
    """

    arg_constraints = {}
    has_rsample = True
    support = D.constraints.real_vector

    def __init__(self, index: Tensor, levels: int):
        self.index, self.levels = index, levels
        super().__init__(index.shape[:-1], index.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return (self.index + 0.5) / self.levels

    def rsample(self, sample_shape=()) -> Tensor:
        shape = (*sample_shape, *self.index.shape)
        u = torch.rand(shape, dtype=self.index.dtype, device=self.index.device)
        return ((self.index + u) / self.levels).clamp(0, 1)

    def log_prob(self, v: Tensor) -> Tensor:
        inside = within(v, self.index, self.levels).all(-1)
        return torch.where(inside, v.shape[-1] * math.log(self.levels), -torch.inf).to(v)


class IntoCell(Layer):
    """Real numbers into cells by a sigmoid: w, (..., D), to v = (index + sigmoid(w)) / L and back.

    It stands between noise and data: `inverse` goes from w to v, as from any code.
    """

    def __init__(self, index: Tensor, levels: int):
        super().__init__()
        self.index, self.levels = index, levels

    def forward(self, v: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u = v * self.levels - self.index  # of numbers in another cell the density is zero
        inside = within(v, self.index, self.levels).all(-1)
        w = u.clamp(1e-6, 1 - 1e-6).logit()
        return w, torch.where(inside, self._log_slope(w), -torch.inf)

    def inverse(self, w: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (self.index + w.sigmoid()) / self.levels, -self._log_slope(w)

    def _log_slope(self, w: Tensor) -> Tensor:
        """The sum of log dw/dv: (..., D) -> (...)."""
        return (math.log(self.levels) + F.softplus(w) + F.softplus(-w)).sum(-1)


class LevelOf(D.Distribution):
    """All mass on the levels in whose cells v lies: v (..., *shape) -> batch shape (...)."""

    arg_constraints = {}

    def __init__(self, v: Tensor, levels: int, dims: int):
        self.v, self.levels = v, levels
        split = v.dim() - dims
        super().__init__(v.shape[:split], v.shape[split:], validate_args=False)

    @property
    def support(self) -> D.constraints.Constraint:
        return OnGrid(self.levels - 1)

    @property
    def mean(self) -> Tensor:
        return level_of(self.v, self.levels) / (self.levels - 1)

    def sample(self, sample_shape=()) -> Tensor:
        return self.mean.expand(*sample_shape, *self.v.shape).clone()

    def log_prob(self, x: Tensor) -> Tensor:
        v, dims = self.v.clamp(0, 1), len(self.event_shape)
        inside = within(v, (x * (self.levels - 1)).round(), self.levels)
        return torch.where(inside.flatten(-dims).all(-1), 0.0, -torch.inf).to(v)
