"""Numbers from samples alone, against closed forms, SciPy, and laws that are known."""

import math

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch

from dgm import data, evaluate, toys
from dgm.models import Critic
from dgm.objectives import critic_logistic


@pytest.fixture(autouse=True)
def cpu(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    torch.manual_seed(0)


# --- a known mixture ---


@pytest.mark.parametrize("density", [toys.ring(device="cpu"), toys.grid(device="cpu")])
@pytest.mark.parametrize("radius", [1.0, 3.0])
def test_exact_samples_cover_all_modes(density, radius):
    """In the plane a Gaussian has 1 - exp(-r^2 / 2) of its mass within r standard deviations."""
    n, k = 20000, len(density.component_distribution.mean)
    x = density.sample((n,))
    p = 1 - math.exp(-(radius**2) / 2)
    share = evaluate.good_share(x, density, radius)
    assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / n)
    assert evaluate.modes_covered(x, density, radius) == k
    counts = evaluate.mode_counts(x, density, radius)
    assert counts.shape == (k,)
    assert counts.sum() == round(share * n)
    q = p / k
    assert ((counts / n - q).abs() < 4.5 * math.sqrt(q * (1 - q) / n)).all()


def test_lost_modes_and_stray_samples_are_seen():
    density = toys.ring(modes=8, sigma=0.05, device="cpu")
    means = density.component_distribution.mean
    x = torch.cat([means[[2, 2, 2, 5]], means[[0]] * 1.14, means[[1]] * 1.16, torch.zeros(1, 2)])
    counts = evaluate.mode_counts(x, density, radius=3.0)  # 0.14 is 2.8 sigma, 0.16 is 3.2
    assert counts.tolist() == [1, 0, 3, 0, 0, 1, 0, 0]
    assert evaluate.modes_covered(x, density) == 3
    assert evaluate.modes_covered(x, density, at_least=2) == 1
    assert evaluate.good_share(x, density) == pytest.approx(5 / 7)


# --- Frechet distance ---


def correlated(n, d, seed):
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(d, d, generator=generator)
    return torch.randn(n, d, generator=generator) @ mix + torch.randn(d, generator=generator)


def test_frechet_distance_against_the_matrix_root_of_scipy():
    a, b = correlated(60, 5, 1), correlated(80, 5, 2)
    value, _ = evaluate.frechet_distance(a, b, resamples=2)
    cov_a, cov_b = (np.cov(x.double().numpy().T) for x in (a, b))
    root = scipy.linalg.sqrtm(cov_a @ cov_b).real
    difference = (a.double().mean(0) - b.double().mean(0)).square().sum().item()
    assert value == pytest.approx(difference + np.trace(cov_a + cov_b - 2 * root), rel=1e-6)
    assert evaluate.frechet_distance(b, a, resamples=2)[0] == pytest.approx(value, rel=1e-9)


def test_frechet_distance_in_one_dimension():
    """(mu_a - mu_b)^2 + (sigma_a - sigma_b)^2."""
    a, b = 3 + 2 * torch.randn(50, 1), torch.randn(70, 1)
    expected = (a.mean() - b.mean()) ** 2 + (a.std() - b.std()) ** 2
    value, _ = evaluate.frechet_distance(a, b)
    assert value == pytest.approx(expected.item(), rel=1e-5)


def test_frechet_distance_with_fewer_examples_than_features():
    a = torch.randn(10, 30)
    assert evaluate.frechet_distance(a, a, resamples=2)[0] == pytest.approx(0, abs=1e-6)


def test_frechet_distance_has_a_standard_error():
    """The bootstrap's error against the spread of the value over independent pairs of samples."""
    values, errors = [], []
    for _ in range(60):
        a, b = 3 * torch.randn(100, 3), 4.5 * torch.randn(100, 3) + 3
        value, error = evaluate.frechet_distance(a, b, resamples=30)
        values.append(value)
        errors.append(error)
    spread = np.std(values, ddof=1)  # itself known to 1 / sqrt(120) = 9 %
    assert np.mean(errors) == pytest.approx(spread, rel=0.36)
    truth = 3 * 3.0**2 + 3 * 1.5**2  # |mu|^2 + sum (sigma_a - sigma_b)^2; the bias is of order 1/N
    assert np.mean(values) == pytest.approx(truth, abs=4 * spread / 60**0.5 + 1)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", device="cpu")


def test_the_classifier_depends_on_its_seed_alone(digits):
    x = digits.test.images
    before = torch.get_rng_state()
    one = evaluate.train_classifier(digits, updates=5)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    again = evaluate.train_classifier(digits, updates=5)
    other = evaluate.train_classifier(digits, updates=5, seed=1)
    assert torch.equal(one.features(x), again.features(x, batch_size=len(x)))
    assert not torch.allclose(one.features(x), other.features(x))


def test_features_of_a_classifier_tell_data_from_other_images(digits):
    classifier = evaluate.train_classifier(digits, updates=150)
    x, y = digits.test.images, digits.test.y
    assert (classifier(x).argmax(1) == y).float().mean() > 0.85
    features = classifier.features
    torch.testing.assert_close(classifier(x), classifier.logits(features(x)))

    real, noise = features(digits.train.images), features(torch.rand(400, *digits.shape))
    floor, error = evaluate.frechet_distance(features(x), real, resamples=20)
    assert evaluate.frechet_distance(noise, real, resamples=2)[0] > 10 * (floor + error)
    ones = features(digits.train.images[digits.train.y == 1])  # a model that lost nine classes
    assert evaluate.frechet_distance(ones, real, resamples=2)[0] > 10 * (floor + error)


def test_a_classifier_needs_images():
    with pytest.raises(ValueError, match="expected .channels, height, width"):
        evaluate.train_classifier(data.load("ring", device="cpu"))


# --- kernel two-sample test ---


def test_mmd_by_loops():
    a, b, h = torch.randn(4, 2), torch.randn(5, 2), 0.7

    def k(x, y):
        return math.exp(-float((x - y).square().sum()) / (2 * h**2))

    aa = [k(a[i], a[j]) for i in range(4) for j in range(4) if i != j]
    bb = [k(b[i], b[j]) for i in range(5) for j in range(5) if i != j]
    ab = [k(x, y) for x in a for y in b]
    expected = np.mean(aa) + np.mean(bb) - 2 * np.mean(ab)
    assert evaluate.mmd(a, b, bandwidth=h) == pytest.approx(expected, rel=1e-6)
    assert evaluate.mmd_test(a, b, bandwidth=h, permutations=1)[0] == pytest.approx(expected)


@pytest.mark.parametrize("shift", [0.0, 1.0])
def test_mmd_is_unbiased(shift):
    """Against its exact value for N(0, 1) and N(shift, 1), E k = N(x - y; 0, h^2 + 2) scaled."""
    h = 1.0

    def expected_kernel(m):
        return h / math.sqrt(h**2 + 2) * math.exp(-(m**2) / (2 * (h**2 + 2)))

    truth = 2 * expected_kernel(0) - 2 * expected_kernel(shift)
    values = [evaluate.mmd(torch.randn(8, 1), torch.randn(6, 1) + shift, h) for _ in range(3000)]
    assert abs(np.mean(values) - truth) < 4 * np.std(values) / math.sqrt(3000)


def test_the_median_distance_is_the_bandwidth():
    a, b = torch.randn(6, 2), torch.randn(5, 2)
    median = torch.pdist(torch.cat([a, b]).double()).median().item()
    assert evaluate.mmd(a, b) == pytest.approx(evaluate.mmd(a, b, bandwidth=median), rel=1e-9)


def test_p_values_are_uniform_when_there_is_no_difference():
    p = [
        evaluate.mmd_test(torch.randn(15, 2), torch.randn(10, 2), permutations=49)[1]
        for _ in range(400)
    ]
    # one of 0.02, 0.04, ..., 1 each: uniform on them, which is compared as if continuous
    assert scipy.stats.kstest(np.array(p) - 0.01, "uniform").pvalue > 0.001
    assert min(p) >= 1 / 50
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=4 * math.sqrt(0.09 / 400))


def test_p_values_are_small_when_there_is_one():
    a = torch.randn(100, 2)
    for b in (torch.randn(100, 2) + 1, 2 * torch.randn(100, 2)):  # another mean, another spread
        assert evaluate.mmd_test(a, b, permutations=199)[1] == pytest.approx(1 / 200)


def test_equal_samples_are_not_called_different():
    """All divisions tie: the p-value is one."""
    a = torch.ones(5, 2)
    assert evaluate.mmd_test(a, a, bandwidth=1.0, permutations=20)[1] == 1


# --- with a critic ---


def test_a_trained_discriminator_estimates_the_log_density_ratio():
    """N(0, 1) against N(1, 1): log ratio 1/2 - x, learned from samples."""
    critic = Critic.mlp((1,), hidden=(16,))
    adam = torch.optim.Adam(critic.parameters(), lr=1e-2)
    for _ in range(300):
        real, fake = torch.randn(500, 1), 1 + torch.randn(500, 1)
        adam.zero_grad()
        (-critic_logistic(critic, real, fake).mean()).backward()
        adam.step()
    x = torch.linspace(-1, 2, 31)[:, None]
    ratio = evaluate.log_density_ratio(critic, x, batch_size=7)
    assert ratio.shape == (31,)
    assert not ratio.requires_grad
    assert (ratio - (0.5 - x[:, 0])).abs().max() < 0.25


# --- the training set ---


def test_nearest_neighbours_agree_with_scikit_learn(digits):
    from sklearn.neighbors import NearestNeighbors

    x, points = digits.test.images, digits.train.images
    near = NearestNeighbors(n_neighbors=3).fit(points.flatten(1).double())
    distances, indices = near.kneighbors(x.flatten(1).double())
    ours, which = evaluate.nearest_neighbours(x, points, k=3, chunk=77)
    torch.testing.assert_close(ours, torch.as_tensor(distances).float())
    assert (which == torch.as_tensor(indices)).float().mean() > 0.99  # up to ties
    assert torch.equal(evaluate.nearest_distance(x, points), ours[:, 0])
    assert points[which].shape == (360, 3, 1, 8, 8)


def test_copies_of_the_training_set_are_found():
    train, test, new = torch.randn(3, 200, 5)
    copies = train[:100] + 0.01 * torch.randn(100, 5)
    probability, p = evaluate.copying(copies, train, test)
    assert probability > 0.99
    assert p < 1e-6
    far, p_far = evaluate.copying(10 * new, train, test)
    assert far < 0.1
    assert p_far > 0.99
    half, p_half = evaluate.copying(new, train, test)
    assert half == pytest.approx(0.5, abs=4 * math.sqrt(1 / 12 / 200 * 2))
    assert p_half > 0.001


def test_copying_counts_pairs():
    """Distances 1, 2 of the samples against 2, 3 of test data: 3 of 4 pairs nearer, one tie."""
    train = torch.zeros(1, 1)
    samples, test = torch.tensor([[1.0], [2.0]]), torch.tensor([[2.0], [-3.0]])
    assert evaluate.copying(samples, train, test)[0] == pytest.approx(3.5 / 4)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda: evaluate.mode_counts(torch.zeros(3, 3), toys.ring(device="cpu")),
            r"x: got shape \(3, 3\), expected \(N, 2\)",
        ),
        (lambda: evaluate.good_share(torch.zeros(0, 2), toys.ring(device="cpu")), "x: got shape"),
        (
            lambda: evaluate.modes_covered(torch.zeros(3, 2), toys.ring(device="cpu"), radius=0),
            "radius: got 0, expected a positive number",
        ),
        (
            lambda: evaluate.modes_covered(torch.zeros(3, 2), toys.ring(device="cpu"), at_least=0),
            "at_least: got 0, expected at least 1",
        ),
        (
            lambda: evaluate.frechet_distance(torch.zeros(5, 3), torch.zeros(5, 2)),
            r"a, b: got shapes \(5, 3\) and \(5, 2\)",
        ),
        (lambda: evaluate.frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3)), "at least 2"),
        (
            lambda: evaluate.frechet_distance(torch.zeros(5, 3), torch.zeros(5, 3), resamples=1),
            "resamples: got 1, expected at least 2",
        ),
        (lambda: evaluate.mmd(torch.zeros(5, 3), torch.zeros(5, 2)), "a, b: got shapes"),
        (
            lambda: evaluate.mmd(torch.zeros(5, 3), torch.zeros(5, 3)),
            "bandwidth: the median distance is 0.0, expected a positive number",
        ),
        (
            lambda: evaluate.mmd(torch.rand(5, 3), torch.rand(5, 3), bandwidth=-1.0),
            "bandwidth: got -1.0, expected a positive number",
        ),
        (
            lambda: evaluate.mmd_test(torch.rand(5, 3), torch.rand(5, 3), permutations=0),
            "permutations: got 0, expected at least 1",
        ),
        (
            lambda: evaluate.nearest_neighbours(torch.rand(5, 3), torch.rand(4, 3), k=5),
            "k: got 5, expected 1 to 4",
        ),
        (
            lambda: evaluate.nearest_neighbours(torch.rand(5, 3), torch.rand(4, 2)),
            "queries, points: got shapes",
        ),
        (
            lambda: evaluate.train_classifier(None, updates=0),
            "updates: got 0, expected an integer",
        ),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_frechet_distance_of_equal_samples_is_not_negative():
    for seed in range(5):
        torch.manual_seed(seed)
        x = torch.randn(20, 64)
        value, _ = evaluate.frechet_distance(x, x, resamples=2)
        assert 0 <= value < 1e-6
