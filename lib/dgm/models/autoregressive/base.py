"""What all autoregressive models have in common: the chain rule, and sampling along it."""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution

from ...checks import check_event, check_labels, event_shape, integer, readable
from ...heads import GreyLevels, Levels


class Autoregressive(nn.Module):
    r"""$\log p_\theta(x) = \sum_t \log p_\theta(x_{o_t} \mid x_{o_1}, \dots, x_{o_{t-1}})$.

    The chain rule holds for any vector in any order o of its coordinates. A subclass adds the
    conditionals, twice: `forward` computes all of them at once, for a given x, `incremental` one
    after the other, for an x that is being drawn.

    Coordinates take `levels` values. They are floats on the grid 0, 1/(levels - 1), ..., 1, as
    pixels are everywhere in the library, or integers 0, ..., levels - 1, as tokens are. What is
    drawn comes as floats; `indices` makes integers of them. An integer type says it all: with
    levels = 17 the integer 1 is a dark grey, the float 1.0 is white.

    A conditional is given by levels - 1 logits, that of level 0 being zero. For binary pixels this
    is the usual one, log p / (1 - p).

    Args:
        shape: event shape: (C, H, W) of an image, (T,) of a sequence or a vector.
        levels: how many values a coordinate can take.
        order: o, the coordinates of the flattened event in the order in which they are drawn; None
            for 0, 1, 2, ...: images row by row.
        classes: 0, or the number of classes of a conditional model p(x | y), which takes labels
            `y=`, (B,) integers of any type, in all of its methods.

    Attributes:
        order: (D,), a buffer, D the number of coordinates.

    Raises:
        ValueError: a bad argument; from the methods: x of another shape or off the grid, labels
            that are missing, out of range, or not asked for.
    """

    def __init__(
        self, shape: int | Sequence[int], levels: int, order: Sequence[int] | None, classes: int
    ):
        super().__init__()
        self.shape = event_shape(shape)
        self.levels = integer("levels", levels, at_least=2)
        self.classes = integer("classes", classes, at_least=0)
        self.register_buffer("order", torch.tensor(permutation(order, math.prod(self.shape))))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The logits of all conditionals: (B, *shape), on the grid -> (B, *shape, levels - 1)."""
        raise NotImplementedError

    def incremental(self, x: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """Yield the logits of one conditional after the other, in the model's order: (B, levels-1).

        What was computed for earlier ones is kept. x, (B, D), is flattened. A coordinate is read
        once the next logits are asked for: the caller writes it into x before that.
        """
        raise NotImplementedError

    def naive(self, x: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """As `incremental`, by a whole forward pass for each coordinate: the reference."""
        for j in self.order.tolist():
            yield self(x.unflatten(1, self.shape), y).flatten(1, -2)[:, j]

    def conditionals(self, x: Tensor, y: Tensor | None = None) -> Distribution:
        """p(x_j | the coordinates before x_j) for every j: batch shape (B, *shape).

        `Bernoulli` for two levels, else `heads.GreyLevels`, whose values lie on the grid.

        Equation: def-autoregressive, eq-chain-rule
        """
        x = self._checked(x, y)
        logits = self(x, y)  # (B, *shape, levels - 1)
        if self.levels == 2:
            return Bernoulli(logits=logits.squeeze(-1), validate_args=False)
        return GreyLevels(F.pad(logits, (1, 0)))

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x), or log p(x | y), in nats, in one parallel pass: (B, *shape) -> (B,).

        Equation: eq-normalised, eq-teacher-forcing
        """
        p = self.conditionals(x, y)
        return p.log_prob(self._on_grid(x)).flatten(1).sum(1)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        y: Tensor | None = None,
        observed: Tensor | None = None,
        incremental: bool = True,
    ) -> Tensor:
        """Ancestral sampling: each coordinate from its conditional, in order. (n, *shape).

        Args:
            n: number of samples.
            y: labels (n,), for a model with classes.
            observed: events to be completed, (n, *shape), or one of them, `shape`: what is not
                observed is nan (or -1, in an integer tensor). It is drawn from its distribution
                given the rest, exactly; that is why what is observed must come first in the model's
                order. (Else it would have a say only in what comes after it.)
            incremental: False takes a whole forward pass per coordinate. With the same random state
                the samples are the same: the t-th draw uses the t-th column of the same noise.

        Equation: def-ancestral, eq-completion

        >>> from dgm.models import NADE
        >>> model, image = NADE((1, 4, 4)), torch.full((1, 4, 4), torch.nan)
        >>> image[:, :2] = 1.0
        >>> model.sample(5, observed=image)[:, :, :2].unique()
        tensor([1.])
        """
        n = integer("n", n)
        noise = torch.rand(n, len(self.order), dtype=self._dtype, device=self.order.device)
        x = torch.zeros_like(noise)  # (n, D), filled in order
        self._checked(x.unflatten(1, self.shape), y)
        seen, value = self._read(observed, n)
        steps = (self.incremental if incremental else self.naive)(x, y)
        for t, (j, logits) in enumerate(zip(self.order.tolist(), steps, strict=False)):
            drawn = inverse_cdf(logits, noise[:, t]) / (self.levels - 1)
            x[:, j] = drawn if observed is None else torch.where(seen[:, j], value[:, j], drawn)
        return x.unflatten(1, self.shape)

    def indices(self, x: Tensor) -> Tensor:
        """Grid values as integers 0, ..., levels - 1, of any shape; integers stay what they are."""
        return (x * (self.levels - 1)).round().long() if x.is_floating_point() else x.long()

    @property
    def support(self) -> Levels:
        """The values a coordinate can take."""
        return Levels(self.levels)

    # ------------------------------------------------------------ for the subclasses

    def indicators(self, x: Tensor) -> Tensor:
        """Grid values as indicators of the levels 1, 2, ...: (...) -> (..., levels - 1).

        For two levels this is x itself, and logits can be differentiated with respect to x.
        """
        if self.levels == 2:
            return x.unsqueeze(-1)
        above_zero = torch.arange(1, self.levels, device=x.device)
        return (self.indices(x).unsqueeze(-1) == above_zero).to(x.dtype)

    def in_order(self, x: Tensor) -> Tensor:
        """Events as sequences in the model's order: (B, *shape) -> (B, D)."""
        return x.flatten(1)[:, self.order]

    def as_event(self, logits: Tensor) -> Tensor:
        """Logits in the model's order back to their places: (B, D, m) -> (B, *shape, m)."""
        return logits[:, self.order.argsort()].unflatten(1, self.shape)

    # ------------------------------------------------------------ for this class

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    def _on_grid(self, x: Tensor) -> Tensor:
        """Grid values of the parameters' type, whether x holds grid values or integers."""
        return x.to(self._dtype) if x.is_floating_point() else x.to(self._dtype) / (self.levels - 1)

    def _checked(self, x: Tensor, y: Tensor | None) -> Tensor:
        """x as grid values, once it is known to be (B, *shape) of them, with labels that fit."""
        check_event(self, x)
        if x.dim() != len(self.shape) + 1:
            raise ValueError(
                f"x: got shape {tuple(x.shape)}, expected (B, {', '.join(map(str, self.shape))})"
            )
        check_labels(y, self.classes, x.shape[:1])
        if readable(x) and not self.support.check(x).all():
            raise ValueError(f"x: got values that are not on the grid, expected {self.support}")
        return self._on_grid(x)

    def _read(self, observed: Tensor | None, n: int) -> tuple[Tensor | None, Tensor | None]:
        """Which coordinates are observed, and grid values (0 where not): (n, D) each."""
        if observed is None:
            return None, None
        if observed.shape not in (self.shape, (1, *self.shape), (n, *self.shape)):
            raise ValueError(
                f"observed: got shape {tuple(observed.shape)}, expected {(n, *self.shape)} "
                f"or {self.shape}"
            )
        observed = observed.to(self.order.device).expand(n, *self.shape).flatten(1)  # (n, D)
        seen = ~observed.isnan() if observed.is_floating_point() else observed != -1
        observed = observed.masked_fill(~seen, 0)
        if not self.support.check(observed).all():
            missing = "nan" if observed.is_floating_point() else "-1"
            raise ValueError(f"observed: expected {self.support}, or {missing} elsewhere")
        ordered = seen[:, self.order]
        if (ordered[:, 1:] & ~ordered[:, :-1]).any():
            raise ValueError(
                "observed: got coordinates that come after others, expected what is observed to "
                "come first in the model's order; build the model with another `order`"
            )
        return seen, self._on_grid(observed)


def inverse_cdf(logits: Tensor, u: Tensor) -> Tensor:
    """Levels drawn with uniform noise u, (n,), from logits of the levels 1, 2, ...: (n,).

    The level is the number of cumulative probabilities that u exceeds, hence k with probability
    p_k; equal noise gives equal levels.

    Equation: eq-inverse-cdf

    >>> p = torch.tensor([0.5, 0.3, 0.2])
    >>> logits = (p / p[0]).log()[1:].expand(4, 2)
    >>> inverse_cdf(logits, torch.tensor([0.1, 0.49, 0.51, 0.81]))
    tensor([0, 0, 1, 2])
    """
    if logits.shape[-1] == 1:  # the same for two levels, in fewer operations
        return (u >= (-logits[:, 0]).sigmoid()).long()
    cumulative = F.pad(logits, (1, 0)).softmax(-1).cumsum(-1)[:, :-1]  # (n, levels - 1)
    return (u.unsqueeze(-1) >= cumulative).sum(-1)


def permutation(order: Sequence[int] | None, d: int) -> list[int]:
    """The order, 0, 1, ..., d - 1 if None, as Python's integers; ValueError if it is none."""
    if order is None:
        return list(range(d))
    order = torch.as_tensor(order, device="cpu")
    if order.is_floating_point() or sorted(order.flatten().tolist()) != list(range(d)):
        raise ValueError(f"order: got {order.tolist()}, expected each of 0, ..., {d - 1} once")
    return order.flatten().tolist()
