"""The likelihood of a denoiser as a flow: its equation, run from data to noise."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from ..checks import check_examples, integer
from ..paths import LOG_SNR, grid
from ..protocols import given

EXACT = 16  # coordinates up to which the trace is a sum over all of them


def flow_likelihood(
    model,
    x: Tensor,
    y: Tensor | None = None,
    steps: int = 16,
    probes: int | None = None,
    log_snr: tuple[float, float] = LOG_SNR,
) -> Tensor:
    r"""log p(x) in nats of what `euler` and `heun` draw, up to the solver's error:

    $$\log p_0(x_0) = \log p_1(x_1) + \int_0^1 \nabla \cdot u_t(x_t) \, dt, \qquad \dot x_t =
    u_t(x_t) .$$

    As an objective it trains a continuous flow by maximum likelihood: each update solves the
    equation, and goes back through all steps of the solver. A network can learn to please a coarse
    solver: judge it by `dgm.evaluate.ode_log_prob`, the same with more steps and without a graph.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Args, raises: as `dgm.evaluate.ode_log_prob`.

    Equation: eq-instantaneous

    Source: Chen et al. (2018), arXiv:1806.07366, Neural Ordinary Differential Equations; Grathwohl
    et al. (2019), arXiv:1810.01367, FFJORD, for the probes.

    >>> from dgm.models import Diffusion
    >>> flow_likelihood(Diffusion.mlp((2,)), torch.zeros(1, 2)).detach()
    tensor([-1.8379])
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


def divergence(f: Callable[[Tensor], Tensor], x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    r"""f(x) and the mean of $v^\top \nabla f(x) \, v$ over K directions v, whose mean over v of
    mean 0 and covariance I is the trace of the Jacobian. With a graph where gradients are enabled.

    Shapes: x (B, *event), v (K, B, *event) -> (B, *event), (B,).
    """
    learning, total = torch.is_grad_enabled(), 0
    with torch.enable_grad():
        x = x if learning and x.requires_grad else x.detach().requires_grad_()
        value = f(x)
        for one in v:
            (pulled,) = torch.autograd.grad(value, x, one, retain_graph=True, create_graph=learning)
            total = total + (pulled * one).flatten(1).sum(1)
    return (value if learning else value.detach()), total / len(v)


def directions(x: Tensor, probes: int | None) -> Tensor:
    """Random signs, (K, B, *event), or the D unit vectors times the root of D: the mean of
    `divergence` over these is the trace itself.
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
    return divergence(lambda x: f(x, t), x, v)
