"""Grey levels by rounding: yardsticks that give every image of levels a probability.

A density says nothing of levels. A model of real numbers whose draws are rounded to the nearest
level, those outside to the ends, is a distribution of levels; where its pixels are independent and
normal given a code, the probability of a level is a difference of two values of Phi.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributions as D

from .. import heads
from ..checks import event_shape
from ..heads import GreyLevels, OnGrid

FAR = 10.0  # the outer borders of the outer levels, in the place of infinity


def to_level(x: Tensor, levels: int) -> Tensor:
    """Real pixels at the nearest of the levels 0, 1 / (L - 1), ..., 1.

    >>> to_level(torch.tensor([-0.2, 0.3, 7.0]), levels=3)
    tensor([0.0000, 0.5000, 1.0000])
    """
    return (x.clamp(0, 1) * (levels - 1)).round() / (levels - 1)


class RoundedNormal(D.Normal):
    r"""A normal draw at the nearest of the levels 0, 1 / (L - 1), ..., 1:

    $$P(i) = \Phi\Big(\frac{b_i - \mu}\sigma\Big) - \Phi\Big(\frac{a_i - \mu}\sigma\Big),$$

    a and b halfway to the neighbours, the outer ones without end.

    >>> p = RoundedNormal(torch.tensor(0.4), torch.tensor(0.2), levels=5)
    >>> x = torch.linspace(0, 1, 5)
    >>> p.log_prob(x).exp(), p.log_prob(x).exp().sum()
    (tensor([0.0846, 0.3657, 0.4194, 0.1215, 0.0088]), tensor(1.))
    """

    def __init__(self, mean: Tensor, sigma: Tensor, levels: int):
        super().__init__(mean, sigma, validate_args=False)
        self.levels = levels

    @property
    def support(self) -> D.constraints.Constraint:
        return OnGrid(self.levels - 1)

    def log_prob(self, x: Tensor) -> Tensor:
        top = self.levels - 1
        i = (x * top).round()
        low = torch.where(i < 0.5, -FAR, (i - 0.5) / top)
        high = torch.where(i > top - 0.5, FAR, (i + 0.5) / top)
        a, b = (low - self.loc) / self.scale, (high - self.loc) / self.scale
        # where both borders are far to the right, both Phi are 1: by symmetry, those of -b and -a
        a, b = torch.where(a > 0, -b, a), torch.where(a > 0, -a, b)
        below, upto = torch.special.log_ndtr(a), torch.special.log_ndtr(b)
        return upto + torch.log(-torch.expm1((below - upto).clamp(max=-1e-7)))

    def sample(self, sample_shape=()) -> Tensor:
        return to_level(super().sample(torch.Size(sample_shape)), self.levels)


class RoundedPixels(nn.Module):
    """A head: pixels that are normal, each with its own mean and deviation, and then rounded.

    Shapes: features -> batch shape (...), event shape `shape`.

    Args:
        features, shape: as for every head.
        levels: L.
        floor: the least standard deviation.

    >>> RoundedPixels(400, (1, 8, 8), levels=17)(torch.zeros(5, 400)).sample().shape
    torch.Size([5, 1, 8, 8])
    """

    def __init__(self, features, shape: int | Sequence[int], levels: int, floor: float = 0.01):
        super().__init__()
        self.levels, self.normal = levels, heads.NormalPerPixel(features, shape, floor)

    def forward(self, features: Tensor) -> D.Distribution:
        p = self.normal(features)
        rounded = RoundedNormal(p.mean, p.stddev, self.levels)
        return D.Independent(rounded, len(p.event_shape), validate_args=False)


class Rounded(nn.Module):
    """A latent-variable model with independent normal pixels, `PPCA` or a `GaussianMixture` that is
    not full, with draws that are rounded. It is a `protocols.LatentVariable` with the same codes.

    >>> from dgm.models import PPCA
    >>> model = Rounded(PPCA((1, 8, 8)), levels=17)
    >>> model.likelihood(torch.zeros(5, 2)).log_prob(torch.ones(5, 1, 8, 8)).shape
    torch.Size([5])
    """

    classes = 0

    def __init__(self, model: nn.Module, levels: int):
        super().__init__()
        self.model, self.shape, self.levels = model, event_shape(model.shape), levels
        self.support = OnGrid(levels - 1)

    def prior(self) -> D.Distribution:
        """That of the model."""
        return self.model.prior()

    def posterior(self, x: Tensor) -> D.Distribution:
        """That of the model, to which a pixel's level is its value."""
        return self.model.posterior(x)

    def likelihood(self, z: Tensor) -> D.Distribution:
        """P(x | z): codes (..., latent), event shape `shape`."""
        p = self.model.likelihood(z)
        while hasattr(p, "base_dist"):  # the normal pixels, as they are or in a row
            p = p.base_dist
        both = [value.reshape(*z.shape[:-1], *self.shape) for value in (p.loc, p.scale)]
        rounded = RoundedNormal(*both, self.levels)
        return D.Independent(rounded, len(self.shape), validate_args=False)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """(n, *shape), levels."""
        return to_level(self.model.sample(n), self.levels)


class IndependentPixels(nn.Module):
    """Each pixel by itself, a level as often as it was seen there, and once more: Tractable.

    >>> model = IndependentPixels((1, 2, 2), levels=3).fit(torch.zeros(7, 1, 2, 2))
    >>> model.log_prob(torch.zeros(1, 1, 2, 2)).exp(), (8 / 10) ** 4
    (tensor([0.4096]), 0.4096000000000001)
    """

    classes = 0

    def __init__(self, shape: int | Sequence[int], levels: int):
        super().__init__()
        self.shape, self.levels = event_shape(shape), levels
        self.support = OnGrid(levels - 1)
        self.logits = nn.Parameter(torch.zeros(*self.shape, levels), requires_grad=False)

    @torch.no_grad()
    def fit(self, x: Tensor) -> "IndependentPixels":
        """Count the levels of images (N, *shape)."""
        i = (x * (self.levels - 1)).round().long().flatten(1)  # (N, D)
        place = self.levels * torch.arange(i.shape[1], device=x.device)
        counts = torch.bincount((place + i).flatten(), minlength=self.logits.numel())
        counts = counts.view_as(self.logits)
        self.logits.copy_(((counts + 1) / (len(x) + self.levels)).log())
        return self

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats: (B, *shape) -> (B,)."""
        return GreyLevels(self.logits).log_prob(x).flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """(n, *shape)."""
        return GreyLevels(self.logits).sample((n,))
