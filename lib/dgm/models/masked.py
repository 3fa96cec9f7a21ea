"""Masked diffusion: one network for every conditional, whatever is known."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from .. import nets
from ..checks import check_event, check_examples, event_shape, integer, sizes
from ..heads import GreyLevels, Levels
from ..heads.tokens import one_hot
from .autoregressive.base import permutation


class MaskedDiffusion(nn.Module):
    r"""$p_\theta(x_i \mid x_{\bar S})$ for every coordinate i and every set S of hidden ones: the
    reverse of a diffusion whose noise hides coordinates, at any time and in any order.

    Time does not enter, since it tells nothing beyond what is hidden. A draw starts with nothing
    known and reveals coordinates in `steps` groups; those of one group are drawn independently of
    each other. One at a time in random order it has the distribution $\frac1{D!} \sum_o p_o(x)$,
    $p_o(x) = \prod_j p_\theta(x_{o_j} \mid x_{o_1}, \dots, x_{o_{j-1}})$, of which
    `objectives.masked_bound` is a lower bound: the mean of $\log p_o(x)$ over all orders.

    Values lie on the grid 0, 1/(levels - 1), ..., 1, or are integers 0, ..., levels - 1, as in
    `models.autoregressive`.

    Args:
        network: of (indicators (B, *shape, levels)) -> logits (B, *shape, levels). An indicator is
            1 for the level of a known coordinate and 0 else: a hidden one has zeros only.
        shape: the event shape.
        levels: how many values a coordinate can take.

    Raises:
        ValueError: a bad argument; from the methods: x of another shape or type.

    Equation: eq-steps-cost, eq-adaptive-order

    Source: Austin et al. (2021), arXiv:2107.03006, Structured Denoising Diffusion Models in
    Discrete State-Spaces; Hoogeboom et al. (2022), arXiv:2110.02037, Autoregressive Diffusion
    Models; Shi et al. (2024), arXiv:2406.04329, for continuous time.

    >>> model = MaskedDiffusion.mlp((1, 8, 8))
    >>> model.sample(3, steps=4).shape
    torch.Size([3, 1, 8, 8])
    >>> top = torch.full((1, 8, 8), torch.nan)
    >>> top[:, :4] = 1.0
    >>> model.sample(3, steps=4, observed=top)[:, :, :4].unique()
    tensor([1.])
    """

    classes = 0

    def __init__(self, network: nn.Module, shape: int | Sequence[int], levels: int = 2):
        super().__init__()
        self.network, self.shape = network, event_shape(shape)
        self.levels = integer("levels", levels, at_least=2)

    @property
    def support(self) -> Levels:
        """The values a coordinate can take."""
        return Levels(self.levels)

    def forward(self, x: Tensor, known: Tensor) -> Tensor:
        """Logits of all coordinates: x, and what of it is known, (B, *shape) -> (..., levels)."""
        check_event(self, x)
        if known.shape != x.shape or known.dtype != torch.bool:
            raise ValueError(
                f"known: got {known.dtype} of shape {tuple(known.shape)}, expected torch.bool of "
                f"shape {tuple(x.shape)}"
            )
        k = self.indices(x.masked_fill(~known, 0))
        like = next(self.parameters())
        return self.network(one_hot(k, self.levels, like) * known[..., None])

    def conditionals(self, x: Tensor, known: Tensor) -> GreyLevels:
        """p(x_i | what is known) for every i, batch shape (B, *shape), over values on the grid.

        For an i that is known it says what the network makes of it, which is never used.
        """
        return GreyLevels(self(x, known))

    @torch.no_grad()
    def sample(
        self,
        n: int,
        steps: int | None = None,
        observed: Tensor | None = None,
        choose: str = "random",
    ) -> Tensor:
        r"""Reveal coordinates in groups as equal as can be: (n, *shape).

        Args:
            n: number of samples.
            steps: T, in how many groups; None for one coordinate at a time.
            observed: events to be completed, (n, *shape), or one of them, `shape`: what is not
                observed is nan (or -1, in an integer tensor). Any set may be, anywhere.
            choose: which coordinates come next: "random" ones, or those with the least "entropy"
                given what is known. Both look at known values alone. (To look at the value that
                was drawn, and keep it if it is likely, would not draw from the model.)
        """
        n, d = integer("n", n), math.prod(self.shape)
        steps = d if steps is None else integer("steps", steps)
        if choose not in ("random", "entropy"):
            raise ValueError(f"choose: got {choose!r}, expected 'random' or 'entropy'")
        x, known = self._start(n, observed)
        hidden = (~known).flatten(1).sum(1, keepdim=True)  # (n, 1), to be revealed in all
        for t in range(steps):
            many = hidden * (t + 1) // steps - hidden * t // steps
            p = self.conditionals(x, known)
            score = torch.rand_like(x) if choose == "random" else p.entropy()
            score = score.masked_fill(known, torch.inf).flatten(1)  # (n, D)
            now = (score.argsort(1).argsort(1) < many).unflatten(1, self.shape)
            x, known = torch.where(now, p.sample().to(x), x), known | now
        return x

    def in_order(self, order: Sequence[int] | Tensor) -> "InOrder":
        """One coordinate after the other in this order, as a model with a likelihood.

        Equation: eq-all-orders, eq-mixture-of-orders

        >>> MaskedDiffusion.mlp((2,)).in_order([1, 0]).log_prob(torch.ones(5, 2)).shape
        torch.Size([5])
        """
        return InOrder(self, order)

    def indices(self, x: Tensor) -> Tensor:
        """Grid values as integers 0, ..., levels - 1, of any shape; integers stay what they are."""
        return (x * (self.levels - 1)).round().long() if x.is_floating_point() else x.long()

    def _start(self, n: int, observed: Tensor | None) -> tuple[Tensor, Tensor]:
        """What is observed, as grid values (0 where not), and where it is: (n, *shape) each."""
        like = next(self.parameters())
        if observed is None:
            x = torch.zeros(n, *self.shape, dtype=like.dtype, device=like.device)
            return x, torch.zeros_like(x, dtype=torch.bool)
        if observed.shape not in (self.shape, (n, *self.shape)):
            raise ValueError(
                f"observed: got shape {tuple(observed.shape)}, expected {(n, *self.shape)} "
                f"or {self.shape}"
            )
        observed = observed.to(like.device).expand(n, *self.shape)
        known = ~observed.isnan() if observed.is_floating_point() else observed != -1
        observed = observed.masked_fill(~known, 0)
        if not self.support.check(observed).all():
            missing = "nan" if observed.is_floating_point() else "-1"
            raise ValueError(f"observed: expected {self.support}, or {missing} elsewhere")
        return self.indices(observed).to(like.dtype) / (self.levels - 1), known

    @classmethod
    def mlp(
        cls,
        shape: int | Sequence[int],
        *,
        levels: int = 2,
        hidden: int | Sequence[int] = (300, 300),
    ) -> Self:
        """A perceptron, for events of any shape."""
        shape, levels = event_shape(shape), integer("levels", levels, at_least=2)
        full = (*shape, levels)
        features = nets.mlp(full, *sizes("hidden", hidden))
        logits = nets.to_event(features.out_features, full)
        return cls(nn.Sequential(features, logits), shape, levels)

    @classmethod
    def conv(
        cls, shape: int | Sequence[int], *, levels: int = 2, width: int = 64, blocks: int = 3
    ) -> Self:
        """Residual convolutions, `Convolved`: of images (C, H, W), or of sequences (T,)."""
        return cls(Convolved(shape, levels, width, blocks), shape, levels)


class InOrder(nn.Module):
    r"""A masked diffusion model in one order o: $p_o(x) = \prod_j p_\theta(x_{o_j} \mid x_{o_1},
    \dots, x_{o_{j-1}})$, a `protocols.Tractable`, which shares the model's parameters.

    Args:
        model: a `MaskedDiffusion`.
        order: each of 0, ..., D - 1 once, coordinates of the flattened event.

    >>> model = MaskedDiffusion.mlp((3,)).in_order([2, 0, 1])
    >>> model.log_prob(torch.ones(5, 3)).shape, model.sample(2).shape
    (torch.Size([5]), torch.Size([2, 3]))
    """

    classes = 0

    def __init__(self, model: MaskedDiffusion, order: Sequence[int] | Tensor):
        super().__init__()
        self.model, self.shape = model, model.shape
        self.levels = model.levels
        self.order = permutation(order, math.prod(model.shape))

    @property
    def support(self) -> Levels:
        return self.model.support

    def log_prob(self, x: Tensor) -> Tensor:
        """log p_o(x) in nats, by D passes: (B, *shape) -> (B,)."""
        check_examples(self, x)
        known = torch.zeros_like(x, dtype=torch.bool)
        total, k = 0.0, self.model.indices(x).flatten(1)  # (B, D)
        for j in self.order:
            logits = self.model(x, known).flatten(1, -2)[:, j]  # (B, levels)
            total = total + logits.log_softmax(-1).gather(1, k[:, j, None])[:, 0]
            known = known.clone()
            known.flatten(1)[:, j] = True
        return total

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """(n, *shape)."""
        x, known = self.model._start(integer("n", n), None)
        for j in self.order:
            drawn = self.model.conditionals(x, known).sample().to(x)
            x.flatten(1)[:, j] = drawn.flatten(1)[:, j]
            known.flatten(1)[:, j] = True
        return x


class Convolved(nn.Module):
    """Residual convolutions over a sequence (T,) or an image (C, H, W): the size stays.

    A learned vector for each place is added first, so that the network knows where it is. A block
    sees two neighbours to each side.

    Shapes: indicators (B, *shape, levels) -> logits (B, *shape, levels).

    Args:
        shape, levels: of the events.
        width: channels.
        blocks: how many convolutions are added up, between the first layer and the last.

    >>> Convolved((40,), levels=34, width=8)(torch.zeros(5, 40, 34)).shape
    torch.Size([5, 40, 34])
    """

    def __init__(self, shape: int | Sequence[int], levels: int, width: int, blocks: int = 3):
        super().__init__()
        self.shape = event_shape(shape)
        if len(self.shape) not in (1, 3):
            raise ValueError(f"shape: got {self.shape}, expected (T,) or (C, H, W)")
        levels, width = integer("levels", levels, at_least=2), integer("width", width)
        layer = nn.Conv1d if len(self.shape) == 1 else nn.Conv2d
        *channels, self.levels = *self.shape[:-2], levels
        both = math.prod(channels) * levels  # of a place
        self.first, self.last = layer(both, width, 1), layer(width, both, 1)
        places = self.shape if len(self.shape) == 1 else self.shape[1:]
        self.places = nn.Parameter(0.1 * torch.randn(width, *places))
        self.blocks = nn.ModuleList(
            layer(width, width, 5, padding=2) for _ in range(integer("blocks", blocks))
        )

    def forward(self, v: Tensor) -> Tensor:
        places = self.places.shape[1:]
        v = v.movedim(-1, 1)  # (B, levels, *shape)
        h = self.first(v.reshape(len(v), -1, *places)) + self.places  # (B, width, *places)
        for block in self.blocks:
            h = h + nn.functional.gelu(block(h))
        return self.last(h).reshape(v.shape).movedim(1, -1)
