r"""Lower bounds of the log-likelihood of a latent-variable model.

All are made of draws $z_k \sim q_\phi(z \mid x)$ and of their log-weights

$$\log w_k = \log p_\theta(x \mid z_k) + \log p(z_k) - \log q_\phi(z_k \mid x).$$

How the draws are differentiated is the estimator's business: `partial(elbo, estimator=...)` with
one of `dgm.estimators`.

Of a model with classes every distribution is given the label y as well, and
$\log p_\theta(x \mid y)$ is bounded.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as D

from ..checks import check_event, integer
from ..estimators import innermost, logmeanexp, pathwise
from ..estimators.draws import between_outcomes
from ..heads import TopDown
from ..protocols import LatentVariable, given
from .divergences import (
    check_same_codes,
    closed_form_kl,
    kl_per_coordinate,
    level_divergences,
)


def elbo(
    model: LatentVariable,
    x: Tensor,
    y: Tensor | None = None,
    k: int = 1,
    beta: float = 1.0,
    estimator: Callable = pathwise,
    analytic_kl: bool = True,
) -> Tensor:
    r"""The evidence lower bound, at most $\log p_\theta(x)$, in nats:

    $$\mathbb E_{z \sim q_\phi(z \mid x)}[\log p_\theta(x \mid z)]
    - \beta \operatorname{KL}(q_\phi(z \mid x) \,\Vert\, p(z)).$$

    The first term is estimated from k draws. The second is exact where `kl` has a closed form, and
    otherwise estimated from the same draws, of `heads.TopDown` level by level in closed form.

    Args:
        model: has `prior`, `posterior` and `likelihood`.
        x: (B, *event).
        y: labels (B,), for a model with classes.
        k: draws per example.
        beta: weight of the KL term; with `beta` other than 1 it is no ELBO, and below 1 no bound.
            A schedule goes to the training step: `gradient_step(model, elbo, schedules={"beta":
            schedule})`.
        estimator: of the gradient, `pathwise`, `score_function`, ...
        analytic_kl: False to estimate the KL term from the draws in any case.

    Returns:
        (B,).

    Raises:
        ValueError: x has another event shape or type than the model's; the estimator cannot serve
            the posterior, or draws relaxed codes although the KL term is estimated; posterior and
            prior are not over the same codes; a model with classes got none, or other, labels.

    Equation: def-elbo, eq-elbo, eq-elbo-forms, def-elbo-draws, eq-elbo-draws, eq-elbo-draws-kl,
    def-dataset-elbo, def-amortised, eq-vae-bernoulli, eq-beta-bound, eq-one-knob,
    eq-average-is-beta, eq-conditional-elbo

    Source: Kingma and Welling (2014), arXiv:1312.6114, equation 3; Higgins et al. (2017) for beta;
    Sohn, Lee and Yan (2015) for the conditional bound.

    >>> from dgm.models import VAE
    >>> elbo(VAE.mlp((1, 8, 8)), torch.ones(5, 1, 8, 8)).shape
    torch.Size([5])
    """
    q, p, log_likelihood = _parts(model, x, y)
    divergence = closed_form_kl(q, p) if analytic_kl else None  # (B,)
    if divergence is not None:
        return estimator(log_likelihood, q, k) - beta * divergence

    by_level = analytic_kl and isinstance(q, TopDown) and isinstance(p, TopDown)

    def f(z: Tensor) -> Tensor:  # (k, B, latent) -> (k, B)
        _refuse_relaxed(z, q)
        if by_level:
            return log_likelihood(z) - beta * level_divergences(q, p, z).sum(0)
        return log_likelihood(z) - beta * (q.log_prob(z) - p.log_prob(z))

    return estimator(f, q, k)


def free_bits(
    model: LatentVariable,
    x: Tensor,
    y: Tensor | None = None,
    k: int = 1,
    free: float = 0.1,
    estimator: Callable = pathwise,
) -> Tensor:
    r"""The evidence lower bound with $\lambda$ nats free for each coordinate of the code:

    $$\mathbb E_{z \sim q_\phi(z \mid x)}[\log p_\theta(x \mid z)] - \sum_j \max\Big(\lambda, \;
    \frac1B \sum_i \operatorname{KL}(q_\phi(z_j \mid x_i) \,\Vert\, p(z_j))\Big).$$

    The mean is over the batch. A coordinate that says less than $\lambda$ about the examples is not
    pushed to say even less, which keeps it from collapsing early in training. The penalty is at
    least the KL divergence: the batch mean is at most the mean ELBO, a bound.

    Args:
        model, x, y, k, estimator: as in `elbo`.
        free: $\lambda$, in nats per coordinate.

    Returns:
        (B,). Every example carries the same penalty.

    Raises:
        ValueError: as `elbo`; or the coordinates of the code are not independent, for example under
            a FullNormal posterior or a chain; or `free` is negative.

    Equation: eq-free-bits

    Source: Kingma et al. (2016), arXiv:1606.04934, Improving Variational Inference with Inverse
    Autoregressive Flow.

    >>> from dgm.models import VAE
    >>> free_bits(VAE.mlp((1, 8, 8)), torch.ones(5, 1, 8, 8), free=0.5).shape
    torch.Size([5])
    """
    if not free >= 0:
        raise ValueError(f"free: got {free}, expected nats, 0 or more")
    q, p, log_likelihood = _parts(model, x, y)
    rate = kl_per_coordinate(q, p).mean(0)  # (latent,)
    return estimator(log_likelihood, q, k) - rate.clamp(min=free).sum()


def iwae(
    model: LatentVariable,
    x: Tensor,
    y: Tensor | None = None,
    k: int = 50,
    estimator: Callable = pathwise,
) -> Tensor:
    r"""The importance-weighted bound, in nats: $\mathcal L_K = \mathbb E[\log \frac1K \sum_k w_k]$.

    With k = 1 it is the evidence lower bound; it rises with k towards $\log p_\theta(x)$. With the
    score-function estimator and leave-one-out its gradient is VIMCO.

    Args:
        model, x, y: as in `elbo`.
        k: draws per example.
        estimator: of the gradient; not one that draws relaxed codes, as `gumbel_softmax` does.

    Returns:
        (B,).

    Raises:
        ValueError: as `elbo`, or the estimator draws relaxed codes.

    Equation: def-iwae, eq-iwae-monotone, eq-iwae-exact, eq-iwae-gradient

    Source: Burda, Grosse and Salakhutdinov (2016), arXiv:1509.00519, equation 8.

    >>> from dgm.models import VAE
    >>> iwae(VAE.mlp((1, 8, 8)), torch.ones(5, 1, 8, 8), k=10).shape
    torch.Size([5])
    """
    q, p, log_likelihood = _parts(model, x, y)
    check_same_codes(q, p)

    def log_weight(z: Tensor) -> Tensor:  # (k, B, latent) -> (k, B)
        _refuse_relaxed(z, q)
        return log_likelihood(z) + p.log_prob(z) - q.log_prob(z)

    return estimator(log_weight, q, k, logmeanexp)


def dreg(model: LatentVariable, x: Tensor, y: Tensor | None = None, k: int = 50) -> Tensor:
    r"""The importance-weighted bound with a doubly reparameterised gradient.

    Value, and gradient in the generative parameters, are those of `iwae`. In the encoder's
    parameters the gradient has the same mean, and a variance that does not drown it as k grows:

    $$\nabla_\phi \mathcal L_K = \mathbb E\Big[\sum_k \tilde w_k^2 \,
    \frac{\partial \log w_k}{\partial z_k} \frac{\partial z_k}{\partial \phi}\Big], \qquad
    \tilde w_k = \frac{w_k}{\sum_l w_l}.$$

    `iwae` has $\tilde w_k$ in place of its square, and the score
    $-\tilde w_k \nabla_\phi \log q_\phi(z_k \mid x)$ at fixed z besides. At the exact posterior
    $w_k$ does not depend on $z_k$, and this gradient is zero draw by draw. With k = 1 it is
    "sticking the landing" (Roeder, Wu and Duvenaud 2017).

    Args:
        model, x, y, k: as in `iwae`. Encoder and decoder share no parameters.

    Returns:
        (B,).

    Raises:
        ValueError: the posterior has no `rsample`: its codes are discrete; or as `iwae`.

    Equation: eq-dreg, eq-pathwise-elbo

    Source: Tucker, Lawson, Gu and Maddison (2019), arXiv:1810.04152, Doubly Reparameterized
    Gradient Estimators for Monte Carlo Objectives.

    >>> from dgm.models import VAE
    >>> dreg(VAE.mlp((1, 8, 8)), torch.ones(5, 1, 8, 8), k=10).shape
    torch.Size([5])
    """
    q, p, log_likelihood = _parts(model, x, y)
    check_same_codes(q, p)
    if not q.has_rsample or q.support.is_discrete:
        raise ValueError(
            f"model: a posterior of {type(innermost(q)).__name__} codes has no differentiable "
            "draws; use iwae with the score_function estimator"
        )
    draws = q.rsample((integer("k", k),))  # (k, B, latent), functions of phi
    with torch.enable_grad():
        z = draws.detach().requires_grad_()  # the same numbers, functions of nothing
        log_joint = log_likelihood(z) + p.log_prob(z)  # (k, B)
        log_w = log_joint - q.log_prob(z)
        (slope,) = torch.autograd.grad(log_w.sum(), z, retain_graph=True)  # (k, B, latent)
    weight = log_w.detach().softmax(0)  # (k, B)
    s = (weight * log_joint + weight.square() * (slope * draws).sum(-1)).sum(0)
    return logmeanexp(log_w.detach()) + (s - s.detach())  # the value of L_K, the gradient of s


def _parts(
    model: LatentVariable, x: Tensor, y: Tensor | None
) -> tuple[D.Distribution, D.Distribution, Callable[[Tensor], Tensor]]:
    """q(z | x), p(z) and z -> log p(x | z), each given y too if the model has classes."""
    check_event(model, x, y)
    condition = given(model, y)
    q, p = model.posterior(x, **condition), model.prior(**condition)
    return q, p, lambda z: model.likelihood(z, **condition).log_prob(x)


def _refuse_relaxed(z: Tensor, q: D.Distribution) -> None:
    if between_outcomes(z, q):
        raise ValueError(
            f"estimator: got relaxed codes, between the outcomes of a {type(innermost(q)).__name__}"
            ", at which a discrete log q(z | x) or log p(z) has no meaning (gumbel_softmax draws "
            "such); use score_function, straight_through or exact"
        )
