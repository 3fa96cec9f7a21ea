"""The labelled equations of chapter 05, each computed in two independent ways, in float64.

Expectations under a Gaussian q are sums over Gauss-Hermite nodes or over a fine grid, expectations
over discrete variables are sums over all their values.
"""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import integrate, optimize
from torch import nn
from torch.distributions import (
    Bernoulli,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
)

from dgm import heads
from dgm.estimators import exact
from dgm.models import VAE, BernoulliMixture
from dgm.objectives import elbo, kl

_nodes, _weights = np.polynomial.hermite_e.hermegauss(40)
EPS = torch.as_tensor(_nodes)  # for expectations under N(0, 1)
WEIGHTS = torch.as_tensor(_weights / math.sqrt(2 * math.pi))
BETAS = (0.5, 1.0, 3.0)


pytestmark = pytest.mark.usefixtures("float64")


def close(a, b, **tolerance):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), **tolerance)


def binary(n):
    """All vectors of n bits, (2^n, n)."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)))


def log_normal(z, mean, variance):
    """The density of N(mean, variance), written out."""
    return -0.5 * (math.log(2 * math.pi) + torch.as_tensor(variance).log()) - (z - mean) ** 2 / (
        2 * torch.as_tensor(variance)
    )


def a_posterior(m=3):
    """Means and variances of some diagonal Gaussian."""
    return torch.randn(m), torch.rand(m) * 2 + 0.1


def expectation(f, mean, variance):
    """sum_j E[f(z_j)] for independent z_j ~ N(mean_j, variance_j); f acts on (nodes, m)."""
    z = mean + variance.sqrt() * EPS[:, None]  # (nodes, m)
    return (WEIGHTS[:, None] * f(z)).sum()


def vectors(mean, deviation):
    """A diagonal normal over vectors, as the library has codes."""
    return Independent(Normal(mean, deviation), 1)


def one_code(mean, deviation, likelihood):
    """A model with a single code, z ~ N(0, 1), whose q(z | x) is the same for every x."""
    return SimpleNamespace(
        prior=lambda: vectors(torch.zeros(1), torch.ones(1)),
        posterior=lambda x: vectors(mean.expand(len(x), 1), deviation),
        likelihood=likelihood,
    )


def on_nodes(f, q, k):
    """An estimator without noise: E_q[f(z)] for a single code, by Gauss-Hermite nodes."""
    return WEIGHTS @ f(q.mean + q.stddev * EPS[:, None, None])


def without_network(head):
    """The head as a function of its own parameters."""
    setattr(head, "logits" if isinstance(head, heads.Bernoulli) else "mean", nn.Identity())
    return head


@pytest.mark.equation("eq-recognition-logistic")
def test_recognition_logistic():
    """Bayes' rule from products of probabilities, for all 2^5 inputs, against the logistic form."""
    a, b = 0.05 + 0.9 * torch.rand(2, 5)
    prior = torch.tensor([0.3, 0.7])
    x = binary(5)
    joint = [p * torch.where(x == 1, r, 1 - r).prod(1) for p, r in zip(prior, (a, b), strict=True)]
    by_bayes = joint[0] / (joint[0] + joint[1])
    w = (a * (1 - b) / (b * (1 - a))).log()
    w0 = (prior[0] / prior[1]).log() + ((1 - a) / (1 - b)).log().sum()
    close((w0 + x @ w).sigmoid(), by_bayes)
    model = BernoulliMixture((5,), components=2)  # whose component 1 is the z = 0 of the formula
    logits = torch.stack([b, a]).logit()
    model.load_state_dict({"weight_logits": prior.log().flip(0), "logits": logits})
    weight, bias = model.logistic()
    close(weight.detach(), w)
    close(bias.detach(), w0)


@pytest.mark.equation("eq-expected-log-prior")
def test_expected_log_prior():
    """Quadrature of log N(z; 0, 1) under q against the closed form."""
    mu, variance = a_posterior()
    formula = -1.5 * math.log(2 * math.pi) - 0.5 * (mu**2 + variance).sum()
    close(expectation(lambda z: log_normal(z, 0.0, 1.0), mu, variance), formula)


@pytest.mark.equation("eq-expected-log-q")
def test_expected_log_q():
    """Quadrature of log q under q against the closed form."""
    mu, variance = a_posterior()
    formula = -1.5 * math.log(2 * math.pi) - 0.5 * (1 + variance.log()).sum()
    close(expectation(lambda z: log_normal(z, mu, variance), mu, variance), formula)


@pytest.mark.equation("eq-vae-kl")
def test_vae_kl():
    """The integral of q log(q / p) on a grid, coordinate by coordinate, against the formula."""
    mu, variance = a_posterior()
    z = torch.linspace(-20, 20, 40_001)[:, None]
    log_q = log_normal(z, mu, variance)
    integral = (log_q.exp() * (log_q - log_normal(z, 0.0, 1.0))).sum() * 0.001
    close(0.5 * (mu**2 + variance - 1 - variance.log()).sum(), integral)
    close(kl(vectors(mu, variance.sqrt()), vectors(torch.zeros(3), torch.ones(3))), integral)


@pytest.mark.equation("eq-vae-bernoulli")
def test_vae_bernoulli():
    """E_q[log p(x, z) - log q(z)] on a grid against the mean over two noises of the estimate.

    And against the library's `elbo`, its draw replaced by the nodes.
    """
    mu, variance = torch.tensor(0.4), torch.tensor(0.3)
    x = torch.tensor([1.0, 0.0, 1.0])
    slope, bias = torch.randn(2, 3)

    def log_likelihood(z):  # (...) -> (...)
        rho = (torch.tanh(z[..., None] * slope) * 2 + bias).sigmoid()
        return (x * rho.log() + (1 - x) * (1 - rho).log()).sum(-1)

    z = torch.linspace(-8, 8, 16_001)
    log_q = log_normal(z, mu, variance)
    log_p = Bernoulli(logits=torch.tanh(z[:, None] * slope) * 2 + bias).log_prob(x).sum(1)
    bound = (log_q.exp() * (log_p + log_normal(z, 0.0, 1.0) - log_q)).sum() * 0.001
    value = log_likelihood(mu + variance.sqrt() * EPS)  # (nodes,), at each noise
    of_two = (value[:, None] + value) / 2  # the estimate with K = 2, at each pair of noises
    mean = (WEIGHTS[:, None] * WEIGHTS * of_two).sum()
    rate = 0.5 * (mu**2 + variance - 1 - variance.log())
    close(mean - rate, bound, atol=1e-5, rtol=0)
    model = one_code(
        mu,
        variance.sqrt(),
        lambda z: Independent(Bernoulli(logits=torch.tanh(z * slope) * 2 + bias), 1),
    )
    close(elbo(model, x[None], estimator=on_nodes)[0], mean - rate)


@pytest.mark.equation("eq-gaussian-decoder")
def test_gaussian_decoder():
    """torch's multivariate normal with covariance sigma^2 I against scaled error and constant."""
    x, f, sigma = torch.randn(5), torch.randn(5), 0.7
    formula = -(x - f).square().sum() / (2 * sigma**2) - 2.5 * math.log(2 * math.pi * sigma**2)
    close(formula, MultivariateNormal(f, sigma**2 * torch.eye(5)).log_prob(x))
    head = without_network(heads.Normal(5, (5,), sigma=sigma))
    close(head(f).log_prob(x), formula)


@pytest.mark.equation("eq-optimal-sigma")
def test_optimal_sigma():
    """A numerical search over sigma^2 against MSE, and its value against the formula.

    At the library's head the gradient in the learned log sigma is zero there.
    """
    x, f = torch.randn(40, 6), torch.randn(40, 6)

    def loss(log_variance):
        return -Normal(f, math.exp(0.5 * log_variance)).log_prob(x).sum(1).mean().item()

    found = optimize.minimize_scalar(loss, bounds=(-3, 3), options={"xatol": 1e-9})
    mse = (x - f).square().mean().item()
    close(math.exp(found.x), mse, rtol=1e-6, atol=0)
    close(-found.fun, -3 * (1 + math.log(2 * math.pi * mse)))
    head = without_network(heads.Normal(6, (6,)))
    head.log_sigma.data.fill_(0.5 * math.log(mse))
    best = head(f).log_prob(x).mean()
    close(best.detach(), -found.fun)
    (gradient,) = torch.autograd.grad(best, head.log_sigma)
    close(gradient, 0.0, atol=1e-12, rtol=0)


@pytest.mark.equation("eq-beta-bound")
def test_beta_bound():
    """Both sides on a model with four codes; below log p(x) for beta >= 1, above it for some."""
    prior, likelihood = torch.rand(4).softmax(0), torch.rand(4)
    evidence = (prior * likelihood).sum().log()
    posterior = prior * likelihood / evidence.exp()
    for q in (posterior, torch.rand(4).softmax(0)):
        rate = (q * (q / prior).log()).sum()
        bound = (q * (prior * likelihood / q).log()).sum()
        model = SimpleNamespace(
            prior=lambda: OneHotCategorical(probs=prior),
            posterior=lambda x, q=q: OneHotCategorical(probs=q[None]),
            likelihood=lambda z: SimpleNamespace(log_prob=lambda x: z @ likelihood.log()),
        )
        for beta in BETAS:
            weighted = (q * likelihood.log()).sum() - beta * rate
            close(weighted, bound - (beta - 1) * rate)
            close(elbo(model, torch.zeros(1, 1), beta=beta, estimator=exact)[0], weighted)
            assert weighted <= evidence + 1e-12 or beta < 1
    rate = (posterior * (posterior / prior).log()).sum()
    assert (posterior * likelihood.log()).sum() - 0.5 * rate > evidence + 1e-3


@pytest.mark.equation("eq-one-knob")
def test_one_knob():
    """Two objectives with 20 random decoders and q's: their difference is always the constant."""
    x, sigma, beta = torch.randn(3), 0.6, 2.5

    def objective(weight, mu, s, variance, beta):  # decoder mean tanh(weight z)
        z = mu + s * EPS
        p = Independent(Normal(torch.tanh(z[:, None] * weight), math.sqrt(variance)), 1)
        rate = math.log(1 / s) + (s**2 + mu**2) / 2 - 0.5
        return (WEIGHTS * p.log_prob(x)).sum() - beta * rate

    def by_library(weight, mu, s, variance, beta):
        head = without_network(heads.Normal(3, (3,), sigma=math.sqrt(variance)))
        model = one_code(torch.tensor(mu), s, lambda z: head(torch.tanh(z * weight)))
        return elbo(model, x[None], beta=beta, estimator=on_nodes)[0]

    two_pi = 2 * math.pi
    constant = 1.5 * (beta * math.log(two_pi * beta * sigma**2) - math.log(two_pi * sigma**2))
    for _ in range(20):
        q = (torch.randn(3), torch.randn(()).item(), torch.rand(()).item() + 0.1)
        left = objective(*q, sigma**2, beta)
        right = beta * objective(*q, beta * sigma**2, 1.0)
        close(left, right + constant)
        close(by_library(*q, sigma**2, beta), left)
        close(beta * by_library(*q, beta * sigma**2, 1.0), right)


@pytest.mark.equation("eq-collapse")
@pytest.mark.parametrize("beta", [0.3, 3.0])
def test_collapse(beta):
    """A linear VAE climbed to the top by L-BFGS, started at random, against the eigenvalues."""
    eigenvalues, noise = torch.tensor([4.0, 1.5, 0.8, 0.2]), 0.4
    z = torch.randn(40, 4)
    z = (z - z.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(z.T, correction=0))).T
    turn = torch.linalg.qr(torch.randn(4, 4)).Q
    x = z * eigenvalues.sqrt() @ turn  # covariance with just these eigenvalues
    model = VAE.linear((4,), latent=3).double()
    model.decoder[-1].log_sigma.requires_grad_(False).fill_(0.5 * math.log(noise))
    signs = 2 * binary(3) - 1  # (8, 3): over mu +- s a quadratic has the mean it has over q

    def rates():
        q = model.posterior(x)
        return 0.5 * (q.mean**2 + q.variance - 1 - q.variance.log()), q  # (N, 3)

    optimizer = torch.optim.LBFGS(
        model.parameters(), max_iter=300, history_size=50, tolerance_grad=1e-10,
        tolerance_change=1e-14, line_search_fn="strong_wolfe",
    )  # fmt: skip

    def loss():
        optimizer.zero_grad()
        kl, q = rates()
        draws = q.mean + q.stddev * signs[:, None]  # (8, N, 3)
        value = -(model.likelihood(draws).log_prob(x).mean(0) - beta * kl.sum(1)).mean()
        value.backward()
        return value

    optimizer.step(loss)
    found = rates()[0].mean(0).detach().sort(descending=True).values
    formula = (0.5 * (eigenvalues[:3] / (beta * noise)).log()).clamp(min=0)
    close(found, formula, atol=2e-3, rtol=0)


@pytest.mark.equation("eq-rotation")
def test_rotation():
    """p(x) of a bent decoder by a sum over a grid, before and after turning the codes."""
    t = torch.linspace(-7, 7, 281)
    z = torch.cartesian_prod(t, t)  # step 0.05
    prior = log_normal(z, 0.0, 1.0).sum(1)
    c, s = math.cos(0.7), math.sin(0.7)
    turn = torch.tensor([[c, -s], [s, c]])
    weight = torch.randn(2, 3)
    x = torch.randn(3)

    def log_joint(codes):
        return prior + log_normal(x, torch.sin(codes @ weight), 0.3).sum(1)

    plain, turned = log_joint(z), log_joint(z @ turn.T)
    assert (plain - turned).abs().max() > 1  # another model ...
    close(turned.logsumexp(0), plain.logsumexp(0), atol=1e-8, rtol=0)  # ... of the same x


@pytest.mark.equation("eq-two-spreads")
def test_two_spreads():
    """Covariance over all pairs of a code and an image against the sum of the two terms."""
    q, mean = torch.rand(4).softmax(0), 0.1 + 0.8 * torch.rand(4, 3)  # four codes, three pixels
    x = binary(3)  # (8, 3)
    p = torch.where(x == 1, mean[:, None], 1 - mean[:, None]).prod(-1)  # (4, 8), p(x | z)
    marginal = q @ p  # (8,)
    centred = x - marginal @ x
    whole = (marginal[:, None] * centred).T @ centred
    noise = (q[:, None] * mean * (1 - mean)).sum(0).diag()
    moved = mean - q @ mean
    close(noise + (q[:, None] * moved).T @ moved, whole)


@pytest.mark.equation("eq-grey-mass")
@pytest.mark.parametrize("rho", [0.01, 0.3, 0.5001, 0.9])
def test_grey_mass(rho):
    """Adaptive quadrature of rho^x (1 - rho)^(1 - x) over [0, 1] against the closed form.

    And of what the library's Bernoulli head gives for grey x.
    """
    mass, _ = integrate.quad(lambda x: rho**x * (1 - rho) ** (1 - x), 0, 1)
    p = without_network(heads.Bernoulli(1, 1))(torch.tensor([rho]).logit())
    by_library, _ = integrate.quad(lambda x: p.log_prob(torch.tensor([x])).exp().item(), 0, 1)
    close(by_library, mass)
    close((2 * rho - 1) / (math.log(rho) - math.log(1 - rho)), mass, rtol=1e-6, atol=0)
    assert mass < 1
    assert rho != 0.5001 or abs(mass - 0.5) < 1e-4  # near one half it is one half


@pytest.mark.equation("eq-grey-mean")
def test_grey_mean():
    """The mean over binary pixels from torch's Bernoulli against the formula at the grey one."""
    x, rho = torch.rand(50, 1), torch.rand(50)
    b = torch.tensor([0.0, 1.0])[:, None, None]
    probability = torch.where(b == 1, x, 1 - x)  # (2, 50, 1)
    mean = (probability * Bernoulli(rho).log_prob(b)).sum(0)  # (50, 50)
    close(x * rho.log() + (1 - x) * (1 - rho).log(), mean)
    bound = -Bernoulli(x).entropy()
    assert (mean <= bound + 1e-12).all()
    close(x * x.log() + (1 - x) * (1 - x).log(), bound)  # attained at rho = x
