"""What all mixtures have in common: the latent variable, the exact posterior, EM."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution, OneHotCategorical

from ..checks import check_integers, check_range, event_shape, integer
from ._events import flatten_data
from ._precise import float64


class Mixture(nn.Module):
    """p(x) = sum_k pi_k p_k(x), whatever the components p_k.

    A subclass adds them: `likelihood` and `_log_likelihoods` evaluate, `_update_components` fits,
    `_move_towards` tells them apart before EM begins.

    Attributes:
        weight_logits: (components,), log pi_k up to a constant.
    """

    classes = 0  # a mixture is fitted to labels, its components, but is not given any

    def __init__(self, shape: int | Sequence[int], components: int, floor: float):
        super().__init__()
        self.shape, self.floor = event_shape(shape), floor
        self.components = integer("components", components)
        self.weight_logits = nn.Parameter(torch.zeros(self.components))

    @property
    def weights(self) -> Tensor:
        """pi, (components,): positive, with sum one."""
        return self.weight_logits.softmax(0)

    def prior(self) -> Distribution:
        """p(z), event shape (components,)."""
        return OneHotCategorical(logits=self.weight_logits, validate_args=False)

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x | z) for one-hot z of shape (..., components), event shape `shape`."""
        raise NotImplementedError

    def log_joint(self, x: Tensor) -> Tensor:
        """log p(x, z) in nats for every z: (..., *shape) -> (..., components)."""
        return self.weight_logits.log_softmax(0) + self._log_likelihoods(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) = log sum_z p(x, z) in nats: (..., *shape) -> (...).

        Equation: def-mixture
        """
        return self.log_joint(x).logsumexp(-1)

    def energy(self, x: Tensor) -> Tensor:
        """-log p(x) in nats, an energy with Z = 1: (..., *shape) -> (...)."""
        return -self.log_prob(x)

    def posterior(self, x: Tensor) -> Distribution:
        """p(z | x) = p(x, z) / p(x), exactly: batch shape (...), event shape (components,).

        Equation: def-mixture
        """
        return OneHotCategorical(logits=self.log_joint(x), validate_args=False)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draw z from the prior, then x given z: (n, *shape)."""
        n = integer("n", n)
        z = self.prior().sample((n,)).argmax(-1)  # (n,), component numbers
        # from every component, one kept: n likelihoods would need n covariance matrices
        x = self.likelihood(self._one_hots()).sample((n,))  # (n, components, *shape)
        return x[torch.arange(n, device=z.device), z]

    @torch.no_grad()
    def e_step(self, x: Tensor) -> Distribution:
        """The q(z) that makes the bound tight: the posterior."""
        return self.posterior(x)

    @torch.no_grad()
    def m_step(self, x: Tensor, q: Distribution) -> None:
        """Set the parameters to the maximum of sum_i E_{q_i}[log p(x_i, z_i)].

        With r_ik = E_{q_i}[z_k] and N_k = sum_i r_ik: pi_k = N_k / N, and component k is fitted to
        all examples, the i-th of them counted r_ik times.

        The maximum has one term per component. A component that has lost all its points has an
        empty one: it keeps its parameters, and its weight goes to (nearly) zero.

        The sums are taken in float64. In float32 the covariance of data in a subspace would be
        rounding in all other directions, no maximum, and EM would fall.

        Args:
            x: (N, *shape).
            q: batch shape (N,), event shape (components,): the posterior, or any other.

        Equation: eq-em-monotone
        """
        x, r = float64(flatten_data(self, x)), float64(q.mean)  # (N, D), (N, components)
        if r.shape != (len(x), self.components):
            raise ValueError(
                f"q: got means of shape {tuple(r.shape)}, expected {(len(x), self.components)}"
            )
        tiny = torch.finfo(r.dtype).tiny
        counts = r.sum(0).clamp_min(tiny)  # (components,), N_k
        shares = r / counts  # (N, components), columns with sum one
        self._update_components(x, shares, counts > tiny)
        self.weight_logits.copy_(counts.log() - math.log(len(x)))

    @torch.no_grad()
    def fit(self, x: Tensor, y: Tensor | None = None) -> "Mixture":
        """Maximum likelihood when the components are known: one M-step; returns self.

        The posterior is then a classifier: naive Bayes, if the coordinates are independent within a
        component, quadratic discriminant analysis for full covariances.

        Args:
            x: (N, *shape).
            y: (N,), integers from 0 to components - 1.

        Raises:
            ValueError: no labels (`dgm.train.em_step` needs none), one outside that range, or
                shapes that do not fit.
        """
        if y is None:
            raise ValueError(
                "y: got None, expected the component of each example; where it is not known use "
                "EM: dgm.train.fit(dgm.train.em_step(model.initialize(x)), [(x,)], epochs=50)"
            )
        flatten_data(self, x)
        check_integers(y, x.shape[:1])
        check_range(y, self.components)
        self.m_step(x, OneHotCategorical(probs=F.one_hot(y.long(), self.components).to(x)))
        return self

    @torch.no_grad()
    def initialize(self, x: Tensor) -> "Mixture":
        """A start for EM; returns self.

        All components get the mean and the spread of the whole data set; then each mean is moved
        towards an example of its own. These are drawn one after the other, with probability
        proportional to the squared distance to the nearest one that was drawn before.

        Raises:
            ValueError: fewer examples than components.

        Source: Arthur and Vassilvitskii (2007), k-means++.
        """
        flat = flatten_data(self, x)  # (N, D)
        if len(x) < self.components:
            raise ValueError(
                f"components: got {self.components}, expected at most {len(x)}, one per example"
            )
        equal = self.weight_logits.new_ones(len(x), self.components)
        self.m_step(x, OneHotCategorical(probs=equal))
        self._move_towards(_spread_out(flat, self.components))
        return self

    def _one_hots(self) -> Tensor:
        """Every value of z: (components, components)."""
        like = self.weight_logits
        return torch.eye(self.components, dtype=like.dtype, device=like.device)


def assign(parameter: Tensor, values: Tensor, alive: Tensor) -> None:
    """New rows for the components that are alive, (K,); the others keep theirs."""
    for k in alive.nonzero().flatten().tolist():
        parameter[k].copy_(values[k])


def _spread_out(x: Tensor, k: int) -> Tensor:
    """k rows of x, (N, D) -> (k, D), that lie apart."""
    rows = [x[torch.randint(len(x), (), device=x.device)]]
    nearest = torch.full_like(x[:, 0], torch.inf)  # (N,), squared distance to the nearest row
    while len(rows) < k:
        nearest = torch.minimum(nearest, (x - rows[-1]).square().sum(1))
        # positive, so that a draw is possible even if all examples coincide with a row
        rows.append(x[torch.multinomial(nearest.clamp_min(torch.finfo(x.dtype).tiny), 1).squeeze()])
    return torch.stack(rows)
