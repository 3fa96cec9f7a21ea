"""Learning an energy without its partition function: by chains, or by telling data from noise."""

import math
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Distribution

from ..checks import check_examples, integer, one_each
from ..energies import log_density
from ..protocols import classes_of, given
from ..samplers import ReplayBuffer, gibbs


def contrastive_divergence(
    model,
    x: Tensor,
    y: Tensor | None = None,
    steps: int = 1,
    sampler: Callable[..., Tensor] = gibbs,
    chains: ReplayBuffer | None = None,
) -> Tensor:
    r"""$E(x') - E(x)$ with x' from `steps` steps of a sampler that starts at the data x.

    The log-likelihood has the gradient $\mathbb E_{x' \sim p_\theta}[\nabla E(x')] - \nabla E(x)$:
    lower the energy of data, raise it where the model draws. Here x' stands in for a draw of
    the model. It remembers x, so that the gradient is biased, less so for more steps. Chains that
    go on from update to update instead forget the data, but lag behind the model as it changes:
    *persistent contrastive divergence*.

    Only the gradient means something. The value is not a log-likelihood, nor a bound, and not in
    nats: it does not measure progress.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Args:
        model: has `energy(x)` -> (B,).
        steps: how many steps of the sampler.
        sampler: one of `dgm.samplers`. The default asks for the model's own `gibbs`, as
            `dgm.models.RBM` has it; for a density `partial(mala, step=0.01)`.
        chains: where the sampler starts instead of at the data, and where it leaves its last
            states; as many as there are examples, at least.

    Raises:
        ValueError: x is not data of the model, the sampler cannot serve it, there are fewer chains
            than examples, or the model has classes and there are chains, which have none.

    Equation: eq-cd-not-gradient

    Source: Hinton (2002), doi:10.1162/089976602760128018, Training products of experts by
    minimizing contrastive divergence; Tieleman (2008), doi:10.1145/1390156.1390290, Training
    restricted Boltzmann machines using approximations to the likelihood gradient.

    >>> import torch
    >>> from dgm.models import RBM
    >>> contrastive_divergence(RBM((1, 8, 8)), torch.ones(5, 1, 8, 8)).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    if chains is None:
        after = sampler(model, x, steps, y).detach()
    elif classes_of(model):
        raise ValueError(
            f"chains: got some for a {type(model).__name__} with classes, expected None: chains "
            "that go on have no labels"
        )
    else:
        index, start = chains.draw(len(x))
        after = sampler(model, start, steps).detach()
        chains.put(index, after)
    condition = given(model, y)
    return model.energy(after, **condition) - model.energy(x, **condition)


def noise_contrastive(
    model, x: Tensor, y: Tensor | None = None, *, noise, ratio: int = 1
) -> Tensor:
    r"""Noise-contrastive estimation: tell each example from $\nu$ draws of a known density.

    $$J = \log \sigma(G(x)) + \sum_{i=1}^\nu \log \sigma(-G(x'_i)), \qquad
      G(x) = \log p_\theta(x) - \log \nu p_n(x), \quad x'_i \sim p_n .$$

    The logit of the best classifier is $\log p_{\text{data}} - \log \nu p_n$. So at the optimum
    $\log p_\theta = -E - c$ is the density of the data, normalised, without a constraint that asks
    for it: the constant c, `model.log_normaliser`, is learned like any other parameter. Noise that
    seldom looks like data is told from them by any model, and teaches little.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,), in nats of the classification.

    Args:
        model: has `energy` and `log_normaliser`, as `dgm.models.EnergyNetwork`, or a `log_prob`.
        noise: a distribution of torch over events, or a model with `sample` and `log_prob`.
        ratio: $\nu$, draws of noise for each example.

    Raises:
        ValueError: x is not data of the model, the model has neither a constant to learn nor a
            `log_prob`, the noise is of another shape, or ratio is no positive integer.

    Equation: def-nce, eq-nce-gradient

    Source: Gutmann and Hyvärinen (2012), Noise-contrastive estimation of unnormalized statistical
    models, with applications to natural image statistics, JMLR 13.

    >>> import torch
    >>> from torch.distributions import MultivariateNormal
    >>> from dgm.models import EnergyNetwork
    >>> noise = MultivariateNormal(torch.zeros(2), torch.eye(2))
    >>> noise_contrastive(EnergyNetwork.fourier((2,)), torch.randn(5, 2), noise=noise).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    ratio = integer("ratio", ratio)
    n = len(x) * ratio
    fake = noise.sample((n,) if isinstance(noise, Distribution) else n).detach()  # (B nu, *event)
    if fake.shape != (n, *x.shape[1:]):
        raise ValueError(
            f"noise: draws are of shape {tuple(fake.shape[1:])}, expected {tuple(x.shape[1:])}, "
            "as the data"
        )
    fake_y = None if y is None else y.repeat_interleave(ratio, 0)

    def logit(x: Tensor, y: Tensor | None) -> Tensor:
        log_noise = one_each(noise.log_prob(x), x, "noise: log_prob")
        return _log_prob(model, x, y) - log_noise.detach() - math.log(ratio)

    told = F.logsigmoid(-logit(fake, fake_y)).reshape(-1, ratio).sum(1)  # (B,)
    return F.logsigmoid(logit(x, y)) + told


def _log_prob(model, x: Tensor, y: Tensor | None) -> Tensor:
    """log p(x) as the model has it: normalised by its own constant, or by construction."""
    constant = getattr(model, "log_normaliser", None)
    if constant is not None:
        return log_density(model, x, y) - constant
    if not hasattr(model, "log_prob"):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one with log_normaliser, the constant "
            "that the estimation learns, or with log_prob"
        )
    return one_each(model.log_prob(x, **given(model, y)), x, "model: log_prob")
