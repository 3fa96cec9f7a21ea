"""The constructors that all models of networks have in common."""

from collections.abc import Sequence
from typing import Self

from ..architectures import Convolution, Perceptron, Residual


class FromArchitecture:
    """Short ways to a model's own `of(architecture, shape)`, with the architectures at hand.

    Every other keyword is one of `of`: of `VAE.of` for `VAE.mlp`, and so on.

    >>> from dgm.models import VAE
    >>> VAE.mlp((1, 8, 8), hidden=(200, 100), latent=3).sample(5).shape
    torch.Size([5, 1, 8, 8])
    """

    @classmethod
    def mlp(
        cls, shape: int | Sequence[int], *, hidden: int | Sequence[int] = (400,), **more
    ) -> Self:
        """Multilayer perceptrons, for events of any shape: `of(Perceptron(hidden), shape)`."""
        return cls.of(Perceptron(hidden), shape, **more)

    @classmethod
    def conv(cls, shape: Sequence[int], *, width: int = 32, **more) -> Self:
        """Strided convolutions. Images only: `of(Convolution(width), shape)`."""
        return cls.of(Convolution(width), shape, **more)

    @classmethod
    def residual(cls, shape: Sequence[int], *, width: int = 32, **more) -> Self:
        """Residual convolutional networks. Images only: `of(Residual(width), shape)`."""
        return cls.of(Residual(width), shape, **more)
