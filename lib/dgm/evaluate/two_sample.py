"""Two samples, one distribution? By a classifier, and by the nearest neighbour of each example."""

from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import integer
from .samples import vectors


class TwoSample(NamedTuple):
    """How often it was told from which of two samples an example is.

    Attributes:
        accuracy: the share of examples that were assigned to their own sample.
        error: its standard error, if both samples have one distribution.
        expected: what the accuracy is then, on average.
        p: the p-value of the hypothesis that they have, against both sides.
    """

    accuracy: float
    error: float
    expected: float
    p: float


def classifier_test(a: Tensor, b: Tensor, folds: int = 5, trees: int = 200) -> TwoSample:
    r"""Whether a random forest tells examples of a from examples of b that it has not seen.

    Every example is classified by a forest that learned from the other folds. The best of all
    classifiers has accuracy $\frac12 (1 + \mathrm{TV})$, so that
    $2 \cdot \text{accuracy} - 1$ is, but for chance, a lower bound of the total variation distance
    of the distributions: of the samples as they are given, thus of images pixel by pixel.

    Args:
        a, b: (N, *event) each, as many of one as of the other.
        folds: into which the examples are divided.
        trees: of each forest.

    Returns:
        `TwoSample`. Its p-value is binomial, with half a success for each of 2 N trials.

    Raises:
        ValueError: samples of different event shapes or sizes, values that are not finite, or fewer
            examples in each than folds.

    Equation: eq-best-accuracy

    Source: Lopez-Paz and Oquab (2017), arXiv:1610.06545, Revisiting classifier two-sample tests.

    >>> x = torch.randn(100, 2)
    >>> classifier_test(x[:50], x[50:] + 3, trees=20).accuracy > 0.9
    True
    """
    from scipy.stats import binomtest
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    integer("folds", folds, at_least=2)
    integer("trees", trees)
    a, b = vectors(a, b)
    if len(a) != len(b) or len(a) < folds:
        raise ValueError(
            f"a, b: got {len(a)} and {len(b)} examples, expected as many of one as of the other, "
            f"and at least {folds}, one for each fold"
        )
    x, is_b = torch.cat([a, b]).numpy(), (torch.arange(2 * len(a)) >= len(a)).numpy()
    divided = StratifiedKFold(folds, shuffle=True, random_state=0)
    forest = RandomForestClassifier(trees, random_state=0)
    right = int((cross_val_predict(forest, x, is_b, cv=divided) == is_b).sum())
    error = 0.5 / len(x) ** 0.5
    return TwoSample(right / len(x), error, 0.5, float(binomtest(right, len(x)).pvalue))


def neighbour_test(a: Tensor, b: Tensor, permutations: int = 999) -> TwoSample:
    r"""How often the nearest neighbour of an example, among all others, is of its own sample.

    If both samples have one distribution, it is one of the $N + M - 1$ others by chance, hence of
    its own sample in nearly one half of all cases. Distributions that do not touch have accuracy 1.
    If b are copies of a, it is 0, for the nearest is then the twin: which is as bad.

    Args:
        a, b: (N, *event) and (M, *event). It holds $(N + M)^2$ numbers in memory.
        permutations: in which the examples are divided at random, for the p-value and the error.

    Returns:
        `TwoSample`. Its p-value is the share of divisions, the one seen included, whose accuracy is
        as far from what is expected as the one seen, or farther: P(p <= alpha) <= alpha exactly.

    Raises:
        ValueError: samples of different event shapes, fewer than two examples, values that are not
            finite, or fewer than two permutations.

    Source: Schilling (1986), doi:10.1080/01621459.1986.10478337, Multivariate two-sample tests
    based on nearest neighbors; Xu et al. (2018), arXiv:1806.07755, An empirical study on evaluation
    metrics of generative adversarial networks.

    >>> x = torch.randn(100, 2)
    >>> neighbour_test(x, x + 1e-6).accuracy, neighbour_test(x, x + 9).accuracy
    (0.0, 1.0)
    """
    integer("permutations", permutations, at_least=2)
    a, b = vectors(a, b)
    x, n = torch.cat([a, b]), len(a) + len(b)
    exact = "donot_use_mm_for_euclid_dist"
    nearest = torch.cdist(x, x, compute_mode=exact).fill_diagonal_(torch.inf).argmin(1)  # (n,)
    is_b = torch.arange(n) >= len(a)
    divisions = torch.stack([is_b, *(is_b[torch.randperm(n)] for _ in range(permutations))])
    accuracies = (divisions[:, nearest] == divisions).double().mean(1)  # (1 + permutations,)
    expected = (len(a) * (len(a) - 1) + len(b) * (len(b) - 1)) / (n * (n - 1))
    off = (accuracies - expected).abs()
    p = (off >= off[0] - 1e-12).double().mean()
    return TwoSample(accuracies[0].item(), accuracies[1:].std().item(), expected, p.item())
