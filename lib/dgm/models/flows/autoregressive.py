"""Autoregressive layers: each coordinate is changed as those before it say."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from ...checks import check_shape, integer
from ..autoregressive.base import permutation
from ..autoregressive.made import masked, masks, spread
from .couplings import starting_at_zero, widths_of
from .elementwise import Affine
from .layers import Layer


class MaskedAutoregressive(Layer):
    r"""$z_j = g(x_j; \, \text{network}(x_{<j}))$: one pass to score, D passes to draw.

    The Jacobian is triangular, $\log |\det| = \sum_j \log g'(x_j)$. With an affine g on a normal
    base it is the Gaussian autoregressive model, of means and scales from a MADE. Read backwards,
    `Inverse(MaskedAutoregressive(d))`, it draws in one pass: the inverse autoregressive flow.

    Args:
        d: D, the number of coordinates.
        hidden: widths of the hidden layers.
        order: the coordinates in the order in which they are drawn; None for 0, 1, 2, ...
        by: g, of `elementwise`: `Affine()`, `Additive()` or `Spline()`.
        context: how many numbers the network is told besides x.

    Raises:
        ValueError: order is no permutation, there is no hidden layer, x has another shape.

    Equation: eq-maf-gaussian

    Source: Papamakarios, Pavlakou and Murray (2017), arXiv:1705.07057, Masked Autoregressive Flow;
    Kingma et al. (2016), arXiv:1606.04934, for its inverse.

    >>> layer = MaskedAutoregressive(4)
    >>> z, log_det = layer(torch.randn(5, 4))
    >>> z.shape, log_det.shape
    (torch.Size([5, 4]), torch.Size([5]))
    """

    mixes = True

    def __init__(
        self,
        d: int,
        hidden: int | Sequence[int] = (64, 64),
        order: Sequence[int] | None = None,
        by: Callable | None = None,
        context: int = 0,
    ):
        super().__init__()
        self.shape, self.by = (integer("d", d),), by or Affine()
        self.order = permutation(order, d)
        self.network = MaskedNetwork(self.order, self.by.parameters, hidden, context)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(x, self.shape)
        z, log_slope = self.by(x, self.network(x, context))
        return z, log_slope.sum(-1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """D passes: each knows one coordinate more. What is not known yet is zero.

        Equation: eq-maf-inverse
        """
        check_shape(z, self.shape, "z")
        x, log_det = torch.zeros_like(z), 0.0
        for degree, j in enumerate(self.order, 1):
            params = self.network(x, context)[..., j, :]
            x_j, log_slope = self.by.inverse(z[..., j], params)
            x = torch.where(self.network.degree == degree, x_j[..., None], x)
            log_det = log_det + log_slope  # (...)
        return x, log_det


class MaskedNetwork(nn.Module):
    """MADE's masks on a perceptron: of coordinate j it puts out what the coordinates before j say.

    The last layer starts at zero, and so does what a context adds to it.

    Shapes: (..., D), context (..., n) -> (..., D, parameters).
    """

    def __init__(
        self,
        order: Sequence[int],
        parameters: int,
        hidden: int | Sequence[int] = (64, 64),
        context: int = 0,
    ):
        super().__init__()
        d, hidden = len(order), widths_of(hidden)
        widths = [d, *hidden, d * parameters]
        self.layers = nn.ModuleList(map(nn.Linear, widths[:-1], widths[1:]))
        starting_at_zero(self.layers[-1])
        self.told = nn.Linear(context, hidden[0], bias=False) if context else None
        self.told_last = (
            starting_at_zero(nn.Linear(context, d * parameters, bias=False)) if context else None
        )
        degree = 1 + torch.tensor(order).argsort()  # (D,), the t-th in the order has degree t
        self.register_buffer("degree", degree, persistent=False)
        degrees = [degree, *(spread(width, degree) for width in hidden)]
        for k, mask in enumerate(masks(degrees, degree.repeat_interleave(parameters))):
            self.register_buffer(f"mask_{k}", mask, persistent=False)
        self.outputs = d, parameters

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        h = masked(self.layers[0], self.mask_0, x)
        if self.told is not None:
            h = h + self.told(context)
        for k, layer in enumerate(self.layers[1:], 1):
            h = masked(layer, getattr(self, f"mask_{k}"), h.relu())
        if self.told_last is not None:  # the first coordinate sees no hidden unit
            h = h + self.told_last(context)
        return h.unflatten(-1, self.outputs)
