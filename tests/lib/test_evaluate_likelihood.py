"""Likelihoods by importance sampling, and the rate taken apart, against exact computations.

A random estimate is held against the exact value at four standard errors.
"""

import math

import pytest
import torch
from torch import distributions as D

from dgm import evaluate


def normal(mean, scale):
    """A Normal with independent coordinates."""
    return D.Independent(D.Normal(mean, scale, validate_args=False), 1)


class Factor:
    """z ~ N(0, I), x = W z + sigma eps: log p(x) has a closed form.

    The posterior is the exact one, made `stretch` times as wide.
    """

    def __init__(self, stretch=1.0):
        self.stretch, self.sigma = stretch, 0.7
        self.weight = torch.tensor([[1.0, 0.2], [-0.5, 0.8], [0.3, -1.2], [0.9, 0.4]]).double()

    def prior(self):
        return normal(torch.zeros(2).double(), torch.ones(2).double())

    def posterior(self, x):
        precision = torch.eye(2) + self.weight.T @ self.weight / self.sigma**2  # (2, 2)
        covariance = precision.inverse()
        mean = x @ self.weight @ covariance / self.sigma**2  # (B, 2)
        return D.MultivariateNormal(mean, self.stretch**2 * covariance)

    def likelihood(self, z):
        mean = z @ self.weight.T
        return normal(mean, torch.full_like(mean, self.sigma))

    def sample(self, n):
        return self.likelihood(self.prior().sample((n,))).sample()

    def log_prob(self, x):
        covariance = self.weight @ self.weight.T + self.sigma**2 * torch.eye(4)
        return D.MultivariateNormal(torch.zeros_like(x[0]), covariance).log_prob(x)


class Table:
    """A code that is one of three, given by tables: p(z), q(z | x) and p(x | z), x of two bits."""

    prior_table = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    bits = torch.tensor([[0.1, 0.7], [0.6, 0.4], [0.9, 0.2]], dtype=torch.float64)  # p(x_j=1 | z)
    codes = torch.tensor(
        [[[0.8, 0.1, 0.1], [0.5, 0.25, 0.25]], [[0.2, 0.2, 0.6], [0.1, 0.6, 0.3]]],
        dtype=torch.float64,
    )  # q(z | x), indexed by x

    def prior(self):
        return D.OneHotCategorical(self.prior_table)

    def posterior(self, x):
        first, second = x.long().unbind(1)
        return D.OneHotCategorical(self.codes[first, second])

    def likelihood(self, z):
        return D.Independent(D.Bernoulli(z @ self.bits), 1)

    def sample(self, n):
        return self.likelihood(self.prior().sample((n,))).sample()

    def log_prob(self, x):
        parts = [p.log() + self.likelihood(z).log_prob(x) for p, z in self.outcomes()]
        return torch.stack(parts).logsumexp(0)

    def outcomes(self):
        return zip(self.prior_table, torch.eye(3, dtype=torch.float64), strict=True)


ALL_BITS = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)


# ---------------------------------------------------------------- importance weighting


@pytest.mark.parametrize("model", [Factor(stretch=1.5), Factor(stretch=0.8), Table()])
def test_the_mean_weight_is_unbiased_for_the_evidence(model):
    """400 estimates of p(x) for one x, each from 50 draws: their mean is p(x), within 4 SE."""
    torch.manual_seed(0)
    x = model.sample(1)
    estimates = evaluate.importance_weighted(model, x.expand(400, *x.shape[1:]), k=50)
    ratio = (estimates - model.log_prob(x)).exp()  # p-hat / p
    error = ratio.std() / len(ratio) ** 0.5
    assert 0 < error < 0.05
    assert abs(ratio.mean() - 1) < 4 * error


def test_at_the_exact_posterior_a_single_draw_is_exact():
    model = Factor()
    x = model.sample(5)
    torch.testing.assert_close(evaluate.importance_weighted(model, x, k=1), model.log_prob(x))


def test_the_bound_rises_to_the_evidence_from_below():
    """Few draws: too small by about Var(w) / (2 k p^2). Many: within 4 SE of the closed form.

    Per coordinate of the code, E_q[w^2] / p^2 is s^2 / sqrt(2 s^2 - 1) at a posterior s times as
    wide as the exact one.
    """
    torch.manual_seed(0)
    model = Factor(stretch=1.5)
    x = model.sample(1)
    gaps = {}
    for k, repeats in ((1, 200), (20, 3000), (1000, 200)):
        estimates = evaluate.importance_weighted(model, x.expand(repeats, 4), k=k)
        gaps[k] = evaluate.mean_and_error(model.log_prob(x) - estimates)
    relative_variance = (1.5**2 / math.sqrt(2 * 1.5**2 - 1)) ** 2 - 1
    gap, error = gaps[20]
    assert abs(gap - relative_variance / 40) < 4 * error < gap
    assert gaps[1][0] - 4 * gaps[1][1] > gap
    assert abs(gaps[1000][0]) < 4 * gaps[1000][1] < 0.01


@pytest.mark.parametrize("chunk", [1, 7, 100, 1000])
def test_the_value_does_not_depend_on_the_chunk(chunk):
    model = Factor(stretch=1.5)
    x = model.sample(6)
    torch.manual_seed(0)
    whole = evaluate.importance_weighted(model, x, k=100, chunk=100)
    torch.manual_seed(0)
    parts = evaluate.importance_weighted(model, x, k=100, chunk=chunk)
    torch.testing.assert_close(parts, whole, rtol=1e-13, atol=1e-13)


def test_the_value_does_not_depend_on_the_examples_that_follow():
    model = Factor(stretch=1.5)
    x = model.sample(6)
    torch.manual_seed(0)
    whole = evaluate.importance_weighted(model, x, k=20)
    torch.manual_seed(0)
    assert torch.equal(evaluate.importance_weighted(model, x[:2], k=20), whole[:2])


def test_no_more_than_a_chunk_is_decoded_at_a_time():
    seen = []

    class Watched(Factor):
        def likelihood(self, z):
            seen.append(z.shape[:-1].numel())
            return super().likelihood(z)

    evaluate.importance_weighted(Watched(), torch.zeros(3, 4, dtype=torch.float64), k=25, chunk=10)
    assert seen == [1] + [10, 10, 5] * 3  # the first one to see what the decoder makes


# ---------------------------------------------------------------- rate and distortion


@pytest.mark.parametrize("model", [Factor(stretch=1.5), Table()])
def test_rate_and_distortion_are_the_elbo(model):
    """Against the ELBO by enumeration, or from log p(x) - KL(q || exact posterior)."""
    torch.manual_seed(0)
    if isinstance(model, Table):
        x = ALL_BITS
        table = model.posterior(x).probs  # (4, 3)
        rate = (table * (table / model.prior_table).log()).sum(1).mean()
        fits = torch.stack([model.likelihood(z).log_prob(x) for _, z in model.outcomes()], 1)
        distortion = -(table * fits).sum(1).mean()
    else:
        x = model.sample(4)
        q, exact = model.posterior(x), Factor().posterior(x)
        gap = D.kl_divergence(q, exact)
        rate = D.kl_divergence(
            q, D.MultivariateNormal(torch.zeros(2).double(), torch.eye(2).double())
        ).mean()
        distortion = -(model.log_prob(x) - gap).mean() - rate
    estimates = torch.tensor([evaluate.rate_distortion(model, x, k=200) for _ in range(100)])
    assert estimates[:, 0].tolist() == pytest.approx([rate.item()] * 100)
    mean, error = evaluate.mean_and_error(estimates[:, 1])
    assert abs(mean - distortion) < 4 * error < 0.03


def test_a_rate_without_closed_form_is_estimated():
    class Laplace(Factor):
        def prior(self):
            zeros = torch.zeros(2, dtype=torch.float64)
            return D.Independent(D.Laplace(zeros, torch.ones_like(zeros)), 1)

    torch.manual_seed(0)
    model = Laplace()
    x = model.sample(1)
    q, p = model.posterior(x), model.prior()
    t = torch.linspace(-12, 12, 1201, dtype=torch.float64)
    z = torch.cartesian_prod(t, t)
    log_q = q.log_prob(z)
    exact = (log_q.exp() * (log_q - p.log_prob(z))).sum() * (t[1] - t[0]) ** 2
    estimates = torch.tensor([evaluate.rate_distortion(model, x, k=100)[0] for _ in range(100)])
    mean, error = evaluate.mean_and_error(estimates)
    assert abs(mean - exact) < 4 * error < 0.1


# ---------------------------------------------------------------- the aggregate posterior


def test_the_parts_of_the_rate_by_enumeration():
    """Mutual information and marginal KL of the table, over four equally likely examples."""
    model, x = Table(), ALL_BITS
    q = model.posterior(x).probs  # (4, 3)
    q_z = q.mean(0)
    information = (q * (q / q_z).log()).sum(1).mean()
    marginal = (q_z * (q_z / model.prior_table).log()).sum()
    torch.manual_seed(0)
    parts = evaluate.aggregate_posterior(model, x, k=20_000)
    assert abs(parts.mutual_information - information) < 4 * parts.mutual_information_error < 0.02
    assert abs(parts.marginal_kl - marginal) < 4 * parts.marginal_kl_error < 0.02


class OnLine(Factor):
    """A code on the line: q(z | x) = N(x, scale^2)."""

    def __init__(self, scale):
        self.scale = scale

    def prior(self):
        return normal(torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))

    def posterior(self, x):
        return normal(x, torch.full_like(x, self.scale))


def test_the_parts_of_the_rate_by_quadrature():
    model, x = OnLine(0.8), torch.tensor([[-1.0], [0.5], [2.0]], dtype=torch.float64)
    z = torch.linspace(-9, 9, 4001, dtype=torch.float64)[:, None]
    log_q = model.posterior(x).log_prob(z[:, None])  # (4001, 3)
    log_q_z = log_q.logsumexp(1) - math.log(3)
    dz = (z[1] - z[0]).item()
    information = (log_q.exp() * (log_q - log_q_z[:, None])).mean(1).sum() * dz
    marginal = (log_q_z.exp() * (log_q_z - model.prior().log_prob(z))).sum() * dz
    torch.manual_seed(0)
    parts = evaluate.aggregate_posterior(model, x, k=20_000, chunk=1000)
    assert abs(parts.mutual_information - information) < 4 * parts.mutual_information_error < 0.02
    assert abs(parts.marginal_kl - marginal) < 4 * parts.marginal_kl_error < 0.05


def test_codes_far_apart_tell_the_example_and_no_more_than_log_n():
    x = 100 * torch.arange(8.0, dtype=torch.float64)[:, None]
    parts = evaluate.aggregate_posterior(OnLine(0.1), x)
    assert parts.mutual_information == pytest.approx(math.log(8))


def test_standard_errors_are_those_of_repeated_estimates():
    model, x = OnLine(0.8), torch.randn(20, 1, dtype=torch.float64)
    torch.manual_seed(0)
    repeats = [evaluate.aggregate_posterior(model, x, k=5) for _ in range(300)]
    estimates = torch.tensor(repeats, dtype=torch.float64)  # (300, 4)
    claimed = estimates[:, 2:].square().mean(0).sqrt()
    # the standard deviation of 300 values is itself known to 1 / sqrt(600), 4 percent
    torch.testing.assert_close(estimates[:, :2].std(0), claimed, rtol=0.16, atol=0)


def test_the_mutual_information_of_few_examples_is_too_small():
    """x ~ N(0, 1), z | x ~ N(x, s^2): in the population it is log(1 + 1/s^2) / 2."""
    model = OnLine(0.5)
    torch.manual_seed(0)

    def mean_over_data_sets(n):
        values = [
            evaluate.aggregate_posterior(model, torch.randn(n, 1, dtype=torch.float64), k=2)[0]
            for _ in range(200)
        ]
        return evaluate.mean_and_error(torch.tensor(values))

    exact = 0.5 * math.log(1 + 1 / 0.5**2)
    (two, two_error), (many, many_error) = mean_over_data_sets(2), mean_over_data_sets(30)
    assert two + 4 * two_error < many - 4 * many_error
    assert many < exact + 4 * many_error
    assert exact - many < 0.1 < exact - two


# ---------------------------------------------------------------- active units


def test_active_units_are_those_whose_mean_moves():
    """Standard deviations of the means 0.2, 0.05 and 0; variances 0.04, 0.0025 and 0."""

    class Encoder(Factor):
        def posterior(self, x):
            mean = torch.stack([0.2 * x[:, 0], 0.05 * x[:, 1], torch.full_like(x[:, 0], 7.0)], 1)
            return normal(mean, torch.ones_like(mean))

    torch.manual_seed(0)
    x = torch.randn(2000, 2, dtype=torch.float64)
    assert evaluate.active_units(Encoder(), x).tolist() == [True, False, False]
    assert evaluate.active_units(Encoder(), x, threshold=1e-3).tolist() == [True, True, False]


# ---------------------------------------------------------------- conditional models


class Shifted(Factor):
    """x = W z + a shift by the label + sigma eps: given y, x less its shift is a `Factor`'s."""

    classes = 2
    shifts = torch.tensor([[0.0, 1.0, 0.0, 2.0], [3.0, 0.0, -1.0, 0.0]], dtype=torch.float64)

    def prior(self, y):
        return normal(torch.zeros(len(y), 2).double(), torch.ones(len(y), 2).double())

    def posterior(self, x, y):
        return super().posterior(x - self.shifts[y])

    def likelihood(self, z, y):
        mean = z @ self.weight.T + self.shifts[y]  # (k, B, 4)
        return normal(mean, torch.full_like(mean, self.sigma))


def test_a_conditional_model_is_evaluated_given_the_labels():
    """At the exact posterior one draw is exact, and minus rate and distortion is log p(x | y)."""
    torch.manual_seed(0)
    y = torch.tensor([0, 1, 1, 0, 1])
    x = Factor().sample(5) + Shifted.shifts[y]
    log_p = Factor().log_prob(x - Shifted.shifts[y])
    torch.testing.assert_close(evaluate.importance_weighted(Shifted(), x, y, k=1), log_p)
    bounds = [-sum(evaluate.rate_distortion(Shifted(), x, y, 100, 2)) for _ in range(100)]
    mean, error = evaluate.mean_and_error(torch.tensor(bounds))
    assert abs(mean - log_p.mean()) < 4 * error < 0.1


def test_codes_of_a_conditional_model():
    torch.manual_seed(0)
    y = torch.tensor([0, 1, 1, 0, 1])
    x = Factor().sample(5) + Shifted.shifts[y]
    expected = Factor().posterior(x - Shifted.shifts[y]).mean
    torch.testing.assert_close(evaluate.encode(Shifted(), x, y, batch_size=2), expected)
    # every example at its class's own shift: given the label, no code moves
    assert not evaluate.active_units(Shifted(), Shifted.shifts[y], y).any()
    assert evaluate.active_units(Shifted(), Shifted.shifts[y], 0 * y).any()


def test_the_aggregate_posterior_of_one_class():
    x, y = Factor().sample(6) + Shifted.shifts[1], torch.ones(6, dtype=torch.long)
    torch.manual_seed(0)
    parts = evaluate.aggregate_posterior(Shifted(), x, y)
    torch.manual_seed(0)
    assert parts == pytest.approx(evaluate.aggregate_posterior(Factor(), x - Shifted.shifts[1]))


# ---------------------------------------------------------------- means, errors, bad arguments


def test_mean_and_error_covers_the_mean():
    """Over 500 data sets of 50, the true mean lies within two errors in about 95 percent."""
    torch.manual_seed(0)
    inside = 0
    for values in torch.rand(500, 50):
        mean, error = evaluate.mean_and_error(values)
        inside += abs(mean - 0.5) < 2 * error
    assert 0.91 < inside / 500 < 0.98  # 0.95 within 4 standard errors of the share


X = torch.zeros(3, 4, dtype=torch.float64)


@pytest.mark.parametrize(
    ("evaluation", "message"),
    [
        (lambda: evaluate.importance_weighted(Factor(), X, k=0), "k: got 0"),
        (lambda: evaluate.importance_weighted(Factor(), X, chunk=2.5), "chunk: got 2.5"),
        (lambda: evaluate.importance_weighted(Factor(), X[:0]), "x: got 0 examples"),
        (lambda: evaluate.importance_weighted(D.Normal(0, 1), X), "model: got Normal"),
        (lambda: evaluate.importance_weighted(Table(), ALL_BITS / 2), "x: got values outside"),
        (lambda: evaluate.rate_distortion(Table(), ALL_BITS / 2), "x: got values outside"),
        (lambda: evaluate.rate_distortion(Factor(), X, batch_size=0), "batch_size: got 0"),
        (lambda: evaluate.active_units(Factor(), X[:1]), "x: got 1 examples"),
        (lambda: evaluate.active_units(Factor(), X, threshold=-1), "threshold: got -1"),
        (lambda: evaluate.aggregate_posterior(Factor(), X, k=1), "k: got 1"),
        (lambda: evaluate.mean_and_error(X), "values: got shape"),
        (lambda: evaluate.mean_and_error(X[0, :1]), "values: got shape"),
    ],
)
def test_bad_arguments_are_named(evaluation, message):
    with pytest.raises(ValueError, match=message):
        evaluation()
