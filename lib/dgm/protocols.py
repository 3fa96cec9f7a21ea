"""What a generative model can do, as types.

The usual taxonomy sorts models by what they promise. Here each promise is a protocol: a set of
methods. A class belongs to a protocol when it has the methods; it need not inherit anything.

    Generative        can draw samples                       (a GAN's generator)
    Tractable         ... and evaluate log p(x) exactly      (mixtures, PPCA, autoregressive models)
    LatentVariable    ... or has the parts of p(x, z)        (variational autoencoders, M2)
    Energy            knows log p(x) up to a constant        (Boltzmann machines, networks)
    Denoiser          knows what a noisy x was               (diffusion models)
    SemiSupervised    can say which label an example has     (M2, the prediction-constrained VAE)

**Labels.** Every model has `classes`, 0 where it takes no label. A model with classes is one of
p(x | y): its methods take `y=`, (B,) integers from 0 to classes - 1, and so do objectives and
evaluations, which hand it on by `given`. y = -1 is an example without a label: what learns from
labels leaves it out, or raises `ValueError`.

>>> import math, torch
>>> from dgm.protocols import Tractable
>>> class FairCoins:
...     def sample(self, n): return torch.bernoulli(torch.full((n, 3), 0.5))
...     def log_prob(self, x): return torch.full(x.shape[:1], 3 * math.log(0.5))
>>> isinstance(FairCoins(), Tractable)
True
"""

from numbers import Integral
from typing import Protocol, runtime_checkable

from torch import Tensor
from torch.distributions import Distribution


@runtime_checkable
class Generative(Protocol):
    """A model that can be sampled. If that is all it can do, its density is implicit."""

    def sample(self, n: int) -> Tensor:
        """Draw `n` events from the model, shape (n, *event)."""
        ...


@runtime_checkable
class Tractable(Generative, Protocol):
    """A model whose density can be evaluated: exact maximum likelihood is possible."""

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) in nats, shape (B,) for x of shape (B, *event)."""
        ...


@runtime_checkable
class LatentVariable(Generative, Protocol):
    """p(x, z) = p(z) p(x | z), with an approximate posterior q(z | x).

    With classes it is p(x, z | y) = p(z | y) p(x | z, y), and q(z | x, y).

    Equation: def-latent-variable-model
    """

    def prior(self) -> Distribution:
        """p(z), event shape (latent,)."""
        ...

    def posterior(self, x: Tensor) -> Distribution:
        """q(z | x), batch shape (B,), event shape (latent,)."""
        ...

    def likelihood(self, z: Tensor) -> Distribution:
        """p(x | z) for codes z of shape (..., latent), event shape of the data."""
        ...


@runtime_checkable
class Energy(Protocol):
    """A model whose density is known up to a factor: p(x) = exp(-E(x)) / Z."""

    def energy(self, x: Tensor) -> Tensor:
        """E(x), minus log p(x) up to a constant, shape (B,) for x of shape (B, *event)."""
        ...


@runtime_checkable
class Denoiser(Protocol):
    """What is known of data behind noise, x_t = alpha(t) x + sigma(t) eps, t = 0 the data.

    The three methods say the same in three ways: each is an affine function of any other and x_t.
    Where the data are N(0, I) and alpha^2 + sigma^2 = 1, all are known:

    >>> import math, torch
    >>> class OfStandardNormalData:
    ...     def denoise(self, x, t): return torch.cos(t * math.pi / 2)[:, None] * x
    ...     def score(self, x, t): return -x  # x_t is N(0, I) as well
    ...     def velocity(self, x, t): return torch.zeros_like(x)
    >>> isinstance(OfStandardNormalData(), Denoiser)
    True
    """

    def denoise(self, x: Tensor, t: Tensor) -> Tensor:
        """E[x | x_t], (B, *event) for x_t of shape (B, *event) and times (B,)."""
        ...

    def score(self, x: Tensor, t: Tensor) -> Tensor:
        """The gradient of log p_t at x_t, (B, *event)."""
        ...

    def velocity(self, x: Tensor, t: Tensor) -> Tensor:
        """E[dx_t / dt | x_t], (B, *event): the field that carries the noise to the data."""
        ...


@runtime_checkable
class SemiSupervised(Protocol):
    """A model that predicts labels, and can therefore learn from examples without one, y = -1.

    Attributes:
        predicted_classes: how many classes there are to choose from. (`classes` is how many it can
            be given, as any model: all of them in M2, none in a prediction-constrained VAE.)
    """

    predicted_classes: int

    def classify(self, x: Tensor) -> Distribution:
        """A distribution over the labels: (B, *event) -> batch shape (B,)."""
        ...


def classes_of(model) -> int:
    """How many classes a model has; 0 if it says nothing of them, or means something else."""
    classes = getattr(model, "classes", 0)
    return int(classes) if isinstance(classes, Integral) else 0


def given(model, y: Tensor | None) -> dict[str, Tensor]:
    """The keyword `y` for the methods of a model with classes, and nothing for those of others.

    Batches of labelled data can therefore go to any model: one without classes is given x alone.

    Raises:
        ValueError: the model has classes, and there are no labels.

    >>> from dgm.models import VAE, ConditionalVAE
    >>> given(VAE.mlp((2,)), 3), given(ConditionalVAE.mlp((2,)), 3)
    ({}, {'y': 3})
    """
    classes = classes_of(model)
    if not classes:
        return {}
    if y is None:
        raise ValueError(
            f"y: got None, expected labels (B,) from 0 to {classes - 1}: "
            f"{type(model).__name__} needs them"
        )
    return {"y": y}
