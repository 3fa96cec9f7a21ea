"""What the estimators share: evaluating f at draws of q, and naming q in messages."""

from collections.abc import Callable

from torch import Tensor
from torch import distributions as D


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


def positive(k: int) -> int:
    if k < 1:
        raise ValueError(f"k: got {k}, expected at least 1")
    return k


def name_of(q: D.Distribution) -> str:
    return f"a {type(innermost(q)).__name__}"
