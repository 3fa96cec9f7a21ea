"""Codes of symbols: vector quantisation, and the autoencoder that is built on it."""

import math
from collections.abc import Callable, Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch import distributions as D

from .. import heads
from ..architectures import Architecture
from ..checks import check_shape, event_shape, integer, sizes, support_of_decoder
from ..heads.tokens import one_hot
from ..nets import to_event
from ._from_architecture import FromArchitecture


class Quantiser(nn.Module):
    r"""K vectors, and for every point the nearest of them, $k(z) = \arg\min_k \lVert z - e_k
    \rVert$.

    Where there is a tie, the smaller k. A subclass says which vectors: `Codebook`, `FiniteScalar`.

    Attributes:
        vectors: (K, latent).

    Source: van den Oord, Vinyals and Kavukcuoglu (2017), arXiv:1711.00937, Neural Discrete
    Representation Learning, equation 1.
    """

    vectors: Tensor

    @property
    def codes(self) -> int:
        """K."""
        return len(self.vectors)

    def inside(self, z: Tensor) -> Tensor:
        """What is compared with the vectors: z, or what keeps it where they lie, (..., latent)."""
        return z

    def squared_distances(self, z: Tensor) -> Tensor:
        """From every vector, without the cancellation of an expanded square: (..., K)."""
        exact = "donot_use_mm_for_euclid_dist"
        return torch.cdist(z, self.vectors, compute_mode=exact).square()

    def nearest(self, z: Tensor) -> Tensor:
        """The number of the nearest vector: (..., latent) -> (...), 0 to K - 1.

        Distances of many come from one matrix product. They are taken about the middle of the
        vectors, so that far from the origin nothing cancels.
        """
        middle = self.vectors.detach().mean(0)  # (latent,)
        points = (z.detach() - middle).reshape(-1, z.shape[-1])  # (N, latent)
        return torch.cdist(points, self.vectors.detach() - middle).argmin(-1).reshape(z.shape[:-1])

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The nearest vector and its number: (..., latent), (...)."""
        k = self.nearest(z)
        return self.vectors[k], k


class Codebook(Quantiser):
    r"""K vectors that follow the points they are nearest to.

    With a `decay` $\gamma$, counts and sums of the members are moving averages, and a vector is
    their quotient:

    $$N_k \leftarrow \gamma N_k + (1 - \gamma) \, n_k, \qquad m_k \leftarrow \gamma m_k +
    (1 - \gamma) \sum_{k(z) = k} z, \qquad e_k = m_k / N_k,$$

    which moves it towards the mean $\bar z_k$ of its members in this batch, $e_k \leftarrow e_k +
    \frac{(1 - \gamma) \, n_k}{N_k} (\bar z_k - e_k)$ with the new $N_k$. $\gamma = 0$ is one
    iteration of k-means. The first updates are plain means over all batches so far, until that
    looks back as far as $\gamma$ does. Vectors start in a small cube around 0, those that are near
    nothing at points of the first batch.

    Args:
        codes: K.
        latent: coordinates of a vector.
        decay: $\gamma$; None makes the vectors parameters, which learn by a gradient.
        restart: a vector with less than so many members a batch, on the moving average, is dead,
            and starts again at a point of the batch. 0 lets the dead lie.

    Raises:
        ValueError: a size is no positive integer, `decay` not in [0, 1), `restart` negative.

    Equation: eq-nearest-code, eq-distortion-split, eq-codebook-ema

    Source: van den Oord, Vinyals and Kavukcuoglu (2017), arXiv:1711.00937, appendix A.1; Dhariwal
    et al. (2020), arXiv:2005.00341, Jukebox, section 3, for the restarts.

    >>> book = Codebook(codes=2, latent=1, decay=0.0)
    >>> z = torch.tensor([[0.0], [2.0], [9.0]])
    >>> book.update(z, torch.tensor([0, 0, 1]))
    >>> book.vectors.T, book.nearest(z)
    (tensor([[1., 9.]]), tensor([0, 0, 1]))
    """

    def __init__(
        self,
        codes: int = 16,
        latent: int = 4,
        decay: float | None = 0.98,
        restart: float = 0.1,
    ):
        super().__init__()
        codes, latent = integer("codes", codes), integer("latent", latent)
        if decay is not None and not 0 <= decay < 1:
            raise ValueError(f"decay: got {decay}, expected at least 0 and less than 1, or None")
        if not restart >= 0:
            raise ValueError(f"restart: got {restart}, expected members a batch, 0 or more")
        self.decay, self.restart = decay, restart
        vectors = (2 * torch.rand(codes, latent) - 1) / codes
        if decay is None:
            self.vectors = nn.Parameter(vectors)
            return
        self.register_buffer("vectors", vectors)
        self.register_buffer("counts", torch.zeros(codes))  # N, members a batch
        self.register_buffer("sums", torch.zeros(codes, latent))  # m, of the members
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))

    @torch.no_grad()
    def update(self, z: Tensor, k: Tensor) -> None:
        """Follow the points z (..., latent), whose nearest vectors are k (...).

        Raises:
            ValueError: the vectors learn by a gradient.
        """
        if self.decay is None:
            raise ValueError("decay: got None, expected a number: these vectors learn by gradients")
        z, k = z.reshape(-1, z.shape[-1]), k.flatten()  # (N, latent), (N,)
        n = torch.zeros_like(self.counts).index_add_(0, k, torch.ones_like(z[:, 0]))
        m = torch.zeros_like(self.sums).index_add_(0, k, z)
        self.updates += 1
        rate = (1 / self.updates).clamp(min=1 - self.decay).to(n)
        self.counts.lerp_(n, rate)
        self.sums.lerp_(m, rate)
        means = self.sums / self.counts[:, None]
        self.vectors.copy_(means.where(self.counts[:, None] > 0, self.vectors))
        # drawn for all, used for the dead: to look who they are would keep an accelerator waiting
        new = z[torch.randint(len(z), (self.codes,), device=z.device)]
        dead = self.counts < self.restart
        self.vectors.copy_(new.where(dead[:, None], self.vectors))
        self.sums.copy_(new.where(dead[:, None], self.sums))
        self.counts.masked_fill_(dead, 1.0)

    def perplexity(self) -> Tensor:
        r"""$e^{H(\hat p)}$, $\hat p$ the shares of the codes on the moving average; at most K."""
        return D.Categorical(self.counts, validate_args=False).entropy().exp()


class FiniteScalar(Quantiser):
    r"""A grid in the place of a book: each coordinate is rounded to one of $L_j$ levels.

    $$u_j = \tanh z_j, \qquad i_j = \mathrm{round}\Big((L_j - 1) \, \frac{u_j + 1}2\Big), \qquad
    k = i_1 + L_1 \, (i_2 + L_2 \, (i_3 + \dots)).$$

    The $K = \prod_j L_j$ vectors have their coordinates on $-1, \dots, 1$, equally spaced, and do
    not learn. (The published form shifts z so that 0 is a level even where L is even; here it is
    the border of two.) Two levels make signs, as in lookup-free quantisation:
    `FiniteScalar((2,) * bits)`, whose code is the number that the bits $[z_j > 0]$ make.

    Args:
        levels: $L_j$ for each coordinate, at least 2.

    Raises:
        ValueError: there are none, or less than 2.

    Equation: def-grid-code, eq-grid-codes

    Source: Mentzer et al. (2023), arXiv:2309.15505, Finite Scalar Quantization: VQ-VAE Made Simple,
    section 3; Yu et al. (2023), arXiv:2310.05737, for signs.

    >>> FiniteScalar((5, 3)).vectors[:6].tolist()
    [[-1.0, -1.0], [-0.5, -1.0], [0.0, -1.0], [0.5, -1.0], [1.0, -1.0], [-1.0, 0.0]]
    >>> FiniteScalar((2, 2, 2)).nearest(torch.tensor([0.1, -3.0, 0.2]))
    tensor(5)
    """

    def __init__(self, levels: int | Sequence[int] = (5, 5)):
        super().__init__()
        levels = sizes("levels", levels)
        if not levels or min(levels) < 2:
            raise ValueError(f"levels: got {levels}, expected at least 2 for each coordinate")
        base = [math.prod(levels[:j]) for j in range(len(levels))]
        self.register_buffer("tops", torch.tensor(levels) - 1)  # L - 1
        self.register_buffer("base", torch.tensor(base))
        i = torch.arange(math.prod(levels))[:, None] // self.base % (self.tops + 1)  # (K, latent)
        self.register_buffer("vectors", (2 * i / self.tops - 1).to(torch.get_default_dtype()))

    def inside(self, z: Tensor) -> Tensor:
        return z.tanh()

    def nearest(self, z: Tensor) -> Tensor:
        i = ((z.detach() + 1) / 2 * self.tops).round().clamp(min=0).minimum(self.tops)
        return (i.long() * self.base).sum(-1)


class VQVAE(FromArchitecture, nn.Module):
    r"""An autoencoder whose code is M symbols, each the number of the vector next to an output of
    the encoder:

    $$k_m(x) = \arg\min_k \lVert z_m(x) - e_k \rVert, \qquad p_\theta(x \mid k) = p_\theta(x \mid
    e_{k_1}, \dots, e_{k_M}), \qquad p_\theta(x) = \sum_k p(k) \, p_\theta(x \mid k).$$

    It is a latent-variable model. A code is M one-hot vectors, event shape (M, K); the posterior is
    a point mass, so that the KL term of the bound is $M \log K$ under the uniform prior, whatever
    the encoder does. With a `temperature` $\tau$ it is the softmax of $-\lVert z_m - e_k \rVert^2 /
    \tau$, and `objectives.elbo` trains it with any estimator for one-hot codes.

    `objectives.vq` trains the point mass, in a `train.codebook_step` if the vectors follow their
    members. A prior comes second: a model of the `codes` of the data, and `with_prior`.

    Args:
        encoder: maps (..., *shape) to (..., M, latent).
        decoder: maps vectors (..., M, latent) to p(x | e), event shape `shape`.
        quantiser: `Codebook`, or `FiniteScalar`; all M symbols share it.
        prior: called without arguments, returns p(k) as a distribution of one-hot codes (M, K).
        shape: the event shape.
        temperature: $\tau$; 0 for the point mass.

    Raises:
        ValueError: the temperature is negative.

    Equation: def-vq-code, eq-soft-code

    Source: van den Oord, Vinyals and Kavukcuoglu (2017), arXiv:1711.00937, Neural Discrete
    Representation Learning.

    >>> model = VQVAE.mlp((1, 8, 8), symbols=3, quantiser=Codebook(codes=10))
    >>> x = torch.zeros(5, 1, 8, 8)
    >>> model.posterior(x).event_shape, model.codes(x).shape, model.sample(2).shape
    (torch.Size([3, 10]), torch.Size([5, 3]), torch.Size([2, 1, 8, 8]))
    """

    classes = 0

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        quantiser: Quantiser,
        prior: nn.Module,
        shape: int | Sequence[int],
        temperature: float = 0.0,
    ):
        super().__init__()
        self.encoder, self.decoder, self.quantiser, self.p_k = encoder, decoder, quantiser, prior
        self.shape = event_shape(shape)
        if not temperature >= 0:
            raise ValueError(f"temperature: got {temperature}, expected 0 or a positive number")
        self.temperature = temperature

    @property
    def support(self) -> D.constraints.Constraint:
        """Where data lie: the support of p(x | k)."""
        return support_of_decoder(self)

    def outputs(self, x: Tensor) -> Tensor:
        """What is quantised: (..., *shape) -> (..., M, latent)."""
        check_shape(x, self.shape)
        return self.quantiser.inside(self.encoder(x))

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """The symbols k(x): (..., *shape) -> (..., M), integers from 0 to K - 1."""
        return self.quantiser.nearest(self.outputs(x))

    def prior(self) -> D.Distribution:
        """p(k), event shape (M, K)."""
        return self.p_k()

    def posterior(self, x: Tensor) -> D.Distribution:
        """q(k | x): (B, *shape) -> batch shape (B,), event shape (M, K)."""
        z = self.outputs(x)
        if self.temperature:
            logits = -self.quantiser.squared_distances(z) / self.temperature  # (B, M, K)
        else:
            logits = one_hot(self.quantiser.nearest(z), self.quantiser.codes, like=z).log()
        return D.Independent(heads.OneHot(logits), 1, validate_args=False)

    def likelihood(self, z: Tensor) -> D.Distribution:
        """p(x | k): one-hot codes (..., M, K) -> batch shape (...), event shape `shape`."""
        return self.decoder(z @ self.quantiser.vectors)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draw k from the prior, then x given k: (n, *shape)."""
        return self.likelihood(self.prior().sample((integer("n", n),))).sample()

    def with_prior(self, model) -> Self:
        """The same autoencoder under a learned prior: a new model, which shares all parts.

        Args:
            model: of symbols, events (M,) with K levels, as `MADE((M,), levels=K)` trained on
                `codes`.

        Raises:
            ValueError: it is of other symbols.

        Equation: eq-code-prior

        >>> from dgm.models import MADE
        >>> VQVAE.mlp((2,)).with_prior(MADE((2,), levels=16)).sample(3).shape
        torch.Size([3, 2])
        """
        expected, got = tuple(self.prior().event_shape), (*model.shape, model.levels)
        if got != expected:
            raise ValueError(
                f"model: got {got[:-1]} symbols of {got[-1]} levels, expected {expected[:-1]} of "
                f"{expected[-1]}"
            )
        parts = self.encoder, self.decoder, self.quantiser
        return type(self)(*parts, CodePrior(model), self.shape, self.temperature)

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        shape: int | Sequence[int],
        *,
        symbols: int = 2,
        quantiser: Quantiser | None = None,
        likelihood: Callable[..., nn.Module] = heads.Bernoulli,
        temperature: float = 0.0,
    ) -> Self:
        """Both networks from one architecture, and a uniform prior.

        Args:
            architecture: one of `dgm.architectures`; in short `mlp`, `conv` or `residual`.
            shape: event shape of the data.
            symbols: M.
            quantiser: None for `Codebook()`, 16 vectors of 4 coordinates.
            likelihood: a head, called with (features, shape).
            temperature: as above.
        """
        shape, symbols = event_shape(shape), integer("symbols", symbols)
        quantiser = Codebook() if quantiser is None else quantiser
        codes, latent = quantiser.vectors.shape
        down, up = architecture.encoder(shape), architecture.decoder((symbols, latent), shape)
        return cls(
            nn.Sequential(down, to_event(down.out_features, (symbols, latent))),
            nn.Sequential(up, likelihood(up.out_features, shape)),
            quantiser,
            heads.UniformOneHot((symbols, codes)),
            shape,
            temperature,
        )


class CodePrior(nn.Module):
    """A model of symbols as the prior of one-hot codes: called without arguments, `heads.Tokens`.

    >>> from dgm.models import MADE
    >>> CodePrior(MADE((3,), levels=10))().event_shape
    torch.Size([3, 10])
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self) -> heads.Tokens:
        return heads.Tokens(self.model)
