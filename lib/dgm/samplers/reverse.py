r"""Samplers from noise to data, along a path: `sampler(model, x, times, y=None) -> x`.

The model is any `dgm.protocols.Denoiser` with a path: a trained network, an exact density behind
noise, the ideal denoiser of a data set. x is noise, (B, *event), and times fall from that of the
noise to 0 (`dgm.paths.grid`). What comes back is standardised, as the data behind x_t are.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from ..checks import check_examples
from ..paths import Path, diffusion
from ..predictions import from_x0
from ..protocols import given


@torch.no_grad()
def euler(model, x: Tensor, times: Sequence[float], y: Tensor | None = None) -> Tensor:
    r"""Euler's method for the probability-flow equation $\dot x = u(x, t)$:

    $$x_s = x_t + (s - t) \, u(x_t, t) .$$

    First order: twice the steps, half the error.

    Equation: eq-orders, eq-first-step
    """
    condition = given(model, y)
    for t, s in pairwise(falling(model, x, times)):
        x = x + (s - t) * model.velocity(x, t, **condition)
    return x


@torch.no_grad()
def heun(model, x: Tensor, times: Sequence[float], y: Tensor | None = None) -> Tensor:
    r"""Heun's method for the same equation: the mean of the slopes at both ends of Euler's step,

    $$x_s = x_t + \tfrac{s - t}2 \big(u(x_t, t) + u(x_s', s)\big) .$$

    Second order, and two evaluations a step; one in a step to time 0, where there is no noise left
    and no slope is known.

    Equation: eq-orders

    Source: Karras et al. (2022), arXiv:2206.00364, algorithm 1.
    """
    condition = given(model, y)
    for t, s in pairwise(falling(model, x, times)):
        slope = model.velocity(x, t, **condition)
        there = x + (s - t) * slope
        if s > 0:
            slope = (slope + model.velocity(there, s, **condition)) / 2
        x = x + (s - t) * slope
    return x


@torch.no_grad()
def ddim(
    model, x: Tensor, times: Sequence[float], y: Tensor | None = None, eta: float = 0.0
) -> Tensor:
    r"""Denoise, and put less noise back: `ddim_step` from time to time.

    Args:
        eta: how much of the noise is new. 0: none, the samples are a function of x; 1: as much as
            $q(x_s \mid x_t, x_0)$ has, the ancestral sampler.

    Raises:
        ValueError: eta is not in [0, 1].

    Equation: eq-orders

    Source: Song, Meng and Ermon (2021), arXiv:2010.02502, Denoising Diffusion Implicit Models.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta: got {eta}, expected a number from 0 to 1")
    condition = given(model, y)
    for t, s in pairwise(falling(model, x, times)):
        x = ddim_step(model.path, x, model.denoise(x, t, **condition), s, t, eta)
    return x


def ddim_step(
    path: Path,
    x: Tensor,
    x0: Tensor,
    s: float,
    t: float,
    eta: float = 0.0,
    z: Tensor | None = None,
) -> Tensor:
    r"""From time t to s < t, with the image $\hat x$ and the noise $\hat\epsilon$ that go with it:

    $$x_s = \alpha_s \hat x + \sqrt{\sigma_s^2 - \eta^2 \tilde\sigma^2} \, \hat\epsilon
    + \eta \tilde\sigma z, \qquad \tilde\sigma^2 = \frac{\sigma_s^2}{\sigma_t^2}
    \Big(\sigma_t^2 - \frac{\alpha_t^2}{\alpha_s^2} \sigma_s^2\Big), \quad
    z \sim \mathcal N(0, I) .$$

    With the true image it keeps $q(x_s \mid x_0)$, for every $\eta$. z is drawn unless it is given.

    Shapes: x, x0 and z (B, *event) -> (B, *event).

    Equation: eq-ddim, eq-ddim-solves
    """
    t, s = (torch.as_tensor(time, dtype=x.dtype, device=x.device) for time in (t, s))
    alpha_t, sigma_t, alpha_s, sigma_s = path.alpha(t), path.sigma(t), path.alpha(s), path.sigma(s)
    eps = (x - alpha_t * x0) / sigma_t
    variance = sigma_s.square() * (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)).square())
    kept = (sigma_s.square() - eta**2 * variance).sqrt()
    x = alpha_s * x0 + kept * eps
    if eta:
        x = x + eta * variance.sqrt() * (torch.randn_like(x) if z is None else z)
    return x


ancestral = partial(ddim, eta=1.0)


@torch.no_grad()
def multistep(model, x: Tensor, times: Sequence[float], y: Tensor | None = None) -> Tensor:
    r"""DDIM with the image where it will be, halfway, and not where it was: the last two images
    are continued in a straight line in $\lambda$,

    $$\hat x' = \hat x_t + \frac{\lambda_s - \lambda_t}{2 (\lambda_t - \lambda_r)} (\hat x_t -
    \hat x_r), \qquad r > t > s .$$

    Second order at one evaluation a step. The first step and one to time 0 are DDIM's.

    Equation: eq-orders

    Source: Lu et al. (2022), arXiv:2211.01095, DPM-Solver++, algorithm 2 (2M).
    """
    condition, path = given(model, y), model.path
    before = None  # log SNR and image of the step before
    for t, s in pairwise(falling(model, x, times)):
        x0 = model.denoise(x, t, **condition)
        here, there = (path.log_snr(x.new_tensor(time)) for time in (t, s))
        ahead = x0
        if before is not None and there.isfinite():
            ahead = x0 + (there - here) / (here - before[0]) / 2 * (x0 - before[1])
        x, before = ddim_step(path, x, ahead, s, t), (here, x0)
    return x


@torch.no_grad()
def sde(
    model, x: Tensor, times: Sequence[float], y: Tensor | None = None, eta: float = 1.0
) -> Tensor:
    r"""The Euler-Maruyama method for the reverse stochastic equation, with any amount of noise,

    $$x_s = x_t + (s - t) \Big(u(x_t, t) - \tfrac{\eta^2}2 g_t^2 \nabla \log p_t(x_t)\Big)
    + \eta g_t \sqrt{t - s} \, z, \qquad z \sim \mathcal N(0, I) .$$

    All have the same $p_t$ with the exact score and small steps. $\eta = 0$ is `euler`.

    Raises:
        ValueError: eta is negative.

    Equation: eq-reverse-sde

    Source: Song et al. (2021), arXiv:2011.13456, equation 6; Anderson (1982),
    doi:10.1016/0304-4149(82)90051-5.
    """
    if not eta >= 0:
        raise ValueError(f"eta: got {eta}, expected 0 or more")
    condition, path = given(model, y), model.path
    for t, s in pairwise(falling(model, x, times)):
        x0, g = model.denoise(x, t, **condition), diffusion(path, x.new_tensor(t))
        slope = from_x0(x0, "velocity", x, path, t)
        slope = slope - (eta * g).square() / 2 * from_x0(x0, "score", x, path, t)
        x = x + (s - t) * slope + eta * g * math.sqrt(t - s) * torch.randn_like(x)
    return x


def trajectory(
    model, x: Tensor, times: Sequence[float], y: Tensor | None = None, sampler: Callable = euler
) -> Tensor:
    """Where a sampler is at each of the times, x first: (T, B, *event).

    Args:
        sampler: one that takes each step for itself: `euler`, `heun`, `ddim`, `sde`.

    Raises:
        ValueError: as the sampler.

    Equation: eq-gaussian-flow
    """
    times, places = falling(model, x, times), [x]
    for step in pairwise(times):
        places.append(sampler(model, places[-1], step, y))
    return torch.stack(places)


def falling(model, x: Tensor, times: Sequence[float]) -> list[float]:
    """The times as a list, once x is noise for the model and they fall within [0, 1].

    Raises:
        ValueError: they do not, or there are fewer than two.
    """
    check_examples(model, x)
    times = [float(t) for t in times]
    if len(times) < 2 or not all(1 >= t > s >= 0 for t, s in pairwise(times)):
        raise ValueError(f"times: got {times}, expected two or more that fall, from 1 or less to 0")
    return times
