"""Densities in the plane that are known exactly, to judge models of them by.

Each is a mixture of K Gaussians with equal weights and one standard deviation,

    p(x) = 1/K sum_k N(x; m_k, sigma^2 I),        x in R^2,

so `log_prob` is exact, in nats, and sampling is easy. With the defaults nearly all the mass lies
in the square [-1.8, 1.8]^2. `dgm.data.load("ring")` and so on draws a data set from each.
`Noised` is any of them behind noise, with its score.

The means are computed on the CPU and in float32 at least, so that they are the same on every
device; they then have torch's default type.
"""

import math

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from . import _device
from .checks import check_labels, check_shape, integer, positive, readable


def ring(modes=8, radius=1.0, sigma=0.05, device=None) -> MixtureSameFamily:
    """Gaussians evenly spaced on a circle: p(x) = 1/K sum_k N(x; m_k, sigma^2 I), K = modes.

    Args:
        modes: how many Gaussians; the first is at (radius, 0), the others follow anticlockwise.
        radius: of the circle.
        sigma: standard deviation of each Gaussian, in both directions.
        device: None takes that of `dgm.device()`.

    Returns:
        MixtureSameFamily: sample((n,)) is (n, 2), log_prob of (..., 2) is (...), in nats.

    Raises:
        ValueError: modes is not a positive integer, or radius or sigma is not positive.

    >>> density = ring(modes=1, sigma=0.1, device="cpu")
    >>> at_mean = density.log_prob(torch.tensor([1.0, 0.0]))
    >>> torch.isclose(at_mean, torch.tensor(-math.log(2 * math.pi * 0.1**2)))
    tensor(True)
    """
    modes = integer("modes", modes)
    radius, sigma = positive("radius", radius), positive("sigma", sigma)
    angle = 2 * math.pi * _count(modes) / modes  # (K,)
    return _mixture(radius * _on_circle(angle), sigma, device)


def grid(side=5, spacing=0.5, sigma=0.05, device=None) -> MixtureSameFamily:
    """side x side Gaussians on a square lattice around the origin, row by row from the bottom.

    Args:
        side: Gaussians per row and per column; K = side^2.
        spacing: distance of neighbouring means.
        sigma: standard deviation of each Gaussian, in both directions.
        device: None takes that of `dgm.device()`.

    Returns, raises: as `ring`.

    >>> grid(side=2, spacing=1.0, device="cpu").component_distribution.mean
    tensor([[-0.5000, -0.5000],
            [ 0.5000, -0.5000],
            [-0.5000,  0.5000],
            [ 0.5000,  0.5000]])
    """
    side = integer("side", side)
    spacing, sigma = positive("spacing", spacing), positive("sigma", sigma)
    line = spacing * (_count(side) - (side - 1) / 2)  # (side,)
    y, x = torch.meshgrid(line, line, indexing="ij")  # (side, side) each
    return _mixture(torch.stack([x, y], dim=-1).reshape(-1, 2), sigma, device)  # means (K, 2)


def moons(points=50, sigma=0.08, device=None) -> MixtureSameFamily:
    """Two interleaving half circles of radius 1, each a string of Gaussians.

    Args:
        points: Gaussians per half circle; K = 2 points, the upper half circle's first. With the
            default they are 0.8 sigma apart, too close for bumps to show.
        sigma: standard deviation of each Gaussian, in both directions.
        device: None takes that of `dgm.device()`.

    Returns, raises: as `ring`.

    >>> moons(points=2, device="cpu").component_distribution.mean
    tensor([[ 0.5000, -0.2500],
            [-1.5000, -0.2500],
            [-0.5000,  0.2500],
            [ 1.5000,  0.2500]])
    """
    points = integer("points", points)
    sigma = positive("sigma", sigma)
    upper = _on_circle(_even(0, math.pi, points))  # (points, 2)
    upper = upper - upper.new_tensor([0.5, 0.25])  # so that the two lie symmetrically to the origin
    return _mixture(torch.cat([upper, -upper]), sigma, device)


def spirals(points=100, sigma=0.05, device=None) -> MixtureSameFamily:
    """Two spirals about the origin, one the other turned by 180 degrees, as strings of Gaussians.

    Args:
        points: Gaussians per spiral; K = 2 points, those of the first spiral first.
        sigma: standard deviation of each Gaussian, in both directions.
        device: None takes that of `dgm.device()`.

    Returns, raises: as `ring`.

    >>> spirals(device="cpu").component_distribution.mean.norm(dim=-1).max()
    tensor(1.5000)
    """
    points = integer("points", points)
    sigma = positive("sigma", sigma)
    # The length of a spiral grows like its angle squared: the root spaces the means evenly.
    turn = _even(0.05, 1, points).sqrt()[:, None]  # (points, 1), of one and a half turns
    arm = 1.5 * turn * _on_circle(3 * math.pi * turn[:, 0])  # (points, 2)
    return _mixture(torch.cat([arm, -arm]), sigma, device)


class Noised:
    r"""A mixture of Gaussians behind noise, $\tilde x = \alpha x + \sigma \epsilon$, exactly, for
    every $\sigma$ (and $\alpha$, which is 1 unless something else is said):

    $$p_\sigma(\tilde x) = \sum_k \pi_k \, \mathcal N(\tilde x; \alpha m_k, \alpha^2 s_k^2 +
    \sigma^2) .$$

    Noise adds to the variance of every component and moves nothing else. So the score of every
    noised toy is known, and what the clean point was.

    With labels of the components it is a density for each class; y = -1 is any class.

    Args:
        density: one of this module's, or any mixture of Gaussians with independent coordinates.
        labels: the class of each component, (K,) integers from 0; None for none.

    Raises:
        ValueError: it is something else, or the labels are not one for each component.

    Source: Efron (2011), doi:10.1198/jasa.2011.tm11181, Tweedie's Formula and Selection Bias.

    >>> moons = Noised(moons(device="cpu"))
    >>> moons.score(torch.zeros(3, 2), sigma=0.5).shape
    torch.Size([3, 2])
    """

    def __init__(self, density: MixtureSameFamily, labels: Tensor | None = None):
        parts = getattr(density, "component_distribution", None)
        if not (isinstance(parts, Independent) and isinstance(parts.base_dist, Normal)):
            raise ValueError(
                f"density: got {type(density).__name__}, expected a mixture of Gaussians with "
                "independent coordinates, as those of dgm.toys"
            )
        self.shape, self.support = tuple(density.event_shape), density.support
        self.log_weights = density.mixture_distribution.logits  # (K,), normalised
        self.mean, self.variance = parts.mean, parts.variance  # (K, D) each
        self.labels, self.classes = labels, 0
        if labels is not None:
            self.classes = int(labels.max()) + 1
            if labels.shape != self.log_weights.shape:
                got, expected = tuple(labels.shape), tuple(self.log_weights.shape)
                raise ValueError(f"labels: got shape {got}, expected {expected}, one a component")
            check_labels(labels, self.classes)

    def at(self, sigma: float, alpha: float = 1.0) -> MixtureSameFamily:
        r"""$p_\sigma$ as a distribution of its own, for one noise level."""
        deviation = self._variance(sigma, alpha)[0].sqrt()
        parts = Independent(Normal(alpha * self.mean, deviation), 1)
        return MixtureSameFamily(Categorical(logits=self.log_weights), parts)

    def log_prob(self, x: Tensor, sigma, y: Tensor | None = None, alpha=1.0) -> Tensor:
        r"""$\log p_\sigma(x)$ in nats, for one noise level or one per point: (B, D) -> (B,).

        Equation: eq-noised-mixture
        """
        return self.log_joint(x, sigma, y, alpha).logsumexp(-1)

    def score(self, x: Tensor, sigma, y: Tensor | None = None, alpha=1.0) -> Tensor:
        r"""$\nabla \log p_\sigma(x) = \sum_k p(k \mid x) \, (\alpha m_k - x) / (\alpha^2 s_k^2 +
        \sigma^2)$: (B, D) -> (B, D).
        """
        weights = self.log_joint(x, sigma, y, alpha).softmax(-1)  # (B, K)
        means = self._factor(alpha) * self.mean
        pull = (means - x[:, None]) / self._variance(sigma, alpha)  # (B, K, D)
        return (weights[..., None] * pull).sum(1)

    def denoise(self, x: Tensor, sigma, y: Tensor | None = None, alpha=1.0) -> Tensor:
        r"""$\mathbb E[x \mid \tilde x] = (\tilde x + \sigma^2 \nabla \log p_\sigma(\tilde x)) /
        \alpha$ (Tweedie's formula), as the mean of those of the components, which needs no signal:
        (B, D) -> (B, D).

        Equation: eq-tweedie
        """
        weights = self.log_joint(x, sigma, y, alpha).softmax(-1)  # (B, K)
        return (weights[..., None] * self._means(x, sigma, alpha)).sum(1)

    def covariance(self, x: Tensor, sigma, y: Tensor | None = None, alpha=1.0) -> Tensor:
        r"""$\operatorname{Cov}[x \mid \tilde x] = \frac{\sigma^2}{\alpha^2} (I + \sigma^2 \nabla^2
        \log p_\sigma(\tilde x))$, within the components and between them: (B, D) -> (B, D, D).
        """
        weights = self.log_joint(x, sigma, y, alpha).softmax(-1)  # (B, K)
        means = self._means(x, sigma, alpha)  # (B, K, D)
        apart = means - (weights[..., None] * means).sum(1, keepdim=True)
        between = torch.einsum("bk,bki,bkj->bij", weights, apart, apart)
        share = self._wide(sigma).square() / self._variance(sigma, alpha)  # (B, K, D)
        within = (weights[..., None] * share * self.variance).sum(1)  # (B, D)
        return between + within.diag_embed()

    def log_joint(self, x: Tensor, sigma, y: Tensor | None = None, alpha=1.0) -> Tensor:
        """log of p(k) p(x | k), or of p(k | y) p(x | k): (B, D) -> (B, K)."""
        check_shape(x, self.shape)
        weights = self.log_weights  # (K,) or (B, K)
        if self.classes:
            check_labels(y, self.classes, x.shape[:1], unlabelled=True)
            others = (y[:, None] != self.labels) & (y >= 0)[:, None]  # (B, K)
            weights = weights.masked_fill(others, -math.inf).log_softmax(-1)
        scale = self._variance(sigma, alpha).sqrt()
        parts = Normal(self._factor(alpha) * self.mean, scale, validate_args=False)  # (., K, D)
        return weights + parts.log_prob(x[:, None]).sum(-1)

    def _means(self, x: Tensor, sigma, alpha) -> Tensor:
        """E[x | x~, k]: (B, D) -> (B, K, D)."""
        pulled = self._factor(alpha) * self.variance * x[:, None]
        return (self._wide(sigma).square() * self.mean + pulled) / self._variance(sigma, alpha)

    def _variance(self, sigma, alpha=1.0) -> Tensor:
        """(1, K, D), or (B, K, D) for as many noise levels."""
        return self._factor(alpha).square() * self.variance + self._wide(sigma).square()

    def _factor(self, alpha) -> Tensor:
        return torch.as_tensor(alpha, dtype=self.mean.dtype, device=self.mean.device).reshape(
            -1, 1, 1
        )

    def _wide(self, sigma) -> Tensor:
        """A noise level, zero for no noise, or one per point, as a tensor (1 or B, 1, 1)."""
        level = torch.as_tensor(sigma, dtype=self.mean.dtype, device=self.mean.device)
        if level.dim() > 1 or (readable(level) and not (level >= 0).all()):
            raise ValueError(
                f"sigma: got {sigma!r}, expected a number, or one per point, 0 or more"
            )
        return level.reshape(-1, 1, 1)


def _count(n: int) -> Tensor:
    """0, 1, ..., n - 1."""
    return torch.arange(n, dtype=_dtype(), device="cpu")


def _even(start: float, stop: float, n: int) -> Tensor:
    """n evenly spaced numbers from start to stop."""
    return torch.linspace(start, stop, n, dtype=_dtype(), device="cpu")


def _dtype() -> torch.dtype:
    return torch.promote_types(torch.get_default_dtype(), torch.float32)


def _on_circle(angle: Tensor) -> Tensor:
    return torch.stack([angle.cos(), angle.sin()], dim=-1)  # (..., 2)


def _mixture(means: Tensor, sigma: float, device) -> MixtureSameFamily:
    means = means.to(_device.device(device), torch.get_default_dtype())  # (K, 2)
    weights = Categorical(logits=torch.zeros_like(means[:, 0]))  # (K,), equal
    return MixtureSameFamily(weights, Independent(Normal(means, sigma), 1))
