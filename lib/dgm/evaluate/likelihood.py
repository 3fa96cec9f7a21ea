"""What a latent-variable model says about data, and how it uses its code. In nats.

The evidence log p(x) is estimated by importance sampling. Its lower bound is taken apart twice:
into rate and distortion, and the rate into what a code tells about its example and how far the
codes as a whole lie from the prior.

Of a model with classes every distribution is given the label y as well: log p(x | y) is estimated.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..checks import check_data, check_examples, check_finite, check_labels, integer
from ..data import in_batches
from ..estimators import logmeanexp
from ..models.codes import encode
from ..objectives.divergences import closed_form_kl
from ..protocols import LatentVariable, classes_of, given


@torch.no_grad()
def importance_weighted(
    model: LatentVariable, x: Tensor, y: Tensor | None = None, k: int = 5000, chunk: int = 500
) -> Tensor:
    r"""Estimates of $\log p_\theta(x)$ in nats, one per example, from k draws each:

    $$\log \hat p(x) = \log \frac1k \sum_{i=1}^k w_i, \qquad
      w_i = \frac{p_\theta(x, z_i)}{q_\phi(z_i \mid x)}, \qquad z_i \sim q_\phi(z \mid x).$$

    The mean weight is unbiased for p(x). Its logarithm is therefore too small on average, for large
    k by about Var(w) / (2 k p(x)^2): a lower bound in expectation, the tighter the larger k.

    One example's draws are made at once and decoded `chunk` at a time. From the same random state
    therefore come the same draws, and the same value, for every chunk, and for an example whether
    or not others follow. The memory in use does not grow with k, but for k codes and k weights.

    Args:
        model: has `prior`, `posterior` and `likelihood`.
        x: (N, *event).
        y: labels (N,), for a model with classes.
        k: draws per example.
        chunk: how many codes are decoded at a time.

    Returns:
        (N,).

    Raises:
        ValueError: k or chunk is no positive integer, the model is no latent-variable model, there
            are no examples, x lies outside the support of the likelihood, or a model with
            classes did not get one label per example.

    Equation: def-importance-estimate, eq-importance

    Source: Burda, Grosse and Salakhutdinov (2016), arXiv:1509.00519, Importance Weighted
    Autoencoders, section 5.

    >>> from dgm.models import VAE
    >>> importance_weighted(VAE.mlp((1, 8, 8)), torch.ones(3, 1, 8, 8), k=100).shape
    torch.Size([3])
    """
    _check(model, x, y, k=k, chunk=chunk)
    check_data(model, x, y)
    weights = (_log_weights(model, *one, k, chunk) for one in in_batches(x, y, 1))
    return torch.cat([logmeanexp(log_w) for log_w in weights])


def _log_weights(model: LatentVariable, x: Tensor, y: Tensor | None, k: int, chunk: int) -> Tensor:
    """log p(x, z) - log q(z | x) for k draws z of q(z | x): (k, B)."""
    condition = given(model, y)
    prior, q = model.prior(**condition), model.posterior(x, **condition)

    def log_w(z: Tensor) -> Tensor:  # (chunk, B, latent) -> (chunk, B)
        return _log_likelihood(model, z, x, y) + prior.log_prob(z) - q.log_prob(z)

    return torch.cat([log_w(z) for z in q.sample((k,)).split(chunk)])


@torch.no_grad()
def rate_distortion(
    model: LatentVariable,
    x: Tensor,
    y: Tensor | None = None,
    k: int = 1,
    batch_size: int = 1000,
) -> tuple[float, float]:
    r"""Rate and distortion, in nats per example. Minus their sum is the mean ELBO.

    $$R = \frac1N \sum_n \operatorname{KL}(q_\phi(z \mid x_n) \,\Vert\, p(z)), \qquad
      D = -\frac1N \sum_n \mathbb E_{q_\phi(z \mid x_n)}[\log p_\theta(x_n \mid z)].$$

    The distortion is estimated, without bias, from k draws per example; the rate is exact where it
    has a closed form (`dgm.objectives.kl`) and estimated from the same draws elsewhere.

    Args:
        model: has `prior`, `posterior` and `likelihood`.
        x: (N, *event).
        y: labels (N,), for a model with classes.
        k: draws per example.
        batch_size: examples at a time, each with its k draws.

    Returns:
        (rate, distortion).

    Raises:
        ValueError: as `importance_weighted`.

    Source: Alemi et al. (2018), arXiv:1711.00464, Fixing a Broken ELBO, section 2.

    >>> from dgm.models import VAE
    >>> rate, distortion = rate_distortion(VAE.mlp((1, 8, 8)), torch.ones(3, 1, 8, 8))
    >>> rate > 0
    True
    """
    _check(model, x, y, k=k, batch_size=batch_size)
    check_data(model, x, y)
    rates, distortions = [], []
    for x_b, y_b in in_batches(x, y, batch_size):
        condition = given(model, y_b)
        prior, q = model.prior(**condition), model.posterior(x_b, **condition)
        z = q.sample((k,))  # (k, B, latent)
        rate = closed_form_kl(q, prior)  # (B,)
        rates.append((q.log_prob(z) - prior.log_prob(z)).mean(0) if rate is None else rate)
        distortions.append(-_log_likelihood(model, z, x_b, y_b).mean(0))
    return torch.cat(rates).mean().item(), torch.cat(distortions).mean().item()


@torch.no_grad()
def active_units(
    model: LatentVariable, x: Tensor, y: Tensor | None = None, threshold: float = 1e-2
) -> Tensor:
    r"""Which coordinates of the code answer to the data: those with
    $\operatorname{Var}_x(\mathbb E_{q_\phi(z \mid x)}[z_j]) > $ threshold.

    A unit that the decoder ignores has q(z_j | x) = p(z_j) for every x: its mean does not move. For
    the variances themselves, take `encode(model, x).var(0)`. With two stochastic layers the units
    of the first come first, then those of the second.

    Args:
        x: (N, *event), N of at least 2.
        y: labels (N,), for a model with classes.
        threshold: in units of the prior's variance if that is one.

    Returns:
        (latent,), true for active units; its sum is their number.

    Raises:
        ValueError: the model is no latent-variable model, there are fewer than two examples, the
            threshold is negative, or a model with classes did not get one label per example.

    Source: Burda, Grosse and Salakhutdinov (2016), arXiv:1509.00519, section 5.2.

    >>> from dgm.models import VAE
    >>> active_units(VAE.mlp((1, 8, 8), latent=5), torch.rand(10, 1, 8, 8)).shape
    torch.Size([5])
    """
    _check(model, x, y, at_least=2)
    if threshold < 0:
        raise ValueError(f"threshold: got {threshold}, expected a variance, 0 or more")
    return encode(model, x, y).var(0) > threshold


class AggregatePosterior(NamedTuple):
    """What `aggregate_posterior` returns: two estimates in nats, each with its standard error."""

    mutual_information: float
    marginal_kl: float
    mutual_information_error: float
    marginal_kl_error: float


@torch.no_grad()
def aggregate_posterior(
    model: LatentVariable, x: Tensor, y: Tensor | None = None, k: int = 10, chunk: int = 100
) -> AggregatePosterior:
    r"""The rate taken apart: what a code tells about its example, and a misfit to the prior.

    With $q(z) = \frac1N \sum_n q_\phi(z \mid x_n)$, the aggregate posterior of the N examples,

    $$\frac1N \sum_n \operatorname{KL}(q_\phi(z \mid x_n) \,\Vert\, p(z))
      = \underbrace{\mathbb E\!\left[\log \frac{q_\phi(z \mid x_n)}{q(z)}\right]}_{I(n;\, z)}
      + \underbrace{\mathbb E\!\left[\log \frac{q(z)}{p(z)}\right]}_{
          \operatorname{KL}(q(z) \,\Vert\, p(z))},$$

    n uniform, z a draw of $q_\phi(z \mid x_n)$. Both expectations are means over k draws per
    example, with q(z) computed in full. That is unbiased for the N examples as given. Taken as an
    estimate for the distribution they come from, the mutual information is too small on average,
    and never above log N; the marginal KL is too large by as much. To see how far, vary N.

    Args:
        model: has `prior` and `posterior`.
        x: (N, *event).
        y: labels (N,), for a model with classes, all the same: every class has an aggregate
            posterior and a prior of its own.
        k: draws per example, at least 2, for the standard errors.
        chunk: how many of the N k draws are compared with all N posteriors at a time.

    Returns:
        `AggregatePosterior`. The standard errors are those of the draws, for the N examples given.

    Raises:
        ValueError: k is less than 2, chunk is no positive integer, the labels differ, or as
            `importance_weighted`, but for the support: no likelihood is asked.

    Equation: eq-aggregate

    Source: Hoffman and Johnson (2016), ELBO Surgery, section 2; the bias is that of van den Oord et
    al. (2018), arXiv:1807.03748, Representation Learning with Contrastive Predictive Coding,
    appendix A.

    >>> from dgm.models import VAE
    >>> parts = aggregate_posterior(VAE.mlp((1, 8, 8)), torch.rand(20, 1, 8, 8))
    >>> parts.mutual_information < math.log(20)
    True
    """
    _check(model, x, y, k=k, chunk=chunk)
    if k < 2:
        raise ValueError(f"k: got {k}, expected at least 2 draws for a standard error")
    condition = given(model, y)
    prior, q = model.prior(**condition), model.posterior(x, **condition)
    if condition and (y != y[0]).any():
        raise ValueError(f"y: got labels {y.unique().tolist()}, expected examples of one class")
    z = q.sample((k,))  # (k, N, latent)
    own = q.log_prob(z)  # (k, N)
    marginal = torch.cat([_log_mixture(q, part) for part in z.flatten(0, 1).split(chunk)])  # (k N,)
    marginal = marginal.reshape_as(own)
    information, misfit = own - marginal, marginal - prior.log_prob(z)  # (k, N)
    return AggregatePosterior(
        information.mean().item(), misfit.mean().item(), _error(information), _error(misfit)
    )


def _log_mixture(q: Distribution, z: Tensor) -> Tensor:
    """log of the mean over n of q(z | x_n), for q of batch shape (N,): (M, latent) -> (M,)."""
    return q.log_prob(z[:, None]).logsumexp(1) - math.log(q.batch_shape[0])  # over (M, N)


def _error(values: Tensor) -> float:
    """The standard error of the mean of (k, N) values, whose columns have means of their own."""
    return (values.var(0).mean() / values.numel()).sqrt().item()


def _log_likelihood(model: LatentVariable, z: Tensor, x: Tensor, y: Tensor | None) -> Tensor:
    """log p(x | z): (k, B, latent), (B, *event) -> (k, B)."""
    return model.likelihood(z, **given(model, y)).log_prob(x)


def _check(model, x: Tensor, y: Tensor | None, at_least: int = 1, **counts: int) -> None:
    if not isinstance(model, LatentVariable):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with prior, posterior and likelihood"
        )
    for name, count in counts.items():
        integer(name, count)
    check_examples(model, x, y, at_least)
    if given(model, y):
        check_labels(y, classes_of(model), x.shape[:1])
    check_finite("x", x)
