"""Evaluation from samples alone: what can be said of a model that has no density.

    on a known mixture         mode_counts, modes_covered, good_share
    in a feature space         frechet_distance, frechet_limit, kid (features: `classifier`)
    two samples, one distribution?      mmd, mmd_test
    with a critic              log_density_ratio
    against the training set   nearest_neighbours (of `representation`), copying

Samples are (N, *event) and flattened where vectors are needed.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import MixtureSameFamily

from ..checks import check_examples, check_finite, integer, one_each
from ..data import in_batches
from ..protocols import given
from .representation import nearest_distance
from .resampling import by_halves


@torch.no_grad()
def mode_counts(x: Tensor, density: MixtureSameFamily, radius: float = 3.0) -> Tensor:
    r"""How many samples lie at each mode of a mixture of Gaussians with circular components.

    A sample is good if it lies within `radius` standard deviations of the nearest mean; it counts
    for the mode of that mean. In the plane a draw from one Gaussian is good with probability
    $1 - e^{-r^2/2}$: 0.989 for r = 3, 0.9997 for r = 4.

    Args:
        x: (N, D) points.
        density: a mixture of K Gaussians, for example `dgm.toys.ring()`.

    Returns:
        (K,) integers, whose sum is the number of good samples.

    Raises:
        ValueError: x are not points of the mixture's space, or the radius is not positive.

    Source: Srivastava et al. (2017), arXiv:1705.07761, VEEGAN, section 4.1.

    >>> import dgm
    >>> density = dgm.toys.ring(modes=4, sigma=0.1, device="cpu")
    >>> mode_counts(torch.tensor([[1.0, 0.0], [1.2, 0.0], [0.0, 0.9], [0.0, 0.0]]), density)
    tensor([2, 1, 0, 0])
    """
    if x.ndim != 2 or x.shape[1:] != density.event_shape or len(x) == 0:
        raise ValueError(
            f"x: got shape {tuple(x.shape)}, expected (N, {density.event_shape[0]}), N at least 1"
        )
    if not radius > 0:
        raise ValueError(f"radius: got {radius}, expected a positive number")
    means = density.component_distribution.mean  # (K, D)
    sigma = density.component_distribution.stddev  # (K, D)
    distance = ((x[:, None] - means) / sigma).norm(dim=2)  # (N, K), in standard deviations
    nearest = distance.min(1)  # values, indices: (N,)
    return torch.bincount(nearest.indices[nearest.values <= radius], minlength=len(means))


def modes_covered(
    x: Tensor, density: MixtureSameFamily, radius: float = 3.0, at_least: int = 1
) -> int:
    """How many modes have `at_least` so many good samples. Arguments as for `mode_counts`.

    >>> import dgm
    >>> density = dgm.toys.ring(modes=8, device="cpu")
    >>> modes_covered(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), density)
    2
    """
    if at_least < 1:
        raise ValueError(f"at_least: got {at_least}, expected at least 1")
    return int((mode_counts(x, density, radius) >= at_least).sum())


def good_share(x: Tensor, density: MixtureSameFamily, radius: float = 3.0) -> float:
    """The share of samples within `radius` standard deviations of a mode, as in `mode_counts`.

    >>> import dgm
    >>> density = dgm.toys.ring(modes=8, device="cpu")
    >>> good_share(torch.tensor([[1.0, 0.0], [0.0, 0.0]]), density)
    0.5
    """
    return int(mode_counts(x, density, radius).sum()) / len(x)


def frechet_distance(a: Tensor, b: Tensor, resamples: int = 100) -> tuple[float, float]:
    r"""The squared Fréchet distance of Gaussians fitted to two samples, and its standard error.

    With the means $\mu$ and covariances $\Sigma$ of the two samples,

    $$ d^2 = \lVert \mu_a - \mu_b \rVert^2
             + \operatorname{tr}(\Sigma_a + \Sigma_b - 2 (\Sigma_a \Sigma_b)^{1/2}), $$

    the squared Wasserstein-2 distance of N(mu_a, Sigma_a) and N(mu_b, Sigma_b). In the features of
    the Inception network this number goes by the name of FID; values in other features, or of other
    sample sizes, cannot be compared with it or with each other. It is zero for different
    distributions with equal moments, and too large in small samples (a bias of order 1/N): compare
    with the distance of two samples of real data of the same sizes.

    The standard error is the standard deviation over bootstrap resamples of both samples.

    Args:
        a, b: (N, F) and (M, F), for example `classifier.features(x)`. Larger than F, please.
        resamples: of the bootstrap.

    Returns:
        (d^2, standard error), in squared units of the features.

    Raises:
        ValueError: samples of different numbers of features, or fewer than two examples, or values
            that are not finite, or fewer than two resamples.

    Equation: def-frechet

    Source: Heusel et al. (2017), arXiv:1706.08500, GANs Trained by a Two Time-Scale Update Rule,
    eq. 6; Dowson and Landau (1982), doi:10.1016/0047-259X(82)90077-X, The Fréchet distance between
    multivariate normal distributions.

    >>> x = torch.randn(50, 3)
    >>> value, standard_error = frechet_distance(x, x + torch.tensor([3.0, 4.0, 0.0]))
    >>> round(value, 3)
    25.0
    """
    a, b = vectors(a, b)
    if resamples < 2:
        raise ValueError(f"resamples: got {resamples}, expected at least 2")
    bootstrap = torch.stack([_frechet(_resample(a), _resample(b)) for _ in range(resamples)])
    return _frechet(a, b).item(), bootstrap.std().item()


def expected_frechet(x: Tensor, n: int, m: int) -> float:
    r"""The Fréchet distance of n and m examples of one normal distribution, on average:

    $$\frac12 \Big(\frac1n + \frac1m\Big) \Big(\frac52 \operatorname{tr} \Sigma +
      \sum_{ij} \frac{\lambda_i \lambda_j}{\lambda_i + \lambda_j}\Big), $$

    $\lambda$ the eigenvalues of the covariance $\Sigma$; for $\Sigma = I$ in D dimensions and n = m
    it is $D (D + 5) / (2 n)$. This is what a perfect model has, up to terms of order $1 / n^2$ and
    as far as its features are normal: the yardstick of `frechet_distance`.

    Args:
        x: (N, F), whose covariance is taken: features of data.
        n, m: how many examples are compared.

    Raises:
        ValueError: x are fewer than two examples or not finite; n or m is no positive integer.

    Equation: eq-frechet-bias

    >>> x = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) * 0.75**0.5
    >>> expected_frechet(x, 100, 100)
    0.07
    """
    n, m = integer("n", n), integer("m", m)
    x, _ = vectors(x, x, ("x", "x"))
    values = torch.linalg.eigvalsh(x.T.cov().reshape(x.shape[1], -1))
    values = values[values > 1e-12 * values.max()]  # of rounding; zeros add nothing
    pairs = values[:, None] * values / (values[:, None] + values)
    return float((1 / n + 1 / m) / 2 * (2.5 * values.sum() + pairs.sum()))


def frechet_limit(
    a: Tensor, b: Tensor, parts: Sequence[int] = (1, 2, 4), splits: int = 20
) -> tuple[float, float]:
    r"""The squared Fréchet distance that infinite samples would have, extrapolated.

    The bias of `frechet_distance` is of order $1 / N$: divided into p parts, the samples have p
    times as much of it. The distances, averaged over the parts, are a line in p, whose value at
    p = 0 is the estimate. Where the distances of models are compared, the order of the limits is
    the order of the models, which that of the distances at one N need not be.

    Args:
        a, b: (N, F) and (M, F), in random order. N / p larger than F, please: below, terms of
            higher order bend the line.
        parts: the numbers p, two different ones at least.
        splits: of `by_halves`, which the error is from.

    Returns:
        ($d^2$, standard error), in squared units of the features. Of equal distributions it may be
        negative.

    Raises:
        ValueError: samples of different numbers of features, or values that are not finite; no two
            different numbers of parts, or too many for two examples in each part of each half.

    Source: Chong and Forsyth (2020), arXiv:1911.07023, Effectively unbiased FID and Inception Score
    and where to find them.

    >>> a, b = torch.randn(800, 2), torch.randn(800, 2) + 1
    >>> value, standard_error = frechet_limit(a, b, splits=10)
    >>> abs(value - 2) < 4 * standard_error
    True
    """
    a, b = vectors(a, b)
    parts = [integer("parts", p) for p in parts]
    if len(set(parts)) < 2 or 4 * max(parts) > min(len(a), len(b)):
        raise ValueError(
            f"parts: got {parts}, expected two different numbers at least, and none above "
            f"{min(len(a), len(b)) // 4}: two examples in each part of each half"
        )
    value, error = by_halves(lambda a, b: _frechet_limit(a, b, parts), a, b, splits=splits)
    return value.item(), error.item()


def _frechet_limit(a: Tensor, b: Tensor, parts: list[int]) -> Tensor:
    distances = [torch.stack([_frechet(a[i::p], b[i::p]) for i in range(p)]).mean() for p in parts]
    line = torch.stack([torch.ones(len(parts)), torch.tensor(parts)], 1).double()  # (P, 2)
    return torch.linalg.lstsq(line, torch.stack(distances)[:, None]).solution[0, 0]


def _frechet(a: Tensor, b: Tensor) -> Tensor:
    difference = a.mean(0) - b.mean(0)  # (F,)
    cov_a, cov_b = (x.T.cov().reshape(x.shape[1], -1) for x in (a, b))  # (F, F), also for F = 1
    # Sigma_a Sigma_b has the eigenvalues of R Sigma_b R with R = Sigma_a^(1/2), which is symmetric
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T  # (F, F)
    eigenvalues = torch.linalg.eigvalsh(root @ cov_b @ root).clamp(min=0)  # (F,)
    distance = difference.square().sum() + (cov_a + cov_b).trace() - 2 * eigenvalues.sqrt().sum()
    return distance.clamp(min=0)  # of equal samples, rounding can leave less than nothing


def _resample(x: Tensor) -> Tensor:
    return x[torch.randint(len(x), (len(x),))]


def mmd(a: Tensor, b: Tensor, bandwidth: float | None = None) -> float:
    r"""The squared maximum mean discrepancy of two samples, estimated without bias.

    $$ \operatorname{MMD}^2 = \mathbb E[k(x, x')] + \mathbb E[k(y, y')] - 2 \mathbb E[k(x, y)],
       \qquad k(x, y) = e^{-\lVert x - y \rVert^2 / (2 h^2)}, $$

    the means taken over pairs of *different* examples. It is zero if and only if the distributions
    agree; the estimate, being unbiased, may be negative.

    Args:
        a, b: (N, *event) and (M, *event).
        bandwidth: h; None takes the median distance between any two examples of both samples,
            which depends on the data and thus costs the exact unbiasedness.

    Raises:
        ValueError: samples of different event shapes, fewer than two examples, a bandwidth that is
            not positive.

    Equation: def-mmd

    Source: Gretton et al. (2012), A Kernel Two-Sample Test, eq. 3.

    >>> x = torch.randn(100, 2)
    >>> mmd(x, x + 3) > 0.5
    True
    """
    kernel = _kernel(a, b, bandwidth)
    in_a = torch.arange(len(kernel)) < len(a)  # (N + M,)
    return _mmd(kernel, in_a.to(kernel)[None]).item()


def kid(a: Tensor, b: Tensor, splits: int = 20) -> tuple[float, float]:
    r"""The squared maximum mean discrepancy under a cubic kernel, and its standard error.

    $$ k(x, y) = \Big(\frac{x \cdot y}F + 1\Big)^3, $$

    with F the number of features: in the features of the Inception network it is known as KID. It
    compares moments up to the third and no others: in one dimension it is
    $3 \Delta m_1^2 + 3 \Delta m_2^2 + \Delta m_3^2$. Being without bias it can be compared across
    sample sizes, and may be negative.

    The standard error is by `by_halves`. (The spread over small subsets, which is often reported,
    is the error of one subset; divided by the root of their number it is too small, for subsets of
    the same examples are not independent.)

    Args:
        a, b: (N, F) and (M, F), for example `classifier.features(x)`.
        splits: of `by_halves`.

    Returns:
        (MMD^2, standard error).

    Raises:
        ValueError: samples of different numbers of features, fewer than four examples, or values
            that are not finite.

    Equation: eq-cubic-kernel

    Source: Bińkowski et al. (2018), arXiv:1801.01401, Demystifying MMD GANs.

    >>> x = torch.randn(100, 2)
    >>> value, standard_error = kid(x, x + 3)
    >>> value > 4 * standard_error
    True
    """
    value, error = by_halves(_kid, *vectors(a, b), splits=splits)
    return value.item(), error.item()


def _kid(a: Tensor, b: Tensor) -> Tensor:
    x = torch.cat([a, b])
    kernel = (x @ x.T / x.shape[1] + 1) ** 3
    in_a = (torch.arange(len(x)) < len(a)).to(kernel)  # (N + M,)
    return _mmd(kernel.fill_diagonal_(0), in_a[None])[0]


def mmd_test(
    a: Tensor, b: Tensor, bandwidth: float | None = None, permutations: int = 500
) -> tuple[float, float]:
    """MMD^2 of two samples, and the p-value of the hypothesis that both have one distribution.

    Under that hypothesis the examples can be exchanged: the p-value is the share of random
    divisions of all N + M examples into N and M whose MMD^2 is at least the one seen, which itself
    counts as one of them. Then P(p <= alpha) <= alpha exactly, for any N and M. Arguments and
    errors as for `mmd`; it holds (N + M)^2 numbers in memory.

    Returns:
        (MMD^2, p-value).

    Source: Gretton et al. (2012), section 5; Phipson and Smyth (2010), doi:10.2202/1544-6115.1585,
    for the one that is added.

    >>> x = torch.randn(50, 2)
    >>> value, p = mmd_test(x, x + 3, permutations=99)
    >>> p
    0.01
    """
    if permutations < 1:
        raise ValueError(f"permutations: got {permutations}, expected at least 1")
    kernel = _kernel(a, b, bandwidth)
    n = len(kernel)
    in_a = (torch.arange(n) < len(a)).to(kernel)  # (N + M,), one for examples of a
    divisions = torch.stack([in_a, *(in_a[torch.randperm(n)] for _ in range(permutations))])
    values = _mmd(kernel, divisions)  # (1 + permutations,)
    at_least = values >= values[0] - 1e-12  # equal divisions differ by rounding
    return values[0].item(), int(at_least.sum()) / len(values)


def _kernel(a: Tensor, b: Tensor, bandwidth: float | None) -> Tensor:
    """The kernel at all pairs of both samples, zero on the diagonal: (N + M, N + M)."""
    x = torch.cat(vectors(a, b))  # (N + M, D)
    name, h = "got", bandwidth
    if bandwidth is None:
        name, h = "the median distance is", torch.pdist(x).median().item()
    if not h > 0:
        raise ValueError(f"bandwidth: {name} {h}, expected a positive number")
    kernel = (-(torch.cdist(x, x) / h).square() / 2).exp()
    return kernel.fill_diagonal_(0)


def _mmd(kernel: Tensor, in_a: Tensor) -> Tensor:
    """MMD^2 for each division of the examples, a row of ones (a) and zeros (b): (P, N) -> (P,)."""
    n = in_a[0].sum()
    m = len(kernel) - n
    with_a = in_a @ kernel  # (P, N), the sum of k(x, .) over the examples of a
    aa = (with_a * in_a).sum(1)  # (P,), over ordered pairs
    ab = (with_a * (1 - in_a)).sum(1)
    bb = kernel.sum() - aa - 2 * ab
    return aa / (n * (n - 1)) + bb / (m * (m - 1)) - 2 * ab / (n * m)


@torch.no_grad()
def log_density_ratio(
    critic: nn.Module, x: Tensor, y: Tensor | None = None, batch_size: int = 1000
) -> Tensor:
    r"""$\log p_{data}(x) - \log p_\theta(x)$ as a discriminator sees it, in nats: its logit.

    Exact where the critic is the maximiser of `critic_logistic`, which a trained one only
    approximates, and worst where neither distribution has examples. A critic of another objective
    has no such meaning.

    Shapes: x (N, *event), y (N,) for a critic with classes -> (N,).

    Raises:
        ValueError: x has another event shape than the critic's, a critic with classes did not get
            one label per example, or D(x) is not one number each.

    >>> log_density_ratio(lambda x: x[:, 0], torch.tensor([[0.5], [-1.0]]))
    tensor([ 0.5000, -1.0000])
    """
    check_examples(critic, x, y)
    parts = in_batches(x, y, batch_size)
    return torch.cat([one_each(critic(b, **given(critic, y_b)), b, "critic") for b, y_b in parts])


def copying(samples: Tensor, train: Tensor, test: Tensor) -> tuple[float, float]:
    r"""Whether samples lie nearer to the training set than new data do: $P(d(x') < d(x))$.

    d is the distance to the nearest training example, x' a sample, x a test example. At one half
    the samples are as far from the training set as new data are; near 1 they are copies. Below one
    half they are farther away than data, which is no memorisation but no quality either.

    Returns:
        The probability, ties counting half, and the p-value of the Mann-Whitney test against the
        alternative that samples are nearer.

    Equation: eq-copying-error

    Source: Meehan et al. (2020), arXiv:2004.05675, A Non-Parametric Test to Detect Data-Copying.

    >>> train, test = torch.randn(100, 5), torch.randn(100, 5)
    >>> probability, p = copying(train[:50], train, test)
    >>> probability
    1.0
    """
    from scipy.stats import mannwhitneyu

    of_samples, of_test = (nearest_distance(x, train).cpu() for x in (samples, test))
    result = mannwhitneyu(of_samples.numpy(), of_test.numpy(), alternative="less")
    return 1 - float(result.statistic) / (len(samples) * len(test)), float(result.pvalue)


def vectors(a: Tensor, b: Tensor, names: tuple[str, str] = ("a", "b")) -> tuple[Tensor, Tensor]:
    """Both samples flat and in double precision on the CPU: sums of squares cancel below.

    Raises:
        ValueError: different event shapes, fewer than two examples, values that are not finite.
    """
    if a.shape[1:] != b.shape[1:] or min(len(a), len(b)) < 2:
        raise ValueError(
            f"{', '.join(dict.fromkeys(names))}: got shapes {tuple(a.shape)} and {tuple(b.shape)}, "
            "expected (N, *event) and (M, *event) with N and M at least 2"
        )
    for name, x in zip(names, (a, b), strict=True):
        check_finite(name, x)
    return tuple(x.detach().flatten(1).cpu().double() for x in (a, b))
