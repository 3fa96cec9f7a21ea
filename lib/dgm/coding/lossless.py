"""Data as bits by an autoregressive model: coordinate by coordinate, each by its conditional."""

from collections.abc import Iterator
from copy import deepcopy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checks import check_data, check_labels, integer
from ..models.autoregressive.base import Autoregressive
from .ans import frequencies, pop_all, push_all


@torch.no_grad()
def encode(
    model: Autoregressive, x: Tensor, y: Tensor | None = None, state: int = 1, bits: int = 16
) -> int:
    r"""Put data on the stack, losslessly, in $-\log_2 p(x)$ bits.

    Coordinates are pushed in reverse, so that they are popped in the model's order, each by the
    conditional that those before it give. A coordinate costs at most $\log_2 \frac M{M - L}$ bits
    more than its $-\log_2 p$ (see `frequencies`). The stack has to begin with some number: while it
    is smaller than M, its length is not what it should be, by up to `bits` + 2 bits in all.

    Args:
        model: an autoregressive one.
        x: (N, *shape), on the model's grid.
        y: labels (N,), for a model with classes. They are not put on the stack.
        state: what was on the stack before.
        bits: of the frequencies.

    Returns:
        The stack. `decode` needs it, N and the labels.

    Raises:
        ValueError: the model has no conditionals one after the other, or x and y are no data of it.

    Source: Duda (2013), arXiv:1311.2540, for the coder.

    >>> from dgm.models import MADE
    >>> model, x = MADE((1, 8, 8)), torch.bernoulli(torch.full((20, 1, 8, 8), 0.5))
    >>> code = encode(model, x)
    >>> bits = -model.log_prob(x).sum().item() / torch.tensor(2.0).log().item()
    >>> abs(code.bit_length() - bits) < 20, torch.equal(decode(model, code, 20)[1], x)
    (True, True)
    """
    check_autoregressive(model)
    check_data(model, x, y)
    symbols = model.indices(x).flatten(1).cpu()  # (N, D)
    seen, tables = torch.zeros(symbols.shape, dtype=torch.double), []
    for j, f in conditional_frequencies(model, seen, y, bits):
        tables.append((j, f))
        seen[:, j] = symbols[:, j] / (model.levels - 1)
    for j, f in reversed(tables):
        state = push_all(state, symbols[:, j], f)
    return state


@torch.no_grad()
def decode(
    model: Autoregressive, state: int, n: int, y: Tensor | None = None, bits: int = 16
) -> tuple[int, Tensor]:
    """Take n examples from the stack: the inverse of `encode`.

    Arguments and errors as there. Of another number of examples, or by another model, come others.

    Returns:
        What is left of the stack, and (n, *shape) on the grid, where the model is.
    """
    check_autoregressive(model)
    check_labels(y, model.classes, (integer("n", n),))
    seen = torch.zeros(n, len(model.order), dtype=torch.double)
    for j, f in conditional_frequencies(model, seen, y, bits):
        state, symbols = pop_all(state, f)
        seen[:, j] = symbols / (model.levels - 1)
    return state, seen.unflatten(1, model.shape).to(next(model.parameters()))


def conditional_frequencies(
    model: Autoregressive, seen: Tensor, y: Tensor | None, bits: int
) -> Iterator[tuple[int, Tensor]]:
    """One coordinate after the other, and what it may be: j and (N, L).

    The caller writes the coordinate into `seen`, (N, D), before asking for the next: the encoder
    that knows it as well as the decoder, who thus compute the same.
    """
    exact = precise(model)
    y = None if y is None else y.cpu()
    for j, logits in zip(model.order.tolist(), exact.incremental(seen, y), strict=False):
        yield j, frequencies(F.pad(logits, (1, 0)).softmax(-1), bits)


def precise(model: nn.Module) -> nn.Module:
    """A copy on the CPU, in double precision, without dropout."""
    return deepcopy(model).cpu().double().eval()


def check_autoregressive(model) -> None:
    """Raise ValueError unless the model can say one conditional after the other."""
    if not isinstance(model, Autoregressive):
        raise ValueError(
            f"model: got {type(model).__name__}, expected one of dgm.models.autoregressive, which "
            "give a coordinate's distribution before it is known"
        )
