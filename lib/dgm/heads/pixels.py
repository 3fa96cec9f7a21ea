"""Distributions of data given a code, p(x | z): likelihoods. Bernoulli also makes codes of bits."""

import math
from collections.abc import Sequence
from numbers import Integral

import torch
from torch import Tensor, nn
from torch import distributions as D

from ..nets import to_event
from .codes import FairCoins, to_tuple


class Bernoulli(nn.Module):
    """Independent binary pixels, or bits of a code; the network puts out logits log(p / (1 - p)).

    Its support is {0, 1}: binarise grey images first (`batches(..., binarize="dynamic")`). The
    formula x log p + (1 - x) log(1 - p) can be computed for grey x, but it is then no
    log-probability: the masses over [0, 1] do not integrate to one.

    Shapes: features -> batch shape (...), event shape `shape`, a tuple, or a number of bits.

    Equation: eq-bernoulli-logit, eq-grey-mass

    >>> p = Bernoulli(400, (1, 8, 8))(torch.zeros(5, 400))
    >>> p.log_prob(torch.ones(5, 1, 8, 8)).shape
    torch.Size([5])
    """

    prior = FairCoins

    def __init__(self, features: int | tuple[int, int, int], shape: int | Sequence[int]):
        super().__init__()
        self.dims = len(to_tuple(shape))
        self.logits = to_event(features, to_tuple(shape))

    def forward(self, features: Tensor) -> D.Distribution:
        p = D.Bernoulli(logits=self.logits(features), validate_args=False)
        return D.Independent(p, self.dims, validate_args=False)


class Normal(nn.Module):
    """N(mu, sigma^2 I) over an event, with one sigma for all pixels and all inputs.

    It is learned unless it is given. At the maximum of the likelihood a learned sigma^2 is the mean
    squared error per coordinate.

    Shapes: features -> batch shape (...), event shape `shape`.

    Args:
        features: as for every head.
        shape: event shape.
        sigma: the standard deviation, fixed; None to learn it, from 1 on.

    Raises:
        ValueError: sigma is not positive.

    Equation: eq-gaussian-decoder, eq-optimal-sigma

    >>> p = Normal(400, (1, 8, 8))(torch.zeros(5, 400))
    >>> p.mean.shape, p.variance.detach().unique()
    (torch.Size([5, 1, 8, 8]), tensor([1.]))

    As the likelihood of a model: `VAE.mlp(shape, likelihood=partial(heads.Normal, sigma=0.1))`.
    """

    def __init__(
        self,
        features: int | tuple[int, int, int],
        shape: int | Sequence[int],
        sigma: float | None = None,
    ):
        super().__init__()
        if sigma is not None and not 0 < sigma < math.inf:
            raise ValueError(f"sigma: got {sigma}, expected a positive standard deviation, or None")
        self.dims = len(to_tuple(shape))
        self.mean = to_event(features, to_tuple(shape))
        if sigma is None:
            self.log_sigma = nn.Parameter(torch.zeros(()))
        else:
            self.register_buffer("log_sigma", torch.tensor(float(sigma)).log())

    def forward(self, features: Tensor) -> D.Distribution:
        p = D.Normal(self.mean(features), self.log_sigma.exp(), validate_args=False)
        return D.Independent(p, self.dims, validate_args=False)


class NormalPerPixel(nn.Module):
    r"""$\mathcal N(\mu, \operatorname{diag}(\sigma^2))$, a $\sigma$ for each pixel of each input:

    $$\sigma_j^2 = \sigma_{\min}^2 + e^{a_j},$$

    $\mu$ and a put out by the network. Without a floor the likelihood has no upper bound: where one
    image is met exactly, its density grows like $\sigma^{-D}$ as $\sigma$ falls to zero. With it a
    pixel's log-density is at most $-\log \sigma_{\min} - \frac12 \log 2 \pi$. A floor of about the
    distance of two grey levels loses nothing that the data can tell.

    Shapes: features -> batch shape (...), event shape `shape`.

    Args:
        features: as for every head.
        shape: event shape.
        floor: $\sigma_{\min}$, the least standard deviation, in the units of the data.

    Raises:
        ValueError: floor is not positive.

    Source: Mattei and Frellsen (2018), arXiv:1802.04826, Leveraging the Exact Likelihood of Deep
    Latent Variable Models.

    >>> p = NormalPerPixel(400, (1, 8, 8))(torch.randn(5, 400))
    >>> p.stddev.shape, bool((p.stddev > 0.05).all())
    (torch.Size([5, 1, 8, 8]), True)
    """

    def __init__(
        self, features: int | tuple[int, int, int], shape: int | Sequence[int], floor: float = 0.05
    ):
        super().__init__()
        if not 0 < floor < math.inf:
            raise ValueError(f"floor: got {floor}, expected a positive standard deviation")
        self.dims = len(to_tuple(shape))
        self.floor = floor
        self.parameters_of = to_event(features, to_tuple(shape), n=2)

    def forward(self, features: Tensor) -> D.Distribution:
        mu, a = self.parameters_of(features).unbind(-self.dims - 1)  # (..., *shape) each
        # not as the root of a sum: e^a overflows float32 at 89, floor^2 vanishes below 1e-22
        root = (0.5 * a).exp()
        sigma = torch.hypot(root, root.new_full((), self.floor))
        p = D.Normal(mu, sigma, validate_args=False)
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
        self, features: int | tuple[int, int, int], shape: int | Sequence[int], levels: int = 256
    ):
        super().__init__()
        if not isinstance(levels, Integral) or levels < 2:
            raise ValueError(f"levels: got {levels}, expected at least 2")
        self.dims = len(to_tuple(shape))
        self.logits = to_event(features, to_tuple(shape), n=int(levels))

    def forward(self, features: Tensor) -> D.Distribution:
        logits = self.logits(features).movedim(-self.dims - 1, -1)  # (..., *shape, levels)
        return D.Independent(GreyLevels(logits), self.dims, validate_args=False)


class GreyLevels(D.Categorical):
    """A categorical distribution over the numbers 0, 1/(L-1), ..., 1 instead of indices 0..L-1.

    Draws have the type of the logits, or float32 where that is coarser: between the neighbours
    254/255 and 1 bfloat16 has no number.

    Raises:
        ValueError: fewer than two levels.

    >>> p = GreyLevels(torch.zeros(3))
    >>> p.log_prob(torch.tensor([0.0, 0.5, 1.0])).exp()
    tensor([0.3333, 0.3333, 0.3333])
    """

    def __init__(self, logits: Tensor):
        self.top = logits.shape[-1] - 1
        if self.top < 1:
            raise ValueError(f"logits: got {self.top + 1} levels, expected at least 2")
        super().__init__(logits=logits, validate_args=False)

    def expand(self, batch_shape, _instance=None) -> "GreyLevels":
        new = self._get_checked_instance(GreyLevels, _instance)
        new.top = self.top
        return super().expand(batch_shape, new)

    @property
    def support(self) -> D.constraints.Constraint:
        return OnGrid(self.top)

    @property
    def mean(self) -> Tensor:
        levels = self._levels()
        return self.probs.to(levels) @ levels

    @property
    def mode(self) -> Tensor:
        return self._on_grid(super().mode)

    @property
    def variance(self) -> Tensor:
        levels = self._levels()
        return (self.probs * (levels - self.mean[..., None]).square()).sum(-1)

    def sample(self, sample_shape=()) -> Tensor:
        return self._on_grid(super().sample(torch.Size(sample_shape)))

    def enumerate_support(self, expand: bool = True) -> Tensor:
        return self._on_grid(super().enumerate_support(expand))

    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob((x * self.top).round())

    def _on_grid(self, index: Tensor) -> Tensor:
        return index.to(torch.promote_types(self.probs.dtype, torch.float32)) / self.top

    def _levels(self) -> Tensor:
        return self._on_grid(torch.arange(self.top + 1, device=self.probs.device))  # (L,)


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


class Levels(D.constraints.Constraint):
    """The floats 0, 1/(levels - 1), ..., 1 and the integers 0, ..., levels - 1.

    >>> Levels(3).check(torch.tensor([0.5, 0.6])), Levels(3).check(torch.tensor([2, 3]))
    (tensor([ True, False]), tensor([ True, False]))
    """

    is_discrete = True

    def __init__(self, levels: int):
        super().__init__()
        self.levels = levels

    def check(self, x: Tensor) -> Tensor:
        if x.is_floating_point():
            return OnGrid(self.levels - 1).check(x)
        return (x >= 0) & (x.long() < self.levels)  # uint8 cannot be compared with 256

    def __repr__(self) -> str:
        top = self.levels - 1
        grid = "0 and 1" if top == 1 else f"0, 1/{top}, ..., 1 (or integers 0, ..., {top})"
        return f"{self.levels} levels: {grid}"
