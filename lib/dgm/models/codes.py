"""Codes of a model's examples, whatever makes them: an encoder, or the mean of a posterior."""

import torch
from torch import Tensor
from torch.distributions import Distribution

from ..checks import check_examples, integer
from ..data import in_batches
from ..estimators import innermost
from ..heads import Chain, TopDown
from ..protocols import given

DRAWS = 100  # of a chain's first layer, for the mean of its second


@torch.no_grad()
def encode(model, x: Tensor, y: Tensor | None = None, batch_size: int = 1000) -> Tensor:
    """Codes of images, in batches: (N, *event) -> (N, latent).

    The code is `model.encode(x)` for an autoencoder and the mean of `model.posterior(x)` for a
    latent-variable model, of `model.posterior(x, y)` with classes. With two stochastic
    layers it is one layer's mean beside the other's, of which the second is estimated: it is the
    average of the means given 100 draws of the first layer. So are all levels below the top.

    Raises:
        ValueError: the model has no codes, there are no examples, x has another event shape or
            type than the model's, or a model with classes did not get one label per example.

    >>> from dgm.models import PCA
    >>> encode(PCA((1, 8, 8)), torch.rand(5, 1, 8, 8)).shape
    torch.Size([5, 2])
    """
    if not (hasattr(model, "encode") or hasattr(model, "posterior")):
        raise ValueError(f"model: got {type(model).__name__}, which has no codes to encode into")
    check_examples(model, x, y)
    integer("batch_size", batch_size)
    parts = ((part, given(model, label)) for part, label in in_batches(x, y, batch_size))
    if hasattr(model, "encode"):
        codes = torch.cat([model.encode(part, **condition) for part, condition in parts])
    else:
        qs = (model.posterior(part, **condition) for part, condition in parts)
        codes = torch.cat([_mean(q) for q in qs])
    if len(codes) != len(x):
        raise ValueError(f"model: encodes {len(x)} examples into {len(codes)} codes")
    return codes


def _mean(q: Distribution) -> Tensor:
    """The mean of q, of a chain layer by layer: (B, latent)."""
    if isinstance(q, TopDown):
        top, *others = q.levels(q.sample((DRAWS,)))
        return torch.cat([top.mean, *(level.mean.mean(0) for level in others)], -1)
    if not isinstance(innermost(q), Chain):
        return q.mean
    a = q.first.sample((DRAWS,))  # (draws, B, coordinates of a)
    return q.join(q.first.mean, q.second(a).mean.mean(0))
