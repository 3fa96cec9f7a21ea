r"""Noise for symbols: chains that forget which of K symbols there was.

A step is a matrix, rows the earlier symbol, columns the later one: $Q_t$ has
$q(x_t = j \mid x_{t-1} = i)$ in row i and column j.

    uniform_kernel      any symbol instead, all alike
    absorbing_kernel    a mask instead, for good
    gaussian_kernel     a neighbour instead, for grey levels

T steps are a tensor (T, K, K); `torch.stack([uniform_kernel(5, b) for b in betas])` makes one.
`dgm.models.MaskedDiffusion` is the model for masks. What is here serves all kernels, and for few
symbols it is exact.

Source: Austin et al. (2021), arXiv:2107.03006, Structured Denoising Diffusion Models in Discrete
State-Spaces; Hoogeboom et al. (2021), arXiv:2102.05379, for the uniform kernel.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .checks import integer


def uniform_kernel(symbols: int, beta: float) -> Tensor:
    r"""$(1 - \beta) I + \beta \, 1 1^\top / K$: with probability $\beta$ any symbol, (K, K).

    T such steps are one with $1 - \beta = \prod_t (1 - \beta_t)$.

    Raises:
        ValueError: beta is no probability, or there is no symbol.

    Equation: eq-uniform-noise

    >>> uniform_kernel(2, 0.5)
    tensor([[0.7500, 0.2500],
            [0.2500, 0.7500]])
    """
    k, beta = integer("symbols", symbols), _probability(beta)
    return (1 - beta) * torch.eye(k) + beta / k


def absorbing_kernel(symbols: int, beta: float) -> Tensor:
    r"""With probability $\beta$ the mask, which stays: (K + 1, K + 1), the mask the last symbol.

    Raises:
        ValueError: beta is no probability, or there is no symbol.

    Equation: eq-no-time

    >>> absorbing_kernel(2, 0.25)
    tensor([[0.7500, 0.0000, 0.2500],
            [0.0000, 0.7500, 0.2500],
            [0.0000, 0.0000, 1.0000]])
    """
    k, beta = integer("symbols", symbols), _probability(beta)
    q = (1 - beta) * torch.eye(k + 1)
    q[:, -1] += beta
    return q


def gaussian_kernel(symbols: int, beta: float) -> Tensor:
    r"""To other levels as a Gaussian falls off, on the diagonal what is left: (K, K),

    $$Q_{ij} \propto \exp\Big({-\frac{4 (i - j)^2}{(K - 1)^2 \beta}}\Big), \quad i \ne j,$$

    with one factor for all i and j. It is symmetric, so that uniform symbols stay uniform.

    Args:
        symbols: K, at least 2.
        beta: positive; the standard deviation of the Gaussian is $(K - 1) \sqrt{\beta / 8}$ levels.

    Raises:
        ValueError: beta is not positive, or there are less than two symbols.

    >>> gaussian_kernel(2, 4.0)
    tensor([[0.7881, 0.2119],
            [0.2119, 0.7881]])
    """
    k = integer("symbols", symbols, at_least=2)
    if not beta > 0:
        raise ValueError(f"beta: got {beta}, expected a positive number")
    steps = torch.arange(1 - k, k)  # all that i - j can be
    falls = (-4 * steps.square() / ((k - 1) ** 2 * beta)).exp()
    i = torch.arange(k)
    q = falls[i[:, None] - i + k - 1] / falls.sum()
    return q + (1 - q.sum(1)).diag()


def cumulative(kernels: Tensor) -> Tensor:
    r"""$\bar Q_t = Q_1 \cdots Q_t$ for t = 0, ..., T, $\bar Q_0 = I$: (T, K, K) -> (T + 1, K, K).

    Row $x_0$ of $\bar Q_t$ is $q(x_t \mid x_0)$.

    >>> cumulative(torch.stack([uniform_kernel(3, 0.5)] * 4)).shape
    torch.Size([5, 3, 3])
    """
    products = [torch.eye(kernels.shape[-1], dtype=kernels.dtype, device=kernels.device)]
    for q in kernels:
        products.append(products[-1] @ q)
    return torch.stack(products)


def noised(x_0: Tensor, bar: Tensor) -> Tensor:
    r"""Draws of $q(x_t \mid x_0)$, each symbol by itself: integers (...), $\bar Q_t$ -> (...).

    >>> noised(torch.tensor([[0, 1], [2, 2]]), torch.eye(3)).tolist()
    [[0, 1], [2, 2]]
    """
    return torch.multinomial(bar[x_0.flatten()], 1).view_as(x_0)


def step_posterior(kernel: Tensor, before: Tensor, x_t: Tensor, x_0: Tensor) -> Tensor:
    r"""Where the chain was one step ago, given where it is and where it began:

    $$q(x_{t-1} = j \mid x_t, x_0)
    = \frac{(Q_t)_{j x_t} \, (\bar Q_{t-1})_{x_0 j}}{(\bar Q_t)_{x_0 x_t}}.$$

    Args:
        kernel, before: $Q_t$ and $\bar Q_{t-1}$, (K, K).
        x_t, x_0: integers, (...).

    Returns:
        (..., K); zeros where x_t cannot come of x_0.

    Equation: eq-symbol-posterior, eq-unmasking-rate

    >>> mask, bar = absorbing_kernel(2, 0.5), absorbing_kernel(2, 0.2)
    >>> step_posterior(mask, bar, torch.tensor(2), torch.tensor(0))
    tensor([0.6667, 0.0000, 0.3333])
    """
    joint = kernel.T[x_t] * before[x_0]  # (..., K)
    total = joint.sum(-1, keepdim=True)
    return joint / total.where(total > 0, 1.0)


def reverse_step(kernel: Tensor, before: Tensor, x_t: Tensor, p_0: Tensor) -> Tensor:
    r"""The model's step back, made of what it says of $x_0$:

    $$p_\theta(x_{t-1} \mid x_t) = \sum_v q(x_{t-1} \mid x_t, x_0 = v) \, \tilde p_\theta(x_0 = v
    \mid x_t),$$

    the sum over the v from which $x_t$ can come, $\tilde p$ renormalised over them.

    Args:
        kernel, before: $Q_t$ and $\bar Q_{t-1}$, (K, K).
        x_t: integers, (...).
        p_0: $\tilde p_\theta$, (..., K).

    Returns:
        (..., K).

    >>> mask, bar = absorbing_kernel(2, 0.5), absorbing_kernel(2, 0.2)
    >>> reverse_step(mask, bar, torch.tensor(2), torch.tensor([0.9, 0.1, 0.0]))
    tensor([0.6000, 0.0667, 0.3333])
    """
    each = torch.arange(len(before), device=x_t.device)
    q = step_posterior(kernel, before, x_t[..., None], each)  # (..., v, K)
    p_0 = p_0 * (q.sum(-1) > 0)
    return ((p_0 / p_0.sum(-1, keepdim=True))[..., None] * q).sum(-2)


class ChainBound(NamedTuple):
    """What `chain_bound` returns, for every event of D symbols, in nats.

    Attributes:
        events: all of them, (S, D) with S = K^D.
        bound: at most `log_prob`, (S,).
        log_prob: of the model, exact, (S,).
    """

    events: Tensor
    bound: Tensor
    log_prob: Tensor


def chain_bound(
    kernels: Tensor,
    predict: Callable[[Tensor, int], Tensor],
    start: Tensor,
    coordinates: int,
) -> ChainBound:
    r"""The bound of discrete diffusion and its likelihood, for all $K^D$ events, by sums:

    $$-\operatorname{KL}(q(x_T \mid x_0) \,\Vert\, p(x_T)) - \sum_{t=2}^T \mathbb E_q
    \operatorname{KL}(q(x_{t-1} \mid x_t, x_0) \,\Vert\, p_\theta(x_{t-1} \mid x_t))
    + \mathbb E_q \log p_\theta(x_0 \mid x_1) \le \log p_\theta(x_0).$$

    Args:
        kernels: (T, K, K).
        predict: of (events (S, D), t) -> $\tilde p_\theta(x_0 \mid x_t)$, (S, D, K).
        start: $p(x_T)$ of a symbol, (K,).
        coordinates: D; $K^D$ of a few hundred take a moment.

    Equation: eq-symbol-bound

    >>> Q = torch.stack([uniform_kernel(3, b) for b in (0.3, 0.6)])
    >>> found = chain_bound(Q, lambda x, t: torch.ones(9, 2, 3) / 3, torch.ones(3) / 3, 2)
    >>> round(found.log_prob.exp().sum().item(), 4), bool((found.bound < found.log_prob).all())
    (1.0, True)
    """
    symbols = torch.arange(kernels.shape[-1])
    events = torch.cartesian_prod(*[symbols] * integer("coordinates", coordinates))
    events = events.view(len(symbols) ** coordinates, coordinates)  # (S, D)
    bars = cumulative(kernels)

    def all_at_once(p: Tensor) -> Tensor:
        """Of independent symbols (..., D, K), the probabilities of all events: (..., S)."""
        return p[..., torch.arange(coordinates), events].prod(-1)

    p_t = all_at_once(start.expand(coordinates, -1))  # p(x_T), (S,)
    bound = -_kl(all_at_once(bars[-1][events]), p_t)  # over x_0, (S,)
    for t in range(len(kernels), 0, -1):
        q_t = all_at_once(bars[t][events])  # q(x_t | x_0), (S of x_0, S of x_t)
        back = reverse_step(kernels[t - 1], bars[t - 1], events, predict(events, t))
        step = all_at_once(back)  # p(x_{t-1} | x_t), (S of x_t, S of x_{t-1})
        posterior = step_posterior(kernels[t - 1], bars[t - 1], events, events[:, None])
        divergence = _kl(all_at_once(posterior), step)  # (S of x_0, S of x_t)
        # at t = 1 the posterior is a point mass at x_0: the divergence is -log p(x_0 | x_1)
        bound = bound - (q_t * divergence).where(q_t > 0, 0.0).sum(-1)
        p_t = p_t @ step
    return ChainBound(events, bound, p_t.log())


def _kl(q: Tensor, p: Tensor) -> Tensor:
    """KL(q || p) of probabilities (..., S), with 0 log 0 = 0."""
    return (q * (q.log() - p.log())).where(q > 0, 0.0).sum(-1)


def _probability(beta: float) -> float:
    if not 0 <= beta <= 1:
        raise ValueError(f"beta: got {beta}, expected a probability")
    return float(beta)
