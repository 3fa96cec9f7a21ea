"""NADE: conditionals with one hidden layer each, which share their weights."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import integer
from ...nets import ClassEmbedding
from .base import Autoregressive


class NADE(Autoregressive):
    r"""The neural autoregressive distribution estimator.

    $$p(x_j = 1 \mid x_{<j}) = \sigma(b_j + V_j h_j), \qquad
    h_j = \sigma\Big(c + \sum_{i < j} W_i x_i\Big).$$

    The sum of one conditional is that of the one before plus one term, so all D of them take
    O(D H) operations, not O(D^2 H).

    Args:
        shape, levels, order, classes: as for every autoregressive model.
        hidden: H, the number of hidden units.

    Attributes:
        input_weight: (D, levels - 1, H), W. hidden_bias: (H,), c.
        output_weight: (D, levels - 1, H), V. bias: (D, levels - 1), b.

    Equation: def-nade

    Source: Larochelle and Murray (2011), The Neural Autoregressive Distribution Estimator.

    >>> model = NADE((1, 8, 8))
    >>> model.log_prob(torch.ones(5, 1, 8, 8)).shape, model.sample(3).shape
    (torch.Size([5]), torch.Size([3, 1, 8, 8]))
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        levels: int = 2,
        order: Sequence[int] | None = None,
        hidden: int = 500,
        classes: int = 0,
    ):
        super().__init__(shape, levels, order, classes)
        hidden = integer("hidden", hidden)
        size = (len(self.order), self.levels - 1, hidden)
        self.input_weight = nn.Parameter(torch.randn(size) / len(self.order) ** 0.5)
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.output_weight = nn.Parameter(torch.randn(size) / hidden**0.5)
        self.bias = nn.Parameter(torch.zeros(size[:2]))
        self.label = ClassEmbedding(self.classes, hidden)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        v = self.indicators(self.in_order(x))  # (B, D, m) with m = levels - 1
        terms = torch.einsum("bdm,dmh->bdh", v, self.input_weight[self.order])
        before = F.pad(terms[:, :-1], (0, 0, 1, 0)).cumsum(1)  # (B, D, H), 0 for the first
        h = (self.hidden_bias + self.label(y, len(x)).unsqueeze(1) + before).sigmoid()
        logits = torch.einsum("bdh,dmh->bdm", h, self.output_weight[self.order])
        return self.as_event(logits + self.bias[self.order])

    def incremental(self, x: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """The running sum a: O(H) per coordinate.

        Equation: eq-nade-running-sum
        """
        a = (self.hidden_bias + self.label(y, len(x))).expand(len(x), -1)  # (B, H)
        for j in self.order.tolist():
            yield F.linear(a.sigmoid(), self.output_weight[j], self.bias[j])
            a = a + self.indicators(x[:, j]) @ self.input_weight[j]
