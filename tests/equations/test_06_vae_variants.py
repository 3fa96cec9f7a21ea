"""The labelled equations of chapter 06, each computed in two independent ways, in float64.

Expectations are sums over fine grids or Gauss-Hermite nodes; what is averaged over draws states its
standard error.
"""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.autograd import grad
from torch.distributions import Independent, MultivariateNormal, kl_divergence
from torch.distributions import Normal as TorchNormal
from torch.nn import functional as F

from dgm import heads
from dgm.models import VAE
from dgm.objectives import dreg, elbo, fisher, free_bits, iwae

DTYPE = torch.float64
EPS = torch.linspace(-9, 9, 451, dtype=DTYPE)  # a grid for N(0, 1), step 0.04
MASS = torch.exp(-EPS.square() / 2) / math.sqrt(2 * math.pi) * 0.04
LOG_T = torch.arange(-120, 120, 0.1, dtype=DTYPE)
_nodes, _weights = np.polynomial.hermite_e.hermegauss(40)
NODES, WEIGHTS = torch.as_tensor(_nodes), torch.as_tensor(_weights / math.sqrt(2 * math.pi))


def Normal(mean, scale):
    """Numbers become float64: torch would make float32 of them."""
    return TorchNormal(torch.as_tensor(mean, dtype=DTYPE), torch.as_tensor(scale, dtype=DTYPE))


def tensor(value, requires_grad=False):
    return torch.tensor(value, dtype=DTYPE, requires_grad=requires_grad)


# The small model: z ~ N(0, 1), x | z ~ N(theta z, 1) at x = 1.2, q = N(phi, 1.1^2).
X, THETA, PHI, SD = 1.2, 1.5, -0.2, 1.1


def log_weight(z, theta=THETA, phi=PHI):
    log_joint = Normal(theta * z, 1).log_prob(tensor(X)) + Normal(0, 1).log_prob(z)
    return log_joint - Normal(phi, SD).log_prob(z)


def log_evidence(theta=THETA):
    return Normal(0.0, (1 + torch.as_tensor(theta, dtype=DTYPE) ** 2).sqrt()).log_prob(tensor(X))


def by_laplace(k, theta=THETA, phi=PHI, sign=1):
    """sign * E[log of the mean of K values of w^sign], by the integral over t."""
    log_w = sign * log_weight(phi + SD * EPS, theta, phi)
    decay = (-(LOG_T[:, None] - math.log(k) + log_w).exp()).exp() @ MASS
    return sign * ((-LOG_T.exp()).exp() - decay**k).sum() * 0.1


def grid_of(k):
    """Points for k draws of N(0, 1), (k, n), and their masses (n,)."""
    at = torch.linspace(-7, 7, {2: 141, 3: 71}[k], dtype=DTYPE) if k > 1 else EPS
    step = (at[1] - at[0]).item()
    mass = Normal(0, 1).log_prob(at).exp() * step
    points = torch.cartesian_prod(*[at] * k).reshape(-1, k).T  # (k, n)
    return points, torch.cartesian_prod(*[mass] * k).reshape(-1, k).prod(1)


def by_grid(k, f, theta=THETA, phi=PHI):
    """E[f(log-weights of k draws)] as a sum over a k-dimensional grid; f maps (k, n) to (n,)."""
    points, weights = grid_of(k)
    return (f(log_weight(phi + SD * points, theta, phi)) * weights).sum()


def on_grid(f, q, k, reduce):
    """An estimator without noise, for one code and one example: all k draws from that grid."""
    points, weights = grid_of(k)
    z = q.mean + q.stddev * points.reshape(-1, 1, 1)  # (k n, 1, 1)
    return weights @ reduce(f(z).reshape(k, -1, 1))


class Replicates(torch.nn.Module):
    """n copies of the small model, each with its own theta and phi."""

    def __init__(self, n):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.full((n,), THETA, dtype=DTYPE))
        self.phi = torch.nn.Parameter(torch.full((n,), PHI, dtype=DTYPE))

    def prior(self):
        return Independent(Normal(torch.zeros(1), torch.ones(1)), 1)

    def posterior(self, x):
        return Independent(Normal(self.phi[:, None], SD), 1)

    def likelihood(self, z):
        return Independent(Normal(self.theta[:, None] * z, 1.0), 1)


def by_library(k):
    """The library's bound of the small model without noise, and its gradients in theta and phi."""
    model = Replicates(1)
    value = iwae(model, tensor([[X]]), k=k, estimator=on_grid)[0]
    return value.detach(), grad(value, (model.theta, model.phi))


@pytest.mark.equation("eq-iwae-monotone")
def test_the_bounds_rise_with_k_from_the_elbo_to_log_p():
    """ELBO by formula = L_1 <= L_2 <= ... <= log p by formula, each L_K by quadrature.

    The first ones also by the library's `iwae`, its draws replaced by a grid.
    """
    second = PHI**2 + SD**2  # E[z^2]
    reconstruction = -0.5 * math.log(2 * math.pi) - 0.5 * (
        X**2 - 2 * X * THETA * PHI + THETA**2 * second
    )
    rate = 0.5 * (second - 1 - math.log(SD**2))
    bounds = [by_laplace(k).item() for k in (1, 2, 3, 5, 50, 500, 5000)]
    assert math.isclose(bounds[0], reconstruction - rate, abs_tol=1e-8)
    assert bounds == sorted(bounds) and len(set(bounds)) == len(bounds)
    assert 0 < log_evidence() - bounds[-1] < 2e-4
    assert [by_library(k)[0].item() for k in (1, 2)] == pytest.approx(bounds[:2], abs=1e-6)


@pytest.mark.equation("eq-iwae-exact")
def test_the_bound_as_an_integral_over_t():
    """The integral over t against sums over one, two and three draws, ours and the library's."""
    for k, tolerance in ((1, 1e-8), (2, 1e-8), (3, 1e-6)):
        direct = by_grid(k, lambda log_w, k=k: log_w.logsumexp(0) - math.log(k))
        assert torch.isclose(by_laplace(k), direct, atol=tolerance, rtol=0)
        assert torch.isclose(by_library(k)[0], direct, atol=1e-10, rtol=0)


@pytest.mark.equation("eq-wrong-sign")
def test_the_wrong_sign_gives_a_bound_that_falls():
    """Minus E log mean 1/w: a grid of two draws, the integral over t, and the ELBO above them."""
    direct = by_grid(2, lambda log_w: -((-log_w).logsumexp(0) - math.log(2)))
    assert torch.isclose(by_laplace(2, sign=-1), direct, atol=1e-6, rtol=0)
    wrong = [by_laplace(k, sign=-1).item() for k in (1, 2, 5, 50)]
    assert math.isclose(wrong[0], by_laplace(1).item(), abs_tol=1e-8)
    assert wrong == sorted(wrong, reverse=True) and wrong[1] < wrong[0] - 1


@pytest.mark.equation("eq-iwae-gradient")
def test_the_gradient_is_a_weighted_vote():
    """E[sum_k w~_k grad log w_k] over a grid of two draws, against slopes of the exact bound.

    And what autograd makes of the library's bound on that grid.
    """
    theta, phi = tensor(THETA, True), tensor(PHI, True)
    vote = by_grid(2, lambda log_w: (log_w.softmax(0).detach() * log_w).sum(0), theta, phi)
    h = 1e-4
    slopes = [
        (by_laplace(2, THETA + h) - by_laplace(2, THETA - h)) / (2 * h),
        (by_laplace(2, THETA, PHI + h) - by_laplace(2, THETA, PHI - h)) / (2 * h),
    ]
    gradients = zip(grad(vote, (theta, phi)), by_library(2)[1], slopes, strict=True)
    for got, of_library, slope in gradients:
        assert torch.isclose(got, slope, atol=1e-6, rtol=0)
        assert torch.isclose(of_library[0], slope, atol=1e-6, rtol=0)


def sampled_gradients(objective, k, n, seed=0):
    """n independent gradients in (theta, phi): (2, n)."""
    torch.manual_seed(seed)
    model = Replicates(n)
    value = objective(model, torch.full((n, 1), X, dtype=DTYPE), k=k).sum()
    return torch.stack(grad(value, (model.theta, model.phi)))


@pytest.mark.equation("eq-iwae-snr")
def test_signal_to_noise_of_both_gradients():
    """Constants of sqrt(K) and 1 / sqrt(K): signals from exact bounds, noise from draws at K = 256,
    against quadrature of the relative weight and its slopes."""
    k, n = 256, 4000
    theta, phi = tensor(THETA, True), tensor(PHI, True)
    signal = grad(by_laplace(k, theta, phi), (theta, phi))
    noise = sampled_gradients(iwae, k, n).std(1)

    def variance_of_r(phi):
        r = (log_weight(phi + SD * EPS, THETA, phi) - log_evidence()).exp()
        return (r - 1).square() @ MASS

    slopes = []  # of r at each point of the grid, by central differences
    h = 1e-5
    for d_theta, d_phi in ((h, 0.0), (0.0, h)):
        r = [
            (
                log_weight(PHI + s * d_phi + SD * EPS, THETA + s * d_theta, PHI + s * d_phi)
                - log_evidence(THETA + s * d_theta)
            ).exp()
            for s in (1, -1)
        ]
        slopes.append((r[0] - r[1]) / (2 * h))
    sd = [(s.square() @ MASS - (s @ MASS) ** 2).sqrt() for s in slopes]
    d_log_p = (log_evidence(THETA + h) - log_evidence(THETA - h)) / (2 * h)
    d_variance = (variance_of_r(PHI + h) - variance_of_r(PHI - h)) / (2 * h)
    predicted = [
        math.sqrt(k) * d_log_p.abs() / sd[0],
        d_variance.abs() / (2 * math.sqrt(k) * sd[1]),
    ]
    for i in range(2):  # a standard deviation from 4000 draws: 1.1 %; terms of order 1/K: 1 %
        assert torch.isclose(signal[i].abs() / noise[i], predicted[i], rtol=0.06)


@pytest.mark.equation("eq-dreg")
def test_the_doubly_reparameterised_gradient():
    """E[sum_k w~_k^2 dlog w_k/dz_k dz_k/dphi] over a grid of two draws (dz/dphi = 1), and what the
    library's dreg makes of that grid, against slopes of the exact bound; dreg with five draws."""
    z = (PHI + SD * torch.cartesian_prod(*[torch.linspace(-7, 7, 141, dtype=DTYPE)] * 2)).T
    z.requires_grad_()
    log_w = log_weight(z)
    (slope,) = grad(log_w.sum(), z)
    mass = Normal(PHI, SD).log_prob(z.detach()).exp().prod(0) * (SD * 0.1) ** 2
    right = ((log_w.softmax(0).square() * slope).sum(0) * mass).sum()
    h = 1e-4
    exact = {k: (by_laplace(k, phi=PHI + h) - by_laplace(k, phi=PHI - h)) / (2 * h) for k in (2, 5)}
    assert torch.isclose(right, exact[2], atol=1e-6, rtol=0)
    points, weights = grid_of(2)

    class OnGrid(TorchNormal):
        def rsample(self, shape=()):
            return self.loc + self.scale * points[..., None]

    model = Replicates(points.shape[1])  # a copy for every pair of draws
    model.posterior = lambda x: Independent(OnGrid(model.phi[:, None], SD), 1)
    values = dreg(model, torch.full((points.shape[1], 1), X, dtype=DTYPE), k=2)
    by_library = weights @ grad(values.sum(), model.phi)[0]
    assert torch.isclose(by_library, exact[2], atol=1e-6, rtol=0)
    drawn = sampled_gradients(dreg, 5, 20_000)[1]
    assert abs(drawn.mean() - exact[5]) < 4 * drawn.std() / math.sqrt(20_000)


# Fisher: data N(0, V), q = N(A x, S^2), x | z ~ N(B z, S2), on Gauss-Hermite nodes.
V, A, S, B, S2 = 2.3, 0.35, 0.6, 1.2, 0.5


def fisher_nodes(a=A, s=S):
    """x, z as leaves, and the weights of E over p_data(x) q(z | x)."""
    x = (math.sqrt(V) * NODES).repeat_interleave(len(NODES)).requires_grad_()
    z = (a * x.detach() + s * NODES.repeat(len(NODES))).requires_grad_()
    return x, z, torch.outer(WEIGHTS, WEIGHTS).flatten()


def slope(log_density, at):
    return grad(log_density.sum(), at, create_graph=True)[0]


def joint_fisher(a=A, s=S):
    """The Fisher divergence of the two joints, from its definition."""
    x, z, weights = fisher_nodes(a, s)
    log_data = Normal(0, math.sqrt(V)).log_prob(x) + Normal(a * x, s).log_prob(z)
    log_model = Normal(B * z, math.sqrt(S2)).log_prob(x) + Normal(0, 1).log_prob(z)
    gaps = [slope(log_data - log_model, v) for v in (x, z)]
    return (weights * (gaps[0] ** 2 + gaps[1] ** 2)).sum() / 2


@pytest.mark.equation("eq-fisher-decomposition")
def test_the_fisher_divergence_taken_apart():
    """The joint divergence by definition, against the three terms and the constant; and the
    library's objective at the same nodes."""
    x, z, weights = fisher_nodes()
    log_q = Normal(A * x, S).log_prob(z)
    log_x = Normal(B * z, math.sqrt(S2)).log_prob(x)
    d = slope(log_x, x)
    match = (slope(log_q, z) - slope(log_x + Normal(0, 1).log_prob(z), z)) ** 2 / 2
    parts = match + slope(log_q, x) ** 2 / 2 + d**2 / 2 + slope(d, x)
    constant = 1 / (2 * V)
    assert torch.isclose(constant + (weights * parts).sum(), joint_fisher(), atol=1e-9)

    class AtNodes(TorchNormal):
        def rsample(self, shape=()):
            return self.loc + self.scale * NODES.repeat(len(NODES))[:, None]

    model = SimpleNamespace(
        prior=lambda: Independent(Normal([0.0], [1.0]), 1),
        posterior=lambda x: Independent(AtNodes(A * x, torch.full_like(x, S)), 1),
        likelihood=lambda z: Independent(Normal(B * z, math.sqrt(S2)), 1),
    )
    by_library = weights @ -fisher(model, x.detach()[:, None])
    assert torch.isclose(constant + by_library, joint_fisher(), atol=1e-9)


@pytest.mark.equation("eq-fisher-gaussian")
def test_fisher_reconstruction_of_a_gaussian_decoder():
    """Slope and Laplacian by automatic differentiation, against the squared error.

    It is all that is left of the library's objective if q is the prior and x does not ask for z.
    """
    torch.manual_seed(0)
    x, f, sigma = torch.randn(4, dtype=DTYPE, requires_grad=True), torch.randn(4).double(), 0.7
    d = slope(Normal(f, sigma).log_prob(x), x)
    laplacian = sum(grad(d[j], x, retain_graph=True)[0][j] for j in range(4))
    formula = (x - f).square().sum() / (2 * sigma**4) - 4 / sigma**2
    assert torch.isclose(d.square().sum() / 2 + laplacian, formula)
    nothing = torch.zeros(1, 1, dtype=DTYPE)
    model = SimpleNamespace(
        prior=lambda: Independent(Normal(nothing[0], 1.0), 1),
        posterior=lambda x: Independent(Normal(nothing * x.sum(), 1.0), 1),
        likelihood=lambda z: Independent(Normal(f, sigma), 1),
    )
    assert torch.isclose(-fisher(model, x.detach()[None])[0], formula)


@pytest.mark.equation("eq-fisher-marginal")
def test_with_the_exact_posterior_it_is_score_matching():
    """The joint divergence at q = posterior, against that of N(0, V) from N(0, B^2 + S2)."""
    precision = 1 + B**2 / S2
    posterior = joint_fisher(a=B / S2 / precision, s=precision**-0.5)
    marginal = 0.5 * V * (1 / V - 1 / (B**2 + S2)) ** 2
    assert math.isclose(posterior.item(), marginal, abs_tol=1e-9)
    assert joint_fisher() > marginal + 0.1  # another q


@pytest.mark.equation("eq-diagonal-gap")
def test_the_gap_of_a_diagonal_covariance():
    """The formula against a numerical minimum over the three variances."""
    torch.manual_seed(0)
    W = torch.randn(5, 3, dtype=DTYPE)
    P = torch.eye(3, dtype=DTYPE) + W.T @ W / 0.8
    target = MultivariateNormal(torch.zeros(3, dtype=DTYPE), precision_matrix=P)
    log_s = torch.zeros(3, dtype=DTYPE, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_s], max_iter=100, tolerance_grad=1e-10)

    def divergence():
        q = MultivariateNormal(torch.zeros(3, dtype=DTYPE), log_s.exp().diag())
        return kl_divergence(q, target)

    def closure():
        optimizer.zero_grad()
        value = divergence()
        value.backward()
        return value

    optimizer.step(closure)
    formula = 0.5 * (P.diagonal().log().sum() - torch.logdet(P))
    assert formula > 0.1 and torch.isclose(divergence(), formula, atol=1e-8)


def chain(first, second, reverse=False):
    """The library's chain of two single codes, given by normals."""
    a = Independent(first.expand((1,)), 1)
    return heads.Chain(a, lambda a: Independent(second(a), 1), size=1, reverse=reverse)


@pytest.mark.equation("eq-two-layers")
def test_the_rate_of_two_layers_comes_apart():
    """z_2 ~ N(0, 1), z_1 | z_2 ~ N(0.8 z_2, 0.5), q(z_1) = N(0.4, 0.3), q(z_2 | z_1) =
    N(0.5 z_1 + 0.1, 0.4): the left by nodes in two dimensions, the right by Gaussian formulas.
    The library's `Chain` has the same densities, and its draws the left side within 4 errors."""
    z1 = (0.4 + math.sqrt(0.3) * NODES)[:, None]
    z2 = 0.5 * z1 + 0.1 + math.sqrt(0.4) * NODES
    log_q = Normal(0.4, math.sqrt(0.3)).log_prob(z1)
    log_q = log_q + Normal(0.5 * z1 + 0.1, math.sqrt(0.4)).log_prob(z2)
    log_p = Normal(0, 1).log_prob(z2) + Normal(0.8 * z2, math.sqrt(0.5)).log_prob(z1)
    left = (torch.outer(WEIGHTS, WEIGHTS) * (log_q - log_p)).sum()
    q = chain(Normal(0.4, math.sqrt(0.3)), lambda a: Normal(0.5 * a + 0.1, math.sqrt(0.4)))
    p = chain(Normal(0, 1), lambda b: Normal(0.8 * b, math.sqrt(0.5)), reverse=True)
    pairs = torch.stack([z1.expand_as(z2), z2], -1)
    torch.testing.assert_close(q.log_prob(pairs), log_q)
    torch.testing.assert_close(p.log_prob(pairs), log_p)
    torch.manual_seed(0)
    z = q.sample((20_000,))
    ratios = q.log_prob(z) - p.log_prob(z)
    assert abs(ratios.mean() - left) < 4 * ratios.std() / math.sqrt(20_000)
    marginal = Normal(0, math.sqrt(0.64 + 0.5))
    lower = kl_divergence(Normal(0.4, math.sqrt(0.3)), marginal)
    precision = 1 + 0.64 / 0.5
    above = Normal(0.8 / 0.5 * z1 / precision, precision**-0.5)  # p(z_2 | z_1)
    upper = kl_divergence(Normal(0.5 * z1 + 0.1, math.sqrt(0.4)), above)[:, 0] @ WEIGHTS
    assert torch.isclose(left, lower + upper, atol=1e-10)


@pytest.mark.equation("eq-conditional-elbo")
def test_the_conditional_bound_and_its_gap():
    """z | c ~ N(c, 1), x | z, c ~ N(z + c^2, 0.1), any Gaussian q: log p(x | c) by formula, against
    the bound by nodes plus the gap by formula; and the bound by the library's `elbo`."""

    def on_nodes(f, q, k):
        return WEIGHTS @ f(q.mean + q.stddev * NODES[:, None, None])

    for c, x, mean, sd in ((2.0, 5.5, 1.0, 0.7), (-0.5, 1.3, 0.4, 0.2)):
        log_p = Normal(c + c**2, math.sqrt(1.1)).log_prob(tensor(x))
        z = mean + sd * NODES
        reconstruction = WEIGHTS @ Normal(z + c**2, math.sqrt(0.1)).log_prob(tensor(x))
        rate = kl_divergence(Normal(mean, sd), Normal(c, 1))
        posterior = Normal((c + (x - c**2) / 0.1) / 11, math.sqrt(1 / 11))
        gap = kl_divergence(Normal(mean, sd), posterior)
        assert torch.isclose(log_p, reconstruction - rate + gap, atol=1e-9)
        condition = tensor([c])  # of the classes, the only one
        model = SimpleNamespace(
            classes=1,
            prior=lambda y, c=condition: Independent(Normal(c[y, None], 1), 1),
            posterior=lambda x, y, m=mean, s=sd: Independent(Normal([[m]], [[s]]), 1),
            likelihood=lambda z, y, c=condition: Independent(
                Normal(z + c[y, None] ** 2, math.sqrt(0.1)), 1
            ),
        )
        bound = elbo(model, tensor([[x]]), torch.tensor([0]), estimator=on_nodes)[0]
        assert torch.isclose(bound, log_p - gap, atol=1e-9)


@pytest.mark.equation("eq-free-bits")
def test_free_bits_are_the_elbo_minus_unused_nats():
    """The library's two objectives with the same draws; the unused nats from the formula of KL."""
    torch.manual_seed(0)
    model = VAE.mlp((6,), latent=4, hidden=(8,)).double()
    x = torch.bernoulli(torch.full((10, 6), 0.5, dtype=DTYPE))
    with torch.no_grad():
        q = model.posterior(x).base_dist
        rates = 0.5 * (q.loc**2 + q.scale**2 - 1 - 2 * q.scale.log()).mean(0)
        free = rates.median().item()  # some coordinates above, some below
        torch.manual_seed(1)
        bound = elbo(model, x).mean()
        torch.manual_seed(1)
        value = free_bits(model, x, free=free).mean()
    assert (rates > free).any() and (rates < free).any()
    assert torch.isclose(value, bound - (free - rates).clamp(min=0).sum(), atol=1e-12)


@pytest.mark.equation("eq-average-is-beta")
def test_a_mean_over_pixels_is_a_hidden_beta():
    """Losses written with reduction="mean", against the library's ELBO with beta = D and 1 / D."""
    D = 6
    torch.manual_seed(0)
    model = VAE.mlp((D,), latent=2, hidden=(8,)).double()
    x = torch.bernoulli(torch.full((10, D), 0.5, dtype=DTYPE))
    torch.manual_seed(1)
    q = model.posterior(x)
    logits = model.likelihood(q.rsample((1,))).base_dist.logits[0]
    mu, sd = q.base_dist.loc, q.base_dist.scale
    kl = 0.5 * (mu**2 + sd**2 - 1 - 2 * sd.log()).sum(1)
    losses = {
        D: D * (F.binary_cross_entropy_with_logits(logits, x) + kl.mean()),
        1 / D: F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1).mean()
        + kl.mean() / D,
    }
    for beta, loss in losses.items():
        torch.manual_seed(1)
        assert torch.isclose(loss, -elbo(model, x, beta=beta).mean(), atol=1e-10)
