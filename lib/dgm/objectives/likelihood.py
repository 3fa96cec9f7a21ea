"""Maximum likelihood, and its relative without probabilities: reconstruction."""

from torch import Tensor

from ..protocols import Tractable, given


def log_likelihood(model: Tractable, x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""$\log p_\theta(x)$ in nats, of a conditional model $\log p_\theta(x \mid y)$.

    Its maximisation is maximum likelihood. Shapes: x (B, *event) -> (B,).

    Raises:
        ValueError: a conditional model got no labels.

    >>> import torch
    >>> from torch.distributions import Normal
    >>> log_likelihood(Normal(0.0, 1.0), torch.zeros(3))
    tensor([-0.9189, -0.9189, -0.9189])
    """
    return model.log_prob(x, **given(model, y))


def reconstruction(model, x: Tensor, y: Tensor | None = None) -> Tensor:
    r"""Minus the squared error, $-\lVert x - f_\theta(h_\phi(x)) \rVert^2$, for an autoencoder.

    The sum runs over all coordinates of an example, so that the numbers of different models on one
    data set can be compared, and compared with eigenvalues. No probability and no nats.

    Shapes: x (B, *event) -> (B,). `y` is not used. `model(x)` is the reconstruction of x.

    >>> import torch
    >>> reconstruction(torch.nn.Identity(), torch.rand(3, 1, 8, 8))
    tensor([-0., -0., -0.])
    """
    return -(x - model(x)).square().flatten(1).sum(1)
