r"""Denoising: what trains a diffusion model.

Times are drawn by a function of (n, like) -> (u, weight): shares u in [0, 1) of the way from data
to noise, one per example, and what makes up for drawing some more often than others. All have the
same mean, and differ in their variance:

    iid            each for itself
    stratified     one in each n-th of the way: the default
    importance     more where the loss is larger or varies more, by weights of your own
"""

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import check_examples, readable
from ..paths import LOG_SNR, noised
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

    $$-w(t) \, \lVert x_0 - \hat x(x_t, t) \rVert^2, \qquad x_t = \alpha_t x_0 + \sigma_t \epsilon .$$

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

    Source: Ho, Jain and Abbeel (2020), arXiv:2006.11239, equation 14; Kingma et al. (2021),
    arXiv:2107.00630, Variational Diffusion Models, for the times.

    >>> from dgm.models import Diffusion
    >>> denoising(Diffusion.mlp((2,)), torch.randn(5, 2)).shape
    torch.Size([5])
    """
    check_examples(model, x, y)
    if not 0 <= drop_label <= 1:
        raise ValueError(f"drop_label: got {drop_label}, expected a share from 0 to 1")
    x = model.standardised(x)
    check_size(x)
    if y is not None and drop_label:
        hidden = torch.rand(len(x), device=x.device) < drop_label
        y = y.masked_fill(hidden, -1)
    early, late = model.path.between(log_snr)
    u, more = times(len(x), x)
    t = early + (late - early) * u  # (B,)
    x_t = noised(model.path, x, t, torch.randn_like(x))
    error = (x - model.denoise(x_t, t, **given(model, y))).flatten(1).square().sum(1)
    if callable(weight):
        return -more * weight(model.path.log_snr(t)) * error
    return -more * loss_weight(weight or model.predict, model.path, t) * error


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
