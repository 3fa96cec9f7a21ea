r"""Gaussian paths from data to noise, $x_t = \alpha_t x_0 + \sigma_t \epsilon$.

Time t runs from 0, the data, to 1, the noise. A path is two functions of it, and their slopes:

    cosine()       alpha = cos(pi t / 2), sigma = sin(pi t / 2)
    linear()       alpha = 1 - t,         sigma = t
    vp()           alpha^2 + sigma^2 = 1, noise at a rate that rises: DDPM's, with many steps
    exploding()    alpha = 1,             sigma grows geometrically: scores of chapter 11

Times are numbers or tensors (B,), one per example. All paths pass through the same noisy images, up
to a factor, each at its own time: that of a signal-to-noise ratio $\mathrm{SNR} = \alpha^2 /
\sigma^2$. Its logarithm $\lambda$ falls from data to noise, and is the clock that networks read.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from .checks import integer, positive, readable

LOG_SNR = (-10.0, 10.0)  # from pure noise to clean data, where nobody says otherwise

Schedule = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Path:
    r"""$x_t = \alpha_t x_0 + \sigma_t \epsilon$, as functions of tensors of times.

    Attributes:
        name: for messages.
        alpha, sigma: what multiplies the data, what the noise.
        d_alpha, d_sigma: their slopes in t.
        time_of: the t at which the log signal-to-noise ratio is what it is given.
    """

    name: str
    alpha: Schedule
    sigma: Schedule
    d_alpha: Schedule
    d_sigma: Schedule
    time_of: Schedule

    def log_snr(self, t: Tensor) -> Tensor:
        r"""$\lambda_t = \log (\alpha_t^2 / \sigma_t^2)$, infinite where there is no noise.

        Equation: def-gaussian-path
        """
        return 2 * (self.alpha(t) / self.sigma(t)).log()

    def ends(self, log_snr: tuple[float, float], like: Tensor) -> Tensor:
        """The times of the largest and of the least log SNR, as far as the path has them: (2,).

        >>> linear().ends((-2.0, 2.0), like=torch.zeros(()))
        tensor([0.2689, 0.7311])
        """
        low, high = log_snr
        if not low < high:
            raise ValueError(f"log_snr: got {log_snr}, expected a smaller and a larger number")
        return self.time_of(like.new_tensor([high, low])).clamp(0, 1)


# ------------------------------------------------------------------ four paths


def cosine() -> Path:
    r"""$\alpha = \cos(\pi t / 2)$, $\sigma = \sin(\pi t / 2)$, $\lambda = -2 \log \tan(\pi t / 2)$.

    Source: Nichol and Dhariwal (2021), arXiv:2102.09672, Improved Denoising Diffusion Probabilistic
    Models; without the offset in Kingma et al. (2021), arXiv:2107.00630.

    >>> path = cosine()
    >>> path.log_snr(torch.tensor([0.25, 0.5, 0.75]))
    tensor([ 1.7627,  0.0000, -1.7627])
    """
    quarter = math.pi / 2  # of a turn
    return Path(
        "cosine",
        alpha=lambda t: torch.sin(quarter * (1 - t)),  # zero at t = 1 also in float32
        sigma=lambda t: torch.sin(quarter * t),
        d_alpha=lambda t: -quarter * torch.sin(quarter * t),
        d_sigma=lambda t: quarter * torch.sin(quarter * (1 - t)),
        time_of=lambda log_snr: torch.atan(torch.exp(-log_snr / 2)) / quarter,
    )


def linear() -> Path:
    r"""$\alpha = 1 - t$, $\sigma = t$: a straight line from each image to its noise.

    Source: Lipman et al. (2023), arXiv:2210.02747, Flow Matching for Generative Modeling; Liu et
    al. (2023), arXiv:2209.03003. Both count time from the noise.
    """
    return Path(
        "linear",
        alpha=lambda t: 1 - t,
        sigma=lambda t: t,
        d_alpha=lambda t: -torch.ones_like(t),
        d_sigma=torch.ones_like,
        time_of=lambda log_snr: torch.sigmoid(-log_snr / 2),
    )


def vp(beta_min: float = 0.1, beta_max: float = 20.0) -> Path:
    r"""$\alpha = e^{-B_t / 2}$, $\sigma^2 = 1 - \alpha^2$, with $B_t = \int_0^t \beta$ and $\beta$
    rising in a straight line: what DDPM's thousand steps of $\beta$ from $10^{-4}$ to 0.02 are.

    Source: Ho, Jain and Abbeel (2020), arXiv:2006.11239; Song et al. (2021), arXiv:2011.13456,
    Score-Based Generative Modeling through Stochastic Differential Equations, equation 32.
    """
    least, rise = positive("beta_min", beta_min), positive("beta_max", beta_max) - beta_min

    def total(t: Tensor) -> Tensor:  # B_t
        return least * t + rise * t.square() / 2

    def sigma(t: Tensor) -> Tensor:
        return (-torch.expm1(-total(t))).sqrt()

    def d_alpha(t: Tensor) -> Tensor:
        return -(least + rise * t) / 2 * torch.exp(-total(t) / 2)

    def time_of(log_snr: Tensor) -> Tensor:
        big = torch.nn.functional.softplus(-log_snr)  # B_t = log(1 + 1 / SNR)
        return 2 * big / (least + (least**2 + 2 * rise * big).sqrt())  # the root, stable at 0

    return Path(
        "vp",
        alpha=lambda t: torch.exp(-total(t) / 2),
        sigma=sigma,
        d_alpha=d_alpha,
        d_sigma=lambda t: (least + rise * t) / 2 * torch.exp(-total(t)) / sigma(t),
        time_of=time_of,
    )


def exploding(sigma_min: float = 0.01, sigma_max: float = 100.0) -> Path:
    r"""$\alpha = 1$, $\sigma_t = \sigma_{\min} (\sigma_{\max} / \sigma_{\min})^t$: the noise grows
    until nothing else is seen. At t = 0 it is $\sigma_{\min}$, not 0.

    Source: Song and Ermon (2019), arXiv:1907.05600; Song et al. (2021), arXiv:2011.13456.
    """
    low = positive("sigma_min", sigma_min)
    rate = math.log(positive("sigma_max", sigma_max) / low)

    def sigma(t: Tensor) -> Tensor:
        return low * torch.exp(rate * t)

    return Path(
        "exploding",
        alpha=torch.ones_like,
        sigma=sigma,
        d_alpha=torch.zeros_like,
        d_sigma=lambda t: rate * sigma(t),
        time_of=lambda log_snr: (-log_snr / 2 - math.log(low)) / rate,
    )


# ------------------------------------------------------------------ from any time to any other


def noised(path: Path, x: Tensor, t: float | Tensor, eps: Tensor) -> Tensor:
    r"""$x_t = \alpha_t x_0 + \sigma_t \epsilon$, a draw of $q(x_t \mid x_0)$ if eps is one of
    $\mathcal N(0, I)$: (B, *event) -> (B, *event).

    Equation: def-gaussian-path

    >>> noised(linear(), torch.ones(1, 2), 0.25, torch.zeros(1, 2))
    tensor([[0.7500, 0.7500]])
    """
    t = beside(t, x)
    return path.alpha(t) * x + path.sigma(t) * eps


def transition(path: Path, s: Tensor, t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Factor and variance of the step from s to a later t,

    $$q(x_t \mid x_s) = \mathcal N\Big(\frac{\alpha_t}{\alpha_s} x_s, \; \sigma_t^2 -
    \frac{\alpha_t^2}{\alpha_s^2} \sigma_s^2\Big) .$$

    Equation: eq-transition

    >>> transition(linear(), torch.tensor(0.25), torch.tensor(0.5))
    (tensor(0.6667), tensor(0.2222))
    """
    factor = path.alpha(t) / path.alpha(s)
    return factor, path.sigma(t).square() - (factor * path.sigma(s)).square()


def posterior(path: Path, x_t: Tensor, x_0: Tensor, s, t) -> Independent:
    r"""$q(x_s \mid x_t, x_0)$, a less noisy image between two known ones, $s < t$:

    $$\mathcal N\Big(\frac{\alpha_t}{\alpha_s} \frac{\sigma_s^2}{\sigma_t^2} x_t
    + \alpha_s \frac{\sigma_{t \mid s}^2}{\sigma_t^2} x_0, \;
    \frac{\sigma_s^2 \sigma_{t \mid s}^2}{\sigma_t^2} I\Big),$$

    with $\sigma_{t \mid s}^2$ the variance of `transition`. At s = 0 it is the point x_0.

    Equation: eq-step-back, eq-kl-snr

    Source: Ho, Jain and Abbeel (2020), arXiv:2006.11239, equations 6 and 7.

    >>> posterior(linear(), torch.ones(1, 2), torch.zeros(1, 2), s=0.25, t=0.5).mean
    tensor([[0.1667, 0.1667]])
    """
    s, t = beside(s, x_t), beside(t, x_t)
    factor, variance = transition(path, s, t)
    of_t = (path.sigma(s) / path.sigma(t)).square()  # sigma_s^2 / sigma_t^2
    of_0 = variance / path.sigma(t).square()
    mean = factor * of_t * x_t + path.alpha(s) * of_0 * x_0
    scale = (of_t * variance).sqrt().expand_as(mean)
    return Independent(Normal(mean, scale, validate_args=False), x_t.dim() - 1)


def drift(path: Path, t: Tensor) -> Tensor:
    r"""$f_t = \dot\alpha_t / \alpha_t$ of the forward equation $dx = f x \, dt + g \, dw$.

    Equation: eq-flow-ode
    """
    return path.d_alpha(t) / path.alpha(t)


def diffusion(path: Path, t: Tensor) -> Tensor:
    r"""$g_t = \sqrt{2 \sigma_t \dot\sigma_t - 2 f_t \sigma_t^2}$ of the forward equation.

    Equation: eq-flow-ode
    """
    sigma = path.sigma(t)
    return (2 * sigma * (path.d_sigma(t) - drift(path, t) * sigma)).sqrt()


def terminal_kl(path: Path, x: Tensor, t: float | Tensor = 1.0) -> Tensor:
    r"""What it costs, in nats, that the last image still holds a signal, its variance being of
    size $\alpha_t^2 + \sigma_t^2$ as for data of variance 1:

    $$\operatorname{KL}\big(q(x_t \mid x_0) \Vert \mathcal N(0, (\alpha_t^2 + \sigma_t^2) I)\big) =
    \tfrac12 \sum_i (a x_{0,i}^2 - a - \log (1 - a)), \qquad
    a = \frac{\alpha_t^2}{\alpha_t^2 + \sigma_t^2} .$$

    Shapes: x (B, *event) -> (B,).

    Equation: eq-diffusion-elbo

    >>> terminal_kl(cosine(), torch.ones(1, 64)).item()
    0.0
    """
    t = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    a = path.log_snr(t).sigmoid()
    return 0.5 * (a * x.square() - a - torch.log1p(-a)).flatten(1).sum(1)


# ------------------------------------------------------------------ grids of times


def grid(
    path: Path,
    steps: int,
    spacing: str = "t",
    log_snr: tuple[float, float] = LOG_SNR,
) -> list[float]:
    r"""Times for a sampler: `steps` + 1 of them, falling from noise to the data at 0.

    The first is the time of the least log SNR. The others follow evenly in t; or evenly in
    $\lambda$, or in $(\sigma / \alpha)^{1/7}$ ("edm"), up to the largest log SNR and then 0.

    Raises:
        ValueError: steps is no positive integer, or another spacing.

    Source: for "edm" Karras et al. (2022), arXiv:2206.00364, equation 5, with rho = 7.

    >>> [round(t, 3) for t in grid(linear(), 4)]
    [0.993, 0.745, 0.497, 0.248, 0.0]
    >>> [round(t, 3) for t in grid(linear(), 4, "log_snr")]
    [0.993, 0.841, 0.159, 0.007, 0.0]
    """
    steps = integer("steps", steps)
    both = path.ends(log_snr, torch.zeros((), dtype=torch.float64, device="cpu"))
    early, late = both.tolist()
    rest = [0.0] if early > 0 else []  # a path whose noise has a floor ends there
    share = torch.linspace(0, 1, steps + 1 - len(rest), dtype=torch.float64, device="cpu")
    high, low = path.log_snr(both).tolist()
    if spacing == "t":
        return [late * (1 - i / steps) for i in range(steps + 1)]
    if spacing == "log_snr":
        levels = low + share * (high - low)
    elif spacing == "edm":
        first, last = (math.exp(-level / 2 / 7) for level in (low, high))
        levels = -2 * 7 * (first + share * (last - first)).log()
    else:
        raise ValueError(f'spacing: got {spacing!r}, expected "t", "log_snr" or "edm"')
    return [*path.time_of(levels).clamp(0, 1).tolist(), *rest]


# ------------------------------------------------------------------ times and events


def beside(t: float | Tensor, x: Tensor) -> Tensor:
    """Times as what multiplies events: a number or (B,) -> (B, 1, ..., 1), of the type of x.

    Raises:
        ValueError: there is neither one nor one per example, or one is not in [0, 1].

    >>> beside(0.5, torch.zeros(2, 1, 8, 8)).shape
    torch.Size([2, 1, 1, 1])
    """
    t = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    if t.dim() and t.shape != x.shape[:1]:
        raise ValueError(
            f"t: got shape {tuple(t.shape)}, expected a number, or one per example, ({len(x)},)"
        )
    if readable(t) and not ((t >= 0) & (t <= 1)).all():
        raise ValueError(f"t: got {t.tolist()}, expected times from 0 (data) to 1 (noise)")
    return t.expand(len(x)).reshape(-1, *[1] * (x.dim() - 1))
