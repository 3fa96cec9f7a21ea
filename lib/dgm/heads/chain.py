"""Codes in two stochastic layers: draw a, then b given a."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch import distributions as D


class Chain(D.Distribution):
    r"""$q(a) \, q(b \mid a)$ over one code, the coordinates of a and of b side by side.

    Its density is known, and its draws are as differentiable as those of its parts. Its mean has no
    closed form, nor has its KL divergence from another chain, which is estimated from draws:

    $$\operatorname{KL}(q \,\Vert\, p)
    = \mathbb E_{z \sim q}[\log q(a) + \log q(b \mid a) - \log p(a, b)].$$

    Shapes: batch shape that of `first`, event shape (a's coordinates + b's).

    Args:
        first: q(a), over vectors.
        second: maps draws a, (..., coordinates of a), to q(b | a), over vectors.
        size: coordinates of b.
        reverse: the code is [b, a]. A posterior that draws a first and a prior that draws it last
            then speak of the same code.

    >>> a = D.Independent(D.Normal(torch.zeros(5, 3), 1.0), 1)
    >>> q = Chain(a, lambda a: D.Independent(D.Normal(a[..., :2], 0.1), 1), size=2)
    >>> q.batch_shape, q.event_shape, q.log_prob(q.rsample((7,))).shape
    (torch.Size([5]), torch.Size([5]), torch.Size([7, 5]))
    """

    arg_constraints = {}

    def __init__(
        self,
        first: D.Distribution,
        second: Callable[[Tensor], D.Distribution],
        size: int,
        reverse: bool = False,
    ):
        self.first, self.second, self.reverse = first, second, reverse
        self.sizes = [first.event_shape[0], size]
        event_shape = torch.Size([sum(self.sizes)])
        super().__init__(first.batch_shape, event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:
        return self.first.has_rsample

    @property
    def support(self) -> D.constraints.Constraint:
        return self.first.support  # of any number of coordinates: all reals, or all bits

    @property
    def mean(self) -> Tensor:
        raise NotImplementedError("mean: a chain's has no closed form; average q.sample((k,))")

    def sample(self, sample_shape=()) -> Tensor:
        with torch.no_grad():
            a = self.first.sample(torch.Size(sample_shape))
            return self.join(a, self.second(a).sample())

    def rsample(self, sample_shape=()) -> Tensor:
        a = self.first.rsample(torch.Size(sample_shape))  # (k, B, coordinates of a)
        return self.join(a, self.second(a).rsample())

    def log_prob(self, z: Tensor) -> Tensor:
        if self.reverse:
            b, a = z.split(self.sizes[::-1], -1)
        else:
            a, b = z.split(self.sizes, -1)
        return self.first.log_prob(a) + self.second(a).log_prob(b)

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        """The code that a and b make together."""
        return torch.cat([b, a] if self.reverse else [a, b], -1)


class Chained(nn.Module):
    """A module that returns a `Chain`: an encoder q(a | x) q(b | a), or a prior p(a) p(b | a).

    Args:
        first: returns q(a), from whatever the module is called with: an image, or nothing.
        second: maps a to q(b | a).
        size, reverse: as in `Chain`.

    >>> from dgm.heads import DiagonalNormal, StandardNormal
    >>> prior = Chained(StandardNormal(2), DiagonalNormal(2, 16), size=16, reverse=True)
    >>> prior().sample((5,)).shape        # 16 coordinates next to x, then 2
    torch.Size([5, 18])
    """

    def __init__(self, first: nn.Module, second: nn.Module, size: int, reverse: bool = False):
        super().__init__()
        self.first, self.second = first, second
        self.size, self.reverse = size, reverse

    def forward(self, *inputs: Tensor) -> Chain:
        return Chain(self.first(*inputs), self.second, self.size, self.reverse)
