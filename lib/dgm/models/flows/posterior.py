"""A flow as the posterior of a variational autoencoder."""

from collections.abc import Sequence

from torch import Tensor, nn

from ... import heads
from ...checks import integer, sizes
from .autoregressive import MaskedAutoregressive
from .layers import Composition, Inverse
from .stacks import in_turn


class InverseAutoregressive(nn.Module):
    r"""q(z | x) by inverse autoregressive flow: a diagonal normal, bent by masked networks.

    $$\epsilon \sim \mathcal N(\mu(h), \operatorname{diag}(\sigma^2(h))), \qquad
    z = f_S(\dots f_1(\epsilon; h) \dots; h), \qquad h \text{ the encoder's features}.$$

    A draw takes one pass through each step and brings its density along; the density of any other
    point takes D passes. A head: `VAE.mlp(shape, posterior=InverseAutoregressive)`. As fresh steps
    are the identity, it starts as a `heads.DiagonalNormal`.

    Shapes: (..., features) -> batch shape (...), event shape (latent,).

    Args:
        features, latent: as for every head of codes that are vectors.
        steps: how many; each in the order that the one before it reverses.
        hidden: widths of the hidden layers of each step.

    Raises:
        ValueError: the code is no vector; a size is no positive integer.

    Source: Kingma et al. (2016), arXiv:1606.04934, Improving Variational Inference with Inverse
    Autoregressive Flow.

    >>> import torch
    >>> q = InverseAutoregressive(400, 2)(torch.zeros(5, 400))
    >>> q.batch_shape, q.event_shape, q.rsample((7,)).shape
    (torch.Size([5]), torch.Size([2]), torch.Size([7, 5, 2]))
    """

    prior = heads.StandardNormal

    def __init__(
        self,
        features: int,
        latent: int | Sequence[int],
        steps: int = 2,
        hidden: int | Sequence[int] = (64,),
    ):
        super().__init__()
        size = sizes("latent", latent)
        if len(size) != 1:
            raise ValueError(f"latent: got {size}, expected the size of a vector")
        there = range(*size)
        self.base = heads.DiagonalNormal(features, latent)
        self.layers = Composition(
            Inverse(MaskedAutoregressive(*size, hidden, order, context=features))
            for order in in_turn(integer("steps", steps), there, there[::-1])
        )

    def forward(self, features: Tensor) -> heads.Flowed:
        return heads.Flowed(self.base(features), self.layers, context=features)
