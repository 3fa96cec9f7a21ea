"""Denoisers that no network has to learn: of a known density, and of a finite data set."""

import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily

from ..checks import check_examples, check_finite, check_labels
from ..paths import Path, beside, cosine
from ..toys import Noised
from .base import Denoising


class NoisedMixture(Denoising):
    r"""A mixture of Gaussians on a path, $x_t = \alpha_t x_0 + \sigma_t \epsilon$: what a network
    would know if it had learned everything.

    Args:
        density: one of `dgm.toys`, or any mixture of Gaussians with independent coordinates.
        path: None for `paths.cosine()`.
        labels: the class of each component, (K,); None for none.

    Raises:
        ValueError: as `dgm.toys.Noised`.

    >>> from dgm import toys
    >>> ring = NoisedMixture(toys.ring(device="cpu"))
    >>> ring.velocity(torch.zeros(5, 2), 0.5).shape, ring.sample(3).shape
    (torch.Size([5, 2]), torch.Size([3, 2]))
    """

    def __init__(
        self, density: MixtureSameFamily, path: Path | None = None, labels: Tensor | None = None
    ):
        self.noised, self.path = Noised(density, labels), cosine() if path is None else path
        self.shape, self.classes = self.noised.shape, self.noised.classes
        self.support = self.noised.support
        self.mean, self.scale = self.noised.mean.new_zeros(()), self.noised.mean.new_ones(())

    def log_prob(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        r"""$\log p_t(x)$ in nats: (B, D) -> (B,)."""
        return self.noised.log_prob(x, y=y, **self._at(x, t))

    def denoise(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        r"""$\mathbb E[x_0 \mid x_t]$: (B, D) -> (B, D).

        Equation: eq-tweedie-path, eq-one-path
        """
        return self.noised.denoise(x, y=y, **self._at(x, t))

    def covariance(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        r"""$\operatorname{Cov}[x_0 \mid x_t]$: (B, D) -> (B, D, D).

        Equation: eq-tweedie-path, eq-best-variance
        """
        return self.noised.covariance(x, y=y, **self._at(x, t))

    def score(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        return self.noised.score(x, y=y, **self._at(x, t))  # known without noise too

    def classify(self, x: Tensor, t: float | Tensor) -> Categorical:
        r"""$p_t(y \mid x_t)$, what a classifier of noisy points would say: (B, D) -> (B,).

        Raises:
            ValueError: there are no labels.
        """
        if not self.classes:
            raise ValueError("labels: got None, expected the class of each component")
        anyone = torch.full((len(x),), -1, device=x.device)
        joint = self.noised.log_joint(x, y=anyone, **self._at(x, t))  # (B, K)
        own = self.noised.labels == torch.arange(self.classes, device=x.device)[:, None]  # (C, K)
        of_class = joint[:, None].masked_fill(~own, -torch.inf).logsumexp(-1)  # (B, C)
        return Categorical(logits=of_class, validate_args=False)

    def _at(self, x: Tensor, t: float | Tensor) -> dict[str, Tensor]:
        t = beside(t, x).flatten()
        return {"sigma": self.path.sigma(t), "alpha": self.path.alpha(t)}


class IdealDenoiser(Denoising):
    r"""The denoiser that none can beat on these examples: a mean of them, weighed by how well each
    explains x_t,

    $$\hat x(x_t, t) = \sum_i w_i x_i, \qquad w = \operatorname{softmax}_i \Big(-\frac{\lVert x_t -
    \alpha_t x_i \rVert^2}{2 \sigma_t^2}\Big) .$$

    Followed to the end it returns the examples themselves.

    Args:
        x: (N, *event), standardised.
        path: None for `paths.cosine()`.
        y: (N,) labels, for a denoiser of each class; None for none.

    Raises:
        ValueError: there are no examples, or values that are not finite, or not one label for each.

    Equation: eq-ideal-denoiser

    Source: Karras et al. (2022), arXiv:2206.00364, appendix B.3.

    >>> ideal = IdealDenoiser(torch.tensor([[-1.0], [1.0]]))
    >>> ideal.denoise(torch.tensor([[0.1], [0.1]]), torch.tensor([0.9, 0.1]))
    tensor([[0.0160],
            [0.9994]])
    """

    def __init__(self, x: Tensor, path: Path | None = None, y: Tensor | None = None):
        if x.dim() < 2 or len(x) == 0:
            raise ValueError(f"x: got shape {tuple(x.shape)}, expected (N, *event), N at least 1")
        check_finite("x", x)
        self.path = cosine() if path is None else path
        self.x, self.y, self.shape = x, y, tuple(x.shape[1:])
        self.mean, self.scale = x.new_zeros(()), x.new_ones(())
        if y is not None:
            self.classes = int(y.max()) + 1
            check_labels(y, self.classes, x.shape[:1])

    def weights(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        """w, how much each example counts: (B, *event) -> (B, N), rows that sum to one."""
        return self.log_joint(x, t, y).softmax(1)

    def log_joint(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        r"""$-\lVert x_t - \alpha x_i \rVert^2 / 2 \sigma^2$: (B, *event) -> (B, N).

        In double precision: close to the data it is a small difference of large numbers.
        """
        check_examples(self, x, y)
        t = beside(t, x).flatten()[:, None].double()  # (B, 1)
        alpha, sigma = self.path.alpha(t), self.path.sigma(t)
        data, x = self.x.flatten(1).double(), x.flatten(1).double()  # (N, D), (B, D)
        square = x.square().sum(1, keepdim=True) + alpha.square() * data.square().sum(1)
        values = (alpha * (x @ data.T) - square / 2) / sigma.square()  # (B, N)
        if self.classes:
            check_labels(y, self.classes, x.shape[:1], unlabelled=True)
            others = (y[:, None] != self.y) & (y >= 0)[:, None]
            values = values.masked_fill(others, -torch.inf)
        return values

    def denoise(self, x: Tensor, t: float | Tensor, y: Tensor | None = None) -> Tensor:
        """The weighted mean of the examples: (B, *event) -> (B, *event)."""
        weights = self.weights(x, t, y).to(self.x)
        return (weights @ self.x.flatten(1)).reshape(x.shape)
