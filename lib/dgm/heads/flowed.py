"""What invertible layers make of a distribution."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributions as D


class Flowed(D.Distribution):
    r"""The distribution of $z = f(\epsilon)$ with $\epsilon \sim$ `base`, f invertible:

    $$\log q(z) = \log q_0(\epsilon) - \log |\det J_f(\epsilon)|, \qquad \epsilon = f^{-1}(z).$$

    The density of its own last draw costs nothing: the way there is remembered. Of any other point
    the layers find $\epsilon$ first, which takes an inverse autoregressive layer D passes, and
    which a planar layer cannot do at all. Moments and entropy have no closed form.

    Shapes: batch shape that of `base`, event shape `shape`.

    Args:
        base: q_0, over vectors.
        layers: `layers(z, context)` is $(\epsilon, \log |\det d\epsilon / dz|)$ and
            `layers.inverse(epsilon, context)` the way back: a `dgm.models.flows.Layer`.
        context: what the layers are told, (*batch, n), or None.
        shape: of an event; None for that of the base.
        support: where events may lie; None for all real vectors.

    Source: Rezende and Mohamed (2015), arXiv:1505.05770, Variational Inference with Normalizing
    Flows.

    >>> from dgm.models.flows import Inverse, MaskedAutoregressive
    >>> base = D.Independent(D.Normal(torch.zeros(5, 2), 1.0), 1)
    >>> q = Flowed(base, Inverse(MaskedAutoregressive(2)))
    >>> z = q.rsample((7,))
    >>> z.shape, q.log_prob(z).shape
    (torch.Size([7, 5, 2]), torch.Size([7, 5]))
    """

    arg_constraints = {}

    def __init__(
        self,
        base: D.Distribution,
        layers: nn.Module,
        context: Tensor | None = None,
        shape: Sequence[int] | None = None,
        support: D.constraints.Constraint | None = None,
    ):
        if len(base.event_shape) != 1:
            raise ValueError(f"base: got event shape {tuple(base.event_shape)}, expected vectors")
        self.base, self.layers, self.context = base, layers, context
        self._support, self._last = support, (None, None, False)
        event_shape = torch.Size(shape or base.event_shape)
        super().__init__(base.batch_shape, event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:
        return self.base.has_rsample

    @property
    def support(self) -> D.constraints.Constraint:
        return D.constraints.real_vector if self._support is None else self._support

    @property
    def mean(self) -> Tensor:
        raise _no_closed_form("mean", "average q.sample((k,))")

    @property
    def variance(self) -> Tensor:
        raise _no_closed_form("variance", "take that of q.sample((k,))")

    def entropy(self) -> Tensor:
        raise _no_closed_form("entropy", "average -q.log_prob(z) over z = q.sample((k,))")

    def expand(self, batch_shape, _instance=None) -> "Flowed":
        base = self.base.expand(batch_shape)
        return Flowed(base, self.layers, self.context, self.event_shape, self._support)

    def sample(self, sample_shape=()) -> Tensor:
        with torch.no_grad():
            return self._push(self.base.sample(torch.Size(sample_shape)))

    def rsample(self, sample_shape=()) -> Tensor:
        return self._push(self.base.rsample(torch.Size(sample_shape)))

    def log_prob(self, z: Tensor) -> Tensor:
        last, log_q, differentiable = self._last
        if z is last and differentiable >= torch.is_grad_enabled():
            return log_q
        epsilon, log_det = self.layers(z, self.context)
        return self.base.log_prob(epsilon) + log_det

    def _push(self, epsilon: Tensor) -> Tensor:
        """f of base draws (k, *batch, D), and what its density is: (k, *batch, *shape)."""
        z, log_det = self.layers.inverse(epsilon, self.context)
        self._last = z, self.base.log_prob(epsilon) - log_det, torch.is_grad_enabled()
        return z


def _no_closed_form(what: str, instead: str) -> NotImplementedError:
    return NotImplementedError(f"{what}: a flow's has no closed form; {instead}")
