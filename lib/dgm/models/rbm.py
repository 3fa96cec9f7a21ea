"""The restricted Boltzmann machine: a latent-variable model without a direction."""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import Bernoulli, Distribution, Independent, constraints

from ..checks import event_shape, integer
from ._events import flatten_event

ENUMERABLE = 20  # units; 2^20 states of the smaller layer are summed in about a second


class RBM(nn.Module):
    r"""Binary visible units x and hidden units h, every x_i joined to every h_j, and no others.

        E(x, h) = -x^T W h - b^T x - c^T h,        p(x, h) = exp(-E(x, h)) / Z.

    It is given by the joint, not by p(z) p(x | z). Both conditionals factorise, and sums over one
    layer are easy; Z, a sum over both, is not. So p(x) is known up to a factor: log p(x) =
    -F(x) - log Z with the free energy F, which is the energy of the model of x alone. Training:
    `dgm.objectives.contrastive_divergence`, or `log_likelihood` if one layer has at most 20 units.

    Args:
        shape: event shape; images are flattened.
        hidden: number of hidden units.

    Attributes:
        weight: (D, hidden), W. visible_bias: (D,), b. hidden_bias: (hidden,), c.

    Source: Smolensky (1986); Hinton (2002), doi:10.1162/089976602760128018, Training products of
    experts by minimizing contrastive divergence; Hinton (2012), doi:10.1007/978-3-642-35289-8_32, A
    practical guide to training restricted Boltzmann machines.

    >>> rbm = RBM((1, 8, 8), hidden=16)
    >>> x = rbm.sample(5, steps=10)
    >>> x.shape, rbm.energy(x).shape, rbm.log_prob(x).shape
    (torch.Size([5, 1, 8, 8]), torch.Size([5]), torch.Size([5]))
    """

    support = constraints.boolean
    classes = 0

    def __init__(self, shape: int | Sequence[int], hidden: int = 64):
        super().__init__()
        self.shape, hidden = event_shape(shape), integer("hidden", hidden)
        d = math.prod(self.shape)
        self.weight = nn.Parameter(0.01 * torch.randn(d, hidden))  # small: h starts undecided
        self.visible_bias = nn.Parameter(torch.zeros(d))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))

    def joint_energy(self, x: Tensor, h: Tensor) -> Tensor:
        """E(x, h): (..., *shape), (..., hidden) -> (...).

        Equation: def-rbm
        """
        if h.shape[-1:] != self.hidden_bias.shape:  # one unit would broadcast
            raise ValueError(
                f"h: got shape {tuple(h.shape)}, expected (..., {len(self.hidden_bias)})"
            )
        x = flatten_event(self, x)  # (..., D)
        interaction = ((x @ self.weight) * h).sum(-1)
        return -interaction - x @ self.visible_bias - h @ self.hidden_bias

    def energy(self, x: Tensor) -> Tensor:
        """The free energy F(x) = -log sum_h exp(-E(x, h)): (..., *shape) -> (...).

        The sum over 2^hidden states is a product of `hidden` sums over two: each unit adds
        log(1 + exp(c_j + (x^T W)_j)).

        Equation: eq-rbm-posterior
        """
        x = flatten_event(self, x)  # (..., D)
        return -(x @ self.visible_bias) - F.softplus(self.hidden_bias + x @ self.weight).sum(-1)

    def hidden(self, x: Tensor) -> Distribution:
        """p(h | x), independent units: event shape (hidden,).

        Equation: eq-rbm-posterior
        """
        logits = self.hidden_bias + flatten_event(self, x) @ self.weight  # (..., hidden)
        return Independent(Bernoulli(logits=logits, validate_args=False), 1, validate_args=False)

    def visible(self, h: Tensor) -> Distribution:
        """p(x | h), independent pixels: event shape `shape`."""
        logits = (self.visible_bias + h @ self.weight.T).unflatten(-1, self.shape)
        p = Bernoulli(logits=logits, validate_args=False)
        return Independent(p, len(self.shape), validate_args=False)

    @torch.no_grad()
    def gibbs(self, x: Tensor, steps: int = 1) -> Tensor:
        """Block Gibbs sampling: `steps` times h from p(h | x), then x from p(x | h).

        p(x) is stationary: draws of p stay draws of p. Other starts come closer step by step.
        """
        for _ in range(integer("steps", steps)):
            x = self.visible(self.hidden(x).sample()).sample()
        return x

    def sample(self, n: int, steps: int = 1000) -> Tensor:
        """The state after `steps` of `n` Gibbs chains begun at fair coins: (n, *shape).

        These are draws of p(x) up to what the chains still remember of their start.
        """
        fair = self.weight.new_full((integer("n", n), *self.shape), 0.5)
        return self.gibbs(torch.bernoulli(fair), steps)

    def log_partition(self) -> Tensor:
        """log Z, exactly, by summing over all states of the smaller layer.

        For every hidden state the sum over x factorises, and the other way round.

        Raises:
            ValueError: both layers have more than 20 units.
        """
        d, hidden = self.weight.shape
        if min(d, hidden) > ENUMERABLE:
            raise ValueError(
                f"log_partition: the smaller layer has {min(d, hidden)} units, expected at most "
                f"{ENUMERABLE}; the sum over its states cannot be done"
            )
        weight, b, c = self.weight, self.visible_bias, self.hidden_bias
        if d < hidden:  # the same formula with the layers exchanged
            weight, b, c = weight.T, c, b
        parts = [
            (h @ c + F.softplus(b + h @ weight.T).sum(-1)).logsumexp(0)
            for h in _states(len(c), like=c)
        ]
        return torch.stack(parts).logsumexp(0)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p(x) = -F(x) - log Z in nats: (..., *shape) -> (...).

        Raises:
            ValueError: both layers have more than 20 units: see `log_partition`.

        Equation: eq-rbm-gradient
        """
        return -self.energy(x) - self.log_partition()


def _states(units: int, like: Tensor, chunk: int = 2**14) -> Iterator[Tensor]:
    """All 2^units binary vectors, in parts of (at most chunk, units)."""
    bits = torch.arange(units, device=like.device)
    for start in range(0, 2**units, chunk):
        number = torch.arange(start, min(start + chunk, 2**units), device=like.device)
        yield ((number.unsqueeze(1) >> bits) & 1).to(like.dtype)
