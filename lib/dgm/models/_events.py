"""Events and vectors: models of vectors serve images too, which they flatten and restore."""

from collections.abc import Sequence

from torch import Tensor
from torch.distributions import Distribution, ReshapeTransform, TransformedDistribution


def check_event(x: Tensor, shape: Sequence[int]) -> None:
    """Raise ValueError unless x has shape (..., *shape)."""
    if x.shape[-len(shape) :] != tuple(shape):
        raise ValueError(
            f"x: got shape {tuple(x.shape)}, expected (..., {', '.join(map(str, shape))})"
        )


def flatten_event(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Events as vectors: (..., *shape) -> (..., D).

    Raises:
        ValueError: x has another event shape.

    >>> import torch
    >>> flatten_event(torch.zeros(5, 1, 8, 8), (1, 8, 8)).shape
    torch.Size([5, 64])
    """
    check_event(x, shape)
    return x.flatten(-len(shape))


def flatten_data(x: Tensor, shape: Sequence[int]) -> Tensor:
    """A data set as a matrix: (N, *shape) -> (N, D).

    Raises:
        ValueError: x has another shape, or no examples.
    """
    if x.dim() != len(shape) + 1 or len(x) == 0:
        raise ValueError(
            f"x: got shape {tuple(x.shape)}, expected (N, {', '.join(map(str, shape))}) "
            "with N of at least 1"
        )
    return flatten_event(x, shape)


def over_events(vectors: Distribution, shape: Sequence[int]) -> Distribution:
    """A distribution over vectors (D,), seen as one over events of this shape."""
    if len(shape) == 1:
        return vectors
    reshape = ReshapeTransform(vectors.event_shape, tuple(shape))
    return TransformedDistribution(vectors, [reshape], validate_args=False)
