"""The evidence lower bound of a model with one latent number, by quadrature.

With a grid z_1 < ... < z_n of step h, all integrals are sums times h (exponentially accurate for
smooth functions that vanish at both ends):

    log p(x)           = log h sum_i p(x, z_i)
    ELBO               = h sum_i q(z_i) [log p(x, z_i) - log q(z_i)]
    KL(q || p(z | x))  = h sum_i q(z_i) [log q(z_i) - log p(x, z_i) + log p(x)]

figures.js computes the same three sums.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from ._encode import to_base64, to_pixels

WINDOW = 6.0  # nats below log p(x) that the bars show


@dataclass(frozen=True)
class Bound:
    """Three numbers in nats, and the two densities on the grid, (n,)."""

    elbo: float
    kl: float
    log_p: float
    q: Tensor
    posterior: Tensor


def distribution_1d(
    grid: Tensor,
    log_joint: Tensor,
    *,
    mean: Sequence[float] | None = None,
    sigma: Sequence[float] | None = None,
    start: Sequence[float] | None = None,
    caption: str = "",
):
    r"""Move the mean and the width of q(z) = N(mean, sigma^2); watch ELBO + KL = log p(x).

    The page draws q and the posterior p(z | x), computes the three numbers by quadrature on the
    grid, and shows the bound and its gap as bars that add up to the evidence. Nothing is fitted and
    nothing is sampled.

    Args:
        grid: (n,), evenly spaced values of z, wide enough to hold all of p(z | x) and of every q.
        log_joint: (n,), log p(x, z) in nats at the fixed x, as a function of z; -inf is allowed.
        mean: lowest and highest mean of q; by default the middle 40 % of the grid.
        sigma: lowest and highest standard deviation of q; by default so that five of the highest
            fit between the means and the ends of the grid.
        start: mean and sigma at the start; by default the middle of the sliders.
        caption: text below the figure.

    Returns:
        A widget; its `mean` and `log_sigma` can be read, set and observed, `numbers` read.

    Raises:
        ValueError: grid is not evenly spaced or not as long as log_joint, ranges are empty, q can
            leave the grid (less than four sigma to an end) or be narrower than its step.

    >>> from torch.distributions import Normal
    >>> z = torch.linspace(-10, 10, 401)
    >>> log_joint = Normal(0.0, 1.0).log_prob(z) + Normal(z, 1.0).log_prob(torch.tensor(1.0))
    >>> fig = distribution_1d(z, log_joint, start=(0.5, 0.5**0.5))  # the exact posterior
    >>> abs(round(fig.numbers["kl"], 4)), round(fig.numbers["log_p"], 4)
    (0.0, -1.5155)
    """
    from ._widgets import Distribution1d

    grid, log_joint = (v.detach().cpu().double() for v in (grid, log_joint))
    _check_grid(grid, log_joint)
    low, high = float(grid[0]), float(grid[-1])
    grid = torch.linspace(low, high, len(grid), dtype=torch.float64)  # as the page has it
    step = (high - low) / (len(grid) - 1)
    width = high - low
    mean = mean or (low + 0.3 * width, high - 0.3 * width)
    sigma = sigma or (max(0.005 * width, 1.5 * step), 0.06 * width)
    _check_ranges(low, high, step, mean, sigma)
    start = start or (sum(mean) / 2, math.sqrt(sigma[0] * sigma[1]))
    half = bound(grid[::2], log_joint[::2], *start)
    full = bound(grid, log_joint, *start)
    spec = {
        "low": low,
        "step": step,
        # -inf is no JSON, and float32 has 7 digits, enough for the page
        "log_joint": to_base64(log_joint.numpy().astype("<f4").tobytes()),
        "mean": [float(v) for v in mean],
        "log_sigma": [math.log(v) for v in sigma],
        "window": WINDOW,
        "details": [
            f"Integrals are sums over {len(grid)} values of z. With half as many, log p(x) changes "
            f"by {abs(full.log_p - half.log_p):.1e} nats."
        ],
    }
    return Distribution1d.within(
        100_000,
        spec,
        numbers=partial(bound, grid, log_joint),
        draw_still=partial(_still, grid),
        mean=float(start[0]),
        log_sigma=math.log(start[1]),
        caption=caption,
    )


def bound(grid: Tensor, log_joint: Tensor, mean: float, sigma: float) -> Bound:
    """ELBO, KL and log p(x) of q = N(mean, sigma^2), as in this module's docstring.

    >>> from torch.distributions import Normal
    >>> z = torch.linspace(-9, 9, 181).double()
    >>> b = bound(z, Normal(0.0, 1.0).log_prob(z), 1.0, 1.0)  # KL(N(1,1) || N(0,1)) = 1/2
    >>> round(b.kl, 6), round(b.elbo + b.kl - b.log_p, 6)
    (0.5, 0.0)
    """
    h = grid[1] - grid[0]
    mean, sigma = grid.new_tensor(mean), grid.new_tensor(sigma)  # in the grid's precision
    log_q = torch.distributions.Normal(mean, sigma).log_prob(grid)
    q = log_q.exp()
    log_p = log_joint.logsumexp(0) + h.log()
    log_posterior = log_joint - log_p
    used = q > 0  # 0 log 0 = 0
    elbo = h * (q * (log_joint - log_q))[used].sum()
    kl = h * (q * (log_q - log_posterior))[used].sum()
    return Bound(float(elbo), float(kl), float(log_p), q, log_posterior.exp())


def _check_grid(grid: Tensor, log_joint: Tensor) -> None:
    if grid.ndim != 1 or len(grid) < 5 or grid.shape != log_joint.shape:
        raise ValueError(
            f"grid, log_joint: got shapes {tuple(grid.shape)} and {tuple(log_joint.shape)}, "
            "expected (n,) and (n,) with n of at least 5"
        )
    steps = grid.diff()
    if not (steps > 0).all() or (steps - steps.mean()).abs().max() > 1e-3 * steps.mean():
        raise ValueError("grid: expected rising, evenly spaced values")
    if log_joint.isnan().any() or not (log_joint < math.inf).all() or log_joint.max() == -math.inf:
        raise ValueError("log_joint: got nan, +inf or nothing but -inf, expected log p(x, z)")


def _check_ranges(low: float, high: float, step: float, mean, sigma) -> None:
    for name, (least, most) in (("mean", mean), ("sigma", sigma)):
        if not least < most:
            raise ValueError(f"{name}: got ({least}, {most}), expected the lowest and the highest")
    room = min(mean[0] - low, high - mean[1])
    if room < 4 * sigma[1]:
        raise ValueError(
            f"grid: q with sigma {sigma[1]:.3g} would leave it; it must reach four sigma beyond "
            f"the outermost means {mean[0]:.3g} and {mean[1]:.3g}, and reaches {room:.3g}"
        )
    if sigma[0] < step:
        raise ValueError(f"sigma: got {sigma[0]:.3g}, expected at least the grid's step {step:.3g}")


def _still(grid: Tensor, b: Bound):
    """The picture for print, a Pillow image."""
    import matplotlib.pyplot as plt

    figure, (curves, bars) = plt.subplots(
        2, 1, figsize=(6.4, 4), height_ratios=(3, 1), layout="constrained"
    )
    curves.plot(grid, b.posterior, color="#0b5c9e", label="posterior p(z | x)")
    curves.plot(grid, b.q, "--", color="#a8480a", label="q(z)")
    curves.set(xlabel="z", ylabel="density")
    curves.legend()
    floor = min(b.elbo, b.log_p - WINDOW)
    bars.barh(["ELBO + KL"], b.elbo - floor, left=floor, color="#0b5c9e")
    bars.barh(["ELBO + KL"], b.kl, left=b.elbo, color="white", edgecolor="#a8480a", hatch="///")
    bars.axvline(b.log_p, color="black")
    bars.set_xlabel(f"nats; ELBO {b.elbo:.2f} + KL {b.kl:.2f} = log p(x) {b.log_p:.2f}")
    return to_pixels(figure, dpi=110)
