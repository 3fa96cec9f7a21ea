"""What samples are compared by, against closed forms, enumeration, loops and simulated truth."""

import math
from itertools import product

import numpy as np
import pytest
import scipy.stats
import torch

from dgm import data, evaluate

pytestmark = pytest.mark.usefixtures("cpu")


def many(measure, draw, n):
    """Values and errors of n independent data sets, as arrays."""
    return np.array([measure(*draw()) for _ in range(n)]).T


def normal(n, d, *, shift=0.0, scale=1.0):
    return scale * torch.randn(n, d) + shift


# --- errors by halves ---


def test_errors_by_halves_of_a_mean():
    x = torch.randn(400).double()
    _, error = evaluate.by_halves(torch.mean, x, splits=1000)
    assert error.item() == pytest.approx(evaluate.mean_and_error(x)[1], rel=0.09)


def test_errors_by_halves_of_two_samples_and_several_numbers():
    a, b = torch.randn(300, 2).double(), 3 * torch.randn(200, 2).double()
    value, error = evaluate.by_halves(lambda a, b: a.mean(0) - b.mean(0), a, b, splits=500)
    torch.testing.assert_close(value, a.mean(0) - b.mean(0))
    expected = (a.var(0) / 300 + b.var(0) / 200).sqrt()
    torch.testing.assert_close(error, expected, rtol=0.13, atol=0)


@pytest.mark.parametrize(
    ("measure", "draw"),
    [
        (
            lambda a, b: evaluate.prdc(a, b, splits=10).coverage,
            lambda: (normal(120, 3), normal(100, 3, scale=0.8)),
        ),
        (
            lambda a, b: evaluate.prdc(a, b, splits=10).density,
            lambda: (normal(120, 3), normal(100, 3, scale=0.8)),
        ),
        (
            lambda a, b: evaluate.kid(a, b, splits=10),
            lambda: (normal(80, 4), normal(60, 4, shift=0.7)),
        ),
        (
            lambda a, b: evaluate.frechet_limit(a, b, parts=(1, 2), splits=10),
            lambda: (normal(120, 2), normal(100, 2, shift=0.5)),
        ),
        (lambda x: evaluate.vendi(x, splits=10), lambda: (normal(60, 3),)),
    ],
)
def test_errors_are_the_spread_over_data_sets(measure, draw):
    values, errors = many(measure, draw, 50)
    # the spread is known to 10 %
    assert math.sqrt((errors**2).mean()) == pytest.approx(values.std(ddof=1), rel=0.35)


# --- neighbours ---


def by_loops(real, fake, k):
    """Precision, recall, density, coverage as their definitions say."""

    def radius(x, i):
        return sorted(math.dist(x[i], x[j]) for j in range(len(x)) if j != i)[k - 1]

    real, fake = real.tolist(), fake.tolist()
    around_real = [radius(real, i) for i in range(len(real))]
    around_fake = [radius(fake, j) for j in range(len(fake))]
    d = [[math.dist(x, y) for y in fake] for x in real]
    n, m = range(len(real)), range(len(fake))
    precision = sum(any(d[i][j] <= around_real[i] for i in n) for j in m) / len(m)
    recall = sum(any(d[i][j] <= around_fake[j] for j in m) for i in n) / len(n)
    density = sum(d[i][j] <= around_real[i] for i in n for j in m) / k / len(m)
    coverage = sum(any(d[i][j] <= around_real[i] for j in m) for i in n) / len(n)
    return precision, recall, density, coverage


@pytest.mark.parametrize("k", [1, 3])
def test_neighbours_by_loops(k):
    real, fake = torch.randn(21, 3).double(), 1.5 * torch.randn(17, 3).double() + 0.3
    result = evaluate.prdc(real, fake, k)
    assert [value for value, _ in result[:4]] == pytest.approx(by_loops(real, fake, k))
    turned = evaluate.prdc(fake, real, k)
    assert turned.precision[0] == pytest.approx(result.recall[0])


def test_neighbours_in_chunks():
    from dgm.evaluate.neighbours import _prdc

    real, fake = torch.randn(50, 2), torch.randn(40, 2)
    assert torch.equal(_prdc(real, fake, 2, chunk=7), _prdc(real, fake, 2))


@pytest.mark.parametrize(("n", "m", "k"), [(40, 40, 5), (30, 60, 2)])
def test_a_perfect_model_has_the_coverage_that_is_expected_and_density_one(n, m, k):
    results = [evaluate.prdc(normal(n, 3), normal(m, 3), k, splits=1) for _ in range(200)]
    assert results[0].expected_coverage == evaluate.expected_coverage(n, m, k)
    coverage = torch.tensor([r.coverage[0] for r in results])
    mean, error = evaluate.mean_and_error(coverage)
    assert abs(mean - evaluate.expected_coverage(n, m, k)) < 4 * error
    mean, error = evaluate.mean_and_error(torch.tensor([r.density[0] for r in results]))
    assert abs(mean - 1) < 4 * error


def test_expected_coverage_by_all_orders():
    """All orders of the n - 1 + m others by distance are equally likely."""
    n, m, k = 4, 3, 2
    orders = [o for o in product([0, 1], repeat=n - 1 + m) if sum(o) == m]
    covered = sum(any(o[:k]) for o in orders) / len(orders)
    assert evaluate.expected_coverage(n, m, k) == pytest.approx(covered)


def test_one_outlier_makes_precision_and_no_coverage():
    real = torch.cat([torch.randn(500, 2), torch.tensor([[20.0, 0.0]])])
    fake = 0.1 * torch.randn(500, 2) + torch.tensor([15.0, 0.0])
    result = evaluate.prdc(real, fake, k=3, splits=1)
    assert result.precision[0] == 1
    assert result.density[0] == pytest.approx(1 / 3)
    assert result.coverage[0] < 0.01


# --- moments ---


def test_kid_by_moments():
    """In one dimension 3 dm1^2 + 3 dm2^2 + dm3^2, of two normal distributions."""
    truth = 3 * 0.5**2 + 3 * (0.25 + 1.44 - 1) ** 2 + (0.125 + 3 * 0.5 * 1.44) ** 2
    values = [
        evaluate.kid(torch.randn(40, 1), 0.5 + 1.2 * torch.randn(30, 1), splits=1)[0]
        for _ in range(600)
    ]
    mean, error = evaluate.mean_and_error(torch.tensor(values))
    assert abs(mean - truth) < 4 * error


def test_kid_by_loops():
    a, b = torch.randn(4, 3).double(), torch.randn(5, 3).double()

    def k(x, y):
        return (float(x @ y) / 3 + 1) ** 3

    aa = [k(a[i], a[j]) for i in range(4) for j in range(4) if i != j]
    bb = [k(b[i], b[j]) for i in range(5) for j in range(5) if i != j]
    expected = np.mean(aa) + np.mean(bb) - 2 * np.mean([k(x, y) for x in a for y in b])
    assert evaluate.kid(a, b)[0] == pytest.approx(expected)


def test_the_frechet_distance_of_a_perfect_model():
    scale = torch.tensor([3.0, 2.0, 1.0, 0.5, 0.2]).sqrt()
    x = torch.randn(20_000, 5) * scale
    values = [
        evaluate.frechet_distance(torch.randn(60, 5) * scale, torch.randn(90, 5) * scale, 2)[0]
        for _ in range(300)
    ]
    mean, error = evaluate.mean_and_error(torch.tensor(values))
    expected = evaluate.expected_frechet(x, 60, 90)
    assert abs(mean - expected) < 4 * error + 0.03 * expected  # terms of order 1/N^2
    unit = torch.cat([torch.eye(6), -torch.eye(6)]) * (11 / 2) ** 0.5  # covariance 1
    assert evaluate.expected_frechet(unit, 50, 50) == pytest.approx(6 * 11 / 100)
    assert evaluate.expected_frechet(torch.ones(9, 1) * torch.arange(9)[:, None], 9, 9) == (
        pytest.approx(3 * 7.5 / 9)
    )


def test_the_frechet_limit_has_no_bias():
    draws = [(normal(200, 4), normal(160, 4, shift=0.15)) for _ in range(60)]
    limits = torch.tensor([evaluate.frechet_limit(a, b, splits=1)[0] for a, b in draws])
    plain = torch.tensor([evaluate.frechet_distance(a, b, 2)[0] for a, b in draws])
    truth = 4 * 0.15**2
    mean, error = evaluate.mean_and_error(limits)
    assert abs(mean - truth) < 4 * error
    mean, error = evaluate.mean_and_error(plain)
    assert mean - truth > 8 * error


def test_the_frechet_limit_is_the_end_of_a_line():
    a, b = normal(80, 3).double(), normal(80, 3).double()
    whole = evaluate.frechet_distance(a, b, 2)[0]
    halves = [evaluate.frechet_distance(a[i::2], b[i::2], 2)[0] for i in range(2)]
    limit = evaluate.frechet_limit(a, b, parts=(1, 2), splits=1)[0]
    assert limit == pytest.approx(2 * whole - np.mean(halves))


# --- two samples ---


def test_a_classifier_tells_what_can_be_told():
    """Uniform on [0, 1] and on [1/2, 3/2]: TV is one half, the best accuracy three quarters."""
    a, b = torch.rand(300, 1), torch.rand(300, 1) + 0.5
    result = evaluate.classifier_test(a, b, trees=20)
    # where both have mass, each guess is right half of the time, however it is made
    assert abs(result.accuracy - 0.75) < 4 * math.sqrt(0.75 * 0.25 / 600) + 0.02
    assert result.p < 1e-6
    assert result.error == pytest.approx(0.5 / 600**0.5)
    again = evaluate.classifier_test(a, b, trees=20)
    assert again == result


def test_a_classifier_cannot_tell_what_is_the_same():
    results = [
        evaluate.classifier_test(normal(50, 2), normal(50, 2), trees=3, folds=2) for _ in range(40)
    ]
    accuracies = torch.tensor([r.accuracy for r in results])
    mean, error = evaluate.mean_and_error(accuracies)
    assert abs(mean - 0.5) < 4 * error
    assert accuracies.std().item() == pytest.approx(results[0].error, rel=0.45)
    assert np.mean([r.p <= 0.05 for r in results]) < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 40)


def test_the_nearest_neighbours_sample_by_loops():
    a, b = torch.randn(9, 2), torch.randn(6, 2) + 0.5
    x = [(p, 0) for p in a.tolist()] + [(p, 1) for p in b.tolist()]
    own = 0
    for i, (p, side) in enumerate(x):
        others = [(math.dist(p, q), s) for j, (q, s) in enumerate(x) if j != i]
        own += min(others)[1] == side
    assert evaluate.neighbour_test(a, b).accuracy == pytest.approx(own / 15)


def test_the_nearest_neighbour_of_equal_distributions():
    results = [
        evaluate.neighbour_test(normal(20, 2), normal(12, 2), permutations=39) for _ in range(400)
    ]
    mean, error = evaluate.mean_and_error(torch.tensor([r.accuracy for r in results]))
    assert abs(mean - results[0].expected) < 4 * error
    assert results[0].expected == pytest.approx((20 * 19 + 12 * 11) / (32 * 31))
    p = np.array([r.p for r in results])
    assert np.mean(p <= 0.1) < 0.1 + 4 * math.sqrt(0.09 / 400)
    assert np.mean(p <= 0.5) > 0.3  # it is a p-value, and not always one


def test_copies_are_as_bad_as_what_is_far_away():
    x = torch.randn(60, 3)
    for other, accuracy in ((x + 1e-5, 0), (x + 99, 1)):
        result = evaluate.neighbour_test(x, other, permutations=99)
        assert result.accuracy == accuracy
        assert result.p == pytest.approx(1 / 100)


# --- memory ---


def test_copies_of_one_cell_are_seen_where_all_together_hide_them():
    """A model copies one of two clusters, and is too wide in the other."""
    left, right = torch.tensor([-20.0, 0.0]), torch.tensor([20.0, 0.0])

    def both(n, scale=1.0):
        return torch.cat([torch.randn(n, 2) + left, scale * torch.randn(n, 2) + right])

    train, test = both(200), both(200)
    copies = torch.cat([train[:200] + 0.001, 2 * torch.randn(200, 2) + right])
    result = evaluate.copying_by_cell(copies, train, test, cells=2)
    assert evaluate.copying(copies, train, test)[0] < 0.7
    assert result.cells.min() < -15
    assert result.cells.max() > 3
    assert result.score == pytest.approx(result.cells.mean().item())  # cells of one weight
    assert result.error == pytest.approx(0.5**0.5)
    alone = evaluate.copying_by_cell(copies[:200], train, test, cells=2)
    assert alone.score == alone.cells.nan_to_num().sum() == result.cells.min()
    assert alone.error == 1


def test_a_cells_score_is_scipys():
    from dgm.evaluate.memory import _mann_whitney

    a, b = torch.randint(9, (30,)).double(), torch.randint(12, (20,)).double()
    result = scipy.stats.mannwhitneyu(a, b, method="asymptotic", use_continuity=False)
    z = scipy.stats.norm.isf(result.pvalue / 2) * math.copysign(1, result.statistic - 300)
    assert _mann_whitney(a, b) == pytest.approx(z, rel=1e-6)
    assert _mann_whitney(torch.ones(3), torch.ones(4)) == 0


def test_scores_of_cells_are_normal_for_new_data():
    scores, errors = many(
        lambda *x: evaluate.copying_by_cell(*x, cells=3)[:2],
        lambda: (normal(40, 2), normal(60, 2), normal(50, 2)),
        60,
    )
    assert scores.std(ddof=1) == pytest.approx(errors.mean(), rel=0.5)
    assert abs(scores.mean()) < 4 * scores.std() / 60**0.5


def test_the_number_of_birthdays():
    """365 days, of which the pairs of 100 people tell; the interval holds them 19 times of 20."""
    results = [evaluate.birthday(torch.randint(365, (100, 1)).float()) for _ in range(300)]
    pairs = torch.tensor([float(r.pairs) for r in results])
    mean, error = evaluate.mean_and_error(pairs)
    assert abs(mean - 100 * 99 / 2 / 365) < 4 * error
    held = np.mean([r.low <= 365 <= r.high for r in results])
    assert held > 0.95 - 4 * math.sqrt(0.05 * 0.95 / 300)
    assert results[0].support == pytest.approx(100 * 99 / 2 / results[0].pairs)


def test_no_pair_is_no_infinity():
    result = evaluate.birthday(torch.arange(20.0)[:, None], radius=0.5)
    assert (result.pairs, result.support, result.high) == (0, math.inf, math.inf)
    assert result.low == pytest.approx(190 / -math.log(0.025))  # P(no pair) is 0.025 there
    assert evaluate.birthday(torch.arange(20.0)[:, None], radius=1.0).pairs == 19


# --- diversity ---


def test_vendi_scores_of_constructed_sets():
    assert evaluate.vendi(torch.ones(9, 4))[0] == pytest.approx(1)
    assert evaluate.vendi(5 * torch.eye(7))[0] == pytest.approx(7)
    groups = torch.eye(3)[[0, 0, 1, 1, 2, 2]] * torch.arange(1, 7)[:, None]  # lengths do not count
    assert evaluate.vendi(groups)[0] == pytest.approx(3)
    x = torch.randn(6, 4).double()
    unit = x / x.norm(dim=1, keepdim=True)
    eigenvalues = np.linalg.eigvalsh((unit @ unit.T / 6).numpy())
    expected = math.exp(scipy.stats.entropy(eigenvalues.clip(0)))
    assert evaluate.vendi(x)[0] == pytest.approx(expected)


def test_class_score_is_mutual_information():
    p = torch.distributions.Dirichlet(torch.full((3,), 0.5)).sample((8,)).double()
    joint = p / 8
    information = scipy.stats.entropy(
        joint.flatten().numpy(), (joint.sum(1, keepdim=True) * joint.sum(0)).flatten().numpy()
    )
    assert evaluate.class_score(p)[0] == pytest.approx(math.exp(information))
    assert evaluate.class_score(torch.full((5, 4), 0.25))[0] == pytest.approx(1)


# --- conditional accuracy ---


def test_one_image_of_each_class_teaches_less_than_the_data():
    digits = data.load("digits", device="cpu")
    train = digits.train
    one = torch.cat([train.images[train.y == c][:1] for c in range(10)]).repeat(20, 1, 1, 1)
    y = torch.arange(10).repeat(20)
    poor = evaluate.conditional_accuracy(one, y, digits, updates=200)
    assert poor.accuracy < poor.real - 4 * poor.error
    expected = math.sqrt(poor.accuracy * (1 - poor.accuracy) / 360)
    assert poor.error == pytest.approx(expected)


# --- comparisons ---


def test_pairs_have_the_smaller_error():
    hard = 10 * torch.randn(300).double()
    a, b = hard + torch.randn(300), hard + torch.randn(300)
    result = evaluate.paired(a, b)
    covariance = torch.stack([a, b]).cov()
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    assert result.difference == pytest.approx((a.mean() - b.mean()).item())
    assert result.error == pytest.approx((variance / 300).sqrt().item())


def test_signs_by_enumeration():
    d = [0.8, 0.3, -0.1, 0.5, 0.9, 0.2]
    means = [
        sum(s * v for s, v in zip(signs, d, strict=True)) for signs in product([1, -1], repeat=6)
    ]
    expected = np.mean([abs(m) >= abs(sum(d)) - 1e-12 for m in means])
    assert evaluate.sign_flip(torch.tensor(d)) == pytest.approx(expected)
    assert evaluate.sign_flip(-torch.tensor(d)) == pytest.approx(expected)
    assert evaluate.sign_flip(torch.zeros(5)) == 1


@pytest.mark.parametrize("n", [6, 15])
def test_p_values_of_signs(n):
    """Exact by all signs; of random ones as well, for the one seen is counted."""
    p = np.array([evaluate.sign_flip(torch.randn(n), draws=39) for _ in range(600)])
    assert np.mean(p <= 1 / 8) == pytest.approx(1 / 8, abs=4 * math.sqrt(7 / 64 / 600))
    assert p.min() >= min(2 / 2**n, 1 / 40)
    t = scipy.stats.ttest_1samp(x := torch.randn(n).double() + 0.5, 0).pvalue
    assert evaluate.sign_flip(x, draws=4000) == pytest.approx(t, abs=0.06)


def test_holm_against_its_definition():
    p = [0.016, 0.017, 0.04, 0.001, 0.9]
    for alpha in (0.04, 0.06, 0.08, 0.2):
        rejected, order = [], sorted(range(5), key=p.__getitem__)
        for rank, i in enumerate(order):
            if p[i] > alpha / (5 - rank):
                break
            rejected.append(i)
        ours = (evaluate.holm(p) <= alpha).nonzero().flatten().tolist()
        assert sorted(rejected) == ours
    assert evaluate.holm([0.4, 0.9, 0.8]).max() == 1


def test_intervals_over_seeds_hold_the_truth():
    values = torch.randn(1500, 3)
    mean, half = zip(*(evaluate.seed_interval(v, level=0.9) for v in values), strict=True)
    held = np.mean(np.abs(mean) < half)
    assert held == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 1500))
    low, high = scipy.stats.t.interval(0.95, 2, *evaluate.mean_and_error(values[0]))
    mean, half = evaluate.seed_interval(values[0])
    assert (mean - half, mean + half) == pytest.approx((low, high))


def test_two_sources_of_spread():
    s, n = 6, 40
    sigma = {"seed": 1.5, "image": 2.0, "both": 1.0}

    def draw():
        seed, image = sigma["seed"] * torch.randn(s, 1), sigma["image"] * torch.randn(n)
        return seed + image + sigma["both"] * torch.randn(s, n)

    spreads = [evaluate.two_way(draw()) for _ in range(800)]
    for name, value in sigma.items():
        squares = torch.tensor([getattr(r, name) ** 2 for r in spreads])
        mean, error = evaluate.mean_and_error(squares)
        assert abs(mean - value**2) < 4 * error
    mean, error = evaluate.mean_and_error(torch.tensor([r.error**2 for r in spreads]))
    assert abs(mean - (1.5**2 / s + 2.0**2 / n + 1 / (s * n))) < 4 * error
    means = torch.tensor([r.mean for r in spreads])
    assert means.var().item() == pytest.approx(mean, rel=0.15)


def test_sources_of_spread_by_covariances():
    """Two images share a seed, two seeds an image: that is what they have in common."""
    scores = 3 * torch.randn(4, 1) + 3 * torch.randn(5) + 2 * torch.randn(4, 5)
    scores = scores.double()
    images, seeds = scores.T.cov(), scores.cov()  # (5, 5), (4, 4)
    seed = (images.sum() - images.trace()) / 20
    image = (seeds.sum() - seeds.trace()) / 12
    both = images.trace() / 5 - seed
    result = evaluate.two_way(scores)
    assert min(seed, image) > 0
    variance = seed / 4 + image / 5 + both / 20
    squares = [result.error**2, result.seed**2, result.image**2, result.both**2]
    assert squares == pytest.approx([v.item() for v in (variance, seed, image, both)])


# --- what is refused ---

X, NAN = torch.rand(30, 3), torch.full((30, 3), torch.nan)


MEASURES = [
    evaluate.prdc,
    evaluate.kid,
    evaluate.frechet_limit,
    lambda a, b: evaluate.classifier_test(a, b, trees=3),
    evaluate.neighbour_test,
    lambda a, b: evaluate.copying_by_cell(a, b, b)[:2],
    lambda a, b: evaluate.copying_by_cell(b, b, a)[:2],
    lambda a, b: evaluate.birthday(a),
    lambda a, b: evaluate.vendi(a),
]


@pytest.mark.parametrize("measure", MEASURES)
def test_images_are_compared_as_vectors(measure):
    results = []
    for shape in ((3,), (1, 1, 3)):
        torch.manual_seed(0)
        results.append(measure(X.unflatten(1, shape), (X.flip(0) + 0.1).unflatten(1, shape)))
    assert results[0] == results[1]


@pytest.mark.parametrize("measure", MEASURES[:7])
def test_two_samples_are_of_one_shape_and_finite(measure):
    measure(X, X + 0.1)
    with pytest.raises(ValueError, match=r"got shapes \(30, 3\) and \(30, 2\)|\(30, 2\) and"):
        measure(X, X[:, :2])
    with pytest.raises(ValueError, match="got shapes"):
        measure(X[:1], X)
    with pytest.raises(ValueError, match=": got values that are not finite"):
        measure(NAN, X)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: evaluate.by_halves(torch.mean, X, splits=0), "splits: got 0"),
        (lambda: evaluate.by_halves(torch.mean, X[:3]), "samples: got 3 examples, expected at le"),
        (lambda: evaluate.prdc(X, X, k=15), "k: got 15, expected less than 15, half the number"),
        (lambda: evaluate.prdc(X, X, k=0), "k: got 0, expected an integer of at least 1"),
        (lambda: evaluate.expected_coverage(5, 9, 5), "k: got 5, expected at most 4"),
        (lambda: evaluate.expected_coverage(5, 0, 2), "m: got 0"),
        (lambda: evaluate.expected_frechet(X, 0, 3), "n: got 0"),
        (lambda: evaluate.expected_frechet(NAN, 3, 3), "x: got values that are not finite"),
        (lambda: evaluate.frechet_limit(X, X, parts=(2, 2)), r"parts: got \[2, 2\], expected two"),
        (lambda: evaluate.frechet_limit(X, X, parts=(1, 8)), r"parts: got \[1, 8\], .* above 7"),
        (lambda: evaluate.classifier_test(X, X[:9]), "a, b: got 30 and 9 examples"),
        (lambda: evaluate.classifier_test(X, X, folds=1), "folds: got 1"),
        (lambda: evaluate.neighbour_test(X, X, permutations=1), "permutations: got 1"),
        (lambda: evaluate.copying_by_cell(X, X, X, cells=31), "cells: got 31, expected at most 30"),
        (
            lambda: evaluate.copying_by_cell(X[:9], torch.cat([X, X + 99]), X + 99, cells=2),
            "cells: got 2, of which none has both",
        ),
        (lambda: evaluate.birthday(X, radius=-1), "radius: got -1, expected a number of at least"),
        (lambda: evaluate.birthday(X[:1]), "samples: got shapes"),
        (lambda: evaluate.vendi(0 * X), "x: got an example of zeros"),
        (lambda: evaluate.vendi(NAN), "x: got values that are not finite"),
        (lambda: evaluate.class_score(X), "probs: got shape .* that add up to 1"),
        (lambda: evaluate.paired(X[0], X[:, 0]), r"a, b: got shapes \(3,\) and \(30,\)"),
        (lambda: evaluate.paired(X[0, :1], X[0, :1]), "a, b: got shapes"),
        (lambda: evaluate.sign_flip(X), r"d: got shape \(30, 3\), expected \(n,\)"),
        (lambda: evaluate.sign_flip(NAN[0]), "d: got values that are not finite"),
        (lambda: evaluate.holm([0.5, 1.5]), r"p: got \[0.5, 1.5\], expected a row of numbers"),
        (lambda: evaluate.holm([]), "p: got"),
        (lambda: evaluate.seed_interval([1.0]), "values: got shape"),
        (lambda: evaluate.seed_interval([1.0, 2.0], level=95), "level: got 95, expected a number"),
        (lambda: evaluate.two_way(X[:1]), r"scores: got shape \(1, 3\), expected \(seeds, images"),
        (lambda: evaluate.two_way(NAN), "scores: got values that are not finite"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_data_teach_what_data_teach():
    digits = data.load("digits", device="cpu")
    x, y = digits.train.images[:200], digits.train.y[:200]
    result = evaluate.conditional_accuracy(x, y, digits, updates=4)
    assert result.accuracy == result.real  # the same images, the same classifier
    beyond = evaluate.conditional_accuracy(2 * x - 0.5, y, digits, updates=4)  # is cut off
    clipped = evaluate.conditional_accuracy((2 * x - 0.5).clamp(0, 1), y, digits, updates=4)
    assert beyond == clipped


def test_labels_of_samples_that_are_none():
    digits = data.load("digits", device="cpu")
    x, y = digits.train.images[:9], digits.train.y[:9]
    for samples, labels, message in (
        (x[0], y, "samples: got shape"),
        (x[:0], y[:0], "samples: got shape .* N at least 1"),
        (x, y[:5], "y: got shape"),
        (x, y.float(), "y: got labels of type"),
        (x, y + 9, "y: got labels from"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate.conditional_accuracy(samples, labels, digits, updates=1)
