"""One network for the scores of data behind noise, at all noise levels."""

import math
from collections.abc import Sequence
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints

from .. import nets
from ..checks import check_examples, event_shape, image_shape, integer, readable, sizes


class ScoreNetwork(nn.Module):
    r"""$s_\theta(x, \sigma) \approx \nabla \log p_\sigma(x)$, where $p_\sigma = p_{\text{data}} *
    \mathcal N(0, \sigma^2 I)$.

    The network predicts the noise, $s_\theta = -\hat\epsilon_\theta(x, \sigma) / \sigma$. What it
    is given, and what it has to add, is of size one at all noise levels if the data are:

    $$\hat\epsilon_\theta(x, \sigma) = \frac{\sigma u - F_\theta(u, \log \sigma)}
      {\sqrt{1 + \sigma^2}}, \qquad u = \frac x{\sqrt{1 + \sigma^2}} .$$

    With F = 0 these are the scores of data from $\mathcal N(0, I)$.

    A network's score need not be the gradient of anything: its Jacobian is not symmetric.

    Args:
        network: F, of u (B, *shape) and $\log \sigma$ (B,) -> (B, *shape).
        shape: the event shape.

    Raises:
        ValueError: a noise level is not positive, or there is neither one nor one per example.

    Source: Song and Ermon (2019), arXiv:1907.05600, Generative Modeling by Estimating Gradients of
    the Data Distribution; for the scaling Karras et al. (2022), arXiv:2206.00364, Elucidating the
    Design Space of Diffusion-Based Generative Models, table 1.

    >>> model, x = ScoreNetwork.mlp((2,)), torch.randn(5, 2)
    >>> model.score(x, 0.1).shape, model.denoise(x, torch.linspace(0.1, 1.0, 5)).shape
    (torch.Size([5, 2]), torch.Size([5, 2]))
    """

    support = constraints.real
    classes = 0

    def __init__(self, network: nn.Module, shape: Sequence[int]):
        super().__init__()
        self.network, self.shape = network, event_shape(shape)

    def noise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        r"""$\hat\epsilon$, the noise in $x = x_0 + \sigma \epsilon$ as far as it can be known:
        (B, *shape) -> (B, *shape).
        """
        level, sigma = self._levels(x, sigma)  # (B,) and (B, 1, ...)
        size = (1 + sigma.square()).sqrt()
        u = x / size
        return (sigma * u - self.network(u, level.log())) / size

    def score(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        r"""$s_\theta(x, \sigma) = -\hat\epsilon / \sigma$: (B, *shape) -> (B, *shape)."""
        return -self.noise(x, sigma) / self._levels(x, sigma)[1]

    def denoise(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        r"""$x + \sigma^2 s_\theta = x - \sigma \hat\epsilon$ (Tweedie's formula):
        (B, *shape) -> (B, *shape).
        """
        return x - self._levels(x, sigma)[1] * self.noise(x, sigma)

    def _levels(self, x: Tensor, sigma: float | Tensor) -> tuple[Tensor, Tensor]:
        """One noise level per example, (B,), and the same to multiply events with, (B, 1, ...)."""
        check_examples(self, x)
        level = torch.as_tensor(sigma, dtype=x.dtype, device=x.device)
        if level.dim() and level.shape != x.shape[:1]:
            raise ValueError(
                f"sigma: got shape {tuple(level.shape)}, expected a number, or one per example, "
                f"({len(x)},)"
            )
        if readable(level) and not (level > 0).all():
            raise ValueError(f"sigma: got {float(level.min()):g}, expected a positive noise level")
        level = level.expand(len(x))
        return level, level.reshape(-1, *[1] * len(self.shape))

    @classmethod
    def mlp(
        cls,
        shape: int | Sequence[int],
        *,
        hidden: int | Sequence[int] = (128, 128),
        features: int = 32,
        scale: float = 2.5,
    ) -> Self:
        """A multilayer perceptron of the event, its waves (`nets.Fourier`) and the noise level.

        Args:
            shape: event shape of the data.
            hidden: widths of the hidden layers.
            features: how many waves; 0 for none, of events that are no points.
            scale: the standard deviation of their frequencies, in radians per unit of x.
        """
        return cls(_Perceptron(event_shape(shape), sizes("hidden", hidden), features, scale), shape)

    @classmethod
    def conv(cls, shape: Sequence[int], *, width: int = 32) -> Self:
        """Convolutions at half and at a quarter of an image's size, each with the noise level.

        Args:
            shape: (channels, height, width).
            width: channels at half size; there are twice as many at a quarter.
        """
        return cls(_Convolutions(image_shape(shape), integer("width", width)), shape)


class _Perceptron(nn.Module):
    """F(u, log sigma): (B, *shape), (B,) -> (B, *shape)."""

    def __init__(self, shape: tuple[int, ...], hidden: tuple[int, ...], features: int, scale):
        super().__init__()
        d, features = math.prod(shape), integer("features", features, at_least=0)
        self.waves = nets.Fourier(d, features, scale) if features else None
        self.body = nets.mlp(d + 2 * features + 1, *hidden, activation=nn.SiLU)
        self.last = nets.to_event(self.body.out_features, shape)

    def forward(self, u: Tensor, log_sigma: Tensor) -> Tensor:
        flat = u.flatten(1)  # (B, D)
        parts = [flat, log_sigma[:, None] / 4]  # levels from 0.01 to 50 lie in [-1.2, 1]
        if self.waves is not None:
            parts.append(self.waves(flat))  # (B, 2 features)
        return self.last(self.body(torch.cat(parts, 1)))


class _Convolutions(nn.Module):
    """A small U-Net, F(u, log sigma): (B, C, H, W), (B,) -> (B, C, H, W).

    Squares of 2 x 2 pixels become channels, so that no convolution is as large as the image. What
    is found at a quarter of its size is laid beside what was there at half.
    """

    def __init__(self, shape: tuple[int, int, int], width: int):
        super().__init__()
        channels = 4 * shape[0]
        self.level = nn.Sequential(nets.Fourier(1, 16, scale=1.0), nn.Linear(32, 48), nn.SiLU())
        self.first = nn.Conv2d(channels, width, 3, padding=1)
        self.down = _Block(width, 48)
        self.shrink = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.deep = nn.ModuleList([_Block(2 * width, 48), _Block(2 * width, 48)])
        self.grow = nn.Conv2d(2 * width, width, 1)
        self.join = nn.Conv2d(2 * width, width, 1)
        self.up = _Block(width, 48)
        self.last = nn.Sequential(nn.SiLU(), nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, u: Tensor, log_sigma: Tensor) -> Tensor:
        height, width = u.shape[-2:]
        level = self.level(log_sigma[:, None])  # (B, 48)
        u = F.pad(u, (0, -width % 4, 0, -height % 4))  # sides that can be halved twice
        half = self.down(self.first(F.pixel_unshuffle(u, 2)), level)  # (B, width, H/2, W/2)
        quarter = self.shrink(half)  # (B, 2 width, H/4, W/4)
        for block in self.deep:
            quarter = block(quarter, level)
        wide = F.interpolate(self.grow(quarter), scale_factor=2)  # (B, width, H/2, W/2)
        joined = self.up(self.join(torch.cat([half, wide], 1)), level)
        return F.pixel_shuffle(self.last(joined), 2)[..., :height, :width]


class _Block(nn.Module):
    """x + two convolutions of x, whose second input is scaled and shifted by the noise level:
    (B, channels, H, W), (B, level) -> (B, channels, H, W).
    """

    def __init__(self, channels: int, level: int):
        super().__init__()
        groups = math.gcd(8, channels)
        self.norms = nn.ModuleList([nn.GroupNorm(groups, channels), nn.GroupNorm(groups, channels)])
        self.convolutions = nn.ModuleList(
            [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2)]
        )
        self.scale_and_shift = nn.Linear(level, 2 * channels)
        nn.init.zeros_(self.convolutions[1].weight)  # the block begins as x

    def forward(self, x: Tensor, level: Tensor) -> Tensor:
        scale, shift = self.scale_and_shift(level)[..., None, None].chunk(
            2, 1
        )  # (B, channels, 1, 1)
        h = self.convolutions[0](F.silu(self.norms[0](x)))
        h = self.norms[1](h) * (1 + scale) + shift
        return x + self.convolutions[1](F.silu(h))
