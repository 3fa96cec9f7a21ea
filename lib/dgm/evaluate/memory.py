"""Memory: samples that are nearer to the training set than new data are, and equal samples."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import integer
from .representation import nearest_distance
from .samples import vectors


class CellCopying(NamedTuple):
    """Copying cell by cell.

    Attributes:
        score, error: $C_T$, and its standard deviation if samples are like data.
        cells: (cells,), the z-score of each cell; nan where it has no samples or no test data.
    """

    score: float
    error: float
    cells: Tensor


def copying_by_cell(samples: Tensor, train: Tensor, test: Tensor, cells: int = 10) -> CellCopying:
    r"""Whether samples lie nearer to the training set than new data do, cell by cell: $C_T$.

    A model may copy one kind of image and be far from the training set everywhere else, so that
    `copying` sees neither; and where data lie close together, new data are as near to the training
    set as copies are elsewhere. Here the space is divided into cells, by k-means of the training
    set, and within each cell the distances of samples and of test data to their nearest training
    examples are compared by Mann and Whitney's statistic, as a z-score:

    $$C_T = \sum_c w_c Z_c, \qquad
    Z_c = \frac{U_c - n_c m_c / 2}{\sqrt{n_c m_c (n_c + m_c + 1) / 12}} ,$$

    $U_c$ the number of pairs whose sample is farther away than the test example (ties count half,
    and reduce the variance), $w_c$ the share of the test data that lie in the cell. Far below zero
    samples are copies; far above it they are farther away than data. Both may cancel in $C_T$, but
    not in the scores of the cells.

    Args:
        samples: (N, *event).
        train: (T, *event), from which the model learned.
        test: (M, *event), data from which it did not.
        cells: how many; those without a sample or without a test example are left out.

    Returns:
        `CellCopying`, with the standard deviation $\sqrt{\sum_c w_c^2}$ as the error.

    Raises:
        ValueError: different event shapes, values that are not finite, fewer training examples than
            cells, or no cell with both samples and test data.

    Equation: def-cell-copying

    Source: Meehan, Chaudhuri and Dasgupta (2020), arXiv:2004.05675, A non-parametric test to detect
    data-copying in generative models, section 4.

    >>> train, test = torch.randn(200, 2), torch.randn(200, 2)
    >>> result = copying_by_cell(train[:100], train, test, cells=3)
    >>> result.score < -5 * result.error
    True
    """
    from sklearn.cluster import KMeans

    test, _ = vectors(test, train, ("test", "train"))
    samples, train = vectors(samples, train, ("samples", "train"))
    if integer("cells", cells) > len(train):
        raise ValueError(
            f"cells: got {cells}, expected at most {len(train)}, the training examples"
        )
    kmeans = KMeans(cells, n_init=4, random_state=0).fit(train.numpy())
    cell_of_sample, cell_of_test = (
        torch.as_tensor(kmeans.predict(x.numpy())) for x in (samples, test)
    )
    far_sample, far_test = (nearest_distance(x, train) for x in (samples, test))
    scores, weights = torch.full((cells,), torch.nan).double(), torch.zeros(cells).double()
    for cell in range(cells):
        ours, theirs = far_sample[cell_of_sample == cell], far_test[cell_of_test == cell]
        if len(ours) and len(theirs):
            scores[cell], weights[cell] = _mann_whitney(ours, theirs), len(theirs)
    if not weights.any():
        raise ValueError(f"cells: got {cells}, of which none has both samples and test data")
    w = weights / weights.sum()
    return CellCopying(float(w @ scores.nan_to_num()), float(w.norm()), scores)


def _mann_whitney(a: Tensor, b: Tensor) -> float:
    """How many standard deviations the pairs with a > b are more than half of all, by chance."""
    n, m = len(a), len(b)
    difference = (a[:, None] - b).sign()  # (n, m), 0 for a tie
    ties = torch.cat([a, b]).unique(return_counts=True)[1].double()
    variance = n * m / 12 * (n + m + 1 - (ties**3 - ties).sum() / ((n + m) * (n + m - 1)))
    return 0.0 if variance <= 0 else float(difference.sum() / 2 / variance.sqrt())


class Birthday(NamedTuple):
    """How many different outputs a generator has, from pairs of equal samples.

    Attributes:
        pairs: how many pairs of samples are equal.
        support: how many equally likely outputs would give as many pairs.
        low, high: between which the support lies, 19 times out of 20.
    """

    pairs: int
    support: float
    low: float
    high: float


def birthday(samples: Tensor, radius: float = 0.0) -> Birthday:
    r"""The size of a generator's support, from how often two of its samples are equal.

    Among n samples of N equally likely outputs there are $\frac{n (n - 1)}{2 N}$ equal pairs, on
    average: as among 23 people, who have 0.69 pairs with a common birthday. If outputs are not
    equally likely, the pairs tell $1 / \sum_i p_i^2$, which is less than the number of outputs. The
    interval takes the number of pairs to be Poisson distributed, which it nearly is while there are
    fewer of them than samples. No equal pair says that N is at least a quarter of n (n - 1) / 2.

    Args:
        samples: (n, *event).
        radius: two samples at most so far apart, in Euclidean distance, count as equal.

    Raises:
        ValueError: fewer than two samples, values that are not finite, or a negative radius.

    Equation: eq-birthday

    Source: Arora and Zhang (2017), arXiv:1706.08224, Do GANs actually learn the distribution?

    >>> birthday(torch.tensor([[1.0], [2.0], [1.0], [4.0]]))
    Birthday(pairs=1, support=6.0, low=1.08, high=236.98)
    """
    from scipy.stats import chi2

    x, _ = vectors(samples, samples, ("samples", "samples"))
    if not radius >= 0:
        raise ValueError(f"radius: got {radius}, expected a number of at least 0")
    distances = torch.pdist(x)  # (n (n - 1) / 2,)
    pairs, of = int((distances <= radius).sum()), len(distances)
    least = chi2.ppf(0.025, 2 * pairs) / 2 if pairs else 0.0
    most = chi2.ppf(0.975, 2 * pairs + 2) / 2
    return Birthday(
        pairs, *(of / c if c else float("inf") for c in (pairs, float(most), float(least)))
    )
