"""Several levels of codes, drawn from the top down by posterior and prior alike."""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from typing import Self

import torch
from torch import Tensor, nn
from torch import distributions as D

from .. import heads, nets
from ..architectures import Architecture
from ..checks import check_shape, event_shape, integer, sizes, support_of_decoder
from ._from_architecture import FromArchitecture


class Ladder(FromArchitecture, nn.Module):
    r"""A variational autoencoder of L levels, of which each is made of all above it:

    $$p_\theta(x, z) = p(z_1) \, \prod_{l=2}^L p_\theta(z_l \mid z_{<l}) \; p_\theta(x \mid z),
    \qquad q_\phi(z \mid x) = q_\phi(z_1 \mid x) \, \prod_{l=2}^L q_\phi(z_l \mid z_{<l}, x).$$

    $z_1$ is the top. Levels are Gaussian, and the posterior says how far it departs from the prior:
    where that is $\mathcal N(\mu, \sigma^2)$, it is $\mathcal N(\mu + \sigma \delta, \sigma^2
    \rho^2)$ with $\delta$ and $\log \rho$ put out by a network of x and $z_{<l}$, so that

    $$\operatorname{KL}(q(z_l \mid z_{<l}, x) \,\Vert\, p(z_l \mid z_{<l}))
    = \tfrac12 \sum_j (\delta_j^2 + \rho_j^2 - \log \rho_j^2 - 1),$$

    whatever the prior is. A code is all levels side by side, the top first; prior and posterior are
    both `heads.TopDown`, so that the bound's KL term is a sum over levels, each in closed form
    given a draw of those above. `evaluate.level_rates` has them one by one.

    Args:
        encoder: maps (..., *shape) to features, a vector.
        decoder: maps codes (..., sum of latent) to p(x | z), event shape `shape`.
        shape: the event shape.
        latent: coordinates of each level, the top first.
        features: width of the hidden layers between the levels, and of what x tells each of them.

    Raises:
        ValueError: there is no level, or a size is no positive integer.

    Equation: eq-residual-level

    Source: Sønderby et al. (2016), arXiv:1602.02282, Ladder Variational Autoencoders; Vahdat and
    Kautz (2020), arXiv:2007.03898, NVAE, section 3.2, for residual posteriors.

    >>> model = Ladder.mlp((1, 8, 8), latent=(2, 4))
    >>> model.posterior(torch.zeros(5, 1, 8, 8)).event_shape, model.sample(3).shape
    (torch.Size([6]), torch.Size([3, 1, 8, 8]))
    """

    classes = 0

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        shape: int | Sequence[int],
        latent: int | Sequence[int] = (2, 4),
        features: int = 100,
    ):
        super().__init__()
        self.shape, self.latent = event_shape(shape), event_shape(latent, "latent")
        features = integer("features", features)
        self.encoder, self.decoder = encoder, decoder
        self.p_top = heads.StandardNormal(self.latent[0])
        others = self.latent[1:]
        # what x tells the levels, the lowest first: each hears what the one below has made of it
        widths = [encoder.out_features] + [features] * len(others)
        self.up = nn.ModuleList(map(nets.mlp, widths[:-1], widths[1:]))
        above = list(accumulate(self.latent))[:-1]  # coordinates above each level but the top
        self.down = nn.ModuleList(nets.mlp(n, features) for n in above)
        self.p = nn.ModuleList(nets.to_event(features, size, 2) for size in others)
        top, *told = reversed(widths)
        self.q_top = nets.to_event(top, self.latent[0], 2)
        self.q = nn.ModuleList(
            nets.to_event(width + features, size, 2)
            for width, size in zip(told, others, strict=True)
        )

    @property
    def support(self) -> D.constraints.Constraint:
        """Where data lie: the support of p(x | z)."""
        return support_of_decoder(self)

    def prior(self) -> D.Distribution:
        """p(z), event shape (sum of latent,)."""
        others = [partial(self._prior_of, level) for level in range(len(self.p))]
        return heads.TopDown(self.p_top(), others, self.latent)

    def posterior(self, x: Tensor) -> D.Distribution:
        """q(z | x): (B, *shape) -> batch shape (B,), event shape (sum of latent,)."""
        check_shape(x, self.shape)
        told = [self.encoder(x)]
        for up in self.up:
            told.append(up(told[-1]))
        top = _departing(self.p_top().base_dist, self.q_top(told.pop()))
        others = [partial(self._posterior_of, level, h) for level, h in enumerate(told[::-1])]
        return heads.TopDown(top, others, self.latent)

    def likelihood(self, z: Tensor) -> D.Distribution:
        """p(x | z): (..., sum of latent) -> batch shape (...), event shape `shape`."""
        return self.decoder(z)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draw the levels from the top down, then x: (n, *shape)."""
        return self.likelihood(self.prior().sample((integer("n", n),))).sample()

    def _prior_of(self, level: int, above: Tensor) -> D.Distribution:
        """p(z_l | z_<l), from (..., coordinates above)."""
        mean, log_sigma = self.p[level](self.down[level](above)).unbind(-2)
        return _normal(mean, log_sigma.exp())

    def _posterior_of(self, level: int, h: Tensor, above: Tensor) -> D.Distribution:
        """q(z_l | z_<l, x), from what x tells, (B, width), and (..., B, coordinates above)."""
        d = self.down[level](above)  # (..., B, features)
        change = self.q[level](torch.cat([h.expand(*d.shape[:-1], -1), d], -1))
        return _departing(self._prior_of(level, above).base_dist, change)

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        shape: int | Sequence[int],
        *,
        latent: int | Sequence[int] = (2, 4),
        features: int = 100,
        likelihood: Callable[..., nn.Module] = heads.Bernoulli,
    ) -> Self:
        """Encoder and decoder from one architecture; between the levels are perceptrons.

        Args:
            architecture: one of `dgm.architectures`; in short `mlp`, `conv` or `residual`.
            shape: event shape of the data.
            latent, features: as above.
            likelihood: a head, called with (features, shape).
        """
        shape, latent = event_shape(shape), sizes("latent", latent)
        down, up = architecture.encoder(shape), architecture.decoder(sum(latent), shape)
        decoder = nn.Sequential(up, likelihood(up.out_features, shape))
        return cls(down, decoder, shape, latent, features)


def _departing(p: D.Normal, change: Tensor) -> D.Distribution:
    """N(mu + sigma delta, (sigma rho)^2) for p = N(mu, sigma^2), from (..., 2, coordinates)."""
    delta, log_rho = change.unbind(-2)
    return _normal(p.loc + p.scale * delta, p.scale * log_rho.exp())


def _normal(mean: Tensor, sigma: Tensor) -> D.Distribution:
    return D.Independent(D.Normal(mean, sigma, validate_args=False), 1, validate_args=False)
