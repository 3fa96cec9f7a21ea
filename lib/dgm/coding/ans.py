"""Asymmetric numeral systems: a stack of symbols that is one integer."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from ..checks import check_finite, integer


def frequencies(p: Tensor, bits: int = 16) -> Tensor:
    r"""Probabilities as integers that add up to $M = 2^{bits}$, none of them zero.

    Each of L symbols gets $f = 1 + \lfloor p (M - L) \rfloor$, and the likeliest what is left over,
    so that no symbol costs more than

    $$-\log_2 \frac fM \le -\log_2 p + \log_2 \frac M{M - L}$$

    bits: for two symbols and 16 bits that is 0.00004 bits too many, for 256 it is 0.006.

    Args:
        p: (..., L), which add up to one along the last dimension.
        bits: of M.

    Returns:
        (..., L) integers on the CPU.

    Raises:
        ValueError: p are no probabilities, or more than M / 2 of them.

    Equation: eq-code-price

    >>> frequencies(torch.tensor([0.5, 0.5, 0.0]), bits=4)
    tensor([8, 7, 1])
    """
    total = 1 << integer("bits", bits)
    check_finite("p", p)
    p = p.detach().cpu().double()
    if p.dim() == 0 or (p < 0).any() or ((p.sum(-1) - 1).abs() > 1e-4).any():
        raise ValueError(
            f"p: got shape {tuple(p.shape)}, sums from {p.sum(-1).min():.4g} to "
            f"{p.sum(-1).max():.4g}, expected (..., L) probabilities that add up to 1"
        )
    symbols = p.shape[-1]
    if 2 * symbols > total:
        raise ValueError(f"bits: got {bits}, too few for {symbols} symbols")
    p = p / p.sum(-1, keepdim=True)
    f = 1 + (p * (total - symbols)).long()  # (..., L)
    likeliest = p.argmax(-1, keepdim=True)
    return f.scatter_add(-1, likeliest, total - f.sum(-1, keepdim=True))


def push(state: int, symbol: int, f: Sequence[int]) -> int:
    r"""Put a symbol on the stack:

    $$s' = \Big\lfloor \frac s{f_k} \Big\rfloor M + c_k + (s \bmod f_k), \qquad
      c_k = f_0 + \dots + f_{k-1}, \quad M = \sum_k f_k .$$

    Of the M numbers after each multiple of M, $f_k$ belong to the symbol k, and s' is the s-th of
    all that do. Hence $s' \approx s M / f_k$: the number grows by $\log_2 (M / f_k)$ bits.

    Args:
        state: s, an integer of at least 0.
        symbol: k.
        f: a frequency for each symbol, of any sum, for example a row of `frequencies`.

    Raises:
        ValueError: the state is negative, or the symbol has no frequency.

    Equation: eq-ans

    Source: Duda (2013), arXiv:1311.2540, Asymmetric numeral systems.

    >>> state = push(push(1000, 2, [4, 3, 1]), 0, [4, 3, 1])
    >>> state, pop(state, [4, 3, 1])
    (16011, (8007, 0))
    """
    if state < 0:
        raise ValueError(f"state: got {state}, expected an integer of at least 0")
    if not 0 <= symbol < len(f) or f[symbol] < 1:
        raise ValueError(f"symbol: got {symbol}, to which f gives no frequency: {list(f)[:9]}")
    times, rest = divmod(state, f[symbol])
    return times * sum(f) + sum(f[:symbol]) + rest


def pop(state: int, f: Sequence[int]) -> tuple[int, int]:
    """Take the last symbol from the stack: the inverse of `push`, by the same frequencies.

    Any integer can be popped. Of random bits, the symbol k comes with probability f_k / M: to take
    from a stack what was never put there is to draw.

    Returns:
        The state that is left, and the symbol.

    Raises:
        ValueError: the state is negative.

    Equation: eq-ans

    >>> pop(push(12345, 1, [4, 3, 1]), [4, 3, 1])
    (12345, 1)
    """
    if state < 0:
        raise ValueError(f"state: got {state}, expected an integer of at least 0")
    ends = list(accumulate(f))
    times, rest = divmod(state, ends[-1])
    symbol = bisect_right(ends, rest)
    return times * f[symbol] + rest - (ends[symbol] - f[symbol]), symbol


def push_all(state: int, symbols: Tensor, f: Tensor) -> int:
    """Put (N,) symbols on the stack, the last one first, by frequencies (N, L)."""
    for symbol, row in reversed(list(zip(symbols.tolist(), f.tolist(), strict=True))):
        state = push(state, symbol, row)
    return state


def pop_all(state: int, f: Tensor) -> tuple[int, Tensor]:
    """Take N symbols, (N,), in the order in which `push_all` was given them."""
    symbols = []
    for row in f.tolist():
        state, symbol = pop(state, row)
        symbols.append(symbol)
    return state, torch.tensor(symbols, dtype=torch.long)
