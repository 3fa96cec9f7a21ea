"""Diffusion models: a network that takes noise off, a little at a time."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from ..checks import check_data, check_examples, check_labels, event_shape, integer
from ..conditioned import ResidualPerceptron, UNet
from ..denoisers import Denoising
from ..paths import Path, beside, cosine
from ..predictions import KINDS, to_x0

SIGNAL = 0.01  # the most SNR that may be left at t = 1


class Diffusion(Denoising, nn.Module):
    r"""Data behind noise, $x_t = \alpha_t x_0 + \sigma_t \epsilon$, and a network that says what
    they were, $\hat x_\theta(x_t, t) \approx \mathbb E[x_0 \mid x_t]$.

    Followed from noise to data it draws from $p_\theta(x_0)$. The network reads x_t at size one and
    the noise level as $\lambda$, so that it serves every path; it predicts v unless told otherwise,
    and starts at $\hat v = 0$, the best guess for data from $\mathcal N(0, I)$.

    Data are standardised on the way in, and restored on the way out: `standardise(x)` measures mean
    and standard deviation, one of each for all coordinates. The methods of a noisy x_t, `denoise`,
    `score`, `velocity`, speak of standardised data.

    A model with classes takes y in all methods. y = -1 asks for data of any class, which it knows
    if labels were dropped in training (`objectives.denoising`).

    Args:
        network: of (x (B, *shape), log_snr (B,), y (B,) or None) -> (B, *shape).
        shape: the event shape.
        path: None for `paths.cosine()`.
        predict: which of the five predictions the network makes, see `dgm.predictions`.
        classes: 0 where it takes no label.

    Raises:
        ValueError: the path ends with a signal left, or another argument is wrong.

    Source: Sohl-Dickstein et al. (2015), arXiv:1503.03585; Ho, Jain and Abbeel (2020),
    arXiv:2006.11239, Denoising Diffusion Probabilistic Models; Salimans and Ho (2022),
    arXiv:2202.00512, for v.

    >>> model = Diffusion.conv((1, 8, 8), classes=10)
    >>> model.sample(5, torch.arange(5), steps=2).shape
    torch.Size([5, 1, 8, 8])
    """

    support = constraints.real

    def __init__(
        self,
        network: nn.Module,
        shape: int | Sequence[int],
        path: Path | None = None,
        predict: str = "v",
        classes: int = 0,
    ):
        super().__init__()
        self.network, self.shape = network, event_shape(shape)
        self.classes = integer("classes", classes, at_least=0)
        self.path = cosine() if path is None else path
        if predict not in KINDS:
            raise ValueError(f"predict: got {predict!r}, expected one of {', '.join(KINDS)}")
        self.predict = predict
        left = float(self.path.log_snr(torch.ones((), device="cpu")).exp())
        if left > SIGNAL:
            raise ValueError(
                f"path: got one that ends with a signal left, SNR(1) = {left:.2g}, expected at "
                f"most {SIGNAL}: sampling starts from pure noise"
            )
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("scale", torch.ones(()))

    def denoise(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        r"""$\hat x_\theta(x_t, t)$, standardised: (B, *shape), a number or (B,) -> (B, *shape).

        Equation: eq-wiener
        """
        return to_x0(self.predicted(x, t, y), self.predict, x, self.path, t)

    def predicted(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        """What the network makes of x_t, the prediction `predict`: (B, *shape) -> (B, *shape)."""
        check_examples(self, x, y)
        check_labels(y, self.classes, x.shape[:1], unlabelled=True)
        wide = beside(t, x)  # (B, 1, ...)
        size = torch.hypot(self.path.alpha(wide), self.path.sigma(wide))  # 1 on cosine and vp
        out = self.network(x / size, self.path.log_snr(wide).flatten(), y)
        return size * out if self.predict == "v" else out  # so that one of v serves all paths

    def _as(self, kind: str, x: Tensor, t: float | Tensor, y: Tensor | None) -> Tensor:
        if kind == self.predict:  # no way there and back, which loses digits near the data
            return self.predicted(x, t, y)
        return super()._as(kind, x, t, y)

    def standardise(self, x: Tensor) -> Self:
        """Take mean and standard deviation from data (N, *shape); returns the model."""
        check_data(self, x, torch.zeros(len(x), dtype=torch.long) if self.classes else None)
        scale = x.std()
        if not scale > 0:
            raise ValueError("x: got data that are all the same, expected a spread to divide by")
        self.mean.copy_(x.mean())
        self.scale.copy_(scale)
        return self

    @classmethod
    def mlp(
        cls,
        shape: int | Sequence[int],
        *,
        width: int = 128,
        blocks: int = 3,
        classes: int = 0,
        path: Path | None = None,
        predict: str = "v",
    ) -> Self:
        """A residual perceptron, `dgm.conditioned.ResidualPerceptron`, for events of any shape."""
        network = ResidualPerceptron(shape, width, blocks, classes)
        return cls(network, shape, path, predict, classes)

    @classmethod
    def conv(
        cls,
        shape: Sequence[int],
        *,
        width: int = 16,
        classes: int = 0,
        path: Path | None = None,
        predict: str = "v",
    ) -> Self:
        """A small U-Net, `dgm.conditioned.UNet`. Images only."""
        return cls(UNet(shape, width, classes), shape, path, predict, classes)
