"""Codes in two stochastic layers: draw a, then b given a."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch import distributions as D
from torch.distributions.utils import lazy_property


class Chain(D.Distribution):
    r"""$q(a) \, q(b \mid a)$ over one code, the coordinates of a and of b side by side.

    Its density is known, and its draws are differentiable if those of both parts are. Its moments
    have no closed form, nor has its KL divergence from another chain, which is estimated from
    draws:

    $$\operatorname{KL}(q \,\Vert\, p)
    = \mathbb E_{z \sim q}[\log q(a) + \log q(b \mid a) - \log p(a, b)].$$

    Shapes: batch shape that of `first`, event shape (a's coordinates + b's).

    Args:
        first: q(a), over vectors.
        second: maps draws a, (..., coordinates of a), to q(b | a), over vectors.
        size: coordinates of b.
        reverse: the code is [b, a]. A posterior that draws a first and a prior that draws it last
            then speak of the same code.

    Raises:
        ValueError: `first` is not over vectors; or, when `second` is first used for draws or
            densities, it is not over vectors of `size` coordinates.

    Equation: eq-two-layers

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
        if len(first.event_shape) != 1:
            raise ValueError(f"first: got event shape {tuple(first.event_shape)}, expected vectors")
        self.first, self.second, self.reverse = first, second, reverse
        self.sizes = [first.event_shape[0], size]
        event_shape = torch.Size([sum(self.sizes)])
        super().__init__(first.batch_shape, event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:
        return self.first.has_rsample and self._kind_of_second.has_rsample

    @property
    def support(self) -> D.constraints.Constraint:
        return SideBySide(
            self._in_order(self.first.support, self._kind_of_second.support),
            self._in_order(*self.sizes),
        )

    @property
    def mean(self) -> Tensor:
        raise _no_closed_form("mean", "average q.sample((k,))")

    @property
    def mode(self) -> Tensor:
        raise _no_closed_form("mode", "take the one of q.sample((k,)) with the highest q.log_prob")

    @property
    def variance(self) -> Tensor:
        raise _no_closed_form("variance", "take that of q.sample((k,))")

    def entropy(self) -> Tensor:
        raise _no_closed_form("entropy", "average -q.log_prob(z) over z = q.sample((k,))")

    def expand(self, batch_shape, _instance=None) -> "Chain":
        return Chain(self.first.expand(batch_shape), self.second, self.sizes[1], self.reverse)

    def sample(self, sample_shape=()) -> Tensor:
        with torch.no_grad():
            a = self.first.sample(torch.Size(sample_shape))
            return self.join(a, self._second(a).sample())

    def rsample(self, sample_shape=()) -> Tensor:
        a = self.first.rsample(torch.Size(sample_shape))  # (k, B, coordinates of a)
        return self.join(a, self._second(a).rsample())

    def log_prob(self, z: Tensor) -> Tensor:
        a, b = self._in_order(*z.split(self._in_order(*self.sizes), -1))
        return self.first.log_prob(a) + self._second(a).log_prob(b)

    def _second(self, a: Tensor) -> D.Distribution:
        """q(b | a); b of another size would broadcast, or not be what `event_shape` says."""
        q = self.second(a)
        if q.event_shape != (self.sizes[1],):
            raise ValueError(
                f"size: got {self.sizes[1]}, expected the event shape of `second`, "
                f"{tuple(q.event_shape)}"
            )
        return q

    @lazy_property
    def _kind_of_second(self) -> D.Distribution:
        """q(b | a) of no a at all, (0, B, coordinates): it costs no draw, and is of its kind."""
        return self.second(self.first.expand((0, *self.batch_shape)).sample())

    def _in_order(self, of_a, of_b) -> list:
        """What belongs to a and to b in the order of the code; and back, it being a swap."""
        return [of_b, of_a] if self.reverse else [of_a, of_b]

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        """The code that a and b make together."""
        return torch.cat(self._in_order(a, b), -1)


def _no_closed_form(what: str, instead: str) -> NotImplementedError:
    return NotImplementedError(f"{what}: a chain's has no closed form; {instead}")


class SideBySide(D.constraints.Constraint):
    """Vectors whose first coordinates lie in one set of vectors and the others in another.

    >>> bits = D.constraints.independent(D.constraints.boolean, 1)
    >>> support = SideBySide([D.constraints.one_hot, bits], [3, 2])
    >>> support.check(torch.tensor([[0, 1, 0, 1, 1], [0, 1, 1, 1, 1]]))
    tensor([ True, False])
    """

    event_dim = 1

    def __init__(self, parts: Sequence[D.constraints.Constraint], sizes: Sequence[int]):
        super().__init__()
        self.parts, self.sizes = parts, sizes

    @property
    def is_discrete(self) -> bool:
        return any(part.is_discrete for part in self.parts)

    def check(self, value: Tensor) -> Tensor:
        if value.shape[-1] != sum(self.sizes):
            return torch.zeros(value.shape[:-1], dtype=torch.bool, device=value.device)
        first, second = value.split(self.sizes, -1)
        return self.parts[0].check(first) & self.parts[1].check(second)

    def __repr__(self) -> str:
        pairs = zip(self.sizes, self.parts, strict=True)
        return ", ".join(f"{size} coordinates {part}" for size, part in pairs)


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
