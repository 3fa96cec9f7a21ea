r"""Samplers from noise to data, along a path: `sampler(model, x, times, y=None) -> x`.

The model is any `dgm.protocols.Denoiser` with a path: a trained network, an exact density behind
noise, the ideal denoiser of a data set. x is noise, (B, *event), and times fall from that of the
noise to 0 (`dgm.paths.grid`). What comes back is standardised, as the data behind x_t are.
"""

from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from ..checks import check_examples
from ..paths import Path
from ..protocols import given

__all__ = ["ancestral", "ddim", "ddim_step", "euler", "heun"]


@torch.no_grad()
def euler(model, x: Tensor, times: Sequence[float], y: Tensor | None = None) -> Tensor:
    r"""Euler's method for the probability-flow equation $\dot x = u(x, t)$:

    $$x_s = x_t + (s - t) \, u(x_t, t) .$$

    First order: twice the steps, half the error.
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

    Source: Song, Meng and Ermon (2021), arXiv:2010.02502, Denoising Diffusion Implicit Models.
    """
    if not 0 <= eta <= 1:
        raise ValueError(f"eta: got {eta}, expected a number from 0 to 1")
    condition = given(model, y)
    for t, s in pairwise(falling(model, x, times)):
        x = ddim_step(model.path, x, model.denoise(x, t, **condition), s, t, eta)
    return x


def ddim_step(path: Path, x: Tensor, x0: Tensor, s: float, t: float, eta: float = 0.0) -> Tensor:
    r"""From time t to s < t, with the image $\hat x$ and the noise $\hat\epsilon$ that go with it:

    $$x_s = \alpha_s \hat x + \sqrt{\sigma_s^2 - \eta^2 \tilde\sigma^2} \, \hat\epsilon
    + \eta \tilde\sigma z, \qquad \tilde\sigma^2 = \frac{\sigma_s^2}{\sigma_t^2}
    \Big(\sigma_t^2 - \frac{\alpha_t^2}{\alpha_s^2} \sigma_s^2\Big), \quad z \sim \mathcal N(0, I) .$$

    With the true image it keeps $q(x_s \mid x_0)$, for every $\eta$.

    Shapes: x and x0 (B, *event) -> (B, *event).
    """
    t, s = (torch.as_tensor(time, dtype=x.dtype, device=x.device) for time in (t, s))
    alpha_t, sigma_t, alpha_s, sigma_s = path.alpha(t), path.sigma(t), path.alpha(s), path.sigma(s)
    eps = (x - alpha_t * x0) / sigma_t
    variance = sigma_s.square() * (1 - (alpha_t * sigma_s / (alpha_s * sigma_t)).square())
    kept = (sigma_s.square() - eta**2 * variance).sqrt()
    x = alpha_s * x0 + kept * eps
    return x + eta * variance.sqrt() * torch.randn_like(x) if eta else x


ancestral = partial(ddim, eta=1.0)


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
