"""Generative adversarial networks: a generator that makes samples, a critic that judges them.

    generator   x = G_theta(z),  z ~ N(0, I)     an implicit model: sampled, never evaluated
    critic      D_psi(x), one real number        large where x looks like data

The two are trained against each other by `dgm.train.adversarial_step`. With the logistic objective
D_psi(x) is a logit, sigma(D_psi(x)) the probability that x is real, and the critic goes by the name
of discriminator; with the Wasserstein objective D_psi(x) is a number without such a meaning.

Source: Goodfellow et al. (2014), arXiv:1406.2661, Generative Adversarial Nets; for images Radford
et al. (2016), arXiv:1511.06434, Unsupervised Representation Learning with Deep Convolutional GANs.
"""

from collections.abc import Sequence
from functools import partial
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch import distributions as D
from torch.distributions import constraints
from torch.nn.utils import parametrizations

from .. import nets
from ..architectures import Architecture
from ..checks import check_labels, check_shape, event_shape, integer, sizes
from ._from_architecture import FromArchitecture

# The values that a network can put out, by its last layer; other layers have no bounds.
_RANGES = {nn.Sigmoid: constraints.unit_interval, nn.Tanh: constraints.interval(-1.0, 1.0)}
# Of critics: a slope of zero on half the line would pass no gradient on to the generator there.
LEAKY_RELU = partial(nn.LeakyReLU, 0.2)


class Generator(FromArchitecture, nn.Module):
    r"""$x = G_\theta(z)$ with $z \sim \mathcal N(0, I)$: noise in, an event out.

    Images come out of a sigmoid, because their pixels lie in [0, 1]; points are affine in the last
    features.

    Args:
        network: maps (..., latent + classes) to (..., *shape).
        latent: number of coordinates of z.
        shape: the event shape.
        classes: 0, or the number of classes of a conditional generator, which takes labels `y=`
            in every method: the label joins z as `classes` zeros and ones.

    Raises:
        ValueError: classes and no labels, labels and no classes, or y are not labels.

    Equation: def-generator

    >>> generator = Generator.mlp((1, 8, 8), latent=10)
    >>> generator.sample(5).shape, generator.sample(5).requires_grad
    (torch.Size([5, 1, 8, 8]), False)
    >>> generator.rsample(5).requires_grad
    True
    """

    def __init__(self, network: nn.Module, latent: int, shape: Sequence[int], classes: int = 0):
        super().__init__()
        self.network, self.latent = network, integer("latent", latent)
        self.classes = integer("classes", classes, at_least=0)
        self.shape = event_shape(shape)
        self.register_buffer("origin", torch.zeros(self.latent), persistent=False)

    @property
    def support(self) -> constraints.Constraint:
        """Where samples lie: the range of the network's last layer."""
        last = list(self.network.modules())[-1]
        return _RANGES.get(type(last), constraints.real)

    def prior(self) -> D.Distribution:
        """p(z) = N(0, I), event shape (latent,)."""
        scale = torch.ones_like(self.origin)
        return D.Independent(D.Normal(self.origin, scale, validate_args=False), 1)

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """G(z), or G(z, y) for labels (...): (..., latent) -> (..., *shape)."""
        check_labels(y, self.classes, z.shape[:-1])
        if y is not None:
            label = F.one_hot(y.long(), self.classes).to(z)  # (..., classes)
            z = torch.cat([z, label], -1)
        return self.network(z)

    def rsample(self, n: int, y: Tensor | None = None) -> Tensor:
        """`n` samples that keep their graph, for the generator's own update: (n, *shape)."""
        return self(self.prior().sample((integer("n", n),)), y)

    @torch.no_grad()
    def sample(self, n: int, y: Tensor | None = None) -> Tensor:
        """`n` samples without a graph, for everything else: (n, *shape). `y` is (n,)."""
        return self.rsample(n, y)

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        shape: int | Sequence[int],
        *,
        latent: int = 32,
        classes: int = 0,
    ) -> Self:
        """A decoder, and on top an affine layer; for images a sigmoid, too.

        Args:
            architecture: one of `dgm.architectures`; in short `mlp`, `conv` or `residual`.
            shape: event shape of the data.
            latent: number of coordinates of z.
            classes: number of classes, 0 without labels.
        """
        shape, latent = event_shape(shape), integer("latent", latent)
        classes = integer("classes", classes, at_least=0)
        up = architecture.decoder(latent + classes, shape)
        squash = [nn.Sigmoid()] if len(shape) == 3 else []  # pixels lie in [0, 1], points anywhere
        network = nn.Sequential(up, nets.to_event(up.out_features, shape), *squash)
        return cls(network, latent, shape, classes)

    @classmethod
    def mlp(
        cls, shape: int | Sequence[int], *, hidden: int | Sequence[int] = (128, 128), **more
    ) -> Self:
        """A multilayer perceptron; `hidden` are the widths on the way from z to x."""
        return super().mlp(shape, hidden=sizes("hidden", hidden)[::-1], **more)


class Critic(FromArchitecture, nn.Module):
    r"""$D_\psi(x)$, one real number per example: a logit (discriminator) or without a unit.

    No batch normalisation: D(x) must depend on x alone, or its gradient with respect to one example
    would be that of a whole batch, and gradient penalties would be wrong.

    Args:
        features: a network of `dgm.nets`, (..., *shape) -> (..., out_features).
        shape: the event shape.
        classes: 0, or the number of classes of a conditional critic, which has one output per class
            and takes labels `y=` to choose among them.
        spectral_norm: divide every weight matrix by its largest singular value. As ReLU and
            leaky ReLU have slopes of at most 1, an mlp then has Lipschitz constant at most 1.
            (Of a convolution, the matrix is its kernel as (C_out, C_in k^2), by convention; the
            constant of the convolution itself can be up to k times that, by a factor that strides
            lower.) Source: Miyato et al. (2018), arXiv:1802.05957, Spectral Normalization for GANs.

    Raises:
        ValueError: classes and no labels, labels and no classes, or y are not labels.

    Equation: def-discriminator

    >>> critic = Critic.mlp((1, 8, 8))
    >>> critic(torch.rand(5, 1, 8, 8)).shape
    torch.Size([5])
    """

    support = constraints.real

    def __init__(
        self,
        features: nets.Features,
        shape: Sequence[int],
        classes: int = 0,
        spectral_norm: bool = False,
    ):
        super().__init__()
        self.features, self.shape = features, event_shape(shape)
        self.classes = integer("classes", classes, at_least=0)
        self.logits = nn.Linear(features.out_features, max(self.classes, 1))
        if spectral_norm:
            for layer in list(self.modules()):
                if isinstance(layer, nn.Linear | nn.Conv2d):
                    parametrizations.spectral_norm(layer)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """D(x), or D(x, y) for labels (...): (..., *shape) -> (...)."""
        check_shape(x, self.shape)
        check_labels(y, self.classes, x.shape[: x.dim() - len(self.shape)])
        logits = self.logits(self.features(x))  # (..., max(classes, 1))
        return logits[..., 0] if y is None else logits.gather(-1, y.long()[..., None])[..., 0]

    @classmethod
    def of(
        cls,
        architecture: Architecture,
        shape: int | Sequence[int],
        *,
        classes: int = 0,
        spectral_norm: bool = False,
    ) -> Self:
        """An encoder with leaky ReLUs, and a linear layer on top.

        Args:
            architecture: one of `dgm.architectures`; in short `mlp`, `conv` or `residual`.
            shape: event shape of the data.
            classes: number of classes, 0 without labels.
            spectral_norm: see above.
        """
        return cls(architecture.encoder(shape, LEAKY_RELU), shape, classes, spectral_norm)

    @classmethod
    def mlp(
        cls, shape: int | Sequence[int], *, hidden: int | Sequence[int] = (128, 128), **more
    ) -> Self:
        """A multilayer perceptron, for points and small images."""
        return super().mlp(shape, hidden=hidden, **more)
