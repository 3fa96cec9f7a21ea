"""One network for the scores of data behind noise, at all noise levels."""

import math
from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from .. import nets
from ..checks import check_examples, event_shape, integer, readable, sizes


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
