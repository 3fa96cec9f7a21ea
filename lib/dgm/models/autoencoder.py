"""Autoencoders: an encoder into a small code, a decoder back, trained to reconstruct."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions import constraints

from .. import nets
from ..checks import check_shape, event_shape, integer, sizes


class Autoencoder(nn.Module):
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
    def linear(cls, shape: int | Sequence[int], latent: int = 2) -> "Autoencoder":
        """Affine encoder, affine decoder: what it can learn is PCA's subspace, and no more."""
        return cls.mlp(shape, latent, hidden=())

    @classmethod
    def mlp(
        cls, shape: int | Sequence[int], latent: int = 2, hidden: int | Sequence[int] = (400,)
    ) -> "Autoencoder":
        """Multilayer perceptrons; the decoder's hidden layers are the encoder's in reverse."""
        shape, latent = event_shape(shape), integer("latent", latent)
        hidden = sizes("hidden", hidden)
        down = nets.mlp(shape, *hidden)
        up = nets.mlp(latent, *reversed(hidden))
        return cls(
            nn.Sequential(down, nn.Linear(down.out_features, latent)),
            nn.Sequential(up, nets.to_event(up.out_features, shape)),
            shape,
        )

    @classmethod
    def conv(cls, shape: int | Sequence[int], latent: int = 2, width: int = 32) -> "Autoencoder":
        """Strided convolutions down, transposed convolutions up. Images only."""
        shape, latent = event_shape(shape), integer("latent", latent)
        down = nets.conv_encoder(shape, width)
        up = nets.conv_decoder(latent, shape, width)
        return cls(
            nn.Sequential(down, nn.Linear(down.out_features, latent)),
            nn.Sequential(up, nets.to_event(up.out_features, shape)),
            shape,
        )
