"""The decoder-only transformer: what came before, looked up by attention."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import integer
from ...nets import ClassEmbedding
from .base import Autoregressive


class Transformer(Autoregressive):
    r"""$p(x_t \mid x_{<t})$ by attention: a weighted mean over all that came before.

    As in an LSTM, the inputs are BOS, x_1, ..., x_{T-1}. A layer adds to each position first
    `softmax(Q K^T / sqrt(d)) V`, with weight zero for later positions, then a perceptron of what it
    has found. Positions are told apart by a learned vector each, which is added to the input.

    Args:
        shape, levels, order, classes: as for every autoregressive model; images are read as
            sequences of pixels.
        width: size of the vector at a position.
        layers: number of layers.
        heads: attentions per layer, each on width / heads dimensions.

    Raises:
        ValueError: heads does not divide width.

    Equation: def-attention

    Source: Vaswani et al. (2017), arXiv:1706.03762, Attention Is All You Need; decoder alone with
    learned positions and normalisation before each part as in Radford et al. (2019), Language
    Models are Unsupervised Multitask Learners (GPT-2).

    >>> model = Transformer((16,), levels=5)
    >>> x = model.sample(3)
    >>> x.shape, model.log_prob(x).shape, model.log_prob(model.indices(x)).shape
    (torch.Size([3, 16]), torch.Size([3]), torch.Size([3]))
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        levels: int = 2,
        order: Sequence[int] | None = None,
        width: int = 64,
        layers: int = 4,
        heads: int = 4,
        classes: int = 0,
    ):
        super().__init__(shape, levels, order, classes)
        width, layers = integer("width", width), integer("layers", layers)
        heads = integer("heads", heads)
        if width % heads:
            raise ValueError(f"heads: got {heads}, expected a divisor of width {width}")
        self.start = nn.Parameter(torch.randn(width))  # BOS
        self.embed = nn.Linear(self.levels - 1, width)
        self.positions = nn.Parameter(0.1 * torch.randn(len(self.order), width))
        self.label = ClassEmbedding(self.classes, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.logits = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, self.levels - 1))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        v = self.indicators(self.in_order(x))  # (B, D, levels - 1)
        start = self.start.expand(len(v), 1, -1)
        inputs = torch.cat([start, self.embed(v[:, :-1])], 1)  # (B, D, width), one step late
        h = inputs + self.positions + self.label(y, len(x)).unsqueeze(1)
        for block in self.blocks:
            h = block(h)
        return self.as_event(self.logits(h))

    def incremental(self, x: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """Keeps the keys and values of all positions: O(D) per coordinate instead of O(D^2)."""
        label, inputs = self.label(y, len(x)), self.start.expand(len(x), -1)  # (B, width)
        caches = [block.cache(len(x), len(self.order)) for block in self.blocks]
        for t, j in enumerate(self.order.tolist()):
            h = (inputs + self.positions[t] + label).unsqueeze(1)  # (B, 1, width)
            for block, cache in zip(self.blocks, caches, strict=True):
                h = block.step(h, cache, t)
            yield self.logits(h[:, 0])
            inputs = self.embed(self.indicators(x[:, j]))


class Block(nn.Module):
    """One layer: attention, then a perceptron, each on normalised input and added to it.

    Shapes: (B, T, width) -> (B, T, width).
    """

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.perceptron = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, h: Tensor) -> Tensor:
        query, key, value = self.project(h)  # (B, heads, T, d) each
        return self.add(h, F.scaled_dot_product_attention(query, key, value, is_causal=True))

    def step(self, h: Tensor, cache: Tensor, t: int) -> Tensor:
        """The layer at position t alone, (B, 1, width); `cache` has what came before."""
        qkv = self.project(h)  # (3, B, heads, 1, d)
        cache[:, :, :, t : t + 1] = qkv[1:]
        key, value = cache[:, :, :, : t + 1]
        return self.add(h, F.scaled_dot_product_attention(qkv[0], key, value))

    def cache(self, n: int, length: int) -> Tensor:
        """Room for the keys and values of n sequences: (2, n, heads, length, d)."""
        d = self.mix.in_features // self.heads
        return self.mix.weight.new_zeros(2, n, self.heads, length, d)

    def project(self, h: Tensor) -> Tensor:
        """Queries, keys and values: (B, T, width) -> (3, B, heads, T, d)."""
        qkv = self.query_key_value(self.norm(h))  # (B, T, 3 width)
        return qkv.view(*h.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)

    def add(self, h: Tensor, found: Tensor) -> Tensor:
        """What attention found, (B, heads, T, d), added to h, then what is made of that."""
        h = h + self.mix(found.transpose(1, 2).flatten(2))
        return h + self.perceptron(h)
