r"""Langevin chains: steps along the score, with noise.

$$x' = x + \tfrac\eta2 \nabla \log p(x) + \sqrt\eta \, \xi, \qquad \xi \sim \mathcal N(0, I) .$$

The noise is of variance $\eta$ where the drift is $\frac\eta2$: with another ratio the chain
samples $p^{1/T}$ for another temperature T, and without noise it descends.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import check_finite, integer, positive, readable
from ..energies import log_density_and_score, score


@torch.no_grad()
def langevin(
    model, x: Tensor, steps: int = 1, y: Tensor | None = None, step: float = 0.01
) -> Tensor:
    r"""The unadjusted Langevin algorithm (ULA): $x' = x + \frac\eta2 \nabla \log p(x) +
    \sqrt\eta \, \xi$, so many times.

    Its stationary distribution is off by $O(\eta)$: for $\mathcal N(0, s^2)$ it is a Gaussian of
    variance $s^2 / (1 - \eta / 4 s^2)$, and from $\eta = 4 s^2$ on there is none.

    Shapes: x (B, *event) -> (B, *event).

    Args:
        model: an energy, or anything with a `log_prob`.
        x: where the chains stand.
        steps: how many.
        y: labels (B,), for a model with classes.
        step: the length $\eta$.

    Raises:
        ValueError: as `dgm.energies.score`; step is not positive; a chain has run off, because the
            step is too long for the slopes it meets, or has not begun, because x or its energy is
            not finite. (These are looked at on a CPU only: elsewhere looking would take time.)

    Equation: def-ula, eq-ula-variance

    Source: Roberts and Tweedie (1996), doi:10.2307/3318418, Exponential convergence of Langevin
    distributions and their discrete approximations.

    >>> from torch.distributions import Normal
    >>> x = langevin(Normal(0.0, 1.0), torch.zeros(10_000), steps=50, step=0.2)
    >>> bool((x.var() - 1 / (1 - 0.2 / 4)).abs() < 0.06)
    True
    """
    steps, step = integer("steps", steps), positive("step", step)
    start = x
    for _ in range(steps):
        x = x + step / 2 * score(model, x, y) + math.sqrt(step) * torch.randn_like(x)
        if readable(x) and not x.isfinite().all():
            _check_start(model, start, y)
            raise ValueError(
                f"step: got {step:g}, expected a shorter one: a chain ran off to values that are "
                "not finite"
            )
    return x


@torch.no_grad()
def mala(model, x: Tensor, steps: int = 1, y: Tensor | None = None, step: float = 0.01) -> Tensor:
    r"""The Metropolis-adjusted Langevin algorithm: a step of `langevin` is a proposal x', which is
    accepted with probability $\min(1, a)$,

    $$a = \frac{p(x') \, q(x \mid x')}{p(x) \, q(x' \mid x)}, \qquad
      q(x' \mid x) = \mathcal N(x'; x + \tfrac\eta2 \nabla \log p(x), \eta I) .$$

    It leaves p exactly as it is for every $\eta$. A step that is too long is refused, again and
    again, and then the chain does not move: `mala_step` tells how often.

    Shapes, arguments: as `langevin`.

    Raises:
        ValueError: as `langevin`, but for chains that run off: these moves are refused.

    Source: Roberts and Tweedie (1996), doi:10.2307/3318418.

    >>> from torch.distributions import Normal
    >>> x = mala(Normal(0.0, 1.0), torch.randn(10_000), steps=50, step=2.0)
    >>> bool((x.var() - 1).abs() < 0.06)
    True
    """
    steps, step = integer("steps", steps), positive("step", step)
    here = _started(model, x, y)
    for _ in range(steps):
        here, _ = _adjusted(model, here, y, step)
    return here.x


@torch.no_grad()
def mala_step(
    model, x: Tensor, y: Tensor | None = None, step: float = 0.01
) -> tuple[Tensor, Tensor]:
    """One step of `mala`, and which of the chains made it: (B, *event), booleans (B,).

    The share of moves that are accepted says whether a step is too long (close to none) or shorter
    than it need be (close to all). In many dimensions 0.57 is best.

    Source: Roberts and Rosenthal (1998), doi:10.1111/1467-9868.00123, Optimal scaling of discrete
    approximations to Langevin diffusions.

    >>> from torch.distributions import Normal
    >>> _, accepted = mala_step(Normal(0.0, 1.0), torch.randn(1000), step=0.1)
    >>> bool(accepted.float().mean() > 0.95)
    True
    """
    step = positive("step", step)
    here, accepted = _adjusted(model, _started(model, x, y), y, step)
    return here.x, accepted


class Place(NamedTuple):
    """Where chains stand, and what is known of the density there."""

    x: Tensor  # (B, *event)
    log_p: Tensor  # (B,), up to a constant
    score: Tensor  # (B, *event)


def mala_log_acceptance(here: Place, there: Place, step: float) -> Tensor:
    r"""$\log a$ of a move from x to x', which is accepted with probability $\min(1, a)$: (B,).

    $$\log a = \log \frac{p(x')}{p(x)} + \frac1{2 \eta} \big(
      \lVert x' - x - \tfrac\eta2 \nabla \log p(x) \rVert^2
      - \lVert x - x' - \tfrac\eta2 \nabla \log p(x') \rVert^2 \big) .$$

    Args:
        here, there: x and x', with the log-density and the score at both.
        step: $\eta$.

    Equation: eq-mala

    Source: Roberts and Tweedie (1996), doi:10.2307/3318418.

    >>> here, there = (Place(x, -x**2 / 2, -x) for x in (torch.zeros(1), torch.ones(1)))
    >>> mala_log_acceptance(here, there, step=0.8)  # from N(0, 1): -0.5 + 0.625 - 0.225
    tensor([-0.1000])
    """

    def log_q(to: Place, start: Place) -> Tensor:  # up to what is the same both ways
        miss = to.x - start.x - step / 2 * start.score  # (B, *event)
        return -miss.square().reshape(len(miss), -1).sum(1) / (2 * step)

    return there.log_p - here.log_p + log_q(here, there) - log_q(there, here)


def _at(model, x: Tensor, y: Tensor | None) -> Place:
    return Place(x, *log_density_and_score(model, x, y))


def _started(model, x: Tensor, y: Tensor | None) -> Place:
    """The first place, which has to be a possible one."""
    here = _at(model, x, y)
    if readable(x) and not (here.log_p.isfinite().all() and here.score.isfinite().all()):
        _check_start(model, x, y)
    return here


def _adjusted(model, here: Place, y: Tensor | None, step: float) -> tuple[Place, Tensor]:
    """A step of every chain, and who made it, (B,). What is not a number is refused."""
    noise = torch.randn_like(here.x)
    there = _at(model, here.x + step / 2 * here.score + math.sqrt(step) * noise, y)
    log_a = mala_log_acceptance(here, there, step)
    accepted = torch.rand_like(log_a).log() < log_a  # nan is not above anything
    return Place(*(choose(accepted, a, b) for a, b in zip(there, here, strict=True))), accepted


def choose(accepted: Tensor, there: Tensor, here: Tensor) -> Tensor:
    """The one or the other, chain by chain: (B,), (B, ...), (B, ...) -> (B, ...)."""
    return torch.where(accepted.reshape(-1, *[1] * (here.dim() - 1)), there, here)


def _check_start(model, x: Tensor, y: Tensor | None) -> None:
    """Raise ValueError if chains cannot start at x."""
    check_finite("x", x)
    place = _at(model, x, y)
    if not (place.log_p.isfinite().all() and place.score.isfinite().all()):
        raise ValueError(
            f"model: the energy of {type(model).__name__}, or its slope, is not finite at x, where "
            "the chains start; expected finite numbers"
        )
