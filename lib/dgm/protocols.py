"""What a generative model can do, as types.

The usual taxonomy sorts models by what they promise. Here each promise is a protocol: a set of
methods. A class belongs to a protocol when it has the methods; it need not inherit anything.

    Generative        can draw samples                       (a GAN's generator)
    Tractable         ... and evaluate log p(x) exactly      (mixtures, PPCA, autoregressive models)
    LatentVariable    ... or has the parts of p(x, z)        (variational autoencoders, M2)
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
