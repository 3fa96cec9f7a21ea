"""The evidence lower bound of a model with one latent number, by quadrature.

With a grid z_1 < ... < z_n of step h, all integrals are sums times h (exponentially accurate for
smooth functions that vanish at both ends):

    log p(x)           = log h sum_i p(x, z_i)
    ELBO               = h sum_i q(z_i) [log p(x, z_i) - log q(z_i)]
    KL(q || p(z | x))  = h sum_i q(z_i) [log q(z_i) - log p(x, z_i) + log p(x)]

and, with the prior, whose share of log p(x, z) is log p(z),

    reconstruction     = h sum_i q(z_i) [log p(x, z_i) - log p(z_i)]
    KL(q || p(z))      = h sum_i q(z_i) [log q(z_i) - log p(z_i)]

figures.js computes the same sums.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from ._formats import to_base64, to_pixels

WINDOW = 6.0  # nats below log p(x) that the bars show


@dataclass(frozen=True)
class Bound:
    """Numbers in nats, and the densities q and p(z | x) on the grid, (n,)."""

    elbo: float
    kl: float
    log_p: float
    q: Tensor
    posterior: Tensor
    reconstruction: float | None = None  # this and the next need a prior
    kl_prior: float | None = None


def distribution_1d(
    grid: Tensor,
    log_joint: Tensor,
    log_prior: Tensor | None = None,
    *,
    mean: Sequence[float] | None = None,
    scale: Sequence[float] | None = None,
    start: Sequence[float] | None = None,
    caption: str = "",
):
    r"""Move the mean and the scale of q(z) = N(mean, scale^2); watch ELBO + KL = log p(x).

    The page draws q and the posterior p(z | x), computes the numbers by quadrature on the grid, and
    shows the bound and its gap as bars that add up to log p(x). With `log_prior` two more bars read
    the same bound as reconstruction minus KL(q || prior). Nothing is fitted and nothing is sampled.

    Args:
        grid: (n,), evenly spaced values of z, wide enough to hold all of p(z | x) and of every q.
        log_joint: (n,), log p(x, z) in nats at the fixed x, as a function of z; -inf is allowed.
        log_prior: (n,), log p(z) in nats; the rest of log_joint is log p(x | z).
        mean: lowest and highest mean of q; by default the middle 40 % of the grid.
        scale: lowest and highest standard deviation of q; by default so that five of the highest
            fit between the means and the ends of the grid.
        start: mean and scale at the start; by default the middle of the sliders.
        caption: text below the figure.

    Returns:
        A widget; its `mean` and `scale` can be read, set and observed, and `numbers` read: a
        dictionary with elbo, kl, log_p and, given a prior, reconstruction and kl_prior.

    Raises:
        ValueError: grid is not evenly spaced or not as long as log_joint or log_prior, log_prior is
            not finite or integrates to more than 1, ranges are empty, q can leave the grid (less
            than four scales to an end) or be narrower than its step.

    >>> from torch.distributions import Normal
    >>> z = torch.linspace(-10, 10, 401)
    >>> log_prior = Normal(0.0, 1.0).log_prob(z)
    >>> log_joint = log_prior + Normal(z, 1.0).log_prob(torch.tensor(1.0))
    >>> fig = distribution_1d(z, log_joint, log_prior, start=(0.5, 0.5**0.5))  # exact posterior
    >>> {name: round(value, 3) + 0.0 for name, value in fig.numbers.items()}
    {'elbo': -1.516, 'kl': 0.0, 'log_p': -1.516, 'reconstruction': -1.294, 'kl_prior': 0.222}
    """
    from ._widgets import Distribution1d

    grid, log_joint = (v.detach().cpu().double() for v in (grid, log_joint))
    _check_grid(grid, log_joint)
    if log_prior is not None:
        log_prior = log_prior.detach().cpu().double()
        _check_prior(grid, log_prior)
    low, high = float(grid[0]), float(grid[-1])
    # as the page has it
    grid = torch.linspace(low, high, len(grid), dtype=torch.float64, device="cpu")
    step = (high - low) / (len(grid) - 1)
    width = high - low
    mean = mean or (low + 0.3 * width, high - 0.3 * width)
    scale = scale or (max(0.005 * width, 1.5 * step), 0.06 * width)
    _check_ranges(low, high, step, mean, scale)
    start = start or (sum(mean) / 2, math.sqrt(scale[0] * scale[1]))
    half = bound(grid[::2], log_joint[::2], *start)
    full = bound(grid, log_joint, *start)
    # a reconstruction is a mean of log p(x | z), so the highest of these is the bars' end
    top = full.log_p if log_prior is None else max(full.log_p, float((log_joint - log_prior).max()))
    axis = (full.log_p - WINDOW, top)
    spec = {
        "low": low,
        "step": step,
        "log_joint": _float32(log_joint),
        "log_prior": None if log_prior is None else _float32(log_prior),
        "mean": [float(v) for v in mean],
        "scale": [float(v) for v in scale],
        "axis": axis,
        "details": [
            f"Integrals are sums over {len(grid)} values of z. With half as many, log p(x) changes "
            f"by {abs(full.log_p - half.log_p):.1e} nats."
        ],
    }
    return Distribution1d.within(
        100_000,
        spec,
        bound=partial(bound, grid, log_joint, log_prior=log_prior),
        draw_still=partial(_still, grid, log_prior, axis),
        mean=float(start[0]),
        scale=float(start[1]),
        caption=caption,
    )


def bound(
    grid: Tensor, log_joint: Tensor, mean: float, scale: float, log_prior: Tensor | None = None
) -> Bound:
    """ELBO, KL and log p(x) of q = N(mean, scale^2), as in this module's docstring.

    >>> from torch.distributions import Normal
    >>> z = torch.linspace(-9, 9, 181).double()
    >>> b = bound(z, Normal(0.0, 1.0).log_prob(z), 1.0, 1.0)  # KL(N(1,1) || N(0,1)) = 1/2
    >>> round(b.kl, 6), round(b.elbo + b.kl - b.log_p, 6)
    (0.5, 0.0)
    """
    h = grid[1] - grid[0]
    mean, scale = grid.new_tensor(mean), grid.new_tensor(scale)  # in the grid's precision
    log_q = torch.distributions.Normal(mean, scale).log_prob(grid)
    q = log_q.exp()
    log_p = log_joint.logsumexp(0) + h.log()
    log_posterior = log_joint - log_p
    used = q > 0  # 0 log 0 = 0

    def mean_of(values: Tensor) -> float:
        return float(h * (q * values)[used].sum())

    elbo, kl = mean_of(log_joint - log_q), mean_of(log_q - log_posterior)
    first = Bound(elbo, kl, float(log_p), q, log_posterior.exp())
    if log_prior is None:
        return first
    second = {"reconstruction": log_joint - log_prior, "kl_prior": log_q - log_prior}
    return replace(first, **{name: mean_of(values) for name, values in second.items()})


def _float32(values: Tensor) -> str:
    """As the page reads them: JSON has no -inf, and 7 digits are enough there."""
    return to_base64(values.numpy().astype("<f4").tobytes())


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


def _check_prior(grid: Tensor, log_prior: Tensor) -> None:
    if log_prior.shape != grid.shape or not log_prior.isfinite().all():
        raise ValueError(
            f"log_prior: got shape {tuple(log_prior.shape)}, expected {len(grid)} finite values"
        )
    mass = float(log_prior.exp().sum() * (grid[1] - grid[0]))
    if mass > 1.001:
        raise ValueError(f"log_prior: integrates to {mass:.4g}, expected a density of z, at most 1")


def _check_ranges(low: float, high: float, step: float, mean, scale) -> None:
    for name, (least, most) in (("mean", mean), ("scale", scale)):
        if not least < most:
            raise ValueError(f"{name}: got ({least}, {most}), expected the lowest and the highest")
    room = min(mean[0] - low, high - mean[1])
    if room < 4 * scale[1]:
        raise ValueError(
            f"grid: q with scale {scale[1]:.3g} would leave it; it must reach four scales beyond "
            f"the outermost means {mean[0]:.3g} and {mean[1]:.3g}, and reaches {room:.3g}"
        )
    if scale[0] < step:
        raise ValueError(f"scale: got {scale[0]:.3g}, expected at least the grid's step {step:.3g}")


def _still(grid: Tensor, log_prior: Tensor | None, axis: Sequence[float], b: Bound):
    """The picture for print, a Pillow image."""
    import matplotlib.pyplot as plt

    figure, (curves, bars) = plt.subplots(
        2, 1, figsize=(6.4, 4.4), height_ratios=(2.4, 1), layout="constrained"
    )
    curves.plot(grid, b.posterior, color="#0b5c9e", label="posterior p(z | x)")
    curves.plot(grid, b.q, "--", color="#a8480a", label="q(z)")
    if log_prior is not None:
        curves.plot(grid, log_prior.exp(), ":", color="#4d5b6b", label="prior p(z)")
    curves.set(xlabel="z", ylabel="density")
    curves.legend()
    solid = {"color": "#0b5c9e"}
    gap = {"color": "white", "edgecolor": "#a8480a", "hatch": "///"}
    spans = [("ELBO + KL(q ‖ posterior)", axis[0], b.elbo, solid)]
    spans += [("ELBO + KL(q ‖ posterior)", b.elbo, b.log_p, gap)]
    if log_prior is not None:
        spans += [("reconstruction", axis[0], b.reconstruction, solid)]
        spans += [("− KL(q ‖ prior)", b.elbo, b.reconstruction, gap)]
    for name, *ends, style in spans:
        start, stop = (min(max(v, axis[0]), axis[1]) for v in ends)
        bars.barh(name, stop - start, left=start, **style)
    bars.axvline(b.log_p, color="black")
    bars.invert_yaxis()
    bars.set(xlim=(axis[0], axis[1] + 0.3), xlabel="nats; the line is log p(x)")
    return to_pixels(figure, dpi=110)
