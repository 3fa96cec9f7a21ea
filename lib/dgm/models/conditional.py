"""Conditional variational autoencoders: every distribution is given a label."""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from .. import heads, nets
from ..checks import (
    check_shape,
    event_shape,
    image_shape,
    integer,
    one_hot,
    sizes,
    support_of_decoder,
)


class ConditionalVAE(nn.Module):
    r"""$p_\theta(x \mid y) = \int p(z \mid y) \, p_\theta(x \mid z, y) \, dz$, y a class label.

    The encoder is $q_\phi(z \mid x, y)$. What y says about x need not be in the code: z is for the
    rest, a digit's style. Labels y are (B,) integers in every method; they reach the networks as
    one-hot vectors, laid beside the input.

    Args:
        encoder: maps x, (B, *shape), and one-hot labels, (B, classes), to q(z | x, y).
        decoder: maps z, (..., B, latent), and one-hot labels to p(x | z, y).
        prior: maps one-hot labels to p(z | y), batch shape (B,).
        shape: the event shape.
        classes: number of classes.

    Source: Sohn, Lee and Yan (2015), Learning Structured Output Representation using Deep
    Conditional Generative Models; Kingma, Rezende, Mohamed and Welling (2014), arXiv:1406.5298,
    section 2.

    >>> model, x, y = ConditionalVAE.mlp((1, 8, 8)), torch.zeros(5, 1, 8, 8), torch.arange(5)
    >>> model.posterior(x, y).event_shape, model.sample(3, y=torch.tensor([7, 7, 7])).shape
    (torch.Size([2]), torch.Size([3, 1, 8, 8]))
    """

    conditional = True

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        prior: nn.Module,
        shape: Sequence[int],
        classes: int = 10,
    ):
        super().__init__()
        self.encoder, self.decoder, self.p_z = encoder, decoder, prior
        self.shape, self.classes = event_shape(shape), integer("classes", classes)

    @property
    def support(self) -> Constraint:
        """Where data lie: the support of p(x | z, y)."""
        return support_of_decoder(self)

    def prior(self, y: Tensor) -> Distribution:
        """p(z | y): labels (B,) -> batch shape (B,), event shape (latent,)."""
        return self.p_z(self.one_hot(y))

    def posterior(self, x: Tensor, y: Tensor) -> Distribution:
        """q(z | x, y): (B, *shape), labels (B,) -> batch shape (B,), event shape (latent,)."""
        check_shape(x, self.shape)
        return self.encoder(x, self.one_hot(y))

    def likelihood(self, z: Tensor, y: Tensor) -> Distribution:
        """p(x | z, y): (..., B, latent), labels (B,) -> batch shape (..., B), event `shape`."""
        return self.decoder(z, self.one_hot(y))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor) -> Tensor:
        """Draw z given y, then x given z and y: labels (n,) -> (n, *shape).

        Raises:
            ValueError: there are not n labels.
        """
        n = integer("n", n)
        if y.shape != (n,):
            raise ValueError(f"y: got shape {tuple(y.shape)}, expected ({n},), a label per sample")
        return self.likelihood(self.prior(y).sample(), y).sample()

    def one_hot(self, y: Tensor) -> Tensor:
        """Labels as vectors of the parameters' type: (B,) -> (B, classes)."""
        return one_hot(y, self.classes).to(next(self.parameters()))

    @classmethod
    def mlp(
        cls,
        shape: int | Sequence[int],
        latent: int = 2,
        hidden: int | Sequence[int] = (400,),
        classes: int = 10,
        posterior: Callable[..., nn.Module] = heads.DiagonalNormal,
        likelihood: Callable[..., nn.Module] = heads.Bernoulli,
        learned_prior: bool = False,
    ) -> "ConditionalVAE":
        """Multilayer perceptrons on the flattened input with the label at its end.

        Args:
            shape, latent, hidden, posterior, likelihood: as in `VAE.mlp`.
            classes: number of classes.
            learned_prior: p(z | y) is of the posterior's kind, with parameters of its own for each
                class, learned with the decoder. By default it is the same p(z) for all.
        """
        shape, latent = event_shape(shape), integer("latent", latent)
        hidden, classes = sizes("hidden", hidden), integer("classes", classes)
        return cls._of(
            nets.mlp(math.prod(shape) + classes, *hidden),
            nets.mlp(latent + classes, *reversed(hidden)),
            partial(BesideVector, shape=shape),
            (shape, latent, classes),
            (posterior, likelihood, learned_prior),
        )

    @classmethod
    def conv(
        cls,
        shape: int | Sequence[int],
        latent: int = 2,
        width: int = 32,
        classes: int = 10,
        posterior: Callable[..., nn.Module] = heads.DiagonalNormal,
        likelihood: Callable[..., nn.Module] = heads.Bernoulli,
        learned_prior: bool = False,
    ) -> "ConditionalVAE":
        """Convolutions of the image, to which the label adds `classes` constant channels."""
        shape, latent = image_shape(shape), integer("latent", latent)
        classes = integer("classes", classes)
        return cls._of(
            nets.conv_encoder((shape[0] + classes, *shape[1:]), width),
            nets.conv_decoder(latent + classes, shape, width),
            BesideImage,
            (shape, latent, classes),
            (posterior, likelihood, learned_prior),
        )

    @classmethod
    def _of(cls, down, up, beside, sizes, kinds) -> "ConditionalVAE":
        """Two feature networks, each with a head and the label beside its input, and a prior."""
        shape, latent, classes = sizes
        posterior, likelihood, learned_prior = kinds
        encoder = nn.Sequential(down, posterior(down.out_features, latent))
        decoder = nn.Sequential(up, likelihood(up.out_features, shape))
        if learned_prior:
            prior = posterior(classes, latent)  # on one-hot labels: a row of parameters per class
        else:
            prior = SamePrior(getattr(posterior, "prior", heads.StandardNormal)(latent))
        return cls(beside(encoder), BesideVector(decoder, (latent,)), prior, shape, classes)


class BesideVector(nn.Module):
    """A network of an event, flattened, with a label at its end: (..., D + classes)."""

    def __init__(self, network: nn.Module, shape: int | Sequence[int]):
        super().__init__()
        self.network, self.dims = network, len(shape)

    def forward(self, x: Tensor, label: Tensor) -> Distribution:
        x = x.flatten(-self.dims)  # (..., D)
        label = label.expand(*x.shape[:-1], -1)  # (..., classes)
        return self.network(torch.cat([x, label], -1))


class BesideImage(nn.Module):
    """A network of an image with a channel per class, 1 for the label's and 0 for the others."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, label: Tensor) -> Distribution:
        planes = label[..., None, None].expand(*label.shape, *x.shape[-2:])
        return self.network(torch.cat([x, planes], -3))  # (B, C + classes, H, W)


class SamePrior(nn.Module):
    """p(z | y) = p(z): a prior of codes, whatever the label."""

    def __init__(self, prior: nn.Module):
        super().__init__()
        self.p_z = prior

    def forward(self, label: Tensor) -> Distribution:
        return self.p_z().expand(label.shape[:-1])
