r"""Denoising: what trains a diffusion model, and the bound that judges it.

Times are drawn by a function of (n, like) -> (u, weight): shares u in [0, 1) of the way from data
to noise, one per example, and what makes up for drawing some more often than others. All have the
same mean, and differ in their variance:

    iid            each for itself
    stratified     one in each n-th of the way: the default
    importance     more where the loss is larger or varies more, by weights of your own
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import check_examples, integer, readable
from ..paths import LOG_SNR, noised, terminal_kl
from ..predictions import loss_weight
from ..protocols import given

Times = Callable[[int, Tensor], tuple[Tensor, Tensor]]


def iid(n: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Independent uniform shares: (n,), and weights of 1."""
    return torch.rand(n, dtype=like.dtype, device=like.device), like.new_ones(n)


def stratified(n: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """One uniform share in each n-th of the way: (n,), rising, and weights of 1.

    Examples come in no order, so that the order of the shares says nothing.

    >>> u, weight = stratified(4, torch.zeros(()))
    >>> (4 * u).floor()
    tensor([0., 1., 2., 3.])
    """
    place = torch.arange(n, dtype=like.dtype, device=like.device)
    return (place + torch.rand_like(place)) / n, like.new_ones(n)


def importance(weights: Tensor) -> Times:
    """Shares from a density that is constant on K equal parts of the way, stratified by its mass.

    Args:
        weights: (K,), proportional to the density; best at the root of the loss's mean square.

    Raises:
        ValueError: a weight is not positive, or there are none.

    >>> u, weight = importance(torch.tensor([3.0, 1.0]))(4, torch.zeros(()))
    >>> (u < 0.5).sum(), weight
    (tensor(3), tensor([0.6667, 0.6667, 0.6667, 2.0000]))
    """
    if weights.dim() != 1 or not (weights > 0).all():
        raise ValueError(f"weights: got {weights}, expected (K,) positive numbers")
    share = weights.double() / weights.double().sum()  # (K,), the mass of each part
    edge = torch.cat([share.new_zeros(1), share.cumsum(0)])  # (K + 1,)

    def times(n: int, like: Tensor) -> tuple[Tensor, Tensor]:
        mass, one = stratified(n, like)
        k = torch.bucketize(mass.double(), edge.to(mass.device)[1:-1], right=True)  # (n,)
        own, start = share.to(mass.device)[k], edge.to(mass.device)[k]
        u = (k + (mass - start) / own) / len(share)
        return u.to(like.dtype), one / (len(share) * own).to(like.dtype)

    return times


def denoising(
    model,
    x: Tensor,
    y: Tensor | None = None,
    weight: str | Callable[[Tensor], Tensor] | None = None,
    times: Times = stratified,
    drop_label: float = 0.1,
    log_snr: tuple[float, float] = LOG_SNR,
) -> Tensor:
    r"""Minus the weighted squared error of the denoised image, at a random time:

    $$-w(t) \, \lVert x_0 - \hat x(x_t, t) \rVert^2, \qquad
    x_t = \alpha_t x_0 + \sigma_t \epsilon .$$

    Any weight that is positive has the same minimiser, $\mathbb E[x_0 \mid x_t]$, and another way
    there. It is not in nats, and has a floor above zero, which no model can beat.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Args:
        weight: the name of the prediction whose squared error this is to be, "eps", "v", ... (see
            `dgm.predictions`); a function of the log SNR (B,); None for what the model predicts.
        times: how they are drawn.
        drop_label: the share of examples whose label is hidden, y = -1, so that one network learns
            p(x) beside p(x | y). Without classes it means nothing.
        log_snr: the least and the largest; times are uniform between theirs.

    Raises:
        ValueError: x is no data of the model, or not standardised (looked at on a CPU); a share of
            labels that is not in [0, 1].

    Equation: eq-denoising-floor

    Source: Ho, Jain and Abbeel (2020), arXiv:2006.11239, equation 14; Kingma et al. (2021),
    arXiv:2107.00630, Variational Diffusion Models, for the times.

    >>> from dgm.models import Diffusion
    >>> denoising(Diffusion.mlp((2,)), torch.randn(5, 2)).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    y = hidden(y, drop_label)
    x = model.standardised(x)
    check_size(x)
    early, late = model.path.ends(log_snr, x)
    u, more = times(len(x), x)
    t = early + (late - early) * u  # (B,)
    x_t = noised(model.path, x, t, torch.randn_like(x))
    error = (x - model.denoise(x_t, t, **given(model, y))).flatten(1).square().sum(1)
    if callable(weight):
        return -more * weight(model.path.log_snr(t)) * error
    return -more * loss_weight(weight or model.predict, model.path, t) * error


def diffusion_bound(
    model,
    x: Tensor,
    y: Tensor | None = None,
    levels: int | None = None,
    log_snr: tuple[float, float] = (-8.0, 6.0),
    k: int = 1,
) -> Tensor:
    r"""The ELBO of a diffusion model of infinitely many steps, in nats, estimated without bias:

    $$\mathbb E \log p(x \mid x_{\text{early}}) - \frac12 \int_{\lambda_{\min}}^{\lambda_{\max}}
    e^\lambda \, \mathbb E \lVert x_0 - \hat x(x_t, t) \rVert^2 d\lambda -
    \operatorname{KL}(q(x_{\text{late}} \mid x_0) \Vert \mathcal N(0, I)) .$$

    Between its ends the path does not matter. Each example has k levels $\lambda$ of its own at
    equal distances, from a uniform start, and those of a batch lie between each other.

    The first term is of grey levels their probability, each pixel's a softmax of how near the noisy
    value is to each level, so that the whole bounds the probability of an image. Without levels it
    is a density, with a Gaussian as wide as the noise.

    Shapes: x (B, *event), y (B,) for a model with classes, -1 for none -> (B,).

    Args:
        levels: L, where x = i / (L - 1); None for data that have a density.
        log_snr: the ends. A larger one brings the density's first term nearer to the truth; of a
            network that has not learned the grid of grey levels each unit costs up to half a nat
            per pixel.
        k: draws of lambda for each example.

    Raises:
        ValueError: as `denoising`; k or levels is too small.

    Equation: eq-diffusion-limit

    Source: Kingma et al. (2021), arXiv:2107.00630, Variational Diffusion Models, equations 14-18;
    Ho, Jain and Abbeel (2020), arXiv:2006.11239.

    >>> from dgm.models import Diffusion
    >>> diffusion_bound(Diffusion.mlp((2,)), torch.randn(5, 2)).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    k, (low, high) = integer("k", k), log_snr
    early, late = model.path.ends(log_snr, x)
    x0 = model.standardised(x)
    check_size(x0)
    loss = 0
    start = torch.rand((), dtype=x0.dtype, device=x0.device)
    place = torch.arange(len(x0), dtype=x0.dtype, device=x0.device) / len(x0)  # of each example
    for draw in range(k):
        share = (start + (place + draw) / k) % 1  # (B,)
        level = low + (high - low) * share
        t = model.path.time_of(level)
        x_t = noised(model.path, x0, t, torch.randn_like(x0))
        error = (x0 - model.denoise(x_t, t, **given(model, y))).flatten(1).square().sum(1)
        loss = loss + (high - low) / 2 * level.exp() * error / k
    return reconstruction_term(model, x, early, levels) - loss - terminal_kl(model.path, x0, late)


def reconstruction_term(model, x: Tensor, t: Tensor, levels: int | None) -> Tensor:
    r"""$\mathbb E_{q(x_t \mid x)} \log p(x \mid x_t)$ at a time of little noise, from one draw: of
    grey levels a sum of log softmaxes; of other data that of a Gaussian as wide as the noise.

    Shapes: x (B, *event), as data are -> (B,).
    """
    sd = model.scale * model.path.sigma(t) / model.path.alpha(t)  # in units of the data
    if levels is None:
        entropy = 0.5 * (1 + math.log(2 * math.pi)) + sd.log()
        return (-x[0].numel() * entropy).expand(len(x))
    levels = integer("levels", levels, at_least=2)
    index = (x * (levels - 1)).round()
    if readable(x) and not torch.allclose(x, index / (levels - 1), atol=1e-4):
        raise ValueError(f"x: got values that are not on the grid of {levels} levels in [0, 1]")
    noisy = x + sd * torch.randn_like(x)
    reach = min(levels, math.ceil(8 * float(sd) * (levels - 1)) + 1)  # farther levels weigh nothing
    near = (noisy * (levels - 1)).round()[..., None] + torch.arange(
        -reach, reach + 1, device=x.device
    ).to(x)
    far = (near < 0) | (near >= levels)
    distance = (noisy[..., None] - near / (levels - 1)) / sd  # (B, *event, 2 reach + 1)
    logits = (-distance.square() / 2).masked_fill(far, -torch.inf)
    own = -((noisy - x) / sd).square() / 2 - logits.logsumexp(-1)  # (B, *event)
    return own.flatten(1).sum(1)


def hidden(y: Tensor | None, share: float) -> Tensor | None:
    """The labels, each replaced by -1 with this probability: (B,) -> (B,).

    Raises:
        ValueError: drop_label, the share, is not in [0, 1].
    """
    if not 0 <= share <= 1:
        raise ValueError(f"drop_label: got {share}, expected a share from 0 to 1")
    if y is None or share == 0:
        return y
    return y.masked_fill(torch.rand(len(y), device=y.device) < share, -1)


def check_size(x: Tensor) -> None:
    """Raise ValueError if standardised data are not of size one, where they can be looked at.

    Paths are made for that: of data four times as small, or as large, most times are wasted.
    """
    if readable(x):
        size = float(x.detach().square().mean().sqrt())
        if not 0.25 <= size <= 4:
            raise ValueError(
                f"x: got data of root mean square {size:.2g} where the path expects about 1; "
                "model.standardise(x) measures their mean and scale"
            )
