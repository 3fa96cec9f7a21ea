"""Mixtures: one latent variable that can be enumerated, and therefore everything exactly.

The code z is one-hot: z_k = 1 says that component k made x. Hence

    p(z) = prod_k pi_k^z_k,    p(x | z) = prod_k p_k(x)^z_k,    p(x) = sum_k pi_k p_k(x).

The posterior is `OneHotCategorical`; its `probs` are the *responsibilities* of the components.

Source: Bishop (2006), Pattern Recognition and Machine Learning, sections 9.2 and 9.3.
"""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    constraints,
)

from ._events import flatten_event, over_events
from ._mixture import Mixture, assign
from ._precise import check_digits, resolution


class GaussianMixture(Mixture):
    r"""p(x) = sum_k pi_k N(x; mu_k, Sigma_k).

    Args:
        shape: event shape; images are flattened.
        components: K.
        covariance: "full", "diagonal", or "spherical" (sigma_k^2 I).
        floor: smallest variance, in any direction, that an M-step sets. Without one the likelihood
            has no maximum: a component that sits on a single example and shrinks sends it to
            infinity. An M-step finds the best covariance among those with no smaller eigenvalue,
            so EM stays monotone. A full covariance has a second floor: measured in the standard
            deviations of the data, coordinate by coordinate, no direction's deviation is less than
            100 eps of the total, 10^-5 of it in float32, because L is not known more exactly
            (`_precise.resolution`).

    Attributes:
        weight_logits: (K,). mean: (K, D), random at first.
        log_variance: (K, D) if diagonal, (K, 1) if spherical.
        factor: (K, D, D) if full: below the diagonal that of L, on it its logarithm, where
            Sigma = L L^T.

    Equation: eq-em-mixture, eq-gaussian-mle

    >>> x = torch.cat([torch.randn(50, 2) - 4, torch.randn(50, 2) + 4])
    >>> model = GaussianMixture((2,), components=2).initialize(x)
    >>> for _ in range(10):
    ...     model.m_step(x, model.e_step(x))
    >>> model.log_prob(x).shape, model.posterior(x).probs.shape, model.sample(5).shape
    (torch.Size([100]), torch.Size([100, 2]), torch.Size([5, 2]))
    """

    support = constraints.real

    def __init__(
        self,
        shape: int | Sequence[int],
        components: int = 10,
        covariance: str = "full",
        floor: float = 1e-6,
    ):
        super().__init__(shape, components, floor)
        if covariance not in ("full", "diagonal", "spherical"):
            raise ValueError(
                f"covariance: got {covariance!r}, expected 'full', 'diagonal' or 'spherical'"
            )
        if not floor > 0:
            raise ValueError(f"floor: got {floor}, expected a positive variance")
        d = math.prod(self.shape)
        self.covariance, components = covariance, self.components
        self.mean = nn.Parameter(torch.randn(components, d))
        if covariance == "full":
            self.factor = nn.Parameter(torch.zeros(components, d, d))
        else:
            numbers = d if covariance == "diagonal" else 1
            self.log_variance = nn.Parameter(torch.zeros(components, numbers))

    def likelihood(self, z: Tensor) -> Distribution:
        """N(mu_k, Sigma_k) for one-hot z of shape (..., K): multiplying by z picks a row."""
        mean = z @ self.mean  # (..., D)
        if self.covariance == "full":
            raw = torch.einsum("...k,kde->...de", z, self.factor)  # (..., D, D)
            scale_tril = raw.tril(-1) + raw.diagonal(dim1=-2, dim2=-1).exp().diag_embed()
            p = MultivariateNormal(mean, scale_tril=scale_tril, validate_args=False)
        else:
            sigma = (0.5 * (z @ self.log_variance)).exp()  # (..., D) or (..., 1)
            p = Independent(Normal(mean, sigma, validate_args=False), 1, validate_args=False)
        return over_events(p, self.shape)

    def _log_likelihoods(self, x: Tensor) -> Tensor:
        """log p_k(x) of all components, one after the other: (..., *shape) -> (..., K)."""
        flat = flatten_event(self, x)  # some wrong shapes would broadcast
        if self.covariance == "full":
            check_digits(flat)
        return torch.stack([self.likelihood(z).log_prob(x) for z in self._one_hots()], -1)

    def covariances(self) -> Tensor:
        """Sigma, (K, D, D), whatever its kind."""
        p = self.likelihood(self._one_hots())
        p = p if len(self.shape) == 1 else p.base_dist  # over vectors
        return p.covariance_matrix if self.covariance == "full" else p.variance.diag_embed()

    def _update_components(self, x: Tensor, shares: Tensor, alive: Tensor) -> None:
        """x (N, D), shares (N, K) with column sums one, alive (K,)."""
        if self.covariance == "full":
            check_digits(self.mean)
        mean = shares.T @ x  # (K, D)
        assign(self.mean, mean, alive)
        if self.covariance == "full":
            unit = x.std(0, correction=0).clamp_min(self.floor**0.5)  # (D,), of the data
            least = resolution(self.mean.dtype) * len(unit)  # in these units the total is D
            for k in alive.nonzero().flatten().tolist():
                dx = (x - mean[k]) / unit
                covariance = (shares[:, k, None] * dx).T @ dx  # (D, D)
                self.factor[k].copy_(_log_cholesky(covariance, unit, least, self.floor))
        else:
            variance = torch.stack(
                [r @ (x - m).square() for r, m in zip(shares.T, mean, strict=True)]
            )
            if self.covariance == "spherical":
                variance = variance.mean(1, keepdim=True)  # (K, 1)
            assign(self.log_variance, variance.clamp_min(self.floor).log(), alive)

    def _move_towards(self, examples: Tensor) -> None:
        self.mean.copy_(examples)


class BernoulliMixture(Mixture):
    r"""p(x) = sum_k pi_k prod_j p_kj^x_j (1 - p_kj)^(1 - x_j), for binary x.

    Within a component the pixels are independent, in the mixture they are not. With components that
    are known classes (`fit(x, y)`) it is the naive Bayes classifier.

    Args:
        shape: event shape; images are flattened.
        components: K.
        floor: an M-step keeps every p_kj in [floor, 1 - floor]. A pixel that is always off would
            get p = 0, and a new image that has it on log p(x) = -inf.

    Attributes:
        weight_logits: (K,). logits: (K, D), log p_kj / (1 - p_kj), random at first.

    Equation: eq-mixture-softmax

    >>> x = torch.bernoulli(torch.full((100, 1, 8, 8), 0.3))
    >>> model = BernoulliMixture((1, 8, 8), components=3).initialize(x)
    >>> model.log_prob(x).shape, model.posterior(x).probs.shape, model.sample(5).shape
    (torch.Size([100]), torch.Size([100, 3]), torch.Size([5, 1, 8, 8]))
    """

    support = constraints.boolean

    def __init__(self, shape: int | Sequence[int], components: int = 10, floor: float = 1e-3):
        super().__init__(shape, components, floor)
        if not 0 < floor < 0.5:
            raise ValueError(f"floor: got {floor}, expected a probability between 0 and 1/2")
        self.logits = nn.Parameter(torch.randn(self.components, math.prod(self.shape)))

    def likelihood(self, z: Tensor) -> Distribution:
        """Independent Bernoulli pixels, for one-hot z of shape (..., K)."""
        logits = (z @ self.logits).unflatten(-1, self.shape)  # (..., *shape)
        p = Bernoulli(logits=logits, validate_args=False)
        return Independent(p, len(self.shape), validate_args=False)

    def _log_likelihoods(self, x: Tensor) -> Tensor:
        """log p_k(x) is affine in x, hence one matrix product: (..., *shape) -> (..., K)."""
        log_off = F.logsigmoid(-self.logits).sum(1)  # (K,), log p_k(0)
        return flatten_event(self, x) @ self.logits.T + log_off

    def logistic(self) -> tuple[Tensor, Tensor]:
        r"""The posterior of two components as a logistic regression: weight `shape`, bias ().

        log p(z_1 = 1 | x) / p(z_0 = 1 | x) is affine in x, exactly:

            weight_j = logit p_1j - logit p_0j,
            bias = log pi_1 / pi_0 + sum_j log (1 - p_1j) / (1 - p_0j).

        Raises:
            ValueError: there are not two components.

        Equation: eq-recognition-logistic

        >>> model, x = BernoulliMixture((4,), components=2), torch.ones(1, 4)
        >>> weight, bias = model.logistic()
        >>> torch.allclose((x @ weight + bias).sigmoid(), model.posterior(x).probs[:, 1])
        True
        """
        if self.components != 2:
            raise ValueError(f"components: got {self.components}, expected 2 for the logistic form")
        weight = (self.logits[1] - self.logits[0]).unflatten(0, self.shape)
        return weight, self.log_joint(torch.zeros_like(weight)).diff().squeeze()

    def _update_components(self, x: Tensor, shares: Tensor, alive: Tensor) -> None:
        """x (N, D), shares (N, K) with column sums one, alive (K,)."""
        p = (shares.T @ x).clamp(self.floor, 1 - self.floor)  # (K, D)
        assign(self.logits, p.logit(), alive)

    def _move_towards(self, examples: Tensor) -> None:
        self.logits.copy_(torch.lerp(self.logits.sigmoid(), examples, 0.5).logit())


def _log_cholesky(covariance: Tensor, unit: Tensor, least: float, floor: float) -> Tensor:
    """L of unit_i covariance_ij unit_j = (L L^T)_ij, its diagonal as a logarithm.

    Eigenvalues are raised to `least` in the units, and to `floor` without them. Units of their own
    cost coordinates no digits: row i of L has the factor unit_i, and rounding is relative.
    """
    smallest, root = _raised(covariance, least)  # (), (D, D), covariance = root^T root
    if smallest * unit.square().min() < floor:  # else the floor is kept in every direction
        _, root = _raised((root * unit).T @ (root * unit), floor)
        root = root / unit
    # root = Q R makes covariance = R^T R, and L = R^T up to the signs of its columns: this cannot
    # fail, as a Cholesky decomposition does when rounding outweighs the floor
    upper = torch.linalg.qr(root).R
    lower = (upper * upper.diagonal().sign().unsqueeze(-1)).T * unit.unsqueeze(-1)
    return lower.tril(-1) + lower.diagonal().log().diag_embed()


def _raised(covariance: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """The smallest eigenvalue, and Lambda^(1/2) U^T of covariance = U Lambda U^T: (), (D, D).

    Eigenvalues below the floor are raised to it.
    """
    values, vectors = torch.linalg.eigh(covariance)  # (D,), (D, D)
    values = values.clamp_min(floor)
    return values[0], values.sqrt().unsqueeze(-1) * vectors.T
