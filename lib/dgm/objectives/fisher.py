"""Score matching for a latent-variable model: slopes of log-densities instead of log-densities."""

import torch
from torch import Tensor
from torch import distributions as D

from ..checks import check_examples, integer
from ..estimators import innermost
from ..protocols import LatentVariable, given


def fisher(model: LatentVariable, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
    r"""Minus the Fisher divergence of data and codes from the model, up to a constant.

    The divergence compares slopes in x and z of two joint log-densities, that of data with the
    encoder's codes, $p_{\text{data}}(x) \, q_\phi(z \mid x)$, and the model's $p_\theta(x, z)$:

    $$F = \tfrac12 \, \mathbb E \big\lVert \nabla_{x, z} \log p_{\text{data}}(x) \, q_\phi(z \mid x)
    - \nabla_{x, z} \log p_\theta(x, z) \big\rVert^2 .$$

    The slope of $\log p_{\text{data}}$ is unknown. Integration by parts, and
    $\mathbb E_{q_\phi}[\nabla_x \log q_\phi(z \mid x)] = 0$, leave of it a constant of the data:

    $$F - c = \mathbb E \big[
    \underbrace{\tfrac12 \lVert \nabla_z \log q_\phi(z \mid x) - \nabla_z \log p_\theta(x, z)
    \rVert^2}_{\text{posterior match}}
    + \underbrace{\tfrac12 \lVert \nabla_x \log q_\phi(z \mid x) \rVert^2}_{\text{smooth encoder}}
    + \underbrace{\tfrac12 \lVert \nabla_x \log p_\theta(x \mid z) \rVert^2
    + \Delta_x \log p_\theta(x \mid z)}_{\text{reconstruction}} \big],$$

    with $c = \frac12 \mathbb E \lVert \nabla \log p_{\text{data}}(x) \rVert^2$. The first term is
    zero exactly where q is the posterior. For a Normal likelihood of mean f the last two are
    $\sum_j (x_j - f_j)^2 / 2 \sigma_j^4 - 1 / \sigma_j^2$.

    What to beware of. It is no bound of the log-likelihood and not in nats; values compare models
    of the same data only. It supposes that the data have a smooth density, which grey levels have
    not. Slopes do not see how much mass lies where: well separated clusters may get any weights at
    almost the same divergence. And networks must have continuous slopes, as with `nn.Softplus` or
    `nn.Tanh`: a decoder of ReLUs has slopes that jump as z moves, which the pathwise gradient does
    not see. Models trained so can be far worse than by maximum likelihood (Wenliang 2022).

    Args:
        model: codes with `rsample`; a Normal likelihood.
        x: (B, *event).
        y: labels (B,), for a model with classes.
        k: draws per example.

    Returns:
        (B,), minus the bracket, a mean over draws.

    Raises:
        ValueError: the codes are discrete, or the likelihood is not Normal, or k is below 1.

    Equation: def-fisher, eq-fisher-decomposition, eq-fisher-gaussian

    Source: Elkhalil, Hasan, Ding, Farsiu and Tarokh (2021), arXiv:2007.06120, Fisher Auto-Encoders,
    for the idea; Hyvärinen (2005), theorem 1, for the integration by parts; Wenliang (2022),
    arXiv:2210.13390, On the failure of variational score matching for VAE models.

    >>> from dgm import heads
    >>> from dgm.models import VAE
    >>> fisher(VAE.mlp((2,), likelihood=heads.Normal), torch.randn(5, 2), k=3).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    k = integer("k", k)
    x = x.repeat(k, *[1] * (x.dim() - 1))  # (k B, *event): a copy for each draw
    condition = {"y": y.repeat(k)} if given(model, y) else {}
    with torch.enable_grad():
        z = _draw(model.posterior(x, **condition)).requires_grad_()  # (k B, latent), of phi ...
        x = x.detach().requires_grad_()  # ... but not of this x: slopes in x are at fixed z
        q, p = model.posterior(x, **condition), model.prior(**condition)
        likelihood = _normal(model.likelihood(z, **condition))
        q_z, q_x = _slopes(q.log_prob(z), z, x)
        (p_z,) = _slopes(likelihood.log_prob(x) + p.log_prob(z), z)
    precision = 1 / likelihood.variance  # (k B, *event)
    p_x = (likelihood.mean - x) * precision
    posterior_match = 0.5 * (q_z - p_z).square().sum(-1)  # (k B,)
    smooth_encoder = 0.5 * q_x.square().flatten(1).sum(-1)
    reconstruction = (0.5 * p_x.square() - precision).flatten(1).sum(-1)
    return -(posterior_match + smooth_encoder + reconstruction).reshape(k, -1).mean(0)


def _slopes(log_density: Tensor, *inputs: Tensor) -> tuple[Tensor, ...]:
    """Gradients of N log-densities in their N inputs, which can be differentiated again."""
    return torch.autograd.grad(log_density.sum(), inputs, create_graph=True)


def _draw(q: D.Distribution) -> Tensor:
    if not q.has_rsample or q.support.is_discrete:
        raise ValueError(
            f"model: a posterior of {type(innermost(q)).__name__} codes has no slopes in z; "
            "expected a continuous one"
        )
    return q.rsample()


def _normal(likelihood: D.Distribution) -> D.Distribution:
    if not isinstance(innermost(likelihood), D.Normal):
        raise ValueError(
            f"model: got a {type(innermost(likelihood)).__name__} likelihood, expected a Normal "
            "one, which has slopes in x"
        )
    return likelihood
