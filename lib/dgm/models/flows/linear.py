"""Layers without a network: a scale per channel, a matrix over channels, a plane's pull."""

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...checks import check_shape, event_shape, integer, readable
from .layers import Layer


class ActNorm(Layer):
    r"""$z = (x - \mu) \, e^{-s}$, with a $\mu$ and an s for each channel:

    $$\log |\det| = -HW \sum_c s_c.$$

    The first batch that it is trained on sets both, so that this batch comes out with mean 0 and
    variance 1; from then on they are parameters like others. Unlike batch normalisation it treats
    each example by itself. That it has started is a buffer, `started`: a model that is loaded
    would otherwise start itself anew, on whatever comes first. (It starts in training mode and
    where gradients are recorded, by a batch of two or more values per channel.)

    Args:
        shape: (D,) of vectors, each coordinate a channel, or (C, H, W) of images.

    Equation: eq-conv1x1

    Source: Kingma and Dhariwal (2018), arXiv:1807.03039, Glow, section 3.1.

    >>> layer, x = ActNorm(2), 5 + 3 * torch.randn(100, 2)
    >>> z, log_det = layer(x)
    >>> bool(z.mean(0).abs().max() < 1e-5), bool(layer.started)
    (True, True)
    """

    def __init__(self, shape: int | Sequence[int]):
        super().__init__()
        self.shape = channels, *sides = event_shape(shape)
        self.mean = nn.Parameter(torch.zeros(channels, *[1 for _ in sides]))
        self.log_scale = nn.Parameter(torch.zeros_like(self.mean))
        self.register_buffer("started", torch.tensor(False))
        self.pixels = math.prod(sides)

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(x, self.shape)
        if self.training and torch.is_grad_enabled():
            self._start(x)
        log_det = -self.pixels * self.log_scale.sum()
        return (x - self.mean) * (-self.log_scale).exp(), self._each(log_det, x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(z, self.shape, "z")
        log_det = self.pixels * self.log_scale.sum()
        return z * self.log_scale.exp() + self.mean, self._each(log_det, z)

    def _each(self, log_det: Tensor, x: Tensor) -> Tensor:
        return log_det.expand(x.shape[: x.dim() - len(self.shape)])

    @torch.no_grad()
    def _start(self, x: Tensor) -> None:
        """Set mean and scale, unless that has happened: where that cannot be read, it is masked."""
        if x.numel() < 2 * self.mean.numel() or (readable(self.started) and self.started):
            return
        by_channel = x.movedim(-len(self.shape), 0).flatten(1)  # (C, N)
        variance, mean = torch.var_mean(by_channel, 1, correction=0)
        log_scale = 0.5 * variance.clamp(min=1e-6).log()  # a channel may be constant
        for value, new in ((self.mean, mean), (self.log_scale, log_scale)):
            value.copy_(torch.where(self.started, value, new.view_as(value)))
        self.started.fill_(True)


class Linear(Layer):
    r"""$z = W x$ over the channels, the same W at every pixel: of images a 1 x 1 convolution.

    With $W = P L U$, P a fixed permutation, L lower triangular with ones on its diagonal and U
    upper triangular, the determinant is a product and the inverse two substitutions:

    $$\log |\det| = HW \sum_c \log |U_{cc}|.$$

    The diagonal of U is a fixed sign times an exponential, so that W stays invertible; it starts as
    a random rotation.

    Args:
        shape: as for `ActNorm`.

    Equation: eq-plu, eq-conv1x1

    Source: Kingma and Dhariwal (2018), arXiv:1807.03039, Glow, section 3.2.

    >>> layer = Linear((4, 3, 3))
    >>> z, log_det = layer(torch.randn(5, 4, 3, 3))
    >>> torch.allclose(log_det, 9 * torch.linalg.slogdet(layer.weight())[1].expand(5), atol=1e-5)
    True
    """

    mixes = True

    def __init__(self, shape: int | Sequence[int]):
        super().__init__()
        self.shape = channels, *sides = event_shape(shape)
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        p, lower, upper = torch.linalg.lu(rotation)
        self.register_buffer("permutation", p)
        self.register_buffer("sign", upper.diagonal().sign())
        self.lower = nn.Parameter(lower)  # of which only what is below the diagonal counts
        self.upper = nn.Parameter(upper)  # above it
        self.log_diagonal = nn.Parameter(upper.diagonal().abs().log())
        self.pixels = math.prod(sides)

    def factors(self) -> tuple[Tensor, Tensor]:
        """L and U: (C, C) each."""
        lower = self.lower.tril(-1) + torch.eye(len(self.sign)).to(self.lower)
        return lower, self.upper.triu(1) + (self.sign * self.log_diagonal.exp()).diag()

    def weight(self) -> Tensor:
        """W: (C, C)."""
        lower, upper = self.factors()
        return self.permutation @ lower @ upper

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(x, self.shape)
        return self._times(self.weight(), x), self._log_det(x, 1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(z, self.shape, "z")
        lower, upper = self.factors()
        solve = torch.linalg.solve_triangular
        inverse = solve(upper, solve(lower, self.permutation.T, upper=False), upper=True)
        return self._times(inverse, z), self._log_det(z, -1)

    def _times(self, matrix: Tensor, x: Tensor) -> Tensor:
        if len(self.shape) == 1:
            return F.linear(x, matrix)
        return (matrix @ x.flatten(1 - len(self.shape))).reshape(x.shape)  # (C, C), (..., C, HW)

    def _log_det(self, x: Tensor, sign: int) -> Tensor:
        log_det = sign * self.pixels * self.log_diagonal.sum()
        return log_det.expand(x.shape[: x.dim() - len(self.shape)])


class Planar(Layer):
    r"""$z = x + \hat u \tanh(w^\top x + b)$: points are pulled along $\hat u$, by a plane's side.

    $$\log |\det| = \log \big| 1 + (1 - \tanh^2(w^\top x + b)) \, w^\top \hat u \big|, \qquad
    \hat u = u + (m(w^\top u) - w^\top u) \frac{w}{\lVert w \rVert^2},$$

    $m(a) = \operatorname{softplus}(a) - 1$, so that $w^\top \hat u > -1$, without which it would
    not be invertible. The inverse has no closed form, and this layer has none. A flow of such
    layers scores data and cannot be drawn from; for a posterior, which is drawn from and scores its
    own draws only, take `Inverse(Planar(d))`.

    Raises:
        NotImplementedError: from `inverse`.

    Equation: def-planar, eq-determinant-lemma

    Source: Rezende and Mohamed (2015), arXiv:1505.05770, Variational Inference with Normalizing
    Flows, section 4.1 and appendix A.1.

    >>> Planar(2)(torch.zeros(5, 2))[1].shape
    torch.Size([5])
    """

    mixes = True

    def __init__(self, d: int):
        super().__init__()
        self.shape = (integer("d", d),)
        self.w = nn.Parameter(torch.randn(d) / d**0.5)
        self.u = nn.Parameter(torch.randn(d) / d**0.5)
        self.b = nn.Parameter(torch.zeros(()))

    def direction(self) -> Tensor:
        r"""$\hat u$: (d,).

        Equation: eq-planar-invertible
        """
        along = self.w @ self.u
        return self.u + (F.softplus(along) - 1 - along) * self.w / self.w.square().sum()

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        check_shape(x, self.shape)
        u = self.direction()
        height = torch.tanh(x @ self.w + self.b)  # (...)
        return x + height[..., None] * u, torch.log1p((1 - height.square()) * (self.w @ u))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError(
            "inverse: a planar layer's has no closed form; it scores data but does not draw, and "
            "Inverse(Planar(d)) draws and scores its own draws only"
        )
