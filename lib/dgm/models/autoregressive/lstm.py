"""A recurrent network: what came before, summed up in a state."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ...checks import integer
from ...nets import ClassEmbedding
from .base import Autoregressive


class LSTM(Autoregressive):
    r"""$p(x_t \mid x_{<t})$ from a state $s_t = f(s_{t-1}, x_{t-1})$, the same f at every step.

    The first input is a learned vector, the begin-of-sequence token: the network is fed BOS, x_1,
    ..., x_{T-1} and predicts x_1, ..., x_T. Fed with x_t instead, it would see what it is to
    predict, and its numbers would not sum to one.

    Args:
        shape, levels, order, classes: as for every autoregressive model; images are read as
            sequences of pixels.
        hidden: units per layer.
        layers: number of LSTM layers.

    Equation: def-recurrent

    Source: Hochreiter and Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735, Long Short-Term
    Memory; as a generative model Graves (2013), arXiv:1308.0850, Generating Sequences With
    Recurrent Neural Networks.

    >>> model = LSTM((16,), levels=5)
    >>> x = model.sample(3)
    >>> x.shape, model.log_prob(x).shape, model.log_prob(model.indices(x)).shape
    (torch.Size([3, 16]), torch.Size([3]), torch.Size([3]))
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        levels: int = 2,
        order: Sequence[int] | None = None,
        hidden: int = 128,
        layers: int = 1,
        classes: int = 0,
    ):
        super().__init__(shape, levels, order, classes)
        hidden, layers = integer("hidden", hidden), integer("layers", layers)
        self.start = nn.Parameter(torch.randn(hidden))  # BOS
        self.embed = nn.Linear(self.levels - 1, hidden)
        self.label = ClassEmbedding(self.classes, hidden)
        self.recurrent = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.logits = nn.Linear(hidden, self.levels - 1)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        v = self.indicators(self.in_order(x))  # (B, D, levels - 1)
        start = self.start.expand(len(v), 1, -1)
        inputs = torch.cat([start, self.embed(v[:, :-1])], 1)  # (B, D, hidden), one step late
        h, _ = self.recurrent(inputs + self.label(y, len(x)).unsqueeze(1))
        return self.as_event(self.logits(h))

    def incremental(self, x: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """Keeps the state: O(1) per coordinate, however long the sequence."""
        label = self.label(y, len(x))
        inputs = self.start.expand(len(x), -1)  # (B, hidden)
        zeros = torch.zeros_like(inputs)
        layers = self.recurrent.all_weights
        states = [(zeros, zeros)] * len(layers)  # h and c of each layer, (B, hidden)
        for j in self.order.tolist():
            h = inputs + label
            for i, weights in enumerate(layers):
                states[i] = torch.lstm_cell(h, states[i], *weights)  # one step of `recurrent`
                h = states[i][0]
            yield self.logits(h)
            inputs = self.embed(self.indicators(x[:, j]))
