"""Maximum likelihood, and its relative without probabilities: reconstruction."""

from torch import Tensor

from ..checks import check_examples, one_each
from ..energies import grid_log_partition, log_density
from ..protocols import Tractable, given


def log_likelihood(model: Tractable, x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""$\log p_\theta(x)$ in nats, of a model with classes $\log p_\theta(x \mid y)$.

    Its maximisation is maximum likelihood. Shapes: x (B, *event) -> (B,).

    Raises:
        ValueError: x has another event shape or type than the model's, a model with classes got
            none, or other, labels, or `log_prob` does not return (B,).

    Equation: def-maximum-likelihood

    >>> import torch
    >>> from torch.distributions import Normal
    >>> log_likelihood(Normal(0.0, 1.0), torch.zeros(3))
    tensor([-0.9189, -0.9189, -0.9189])
    """
    check_examples(model, x, y)
    return one_each(model.log_prob(x, **given(model, y)), x, "model: log_prob")


def grid_likelihood(
    model, x: Tensor, y: Tensor | None = None, box: float = 3.0, cells: int = 64
) -> Tensor:
    r"""$-E_\theta(x) - \log Z_\theta$ in nats, with Z summed over a grid: maximum likelihood for an
    energy of the plane, exact but for the grid.

    Shapes: x (B, 2) -> (B,).

    Args:
        model: an energy of events (2,).
        box: half the side of the square that is summed over; data must lie well inside it.
        cells: squares per side; too few of them do not see a narrow ridge.

    Raises:
        ValueError: as `dgm.energies.log_density`; box or cells is not positive.

    Equation: eq-grad-log-z

    >>> import torch
    >>> from dgm.models import EnergyNetwork
    >>> grid_likelihood(EnergyNetwork.fourier((2,)), torch.zeros(5, 2)).shape
    torch.Size([5])
    """
    return log_density(model, x, y) - grid_log_partition(model, box, cells, like=x)


def order_agnostic(model, x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""$\log p_o(x)$ in nats, in an order o drawn for this batch: (B, *shape) -> (B,).

    It trains one network for all orders, so that afterwards any order can be asked for: the known
    pixels first, for example, wherever they are.

    Args:
        model: has `random_order()` and `reordered(order)`, as `dgm.models.MADE`.

    Raises:
        ValueError: as `log_likelihood`.

    Source: Germain et al. (2015), arXiv:1502.03509, MADE: Masked Autoencoder for Distribution
    Estimation, section 4.1.

    >>> import torch
    >>> from dgm.models import MADE
    >>> order_agnostic(MADE((1, 8, 8)), torch.ones(5, 1, 8, 8)).shape
    torch.Size([5])
    """
    return log_likelihood(model.reordered(model.random_order()), x, y)


def reconstruction(model, x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""Minus the squared error, $-\lVert x - f_\theta(h_\phi(x)) \rVert^2$, for an autoencoder.

    The sum runs over all coordinates of an example, so that the numbers of different models on one
    data set can be compared, and compared with eigenvalues. No probability and no nats.

    Shapes: x (B, *event) -> (B,). `model(x)` is the reconstruction of x, `model(x, y=y)` that of a
    model with classes.

    Raises:
        ValueError: x has another event shape or type than the model's, or its reconstruction has.

    Equation: def-autoencoder

    >>> import torch
    >>> reconstruction(torch.nn.Identity(), torch.rand(3, 1, 8, 8))
    tensor([-0., -0., -0.])
    """
    check_examples(model, x, y)
    again = model(x, **given(model, y))  # (B, *event)
    if again.shape != x.shape:
        raise ValueError(
            f"model: reconstructs x of shape {tuple(x.shape)} as {tuple(again.shape)}, "
            "expected the same shape"
        )
    return -(x - again).square().flatten(1).sum(1)
