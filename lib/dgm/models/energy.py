"""A network as an energy: any function is a density, up to its sum."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from .. import nets
from ..architectures import Architecture
from ..checks import check_event, event_shape, integer, positive, sizes
from ._from_architecture import FromArchitecture


class EnergyNetwork(FromArchitecture, nn.Module):
    r"""$p(x) \propto e^{-E(x)}$ with an energy that is a network's:

    $$E(x) = w^\top f_\theta(x) + \tfrac\kappa2 \lVert x \rVert^2 .$$

    Networks of SiLUs grow no faster than linearly, so that the weak quadratic makes the sum Z
    finite whatever the weights are. Nobody knows Z; `log_normaliser` is the model's own guess of
    its logarithm, which only `noise_contrastive` trains.

    Args:
        features: a network of `dgm.nets`, (..., *shape) -> (..., out_features), with a continuous
            slope.
        shape: the event shape.
        confine: $\kappa$, the curvature of the quadratic.

    Attributes:
        log_normaliser: c, a parameter: log p(x) = -E(x) - c, once c is log Z.

    Raises:
        ValueError: confine is not positive.

    Source: LeCun et al. (2006), A tutorial on energy-based learning; Du and Mordatch (2019),
    arXiv:1903.08689, Implicit Generation and Modeling with Energy Based Models.

    >>> model = EnergyNetwork.fourier((2,))
    >>> model.energy(torch.zeros(5, 2)).shape
    torch.Size([5])
    """

    support = constraints.real
    classes = 0

    def __init__(self, features: nets.Features, shape: Sequence[int], confine: float = 0.05):
        super().__init__()
        self.features, self.shape = features, event_shape(shape)
        self.confine = positive("confine", confine)
        self.weight = nn.Linear(features.out_features, 1, bias=False)  # a constant is no energy
        self.log_normaliser = nn.Parameter(torch.zeros(()))

    def energy(self, x: Tensor) -> Tensor:
        """E(x): (..., *shape) -> (...)."""
        check_event(self, x)
        square = x.square().flatten(-len(self.shape)).sum(-1)  # (...)
        return self.weight(self.features(x))[..., 0] + self.confine / 2 * square

    @classmethod
    def of(
        cls, architecture: Architecture, shape: int | Sequence[int], *, confine: float = 0.05
    ) -> Self:
        """An encoder with SiLUs, and a linear layer on top.

        Args:
            architecture: one of `dgm.architectures`; in short `mlp`, `conv` or `residual`.
            shape: event shape of the data.
            confine: see above.
        """
        return cls(architecture.encoder(shape, nn.SiLU), shape, confine)

    @classmethod
    def fourier(
        cls,
        shape: int | Sequence[int],
        *,
        hidden: int | Sequence[int] = (64, 64),
        features: int = 32,
        scale: float = 2.5,
        confine: float = 0.05,
    ) -> Self:
        """A multilayer perceptron of waves, `nets.Fourier`, for points: a plain one is too smooth.

        Args:
            shape: event shape of the data.
            hidden: widths of the hidden layers.
            features: how many waves.
            scale: the standard deviation of their frequencies, in radians per unit of x.
            confine: see above.
        """
        shape = event_shape(shape)
        waves = nets.Fourier(math.prod(shape), integer("features", features), scale)
        rest = nets.mlp(waves.out_features, *sizes("hidden", hidden), activation=nn.SiLU)
        layers = [nn.Flatten(-len(shape)), waves, *rest]
        return cls(nets.Features(layers, rest.out_features), shape, confine)
