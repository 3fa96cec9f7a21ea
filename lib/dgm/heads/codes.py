"""Distributions of codes: posteriors q(z | x), of features, and priors p(z), of nothing."""

import math
from collections.abc import Sequence
from numbers import Integral
from operator import index

import torch
from torch import Tensor, nn
from torch import distributions as D

from ..nets import to_event


class StandardNormal(nn.Module):
    """The prior N(0, I) over codes: a head without features, called without arguments.

    Shapes: event shape `shape`, a number or a tuple; batch shape ().

    >>> StandardNormal(2)().sample((5,)).shape
    torch.Size([5, 2])
    """

    def __init__(self, shape: int | Sequence[int]):
        super().__init__()
        self.register_buffer("mean", torch.zeros(to_tuple(shape)))
        self.register_buffer("sigma", torch.ones(to_tuple(shape)))

    def forward(self) -> D.Distribution:
        p = D.Normal(self.mean, self.sigma, validate_args=False)
        return D.Independent(p, self.mean.dim(), validate_args=False)


class UnitCube(nn.Module):
    """The prior uniform on [0, 1] in every coordinate, its ends included.

    Shapes: event shape `shape`, a number or a tuple; batch shape ().

    >>> UnitCube(2)().log_prob(torch.tensor([[1.0, 0.5], [1.1, 0.5]]))
    tensor([-0., -inf])
    """

    def __init__(self, shape: int | Sequence[int]):
        super().__init__()
        self.register_buffer("low", torch.zeros(to_tuple(shape)))

    def forward(self) -> D.Distribution:
        return D.Independent(Box(self.low, 1.0), self.low.dim(), validate_args=False)


class Box(D.Uniform):
    """The uniform distribution on [low, low + width], ends included.

    A draw may be rounded to an end or just beyond it. torch's Uniform, which leaves the upper end
    out, gives such a draw the density zero.

    >>> Box(torch.tensor([0.0, 0.5]), 0.5).log_prob(torch.tensor([0.5, 1.0])).exp()
    tensor([2., 2.])
    """

    def __init__(self, low: Tensor, width: float):
        self.width = width
        super().__init__(low, low + width, validate_args=False)

    @property
    def mode(self) -> Tensor:
        return self.mean  # as good as any

    def expand(self, batch_shape, _instance=None) -> "Box":
        return Box(self.low.expand(batch_shape), self.width)

    def log_prob(self, x: Tensor) -> Tensor:
        slack = 4 * torch.finfo(x.dtype).eps
        inside = (x >= self.low - slack) & (x <= self.high + slack)
        return torch.full_like(x, -math.log(self.width)).masked_fill(~inside, -torch.inf)


class FairCoins(nn.Module):
    """The prior over codes of independent bits, each 0 or 1 with probability one half.

    Shapes: event shape `shape`, a number or a tuple; batch shape ().

    >>> FairCoins(8)().log_prob(torch.ones(8)).exp() * 2**8
    tensor(1.)
    """

    def __init__(self, shape: int | Sequence[int]):
        super().__init__()
        self.register_buffer("logits", torch.zeros(to_tuple(shape)))

    def forward(self) -> D.Distribution:
        p = D.Bernoulli(logits=self.logits, validate_args=False)
        return D.Independent(p, self.logits.dim(), validate_args=False)


class UniformOneHot(nn.Module):
    """The prior over one-hot codes, every class as likely as another.

    Shapes: event shape `shape`: the number of classes, or a tuple that ends in it; batch shape ().

    >>> UniformOneHot((3, 10))().sample().sum(-1)       # three codes of ten classes each
    tensor([1., 1., 1.])
    """

    def __init__(self, shape: int | Sequence[int]):
        super().__init__()
        self.register_buffer("logits", torch.zeros(to_tuple(shape)))

    def forward(self) -> D.Distribution:
        return _one_hot(self.logits, self.logits.dim())


class DiagonalNormal(nn.Module):
    """N(mu, diag(sigma^2)) over codes, with mu and log sigma^2 affine in the features.

    The network puts out log sigma^2, which may have any sign; sigma = exp(log sigma^2 / 2) is
    positive whatever comes. `torch.distributions.Normal` takes the standard deviation sigma.

    Shapes: (..., features) -> batch shape (...), event shape `latent`, a number or a tuple.

    >>> q = DiagonalNormal(400, 2)(torch.zeros(5, 400))
    >>> q.batch_shape, q.event_shape
    (torch.Size([5]), torch.Size([2]))
    """

    prior = StandardNormal

    def __init__(self, features: int, latent: int | Sequence[int]):
        super().__init__()
        self.dims = len(to_tuple(latent))
        self.parameters_of = to_event(features, to_tuple(latent), n=2)

    def forward(self, features: Tensor) -> D.Distribution:
        mu, log_var = self.parameters_of(features).unbind(-self.dims - 1)  # (..., latent) each
        q = D.Normal(mu, (0.5 * log_var).exp(), validate_args=False)
        return D.Independent(q, self.dims, validate_args=False)


class FullNormal(nn.Module):
    """N(mu, L L^T) over codes, L lower triangular with a positive diagonal (a Cholesky factor).

    The diagonal of L is the exponential of what the network puts out, so L is always invertible and
    every covariance matrix has exactly one such L.

    Shapes: (..., features) -> batch shape (...), event shape (latent,).

    Raises:
        ValueError: the code is no vector.

    Source: Kingma and Welling (2019), doi:10.1561/2200000056, An Introduction to Variational
    Autoencoders, section 2.5.1.

    >>> q = FullNormal(400, 3)(torch.zeros(5, 400))
    >>> q.covariance_matrix.shape
    torch.Size([5, 3, 3])
    """

    prior = StandardNormal

    def __init__(self, features: int, latent: int | Sequence[int]):
        super().__init__()
        shape = to_tuple(latent)
        if len(shape) != 1:
            raise ValueError(f"latent: got {shape}, expected the size of a vector")
        self.mean = nn.Linear(features, *shape)
        self.factor = to_event(features, (*shape, *shape))

    def forward(self, features: Tensor) -> D.Distribution:
        raw = self.factor(features)  # (..., latent, latent)
        log_diagonal = raw.diagonal(dim1=-2, dim2=-1)
        scale_tril = raw.tril(-1) + log_diagonal.exp().diag_embed()
        return D.MultivariateNormal(self.mean(features), scale_tril=scale_tril, validate_args=False)


class OneHotCategorical(nn.Module):
    """Codes that choose one of several classes, written as one-hot vectors.

    Shapes: (..., features) -> batch shape (...), event shape `shape`: the number of classes, or a
    tuple that ends in it for several independent choices.

    Equation: eq-softmax

    >>> q = OneHotCategorical(400, (3, 10))(torch.zeros(5, 400))
    >>> q.batch_shape, q.event_shape
    (torch.Size([5]), torch.Size([3, 10]))
    """

    prior = UniformOneHot

    def __init__(self, features: int, shape: int | Sequence[int]):
        super().__init__()
        self.dims = len(to_tuple(shape))
        self.logits = to_event(features, to_tuple(shape))

    def forward(self, features: Tensor) -> D.Distribution:
        return _one_hot(self.logits(features), self.dims)


class OneHot(D.OneHotCategorical):
    """torch's OneHotCategorical, without the checks that it makes whatever `validate_args` says.

    It wraps a `Categorical` and does not pass `validate_args` on.

    >>> OneHot(torch.zeros(4)).log_prob(torch.tensor([0.0, 0.0, 1.0, 0.0])).exp()
    tensor(0.2500)
    """

    def __init__(self, logits: Tensor):
        self._categorical = D.Categorical(logits=logits, validate_args=False)
        D.Distribution.__init__(self, logits.shape[:-1], logits.shape[-1:], validate_args=False)

    def expand(self, batch_shape, _instance=None) -> "OneHot":
        return OneHot(self.logits.expand(*batch_shape, -1))


def _one_hot(logits: Tensor, dims: int) -> D.Distribution:
    """One-hot vectors of event shape `logits.shape[-dims:]`."""
    q = OneHot(logits)
    return D.Independent(q, dims - 1, validate_args=False) if dims > 1 else q


def to_tuple(shape: int | Sequence[int]) -> tuple[int, ...]:
    """An event shape as plain ints, NumPy's integers too: torch's layers want no others."""
    return (index(shape),) if isinstance(shape, Integral) else tuple(map(index, shape))
