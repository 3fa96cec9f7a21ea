"""What the estimators share: evaluating f at draws of q, and naming q in messages."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch import distributions as D

from ..checks import readable


def innermost(q: D.Distribution) -> D.Distribution:
    """The distribution inside any number of `Independent`."""
    while isinstance(q, D.Independent):
        q = q.base_dist
    return q


def values_of(f: Callable, z: Tensor, q: D.Distribution) -> Tensor:
    """f(z), checked to be one number per draw: values of another shape would broadcast silently."""
    values = f(z)
    expected = z.shape[: z.dim() - len(q.event_shape)]
    if values.shape != expected:
        raise ValueError(
            f"f: returned shape {tuple(values.shape)} for draws of shape {tuple(z.shape)}, "
            f"expected {tuple(expected)}: one number per draw"
        )
    return values


def between_outcomes(z: Tensor, q: D.Distribution) -> bool:
    """Whether draws made for a discrete q are no outcomes of it, but relaxed: q(z) has no meaning.

    `gumbel_softmax` says so of its own. Of others the values tell, up to rounding: of a
    straight-through z = soft + (hard - soft), say. They are looked at where that costs no waiting,
    as on an accelerator it would, and in no compiled program.
    """
    if getattr(z, "relaxed", False):
        return True
    if not (q.support.is_discrete and z.is_floating_point() and readable(z)):
        return False
    near = z.round()
    near = torch.where((z - near).abs() < 4 * torch.finfo(z.dtype).eps, near, z)
    return not bool(q.support.check(near).all())


def name_of(q: D.Distribution) -> str:
    return f"a {type(innermost(q)).__name__}"
