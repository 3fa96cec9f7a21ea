"""The labelled equations of chapter 04, each computed in two independent ways, in float64.

Expectations are sums: over all outcomes, over a fine grid, or over Gauss-Hermite nodes. The one
Monte Carlo average states its standard error.
"""

import itertools
import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import integrate, optimize, special, stats
from torch.autograd import grad
from torch.distributions import (
    Bernoulli,
    Binomial,
    Gamma,
    Independent,
    OneHotCategorical,
    constraints,
)
from torch.distributions import Normal as TorchNormal
from torch.nn import functional as F

from dgm import estimators
from dgm.evaluate import importance_weighted
from dgm.objectives import dreg, elbo

DTYPE = torch.float64
GRID = torch.linspace(-15, 15, 30_001, dtype=DTYPE)
STEP = (GRID[1] - GRID[0]).item()
_nodes, _weights = np.polynomial.hermite_e.hermegauss(60)
EPS = torch.as_tensor(_nodes)  # for expectations under N(0, 1)
WEIGHTS = torch.as_tensor(_weights / math.sqrt(2 * math.pi))


def tensor(*values, requires_grad=False):
    value = values[0] if len(values) == 1 else list(values)
    return torch.tensor(value, dtype=DTYPE, requires_grad=requires_grad)


def Normal(mean, scale):
    """Numbers become float64: torch would make float32 of them."""
    return TorchNormal(torch.as_tensor(mean, dtype=DTYPE), torch.as_tensor(scale, dtype=DTYPE))


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=DTYPE, generator=torch.Generator().manual_seed(seed))


def slope(function, at, h=1e-5):
    """Central difference of a function of one float."""
    return (function(at + h) - function(at - h)) / (2 * h)


def on_grid(q, f):
    """E_q[f(z)] as a sum over the grid."""
    return (q.log_prob(GRID).exp() * f(GRID)).sum() * STEP


def scores(q, z, parameter):
    """d/d parameter of log q(z), for every z: (n, *parameter.shape). One copy of it per z."""
    copies = parameter.expand(len(z), *parameter.shape).clone().requires_grad_()
    return grad(q(copies).log_prob(z).sum(), copies)[0]


# The library's estimators without noise: draws become nodes or outcomes, a mean a weighted sum.


class AtNodes(TorchNormal):
    """A normal of batch shape (1,) or (1, 1) whose "draws" are the Gauss-Hermite nodes."""

    def rsample(self, shape=()):
        return self.loc + self.scale * EPS.reshape(-1, *[1] * self.loc.dim())

    def sample(self, shape=()):
        return self.rsample().detach()


class NodeByNode(TorchNormal):
    """Copies of one normal, (60, 1), each of which draws a node of its own."""

    def rsample(self, shape=()):
        return (self.loc + self.scale * EPS[:, None])[None]


class OneHot(OneHotCategorical):
    """A categorical distribution of batch shape (1,) whose draws are given: `draws`, (k,)."""

    def sample(self, shape=()):
        return F.one_hot(self.draws, self.event_shape[0]).to(DTYPE)[:, None]


def weighted(values, weights=WEIGHTS):
    """The mean of R over nodes or outcomes, (k, B) -> (B,): a reduction like `mean`."""
    return torch.tensordot(weights, values, 1)


def library_gradient(estimator, f, at):
    """The gradient in mean and log sd of an estimator's mean, by its own `backward`."""
    at = at.detach().clone().requires_grad_()
    q = AtNodes(at[:1], at[1:].exp())
    return grad(estimator(f, q, len(EPS), reduce=weighted).sum(), at)[0]


# A linear Gaussian model: z ~ N(0, 1), x | z ~ N(w z, 1), q = N(mu, exp(2 log_sigma)).
X, W = 1.2, 1.5


def log_joint(z):
    return Normal(0.0, 1.0).log_prob(z) + Normal(W * z, 1.0).log_prob(tensor(X))


def elbo_gradient(mu, log_sigma):
    """By hand, from the closed form of the ELBO."""
    variance = math.exp(2 * log_sigma)
    return tensor(W * (X - W * mu) - mu, 1 - (1 + W**2) * variance)


def linear_model(q):
    """The library's view of it, with a posterior q of batch shape (B, 1)."""
    return SimpleNamespace(
        shape=(1,),
        support=constraints.real,
        prior=lambda: Independent(Normal([0.0], [1.0]), 1),
        posterior=lambda x: Independent(q, 1),
        likelihood=lambda z: Independent(Normal(W * z, 1.0), 1),
        sample=lambda n: None,  # not asked for, but a latent-variable model has it
    )


# ---------------------------------------------------------------- Monte Carlo


@pytest.mark.equation("eq-log-bias")
def test_the_log_of_an_average_is_biased_down():
    """p(x|z) takes two values: the exact mean over all counts, below log p, against -v / 2K."""
    low, high, share = 0.2, 1.0, 0.3
    p = share * high + (1 - share) * low
    v = share * (1 - share) * (high - low) ** 2 / p**2

    def gap(K):
        hits = torch.arange(K + 1, dtype=DTYPE)
        pmf = Binomial(K, tensor(share)).log_prob(hits).exp()
        return (pmf * ((hits * high + (K - hits) * low) / K).log()).sum().item() - math.log(p)

    assert all(gap(K) < 0 for K in (1, 2, 5, 50))
    for K in (1, 2, 5):  # the library's log of an average, for every number of hits
        hits = torch.arange(K + 1)
        values = torch.where(torch.arange(K)[:, None] < hits, tensor(high), tensor(low))
        pmf = Binomial(K, tensor(share)).log_prob(hits.to(DTYPE)).exp()
        mean = pmf @ estimators.logmeanexp(values.log())
        torch.testing.assert_close(mean, tensor(gap(K) + math.log(p)))
    rest = {K: gap(K) + v / (2 * K) for K in (100, 200, 400)}
    assert abs(rest[400]) < 0.01 * v / 800  # the first term says nearly all
    for K in (100, 200):  # and what it leaves falls like 1 / K^2
        assert 3.5 < rest[K] / rest[2 * K] < 4.5


@pytest.mark.equation("eq-prior-variance")
def test_relative_variance_grows_like_a_power():
    """E[p(x|z)^2] / p(x)^2 - 1 by sums over a grid, in one and in two dimensions."""
    t = torch.linspace(-8, 8, 401, dtype=DTYPE)
    for m, z in ((1, t[:, None]), (2, torch.cartesian_prod(t, t))):
        cell = (t[1] - t[0]).item() ** m
        prior = Normal(0.0, 1.0).log_prob(z).sum(1).exp()
        for s in (0.3, 0.5, 1.0):
            likelihood = Normal(z, s).log_prob(torch.zeros(m, dtype=DTYPE)).sum(1).exp()
            first, second = ((prior * likelihood**n).sum() * cell for n in (1, 2))
            r = (1 + s**2) / (s * math.sqrt(2 + s**2))
            torch.testing.assert_close(second / first**2 - 1, tensor(r**m - 1))


@pytest.mark.equation("eq-importance")
def test_importance_weights_have_mean_p():
    """Quadrature under several q against the closed form; under the posterior, equal weights.

    The library's estimate from draws is within 4 standard errors, and exact at the posterior.
    """
    truth = Normal(0.0, math.sqrt(1 + W**2)).log_prob(tensor(X)).exp()
    posterior = (W * X / (1 + W**2), (1 + W**2) ** -0.5)
    for mean, scale in ((0.4, 0.8), (0.0, 1.2), posterior):
        z = mean + scale * EPS
        weight = (log_joint(z) - Normal(mean, scale).log_prob(z)).exp()
        torch.testing.assert_close((WEIGHTS * weight).sum(), truth)
        torch.manual_seed(0)
        k, model = 100_000, linear_model(Normal([[mean]], [[scale]]))
        drawn = importance_weighted(model, tensor([[X]]), k=k)[0].exp()
        error = ((WEIGHTS * (weight - truth) ** 2).sum() / k).sqrt()
        assert abs(drawn - truth) < 4 * error + 1e-12
    torch.testing.assert_close(weight, truth.expand(len(EPS)))  # those of the posterior


@pytest.mark.equation("eq-doubly-stochastic")
def test_one_example_and_one_draw_are_enough_on_average():
    """Central differences of the whole objective against the mean over examples and codes."""
    N, S, D = 4, 3, 5  # examples, codes, pixels
    x = (random(N, D) > 0).to(DTYPE)
    q = random(N, S, seed=1).softmax(1)
    theta = random(S, D, seed=2)

    def log_p(theta):  # (N, S)
        return Bernoulli(logits=theta).log_prob(x[:, None]).sum(2)

    def objective(theta):
        kl = (q * (q * S).log()).sum()
        return (q * log_p(theta)).sum() - kl

    h, left = 1e-5, torch.zeros_like(theta)
    for j in itertools.product(range(S), range(D)):
        up, down = theta.clone(), theta.clone()
        up[j] += h
        down[j] -= h
        left[j] = (objective(up) - objective(down)) / (2 * h)
    each = torch.autograd.functional.jacobian(log_p, theta)  # (N, S, S, D), one per (i, z)
    right = (q[..., None, None] * N * each).sum(1).mean(0)
    torch.testing.assert_close(left, right, atol=1e-8, rtol=1e-7)


# ---------------------------------------------------------------- labels


@pytest.mark.equation("eq-cross-entropy")
def test_log_likelihood_is_minus_the_cross_entropy():
    """The log-probability of the class, the sum over one-hot entries, and torch's cross-entropy."""
    a = random(6, 4)
    y = torch.tensor([0, 3, 1, 1, 2, 0])
    direct = torch.distributions.Categorical(logits=a).log_prob(y)
    summed = (F.one_hot(y, 4) * a.softmax(1).log()).sum(1)
    torch.testing.assert_close(direct, summed)
    torch.testing.assert_close(direct, -F.cross_entropy(a, y, reduction="none"))


# ---------------------------------------------------------------- score function


def family(parameter):
    return Normal(parameter[..., 0], parameter[..., 1].exp())


@pytest.mark.equation("eq-gaussian-score")
def test_the_score_of_a_gaussian_mean_is_the_noise():
    """Differences of torch's log-density in the mean, autograd's, and eps / sigma."""
    mu, sigma = 0.4, 0.7
    z = mu + sigma * EPS
    right = EPS / sigma
    left = slope(lambda m: Normal(m, sigma).log_prob(z), mu)
    torch.testing.assert_close(left, right, atol=1e-6, rtol=0)
    by_autograd = scores(lambda m: TorchNormal(m, sigma), z, tensor(mu))
    torch.testing.assert_close(by_autograd, right)


@pytest.mark.equation("eq-score")
def test_score_function():
    """Differences of E[cos z] in mean and log sd, against the mean of f times the score."""
    at = tensor(0.4, -0.3)
    score = scores(family, GRID, at)  # (grid, 2)
    right = (family(at).log_prob(GRID).exp() * GRID.cos()) @ score * STEP
    for j in (0, 1):
        unit = torch.eye(2, dtype=DTYPE)[j]
        left = slope(lambda t, unit=unit: on_grid(family(at + t * unit), torch.cos), 0.0)
        torch.testing.assert_close(left, right[j], atol=1e-8, rtol=1e-7)
    by_library = library_gradient(estimators.score_function, torch.cos, at)
    torch.testing.assert_close(by_library, right, atol=1e-8, rtol=1e-7)


@pytest.mark.equation("eq-score-mean")
def test_the_score_has_mean_zero():
    """Under its own distribution: a normal, a gamma and a categorical. Under another it has not."""
    at = tensor(0.4, -0.3)
    score = scores(family, GRID, at)
    zero = torch.zeros(2, dtype=DTYPE)
    own = family(at).log_prob(GRID).exp() @ score * STEP
    torch.testing.assert_close(own, zero, atol=1e-10, rtol=0)
    other = family(at + 0.5).log_prob(GRID).exp() @ score * STEP
    assert other.abs().min() > 0.1
    z = torch.linspace(1e-4, 60, 200_000, dtype=DTYPE)
    alpha = tensor(3.0)
    score = scores(lambda a: Gamma(a, 1.0), z, alpha)
    total = (Gamma(alpha, 1.0).log_prob(z).exp() * score).sum() * (z[1] - z[0])
    assert total.abs() < 1e-6
    logits = random(5)
    score = torch.autograd.functional.jacobian(lambda a: a.log_softmax(0), logits)  # (5, 5)
    torch.testing.assert_close(logits.softmax(0) @ score, torch.zeros(5, dtype=DTYPE))


@pytest.mark.equation("eq-score-product")
def test_parameters_inside_f():
    """Differences of E[sin(phi z) + phi^2], against both terms; one term is not enough."""
    phi = 0.7

    def f(phi, z):
        return (phi * z).sin() + phi**2

    left = slope(lambda p: on_grid(Normal(p, 1.0), lambda z: f(p, z)), phi)
    q = Normal(phi, 1.0)
    first = on_grid(q, lambda z: f(phi, z) * (z - phi))
    second = on_grid(q, lambda z: z * (phi * z).cos() + 2 * phi)
    torch.testing.assert_close(left, first + second, atol=1e-8, rtol=1e-7)
    assert (left - first).abs() > 0.1
    at = tensor([phi], requires_grad=True)
    value = estimators.score_function(
        lambda z: f(at, z), AtNodes(at, torch.ones(1, dtype=DTYPE)), len(EPS), reduce=weighted
    )
    torch.testing.assert_close(grad(value.sum(), at)[0], left.expand(1), atol=1e-8, rtol=1e-7)


@pytest.mark.equation("eq-score-elbo")
def test_score_function_of_the_elbo():
    """Mean of (log p - log q) times the score on a grid, against the closed form's gradient."""
    at = tensor(0.4, math.log(0.8))
    log_q = family(at).log_prob(GRID)
    g = log_joint(GRID) - log_q
    right = (log_q.exp() * g) @ scores(family, GRID, at) * STEP
    torch.testing.assert_close(elbo_gradient(*at.tolist()), right, atol=1e-9, rtol=0)
    at.requires_grad_()
    model = linear_model(AtNodes(at[None, :1], at[None, 1:].exp()))
    on_nodes = partial(estimators.score_function, reduce=weighted)
    value = elbo(model, tensor([[X]]), k=len(EPS), estimator=on_nodes, analytic_kl=False)
    torch.testing.assert_close(grad(value.sum(), at)[0], right, atol=1e-9, rtol=0)


@pytest.mark.equation("eq-score-kl")
def test_score_function_of_the_reconstruction_alone():
    """Mean of log p(x|z) times the score, less autograd's gradient of the divergence."""
    at = tensor(0.4, math.log(0.8))
    log_p_x = Normal(W * GRID, 1.0).log_prob(tensor(X))
    drawn = (family(at).log_prob(GRID).exp() * log_p_x) @ scores(family, GRID, at) * STEP
    at.requires_grad_()
    divergence = torch.distributions.kl_divergence(family(at), Normal(0.0, 1.0))
    right = drawn - grad(divergence, at)[0]
    torch.testing.assert_close(elbo_gradient(*at.tolist()), right, atol=1e-9, rtol=0)
    model = linear_model(AtNodes(at[None, :1], at[None, 1:].exp()))
    on_nodes = partial(estimators.score_function, reduce=weighted)
    value = elbo(model, tensor([[X]]), k=len(EPS), estimator=on_nodes)
    torch.testing.assert_close(grad(value.sum(), at)[0], right, atol=1e-9, rtol=0)


@pytest.mark.equation("eq-moving-support")
def test_moving_support():
    """d/dphi of (e^phi - 1) / phi, against the score term by quadrature and the boundary term."""
    for phi in (0.5, 3.0):
        left = slope(lambda p: math.expm1(p) / p, phi)
        score_term = integrate.quad(lambda z, p=phi: math.exp(z) * (-1 / p) / p, 0, phi)[0]
        assert left == pytest.approx(score_term + math.exp(phi) / phi, rel=1e-8)


def categorical_problem(S=4):
    """Logits, values, the scores of every outcome (S, S) and the gradient of E[f] by autograd."""
    logits, f = random(S, seed=3).requires_grad_(), random(S, seed=4)
    truth = grad((logits.softmax(0) * f).sum(), logits)[0]
    score = torch.autograd.functional.jacobian(lambda a: a.log_softmax(0), logits.detach())
    return logits.detach().softmax(0), f, score, truth


def score_function_of(draws, weights, baseline):
    """The library's gradient from given draws of that problem: (S,)."""
    logits, f = random(4, seed=3).requires_grad_(), random(4, seed=4)
    q = OneHot(logits=logits[None])
    q.draws = torch.as_tensor(draws)
    reduce = estimators.mean if weights is None else partial(weighted, weights=weights)
    value = estimators.score_function(lambda z: z @ f, q, len(q.draws), reduce, baseline)
    return grad(value.sum(), logits)[0]


@pytest.mark.equation("eq-baseline")
def test_a_baseline_leaves_the_mean():
    """All outcomes of a categorical, several b, against autograd's gradient of E[f]."""
    p, f, score, truth = categorical_problem()
    for b in (0.0, 1.0, -7.0):
        torch.testing.assert_close((p * (f - b)) @ score, truth)
        torch.testing.assert_close(score_function_of(range(4), p, baseline=b), truth)


@pytest.mark.equation("eq-leave-one-out")
def test_leave_one_out_is_unbiased():
    """All tuples of K draws; with the mean of all K instead, (K - 1) / K of the gradient."""
    p, f, score, truth = categorical_problem()
    for K in (2, 3):
        loo, own, by_library = (torch.zeros_like(truth) for _ in range(3))
        for draws in itertools.product(range(4), repeat=K):
            draws = list(draws)
            probability, values = p[draws].prod(), f[draws]
            by_library += probability * score_function_of(draws, None, baseline="leave-one-out")
            for k in range(K):
                rest = values[[i for i in range(K) if i != k]].mean()
                loo += probability * (values[k] - rest) * score[draws[k]] / K
                own += probability * (values[k] - values.mean()) * score[draws[k]] / K
        torch.testing.assert_close(loo, truth)
        torch.testing.assert_close(by_library, truth)
        torch.testing.assert_close(own, truth * (K - 1) / K)


# ---------------------------------------------------------------- pathwise


@pytest.mark.equation("eq-pathwise")
def test_pathwise():
    """Differences of E_q[f] on a grid; autograd through the noise; the chain rule by hand."""
    at = tensor(0.4, -0.3, requires_grad=True)  # mean and log sd
    z = at[0] + at[1].exp() * EPS
    middle = grad((WEIGHTS * z.sin()).sum(), at)[0]
    drawn = z.detach()
    sigma = at[1].exp().item()
    jacobian = torch.stack([torch.ones_like(EPS), sigma * EPS], 1)  # dz / d(mean, log sd)
    right = (WEIGHTS * drawn.cos()) @ jacobian
    torch.testing.assert_close(middle, right)
    by_library = library_gradient(estimators.pathwise, torch.sin, at)
    torch.testing.assert_close(by_library, right)
    for j in (0, 1):
        unit = torch.eye(2, dtype=DTYPE)[j]
        left = slope(lambda t, unit=unit: on_grid(family(at.detach() + t * unit), torch.sin), 0.0)
        torch.testing.assert_close(left, right[j], atol=1e-8, rtol=1e-7)


def closed_form(mu, log_sigma):
    """The reconstruction term and the divergence of the linear model."""
    variance = math.exp(2 * log_sigma)
    reconstruction = -((X - W * mu) ** 2 + W**2 * variance + math.log(2 * math.pi)) / 2
    return reconstruction, (mu**2 + variance - 1) / 2 - log_sigma


@pytest.mark.equation("eq-reconstruction-draws")
def test_the_reconstruction_over_noise():
    """A sum over codes on a grid and one over noise, at nodes; an average of draws, within 4 SE."""
    mu, log_sigma = 0.4, math.log(0.8)
    q = Normal(mu, math.exp(log_sigma))
    over_codes = on_grid(q, lambda z: Normal(W * z, 1.0).log_prob(tensor(X)))
    over_noise = lambda eps: Normal(W * (mu + q.scale * eps), 1.0).log_prob(tensor(X))  # noqa: E731
    torch.testing.assert_close(over_codes, WEIGHTS @ over_noise(EPS))
    torch.testing.assert_close(over_codes, tensor(closed_form(mu, log_sigma)[0]))
    drawn = over_noise(random(100_000))
    assert abs(drawn.mean() - over_codes) < 4 * drawn.std() / len(drawn) ** 0.5


def by_draws(kl_in_closed_form):
    """Value and gradient of the estimator at the nodes, by hand and by the library."""
    at = tensor(0.4, math.log(0.8), requires_grad=True)
    q, eps = family(at), EPS
    z = at[0] + at[1].exp() * eps  # z_k = mu + sigma eps_k
    if kl_in_closed_form:
        kl = torch.distributions.kl_divergence(q, Normal(0.0, 1.0))
        value = WEIGHTS @ Normal(W * z, 1.0).log_prob(tensor(X)) - kl
    else:
        value = WEIGHTS @ (log_joint(z) - q.log_prob(z))
    model = linear_model(AtNodes(at[None, :1], at[None, 1:].exp()))
    on_nodes = partial(estimators.pathwise, reduce=weighted)
    library = elbo(
        model, tensor([[X]]), k=60, estimator=on_nodes, analytic_kl=kl_in_closed_form
    ).sum()
    return [(v.detach(), grad(v, at, retain_graph=True)[0]) for v in (value, library)]


def check_unbiased(kl_in_closed_form):
    reconstruction, divergence = closed_form(0.4, math.log(0.8))
    for value, gradient in by_draws(kl_in_closed_form):
        torch.testing.assert_close(value, tensor(reconstruction - divergence))
        torch.testing.assert_close(gradient, elbo_gradient(0.4, math.log(0.8)))


@pytest.mark.equation("eq-elbo-draws")
def test_the_estimator_that_trains_everything():
    """Its mean over the noise, and that of its gradient, against the closed form of the ELBO."""
    check_unbiased(kl_in_closed_form=False)


@pytest.mark.equation("eq-elbo-draws-kl")
def test_the_estimator_with_the_divergence_in_closed_form():
    """The same, with only the reconstruction drawn."""
    check_unbiased(kl_in_closed_form=True)


@pytest.mark.equation("eq-log-q-noise")
def test_density_of_a_draw_from_its_noise():
    """scipy's densities at g(eps), against log p(eps) minus the log-determinant by autograd."""
    noise = Normal(0.0, 1.0)
    mu, A = random(3), random(3, 3, seed=1)
    for eps in random(4, 3, seed=2):
        J = torch.autograd.functional.jacobian(lambda e: mu + A @ e, eps)
        right = noise.log_prob(eps).sum() - torch.linalg.slogdet(J).logabsdet
        left = stats.multivariate_normal(mu, A @ A.T).logpdf(mu + A @ eps)
        assert left == pytest.approx(right.item(), rel=1e-9)
        for e in eps:  # a curved g: sinh((e - 0.5) / 2), Johnson's distribution
            J = torch.autograd.functional.jacobian(lambda e: ((e - 0.5) / 2).sinh(), e)
            right = noise.log_prob(e) - J.abs().log()
            left = stats.johnsonsu(0.5, 2.0).logpdf(math.sinh((e.item() - 0.5) / 2))
            assert left == pytest.approx(right.item(), rel=1e-9)


@pytest.mark.equation("eq-log-det")
def test_log_determinants():
    """Sums over the diagonal, against torch's determinant of autograd's Jacobian."""
    mu, eps = random(4), random(4, seed=1)
    sigma = random(4, seed=2).exp()
    L = random(4, 4, seed=3).tril(-1) + torch.diag(random(4, seed=4).exp())
    for g, formula in (
        (lambda e: mu + sigma * e, sigma.log().sum()),
        (lambda e: mu + L @ e, L.diagonal().log().sum()),
    ):
        J = torch.autograd.functional.jacobian(g, eps)
        torch.testing.assert_close(torch.linalg.slogdet(J).logabsdet, formula)


@pytest.mark.equation("eq-pathwise-elbo")
def test_pathwise_elbo():
    """Both forms by quadrature, against the closed form; at the posterior the path form is 0.

    The library's `elbo` differentiates the first, its `dreg` with one draw the second.
    """

    def both_forms(mu, log_sigma):
        at = tensor(mu, log_sigma, requires_grad=True)
        z = at[0] + at[1].exp() * EPS
        total = log_joint(z) - family(at).log_prob(z)
        path = log_joint(z) - family(at.detach()).log_prob(z)
        return at, total, path

    at, total, path = both_forms(0.4, math.log(0.8))
    truth = elbo_gradient(0.4, math.log(0.8))
    for values in (total, path):
        torch.testing.assert_close(grad((WEIGHTS * values).sum(), at, retain_graph=True)[0], truth)
    at, total, path = both_forms(W * X / (1 + W**2), -0.5 * math.log(1 + W**2))
    for k in (5, 30, 50):  # single draws
        drawn = grad(path[k], at, retain_graph=True)[0]
        torch.testing.assert_close(drawn, torch.zeros(2, dtype=DTYPE), atol=1e-10, rtol=0)
    assert grad(total[5], at)[0].abs().max() > 1

    def by_library(mu, log_sigma):
        at = tensor(mu, log_sigma, requires_grad=True)
        model = linear_model(AtNodes(at[None, :1], at[None, 1:].exp()))
        on_nodes = partial(estimators.pathwise, reduce=weighted)
        first = elbo(model, tensor([[X]]), k=60, estimator=on_nodes, analytic_kl=False)
        model = linear_model(NodeByNode(at[0].expand(60, 1), at[1].exp().expand(60, 1)))
        return at, first, dreg(model, tensor(X).expand(60, 1), k=1)

    at, first, second = by_library(0.4, math.log(0.8))
    torch.testing.assert_close(grad(first.sum(), at)[0], truth)
    torch.testing.assert_close(grad(WEIGHTS @ second, at)[0], truth)
    at, _, second = by_library(W * X / (1 + W**2), -0.5 * math.log(1 + W**2))
    zero = torch.zeros(2, dtype=DTYPE)
    torch.testing.assert_close(grad(second[5], at)[0], zero, atol=1e-10, rtol=0)


@pytest.mark.equation("eq-implicit")
def test_implicit_reparameterisation():
    """The quantile at fixed u, by bisection and differenced, against -dF / q; and `pathwise`."""

    def cdf(z, phi):  # a mixture of N(-1, 1) and N(phi, 0.5^2)
        return 0.3 * stats.norm.cdf(z + 1) + 0.7 * stats.norm.cdf((z - phi) / 0.5)

    def density(z, phi):
        return 0.3 * stats.norm.pdf(z + 1) + 0.7 * stats.norm.pdf((z - phi) / 0.5) / 0.5

    for u in (0.1, 0.4, 0.9):
        quantile = lambda phi, u=u: optimize.brentq(  # noqa: E731
            lambda t, phi=phi, u=u: cdf(t, phi) - u, -10, 10, xtol=1e-14
        )
        z = quantile(1.2)
        right = -slope(lambda phi, z=z: cdf(z, phi), 1.2) / density(z, 1.2)
        assert slope(quantile, 1.2) == pytest.approx(right, rel=1e-6)
    alpha = torch.full((5,), 2.5, dtype=DTYPE, requires_grad=True)
    torch.manual_seed(0)
    z = estimators.pathwise(lambda z: z, Gamma(alpha, 1.0), k=1)  # the draws themselves
    drawn = grad(z.sum(), alpha)[0]
    u = special.gammainc(2.5, z.detach().numpy())
    by_quantile = slope(lambda a: special.gammaincinv(a, u), 2.5)
    torch.testing.assert_close(drawn, torch.as_tensor(by_quantile), atol=1e-3, rtol=1e-3)


@pytest.mark.equation("eq-measure-valued")
def test_measure_valued():
    """Differences of E[f] (closed forms), against quadrature of two Rayleigh means.

    The mean of the library's gradients, drawn, is within 4 standard errors.
    """
    mu, sigma = 0.3, 0.7
    means = {  # f: E[f] as a function of the mean
        np.cos: lambda m: math.cos(m) * math.exp(-(sigma**2) / 2),
        lambda z: float(z > 0.9): lambda m: stats.norm.sf((0.9 - m) / sigma),
    }
    for f, mean in means.items():
        kink = [abs(0.9 - mu) / sigma]
        up, down = (
            integrate.quad(
                lambda v, f=f, s=s: f(mu + s * sigma * v) * v * math.exp(-(v**2) / 2),
                0, 12, points=kink,
            )[0]
            for s in (1, -1)
        )  # fmt: skip
        right = (up - down) / (sigma * math.sqrt(2 * math.pi))
        assert slope(mean, mu) == pytest.approx(right, abs=1e-8)
        torch.manual_seed(0)
        on_tensors = torch.cos if f is np.cos else lambda z: (z > 0.9).to(DTYPE)
        problem = lambda m, f=on_tensors: (f, Normal(m, sigma))  # noqa: E731
        (g,) = estimators.gradient_samples(
            estimators.measure_valued, problem, [tensor(mu)], draws=100_000
        )
        assert abs(g.mean() - right) < 4 * g.std() / len(g) ** 0.5 < 0.02


# ---------------------------------------------------------------- bits


@pytest.mark.equation("eq-gumbel-max")
def test_gumbel_max():
    """P(a_c + G_c is the largest) by quadrature with scipy's Gumbel, against the softmax.

    So often, within 4 standard errors, is c the largest entry of the library's relaxed draws.
    """
    a = random(4).tolist()
    torch.manual_seed(0)
    z = []
    q = OneHotCategorical(logits=tensor(a))
    estimators.gumbel_softmax(lambda draws: z.append(draws) or draws[..., 0], q, k=100_000)
    shares = torch.bincount(z[0].argmax(-1), minlength=4) / 100_000
    for c in range(4):
        rest = [b for i, b in enumerate(a) if i != c]

        def integrand(t, c=c, rest=rest):
            others = math.prod(stats.gumbel_r.cdf(t - b) for b in rest)
            return stats.gumbel_r.pdf(t - a[c]) * others

        left = integrate.quad(integrand, -10, 40)[0]
        assert left == pytest.approx(tensor(a).softmax(0)[c].item(), abs=1e-8)
        assert abs(shares[c] - left) < 4 * (left * (1 - left) / 100_000) ** 0.5


@pytest.mark.equation("eq-straight-through")
def test_straight_through():
    """Differences of E[f] against f(1) - f(0); the library's mean gradient, within 4 SE."""
    f = lambda z: (1.5 * z).exp()  # noqa: E731
    one, zero = tensor(1.0, 0.0)
    for p in (0.2, 0.7):
        mean = lambda p: p * f(one) + (1 - p) * f(zero)  # noqa: E731
        torch.testing.assert_close(slope(mean, p), f(one) - f(zero), atol=1e-8, rtol=0)
        claimed = p * 1.5 * math.exp(1.5) + (1 - p) * 1.5  # p f'(1) + (1 - p) f'(0)
        torch.manual_seed(0)
        bit = lambda p: (f, Bernoulli(p))  # noqa: E731
        (g,) = estimators.gradient_samples(estimators.straight_through, bit, [tensor(p)], 200_000)
        assert (g.mean() - claimed).abs() < 4 * g.std() / len(g) ** 0.5


# ---------------------------------------------------------------- variances


@pytest.mark.equation("eq-x2-variances")
def test_variances_of_the_square():
    """Gauss-Hermite, exact for polynomials, with scores and slopes from autograd."""
    for phi in (0.0, 1.0, 2.0, -3.0):
        z = phi + EPS
        score = scores(lambda p: Normal(p, 1.0), z, tensor(phi))
        by_path = torch.autograd.functional.jacobian(lambda z: (z**2).sum(), z)
        for draws, formula in ((z**2 * score, phi**4 + 14 * phi**2 + 15), (by_path, 4.0)):
            mean = (WEIGHTS * draws).sum()
            torch.testing.assert_close(mean, tensor(2 * phi), atol=1e-9, rtol=0)
            variance = (WEIGHTS * (draws - mean) ** 2).sum()
            torch.testing.assert_close(variance, tensor(formula))


@pytest.mark.equation("eq-cos-variances")
def test_variances_of_the_cosine():
    """Sums over a fine grid against the formulas, from slow to fast cosines."""
    for omega, mu in itertools.product((0.3, 1.0, 4.0), (0.0, 0.3, 2.0)):
        q = Normal(mu, 1.0)
        c = math.cos(2 * omega * mu) * math.exp(-2 * omega**2)
        g = -omega * math.sin(omega * mu) * math.exp(-(omega**2) / 2)
        cases = (
            (lambda z, w=omega: -w * (w * z).sin(), omega**2 / 2 * (1 - c)),
            (lambda z, w=omega, m=mu: (w * z).cos() * (z - m), (1 + (1 - 4 * omega**2) * c) / 2),
        )
        for draw, second_moment in cases:
            mean = on_grid(q, draw)
            torch.testing.assert_close(mean, tensor(g), atol=1e-10, rtol=0)
            variance = on_grid(q, lambda z, draw=draw, mean=mean: (draw(z) - mean) ** 2)
            torch.testing.assert_close(variance, tensor(second_moment - g**2), atol=1e-10, rtol=0)
