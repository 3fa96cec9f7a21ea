r"""What a network may predict of data behind noise, and what follows from it.

Behind $x_t = \alpha x_0 + \sigma \epsilon$ stand two unknowns, an image and a noise. Each of five
predictions is a sum $a x_0 + b \epsilon$ of them:

    "x0"        a = 1                 b = 0                 the image
    "eps"       a = 0                 b = 1                 the noise
    "v"         a = -sigma            b = alpha             a mixture of both, of size one
    "score"     a = 0                 b = -1 / sigma        the slope of log p_t
    "velocity"  a = d alpha / dt      b = d sigma / dt      where x_t moves

With x_t itself that is a linear system of two equations, and all conversions solve it. Means given
x_t obey it as values do, so that a network that knows one of the five knows all.
"""

from torch import Tensor

from .checks import readable
from .paths import Path, beside

KINDS = ("x0", "eps", "v", "score", "velocity")


def coefficients(kind: str, path: Path, t: Tensor) -> tuple[Tensor, Tensor]:
    r"""a and b of the prediction $a x_0 + b \epsilon$, at times of any shape.

    Raises:
        ValueError: the kind is none of the five.
    """
    alpha, sigma = path.alpha(t), path.sigma(t)
    if kind == "x0":
        return t.new_ones(()), t.new_zeros(())
    if kind == "eps":
        return t.new_zeros(()), t.new_ones(())
    if kind == "v":
        return -sigma, alpha
    if kind == "score":
        return t.new_zeros(()), -1 / sigma
    if kind == "velocity":
        return path.d_alpha(t), path.d_sigma(t)
    raise ValueError(f"kind: got {kind!r}, expected one of {', '.join(KINDS)}")


def to_x0(value: Tensor, kind: str, x: Tensor, path: Path, t: float | Tensor) -> Tensor:
    r"""The image, from a prediction p of any kind at $x = x_t$:

    $$\hat x = \frac{b x - \sigma p}{\alpha b - \sigma a} .$$

    Shapes: value and x (B, *event), t a number or (B,) -> (B, *event).

    Raises:
        ValueError: the kind is unknown, or a time is not in [0, 1].

    Equation: eq-dresses, eq-linear-readings

    >>> import torch; from dgm.paths import linear
    >>> x0, eps = torch.tensor([[2.0]]), torch.tensor([[-1.0]])
    >>> to_x0(eps - x0, "velocity", 0.75 * x0 + 0.25 * eps, linear(), 0.25)
    tensor([[2.]])
    """
    t = beside(t, x)
    if kind == "x0":
        return value  # the system says so too, but not without noise: 0 / 0
    a, b = coefficients(kind, path, t)
    alpha, sigma = path.alpha(t), path.sigma(t)
    return (b * x - sigma * value) / (alpha * b - sigma * a)


def from_x0(x0: Tensor, kind: str, x: Tensor, path: Path, t: float | Tensor) -> Tensor:
    r"""A prediction of any kind, from the image at $x = x_t$: $a \hat x + b \hat\epsilon$ with
    $\hat\epsilon = (x - \alpha \hat x) / \sigma$.

    Shapes, raises: as `to_x0`; where there is no noise only the image is known.

    Equation: eq-linear-readings

    >>> import torch; from dgm.paths import linear
    >>> from_x0(torch.tensor([[2.0]]), "eps", torch.tensor([[1.25]]), linear(), 0.25)
    tensor([[-1.]])
    """
    t = beside(t, x)
    if kind == "x0":
        return x0
    a, b = coefficients(kind, path, t)
    sigma = path.sigma(t)
    if readable(sigma) and not (sigma > 0).all():
        raise ValueError(f"t: got a time without noise, expected sigma > 0: {kind} divides by it")
    return a * x0 + b * (x - path.alpha(t) * x0) / sigma


def loss_weight(kind: str, path: Path, t: Tensor) -> Tensor:
    r"""What the squared error of a prediction is, in units of that of the image:

    $$\lVert p - \hat p \rVert^2 = \Big(a - b \frac\alpha\sigma\Big)^2 \lVert x_0 - \hat x
    \rVert^2 .$$

    It is SNR for "eps", and 1 + SNR for "v" where $\alpha^2 + \sigma^2 = 1$.

    Equation: eq-dresses, eq-matching-weight

    >>> import torch; from dgm.paths import cosine
    >>> loss_weight("v", cosine(), torch.tensor([0.5]))
    tensor([2.0000])
    """
    a, b = coefficients(kind, path, t)
    return (a - b * path.alpha(t) / path.sigma(t)).square().expand_as(t)


def preconditioning(sigma: Tensor, data: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    r"""The three factors of $\hat x = c_{\text{skip}} \, x + c_{\text{out}} F(c_{\text{in}} \, x)$
    for $x = x_0 + \sigma \epsilon$ and data of variance $\sigma_d^2$:

    $$c_{\text{skip}} = \frac{\sigma_d^2}{\sigma^2 + \sigma_d^2}, \qquad c_{\text{out}} =
    \frac{\sigma \sigma_d}{\sqrt{\sigma^2 + \sigma_d^2}}, \qquad c_{\text{in}} =
    \frac 1{\sqrt{\sigma^2 + \sigma_d^2}} .$$

    What F is given and what it has to put out then have variance 1, and its errors are made as
    small as they can be. With $\sigma_d = 1$ it is the prediction of v, F = -v.

    Source: Karras et al. (2022), arXiv:2206.00364, table 1 and appendix B.6.

    >>> import torch
    >>> preconditioning(torch.tensor(1.0))
    (tensor(0.5000), tensor(0.7071), tensor(0.7071))
    """
    total = sigma.square() + data**2
    return data**2 / total, sigma * data / total.sqrt(), 1 / total.sqrt()
