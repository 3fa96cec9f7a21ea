"""Estimators: unbiased where they say so, biased by what they say, and the value is what it is.

An estimate is compared with the exact gradient by a z-test: seeds are fixed, and 4 standard errors
are allowed. Exact gradients come from closed forms, quadrature, or sums written out here.
"""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import distributions as D
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dgm import heads
from dgm.estimators import (
    exact,
    gradient_samples,
    gumbel_softmax,
    logmeanexp,
    mean,
    measure_valued,
    pathwise,
    score_function,
    straight_through,
    support,
)

leave_one_out = partial(score_function, baseline="leave-one-out")


pytestmark = pytest.mark.usefixtures("float64")


def exact_gradient(expectation, parameters):
    leaves = [p.clone().requires_grad_() for p in parameters]
    return torch.autograd.grad(expectation(*leaves), leaves, materialize_grads=True)


def check_unbiased(estimator, name, k, draws=20_000):
    problem, expectation, parameters = PROBLEMS[name]
    samples = gradient_samples(estimator, problem, parameters, draws, k)
    for g, truth in zip(samples, exact_gradient(expectation, parameters), strict=True):
        assert g.shape == (draws, *truth.shape)
        assert standard_errors_off(g, truth) < 4


# --- problems: parameters -> (f, q), the exact expectation of f, and where to differentiate ---


def square(phi):
    return (lambda z: z**2), D.Normal(phi, 1.0)


def wave(mu, log_sigma, theta):
    """A smooth f of two coordinates with a parameter inside."""

    def f(z):
        return theta * z[..., 0].sin() * z[..., 1] ** 2

    return f, D.Independent(D.Normal(mu, log_sigma.exp()), 1)


def wave_exactly(mu, log_sigma, theta):
    sigma = log_sigma.exp()
    sine = mu[0].sin() * (-0.5 * sigma[0] ** 2).exp()  # E sin z, the characteristic function's part
    return theta * sine * (mu[1] ** 2 + sigma[1] ** 2)


def entropy(mu, log_sigma):
    """f is -log q(z), so that q's parameters are inside f as well."""
    q = D.Normal(mu, log_sigma.exp())
    return (lambda z: -q.log_prob(z)), q


A = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)


def correlated(mu, factor):
    """A full covariance L L^T, L the lower triangle of `factor`."""
    q = D.MultivariateNormal(mu, scale_tril=factor.tril())
    return (lambda z: (z @ A) ** 2), q


def correlated_exactly(mu, factor):
    return (A @ mu) ** 2 + (factor.tril().T @ A).square().sum()


def beta(a, b):
    return (lambda z: z**2), D.Beta(a, b)


def gamma(a, b):
    return (lambda z: z**2), D.Gamma(a, b)


def dirichlet(a):
    return (lambda z: z[..., 0] * z[..., 1]), D.Dirichlet(a)


def step(mu, sigma):
    return (lambda z: (z > 0).double()), D.Normal(mu, sigma)


def odd(z, theta):
    """Neither linear nor symmetric in three numbers."""
    return (z[..., 0] + 2 * z[..., 1]) ** 2 - theta * z[..., 2] * z[..., 0] + theta**2 * z[..., 1]


def bits(logits, theta):
    q = D.Independent(D.Bernoulli(logits=logits), 1)
    return (lambda z: odd(z, theta.unsqueeze(-1) if theta.dim() > 1 else theta)), q


def bits_exactly(logits, theta, k=1, reduce=mean):
    outcomes = [torch.tensor(z) for z in itertools.product([0.0, 1.0], repeat=3)]
    p = logits.sigmoid()
    mass = [torch.where(z == 1, p, 1 - p).prod() for z in outcomes]
    value = [odd(z, theta) for z in outcomes]
    return expectation_over_tuples(mass, value, k, reduce)


def choice(logits, theta):
    def f(z):
        return odd(z, theta).exp() + (z * logits).sum(-1)  # logits of q inside f, too

    return f, D.OneHotCategorical(logits=logits)


def choice_exactly(logits, theta, k=1, reduce=mean):
    mass = list(logits.softmax(0))
    value = [odd(z, theta).exp() + logits @ z for z in torch.eye(3)]
    return expectation_over_tuples(mass, value, k, reduce)


def choices(logits):
    """Two one-hot codes of three classes."""
    q = D.Independent(D.OneHotCategorical(logits=logits), 1)
    return (lambda z: odd(z[..., 0, :] - z[..., 1, :], 0.7)), q


def choices_exactly(logits):
    p, e = logits.softmax(-1), torch.eye(3)
    return sum(
        p[0, i] * p[1, j] * odd(e[i] - e[j], 0.7) for i, j in itertools.product(range(3), repeat=2)
    )


def expectation_over_tuples(mass, value, k, reduce):
    """The sum over all k-tuples of outcomes, one at a time."""
    total = 0.0
    for tuple_ in itertools.product(range(len(mass)), repeat=k):
        weight = math.prod(mass[i] for i in tuple_)
        total = total + weight * reduce(torch.stack([value[i] for i in tuple_]))
    return total


def log_of_mean(values):
    """logmeanexp as one would write it, were there no overflow."""
    return values.exp().mean(0).log()


def normal_cdf(x):
    return 0.5 * (1 + torch.erf(x / math.sqrt(2)))


t = partial(torch.tensor, dtype=torch.float64)
PROBLEMS = {
    "square": (square, lambda phi: phi**2 + 1, [t(1.5)]),
    "wave": (wave, wave_exactly, [t([0.5, -1.0]), t([-0.3, 0.2]), t(1.7)]),
    "entropy": (
        entropy,
        lambda mu, log_sigma: 0.5 * math.log(2 * math.pi * math.e) + log_sigma,
        [t(0.4), t(-0.6)],
    ),
    "correlated": (
        correlated,
        correlated_exactly,
        [t([0.5, 0.1, -0.3]), t([[1.0, 0, 0], [0.6, 0.8, 0], [-0.4, 0.3, 1.2]])],
    ),
    "gamma": (gamma, lambda a, b: a * (a + 1) / b**2, [t(1.3), t(0.8)]),
    "beta": (beta, lambda a, b: a * (a + 1) / ((a + b) * (a + b + 1)), [t(1.3), t(2.5)]),
    "dirichlet": (
        dirichlet,
        lambda a: a[0] * a[1] / (a.sum() * (a.sum() + 1)),
        [t([1.3, 0.7, 2.0])],
    ),
    "step": (step, lambda mu, sigma: normal_cdf(mu / sigma), [t(0.5), t(1.5)]),
    "bits": (bits, bits_exactly, [t([0.5, -1.0, 0.2]), t(0.7)]),
    "choice": (choice, choice_exactly, [t([0.5, -1.0, 0.2]), t(0.7)]),
    "choices": (choices, choices_exactly, [t([[0.5, -1.0, 0.2], [0.0, 0.3, -0.7]])]),
}
CONTINUOUS = ["square", "wave", "entropy", "correlated", "gamma", "beta", "dirichlet"]
DISCRETE = ["bits", "choice", "choices"]


# --- unbiased ---


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("k", [1, 3])
def test_pathwise_is_unbiased(name, k):
    check_unbiased(pathwise, name, k)


@pytest.mark.parametrize("name", [*CONTINUOUS, "step", *DISCRETE])
@pytest.mark.parametrize("baseline", [0.0, 1.3, "leave-one-out"])
def test_score_function_is_unbiased(name, baseline):
    check_unbiased(partial(score_function, baseline=baseline), name, k=3)


@pytest.mark.parametrize("name", ["square", "wave", "entropy", "step"])
@pytest.mark.parametrize("k", [1, 3])
def test_measure_valued_is_unbiased(name, k):
    check_unbiased(measure_valued, name, k)


@pytest.mark.parametrize("name", DISCRETE)
def test_exact_is_exact(name):
    """Every copy of the parameters has the gradient of the sum written out above."""
    problem, expectation, parameters = PROBLEMS[name]
    f, q = problem(*parameters)
    torch.testing.assert_close(exact(f, q, k=3), expectation(*parameters))
    samples = gradient_samples(exact, problem, parameters, draws=2, k=3)
    for g, truth in zip(samples, exact_gradient(expectation, parameters), strict=True):
        torch.testing.assert_close(g, truth.expand_as(g))


# --- reduce=logmeanexp: the gradient of a logarithm of a mean ---


@pytest.mark.parametrize(("name", "brute"), [("bits", bits_exactly), ("choice", choice_exactly)])
@pytest.mark.parametrize("baseline", [0.0, 1.3, "leave-one-out"])
def test_score_function_of_logmeanexp_is_unbiased(name, brute, baseline):
    problem, _, parameters = PROBLEMS[name]
    estimator = partial(score_function, reduce=logmeanexp, baseline=baseline)
    samples = gradient_samples(estimator, problem, parameters, draws=20_000, k=3)
    truths = exact_gradient(partial(brute, k=3, reduce=log_of_mean), parameters)
    for g, truth in zip(samples, truths, strict=True):
        assert standard_errors_off(g, truth) < 4


@pytest.mark.parametrize(("name", "brute"), [("bits", bits_exactly), ("choice", choice_exactly)])
def test_exact_of_logmeanexp_is_the_sum_over_tuples(name, brute):
    problem, _, parameters = PROBLEMS[name]
    samples = gradient_samples(partial(exact, reduce=logmeanexp), problem, parameters, draws=1, k=3)
    truths = exact_gradient(partial(brute, k=3, reduce=log_of_mean), parameters)
    for g, truth in zip(samples, truths, strict=True):
        torch.testing.assert_close(g[0], truth)
    f, q = problem(*parameters)
    value = exact(f, q, 3, logmeanexp)
    torch.testing.assert_close(value, brute(*parameters, k=3, reduce=log_of_mean))


def bump(mu, log_sigma, theta):
    return (lambda z: -theta * (z - 1) ** 2), D.Normal(mu, log_sigma.exp())


def bump_exactly(mu, log_sigma, theta):
    """E log((e^f(z_1) + e^f(z_2)) / 2) by the trapezoidal rule in the plane."""
    z = torch.linspace(-8, 8, 801)
    mass = D.Normal(mu, log_sigma.exp()).log_prob(z).exp() * (z[1] - z[0])
    f = -theta * (z - 1) ** 2
    r = torch.logaddexp(f[:, None], f[None]) - math.log(2)
    return mass @ r @ mass


@pytest.mark.parametrize(
    "estimator",
    [pathwise, score_function, leave_one_out, measure_valued],
    ids=["pathwise", "score", "leave-one-out", "measure-valued"],
)
def test_logmeanexp_of_normal_draws_against_quadrature(estimator):
    parameters = [t(0.3), t(-0.2), t(1.4)]
    estimator = partial(estimator, reduce=logmeanexp)
    samples = gradient_samples(estimator, bump, parameters, draws=40_000, k=2)
    for g, truth in zip(samples, exact_gradient(bump_exactly, parameters), strict=True):
        assert standard_errors_off(g, truth) < 4


def test_vimco_written_out_draw_by_draw():
    """Mnih and Rezende (2016), equations 7 to 11, for one example and K = 4."""
    torch.manual_seed(3)
    logits, theta, k = t([0.5, -1.0, 0.2]).requires_grad_(), t(0.7).requires_grad_(), 4
    f, q = bits(logits, theta)
    torch.manual_seed(4)
    leave_one_out(f, q, k, logmeanexp).backward()
    ours = logits.grad.clone(), theta.grad.clone()

    logits.grad = theta.grad = None
    torch.manual_seed(4)
    z = q.sample((k,))
    log_f = [f(z[i]) for i in range(k)]
    bound = torch.stack(log_f).exp().mean().log()
    surrogate = bound
    for i in range(k):
        others = [log_f[j].detach() for j in range(k) if j != i]
        geometric_mean = sum(others) / (k - 1)
        baseline = (sum(o.exp() for o in others) + geometric_mean.exp()).div(k).log()
        surrogate = surrogate + (bound.detach() - baseline) * q.log_prob(z[i])
    surrogate.backward()
    torch.testing.assert_close(ours, (logits.grad, theta.grad))


def test_leave_one_out_of_the_mean_is_the_textbook_formula():
    """The gradient is 1 / (k - 1) times the sum of (f_i - mean f) grad log q(z_i)."""
    logits = t([[0.5, -1.0, 0.2]]).requires_grad_()
    f, q = bits(logits, t(0.7))
    torch.manual_seed(4)
    leave_one_out(f, q, 5).sum().backward()
    torch.manual_seed(4)
    z = q.sample((5,))
    centred = f(z) - f(z).mean(0)  # (5, 1)
    score = z - logits.sigmoid()  # of a Bernoulli, in its logits: (5, 1, 3)
    torch.testing.assert_close(logits.grad, (centred[..., None] * score).sum(0).detach() / 4)


# --- variance ---


@pytest.mark.parametrize("phi", [0.0, 1.0, 2.0])
def test_variances_of_the_two_estimators_of_a_square(phi):
    """phi^4 + 14 phi^2 + 15 against 4 for x^2 under N(phi, 1), and a tenth with ten draws."""
    n = 100_000
    for estimator, variance in [(score_function, phi**4 + 14 * phi**2 + 15), (pathwise, 4.0)]:
        for k in (1, 10):
            (g,) = gradient_samples(estimator, square, [t(phi)], n, k)
            squares = (g - 2 * phi) ** 2
            assert standard_errors_off(squares, variance / k) < 4


def test_the_best_constant_baseline_has_the_variance_it_promises():
    """For x^2 under N(phi, 1): b = E[x^2 s^2] / E[s^2] with s = x - phi, which is phi^2 + 3."""
    phi, n = 2.0, 100_000
    (g,) = gradient_samples(partial(score_function, baseline=phi**2 + 3), square, [t(phi)], n)
    second_moment = (phi**4 + 14 * phi**2 + 15 + 4 * phi**2) - (phi**2 + 3) ** 2
    assert standard_errors_off(g**2, second_moment) < 4


@pytest.mark.parametrize("reduce", [mean, logmeanexp])
def test_leave_one_out_does_not_notice_a_constant_added_to_f(reduce):
    """A log-likelihood has a large constant part, which alone would drown the gradient."""

    def shifted(logits):
        f, q = bits(logits, t(0.7))
        return (lambda z: f(z) - 100), q

    logits = t([0.5, -1.0, 0.2])
    variance = []
    for problem in (lambda a: bits(a, t(0.7)), shifted):
        torch.manual_seed(1)
        (g,) = gradient_samples(partial(leave_one_out, reduce=reduce), problem, [logits], 1000, k=4)
        variance.append(g.var(0))
    torch.testing.assert_close(*variance)
    (g,) = gradient_samples(partial(score_function, reduce=reduce), shifted, [logits], 1000, k=4)
    assert (g.var(0) > 100 * variance[0]).all()


# --- values ---


@pytest.mark.parametrize(
    ("estimator", "name"),
    [
        (pathwise, "wave"),
        (score_function, "wave"),
        (measure_valued, "wave"),
        (score_function, "bits"),
        (leave_one_out, "bits"),
        (straight_through, "bits"),
        (straight_through, "choices"),
    ],
)
@pytest.mark.parametrize("reduce", [mean, logmeanexp])
def test_the_value_is_the_plain_monte_carlo_one(estimator, name, reduce):
    """Exactly the reduction of f's values at the draws f was shown first, all from q."""
    problem, _, parameters = PROBLEMS[name]
    f, q = problem(*[p.expand(7, *p.shape) for p in parameters])
    shown = []
    estimate = estimator(lambda z: shown.append(z) or f(z), q, 5, reduce)
    z = shown[0]
    assert z.shape == (5, *q.batch_shape, *q.event_shape)
    assert q.support.check(z).all()
    assert estimate.dtype == torch.float64
    assert torch.equal(estimate, reduce(f(z)))


def test_the_value_of_a_relaxation_is_another():
    """A relaxed bit lies below one, and so does its square: E[z^2] < E[z] = p."""
    q = D.Bernoulli(torch.full((20_000,), 0.5))
    z2 = gumbel_softmax(lambda z: z**2, q, k=1, temperature=1.0)
    # at temperature 1 and p = 1/2, z is uniform on (0, 1): E[z^2] = 1/3, not 1/2
    assert standard_errors_off(z2, 1 / 3) < 4


class LargestTensor(TorchDispatchMode):
    """How many numbers the largest tensor holds that is made while it is on."""

    numbers = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.numbers = max(self.numbers, leaf.numel())
        return result


@pytest.mark.parametrize("estimator", [measure_valued, leave_one_out])
def test_the_mean_of_k_draws_makes_no_array_of_k_squared(estimator):
    k, m = 200, 2
    q = D.Independent(D.Normal(torch.zeros(1, m, requires_grad=True), 1.0), 1)
    with LargestTensor() as largest:
        estimator(lambda z: z.prod(-1), q, k).sum().backward()
    assert k * m <= largest.numbers <= k * m * m * 2 < k * k


@pytest.mark.parametrize("estimator", [measure_valued, leave_one_out])
def test_the_mean_is_differentiated_as_any_reduction(estimator):
    """Without the array of k^2 numbers, to rounding the same: another name, another path."""

    def other_mean(values):
        return values.sum(0) / len(values)

    results = []
    for reduce in (mean, other_mean):
        torch.manual_seed(1)
        mu, sigma = torch.randn(3, 2, requires_grad=True), torch.rand(3, 2, requires_grad=True)
        q = D.Independent(D.Normal(mu, sigma + 0.5), 1)
        value = estimator(lambda z: (z.prod(-1) > 0.2) + z[..., 0] ** 2, q, 7, reduce)
        results.append((value, *torch.autograd.grad(value.sum(), (mu, sigma))))
    torch.testing.assert_close(*results)


def test_outcomes_without_mass_do_not_count():
    """f may be infinite there, as -log q is: 0 log 0 = 0."""
    logits = t([0.3, -torch.inf, -0.5]).requires_grad_()
    q = heads.OneHot(logits)
    p = torch.tensor([0.3, -0.5]).softmax(0)
    entropy = -(p * p.log()).sum()
    value = exact(lambda z: -q.log_prob(z), q, k=1)
    torch.testing.assert_close(value, entropy)
    (g,) = torch.autograd.grad(value, logits, retain_graph=True)
    slope = -p * (p.log() + entropy)
    torch.testing.assert_close(g, torch.stack([slope[0], torch.zeros(()), slope[1]]))
    bound = exact(lambda z: -q.log_prob(z), q, 2, logmeanexp)
    (g,) = torch.autograd.grad(bound, logits)
    assert bound.isfinite()
    assert g.isfinite().all()


# --- biased, by what is said ---


def squared_distance(p, target):
    return (lambda z: (z - target) ** 2), D.Bernoulli(p)


def test_straight_through_has_the_gradient_at_the_outcomes():
    """Of (z - t)^2: E[2 (z - t)] = 2 (p - t), where the truth is 1 - 2 t. Inside f it is right."""
    p, target = t(0.2), t(0.45)
    g, inside = gradient_samples(straight_through, squared_distance, [p, target], 20_000, k=2)
    assert standard_errors_off(g, 2 * (p - target)) < 4
    assert standard_errors_off(g, 1 - 2 * target) > 40
    assert standard_errors_off(inside, 2 * (target - p)) < 4


def test_straight_through_is_unbiased_for_f_affine_in_each_bit():
    def product(p):
        return (lambda z: 3 * z[..., 0] * z[..., 1] - z[..., 0]), D.Independent(D.Bernoulli(p), 1)

    (g,) = gradient_samples(straight_through, product, [t([0.2, 0.6])], 20_000)
    assert standard_errors_off(g, t([3 * 0.6 - 1, 3 * 0.2])) < 4


@pytest.mark.parametrize("temperature", [0.3, 1.0])
def test_gumbel_softmax_has_the_gradient_of_the_relaxed_expectation(temperature):
    """By quadrature over the uniform number behind the logistic noise."""
    logit, target = t(-0.8), t(0.45)

    def relaxed(a):
        u = (torch.arange(200_000) + 0.5) / 200_000
        z = ((a + u.logit()) / temperature).sigmoid()
        return ((z - target) ** 2).mean()

    def problem(a):
        return (lambda z: (z - target) ** 2), D.Bernoulli(logits=a)

    estimator = partial(gumbel_softmax, temperature=temperature)
    (g,) = gradient_samples(estimator, problem, [logit], 40_000)
    (truth,) = exact_gradient(relaxed, [logit])
    assert standard_errors_off(g, truth) < 4
    p = logit.sigmoid()
    assert standard_errors_off(g, p * (1 - p) * (1 - 2 * target)) > 10


def test_gumbel_softmax_of_one_hot_codes_tends_to_the_truth():
    """The bias falls with the temperature, the variance grows."""
    problem, expectation, parameters = PROBLEMS["choices"]
    (truth,) = exact_gradient(expectation, parameters)
    bias, variance = [], []
    for temperature in (1.0, 0.1):
        estimator = partial(gumbel_softmax, temperature=temperature)
        (g,) = gradient_samples(estimator, problem, parameters, 40_000)
        bias.append((g.mean(0) - truth).abs().max())
        variance.append(g.var(0).sum())
    assert bias[1] < 0.3 * bias[0]
    assert variance[1] > 2 * variance[0]


def test_gumbel_softmax_rounds_to_draws_of_q():
    """The largest entry of a relaxed code is distributed as q, at any temperature."""
    probs = t([0.2, 0.5, 0.3])
    shown = []
    q = D.OneHotCategorical(probs.expand(40_000, 3))
    gumbel_softmax(lambda z: shown.append(z) or z[..., 0], q, 1, temperature=0.7)
    winner = torch.nn.functional.one_hot(shown[0][0].argmax(-1), 3).double()
    assert standard_errors_off(winner, probs) < 4


# --- where an estimator fails without an error ---


def test_pathwise_gradient_of_a_step_function_is_zero():
    g = gradient_samples(pathwise, step, [t(0.5), t(1.5)], draws=10)
    assert all(torch.equal(each, torch.zeros(10)) for each in g)


def test_score_function_is_wrong_where_the_support_moves():
    """E[z] under U(0, phi) is phi / 2; the score is -1 / phi: minus one half for one half."""

    def uniform(phi):
        return (lambda z: z), D.Uniform(0.0, phi)

    (g,) = gradient_samples(score_function, uniform, [t(2.0)], 20_000)
    assert standard_errors_off(g, -0.5) < 4
    (g,) = gradient_samples(pathwise, uniform, [t(2.0)], 20_000)
    assert standard_errors_off(g, 0.5) < 4


# --- baselines, samples, support ---


def test_a_tensor_is_a_baseline_of_its_rows_and_gets_no_gradient():
    """With f constant per row and the same constants as baseline, nothing is left."""
    level = t([1.0, -2.0, 5.0]).requires_grad_()
    logits = torch.zeros(3, requires_grad=True)
    q = D.Bernoulli(logits=logits)
    estimate = score_function(lambda z: 0 * z + level.detach(), q, 4, baseline=level)
    estimate.sum().backward()
    torch.testing.assert_close(logits.grad, torch.zeros(3))
    assert level.grad is None


def test_gradient_samples_sum_over_a_batch_of_their_own():
    def batch(phi):
        return (lambda z: 3 * z), D.Normal(phi, 1.0)  # batch shape (draws, 2)

    (g,) = gradient_samples(pathwise, batch, [t([0.0, 1.0])], draws=5)
    assert torch.equal(g, torch.full((5, 2), 3.0))


def test_gradient_samples_are_zero_for_parameters_without_a_part():
    def problem(phi, unused):
        return square(phi)

    _, g = gradient_samples(pathwise, problem, [t(1.0), t([1.0, 2.0])], draws=5)
    assert torch.equal(g, torch.zeros(5, 2))


@pytest.mark.parametrize(
    ("q", "outcomes"),
    [
        (D.Bernoulli(t(0.3)), 2),
        (D.Independent(D.Bernoulli(torch.full((5, 2, 3), 0.3)), 2), 2**6),
        (D.OneHotCategorical(torch.ones(5, 4)), 4),
        (D.Independent(D.OneHotCategorical(torch.ones(2, 3)), 1), 9),
        (D.Independent(heads.GreyLevels(torch.randn(2, 1, 2, 5)), 3), 5**4),
    ],
)
def test_support_has_every_outcome_once(q, outcomes):
    z = support(q)
    assert z.shape == (outcomes, *q.event_shape)
    assert len(z.reshape(outcomes, -1).unique(dim=0)) == outcomes
    z = z.reshape(outcomes, *[1] * len(q.batch_shape), *q.event_shape)
    mass = q.log_prob(z.expand(outcomes, *q.batch_shape, *q.event_shape)).exp().sum(0)
    torch.testing.assert_close(mass, torch.ones(q.batch_shape), check_dtype=False)


# --- refusals ---

normal, coin = D.Normal(torch.zeros(2), 1.0), D.Bernoulli(torch.full((2,), 0.5))
coins = D.Independent(D.Bernoulli(torch.full((2, 21), 0.5)), 1)
st = D.OneHotCategoricalStraightThrough(torch.ones(2, 3))


def identity(z):
    return z


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: pathwise(identity, coin, 1), "pathwise cannot serve a Bernoulli.*score_function"),
        (lambda: pathwise(identity, st, 1), "cannot serve a OneHotCategoricalStraightThrough"),
        (lambda: exact(identity, normal, 1), "a Normal cannot be enumerated.*pathwise"),
        (lambda: support(D.Poisson(1.0)), "a Poisson cannot be enumerated"),
        (lambda: support(coins), r"2\^21 outcomes"),
        (lambda: exact(identity, coin, 21, logmeanexp), r"2\^21 outcomes"),
        (lambda: measure_valued(identity, coin, 1), "cannot serve a Bernoulli.*score_function"),
        (lambda: gumbel_softmax(identity, normal, 1), "gumbel_softmax cannot serve a Normal"),
        (lambda: straight_through(identity, normal, 1), "straight_through cannot serve a Normal"),
        (lambda: gumbel_softmax(identity, coin, 1, temperature=0.0), "temperature: got 0.0"),
        (lambda: leave_one_out(identity, coin, 1), "k: got 1, expected at least 2"),
        (lambda: score_function(identity, coin, 2, baseline="mean"), "baseline: got 'mean'"),
        (
            lambda: score_function(identity, coin, 1, baseline=torch.zeros(2, 1)),
            r"baseline: got shape \(2, 1\), expected one that broadcasts to \(1, 2\)",
        ),
        (lambda: gradient_samples(pathwise, square, [t(0.0)], 0), "draws: got 0, expected an int"),
        (
            lambda: pathwise(lambda z: z[..., None], normal, 3),
            r"f: returned shape \(3, 2, 1\) for draws of shape \(3, 2\), expected \(3, 2\)",
        ),
        (
            lambda: gradient_samples(pathwise, lambda p: (identity, normal), [t(0.0)], 5),
            r"problem: q has batch shape \(2,\), expected \(5, ...\)",
        ),
    ],
)
def test_what_cannot_be_served_says_why(act, message):
    with pytest.raises(ValueError, match=message):
        act()


SERVED = [
    (pathwise, normal),
    (score_function, coin),
    (measure_valued, normal),
    (exact, coin),
    (gumbel_softmax, coin),
    (straight_through, coin),
]


@pytest.mark.parametrize(("estimator", "q"), SERVED)
def test_k_is_a_whole_number_from_one_on(estimator, q):
    """Of any kind: NumPy's integers are integers. `exact` needs no draws, yet is told the same."""
    for reduce in (mean, logmeanexp):
        assert estimator(identity, q, np.int64(2), reduce).shape == (2,)
        for k in (0, -1, 2.5, "2", None):
            with pytest.raises(ValueError, match=f"k: got {k!r}, expected .*at least 1"):
                estimator(identity, q, k, reduce)
