"""Densities of the plane, held beside each other on a grid."""

import torch
from torch import Tensor

from ..energies import grid_points, log_density


@torch.no_grad()
def grid_kl(
    density, model, box: float = 3.0, cells: int = 200, like: Tensor | None = None
) -> float:
    r"""$\operatorname{KL}(p \Vert p_\theta)$ in nats, of two densities of the plane, each known up
    to a constant, by the midpoint rule in $[-a, a]^2$.

    Both are normalised on the grid, so that nobody needs to know a Z. What lies outside the square
    is taken to be nothing.

    Args:
        density: the truth, for example one of `dgm.toys`.
        model: an energy, or anything with a `log_prob`, of events (2,).
        box: a, half the side of the square.
        cells: squares per side.
        like: a tensor of the type and on the device to compute with.

    Raises:
        ValueError: as `dgm.energies.log_density`; box or cells is not positive.

    >>> from dgm import toys
    >>> round(grid_kl(*(toys.ring(modes=1, sigma=s, device="cpu") for s in (0.1, 0.2))), 4)
    0.6363
    """
    points = grid_points(box, cells, like)
    p, q = (log_density(m, points).log_softmax(0) for m in (density, model))  # (cells^2,) each
    # where p is nothing, so is its part, whatever q is there
    return torch.where(p.exp() > 0, p.exp() * (p - q), 0).sum().item()
