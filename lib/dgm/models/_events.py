"""Events and vectors: models of vectors serve images too, which they flatten and restore."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import Distribution, ReshapeTransform, TransformedDistribution

from ..checks import check_data, check_event


def flatten_event(model: nn.Module, x: Tensor) -> Tensor:
    """Events of a model as vectors: (..., *shape) -> (..., D).

    Raises:
        ValueError: x has another event shape or is not of the model's floating-point type.

    >>> import torch
    >>> from dgm.models import PCA
    >>> flatten_event(PCA((1, 8, 8)), torch.zeros(5, 1, 8, 8)).shape
    torch.Size([5, 64])
    """
    check_event(model, x)
    if not x.is_floating_point():
        raise ValueError(f"x: got {x.dtype}, expected floating-point numbers: x.float()")
    return x.flatten(-len(model.shape))


def flatten_data(model: nn.Module, x: Tensor) -> Tensor:
    """A data set of a model as a matrix: (N, *shape) -> (N, D).

    Raises:
        ValueError: as `flatten_event`, or x cannot be data of this model: see `checks.check_data`.
    """
    check_data(model, x)
    return flatten_event(model, x)


def over_events(vectors: Distribution, shape: Sequence[int]) -> Distribution:
    """A distribution over vectors (D,), seen as one over events of this shape."""
    if len(shape) == 1:
        return vectors
    reshape = ReshapeTransform(vectors.event_shape, tuple(shape))
    return TransformedDistribution(vectors, [reshape], validate_args=False)
