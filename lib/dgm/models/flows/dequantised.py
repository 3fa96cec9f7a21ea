"""Grey levels by a flow: noise fills the steps between them, and is a latent variable."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributions as D

from ...checks import check_event, check_labels, integer, readable
from ...heads import Box, Flowed, OnGrid
from .flow import Flow
from .layers import Composition, Flatten, Inverse, Layer


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

    Equation: eq-variational-dequantisation

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
        of_vectors = Composition([Inverse(Flatten(self.shape)), *flow.layers])
        object.__setattr__(self, "of_vectors", of_vectors)  # not registered: it is the flow's

    def prior(self, y: Tensor | None = None) -> D.Distribution:
        """p(v), or p(v | y): the flow, with events as vectors of D."""
        p = self.flow(y)
        return Flowed(p.base, self.of_vectors, p.context)

    def posterior(self, x: Tensor, y: Tensor | None = None) -> D.Distribution:
        """q(v | x), on the cell of x: (B, *shape) -> batch shape (B,), event shape (D,)."""
        check_event(self, x, y)
        check_labels(y, self.classes)
        if readable(x) and not self.support.check(x).all():
            raise ValueError(f"x: got values that are not on the grid, expected {self.support}")
        index = (x * (self.levels - 1)).round().flatten(-len(self.shape))
        if self.noise is None:
            return D.Independent(Box(index / self.levels, 1 / self.levels), 1, validate_args=False)
        return Flowed(self.noise(x), IntoCell(index, self.levels))

    def likelihood(self, v: Tensor, y: Tensor | None = None) -> D.Distribution:
        """p(x | v), all on the level in whose cell v lies: (..., D) -> (...), events of `shape`."""
        lead = v.shape[:-1]
        check_labels(y, self.classes, lead[-max(y.dim(), 1) :] if isinstance(y, Tensor) else None)
        return LevelOf(v.unflatten(-1, self.shape), self.levels, len(self.shape))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """Draw v from the flow, and take its level: (n, *shape)."""
        v = self.flow.sample(n, y)
        return level_of(v, self.levels) / (self.levels - 1)


def level_of(v: Tensor, levels: int) -> Tensor:
    """The number of the cell in which v lies, the outer ones reaching on without end: (...)."""
    return (v * levels).floor().clamp(0, levels - 1)


def within(v: Tensor, index: Tensor, levels: int) -> Tensor:
    """Whether v lies in the cell of this number; next to an edge it may have been rounded out."""
    return (v * levels - index - 0.5).abs() < 0.5 + 1e-3


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
        return D.constraints.independent(OnGrid(self.levels - 1), len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        return level_of(self.v, self.levels) / (self.levels - 1)

    @property
    def mode(self) -> Tensor:
        return self.mean

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.v)

    def entropy(self) -> Tensor:
        return self.v.new_zeros(self.batch_shape)

    def expand(self, batch_shape, _instance=None) -> "LevelOf":
        v = self.v.expand(*batch_shape, *self.event_shape)
        return LevelOf(v, self.levels, len(self.event_shape))

    def sample(self, sample_shape=()) -> Tensor:
        return self.mean.expand(*sample_shape, *self.v.shape).clone()

    def log_prob(self, x: Tensor) -> Tensor:
        index = (x * (self.levels - 1)).round()
        inside = within(self.v.clamp(0, 1), index, self.levels)
        return torch.where(inside.flatten(-len(self.event_shape)).all(-1), 0.0, -torch.inf).to(x)
