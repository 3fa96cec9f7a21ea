r"""Score matching: fit the slope of log p, which has no partition function.

All four objectives minimise a mean squared distance between the model's score
$s_\theta = \nabla_x \log p_\theta = -\nabla_x E_\theta$ and that of the data, up to a constant of
the data. They are returned with the sign turned, to be maximised, and are not in nats. Slopes do
not see how much mass lies where: well separated modes may get any weights at almost the same value.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from ..checks import check_examples, integer, positive
from ..energies import score
from ..protocols import given


def score_matching(model, x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""Explicit score matching, with the sign turned:

    $$-\tfrac12 \lVert s_\theta(x) \rVert^2 - \operatorname{tr} \nabla s_\theta(x) .$$

    By parts, its mean is $-\frac12 \mathbb E \lVert s_\theta - \nabla \log p_{\text{data}}
    \rVert^2$ up to a constant, if the data's density is smooth and vanishes at infinity. (Grey
    levels have none, and one with an edge adds a term there.)

    The trace takes as many backward passes as an event has coordinates: for points.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Args:
        model: an energy, or anything with a `log_prob`, that has a continuous second derivative.

    Raises:
        ValueError: as `dgm.energies.score`.

    Equation: eq-score-matching

    Source: Hyvärinen (2005), Estimation of non-normalized statistical models by score matching,
    theorem 1.

    >>> from torch.distributions import Normal
    >>> score_matching(Normal(0.0, 1.0), torch.tensor([0.0, 2.0])).detach()
    tensor([ 1., -1.])
    """
    check_examples(model, x, y)
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        slope = score(model, x, y)  # (B, *event)
        d = slope[0].numel()
        unit = torch.eye(d, dtype=x.dtype, device=x.device)  # the D directions
        unit = unit.reshape(d, 1, *x.shape[1:]).expand(d, *x.shape)  # (D, B, *event)
        # (D, B, *event): row i of every example's Jacobian
        (rows,) = torch.autograd.grad(slope, x, unit, create_graph=True, is_grads_batched=True)
    trace = (rows * unit).reshape(d, len(x), d).sum((0, 2))  # (B,), of its diagonal
    return -0.5 * _square(slope) - trace


def sliced_score_matching(model, x: Tensor, y: Tensor | None = None, k: int = 1) -> Tensor:
    r"""Score matching along random directions v, with the sign turned:

    $$-\tfrac12 \lVert s_\theta(x) \rVert^2
      - \frac1k \sum_{i=1}^k v_i^\top \nabla s_\theta(x) \, v_i .$$

    As $\mathbb E[v v^\top] = I$ the mean over v is the trace, at the price of k backward passes
    instead of one for every coordinate. The directions are random signs, which know the diagonal
    exactly.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Args:
        k: directions for each example.

    Raises:
        ValueError: as `dgm.energies.score`, or k is no positive integer.

    Equation: eq-sliced

    Source: Song, Garg, Shi and Ermon (2019), arXiv:1905.07088, Sliced Score Matching, equation 8.

    >>> from torch.distributions import Normal
    >>> sliced_score_matching(Normal(0.0, 1.0), torch.tensor([0.0, 2.0])).detach()
    tensor([ 1., -1.])
    """
    check_examples(model, x, y)
    k = integer("k", k)
    traces = []
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        slope = score(model, x, y)  # (B, *event)
        for _ in range(k):
            v = 2.0 * torch.randint_like(x, 2) - 1  # (B, *event), signs
            (pulled,) = torch.autograd.grad(slope, x, v, create_graph=True)  # v^T times Jacobian
            traces.append((pulled * v).reshape(len(x), -1).sum(1))  # (B,)
    trace = torch.stack(traces).mean(0)
    return -0.5 * _square(slope) - trace


def denoising_score_matching(
    model, x: Tensor, y: Tensor | None = None, sigma: float = 0.1
) -> Tensor:
    r"""Denoising score matching at one noise level, with the sign turned:

    $$-\tfrac12 \Big\lVert s_\theta(x + \sigma \epsilon) + \frac\epsilon\sigma \Big\rVert^2, \qquad
      \epsilon \sim \mathcal N(0, I) .$$

    The minimiser is the score of the noised data $p_\sigma = p_{\text{data}} * \mathcal N(0,
    \sigma^2 I)$, not of the data. No second derivative is needed in x, and no density of the data.
    The loss has a floor above zero, and the smaller $\sigma$, the larger its variance.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Args:
        sigma: the noise's standard deviation.

    Raises:
        ValueError: as `dgm.energies.score`, or sigma is not positive: at zero there is no target.

    Equation: eq-dsm

    Source: Vincent (2011), doi:10.1162/NECO_a_00142, A Connection Between Score Matching and
    Denoising Autoencoders, equation 11.

    >>> from torch.distributions import Normal
    >>> denoising_score_matching(Normal(0.0, 1.0), torch.zeros(5), sigma=0.5).shape
    torch.Size([5])
    """
    sigma = positive("sigma", sigma)
    check_examples(model, x, y)
    noise = torch.randn_like(x)  # (B, *event)
    return -0.5 * _square(score(model, x + sigma * noise, y) + noise / sigma)


def annealed_score_matching(
    model, x: Tensor, y: Tensor | None = None, *, sigmas: Sequence[float]
) -> Tensor:
    r"""Denoising score matching at several noise levels, one of them drawn for each example:

    $$-\tfrac12 \sigma^2 \Big\lVert s_\theta(x + \sigma \epsilon, \sigma) + \frac\epsilon\sigma
      \Big\rVert^2 = -\tfrac12 \lVert \hat\epsilon_\theta - \epsilon \rVert^2, \qquad
      \hat\epsilon_\theta = -\sigma s_\theta .$$

    The weight $\sigma^2$ makes all levels count alike: what is learned is to predict the noise.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Args:
        model: has `score(x, sigma)`, as `dgm.models.ScoreNetwork`.
        sigmas: the levels, as for `dgm.samplers.annealed_langevin`.

    Raises:
        ValueError: x is not data of the model, or a level is not positive.

    Equation: eq-noise-prediction

    Source: Song and Ermon (2019), arXiv:1907.05600, Generative Modeling by Estimating Gradients of
    the Data Distribution, equation 6.

    >>> from dgm.models import ScoreNetwork
    >>> annealed_score_matching(ScoreNetwork.mlp((2,)), torch.randn(5, 2), sigmas=(1.0, 0.1)).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    levels = [positive("sigmas", sigma) for sigma in sigmas]
    if not levels:
        raise ValueError("sigmas: got none, expected at least one noise level")
    which = torch.randint(len(levels), (len(x),), device=x.device)
    sigma = x.new_tensor(levels)[which]  # (B,)
    wide = sigma.reshape(-1, *[1] * (x.dim() - 1))  # (B, 1, ...)
    noise = torch.randn_like(x)  # (B, *event)
    slope = model.score(x + wide * noise, sigma, **given(model, y))  # (B, *event)
    return -0.5 * _square(wide * slope + noise)


def _square(v: Tensor) -> Tensor:
    """The squared length of every example's vector: (B, *event) -> (B,)."""
    return v.square().reshape(len(v), -1).sum(1)
