"""The bound of masked diffusion, which is the mean over all orders."""

import torch
from torch import Tensor

from ..checks import check_examples


def masked_bound(model, x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""An unbiased estimate, from one mask for each example, of

    $$\mathbb E_o \sum_{j=1}^D \log p_\theta(x_{o_j} \mid x_{o_1}, \dots, x_{o_{j-1}})
    = D \, \mathbb E_{m} \, \mathbb E_{|S| = m} \, \frac1m \sum_{i \in S} \log p_\theta(x_i \mid
    x_{\bar S}),$$

    o a random order, m uniform on 1, ..., D, and S a random set of m hidden coordinates. In nats,
    at most log p(x) of the model that reveals one coordinate at a time in random order.

    Args:
        model: of (x, known) -> logits (B, *event, levels), as `dgm.models.MaskedDiffusion`.
        x: (B, *event), values on the grid or integers.
        y: not used.

    Returns:
        (B,).

    Raises:
        ValueError: x has another event shape or type than the model's.

    Equation: eq-masked-bound

    Source: Uria, Murray and Larochelle (2014), arXiv:1310.1757, A Deep and Tractable Density
    Estimator; Hoogeboom et al. (2022), arXiv:2110.02037, Autoregressive Diffusion Models.

    >>> from dgm.models import MaskedDiffusion
    >>> masked_bound(MaskedDiffusion.mlp((1, 8, 8)), torch.ones(5, 1, 8, 8)).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    d = x[0].numel()
    m = torch.randint(1, d + 1, (len(x), 1), device=x.device)
    return d * masked_mean(model, x, m)


def masked_mean(model, x: Tensor, m: Tensor) -> Tensor:
    """The mean of log p(x_i | the rest) over m random coordinates, in nats: m (B, 1) -> (B,)."""
    rank = torch.rand(x.flatten(1).shape, device=x.device).argsort(1)  # (B, D), a random order
    hidden = (rank < m).view_as(x)
    log_p = model(x, ~hidden).log_softmax(-1)  # (B, *event, levels)
    own = log_p.gather(-1, model.indices(x)[..., None])[..., 0]  # (B, *event)
    return (own * hidden).flatten(1).sum(1) / m[:, 0]
