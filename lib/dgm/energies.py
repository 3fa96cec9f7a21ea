r"""Densities known up to a constant: $p(x) = e^{-E(x)} / Z$, and what needs no Z.

The *score* $\nabla \log p(x) = -\nabla E(x)$ does not know of Z, which is the same everywhere.
Samplers walk by it and objectives fit it (`dgm.samplers`, `dgm.objectives`). In the plane Z itself
is a sum over a grid, and every approximation can be held beside it.

A model here is an `Energy`, or anything with a `log_prob`: a density of `dgm.toys`, a flow, a
distribution of torch.
"""

import math

import torch
from torch import Tensor

from .checks import check_examples, integer, one_each, positive
from .protocols import given

__all__ = [
    "grid_log_partition",
    "grid_points",
    "log_density",
    "log_density_and_score",
    "score",
]


def log_density(model, x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""$\log p(x)$ up to a constant: $-E(x)$ of an energy, `log_prob` of what has no energy.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B,).

    Raises:
        ValueError: x is not (B, *event) of this model, or there is not one number per example.

    >>> from torch.distributions import Normal
    >>> log_density(Normal(0.0, 1.0), torch.zeros(3))
    tensor([-0.9189, -0.9189, -0.9189])
    """
    check_examples(model, x, y)
    if hasattr(model, "energy"):
        return one_each(-model.energy(x, **given(model, y)), x, "model: energy")
    return one_each(model.log_prob(x, **given(model, y)), x, "model: log_prob")


def score(model, x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""$\nabla_x \log p(x) = -\nabla_x E(x)$, by automatic differentiation.

    It can be differentiated again, in x and in the parameters, and works under `torch.no_grad` as
    well. The energy should have a slope that is continuous, as networks of SiLU, tanh or softplus
    have; one of ReLUs is flat but for kinks, so that its score cannot be trained.

    Shapes: x (B, *event), y (B,) for a model with classes -> (B, *event).

    Raises:
        ValueError: as `log_density`, or the events are discrete: there is no slope between bits.

    Equation: def-score

    >>> from torch.distributions import Normal
    >>> score(Normal(0.0, 2.0), torch.tensor([4.0])).detach()
    tensor([-1.])
    """
    return log_density_and_score(model, x, y)[1]


def log_density_and_score(model, x: Tensor, y: Tensor | None = None) -> tuple[Tensor, Tensor]:
    r"""Both `log_density` and `score` at the price of the latter: (B,), (B, *event)."""
    check_examples(model, x, y)
    if getattr(getattr(model, "support", None), "is_discrete", False):
        raise ValueError(
            f"model: got a {type(model).__name__} of discrete events ({model.support}), which has "
            "no score; expected a density"
        )
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x if x.requires_grad else x.detach().requires_grad_()
        log_p = log_density(model, x, y)  # (B,)
        # no example's log-density depends on another's x: the slope of the sum has each one's own
        (slope,) = torch.autograd.grad(log_p.sum(), x, create_graph=again)
    return (log_p if again else log_p.detach()), slope


def grid_points(box: float = 3.0, cells: int = 128, like: Tensor | None = None) -> Tensor:
    """The midpoints of cells x cells squares that fill [-box, box]^2: (cells^2, 2).

    Row by row from the bottom, each from left to right. `like` gives type and device.

    >>> grid_points(box=1.0, cells=2)
    tensor([[-0.5000, -0.5000],
            [ 0.5000, -0.5000],
            [-0.5000,  0.5000],
            [ 0.5000,  0.5000]])
    """
    box, cells = positive("box", box), integer("cells", cells)
    like = torch.empty(0) if like is None else like
    number = torch.arange(cells, dtype=like.dtype, device=like.device)
    line = box * ((2 * number + 1) / cells - 1)  # (cells,)
    y, x = torch.meshgrid(line, line, indexing="ij")  # (cells, cells) each
    return torch.stack([x, y], -1).reshape(-1, 2)


def grid_log_partition(
    model, box: float = 3.0, cells: int = 128, like: Tensor | None = None
) -> Tensor:
    r"""$\log Z$ of a density of the plane, by the midpoint rule:

    $$\log Z \approx \log \sum_i e^{-E(x_i)} \, (2 a / m)^2, \qquad x_i \text{ the midpoints of }
    m^2 \text{ squares in } [-a, a]^2 .$$

    It can be differentiated in the parameters. Where the density is smooth on the scale of a cell
    and all but vanishes at the border, the error is far smaller than any power of the cell's size.

    Args:
        model: of events (2,).
        box: a, half the side of the square.
        cells: m, squares per side.
        like: a tensor of the type and on the device to compute with.

    Returns:
        A number, ().

    Equation: def-boltzmann

    >>> from dgm import toys
    >>> bool(grid_log_partition(toys.moons(device="cpu")).abs() < 1e-5)
    True
    """
    points = grid_points(box, cells, like)
    return log_density(model, points).logsumexp(0) + 2 * math.log(2 * box / cells)
