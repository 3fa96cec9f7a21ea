"""MADE: an autoencoder whose weights are masked, so that its outputs are conditionals."""

import copy
import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import integer, readable, sizes
from ...nets import ClassEmbedding
from .base import Autoregressive, permutation


class MADE(Autoregressive):
    r"""The masked autoencoder for distribution estimation.

    Every unit has a degree. The t-th coordinate in the order, t = 1, ..., D, has degree t as an
    input and as an output; hidden units have degrees m from 1 to D - 1, as evenly as possible. A
    hidden unit of degree m is to see the first m coordinates:

        input t -> unit m          if m >= t
        unit m' -> unit m          if m >= m'
        unit m -> output t         if t > m.

    Every path from an input to an output then leads to a later coordinate.

    Args:
        shape, levels, order, classes: as for every autoregressive model. A label goes to the first
            hidden layer and to the outputs, of which the first sees no hidden unit.
        hidden: widths of the hidden layers (ReLU).

    Source: Germain, Gregor, Murray and Larochelle (2015), arXiv:1502.03509, MADE: Masked
    Autoencoder for Distribution Estimation, section 4; with degrees spread evenly instead of drawn.

    >>> model = MADE((1, 8, 8), hidden=(200, 200))
    >>> model.log_prob(torch.ones(5, 1, 8, 8)).shape, model.sample(3).shape
    (torch.Size([5]), torch.Size([3, 1, 8, 8]))
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        levels: int = 2,
        order: Sequence[int] | None = None,
        hidden: int | Sequence[int] = (500,),
        classes: int = 0,
    ):
        super().__init__(shape, levels, order, classes)
        hidden = sizes("hidden", hidden)
        if not hidden:
            raise ValueError("hidden: got no layer, expected at least one width")
        size = len(self.order) * (self.levels - 1)
        widths = [size, *hidden, size]
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        self.label_hidden = ClassEmbedding(self.classes, hidden[0])
        self.label_output = ClassEmbedding(self.classes, size)

    def masks(self) -> list[Tensor]:
        """For each layer, which of its weights count: bool, (out, in).

        Equation: def-made, eq-made-paths
        """
        place = 1 + self.order.argsort().repeat_interleave(self.levels - 1)  # degrees of x
        return masks([place, *(self.degrees(layer) for layer in self.layers[:-1])], place)

    def degrees(self, layer: nn.Linear) -> Tensor:
        """Those of a hidden layer's units, rising from 1 to D - 1: (width,)."""
        return spread(layer.out_features, self.order)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        first, *others = zip(self.layers, self.masks(), strict=True)
        v = self.indicators(x.flatten(1)).flatten(1)  # (B, D m) with m = levels - 1
        a = masked(*first, v) + self.label_hidden(y, len(x))
        for layer, mask in others:
            a = masked(layer, mask, a.relu())
        return (a + self.label_output(y, len(x))).unflatten(1, (*self.shape, self.levels - 1))

    def incremental(self, x: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """Each hidden unit once, when all that it may see is there: in all, the work of one pass.

        What is not there yet is zero, so that no mask is needed.
        """
        m, (first, *others, last) = self.levels - 1, self.layers
        biases = [first.bias + self.label_hidden(y, len(x)), *(layer.bias for layer in others)]
        last_bias = last.bias + self.label_output(y, len(x))  # (B, D m)
        steps = torch.arange(len(self.order) + 1, device=x.device)
        # the units of degree t are those from starts[t] to starts[t + 1]
        starts = [
            torch.searchsorted(self.degrees(layer), steps).tolist() for layer in (first, *others)
        ]
        units = [x.new_zeros(len(x), layer.out_features) for layer in (first, *others)]
        v = x.new_zeros(len(x), len(self.order), m)
        for t, j in enumerate(self.order.tolist()):  # t coordinates are known
            h = v.flatten(1)
            for layer, bias, start, h_next in zip(
                (first, *others), biases, starts, units, strict=True
            ):
                new = slice(start[t], start[t + 1])
                h_next[:, new] = (h @ layer.weight[new].T + bias[..., new]).relu()
                h = h_next
            its = slice(j * m, (j + 1) * m)
            yield h @ last.weight[its].T + last_bias[:, its]
            v[:, j] = self.indicators(x[:, j])

    def reordered(self, order: Sequence[int]) -> "MADE":
        """The same network under another order: a model that shares this one's parameters.

        It is a good model if the network was trained for that order too: see
        `dgm.objectives.order_agnostic`.
        """
        if not isinstance(order, Tensor) or readable(order):
            order = torch.tensor(permutation(order, len(self.order)), device=self.order.device)
        other = copy.copy(self)  # shallow: the parameters are the same ones
        other._buffers = {**self._buffers, "order": order.to(self.order.device)}
        return other

    def random_order(self) -> Tensor:
        """A permutation of the coordinates, (D,), on the model's device."""
        return torch.randperm(len(self.order), device="cpu").to(self.order.device)

    def ensemble(self, orders: int = 8) -> "OrderEnsemble":
        """This network under so many random orders, as one model."""
        return OrderEnsemble(self, orders)


def masks(degrees: Sequence[Tensor], outputs: Tensor) -> list[Tensor]:
    """For each layer, which of its weights count: bool, (out, in).

    Args:
        degrees: of the inputs, then of the units of each hidden layer: (width,).
        outputs: the degrees of the outputs, which see only what is less.
    """
    inner = [m.unsqueeze(1) >= before for before, m in pairwise(degrees)]
    return [*inner, outputs.unsqueeze(1) > degrees[-1]]


def spread(width: int, order: Tensor) -> Tensor:
    """Degrees of hidden units for D coordinates, as even as possible, rising from 1 to D - 1.

    >>> spread(4, order=torch.arange(3))
    tensor([1, 1, 2, 2])
    """
    return 1 + torch.arange(width, device=order.device) * (len(order) - 1) // width


def masked(layer: nn.Linear, mask: Tensor, h: Tensor) -> Tensor:
    """The layer without the weights that the mask leaves out: (B, in) -> (B, out)."""
    return F.linear(h, mask * layer.weight, layer.bias)


class OrderEnsemble(nn.Module):
    r"""One network under K orders, mixed: $p(x) = \frac1K \sum_k p_{o_k}(x)$.

    The mean of normalised models is one; by Jensen's inequality its score is at least the mean of
    theirs.

    Args:
        made: the network, which stays in use: training one trains the other.
        orders: K, the first of which is the network's own, the others drawn at random.

    Attributes:
        orders: (K, D), a buffer.

    Raises:
        ValueError: orders is not a positive integer.

    Equation: eq-ensemble

    Source: Germain et al. (2015), arXiv:1502.03509, section 4.2.

    >>> ensemble = MADE((1, 8, 8)).ensemble(orders=4)
    >>> ensemble.log_prob(torch.ones(5, 1, 8, 8)).shape, ensemble.sample(3).shape
    (torch.Size([5]), torch.Size([3, 1, 8, 8]))
    """

    def __init__(self, made: MADE, orders: int = 8):
        super().__init__()
        orders = integer("orders", orders)
        self.made, self.shape = made, made.shape
        self.classes = made.classes
        drawn = [made.random_order() for _ in range(orders - 1)]
        self.register_buffer("orders", torch.stack([made.order, *drawn]))

    @property
    def support(self):
        return self.made.support

    def members(self) -> list[MADE]:
        """One model per order; they share their parameters."""
        return [self.made.reordered(order) for order in self.orders]

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """log p(x) in nats, by K passes: (B, *shape) -> (B,)."""
        each = torch.stack([member.log_prob(x, y) for member in self.members()])  # (K, B)
        return each.logsumexp(0) - math.log(len(each))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """Draw an order for each sample, then the sample in that order: (n, *shape)."""
        n = integer("n", n)
        k = torch.randint(len(self.orders), (n,), device=self.orders.device)  # (n,)
        # n samples of every member, one kept: fewer would hardly be faster, the steps being as many
        each = torch.stack([member.sample(n, y) for member in self.members()])  # (K, n, *shape)
        return each[k, torch.arange(n, device=k.device)]
