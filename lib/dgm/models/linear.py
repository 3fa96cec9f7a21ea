"""Linear models: solved in closed form, and therefore the yardstick of all others."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class PCA(nn.Module):
    r"""Principal component analysis as an autoencoder.

    With the data's mean $\mu$ and the matrix $U$ of the first `latent` eigenvectors of its
    covariance (orthonormal columns),

        encode(x) = U^T (x - mu),        decode(z) = mu + U z.

    Among all affine encoders and decoders of this code size it has the smallest mean squared error,
    which is the sum of the eigenvalues left out.

    Attributes (set by `fit`):
        mean: (D,), D the number of coordinates of an event.
        components: (latent, D), orthonormal rows, by falling eigenvalue.
        eigenvalues: (D,), of the covariance (1/N) sum (x - mu)(x - mu)^T, falling.

    Source: Pearson (1901); Baldi and Hornik (1989) for the linear autoencoder.

    >>> x = torch.randn(100, 3) * torch.tensor([3.0, 1.0, 0.1])
    >>> pca = PCA((3,), latent=2).fit(x)
    >>> error = (x - pca(x)).square().sum(1).mean()
    >>> bool((error - pca.eigenvalues[2]).abs() < 1e-5)
    True
    """

    def __init__(self, shape: Sequence[int], latent: int = 2):
        super().__init__()
        self.shape, self.latent = tuple(shape), latent
        d = math.prod(self.shape)
        if not 1 <= latent <= d:
            raise ValueError(f"latent: got {latent}, expected 1 to {d} for events of {d} numbers")
        self.register_buffer("mean", torch.zeros(d))
        self.register_buffer("components", torch.eye(latent, d))
        self.register_buffer("eigenvalues", torch.zeros(d))

    def fit(self, x: Tensor) -> "PCA":
        """Set mean, components and eigenvalues from data of shape (N, *shape); returns self.

        The singular value decomposition of the centred data, X = A S V^T, gives the eigenvectors of
        the covariance (rows of V^T) and its eigenvalues S^2 / N without forming the covariance.

        Raises:
            ValueError: x has another event shape, or fewer examples than components.
        """
        if x.shape[1:] != self.shape or len(x) < max(2, self.latent):
            raise ValueError(
                f"x: got shape {tuple(x.shape)}, expected (N, {', '.join(map(str, self.shape))}) "
                f"with N of at least {max(2, self.latent)}"
            )
        flat = x.flatten(1)  # (N, D)
        self.mean = flat.mean(0)
        _, s, vt = torch.linalg.svd(flat - self.mean, full_matrices=False)  # (r,), (r, D)
        self.eigenvalues = torch.zeros_like(self.mean)
        self.eigenvalues[: len(s)] = s.square() / len(x)
        self.components = vt[: self.latent]
        return self

    def encode(self, x: Tensor) -> Tensor:
        """U^T (x - mu): (..., *shape) -> (..., latent)."""
        return (x.flatten(-len(self.shape)) - self.mean) @ self.components.T

    def decode(self, z: Tensor) -> Tensor:
        """mu + U z: (..., latent) -> (..., *shape)."""
        return (self.mean + z @ self.components).unflatten(-1, self.shape)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


def principal_angles(a: Tensor, b: Tensor) -> Tensor:
    """The angles between two subspaces, in radians, rising; all zero when they coincide.

    The cosines are the singular values of Q_a Q_b^T for orthonormal bases of the two row spaces.
    That loses half the digits near zero, where cos is flat, so the sines are computed as well (from
    the part of Q_b outside the first subspace) and the two are combined by atan2.

    Args:
        a, b: (m, D), rows that span the two subspaces; they need not be orthogonal.

    Source: Björck and Golub (1973), Numerical methods for computing angles between linear
    subspaces.

    >>> x_axis, diagonal = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 2.0]])
    >>> principal_angles(x_axis, diagonal).rad2deg()
    tensor([45.])
    """
    qa, qb = (torch.linalg.qr(m.T).Q for m in (a, b))  # (D, m), orthonormal columns
    cosines = torch.linalg.svdvals(qa.T @ qb)  # (m,), falling
    sines = torch.linalg.svdvals(qb - qa @ (qa.T @ qb)).flip(0)  # (m,), rising
    return torch.atan2(sines, cosines)
