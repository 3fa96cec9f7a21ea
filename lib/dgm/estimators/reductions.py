"""Reductions: what becomes of the k values (k, B) of f, (B,)."""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def mean(values: Tensor) -> Tensor:
    """The mean over draws: (k, ...) -> (...).

    >>> mean(torch.tensor([1.0, 3.0]))
    tensor(2.)
    """
    return values.mean(0)


def logmeanexp(values: Tensor) -> Tensor:
    r"""$\log \frac1k \sum_i e^{a_i}$ over draws, without overflow: (k, ...) -> (...).

    Equation: eq-logsumexp, eq-log-bias

    >>> logmeanexp(torch.tensor([1000.0, 1000.0]))
    tensor(1000.)
    """
    return values.logsumexp(0) - math.log(len(values))


def advantage(values: Tensor, stand_in: Tensor, reduce: Callable) -> Tensor:
    """R - b_i, what draw i adds to R beyond its stand-in, which makes b_i: (k, ...).

    >>> advantage(torch.tensor([1.0, 5.0]), torch.tensor([0.0, 1.0]), mean)
    tensor([0.5000, 2.0000])
    """
    if reduce is mean:  # the same number, without an array of k^2 of them
        return (values - stand_in) / len(values)
    return reduce(values) - reduce(replace_each(values, stand_in))


def replace_each(values: Tensor, stand_in: Tensor) -> Tensor:
    """All ways to replace one of k values: (k, ...) -> (k, k, ...).

    Column i holds the k values, but for the i-th, which is `stand_in[i]`.
    """
    k = len(values)
    own = torch.eye(k, dtype=torch.bool, device=values.device)
    own = own.reshape(k, k, *[1] * (values.dim() - 1))
    return torch.where(own, stand_in[None], values[:, None])
