"""Conditional variational autoencoders: every distribution is given a label."""

from collections.abc import Callable, Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from .. import heads
from ..architectures import Architecture
from ..checks import check_labels, check_shape, event_shape, integer, support_of_decoder
from ..nets import BesideVector
from ._from_architecture import FromArchitecture
from .vae import latent_size, prior_of


class ConditionalVAE(FromArchitecture, nn.Module):
    r"""$p_\theta(x \mid y) = \int p(z \mid y) \, p_\theta(x \mid z, y) \, dz$, y a class label.

    The encoder is $q_\phi(z \mid x, y)$. What y says about x need not be in the code: z is for the
    rest, a digit's style. Labels y are (B,) integers in every method; they reach the networks as
    one-hot vectors, laid beside the input.

    Args:
        encoder: maps x, (B, *shape), and one-hot labels, (B, classes), to q(z | x, y).
        decoder: maps z, (..., B, latent), and one-hot labels to p(x | z, y).
        prior: maps one-hot labels to p(z | y), batch shape (B,). A head learns a prior of its own
            for each label: `heads.DiagonalNormal(classes, latent)`.
        shape: the event shape.
        classes: number of classes.

    Raises:
        ValueError: from every method, if y are not integers from 0 to classes - 1, one for each
            example.

    Source: Sohn, Lee and Yan (2015), Learning Structured Output Representation using Deep
    Conditional Generative Models; Kingma, Rezende, Mohamed and Welling (2014), arXiv:1406.5298,
    section 2.

    >>> model, x, y = ConditionalVAE.mlp((1, 8, 8)), torch.zeros(5, 1, 8, 8), torch.arange(5)
    >>> model.posterior(x, y).event_shape, model.sample(3, y=torch.tensor([7, 7, 7])).shape
    (torch.Size([2]), torch.Size([3, 1, 8, 8]))
    """

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
        return self.p_z(self._one_hot(y))

    def posterior(self, x: Tensor, y: Tensor) -> Distribution:
        """q(z | x, y): (B, *shape), labels (B,) -> batch shape (B,), event shape (latent,)."""
        check_shape(x, self.shape)
        return self.encoder(x, self._one_hot(y, x.shape[: x.dim() - len(self.shape)]))

    def likelihood(self, z: Tensor, y: Tensor) -> Distribution:
        """p(x | z, y): (..., B, latent), labels (B,) -> batch shape (..., B), event `shape`."""
        return self.decoder(z, self._one_hot(y))

    @torch.no_grad()
    def sample(self, n: int, y: Tensor) -> Tensor:
        """Draw z given y, then x given z and y: labels (n,) -> (n, *shape)."""
        check_labels(y, self.classes, (integer("n", n),))
        return self.likelihood(self.prior(y).sample(), y).sample()

    def _one_hot(self, y: Tensor, batch: Sequence[int] | None = None) -> Tensor:
        """Labels, of shape `batch`, as vectors of the parameters' type: (B,) -> (B, classes)."""
        check_labels(y, self.classes, batch)
        return F.one_hot(y.long(), self.classes).to(next(self.parameters()))

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        shape: int | Sequence[int],
        *,
        latent: int | Sequence[int] = 2,
        classes: int = 10,
        posterior: Callable[..., nn.Module] = heads.DiagonalNormal,
        likelihood: Callable[..., nn.Module] = heads.Bernoulli,
    ) -> Self:
        """Both networks from one architecture, each with a head on top and the label below.

        The prior is the same for all labels, the one that `VAE.of` takes.

        The label joins a code at its end, and an event as the architecture says: at the end of the
        flattened event, or as planes beside an image's channels.

        Args:
            architecture, shape, latent, posterior, likelihood: as in `VAE.of`.
            classes: number of classes.
        """
        shape, latent = event_shape(shape), latent_size(latent)
        beside, classes = architecture.beside, integer("classes", classes)
        down = architecture.encoder(beside.joined(shape, classes))
        up = architecture.decoder(BesideVector.joined(latent, classes), shape)
        encoder = nn.Sequential(down, posterior(down.out_features, latent))
        decoder = nn.Sequential(up, likelihood(up.out_features, shape))
        prior = SamePrior(prior_of(posterior, latent))
        return cls(beside(encoder, shape), BesideVector(decoder, latent), prior, shape, classes)


class SamePrior(nn.Module):
    """p(z | y) = p(z): a prior of codes, whatever the label."""

    def __init__(self, prior: nn.Module):
        super().__init__()
        self.p_z = prior

    def forward(self, label: Tensor) -> Distribution:
        return self.p_z().expand(label.shape[:-1])
