"""Linear models: solved in closed form, and therefore the yardstick of all others."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import (
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    constraints,
)

from ..checks import event_shape, integer
from ._events import flatten_data, flatten_event
from ._precise import check_digits, float64, least_variance


class PCA(nn.Module):
    r"""Principal component analysis as an autoencoder.

    With the data's mean $\mu$ and the matrix $U$ of the first `latent` eigenvectors of its
    covariance (orthonormal columns),

        encode(x) = U^T (x - mu),        decode(z) = mu + U z.

    Among all affine encoders and decoders of this code size it has the smallest mean squared error,
    which is the sum of the eigenvalues left out.

    Attributes (set by `fit`):
        mean: (D,), D the number of coordinates of an event.
        components: (latent, D), orthonormal rows, by falling eigenvalue.
        eigenvalues: (D,), of the covariance (1/N) sum (x - mu)(x - mu)^T, falling.

    Equation: def-pca

    Source: Pearson (1901), doi:10.1080/14786440109462720; Baldi and Hornik (1989),
    doi:10.1016/0893-6080(89)90014-2, for the linear autoencoder.

    >>> x = torch.randn(100, 3) * torch.tensor([3.0, 1.0, 0.1])
    >>> pca = PCA((3,), latent=2).fit(x)
    >>> error = (x - pca(x)).square().sum(1).mean()
    >>> bool((error - pca.eigenvalues[2]).abs() < 1e-5)
    True
    """

    support = constraints.real
    classes = 0

    def __init__(self, shape: int | Sequence[int], latent: int = 2):
        super().__init__()
        self.shape = event_shape(shape)
        d = math.prod(self.shape)
        self.latent = latent = _at_most(d, latent)
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("components", torch.eye(latent, d))
        self.register_buffer("eigenvalues", torch.zeros(d))

    def fit(self, x: Tensor) -> "PCA":
        """Set mean, components and eigenvalues from data of shape (N, *shape); returns self.

        The singular value decomposition of the centred data, X = A S V^T, gives the eigenvectors of
        the covariance (rows of V^T) and its eigenvalues S^2 / N without forming the covariance.

        Raises:
            ValueError: x has another event shape or type, values that are not finite, or fewer
                examples than components.
        """
        flat = flatten_data(self, x)  # (N, D)
        if len(x) < max(2, self.latent):
            raise ValueError(
                f"x: got {len(x)} examples, expected N of at least {max(2, self.latent)}"
            )
        # torch has no such decomposition of bfloat16
        flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
        mean = flat.mean(0)
        _, s, vt = torch.linalg.svd(flat - mean, full_matrices=False)  # (r,), (r, D)
        self.mean.copy_(mean)
        self.components.copy_(vt[: self.latent])
        self.eigenvalues.zero_()[: len(s)].copy_(s.square() / len(x))
        return self

    def encode(self, x: Tensor) -> Tensor:
        """U^T (x - mu): (..., *shape) -> (..., latent)."""
        return (flatten_event(self, x) - self.mean) @ self.components.T

    def decode(self, z: Tensor) -> Tensor:
        """mu + U z: (..., latent) -> (..., *shape)."""
        return (self.mean + z @ self.components).unflatten(-1, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class PPCA(nn.Module):
    r"""Probabilistic PCA: a Gaussian latent variable, seen through an affine map, plus noise.

        z ~ N(0, I),        x | z ~ N(W z + mu, sigma^2 I).

    Everything about it is Gaussian and known exactly: the marginal N(mu, W W^T + sigma^2 I), the
    posterior N(M^-1 W^T (x - mu), sigma^2 M^-1) with M = W^T W + sigma^2 I, and the maximum of the
    likelihood (`fit`). EM (`e_step`, `m_step`) and gradient ascent get there step by step.

    The density depends on W through W W^T alone. With W R in its place, R a rotation, the codes
    turn and nothing changes that data could tell.

    Args:
        shape: event shape; images are flattened.
        latent: m, the number of coordinates of z, at most D.
        floor: smallest noise variance that `fit` and `m_step` set. Data in a subspace of dimension
            m or less would have sigma = 0 and an infinite density. In EM the floor rises with the
            data: sigma is at least 100 eps of their total standard deviation, 10^-5 of it in
            float32, because W is not known more exactly (`_precise.resolution`).

    Attributes:
        weight: (D, latent), W; random at first. mean: (D,), mu. log_variance: (), log sigma^2.

    Source: Tipping and Bishop (1999), doi:10.1111/1467-9868.00196, Probabilistic principal
    component analysis.

    >>> x = torch.randn(100, 3) * torch.tensor([3.0, 1.0, 0.1])
    >>> ppca = PPCA((3,), latent=1).fit(x)
    >>> ppca.log_prob(x).shape, ppca.posterior(x).mean.shape, ppca.sample(5).shape
    (torch.Size([100]), torch.Size([100, 1]), torch.Size([5, 3]))
    """

    support = constraints.real
    classes = 0

    def __init__(self, shape: int | Sequence[int], latent: int = 2, floor: float = 1e-6):
        super().__init__()
        self.shape, self.floor = event_shape(shape), floor
        d = math.prod(self.shape)
        self.latent = latent = _at_most(d, latent)
        if not floor > 0:
            raise ValueError(f"floor: got {floor}, expected a positive variance")
        # not zero: W = 0 is a stationary point, which neither EM nor a gradient leaves
        self.weight = nn.Parameter(torch.randn(d, latent) / d**0.5)
        self.mean = nn.Parameter(torch.zeros(d))
        self.log_variance = nn.Parameter(torch.zeros(()))

    def prior(self) -> Distribution:
        """p(z) = N(0, I), event shape (latent,)."""
        zero, one = self.mean.new_zeros(self.latent), self.mean.new_ones(self.latent)
        return Independent(Normal(zero, one, validate_args=False), 1, validate_args=False)

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x | z) = N(W z + mu, sigma^2 I): codes (..., latent), event shape `shape`.

        Equation: def-ppca
        """
        mean = (self.mean + z @ self.weight.T).unflatten(-1, self.shape)  # (..., *shape)
        sigma = (0.5 * self.log_variance).exp()
        p = Normal(mean, sigma, validate_args=False)
        return Independent(p, len(self.shape), validate_args=False)

    def posterior(self, x: Tensor) -> Distribution:
        """p(z | x), exactly: batch shape (...) for x of shape (..., *shape).

        Its precision I + W^T W / sigma^2 is the prior's plus what x adds, the same for every x.
        With little noise it has eigenvalues from 1 to 10^10, too far apart for float32.

        Equation: eq-ppca, eq-toy-posterior, eq-ppca-limit
        """
        x = flatten_event(self, x)  # (..., D)
        check_digits(x)
        weight = float64(self.weight)
        scaled = weight / float64(self.log_variance).exp()  # (D, latent), W / sigma^2
        precision = _identity(weight) + weight.T @ scaled  # (latent, latent)
        gain = torch.linalg.solve(precision, scaled.T)  # (latent, D)
        zero = torch.zeros_like(precision[0])
        common = MultivariateNormal(zero, precision_matrix=precision, validate_args=False)
        mean = (x - self.mean) @ gain.T.to(x)  # (..., latent)
        return MultivariateNormal(mean, scale_tril=common.scale_tril.to(x), validate_args=False)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats: (..., *shape) -> (...).

        By Bayes' rule log p(x) = log p(z) + log p(x | z) - log p(z | x) whatever z is. At the
        posterior mean no two large terms cancel, and no D x D matrix is needed.

        Equation: eq-ppca, eq-toy-marginal
        """
        posterior = self.posterior(x)
        z = posterior.mean  # (..., latent)
        joint = self.prior().log_prob(z) + self.likelihood(z).log_prob(x)
        return joint - posterior.log_prob(z)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draw z from the prior, then x given z: (n, *shape)."""
        return self.likelihood(self.prior().sample((integer("n", n),))).sample()

    @torch.no_grad()
    def fit(self, x: Tensor) -> "PPCA":
        r"""Set the parameters to the maximum of the likelihood of x, (N, *shape); returns self.

        With eigenvalues lambda and eigenvectors U of the covariance,

            sigma^2 = mean of the eigenvalues left out,    W = U (Lambda - sigma^2 I)^(1/2).

        If none is left out (latent = D) the smallest serves: the covariance is then matched.

        Raises:
            ValueError: x has another event shape or type, values that are not finite, or fewer
                examples than components.

        Equation: eq-ppca-mle
        """
        check_digits(flatten_data(self, x))
        with self.mean.device:  # torch's default may be another
            pca = PCA(self.shape, self.latent).to(self.mean.dtype).fit(x)
        kept = min(self.latent, len(self.mean) - 1)
        variance = pca.eigenvalues[kept:].mean().clamp_min(self.floor)
        signal = (pca.eigenvalues[: self.latent] - variance).clamp_min(0)  # (latent,)
        self.weight.copy_(pca.components.T * signal.sqrt())
        self.mean.copy_(pca.mean)
        self.log_variance.copy_(variance.log())
        return self

    @torch.no_grad()
    def initialize(self, x: Tensor) -> "PPCA":
        """A start for EM: the data's mean, their mean variance, random W; returns self."""
        flat = flatten_data(self, x)  # (N, D)
        variance = flat.var(0, correction=0).mean().clamp_min(self._least_variance(flat))
        self.weight.normal_().mul_((variance / self.latent).sqrt())
        self.mean.copy_(flat.mean(0))
        self.log_variance.copy_(variance.log())
        return self

    @torch.no_grad()
    def e_step(self, x: Tensor) -> Distribution:
        """The q(z) that makes the bound tight: the posterior."""
        return self.posterior(x)

    @torch.no_grad()
    def m_step(self, x: Tensor, q: MultivariateNormal) -> None:
        r"""Set W, mu and sigma^2 to the maximum of sum_i E_{q_i}[log p(x_i, z_i)].

        It is the linear regression of x on z, with the moments of z under q in place of z itself:

            W = Cov(x, z) Cov(z)^-1,  mu = E[x] - W E[z],  sigma^2 = E ||x - mu - W z||^2 / D,

        where E averages over the examples and over q.

        Args:
            x: (N, *shape).
            q: batch shape (N,), event shape (latent,): the posterior, or another Gaussian.
        """
        flat = flatten_data(self, x)
        x, z = float64(flat), float64(q.mean)  # (N, D), (N, latent)
        root = float64(q._unbroadcasted_scale_tril)  # (latent, latent), or one for each example
        within = (root @ root.mT).flatten(0, -3).mean(0) if root.dim() > 2 else root @ root.T
        dx, dz = x - x.mean(0), z - z.mean(0)
        cov_z = within + dz.T @ dz / len(x)  # (latent, latent)
        cov_zx = dz.T @ dx / len(x)  # (latent, D)
        weight = torch.linalg.solve(cov_z, cov_zx).T  # (D, latent)
        residual = (dx - dz @ weight.T).square().sum(1).mean()
        variance = (residual + (weight @ within * weight).sum()) / x.shape[1]
        self.weight.copy_(weight)
        self.mean.copy_(x.mean(0) - weight @ z.mean(0))
        self.log_variance.copy_(variance.clamp_min(self._least_variance(flat)).log())

    def _least_variance(self, flat: Tensor) -> float:
        """What sigma^2 may not fall below for data (N, D)."""
        check_digits(flat)
        return least_variance(flat, self.floor)


def _at_most(d: int, latent: int) -> int:
    """The size of a code, if an event of d numbers has as many directions."""
    latent = integer("latent", latent)
    if latent > d:
        raise ValueError(f"latent: got {latent}, expected 1 to {d} for events of {d} numbers")
    return latent


def _identity(like: Tensor) -> Tensor:
    """I, with as many columns as a matrix has, of its type and on its device."""
    return torch.eye(like.shape[1], dtype=like.dtype, device=like.device)
