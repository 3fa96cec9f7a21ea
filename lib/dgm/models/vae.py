"""Variational autoencoders: a latent-variable model made of three parts."""

from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from .. import heads, nets
from ..architectures import Architecture
from ..checks import check_shape, event_shape, integer, sizes, support_of_decoder
from ._from_architecture import FromArchitecture


class VAE(FromArchitecture, nn.Module):
    r"""$p_\theta(x) = \int p(z) \, p_\theta(x \mid z) \, dz$, with an encoder $q_\phi(z \mid x)$.

    The three parts are modules that return distributions; training maximises
    `dgm.objectives.elbo` or `iwae`. Codes may be discrete: the integral is then a sum.

    Args:
        encoder: maps (B, *shape) to q(z | x), batch shape (B,), event shape (latent,).
        decoder: maps (..., latent) to p(x | z), batch shape (...), event shape `shape`.
        prior: called without arguments, returns p(z), event shape (latent,).
        shape: the event shape.

    Equation: def-vae

    Source: Kingma and Welling (2014), arXiv:1312.6114, Auto-Encoding Variational Bayes; Rezende,
    Mohamed and Wierstra (2014), arXiv:1401.4082.

    >>> model = VAE.mlp((1, 8, 8), latent=2)
    >>> model.posterior(torch.zeros(5, 1, 8, 8)).event_shape, model.sample(3).shape
    (torch.Size([2]), torch.Size([3, 1, 8, 8]))

    Codes of eight bits, under a prior of fair coins:

    >>> VAE.mlp((1, 8, 8), latent=8, posterior=heads.Bernoulli).prior().sample().shape
    torch.Size([8])
    """

    classes = 0

    def __init__(
        self, encoder: nn.Module, decoder: nn.Module, prior: nn.Module, shape: Sequence[int]
    ):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.p_z = prior
        self.shape = event_shape(shape)

    @property
    def support(self) -> Constraint:
        """Where data lie: the support of p(x | z)."""
        return support_of_decoder(self)

    def prior(self) -> Distribution:
        """p(z), event shape (latent,)."""
        return self.p_z()

    def posterior(self, x: Tensor) -> Distribution:
        """q(z | x): (B, *shape) -> batch shape (B,), event shape (latent,)."""
        check_shape(x, self.shape)
        return self.encoder(x)

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x | z): (..., latent) -> batch shape (...), event shape `shape`."""
        return self.decoder(z)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draw z from the prior, then x given z: (n, *shape)."""
        return self.likelihood(self.prior().sample((integer("n", n),))).sample()

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        shape: int | Sequence[int],
        *,
        latent: int | Sequence[int] = 2,
        posterior: Callable[..., nn.Module] = heads.DiagonalNormal,
        likelihood: Callable[..., nn.Module] = heads.Bernoulli,
    ) -> Self:
        """Both networks from one architecture, each with a head on top.

        Args:
            architecture: one of `dgm.architectures`; in short `mlp`, `conv` or `residual`.
            shape: event shape of the data.
            latent: size of a code; of `heads.OneHotCategorical` also (variables, values).
            posterior: a head, called with (features, latent). The prior is the one the head
                names, and N(0, I) where it names none.
            likelihood: a head, called with (features, shape).
        """
        shape, latent = event_shape(shape), latent_size(latent)
        down, up = architecture.encoder(shape), architecture.decoder(latent, shape)
        return cls(
            nn.Sequential(down, posterior(down.out_features, latent)),
            nn.Sequential(up, likelihood(up.out_features, shape)),
            prior_of(posterior, latent),
            shape,
        )

    @classmethod
    def linear(
        cls,
        shape: int | Sequence[int],
        latent: int = 2,
        posterior: Callable[..., nn.Module] = heads.DiagonalNormal,
        likelihood: Callable[..., nn.Module] = heads.Normal,
    ) -> Self:
        """No hidden layers: with a Normal likelihood the family of probabilistic PCA."""
        return cls.mlp(shape, hidden=(), latent=latent, posterior=posterior, likelihood=likelihood)

    @classmethod
    def two_layer(
        cls,
        shape: int | Sequence[int],
        latent: Sequence[int] = (16, 2),
        hidden: Sequence[int | Sequence[int]] = ((400,), (100,)),
        posterior: Callable[..., nn.Module] = heads.DiagonalNormal,
        likelihood: Callable[..., nn.Module] = heads.Bernoulli,
    ) -> Self:
        r"""Two stochastic layers: the data are made of $z_1$, which is made of $z_2$.

        $$p(z_2) \, p_\theta(z_1 \mid z_2) \, p_\theta(x \mid z_1), \qquad
        q_\phi(z_1 \mid x) \, q_\phi(z_2 \mid z_1).$$

        A code is $[z_1, z_2]$, one vector; posterior and prior are each a `heads.Chain`, so the KL
        term of the ELBO is estimated from draws.

        Args:
            shape: event shape of the data.
            latent: sizes of z_1 and z_2.
            hidden: widths of the hidden layers between x and z_1, and of those between z_1 and z_2.
            posterior: the head of both layers, and of $p_\theta(z_1 \mid z_2)$.
            likelihood: a head, called with (features, shape).

        Source: Burda, Grosse and Salakhutdinov (2016), arXiv:1509.00519, section 5 (two layers).

        >>> VAE.two_layer((1, 8, 8)).posterior(torch.zeros(5, 1, 8, 8)).event_shape
        torch.Size([18])
        """
        shape, latent = event_shape(shape), sizes("latent", latent)
        if len(latent) != 2:
            raise ValueError(f"latent: got {latent}, expected two sizes, of z_1 and z_2")
        try:
            below, above = hidden
        except (TypeError, ValueError):
            expected = "widths for z_1 and widths for z_2"
            raise ValueError(f"hidden: got {hidden!r}, expected {expected}") from None
        (m1, m2), lower, upper = latent, sizes("hidden", below), sizes("hidden", above)

        def between(n_in, n_out, widths):
            features = nets.mlp(n_in, *widths)
            return nn.Sequential(features, posterior(features.out_features, n_out))

        up = nets.mlp(m1, *reversed(lower))
        top = prior_of(posterior, m2)
        return cls(
            heads.Chained(between(shape, m1, lower), between(m1, m2, upper), m2),
            nn.Sequential(FirstOf(m1), up, likelihood(up.out_features, shape)),
            heads.Chained(top, between(m2, m1, tuple(reversed(upper))), m1, reverse=True),
            shape,
        )


def latent_size(latent: int | Sequence[int]) -> int | tuple[int, ...]:
    """The size of a code as heads take it: one number as an integer, several as a tuple.

    >>> latent_size([2]), latent_size((3, 5))
    (2, (3, 5))
    """
    parts = sizes("latent", latent)
    return integer("latent", *parts) if len(parts) == 1 else parts


def prior_of(posterior: Callable[..., nn.Module], latent: int | tuple[int, ...]) -> nn.Module:
    """The prior of the codes of a head: the one it names, N(0, I) where it names none."""
    return getattr(posterior, "prior", heads.StandardNormal)(latent)


class FirstOf(nn.Module):
    """The first n coordinates of a code: (..., latent) -> (..., n)."""

    def __init__(self, n: int):
        super().__init__()
        self.n = n

    def forward(self, z: Tensor) -> Tensor:
        return z[..., : self.n]
