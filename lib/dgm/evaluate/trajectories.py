"""How straight the trajectories of a flow are, and how far it carries."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import check_labels, check_shape, integer
from ..paths import grid
from ..samplers import heun, trajectory
from .representation import mean_and_error


@torch.no_grad()
def straightness(
    model, n: int = 2000, y: Tensor | None = None, steps: int = 64, sampler: Callable = heun
) -> tuple[float, float]:
    r"""How far the velocity along a trajectory is from its mean, the chord's,

    $$S = \int_0^1 \mathbb E \lVert \dot x_t - (x_1 - x_0) \rVert^2 dt = \int_0^1 \mathbb E \lVert
    \dot x_t \rVert^2 dt - \mathbb E \lVert x_1 - x_0 \rVert^2 ,$$

    which is zero if and only if particles move in straight lines at constant speed, as one step of
    Euler's method takes for granted. In the units of standardised data, squared.

    It is computed from the mean velocities in the steps of a solver, and so slightly too small.

    Args:
        n: trajectories.
        y: (n,) labels, for a model with classes.
        steps: of the sampler, at equal distances.

    Returns:
        An estimate and its standard error.

    Raises:
        ValueError: n or steps is no positive integer, or labels are missing.

    Equation: def-straightness

    Source: Liu, Gong and Liu (2023), arXiv:2209.03003, Flow Straight and Fast, equation 5.

    >>> from dgm import toys
    >>> from dgm.denoisers import NoisedMixture
    >>> value, error = straightness(NoisedMixture(toys.ring(device="cpu")), n=100)
    >>> 0 < error < value
    True
    """
    n = integer("n", n)
    check_labels(y, model.classes, (n,), unlabelled=True)
    times = grid(model.path, steps)
    x = trajectory(model, model.start(n, times[0]), times, y, sampler).flatten(2)  # (T, n, D)
    h = x.new_tensor(times).diff()[:, None]  # (T - 1, 1), negative
    velocity = x.diff(dim=0) / h[..., None]
    chord = (x[-1] - x[0]) / h.sum()
    share = h / h.sum()
    return mean_and_error((share * (velocity - chord).square().sum(2)).sum(0))


def transport_cost(x: Tensor, ends: Tensor) -> tuple[float, float]:
    r"""$\mathbb E \lVert x_1 - x_0 \rVert^2$ of pairs, what a coupling costs: its mean over pairs,
    and the standard error. The least that any pairing of the same points costs is that of
    `couplings.minibatch_ot(x, ends, size=len(x))`.

    Shapes: x and ends (N, *event).

    Raises:
        ValueError: they are not of one shape.

    Equation: eq-cost-chain, eq-quarter-turn

    >>> transport_cost(torch.zeros(3, 2), torch.ones(3, 2))
    (2.0, 0.0)
    """
    check_shape(ends, x.shape, "ends")
    return mean_and_error((ends - x).flatten(1).square().sum(1))
