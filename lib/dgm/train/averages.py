"""Averages of parameters over training, which are steadier than the last parameters are."""

import copy

import torch
from torch import nn


def start_average(model: nn.Module) -> nn.Module:
    """A copy of the model, to be moved by `update_average`; no gradient reaches it."""
    return copy.deepcopy(model).requires_grad_(False)


@torch.no_grad()
def update_average(average: nn.Module, model: nn.Module, ema: float) -> None:
    """average <- ema * average + (1 - ema) * theta, for parameters; buffers are copied.

    After t updates, the parameters of s updates ago weigh ema^s (1 - ema), and the first ones
    ema^t: with 0.99, the average looks back over about 100 updates.

    Source: Polyak and Juditsky (1992), doi:10.1137/0330046, Acceleration of Stochastic
    Approximation by Averaging, for averages with equal weights.

    >>> theta, average = nn.Linear(1, 1), nn.Linear(1, 1)
    >>> _ = nn.init.ones_(theta.weight), nn.init.zeros_(average.weight)
    >>> update_average(average, theta, ema=0.9)
    >>> round(average.weight.item(), 4)
    0.1
    """
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - ema)
    for mean, now in zip(average.buffers(), model.buffers(), strict=True):
        mean.copy_(now)
