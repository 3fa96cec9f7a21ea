"""A model of symbols, seen as a distribution over one-hot codes."""

import math

import torch
from torch import Tensor
from torch import distributions as D


class Tokens(D.Distribution):
    """A model's distribution of M symbols, each one of K, as one over codes (M, K).

    Row m of a code is the one-hot vector of symbol m: 1 where the symbol is, 0 elsewhere.

    Shapes: batch shape () unless expanded, event shape (M, K).

    Args:
        model: a `protocols.Tractable` of events (M,) with K `levels`, any of
            `dgm.models.autoregressive`.
        batch_shape: of as many copies, for `expand`.

    Raises:
        ValueError: its events are no rows of symbols.

    Equation: eq-code-chain

    >>> from dgm.models import MADE
    >>> p = Tokens(MADE((3,), levels=10))
    >>> p.log_prob(p.sample((5,))).shape, p.event_shape
    (torch.Size([5]), torch.Size([3, 10]))
    """

    arg_constraints = {}

    def __init__(self, model, batch_shape=()):
        if len(model.shape) != 1:
            raise ValueError(f"model: got events of shape {model.shape}, expected (M,)")
        self.model, self.codes = model, model.levels
        event_shape = torch.Size([*model.shape, model.levels])
        super().__init__(torch.Size(batch_shape), event_shape, validate_args=False)

    def expand(self, batch_shape, _instance=None) -> "Tokens":
        return Tokens(self.model, batch_shape)

    @property
    def support(self) -> D.constraints.Constraint:
        return D.constraints.independent(D.constraints.one_hot, 1)

    def sample(self, sample_shape=()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        x = self.model.sample(math.prod(shape[:-2]))  # (n, M), on the grid 0, 1 / (K - 1), ..., 1
        return one_hot(self.model.indices(x), self.codes, like=x).reshape(shape)

    def log_prob(self, z: Tensor) -> Tensor:
        k = z.argmax(-1)  # (..., M)
        return self.model.log_prob(k.reshape(-1, k.shape[-1])).reshape(k.shape[:-1])


def one_hot(k: Tensor, codes: int, like: Tensor) -> Tensor:
    """Symbols as one-hot vectors of the type of `like`: (...) -> (..., codes).

    >>> one_hot(torch.tensor([2, 0]), 3, like=torch.zeros(()))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """
    return torch.eye(codes, dtype=like.dtype, device=like.device)[k]
