"""Decoded codes: along a path, over the plane, around one example."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..protocols import LatentVariable, given
from .base import _axes, _mosaic, _show
from .images import grid, rows


@torch.no_grad()
def interpolation(
    decode: Callable[[Tensor], Tensor],
    start: Tensor,
    end: Tensor,
    steps: int = 9,
    ax=None,
    path: Callable[[Tensor, Tensor, Tensor], Tensor] = torch.lerp,
):
    """Decoded images along a path from one code to another, by default the straight line.

    Args:
        decode: (steps, latent) -> (steps, C, H, W).
        start, end: codes, (latent,).
        steps: number of equally spaced t from 0 to 1.
        path: path(start, end, t) for t of shape (steps, 1): `torch.lerp`, which is
            (1 - t) start + t end, or `slerp`.
    """
    t = torch.linspace(0, 1, steps, dtype=start.dtype, device=start.device)[:, None]  # (steps, 1)
    return grid(decode(path(start, end, t)), columns=steps, ax=ax)


def slerp(start: Tensor, end: Tensor, t: Tensor) -> Tensor:
    r"""Spherical interpolation: along the great circle, for codes whose length should not shrink.

    $$\frac{\sin((1-t)\,\omega)}{\sin\omega} \, \text{start}
      + \frac{\sin(t\,\omega)}{\sin\omega} \, \text{end},$$

    with omega the angle between the two. Draws of N(0, I) in m dimensions lie at a distance of
    about sqrt(m) from the origin; half-way along the straight line between two of them it is only
    sqrt(m / 2), where the decoder has seen next to nothing. On the great circle it stays the same.

    Args:
        start, end: (latent,).
        t: from 0 to 1, shape (steps, 1).

    Returns:
        (steps, latent).

    Raises:
        ValueError: one code is zero, or the two point in opposite directions: then there is no one
            great circle through them.

    Source: Shoemake (1985), doi:10.1145/325334.325242, Animating rotation with quaternion curves;
    White (2016), arXiv:1609.04468, Sampling Generative Networks, for codes.

    >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), torch.tensor([[0.5]]))
    tensor([[0.7071, 0.7071]])
    """
    u, v = start / start.norm(), end / end.norm()
    omega = 2 * torch.atan2((u - v).norm(), (u + v).norm())  # exact near 0 and pi, as acos is not
    if not omega < torch.pi - 1e-3:  # nan, if a code is zero
        raise ValueError(
            "start, end: got a zero code or two in opposite directions, expected codes on one arc"
        )

    def share(t: Tensor) -> Tensor:  # sin(t omega) / sin(omega), which is t at omega = 0
        return t * torch.sinc(t * omega / torch.pi) / torch.sinc(omega / torch.pi)

    return share(1 - t) * start + share(t) * end


@torch.no_grad()
def neighbours(model: LatentVariable, x: Tensor, y: Tensor | None = None, n: int = 10, ax=None):
    """What is near one image: pixels drawn again, against codes drawn again.

    Three rows of `n` images: draws of p(x | z) at one code z ~ q(z | x), which differ by
    independent noise on the pixels; draws of p(x | z) at as many codes, each z ~ q(z | x); and the
    means of the same p(x | z), without the noise, which show what the codes change.

    Args:
        model: has `posterior` and `likelihood`.
        x: one image, (C, H, W).
        y: its label, (), for a model with classes.
    """
    condition = given(model, None if y is None else y[None])
    q = model.posterior(x[None], **condition)  # batch shape (1,)
    one = model.likelihood(q.sample(), **condition)  # batch shape (1,)
    many = model.likelihood(q.sample((n,)), **condition)  # batch shape (n, 1)
    return rows(
        {
            "one z,\npixels drawn": one.sample((n,))[:, 0],
            "many z,\npixels drawn": many.sample()[:, 0],
            "many z,\nmeans": many.mean[:, 0],
        },
        ax=ax,
    )


@torch.no_grad()
def manifold(
    decode: Callable[[Tensor], Tensor],
    side: int = 15,
    box: tuple[Tensor, Tensor] | None = None,
    device: torch.device | None = None,
    ax=None,
):
    """Decoded images over a grid of two-dimensional codes: a map of what the decoder has learned.

    Args:
        decode: (N, 2) -> (N, C, H, W).
        side: images per row and column.
        box: lower and upper corner of the grid, (2,) each. Without it the grid is evenly spaced in
            probability under N(0, I): z = Phi^{-1}(u) for u from 0.5/side to 1 - 0.5/side.
        device: where the codes are made, if there is no box.

    Source: Kingma and Welling (2014), arXiv:1312.6114, Auto-Encoding Variational Bayes, figure 4.
    """
    if box is None:
        u = (torch.arange(side, dtype=torch.float32, device=device) + 0.5) / side
        z1 = z2 = torch.special.ndtri(u).to(torch.get_default_dtype())  # (side,)
    else:
        lower, upper = box
        t = torch.linspace(0, 1, side, dtype=lower.dtype, device=lower.device)
        z1, z2 = (lower[i] + t * (upper[i] - lower[i]) for i in (0, 1))
    z = torch.stack([z1.repeat(side), z2.flip(0).repeat_interleave(side)], 1)  # (side^2, 2)
    images = decode(z)
    picture, _ = _mosaic(images, columns=side, gap=0)
    ax = _axes(ax, aspect=1.0)
    if box is None:  # evenly spaced in probability, not in z: the axes would carry no numbers
        _show(picture, ax)
    else:
        _show(picture, ax, extent=[float(z) for z in (z1[0], z1[-1], z2[0], z2[-1])], aspect="auto")
        ax.axis("on")
        ax.set_xlabel("$z_1$")
        ax.set_ylabel("$z_2$")
    return ax
