"""The likelihood of a denoiser as a flow, measured."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..denoisers.likelihood import divergence, flow_likelihood
from ..paths import LOG_SNR


@torch.no_grad()
def ode_log_prob(
    model,
    x: Tensor,
    y: Tensor | None = None,
    steps: int = 100,
    probes: int | None = None,
    log_snr: tuple[float, float] = LOG_SNR,
) -> Tensor:
    r"""log p(x) in nats of what `euler` and `heun` draw, up to the solver's error:

    $$\log p_0(x_0) = \log p_1(x_1) + \int_0^1 \nabla \cdot u_t(x_t) \, dt, \qquad \dot x_t =
    u_t(x_t) .$$

    By Heun's method, at times that are even in $\lambda$. Too few steps can flatter: look at twice
    as many. What has no density, such as grey levels without noise, has no value here.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Args:
        steps: of the solver, two evaluations each.
        probes: random signs for the divergence, of each example at each step, the same at both ends
            of a step; None takes the exact trace, for events of at most 16 coordinates.
        log_snr: the ends. The data's is too small if it blurs them.

    Raises:
        ValueError: x is no data of the model; steps or probes is no positive integer; there are no
            probes and too many coordinates.

    Equation: eq-ode-likelihood

    Source: Song et al. (2021), arXiv:2011.13456, appendix D.2; Grathwohl et al. (2019),
    arXiv:1810.01367, for the probes.

    >>> from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
    >>> from dgm.denoisers import NoisedMixture
    >>> p = Independent(Normal(torch.zeros(1, 2), 1.0), 1)
    >>> p = MixtureSameFamily(Categorical(torch.ones(1)), p)
    >>> ode_log_prob(NoisedMixture(p), torch.zeros(1, 2), steps=20), p.log_prob(torch.zeros(1, 2))
    (tensor([-1.8379]), tensor([-1.8379]))
    """
    return flow_likelihood(model, x, y, steps, probes, log_snr)


@torch.no_grad()
def hutchinson(f: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    r"""f(x) and $v^\top \nabla f(x) \, v$, whose mean over v of mean 0 and covariance I is the
    trace of the Jacobian: (B, *event) -> (B, *event), (B,).

    Equation: eq-hutchinson-variance

    >>> hutchinson(lambda x: 3 * x, torch.zeros(1, 2), torch.ones(1, 2))[1]
    tensor([6.])
    """
    return divergence(f, x, v[None])
