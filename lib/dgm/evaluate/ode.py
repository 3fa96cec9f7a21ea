"""The likelihood of a denoiser as a flow: its equation, run from data to noise."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from ..checks import check_examples, integer
from ..paths import LOG_SNR, grid
from ..protocols import given

EXACT = 16  # coordinates up to which the trace is a sum over all of them


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
    check_examples(model, x, y)
    steps, d = integer("steps", steps), x[0].numel()
    if probes is None and d > EXACT:
        raise ValueError(
            f"probes: got None for events of {d} coordinates, expected how many; the exact trace "
            f"is for at most {EXACT}"
        )
    condition = given(model, y)

    def slope(x_t: Tensor, t: float) -> Tensor:
        return model.velocity(x_t, t, **condition)

    first, *later = reversed([t for t in grid(model.path, steps + 1, "log_snr", log_snr) if t > 0])
    alpha = model.path.alpha(x.new_tensor(first))
    x_t = alpha * model.standardised(x)
    total = d * (alpha / model.scale).log()
    for t, s in pairwise([first, *later]):
        v = directions(x_t, probes)  # (K, B, *event)
        u, there = with_divergence(slope, x_t, t, v)
        end, then = with_divergence(slope, x_t + (s - t) * u, s, v)
        x_t, total = x_t + (s - t) * (u + end) / 2, total + (s - t) * (there + then) / 2
    t = x.new_tensor(later[-1])
    size = torch.hypot(model.path.alpha(t), model.path.sigma(t))
    p = torch.distributions.Normal(torch.zeros_like(size), size)
    return total + p.log_prob(x_t).flatten(1).sum(1)


def hutchinson(f: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    r"""f(x) and $v^\top \nabla f(x) \, v$, whose mean over v of mean 0 and covariance I is the
    trace of the Jacobian: (B, *event) -> (B, *event), (B,).

    >>> hutchinson(lambda x: 3 * x, torch.zeros(1, 2), torch.ones(1, 2))[1]
    tensor([6.])
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = f(x)
        (pulled,) = torch.autograd.grad(value, x, v)
    return value.detach(), (pulled * v).flatten(1).sum(1)


def directions(x: Tensor, probes: int | None) -> Tensor:
    """Random signs, (K, B, *event), or the D unit vectors times the root of D: the mean of
    `hutchinson` over these is the trace itself.
    """
    if probes is not None:
        return (
            2.0 * torch.randint(2, (integer("probes", probes), *x.shape), device=x.device).to(x) - 1
        )
    d = x[0].numel()
    unit = d**0.5 * torch.eye(d, dtype=x.dtype, device=x.device)
    return unit.reshape(d, 1, *x.shape[1:]).expand(d, *x.shape)


def with_divergence(f: Callable, x: Tensor, t: float, v: Tensor) -> tuple[Tensor, Tensor]:
    """f(x, t) and its divergence, the mean over directions: (B, *event), (B,)."""
    values = [hutchinson(lambda x: f(x, t), x, direction) for direction in v]
    return values[0][0], torch.stack([trace for _, trace in values]).mean(0)
