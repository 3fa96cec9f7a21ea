"""Autoencoders: an encoder into a small code, a decoder back, trained to reconstruct."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor, nn
from torch.distributions import constraints

from .. import nets
from ..architectures import Architecture
from ..checks import check_shape, event_shape, integer
from ._from_architecture import FromArchitecture


class Autoencoder(FromArchitecture, nn.Module):
    r"""Two networks, $h_\phi: \mathcal X \to \mathcal Z$ and $f_\theta: \mathcal Z \to \mathcal X$.

    Trained with `dgm.objectives.reconstruction` to make $f_\theta(h_\phi(x))$ close to x. It is not
    a generative model: it has neither a distribution over codes nor a `sample` method.

    The decoder's last layer is affine, without a squashing function, so that the same class serves
    images and points in the plane, and its linear case is exactly PCA's.

    Args:
        encoder: maps (..., *shape) to (..., latent).
        decoder: maps (..., latent) to (..., *shape).
        shape: the event shape.

    >>> import torch
    >>> model = Autoencoder.mlp((1, 8, 8), latent=2)
    >>> x = torch.rand(5, 1, 8, 8)
    >>> model.encode(x).shape, model(x).shape
    (torch.Size([5, 2]), torch.Size([5, 1, 8, 8]))
    """

    support = constraints.real
    classes = 0

    def __init__(self, encoder: nn.Module, decoder: nn.Module, shape: Sequence[int]):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.shape = event_shape(shape)

    def encode(self, x: Tensor) -> Tensor:
        """The code h(x): (..., *shape) -> (..., latent)."""
        check_shape(x, self.shape)
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """The reconstruction f(z): (..., latent) -> (..., *shape)."""
        return self.decoder(z)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))

    @classmethod
    def of(cls, architecture: Architecture, shape: int | Sequence[int], *, latent: int = 2) -> Self:
        """Both networks from one architecture, each with an affine layer on top.

        Args:
            architecture: one of `dgm.architectures`; in short `mlp`, `conv` or `residual`.
            shape: event shape of the data.
            latent: size of a code.
        """
        shape, latent = event_shape(shape), integer("latent", latent)
        down, up = architecture.encoder(shape), architecture.decoder(latent, shape)
        return cls(
            nn.Sequential(down, nn.Linear(down.out_features, latent)),
            nn.Sequential(up, nets.to_event(up.out_features, shape)),
            shape,
        )

    @classmethod
    def linear(cls, shape: int | Sequence[int], latent: int = 2) -> Self:
        """Affine encoder, affine decoder: what it can learn is PCA's subspace, and no more."""
        return cls.mlp(shape, hidden=(), latent=latent)
