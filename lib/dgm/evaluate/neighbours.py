"""Precision, recall, density and coverage: samples in the balls around data, and data in theirs."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import integer
from .representation import nearest_neighbours
from .resampling import by_halves
from .samples import vectors


class PRDC(NamedTuple):
    """Four numbers, each with its standard error, and what the last is of a perfect model."""

    precision: tuple[float, float]
    recall: tuple[float, float]
    density: tuple[float, float]
    coverage: tuple[float, float]
    expected_coverage: float


def prdc(real: Tensor, fake: Tensor, k: int = 5, splits: int = 20) -> PRDC:
    r"""Precision, recall, density and coverage by k nearest neighbours.

    Around every data point lies a ball that reaches to its k-th neighbour among the data, around
    every sample one that reaches to its k-th neighbour among the samples. Then

    - precision is the share of samples that lie in some ball of the data,
    - recall is the share of data that lie in some ball of the samples,
    - density is the number of balls of the data that a sample lies in, on average, over k,
    - coverage is the share of data whose own ball holds some sample.

    Of a perfect model density is 1 on average (it is no share and may be larger), and coverage is
    `expected_coverage`, whatever the data. Precision and recall of a perfect model depend on k, on
    the numbers of examples and on the data: compare with those of held-out data in the place of the
    samples. One outlier among the data has a ball that holds all that lies between, so that
    precision can be 1 for samples which resemble nothing; density and coverage hardly notice it.

    Args:
        real: (N, *event), data in the features in which they are to be compared.
        fake: (M, *event), samples in the same features.
        k: which neighbour, not counting the point itself.
        splits: of `by_halves`, which the errors are from.

    Returns:
        `PRDC`, with (value, standard error) of each.

    Raises:
        ValueError: samples of different event shapes or with values that are not finite; k is
            not less than half the number of examples.

    Equation: def-balls, eq-expected-coverage

    Source: Kynkäänniemi et al. (2019), arXiv:1904.06991, Improved precision and recall metric for
    assessing generative models; Naeem et al. (2020), arXiv:2002.09797, Reliable fidelity and
    diversity metrics for generative models.

    >>> x = torch.randn(200, 2)
    >>> result = prdc(x[:100], x[100:] + 20)
    >>> result.precision, result.coverage
    ((0.0, 0.0), (0.0, 0.0))
    """
    integer("k", k)
    real, fake = vectors(real, fake, ("real", "fake"))
    fewest = min(len(real), len(fake))
    if k >= fewest // 2:
        raise ValueError(
            f"k: got {k}, expected less than {fewest // 2}, half the number of examples"
        )
    values, errors = by_halves(lambda a, b: _prdc(a, b, k), real, fake, splits=splits)
    pairs = zip(values.tolist(), errors.tolist(), strict=True)
    return PRDC(*pairs, expected_coverage(len(real), len(fake), k))


def expected_coverage(n: int, m: int, k: int) -> float:
    r"""The coverage of n data by m samples of a perfect model, on average:

    $$1 - \prod_{i=1}^k \frac{n - i}{n + m - i} .$$

    A data point is not covered if its k nearest among the n - 1 + m others are all data, and all
    orders of these are equally likely. Neither the distribution nor the dimension matters.

    Raises:
        ValueError: a number is no positive integer, or k is not less than n.

    Equation: eq-expected-coverage

    Source: Naeem et al. (2020), arXiv:2002.09797, section 3.

    >>> expected_coverage(100, 100, k=5)
    0.971
    """
    n, m, k = (integer(name, value) for name, value in (("n", n), ("m", m), ("k", k)))
    if k >= n:
        raise ValueError(f"k: got {k}, expected at most {n - 1}, the other data")
    return 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))


def _prdc(real: Tensor, fake: Tensor, k: int, chunk: int = 1000) -> Tensor:
    """Precision, recall, density, coverage of (N, F) and (M, F): (4,)."""
    # a point is its own first neighbour: the k-th of the others is number k + 1
    around_real, around_fake = (nearest_neighbours(x, x, k + 1)[0][:, k] for x in (real, fake))
    balls = torch.zeros(len(fake), dtype=torch.long)  # that hold the sample
    recalled = covered = torch.zeros((), dtype=torch.long)
    for x, radius in zip(real.split(chunk), around_real.split(chunk), strict=True):
        distance = torch.cdist(x, fake, compute_mode="donot_use_mm_for_euclid_dist")
        inside = distance <= radius[:, None]  # (chunk, M)
        balls += inside.sum(0)
        covered = covered + inside.any(1).sum()
        recalled = recalled + (distance <= around_fake).any(1).sum()
    recall, coverage = recalled.double() / len(real), covered.double() / len(real)
    precision, density = (balls > 0).double().mean(), balls.double().mean() / k
    return torch.stack([precision, recall, density, coverage])
