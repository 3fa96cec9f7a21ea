"""The labelled equations of the preliminaries, each computed in two independent ways."""

import math

import pytest
import torch
from scipy import integrate, optimize
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from dgm import heads
from dgm.estimators import logmeanexp
from dgm.evaluate import mean_and_error
from dgm.models import PCA


def random(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def random_covariance(d, seed=0):
    root = random(d, d, seed=seed)
    return root @ root.T + 0.3 * torch.eye(d, dtype=torch.float64)


def density(x, mu, Sigma):
    """The Gaussian density, written out: the tests of Gaussians do not lean on torch's."""
    r = x - mu
    return math.exp(-0.5 * r @ torch.linalg.solve(Sigma, r)) / torch.det(2 * math.pi * Sigma).sqrt()


@pytest.mark.equation("eq-monte-carlo")
def test_the_variance_of_a_mean():
    """All 3^K equally likely samples of size K, enumerated, against Var[f] / K.

    The squared standard error that the library gives is that on average over the samples.
    """
    f = torch.tensor([0.3, -1.0, 2.5], dtype=torch.float64)
    for K in (1, 2, 5):
        samples = f[torch.cartesian_prod(*[torch.arange(3)] * K).reshape(-1, K)]  # (3^K, K)
        torch.testing.assert_close(samples.mean(1).var(correction=0), f.var(correction=0) / K)
        if K > 1:
            squared = [mean_and_error(sample)[1] ** 2 for sample in samples]
            assert sum(squared) / len(squared) == pytest.approx(f.var(correction=0).item() / K)


@pytest.mark.equation("eq-total-variance")
def test_variance_in_stages():
    """A joint table of 3 x 4 states: the variance of x against the two stages."""
    joint = random(3, 4).softmax(0) * random(3, 4, seed=1).abs()
    joint = joint / joint.sum()  # p(z, x)
    x = random(4, seed=2)
    p_z = joint.sum(1)
    given_z = joint / p_z[:, None]
    mean, variance = given_z @ x, given_z @ x**2 - (given_z @ x) ** 2
    whole = (joint.sum(0) * (x - joint.sum(0) @ x) ** 2).sum()
    stages = p_z @ variance + (p_z * (mean - p_z @ mean) ** 2).sum()
    torch.testing.assert_close(whole, stages)


@pytest.mark.equation("eq-bayes-rule")
def test_bayes_rule():
    """Counts among equally likely outcomes against prior times likelihood over the evidence."""
    counts = torch.tensor([[3, 1, 6], [2, 8, 10]])  # outcomes with z = 0, 1 and x = 0, 1, 2
    prior = counts.sum(1).double() / counts.sum()
    likelihood = counts.double() / counts.sum(1, keepdim=True)  # p(x | z), (2, 3)
    for x in range(3):
        evidence = sum(prior[z] * likelihood[z, x] for z in range(2))
        for z in range(2):
            among = counts[z, x].item() / counts[:, x].sum().item()  # of the outcomes with this x
            assert (prior[z] * likelihood[z, x] / evidence).item() == pytest.approx(among)


@pytest.mark.equation("eq-gaussian-affine")
def test_affine_maps_of_gaussians():
    """Characteristic functions: of Ax + b, from that of x, against the stated Gaussian's."""
    mu, Sigma, A, b = random(3), random_covariance(3), random(2, 3, seed=1), random(2, seed=2)
    for seed in range(5):
        t = random(2, seed=10 + seed)
        s = A.T @ t  # E exp(i t (Ax + b)) = exp(i t b) E exp(i s x)
        log_left = complex(-0.5 * s @ Sigma @ s, s @ mu + t @ b)
        mean, covariance = A @ mu + b, A @ Sigma @ A.T
        log_right = complex(-0.5 * t @ covariance @ t, t @ mean)
        assert log_left == pytest.approx(log_right)
    # and the characteristic function of x itself, by quadrature in one dimension
    one = torch.ones(1, 1, dtype=torch.float64)
    real, _ = integrate.quad(
        lambda x: density(x * one[0], 0.5, 4 * one).item() * math.cos(0.7 * x), -20, 20
    )
    assert real == pytest.approx(math.exp(-0.5 * 4 * 0.7**2) * math.cos(0.7 * 0.5), abs=1e-9)


@pytest.mark.equation("eq-gaussian-conditional")
def test_conditioning_a_gaussian():
    """Moments of the renormalised joint density on a grid of a, against the formula."""
    mu, Sigma = random(3), random_covariance(3)
    b = torch.tensor([0.4, -1.2], dtype=torch.float64)
    mean = mu[0] + Sigma[0, 1:] @ torch.linalg.solve(Sigma[1:, 1:], b - mu[1:])
    variance = Sigma[0, 0] - Sigma[0, 1:] @ torch.linalg.solve(Sigma[1:, 1:], Sigma[1:, 0])
    a = torch.linspace(-15, 15, 3001, dtype=torch.float64)
    joint = torch.stack([density(torch.cat([v[None], b]), mu, Sigma) for v in a])
    weights = joint / joint.sum()
    torch.testing.assert_close(weights @ a, mean)
    torch.testing.assert_close(weights @ (a - weights @ a) ** 2, variance)


@pytest.mark.equation("eq-gaussian-entropy")
def test_entropy_of_a_gaussian():
    """The integral of -p log p over a grid of the plane against the formula."""
    Sigma = torch.tensor([[1.0, 0.6], [0.6, 0.5]], dtype=torch.float64)
    t = torch.arange(-9, 9, 0.05, dtype=torch.float64)
    log_p = MultivariateNormal(torch.zeros(2).double(), Sigma).log_prob(torch.cartesian_prod(t, t))
    integral = -(log_p.exp() * log_p).sum() * 0.05**2
    formula = 0.5 * torch.logdet(2 * math.pi * math.e * Sigma)
    torch.testing.assert_close(integral, formula)


@pytest.mark.equation("eq-eigenvectors")
def test_the_largest_variance_is_along_the_first_eigenvector():
    """Torch's axes rebuild the matrix; a numerical maximiser over directions finds the first."""
    for seed in range(3):
        Sigma = random_covariance(4, seed=seed)
        eigenvalues, U = (part.flip(-1) for part in torch.linalg.eigh(Sigma))
        torch.testing.assert_close(U.T @ U, torch.eye(4, dtype=torch.float64))
        torch.testing.assert_close(U @ eigenvalues.diag() @ U.T, Sigma)

        def minus_variance(u, Sigma=Sigma):
            u = torch.as_tensor(u) / torch.as_tensor(u).norm()
            return -(u @ Sigma @ u).item()

        found = optimize.minimize(minus_variance, random(4, seed=10 + seed), tol=1e-12)
        assert -found.fun == pytest.approx(eigenvalues[0].item(), abs=1e-6)
        assert -minus_variance(U[:, 0]) == pytest.approx(eigenvalues[0].item())


@pytest.mark.equation("eq-svd")
def test_the_singular_values_of_centred_data():
    """Axes and variances from the data matrix against those of the covariance, and of PCA."""
    x = random(30, 4) @ random(4, 4, seed=1) + 2.0
    X = x - x.mean(0)
    V, s, Ut = torch.linalg.svd(X, full_matrices=False)
    torch.testing.assert_close(V.T @ V, torch.eye(4, dtype=torch.float64))
    torch.testing.assert_close(V @ s.diag() @ Ut, X)
    covariance = sum(torch.outer(row, row) for row in X) / 30
    torch.testing.assert_close(Ut.T @ (s**2 / 30).diag() @ Ut, covariance)
    torch.testing.assert_close(PCA((4,), latent=2).double().fit(x).eigenvalues, s**2 / 30)


@pytest.mark.equation("eq-change-of-variables")
def test_change_of_variables():
    """Masses of small squares, traced back by finite differences, against the density formula."""

    def inverse(x):  # z from x: a shear and a stretch, with Jacobian of its own by autograd
        return torch.stack([torch.asinh(x[0]) + 0.5 * x[1], x[1] ** 3 + x[1]])

    normal = Independent(Normal(torch.zeros(2).double(), 1.0), 1)
    for seed in range(5):
        x = random(2, seed=seed)
        jacobian = torch.autograd.functional.jacobian(inverse, x)
        formula = normal.log_prob(inverse(x)).exp() * jacobian.det().abs()
        # the side: mass of the image of a small triangle, over the triangle's area
        h = 1e-5
        corners = [inverse(x), inverse(x + torch.tensor([h, 0])), inverse(x + torch.tensor([0, h]))]
        (a, c), (b, d) = (corners[1] - corners[0]).tolist(), (corners[2] - corners[0]).tolist()
        mass = normal.log_prob(sum(corners) / 3).exp() * abs(a * d - b * c) / 2
        torch.testing.assert_close(mass / (h**2 / 2), formula, rtol=1e-3, atol=0)
    # and in one dimension: the formula integrates to 1
    total, _ = integrate.quad(
        lambda x: Normal(0.0, 1.0).log_prob(torch.tensor(math.log(x))).exp() / x, 1e-9, 200
    )
    assert total == pytest.approx(1, abs=1e-4)


@pytest.mark.equation("eq-jensen")
def test_jensen():
    """Both sides for random discrete distributions; equality for a constant, and only then."""
    for seed in range(20):
        p, w = random(6, seed=seed).softmax(0), random(6, seed=100 + seed).exp()
        left, right = p @ w.log(), (p @ w).log()
        assert left < right - 1e-6
        constant = torch.full_like(w, w[0].item())
        torch.testing.assert_close(p @ constant.log(), (p @ constant).log())


@pytest.mark.equation("eq-logsumexp")
def test_logsumexp():
    """The right side in floats against exact integer arithmetic on the left, also far from zero."""
    for shift in (0, -2000, 3000):
        powers = [shift, shift + 3, shift + 1, shift - 7]  # a_k = powers of two, times log 2
        a = torch.tensor(powers, dtype=torch.float64) * math.log(2)
        m = a.max()
        right = m + (a - m).exp().sum().log()
        lowest = min(powers)
        exact = lowest * math.log(2) + math.log(sum(2 ** (k - lowest) for k in powers))
        assert right.item() == pytest.approx(exact, rel=1e-12)
        torch.testing.assert_close(a.logsumexp(0), right)
        assert logmeanexp(a).item() == pytest.approx(exact - math.log(4), rel=1e-12)


@pytest.mark.equation("eq-bernoulli-logit")
def test_bernoulli_from_its_logit():
    """The logarithm of p or of 1 - p against the formula in the logit, and the library's head."""
    head = heads.Bernoulli(1, 1)
    head.logits = nn.Identity()
    for p in (0.01, 0.3, 0.5, 0.97):
        a = math.log(p / (1 - p))
        for x in (0, 1):
            by_table = math.log(p if x == 1 else 1 - p)
            assert x * a - math.log(1 + math.exp(a)) == pytest.approx(by_table)
            by_library = head(torch.tensor([a]).double()).log_prob(torch.tensor([float(x)]))
            assert by_library.item() == pytest.approx(by_table)


@pytest.mark.equation("eq-softmax")
def test_categorical_from_its_logits():
    """The formula against probabilities: ratios e^(a_c - a_c'), sum one; shifts change nothing."""
    a = random(5)
    log_p = a - torch.logsumexp(a, 0)
    unnormalised = [math.exp(v) for v in a.tolist()]
    table = torch.tensor([u / sum(unnormalised) for u in unnormalised], dtype=torch.float64)
    torch.testing.assert_close(log_p.exp(), table)
    torch.testing.assert_close((a + 7) - torch.logsumexp(a + 7, 0), log_p)
    torch.testing.assert_close(torch.distributions.Categorical(logits=a).logits, log_p)
    head = heads.OneHotCategorical(5, 5)
    head.logits = nn.Identity()
    torch.testing.assert_close(head(a).log_prob(torch.eye(5).double()), log_p)


@pytest.mark.equation("eq-detach")
def test_value_from_one_gradient_from_another():
    """Value against r, autograd's gradient against finite differences of r + s."""

    def r(x):
        return (x**2).sum().sin()

    def s(x):
        return x.exp().prod()

    x = random(3).requires_grad_()
    g = r(x) + s(x) - s(x).detach()
    torch.testing.assert_close(g, r(x))
    (gradient,) = torch.autograd.grad(g, x)
    h = 1e-6 * torch.eye(3, dtype=torch.float64)
    differences = [((r(x + e) + s(x + e)) - (r(x - e) + s(x - e))) / 2e-6 for e in h]
    torch.testing.assert_close(gradient, torch.stack(differences).detach(), rtol=1e-6, atol=1e-7)


@pytest.mark.equation("eq-independent")
def test_independent_coordinates_add_up():
    """The density of a Gaussian with diagonal covariance against the sum over coordinates."""
    mu, sigma, x = random(4), random(4, seed=1).exp(), random(4, seed=2)
    joint = density(x, mu, torch.diag(sigma**2)).log()
    total = sum(
        -0.5 * ((x[d] - mu[d]) / sigma[d]) ** 2 - 0.5 * torch.log(2 * math.pi * sigma[d] ** 2)
        for d in range(4)
    )
    torch.testing.assert_close(total, joint)
    torch.testing.assert_close(Independent(Normal(mu, sigma), 1).log_prob(x), joint)
