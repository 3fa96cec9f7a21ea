"""Heads: from features to a distribution.

A network followed by a head is a conditional distribution. Calling it returns an object of
`torch.distributions` with the usual vocabulary: `log_prob`, `sample`, `mean`, `batch_shape` (one
distribution per row of the input) and `event_shape` (one draw).

    encoder = nn.Sequential(nets.mlp((1, 8, 8), 400), heads.DiagonalNormal(400, 2))     # q(z | x)
    decoder = nn.Sequential(nets.mlp(2, 400), heads.Bernoulli(400, (1, 8, 8)))          # p(x | z)

`features` is the `out_features` of the network before the head: a number, or (C, H, W) for a
feature map. The distributions skip their own argument checks, which cost time at every step;
`dgm.train.fit` checks once that the data lie in the support.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributions as D

from .nets import to_event


class DiagonalNormal(nn.Module):
    """N(mu, diag(sigma^2)) over codes, with mu and log sigma^2 affine in the features.

    The network puts out log sigma^2, which may have any sign; sigma = exp(log sigma^2 / 2) is
    positive whatever comes. `torch.distributions.Normal` takes the standard deviation sigma.

    Shapes: (..., features) -> batch shape (...), event shape (latent,).

    >>> q = DiagonalNormal(400, 2)(torch.zeros(5, 400))
    >>> q.batch_shape, q.event_shape
    (torch.Size([5]), torch.Size([2]))
    """

    def __init__(self, features: int, latent: int):
        super().__init__()
        self.parameters_of = to_event(features, (latent,), n=2)

    def forward(self, features: Tensor) -> D.Distribution:
        mu, log_var = self.parameters_of(features).unbind(-2)  # (..., latent) each
        return D.Independent(D.Normal(mu, (0.5 * log_var).exp(), validate_args=False), 1)


class FullNormal(nn.Module):
    """N(mu, L L^T) over codes, L lower triangular with a positive diagonal (a Cholesky factor).

    The diagonal of L is the exponential of what the network puts out, so L is always invertible and
    every covariance matrix has exactly one such L.

    Shapes: (..., features) -> batch shape (...), event shape (latent,).

    Source: Kingma and Welling (2019), An Introduction to Variational Autoencoders, section 2.5.1.

    >>> q = FullNormal(400, 3)(torch.zeros(5, 400))
    >>> q.covariance_matrix.shape
    torch.Size([5, 3, 3])
    """

    def __init__(self, features: int, latent: int):
        super().__init__()
        self.mean = nn.Linear(features, latent)
        self.factor = to_event(features, (latent, latent))

    def forward(self, features: Tensor) -> D.Distribution:
        raw = self.factor(features)  # (..., latent, latent)
        log_diagonal = raw.diagonal(dim1=-2, dim2=-1)
        scale_tril = raw.tril(-1) + log_diagonal.exp().diag_embed()
        return D.MultivariateNormal(self.mean(features), scale_tril=scale_tril, validate_args=False)


class Bernoulli(nn.Module):
    """Independent binary pixels; the network puts out logits log(p / (1 - p)).

    Its support is {0, 1}: binarise grey images first (`batches(..., binarize="dynamic")`). The
    formula x log p + (1 - x) log(1 - p) can be computed for grey x, but it is then no
    log-probability: the masses over [0, 1] do not integrate to one.

    Shapes: features -> batch shape (...), event shape `shape`.

    >>> p = Bernoulli(400, (1, 8, 8))(torch.zeros(5, 400))
    >>> p.log_prob(torch.ones(5, 1, 8, 8)).shape
    torch.Size([5])
    """

    def __init__(self, features: int | tuple[int, int, int], shape: Sequence[int]):
        super().__init__()
        self.dims = len(shape)
        self.logits = to_event(features, shape)

    def forward(self, features: Tensor) -> D.Distribution:
        p = D.Bernoulli(logits=self.logits(features), validate_args=False)
        return D.Independent(p, self.dims, validate_args=False)


class Normal(nn.Module):
    """N(mu, sigma^2 I) over an event, with one sigma for all pixels and all inputs, learned.

    At the maximum of the likelihood sigma^2 is the mean squared error per coordinate. One shared
    sigma cannot shrink onto a single well-reconstructed image, which a sigma per image can: then
    the likelihood has no upper bound.

    Shapes: features -> batch shape (...), event shape `shape`.

    >>> p = Normal(400, (1, 8, 8))(torch.zeros(5, 400))
    >>> p.mean.shape, p.variance.detach().unique()
    (torch.Size([5, 1, 8, 8]), tensor([1.]))
    """

    def __init__(self, features: int | tuple[int, int, int], shape: Sequence[int]):
        super().__init__()
        self.dims = len(shape)
        self.mean = to_event(features, shape)
        self.log_sigma = nn.Parameter(torch.zeros(()))

    def forward(self, features: Tensor) -> D.Distribution:
        p = D.Normal(self.mean(features), self.log_sigma.exp(), validate_args=False)
        return D.Independent(p, self.dims, validate_args=False)


class Categorical(nn.Module):
    """Independent pixels with `levels` grey levels each; the network puts out a logit per level.

    Pixels are given and drawn on the grid 0, 1/(levels-1), ..., 1, as everywhere in the library.

    Shapes: features -> batch shape (...), event shape `shape`.

    >>> p = Categorical(400, (1, 8, 8), levels=17)(torch.zeros(5, 400))
    >>> p.sample((3,)).shape
    torch.Size([3, 5, 1, 8, 8])
    """

    def __init__(
        self, features: int | tuple[int, int, int], shape: Sequence[int], levels: int = 256
    ):
        super().__init__()
        if levels < 2:
            raise ValueError(f"levels: got {levels}, expected at least 2")
        self.dims = len(shape)
        self.logits = to_event(features, shape, n=levels)

    def forward(self, features: Tensor) -> D.Distribution:
        logits = self.logits(features).movedim(-self.dims - 1, -1)  # (..., *shape, levels)
        return D.Independent(GreyLevels(logits), self.dims, validate_args=False)


class GreyLevels(D.Categorical):
    """A categorical distribution over the numbers 0, 1/(L-1), ..., 1 instead of indices 0..L-1.

    >>> p = GreyLevels(torch.zeros(3))
    >>> p.log_prob(torch.tensor([0.0, 0.5, 1.0])).exp()
    tensor([0.3333, 0.3333, 0.3333])
    """

    def __init__(self, logits: Tensor):
        super().__init__(logits=logits, validate_args=False)
        self.top = logits.shape[-1] - 1

    @property
    def support(self) -> D.constraints.Constraint:
        return OnGrid(self.top)

    @property
    def mean(self) -> Tensor:
        grid = torch.linspace(0, 1, self.top + 1, device=self.logits.device)
        return self.probs @ grid

    def sample(self, sample_shape=()) -> Tensor:
        return super().sample(torch.Size(sample_shape)) / self.top

    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob((x * self.top).round())


class OnGrid(D.constraints.Constraint):
    """The set {0, 1/top, ..., 1}, up to the rounding of float32."""

    is_discrete = True

    def __init__(self, top: int):
        super().__init__()
        self.top = top

    def check(self, x: Tensor) -> Tensor:
        index = x * self.top
        near = (index - index.round()).abs() < 1e-3
        return near & (index > -0.5) & (index < self.top + 0.5)

    def __repr__(self) -> str:
        return f"the grid 0, 1/{self.top}, ..., 1"
