"""Increasing functions of one number, whose parameters a network puts out.

Each has `parameters`, how many it takes, and goes both ways with the logarithm of its slope:

    by(x, params) -> (z, log dz/dx),        by.inverse(z, params) -> (x, log dx/dz),

for numbers (...) and parameters (..., parameters). With parameters of zero it is the identity.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...checks import integer


class Additive:
    """x = z + t: it moves and does not stretch.

    Equation: eq-nice

    Source: Dinh, Krueger and Bengio (2015), arXiv:1410.8516, NICE.
    """

    parameters = 1

    def __call__(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return x - params[..., 0], torch.zeros_like(x)

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return z + params[..., 0], torch.zeros_like(z)


class Affine:
    r"""$x = z \, e^s + t$, of parameters t and a, with $s = 3 \tanh(a / 3)$.

    A layer stretches by a factor of 20 at most. Without a bound the products of many layers would
    overflow far from the data, where nothing has taught the networks anything.

    Source: Dinh, Sohl-Dickstein and Bengio (2017), arXiv:1605.08803, Density estimation using Real
    NVP.

    >>> z, log_slope = Affine()(torch.tensor([3.0]), torch.tensor([[1.0, 0.5]]))
    >>> z, log_slope
    (tensor([1.2186]), tensor([-0.4954]))
    """

    parameters = 2

    def shift_and_log_scale(self, params: Tensor) -> tuple[Tensor, Tensor]:
        """t and s: (..., 2) -> (...) each."""
        t, a = params.unbind(-1)
        return t, 3 * (a / 3).tanh()

    def __call__(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        t, s = self.shift_and_log_scale(params)
        shrink = -s
        return (x - t) * shrink.exp(), shrink

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        t, s = self.shift_and_log_scale(params)
        return z * s.exp() + t, s


class Spline:
    r"""A monotone rational-quadratic spline on [low, high], and the identity outside.

    Of 3 K - 1 parameters K are the widths of the bins and K their heights, each by a softmax, and
    K - 1 the slopes at the inner knots, each by a softplus; at the two ends the slope is 1.

    Args:
        bins: K.
        low, high: the ends, of x and of z alike.

    Raises:
        ValueError: bins is no positive integer, or low is not below high.

    Source: Durkan, Bekasov, Murray and Papamakarios (2019), arXiv:1906.04032, Neural Spline Flows.

    >>> by, x = Spline(bins=4), torch.linspace(-4, 4, 9)
    >>> z, log_slope = by(x, torch.zeros(9, by.parameters))
    >>> torch.allclose(z, x), log_slope.abs().max() < 1e-5
    (True, tensor(True))
    """

    LEAST = 1e-3  # width and height of a bin, in parts of the whole, and slope

    def __init__(self, bins: int = 8, low: float = -3.0, high: float = 3.0):
        self.bins, self.low, self.high = integer("bins", bins), low, high
        if not low < high:
            raise ValueError(f"low, high: got {low} and {high}, expected low < high")
        self.parameters = 3 * self.bins - 1

    def __call__(self, x: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return self._both(x, params, inverse=False)

    def inverse(self, z: Tensor, params: Tensor) -> tuple[Tensor, Tensor]:
        return self._both(z, params, inverse=True)

    def knots(self, params: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where the knots lie in x and in z, and the slopes there: (..., bins + 1) each."""
        return self._knots(params).movedim(1, -1).unbind()

    def _knots(self, params: Tensor) -> Tensor:
        """The three as (3, bins + 1, ...): a softmax over many short rows takes ten times as long
        as one over a few long columns."""
        columns = params.movedim(-1, 0).contiguous()
        widths, heights, slopes = columns.split([self.bins, self.bins, self.bins - 1])
        one = math.log(math.expm1(1 - self.LEAST))  # of which the softplus is 1 - LEAST
        slopes = between(1.0, self.LEAST + F.softplus(slopes + one), 1.0)
        return torch.stack([self._edges(widths), self._edges(heights), slopes])

    def _edges(self, raw: Tensor) -> Tensor:
        sizes = self.LEAST + (1 - self.LEAST * self.bins) * raw.softmax(0)  # (bins, ...)
        inner = sizes[:-1].cumsum(0) * (self.high - self.low) + self.low
        return between(self.low, inner, self.high)

    def _both(self, x: Tensor, params: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        knots = self._knots(params)
        inside = (x > self.low) & (x < self.high)
        clamped = x.clamp(self.low, self.high)  # no nan may come out of the branch not taken
        which = (clamped >= knots[int(inverse), 1:-1]).sum(0)  # the bin, from 0
        ends = torch.stack([which, which + 1]).expand(3, 2, *x.shape)
        (x0, x1), (z0, z1), (d0, d1) = knots.gather(1, ends)
        y, log_slope = rational_quadratic(clamped, x0, x1, z0, z1, d0, d1, inverse)
        return torch.where(inside, y, x), torch.where(inside, log_slope, 0.0)


def between(first: float, inner: Tensor, last: float) -> Tensor:
    """The same two ends around each column: (n, ...) -> (n + 2, ...)."""
    row = (1, *inner.shape[1:])
    return torch.cat([inner.new_full(row, first), inner, inner.new_full(row, last)])


def rational_quadratic(
    x: Tensor,
    x0: Tensor,
    x1: Tensor,
    z0: Tensor,
    z1: Tensor,
    d0: Tensor,
    d1: Tensor,
    inverse: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""One bin of a spline: from (x0, z0) with slope d0 to (x1, z1) with slope d1.

    With $s = \frac{z_1 - z_0}{x_1 - x_0}$ and $\xi = \frac{x - x_0}{x_1 - x_0}$,

    $$g = z_0 + \frac{(z_1 - z_0) (s \xi^2 + d_0 \xi (1 - \xi))}{s + (d_0 + d_1 - 2 s) \xi (1-\xi)},
    \quad g' = \frac{s^2 (d_1 \xi^2 + 2 s \xi (1 - \xi) + d_0 (1 - \xi)^2)}
    {(s + (d_0 + d_1 - 2 s) \xi (1 - \xi))^2}.$$

    The inverse is a root of a quadratic, $\xi = 2c / (-b - \sqrt{b^2 - 4ac})$, written so that no
    two nearly equal numbers are subtracted.

    Shapes: all alike, (...).

    Returns:
        (g(x), log g'(x)), or for `inverse` the x with g(x) = `x` and minus its log g'.

    Equation: def-spline, eq-spline

    Source: Durkan et al. (2019), arXiv:1906.04032, equations 4 to 8.

    >>> ends = torch.tensor([0.0, 1.0])
    >>> x0, x1, z0, z1, d0, d1 = torch.tensor([0.0, 1.0, 0.0, 2.0, 0.5, 3.0]).unsqueeze(1)
    >>> z, log_slope = rational_quadratic(ends, x0, x1, z0, z1, d0, d1)
    >>> z, log_slope.exp()
    (tensor([0., 2.]), tensor([0.5000, 3.0000]))
    """
    width, height = x1 - x0, z1 - z0
    s = height / width
    bend = d0 + d1 - 2 * s
    if inverse:
        y = x - z0
        a = height * (s - d0) + y * bend
        b = height * d0 - y * bend
        c = -s * y
        xi = 2 * c / (-b - (b.square() - 4 * a * c).clamp(min=0).sqrt())
    else:
        xi = (x - x0) / width
    across = xi * (1 - xi)
    below = s + bend * across
    slope = d1 * xi.square() + 2 * s * across + d0 * (1 - xi).square()
    log_slope = 2 * (s / below).log() + slope.log()
    if inverse:
        return x0 + xi * width, -log_slope
    return z0 + height * (s * xi.square() + d0 * across) / below, log_slope
