"""The fully visible sigmoid belief network: every conditional a logistic regression."""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...nets import ClassEmbedding
from .base import Autoregressive


class FVSBN(Autoregressive):
    r"""$\operatorname{logit} p(x_j = 1 \mid x_{<j}) = b_j + \sum_{i < j} W_{ji} x_i$.

    D logistic regressions, each on what comes before (with more levels: softmax regressions on
    indicators of the levels). Its likelihood is concave in the parameters.

    Args:
        shape, levels, order, classes: as for every autoregressive model.

    Attributes:
        weight: (D m, D m) with m = levels - 1; only what lies before counts. bias: (D m,).

    Source: Neal (1992), doi:10.1016/0004-3702(92)90065-6, Connectionist learning of belief
    networks; Frey (1998), Graphical Models for Machine Learning and Digital Communication.

    >>> model = FVSBN((1, 8, 8))
    >>> model.log_prob(torch.ones(5, 1, 8, 8)).shape, model.sample(3).shape
    (torch.Size([5]), torch.Size([3, 1, 8, 8]))
    """

    def __init__(
        self,
        shape: int | Sequence[int],
        levels: int = 2,
        order: Sequence[int] | None = None,
        classes: int = 0,
    ):
        super().__init__(shape, levels, order, classes)
        size = len(self.order) * (self.levels - 1)
        self.weight = nn.Parameter(torch.zeros(size, size))  # concave: any start will do
        self.bias = nn.Parameter(torch.zeros(size))
        self.label = ClassEmbedding(self.classes, size)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        place = self.order.argsort().repeat_interleave(self.levels - 1)  # (D m,), of an input
        before = place.unsqueeze(1) > place  # (D m, D m): does column i come before row j?
        v = self.indicators(x.flatten(1)).flatten(1)  # (B, D m)
        logits = F.linear(v, before * self.weight, self.bias) + self.label(y, len(x))
        return logits.unflatten(1, (*self.shape, self.levels - 1))

    def incremental(self, x: Tensor, y: Tensor | None = None) -> Iterator[Tensor]:
        """Each coordinate adds its column of W to the logits of all others: O(D) per coordinate."""
        m = self.levels - 1
        logits = (self.bias + self.label(y, len(x))).expand(len(x), -1)  # (B, D m)
        for j in self.order.tolist():
            its = slice(j * m, (j + 1) * m)
            yield logits[:, its]
            logits = logits + F.linear(self.indicators(x[:, j]), self.weight[:, its])
