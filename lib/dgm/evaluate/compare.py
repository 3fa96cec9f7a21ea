"""Is the difference real? Pairs, seeds, many comparisons."""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from ..checks import check_finite, integer
from .representation import mean_and_error

ALL_SIGNS = 14  # up to so many differences all of their signs are tried, 16384


class Paired(NamedTuple):
    """How much larger a is than b, on average, its error, and a p-value of no difference."""

    difference: float
    error: float
    p: float


def paired(a: Tensor, b: Tensor) -> Paired:
    r"""The mean difference of two scores of the same examples, with its error and its p-value.

    $$\mathrm{Var}(\bar a - \bar b) = \frac{s_a^2 + s_b^2 - 2 s_{ab}}n :$$

    images that are hard for one model are hard for the other, and what they have in common drops
    out. That the error bars of both means overlap therefore says nothing.

    Args:
        a, b: (n,), n of at least 2, for example log p(x) of two models on the same test images; or
            means over images of runs that share their seed.

    Raises:
        ValueError: a and b are not (n,) both, or not finite.

    Equation: eq-paired-variance

    >>> paired(torch.tensor([1.0, 5.0, 9.0]), torch.tensor([0.0, 4.0, 8.5]))
    Paired(difference=0.833, error=0.167, p=0.25)
    """
    if a.ndim != 1 or a.shape != b.shape or len(a) < 2:
        raise ValueError(
            f"a, b: got shapes {tuple(a.shape)} and {tuple(b.shape)}, expected (n,) both, "
            "n at least 2"
        )
    d = a.detach().cpu().double() - b.detach().cpu().double()
    p = sign_flip(d)
    return Paired(*mean_and_error(d), p)


def sign_flip(d: Tensor, draws: int = 10_000) -> float:
    r"""The p-value of the hypothesis that differences are as likely to be d as -d, each of them.

    It is the share of all $2^n$ signs for which the mean is as far from zero as the one seen, or
    farther; of more than 14 differences, the share among the signs seen and so many random ones.
    Either way P(p <= alpha) <= alpha exactly, whatever the distribution. With n differences p is at
    least $2^{1-n}$: five seeds cannot say more than 0.0625.

    Args:
        d: (n,), differences of pairs.
        draws: of signs, for more than 14 differences.

    Raises:
        ValueError: d is not (n,) of finite numbers, or fewer than one draw.

    Equation: eq-sign-flip

    Source: Fisher (1935), The Design of Experiments, section 21; Phipson and Smyth (2010),
    doi:10.2202/1544-6115.1585, for the one that is added.

    >>> sign_flip(torch.tensor([0.8, 0.3, 0.5, 0.9, 0.2]))
    0.0625
    """
    integer("draws", draws)
    if d.ndim != 1 or len(d) == 0:
        raise ValueError(f"d: got shape {tuple(d.shape)}, expected (n,)")
    check_finite("d", d)
    d = d.detach().cpu().double()
    if len(d) <= ALL_SIGNS:
        signs = torch.tensor(list(product([1.0, -1.0], repeat=len(d))), dtype=torch.double)
    else:
        signs = torch.randint(2, (1 + draws, len(d))).double() * 2 - 1
        signs[0] = 1
    sums = (signs @ d).abs()
    return float((sums >= sums[0] - 1e-12 * d.abs().sum()).double().mean())


def holm(p: Sequence[float] | Tensor) -> Tensor:
    r"""p-values of m tests, adjusted so that one of them being <= alpha by chance is no likelier
    than alpha, for all tests together and whatever hypotheses are true.

    The smallest is multiplied by m, the next by m - 1, ..., and none may be less than one before
    it: it rejects all that Bonferroni's m p rejects, and more.

    Args:
        p: (m,) p-values in any order.

    Returns:
        (m,), in the same order, at most 1.

    Raises:
        ValueError: p are not (m,) numbers from 0 to 1.

    Equation: eq-many-tests

    Source: Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian
    Journal of Statistics 6.

    >>> holm([0.01, 0.04, 0.03])
    tensor([0.0300, 0.0600, 0.0600], dtype=torch.float64)
    """
    p = torch.as_tensor(p, dtype=torch.double)
    if p.ndim != 1 or len(p) == 0 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"p: got {p.tolist()}, expected a row of numbers from 0 to 1")
    values, order = p.sort()
    times = torch.arange(len(p), 0, -1, device=p.device)
    adjusted = (values * times).cummax(0).values.clamp(max=1)
    return torch.empty_like(p).scatter_(0, order, adjusted)


def seed_interval(values: Sequence[float] | Tensor, level: float = 0.95) -> tuple[float, float]:
    r"""The mean over a few seeds, and how far the true mean may be from it: Student's interval

    $$\bar v \pm t_{S - 1} \frac s{\sqrt S} .$$

    s is itself uncertain; for three seeds t is 4.30 where 2 would be used for a hundred. It asks
    that what is measured is about normal from seed to seed.

    Args:
        values: (S,), S of at least 2, one number for each seed.
        level: how often such intervals hold the true mean.

    Returns:
        The mean, and half the length of the interval.

    Raises:
        ValueError: fewer than two values, or a level that is not between 0 and 1.

    Equation: eq-few-seeds

    Source: Student (1908), doi:10.1093/biomet/6.1.1, The probable error of a mean.

    >>> mean, half = seed_interval([2.35, 2.40, 2.45])
    >>> round(mean, 2), round(half, 3)
    (2.4, 0.124)
    """
    from scipy.stats import t

    values = torch.as_tensor(values, dtype=torch.double)
    if not 0 < level < 1:
        raise ValueError(f"level: got {level}, expected a number between 0 and 1")
    mean, error = mean_and_error(values)
    return mean, error * float(t.ppf((1 + level) / 2, len(values) - 1))


class Spread(NamedTuple):
    """The mean of scores of S seeds on n images, its error, and where the spread comes from.

    Attributes:
        mean, error: of all scores; the error is that of other seeds *and* other images.
        seed: the standard deviation from seed to seed, of what a seed scores on all images.
        image: the standard deviation from image to image, of what an image has by all seeds.
        both: that of what is left: how much a seed differs on an image from what both explain.
    """

    mean: float
    error: float
    seed: float
    image: float
    both: float


def two_way(scores: Tensor) -> Spread:
    r"""Two sources of spread at once: which networks were trained, and which images were asked.

    $$\mathrm{Var}(\text{mean}) = \frac{\sigma_{\text{seed}}^2}S + \frac{\sigma_{\text{image}}^2}n +
    \frac{\sigma_{\text{both}}^2}{S n} .$$

    The standard error over images of the averages over seeds leaves the first term out. The
    variances are estimated without bias, and one that comes out negative is zero.

    Args:
        scores: (S, n), one for each seed and image, S and n of at least 2.

    Raises:
        ValueError: scores are not (S, n), or not finite.

    Equation: eq-two-way

    Source: Searle, Casella and McCulloch (1992), doi:10.1002/9780470316856, Variance Components,
    chapter 4.

    >>> two_way(torch.tensor([[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]]))
    Spread(mean=2.5, error=0.764, seed=0.707, image=1.0, both=0.0)
    """
    if scores.ndim != 2 or min(scores.shape) < 2:
        raise ValueError(
            f"scores: got shape {tuple(scores.shape)}, expected (seeds, images), 2 at least of each"
        )
    check_finite("scores", scores)
    scores = scores.detach().cpu().double()
    s, n = scores.shape
    by_seed, by_image = scores.mean(1), scores.mean(0)  # (S,), (n,)
    left = scores - by_seed[:, None] - by_image + scores.mean()
    both = left.square().sum() / ((s - 1) * (n - 1))
    variances = [
        by_seed.var() / s + by_image.var() / n - both / (s * n),  # of the mean
        by_seed.var() - both / n,
        by_image.var() - both / s,
        both,
    ]
    return Spread(scores.mean().item(), *(v.clamp(min=0).sqrt().item() for v in variances))
