"""Variety: how many different examples a sample amounts to, and how many classes."""

import torch
from torch import Tensor

from ..checks import check_finite
from .resampling import by_halves
from .samples import vectors


def vendi(x: Tensor, splits: int = 20) -> tuple[float, float]:
    r"""The effective number of different examples: the Vendi score, and its standard error.

    $$e^{H(\lambda)}, \qquad H(\lambda) = -\sum_i \lambda_i \log \lambda_i ,$$

    $\lambda$ the eigenvalues of K / n, $K_{ij} = \frac{x_i \cdot x_j}{\|x_i\| \|x_j\|}$. It is 1 if
    all examples are alike, n if all are orthogonal, and the number of groups if there are equal
    groups of equal ones. It says nothing about quality, grows with n, and has the score of data as
    its yardstick, in the same features and for as many examples.

    Args:
        x: (n, *event), for example features.
        splits: of `by_halves`, which the error is from.

    Raises:
        ValueError: fewer than four examples, values that are not finite, or an example of zeros.

    Equation: eq-vendi

    Source: Friedman and Dieng (2023), arXiv:2210.02410, The Vendi Score: a diversity evaluation
    metric for machine learning.

    >>> value, error = vendi(torch.eye(2).repeat(20, 1))
    >>> round(value, 6)
    2.0
    """
    x, _ = vectors(x, x, ("x", "x"))
    size = x.norm(dim=1, keepdim=True)
    if not (size > 0).all():
        raise ValueError("x: got an example of zeros, which has no direction")
    value, error = by_halves(_vendi, x / size, splits=splits)
    return value.item(), error.item()


def _vendi(x: Tensor) -> Tensor:
    # x x' and x' x have the same eigenvalues but for zeros
    smaller = x @ x.T if len(x) < x.shape[1] else x.T @ x
    eigenvalues = torch.linalg.eigvalsh(smaller / len(x)).clamp(min=0)
    return (-torch.xlogy(eigenvalues, eigenvalues).sum()).exp()


def class_score(probs: Tensor, splits: int = 20) -> tuple[float, float]:
    r"""$e^{I(x; y)}$ of samples x and the classes y that a classifier gives them, and its error:

    $$I(x; y) = \frac1n \sum_i \mathrm{KL}\Big(p(y \mid x_i) \,\Big\|\, \frac1n \sum_j p(y \mid x_j)
    \Big) .$$

    It lies between 1 and the number of classes, and is largest if every sample is of one class
    beyond doubt, and each class as frequent as any other: one image of each class will do. With the
    classes of one particular network it is known as the Inception score.

    Args:
        probs: (n, classes), p(y | x) for each sample.
        splits: of `by_halves`, which the error is from.

    Raises:
        ValueError: probs are no probabilities, or of fewer than four samples.

    Equation: eq-class-score

    Source: Salimans et al. (2016), arXiv:1606.03498, Improved techniques for training GANs, section
    4; Barratt and Sharma (2018), arXiv:1801.01973, A note on the Inception score.

    >>> value, error = class_score(torch.eye(10).repeat(2, 1))
    >>> round(value, 6)
    10.0
    """
    check_finite("probs", probs)
    if probs.dim() != 2 or (probs < 0).any() or ((probs.sum(1) - 1).abs() > 1e-4).any():
        raise ValueError(
            f"probs: got shape {tuple(probs.shape)}, expected (n, classes) that add up to 1"
        )
    value, error = by_halves(_class_score, probs.detach().cpu().double(), splits=splits)
    return value.item(), error.item()


def _class_score(p: Tensor) -> Tensor:
    mean = p.mean(0)
    return ((torch.xlogy(p, p).sum() / len(p)) - torch.xlogy(mean, mean).sum()).exp()
