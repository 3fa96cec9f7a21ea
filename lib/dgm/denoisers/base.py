"""What every denoiser can do, once it can denoise."""

from collections.abc import Callable

import torch
from torch import Tensor

from ..checks import check_labels, integer
from ..paths import Path, grid
from ..predictions import from_x0
from ..protocols import given
from ..samplers import ddim


class Denoising:
    r"""What follows from a path and a `denoise`: noise, score, velocity and samples, for a trained
    network, an exact density and a data set alike (`dgm.protocols.Denoiser`).

    Whoever inherits has the attributes below and `denoise(x, t, y=None)`, $\mathbb E[x_0 \mid
    x_t]$ for x (B, *event) and t a number or (B,). All methods of a noisy x_t speak of standardised
    data.

    Attributes:
        path: of data to noise.
        shape: the event's.
        classes: 0 where it takes no label; else y = -1 means any class.
        mean, scale: one number each, which standardise the data; of their type, and where they are.
        predict: which of the five predictions it makes itself.
    """

    path: Path
    shape: tuple[int, ...]
    classes: int = 0
    mean: Tensor
    scale: Tensor
    predict: str = "x0"
    denoise: Callable[..., Tensor]

    def noise(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        r"""$\hat\epsilon = \mathbb E[\epsilon \mid x_t]$: (B, *event) -> (B, *event)."""
        return self._as("eps", x, t, y)

    def score(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        r"""$\nabla \log p_t(x) = -\hat\epsilon / \sigma_t$: (B, *event) -> (B, *event)."""
        return self._as("score", x, t, y)

    def velocity(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        r"""$\mathbb E[\dot\alpha x_0 + \dot\sigma \epsilon \mid x_t]$: (B, *event) -> the same.

        Equation: eq-flow-ode, eq-marginal-velocity, eq-continuity
        """
        return self._as("velocity", x, t, y)

    def _as(self, kind: str, x: Tensor, t: float | Tensor, y: Tensor | None) -> Tensor:
        check_labels(y, self.classes, x.shape[:1], unlabelled=True)
        return from_x0(self.denoise(x, t, **given(self, y)), kind, x, self.path, t)

    @torch.no_grad()
    def sample(
        self, n: int, y: Tensor | None = None, steps: int = 20, sampler: Callable = ddim
    ) -> Tensor:
        """Follow n noises to the data, of the classes y (n,) if there are some: (n, *event).

        Args:
            steps: of the sampler; two evaluations each for `heun`.
            sampler: one of `dgm.samplers.reverse`, of (model, x, times, y).

        Raises:
            ValueError: n or steps is no positive integer, or labels are missing.
        """
        n = integer("n", n)
        check_labels(y, self.classes, (n,), unlabelled=True)
        times = grid(self.path, steps)
        return self.restored(sampler(self, self.start(n, times[0]), times, y))

    def start(self, n: int, t: float = 1.0) -> Tensor:
        """Noise of the size that x_t has at a late time: (n, *event)."""
        t = torch.as_tensor(t, dtype=self.mean.dtype, device=self.mean.device)
        size = torch.hypot(self.path.alpha(t), self.path.sigma(t))  # of data of variance 1
        return size * torch.randn(n, *self.shape, dtype=t.dtype, device=t.device)

    def standardised(self, x: Tensor) -> Tensor:
        """Data as the path takes them, of about mean 0 and variance 1."""
        return (x - self.mean) / self.scale

    def restored(self, x: Tensor) -> Tensor:
        """The inverse of `standardised`."""
        return self.mean + self.scale * x
