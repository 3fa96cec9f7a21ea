"""The labelled equations of chapter 01, each computed in two independent ways, in float64."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, optimize
from torch.distributions import MixtureSameFamily, MultivariateNormal, Normal

from dgm.evaluate import mean_log_prob
from dgm.models import PPCA, GaussianMixture


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def kl(p, q):
    """KL of two tables of probabilities."""
    return (p * (p / q).log()).sum()


@pytest.mark.equation("eq-kl-positive")
def test_the_divergence_is_not_negative():
    """Random tables: positive, zero for equal ones; a minimiser of it in q, by descent, finds p."""
    for seed in range(50):
        p, q = random(6, seed=seed).softmax(0), random(6, seed=100 + seed).softmax(0)
        assert kl(p, q) > 1e-6
        assert kl(p, p).abs() < 1e-14
    start = torch.zeros(6, dtype=torch.float64)
    found = optimize.minimize(
        lambda a: kl(p, torch.as_tensor(a).softmax(0)).item(), start, method="BFGS"
    )
    assert found.fun == pytest.approx(0, abs=1e-8)
    torch.testing.assert_close(torch.as_tensor(found.x).softmax(0), p, atol=1e-4, rtol=0)


@pytest.mark.equation("eq-likelihood-kl")
def test_the_expected_log_likelihood_is_minus_entropy_minus_divergence():
    """Quadrature of E[log q] under a mixture, against closed-form pieces for a Gaussian q.

    E_p[log q] needs only two moments of p; H(p) and the divergence are separate integrals. The
    library's mean over draws is within 4 standard errors.
    """
    data = MixtureSameFamily(
        torch.distributions.Categorical(torch.tensor([0.3, 0.7], dtype=torch.float64)),
        Normal(torch.tensor([-2.0, 1.5]).double(), torch.tensor([0.5, 1.0]).double()),
    )
    m, s = 0.4, 1.7
    model = Normal(torch.tensor(m, dtype=torch.float64), s)
    mean, second = 0.3 * -2 + 0.7 * 1.5, 0.3 * (4 + 0.25) + 0.7 * (2.25 + 1)
    expected = -0.5 * math.log(2 * math.pi * s**2) - (second - 2 * m * mean + m**2) / (2 * s**2)

    def integral(f):
        def integrand(x):
            x = torch.tensor(x, dtype=torch.float64)
            return (data.log_prob(x).exp() * f(x)).item()

        return integrate.quad(integrand, -15, 15, points=[-2, 1.5], limit=200)[0]

    entropy = -integral(data.log_prob)
    divergence = integral(lambda x: data.log_prob(x) - model.log_prob(x))
    assert divergence > 0.01
    assert -entropy - divergence == pytest.approx(expected, abs=1e-8)
    torch.manual_seed(0)
    mean, error = mean_log_prob(model, data.sample((100_000,)))
    assert abs(mean - expected) < 4 * error < 0.01


@pytest.mark.equation("eq-gaussian-mle")
def test_the_most_likely_gaussian():
    """A numerical maximiser over mean and Cholesky factor, against mean and covariance."""
    x = random(40, 2) @ torch.tensor([[1.0, 0.4], [0.0, 0.6]]).double() + 3.0
    mean = x.sum(0) / 40
    covariance = (x - mean).T @ (x - mean) / 40

    def loss(parameters):
        a = torch.tensor(parameters, requires_grad=True)
        L = torch.stack([torch.stack([a[2].exp(), 0 * a[2]]), torch.stack([a[3], a[4].exp()])])
        value = -MultivariateNormal(a[:2], scale_tril=L).log_prob(x).mean()
        return value.item(), torch.autograd.grad(value, a)[0].numpy()

    found = optimize.minimize(loss, np.zeros(5), jac=True, method="BFGS", tol=1e-10).x
    L = np.array([[math.exp(found[2]), 0.0], [found[3], math.exp(found[4])]])
    torch.testing.assert_close(torch.as_tensor(found[:2]), mean, atol=1e-5, rtol=0)
    torch.testing.assert_close(torch.as_tensor(L @ L.T), covariance, atol=1e-5, rtol=0)
    model = GaussianMixture((2,), components=1).double().fit(x, torch.zeros(40, dtype=torch.long))
    torch.testing.assert_close(model.mean[0].detach(), mean)
    torch.testing.assert_close(model.covariances()[0].detach(), covariance)


@pytest.mark.equation("eq-empirical-mle")
def test_the_most_likely_table_is_the_empirical_one():
    """A numerical maximiser over all tables on 5 cells, and random tables, against counts / N."""
    counts = torch.tensor([3.0, 7.0, 1.0, 5.0, 4.0], dtype=torch.float64)
    cells = torch.repeat_interleave(torch.arange(5), counts.long())  # the sample, N = 20
    empirical = torch.bincount(cells, minlength=5).double() / 20

    def score(p):
        return p[cells].log().mean()

    best = score(empirical)
    for seed in range(50):
        p = random(5, seed=seed).softmax(0)
        assert score(p) < best - 1e-6
    found = optimize.minimize(
        lambda a: -score(torch.as_tensor(a).softmax(0)).item(), np.zeros(5), method="BFGS"
    )
    assert -found.fun == pytest.approx(best.item(), abs=1e-8)
    torch.testing.assert_close(torch.as_tensor(found.x).softmax(0), empirical, atol=1e-4, rtol=0)


def kernel_density(points, h):
    """torch's own mixture: one Gaussian of covariance h^2 I per point."""
    n, d = points.shape
    weights = torch.distributions.Categorical(torch.ones(n, dtype=torch.float64))
    return MixtureSameFamily(
        weights, MultivariateNormal(points, h**2 * torch.eye(d, dtype=torch.float64))
    )


@pytest.mark.equation("eq-memoriser-train")
def test_what_a_memoriser_gives_training_points():
    """Torch's mixture at its own centres against the bound: never below, tight as h shrinks."""
    for d in (1, 2, 5):
        points = random(30, d, seed=d)
        gaps = []
        for h in (1.0, 0.1, 0.01, 1e-3, 1e-5):
            score = kernel_density(points, h).log_prob(points).mean().item()
            bound = -math.log(30) - d / 2 * math.log(2 * math.pi * h**2)
            gaps.append(score - bound)
            assert gaps[-1] > -1e-9
        assert gaps[-1] < 1e-9
        assert score > 5  # and the bound grows


@pytest.mark.equation("eq-memoriser-test")
def test_what_a_memoriser_gives_new_points():
    """Torch's mixture at new points against the bound by the nearest centre, and its limit."""
    for d in (1, 2, 5):
        points, new = random(30, d, seed=d), random(20, d, seed=10 + d)
        nearest = (new[:, None] - points).norm(dim=2).amin(1)
        for h in (1.0, 0.1, 0.01, 1e-3):
            score = kernel_density(points, h).log_prob(new)
            bound = -nearest.square() / (2 * h**2) - d / 2 * math.log(2 * math.pi * h**2)
            assert (score <= bound + 1e-9).all()
            # not looser than the N - 1 other terms can make it
            assert (score >= bound - math.log(30) - 1e-9).all()
        assert score.mean() < -100


@pytest.mark.equation("eq-dequantisation")
def test_the_density_of_noisy_levels_bounds_their_probability():
    """Masses of cells by the distribution function, against quadrature of the density.

    The divergence is that between the shares of many slices of the cell, also by the distribution
    function. Two pixels that depend on each other: the shape within a cell integrates to 1.
    """
    weights = torch.distributions.Categorical(torch.tensor([0.3, 0.7], dtype=torch.float64))
    places = Normal(torch.tensor([0.8, 3.1]).double(), torch.tensor([0.4, 0.9]).double())
    density = MixtureSameFamily(weights, places)
    n = 4000
    for v in range(5):
        edges = density.cdf(v + torch.arange(n + 1, dtype=torch.float64) / n)
        mass = edges[-1] - edges[0]
        slices = edges.diff() / mass  # p(u | v), a share per slice
        divergence = -(n * slices).log().mean()
        bound, _ = integrate.quad(
            lambda u, v=v: density.log_prob(torch.tensor(v + u, dtype=torch.float64)).item(), 0, 1
        )
        assert bound + divergence.item() == pytest.approx(mass.log().item(), abs=1e-6)
        assert bound < mass.log() - 1e-3

    u = (torch.arange(200, dtype=torch.float64) + 0.5) / 200
    u = torch.cartesian_prod(u, u)  # (40000, 2), midpoints of the square
    pixels = MultivariateNormal(
        torch.tensor([1.3, 0.6]).double(), torch.tensor([[1.0, 0.7], [0.7, 0.8]]).double()
    )
    for v in ([0.0, 0.0], [1.0, 0.0], [2.0, 1.0]):
        log_p = pixels.log_prob(torch.tensor(v, dtype=torch.float64) + u)
        mass = integrate.dblquad(
            lambda b, a: pixels.log_prob(torch.tensor([a, b], dtype=torch.float64)).exp().item(),
            *(v[0], v[0] + 1, v[1], v[1] + 1),
            epsabs=1e-6,
        )[0]
        shape = log_p - math.log(mass)  # log p(u | v)
        assert shape.exp().mean().item() == pytest.approx(1, abs=1e-4)
        assert log_p.mean() < math.log(mass)


@pytest.mark.equation("eq-noise-mixture")
def test_noise_costs_at_most_the_log_of_its_share():
    """The mixture's log-density by torch against the bound, everywhere; attained where r is 0."""
    p, r = Normal(torch.zeros(()).double(), 1.0), Normal(torch.tensor(20.0).double(), 0.5)
    x = torch.linspace(-5, 25, 301, dtype=torch.float64)
    for eps in (0.01, 0.3, 0.99):
        weights = torch.distributions.Categorical(torch.tensor([eps, 1 - eps], dtype=torch.float64))
        parts = Normal(torch.tensor([0.0, 20.0]).double(), torch.tensor([1.0, 0.5]).double())
        left = MixtureSameFamily(weights, parts).log_prob(x)
        right = p.log_prob(x) + math.log(eps)
        assert (left >= right - 1e-12).all()
        assert left[50].item() == pytest.approx(right[50].item(), abs=1e-12)  # x = 0
        assert r.log_prob(x[50]) < -700


THETAS = [(1.0, 1.5, math.log(4.0)), (-0.3, -2.0, -1.0), (0.0, 0.2, 0.7)]


def as_ppca(theta):
    """The toy as the library has it: PPCA with one coordinate on either side."""
    values = {"weight": [[theta[1]]], "mean": [theta[0]], "log_variance": theta[2]}
    model = PPCA((1,), latent=1).double()
    model.load_state_dict({k: torch.tensor(v, dtype=torch.float64) for k, v in values.items()})
    return model


def column(*values):
    return torch.tensor(values, dtype=torch.float64)[:, None]


def joint(x, theta):
    """z -> p(z) p(x | z), written out."""

    def at(z):
        variance = math.exp(theta[2])
        prior = math.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
        r = x - theta[0] - theta[1] * z
        return prior * math.exp(-0.5 * r**2 / variance) / math.sqrt(2 * math.pi * variance)

    return at


@pytest.mark.equation("eq-toy-marginal")
def test_the_marginal_of_the_toy():
    """Quadrature over z against the Gaussian of variance theta_1^2 + e^theta_2, and PPCA's."""
    for theta in THETAS:
        v = theta[1] ** 2 + math.exp(theta[2])
        for x in (-2.0, 0.0, 0.7, 3.0):
            integral, _ = integrate.quad(joint(x, theta), -12, 12, epsabs=1e-13)
            formula = math.exp(-((x - theta[0]) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v)
            assert integral == pytest.approx(formula, rel=1e-8)
            by_library = as_ppca(theta).log_prob(column(x)).exp().item()
            assert by_library == pytest.approx(formula, rel=1e-8)


@pytest.mark.equation("eq-toy-posterior")
def test_the_posterior_of_the_toy():
    """The joint, renormalised by quadrature, against the Gaussian of the formula, at several z."""
    for theta in THETAS:
        v = theta[1] ** 2 + math.exp(theta[2])
        for x in (-2.0, 0.7, 3.0):
            mean, variance = theta[1] * (x - theta[0]) / v, math.exp(theta[2]) / v
            evidence, _ = integrate.quad(joint(x, theta), -12, 12, epsabs=1e-13)
            for z in (-1.0, 0.0, 0.4, 2.0):
                formula = math.exp(-((z - mean) ** 2) / (2 * variance))
                formula /= math.sqrt(2 * math.pi * variance)
                assert joint(x, theta)(z) / evidence == pytest.approx(formula, rel=1e-7)
                by_library = as_ppca(theta).posterior(column(x)).log_prob(column(z)).exp().item()
                assert by_library == pytest.approx(formula, rel=1e-7)
