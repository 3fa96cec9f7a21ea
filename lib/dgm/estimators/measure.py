"""Measuring an estimator: many draws of its gradient."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch import distributions as D

from ..checks import integer


def gradient_samples(
    estimator: Callable,
    problem: Callable[..., tuple[Callable, D.Distribution]],
    parameters: Sequence[Tensor],
    draws: int,
    k: int = 1,
) -> tuple[Tensor, ...]:
    """Many independent draws of an estimator's gradient, to measure its bias and variance.

    The parameters are copied `draws` times, the copies are estimated side by side as one batch, and
    one `backward` gives every copy its own gradient.

    Args:
        estimator: for example `partial(score_function, baseline="leave-one-out")`.
        problem: maps parameters with a leading dimension of copies, (draws, ...), to (f, q), with
            q of batch shape (draws,) or (draws, B): then the gradient is of the sum over B.
        parameters: where the gradient is wanted.
        draws: how many gradients.
        k: draws of q that each gradient may use.

    Returns:
        Per parameter a tensor (draws, *parameter.shape). It is zero where f leaves no path to the
        parameter, which is the pathwise gradient of a step function.

    Raises:
        ValueError: the problem does not make one row of its batch per copy, or `draws` is below 1.

    >>> from dgm.estimators import pathwise
    >>> square = lambda phi: (lambda z: z**2, D.Normal(phi, 1.0))
    >>> (g,) = gradient_samples(pathwise, square, [torch.tensor(3.0)], draws=10_000)
    >>> g.shape, bool((g.mean() - 6).abs() < 0.1), bool((g.var() - 4).abs() < 0.3)
    (torch.Size([10000]), True, True)
    """
    draws = integer("draws", draws)
    copies = [p.detach().expand(draws, *p.shape).clone().requires_grad_() for p in parameters]
    f, q = problem(*copies)
    if q.batch_shape[:1] != (draws,):
        raise ValueError(
            f"problem: q has batch shape {tuple(q.batch_shape)}, expected ({draws}, ...): one row "
            "for each copy of the parameters"
        )
    total = estimator(f, q, k).sum()
    if not total.requires_grad:
        return tuple(torch.zeros_like(c) for c in copies)
    return torch.autograd.grad(total, copies, materialize_grads=True)
