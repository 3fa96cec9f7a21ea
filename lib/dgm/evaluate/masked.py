"""How well hidden coordinates are told, by how many are hidden."""

import torch
from torch import Tensor

from ..checks import check_data
from ..objectives.masked import masked_mean


@torch.no_grad()
def by_masked(model, x: Tensor) -> Tensor:
    r"""The mean cross-entropy of m hidden coordinates, m = 1, ..., D, in nats each: (N, D).

    Column m - 1 is, for every example, the mean of $-\log p_\theta(x_i \mid x_{\bar S})$ over a
    random set S of m coordinates. The sum of a row is an unbiased estimate of minus the bound of
    `objectives.masked_bound`, with less variance than D masks drawn at random have: every m occurs
    once.

    Args:
        model: as in `masked_bound`.
        x: (N, *event).

    Raises:
        ValueError: there are no examples, or some lie outside the support.

    Equation: eq-pseudo-entropy

    >>> from dgm.models import MaskedDiffusion
    >>> by_masked(MaskedDiffusion.mlp((1, 2, 2)), torch.ones(3, 1, 2, 2)).shape
    torch.Size([3, 4])
    """
    check_data(model, x)
    numbers = torch.arange(1, x[0].numel() + 1, device=x.device)
    return torch.stack([-masked_mean(model, x, m.expand(len(x), 1)) for m in numbers], 1)
