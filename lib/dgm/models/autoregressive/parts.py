"""Small parts: labels, levels, draws, and checks of orders and labels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints

from ...checks import check_integers
from ...heads import OnGrid


class Label(nn.Module):
    """A learned vector per class, to be added to a layer: labels (B,) -> (B, width).

    Without classes it is a vector of zeros, (1, width), that takes no label.
    """

    def __init__(self, classes: int, width: int):
        super().__init__()
        self.classes = classes
        if classes:
            self.vectors = nn.Embedding(classes, width)
        else:
            self.register_buffer("zero", torch.zeros(1, width), persistent=False)

    def forward(self, y: Tensor | None) -> Tensor:
        check_labels(y, self.classes)
        return self.vectors(y.long()) if self.classes else self.zero


class Levels(constraints.Constraint):
    """The floats 0, 1/(levels - 1), ..., 1 and the integers 0, ..., levels - 1.

    >>> Levels(3).check(torch.tensor([0.5, 0.6])), Levels(3).check(torch.tensor([2, 3]))
    (tensor([ True, False]), tensor([ True, False]))
    """

    is_discrete = True

    def __init__(self, levels: int):
        super().__init__()
        self.levels = levels

    def check(self, x: Tensor) -> Tensor:
        if x.is_floating_point():
            return OnGrid(self.levels - 1).check(x)
        return (x >= 0) & (x.long() < self.levels)  # uint8 cannot be compared with 256

    def __repr__(self) -> str:
        top = self.levels - 1
        grid = "0 and 1" if top == 1 else f"0, 1/{top}, ..., 1 (or integers 0, ..., {top})"
        return f"{self.levels} levels: {grid}"


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


def check_labels(y: Tensor | None, classes: int) -> None:
    """Raise ValueError unless there are integer labels if, and only if, the model has classes."""
    if y is not None:
        check_integers(y)
    if (y is None) != (classes == 0):
        got = "none" if y is None else f"labels of shape {tuple(y.shape)}"
        expected = f"labels 0 to {classes - 1}" if classes else "none: it was built without classes"
        raise ValueError(f"y: got {got}, expected {expected}")
