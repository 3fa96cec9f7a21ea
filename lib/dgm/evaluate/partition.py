r"""Counting: log Z by annealed importance sampling, from below and from above.

A path leads from a density that is known, $p_0 = f_0 / Z_0$, to the one that is asked for,
$p_1 = f_1 / Z$, through $p_\beta \propto f_\beta$. Chains walk along it. Whatever the number of
stops, the weights are right on average, so that their logarithms are too small; walked backwards
from a draw of $p_1$, too large.
"""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ..checks import check_finite, integer


class AnnealingPath(Protocol):
    """Densities f_beta from one that is known, beta = 0, to one that is not, beta = 1.

    Chains lead: a state is (n, *state), and there may be several problems side by side, *batch, one
    for each example of a decoder for instance; then all that is said of states is (n, *batch).

    Attributes:
        log_z0: log of the sum or integral of f_0, (*batch).
    """

    log_z0: Tensor

    def start(self, n: int) -> Tensor:
        """n exact draws of p_0: (n, *state)."""
        ...

    def log_f(self, x: Tensor, beta: float) -> Tensor:
        """log f_beta(x): (n, *state) -> (n, *batch)."""
        ...

    def move(self, x: Tensor, beta: float) -> Tensor:
        """A step of a chain that has p_beta in detailed balance: (n, *state) -> (n, *state)."""
        ...


@torch.no_grad()
def ais(path: AnnealingPath, betas: Sequence[float] | Tensor, chains: int = 100) -> Tensor:
    r"""Annealed importance sampling: the log-weights of chains from $p_0$ to $p_1$,

    $$w = Z_0 \prod_{t=0}^{T-1} \frac{f_{t+1}(x_t)}{f_t(x_t)}, \qquad x_0 \sim p_0, \quad
      x_t \sim T_t(\cdot \mid x_{t-1}), \quad T_t \text{ leaving } p_{\beta_t} \text{ as it is} .$$

    $\mathbb E[w] = Z$ for every schedule, so that `logmeanexp` of them estimates $\log Z$ and
    $\mathbb E[\log w] \le \log Z$ is a bound, the closer the more stops.

    Args:
        path: for example `RBMPath` or `DecoderPath`.
        betas: $\beta_0 = 0 < \beta_1 < \dots < \beta_T = 1$, for example
            `torch.linspace(0, 1, 1001)`.
        chains: how many.

    Returns:
        (chains, *batch), $\log w$ in nats.

    Raises:
        ValueError: betas do not rise from 0 to 1, chains is no positive integer, or a weight is not
            a number.

    Equation: eq-ais, eq-annealing-gap

    Source: Neal (2001), doi:10.1023/A:1008923215028, Annealed importance sampling; Salakhutdinov
    and Murray (2008), doi:10.1145/1390156.1390266, On the quantitative analysis of deep belief
    networks.

    >>> from dgm.estimators import logmeanexp
    >>> from dgm.evaluate import RBMPath
    >>> from dgm.models import RBM
    >>> rbm = RBM(6, hidden=4)
    >>> log_w = ais(RBMPath(rbm), torch.linspace(0, 1, 20), chains=500)
    >>> bool((logmeanexp(log_w) - rbm.log_partition()).abs() < 0.01)
    True
    """
    stops, x = _stops(betas), path.start(integer("chains", chains))
    log_w = path.log_z0
    for before, after in zip(stops, stops[1:], strict=False):
        if before > 0:
            x = path.move(x, before)
        log_w = log_w + path.log_f(x, after) - path.log_f(x, before)  # (chains, *batch)
    check_finite("path", log_w)
    return log_w


@torch.no_grad()
def reverse_ais(path: AnnealingPath, betas: Sequence[float] | Tensor, x: Tensor) -> Tensor:
    r"""The same walk backwards, from exact draws x of $p_1$: $\log w$ with

    $$\mathbb E\Big[\frac1w\Big] = \frac1Z, \qquad \mathbb E[\log w] \ge \log Z .$$

    Exact draws are at hand where p can be enumerated or its chains mix, and of the posterior of
    data that were simulated from the model: the code from which an example was made is one.

    Args:
        path, betas: as in `ais`.
        x: (n, *state), draws of $p_1$.

    Returns:
        (n, *batch), $\log w$ in nats.

    Raises:
        ValueError: as `ais`.

    Equation: eq-bdmc

    Source: Grosse, Ghahramani and Adams (2015), arXiv:1511.02543, Sandwiching the marginal
    likelihood using bidirectional Monte Carlo.
    """
    stops, log_w = _stops(betas), path.log_z0
    for before, after in reversed([*zip(stops, stops[1:], strict=False)]):
        if after < 1:
            x = path.move(x, after)
        log_w = log_w + path.log_f(x, after) - path.log_f(x, before)  # (n, *batch)
    check_finite("path", log_w)
    return log_w


class Sandwich(NamedTuple):
    """log Z between two bounds that hold on average, each with its standard error: (*batch)."""

    low: Tensor
    high: Tensor
    low_error: Tensor
    high_error: Tensor


def sandwich(forward: Tensor, reverse: Tensor) -> Sandwich:
    r"""$\mathbb E[\log w]$ of chains that went forward, and of chains that went back: $\log Z$ lies
    between the two.

    Args:
        forward: (chains, *batch), from `ais`.
        reverse: (n, *batch), from `reverse_ais`.

    Raises:
        ValueError: there are fewer than two chains one way, or they are of different problems.

    Source: Grosse, Ghahramani and Adams (2015), arXiv:1511.02543.

    >>> sandwich(torch.tensor([1.0, 3.0]), torch.tensor([4.0, 4.0]))
    Sandwich(low=tensor(2.), high=tensor(4.), low_error=tensor(1.), high_error=tensor(0.))
    """
    for name, log_w in (("forward", forward), ("reverse", reverse)):
        if len(log_w) < 2:
            raise ValueError(f"{name}: got {len(log_w)} chains, expected 2 at least, for an error")
    if forward.shape[1:] != reverse.shape[1:]:
        raise ValueError(
            f"reverse: got shape {tuple(reverse.shape)}, expected (n, "
            f"{', '.join(map(str, forward.shape[1:]))}), as forward"
        )
    errors = (log_w.std(0) / len(log_w) ** 0.5 for log_w in (forward, reverse))
    return Sandwich(forward.mean(0), reverse.mean(0), *errors)


def _stops(betas: Sequence[float] | Tensor) -> list[float]:
    stops = [float(beta) for beta in betas]
    rising = all(a < b for a, b in zip(stops, stops[1:], strict=False))
    if len(stops) < 2 or stops[0] != 0 or stops[-1] != 1 or not rising:
        written = [round(b, 4) for b in stops[:3]]
        raise ValueError(f"betas: got {written} ..., expected numbers that rise from 0 to 1")
    return stops
