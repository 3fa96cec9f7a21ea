"""The labelled equations of chapter 11, each computed in two independent ways, in float64."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from numpy.polynomial.hermite_e import hermegauss
from torch import distributions as D
from torch.autograd.functional import jacobian

from dgm import models, objectives, samplers, toys
from dgm.energies import grid_log_partition, grid_points, log_density, score
from dgm.evaluate import RBMPath, ais, reverse_ais
from dgm.models import RBM

pytestmark = pytest.mark.usefixtures("float64")


def close(a, b, **tolerance):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), **tolerance)


def binary(n):
    """All vectors of n bits, (2^n, n)."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)))


def random_rbm(d=4, hidden=3, scale=1.0):
    rbm = RBM((d,), hidden)
    for p in rbm.parameters():
        p.data = scale * torch.randn_like(p)
    return rbm


def kernel(rbm):
    """p(x' | x) of a block Gibbs step, (X, X), by sums over all hidden states."""
    d, hidden = rbm.weight.shape
    x, h = binary(d), binary(hidden)
    joint = (x @ rbm.weight @ h.T + (x @ rbm.visible_bias)[:, None] + h @ rbm.hidden_bias).exp()
    joint = joint.detach()
    return (joint / joint.sum(1, keepdim=True)) @ (joint / joint.sum(0)).T


def probabilities(rbm):
    return (-rbm.energy(binary(len(rbm.visible_bias)))).softmax(0).detach()


def line(half, n):
    """Midpoints of n cells of [-half, half], and a cell's width."""
    return torch.linspace(-half, half, 2 * n + 1)[1::2], 2 * half / n


def mixture(weights=(0.5, 0.3, 0.2), means=(-1.5, 0.4, 2.0), sigmas=(0.5, 0.3, 0.6)):
    return D.MixtureSameFamily(
        D.Categorical(torch.tensor(weights)), D.Normal(torch.tensor(means), torch.tensor(sigmas))
    )


def pair(s=0.5):
    return mixture((0.5, 0.5), (-1.0, 1.0), (s, s))


def slope(f, x):
    """The derivative of a sum of functions of one number each."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x)[0]


class Line:
    """An energy of one number with parameters, as samplers and objectives ask for it."""

    shape, classes, support = (1,), 0, D.constraints.real

    def __init__(self, theta, energy):
        self.theta, self.formula = theta, energy

    def energy(self, x):
        return self.formula(self.theta, x[..., 0])


def quartic(theta, x):
    return theta[0] * x**2 / 2 + theta[1] * x**4 / 4 + theta[2] * x


# ------------------------------------------------------------------ any function is a model


@pytest.mark.equation("eq-energy-shift")
def test_energies_are_log_ratios():
    """Probabilities by enumeration against differences of energies; 17 added changes none."""
    rbm = random_rbm()
    energy, p = rbm.energy(binary(4)).detach(), rbm.log_prob(binary(4)).exp().detach()
    close(p.sum(), 1.0)
    close((p[:, None] / p).log(), energy - energy[:, None])
    close((-(energy + 17)).softmax(0), p)


@pytest.mark.equation("eq-grad-log-z")
def test_the_gradient_of_log_z():
    """Autograd through Z summed over a grid against a mean under the density; and in log p."""
    torch.manual_seed(1)
    model = models.EnergyNetwork.fourier((2,), hidden=(8,), confine=1.0)
    x = grid_points(6.0, 80)
    p = log_density(model, x).softmax(0).detach()
    parameters = [q for q in model.parameters() if q is not model.log_normaliser]
    left = torch.autograd.grad(grid_log_partition(model, 6.0, 80), parameters)
    mean = torch.autograd.grad((p * model.energy(x)).sum(), parameters)
    seen = torch.tensor([[0.3, -0.8]])
    total = torch.autograd.grad(
        objectives.grid_likelihood(model, seen, box=6.0, cells=80).sum(), parameters
    )
    at_data = torch.autograd.grad(model.energy(seen).sum(), parameters)
    for a, b, c, e in zip(left, mean, total, at_data, strict=True):
        close(a, -b)
        close(c, b - e)


@pytest.mark.equation("eq-gibbs")
def test_an_energy_less_an_entropy():
    """By sums over all states, for random q; and none lies below the q that is p."""
    rbm = random_rbm()
    energy, log_z = rbm.energy(binary(4)).detach(), rbm.log_partition().detach()
    for _ in range(3):
        q = torch.randn(16).softmax(0)
        free = (q * energy).sum() + (q * q.log()).sum()
        close(-log_z, free - D.kl_divergence(D.Categorical(q), D.Categorical(probabilities(rbm))))
        assert free > -log_z


# ------------------------------------------------------------------ Boltzmann machines


@pytest.mark.equation("eq-rbm-posterior")
def test_rbm_sums_over_hidden_units():
    """Sums over all 2^3 hidden states against the product, independent bits, and the library."""
    W, b, c = torch.randn(4, 3), torch.randn(4), torch.randn(3)
    x, h = binary(4), binary(3)
    weight = (torch.einsum("xi,ij,hj->xh", x, W, h) + (x @ b)[:, None] + h @ c).exp()  # (16, 8)
    product = (x @ b).exp() * (1 + (c + x @ W).exp()).prod(1)
    close(weight.sum(1), product)
    bits = (
        D.Independent(D.Bernoulli((c + x @ W).sigmoid()), 1).log_prob(h[:, None]).exp()
    )  # (8, 16)
    close(weight / weight.sum(1, keepdim=True), bits.T)
    rbm = RBM((4,), hidden=3)
    rbm.load_state_dict({"weight": W, "visible_bias": b, "hidden_bias": c})
    close((-rbm.energy(x)).exp().detach(), weight.sum(1))
    close(rbm.hidden(x).log_prob(h[:, None]).exp().detach(), bits)


@pytest.mark.equation("eq-rbm-gradient")
def test_rbm_gradient():
    """Autograd through log p of the library's RBM against the two phases, by enumeration."""
    rbm = RBM((4,), hidden=3)
    for p in rbm.parameters():
        p.data = torch.randn_like(p)
    seen = torch.tensor([1.0, 0.0, 1.0, 1.0])
    x, h = binary(4), binary(3)
    pairs = torch.cartesian_prod(torch.arange(16), torch.arange(8))
    xs, hs = x[pairs[:, 0]], h[pairs[:, 1]]  # (128, .)
    p_joint = (-rbm.joint_energy(xs, hs)).softmax(0)
    p_h = (-rbm.joint_energy(seen.expand(8, 4), h)).softmax(0)
    left = torch.autograd.grad(rbm.log_prob(seen), rbm.parameters())
    right = []
    for (
        p
    ) in rbm.parameters():  # -grad E, averaged under each distribution with its weights held fixed
        (positive,) = torch.autograd.grad(
            -(p_h.detach() * rbm.joint_energy(seen.expand(8, 4), h)).sum(), p
        )
        (negative,) = torch.autograd.grad(-(p_joint.detach() * rbm.joint_energy(xs, hs)).sum(), p)
        right.append(positive - negative)
    for a, b in zip(left, right, strict=True):
        close(a, b)


@pytest.mark.equation("eq-detailed-balance")
def test_gibbs_is_in_detailed_balance():
    """Flows both ways between all states, and p before and after; draws of the library's step."""
    rbm = random_rbm()
    p, step = probabilities(rbm), kernel(rbm)
    flow = p[:, None] * step
    close(flow, flow.T)
    close(p @ step, p)
    start, n = 5, 20_000
    torch.manual_seed(0)
    x = samplers.gibbs(rbm, binary(4)[start].expand(n, 4))
    seen = (x.long() @ torch.tensor([8, 4, 2, 1])).bincount(minlength=16) / n
    error = (step[start] * (1 - step[start]) / n).sqrt()
    assert ((seen - step[start]).abs() < 5 * error + 1e-9).all()


@pytest.mark.equation("eq-cd-limit")
def test_the_bias_of_contrastive_divergence_decays():
    """Exact gradients after k steps, against powers of the second eigenvalue."""
    rbm = random_rbm()
    x, p, step = binary(4), probabilities(rbm), kernel(rbm)
    root = p.sqrt()[:, None] * step / p.sqrt()
    second = torch.linalg.eigvalsh((root + root.T) / 2)[-2]
    statistics = (x[:, :, None] * (rbm.hidden_bias + x @ rbm.weight).sigmoid()[:, None]).flatten(1)
    data = torch.randn(16).softmax(0)
    errors = [
        ((data @ torch.matrix_power(step, k) - p) @ statistics.detach()).norm() for k in (8, 12)
    ]
    close((errors[1] / errors[0]) ** (1 / 4), second, rtol=0.02, atol=0)


def expected_update(theta, k):
    """Of CD-k on an RBM of 3 + 2 bits, or for k = None of maximum likelihood: (11,) -> (11,)."""
    W, b, c = theta[:6].view(3, 2), theta[6:9], theta[9:]
    x, h = binary(3), binary(2)
    joint = (x @ W @ h.T + (x @ b)[:, None] + h @ c).exp()  # (8, 4)
    data = (torch.arange(8.0) / 3).softmax(0)
    if k is None:
        after = joint.sum(1) / joint.sum()
    else:
        step = (joint / joint.sum(1, keepdim=True)) @ (joint / joint.sum(0)).T
        after = data @ torch.matrix_power(step, k)
    on = (c + x @ W).sigmoid()
    statistics = torch.cat([(x[:, :, None] * on[:, None]).flatten(1), x, on], 1)
    return (data - after) @ statistics


@pytest.mark.equation("eq-cd-not-gradient")
def test_contrastive_divergence_is_no_gradient():
    """The Jacobian of the expected update, symmetric for the likelihood only; draws of CD-1."""
    theta = torch.randn(11)
    one, exact = (jacobian(lambda t, k=k: expected_update(t, k), theta) for k in (1, None))
    close(exact, exact.T)
    assert (one - one.T).norm() > 0.02 * one.norm()
    rbm = RBM((3,), 2)
    rbm.load_state_dict(
        {"weight": theta[:6].view(3, 2), "visible_bias": theta[6:9], "hidden_bias": theta[9:]}
    )
    n = 40_000
    x = binary(3)[torch.multinomial((torch.arange(8.0) / 3).softmax(0), n, replacement=True)]
    mean = objectives.contrastive_divergence(rbm, x).mean()
    drawn = torch.cat([g.flatten() for g in torch.autograd.grad(mean, rbm.parameters())])
    close(drawn, expected_update(theta, 1), rtol=0, atol=5 / n**0.5)


# ------------------------------------------------------------------ walking


@pytest.mark.equation("eq-langevin")
def test_the_langevin_diffusion_leaves_p():
    """The mean change of three functions, by quadrature with derivatives by autograd; of draws."""
    p, (x, h) = mixture(), line(9, 6000)
    weight = h * p.log_prob(x).exp()
    s = slope(p.log_prob, x)
    for g in (torch.cos, lambda x: x**2, lambda x: x**3):
        first = slope(g, x)
        second = slope(lambda x, g=g: torch.autograd.grad(g(x).sum(), x, create_graph=True)[0], x)
        close((weight * (second / 2 + s * first / 2)).sum(), 0.0, atol=1e-8, rtol=0)
    eta, n = 0.01, 200_000  # the first order in eta, of one step of the library from x
    start = torch.full((n,), 0.7)
    moved = samplers.langevin(p, start, step=eta)
    change = (moved.cos() - start.cos()) / eta
    at = torch.tensor(0.7)
    expected = -at.cos() / 2 - slope(p.log_prob, at[None])[0] * at.sin() / 2
    assert (change.mean() - expected).abs() < 5 * change.std() / n**0.5 + 3 * eta


@pytest.mark.equation("eq-ula-variance")
def test_the_variance_of_langevin_steps():
    """The recursion followed to its end against the formula; chains of the library's."""
    s = 1.3
    for eta in (0.1, 1.0, 4.0):
        v = 0.0
        for _ in range(4000):
            v = (1 - eta / (2 * s**2)) ** 2 * v + eta
        assert v == pytest.approx(s**2 / (1 - eta / (4 * s**2)))
    v = 1.0
    for _ in range(300):  # beyond 4 s^2 it has no end
        v = (1 - 7.0 / (2 * s**2)) ** 2 * v + 7.0
    assert v > 1e6
    x = samplers.langevin(D.Normal(0.0, s), torch.zeros(20_000), steps=30, step=1.0)
    expected = s**2 / (1 - 1 / (4 * s**2))
    assert x.var().item() == pytest.approx(expected, abs=5 * expected * (2 / 20_000) ** 0.5)


def langevin_matrix(p, x, h, eta, adjust=None):
    """From row to column; what is refused stays."""
    mean = x + eta / 2 * slope(p.log_prob, x)
    K = h * D.Normal(mean[:, None], eta**0.5).log_prob(x).exp()
    if adjust is not None:
        K = K * adjust.clamp(max=0).exp()
    return K + (1 - K.sum(1)).clamp(min=0).diag()


@pytest.mark.equation("eq-mala")
def test_adjusted_steps_are_in_detailed_balance():
    """Flows between all cells of a grid, with the library's ratio, at a long and a short step."""
    p, (x, h) = pair(), line(4, 200)
    log_p, s = p.log_prob(x), slope(p.log_prob, x)

    def every(index):
        return samplers.Place(x[index][:, None], log_p[index], s[index][:, None])

    here, there = (i.flatten() for i in torch.meshgrid(*[torch.arange(200)] * 2, indexing="ij"))
    for eta in (0.1, 2.0):
        log_a = samplers.mala_log_acceptance(every(here), every(there), eta).view(200, 200)
        log_q = D.Normal((x + eta / 2 * s)[:, None], eta**0.5).log_prob(x)
        close(log_a, log_p - log_p[:, None] + log_q.T - log_q)
        flow = log_p.exp()[:, None] * langevin_matrix(p, x, h, eta, log_a)
        close(flow, flow.T)


@pytest.mark.equation("eq-effective-temperature")
def test_the_temperature_of_a_walk():
    """Variances that a walk on a parabola settles at, against that of the cooled Gaussian."""
    for a, b in ((0.02, 0.2), (0.02, 0.1), (0.01, 0.01)):
        v = 0.0
        for _ in range(5000):
            v = (1 - a) ** 2 * v + b**2
        assert v == pytest.approx(b**2 / (2 * a), rel=a)  # T, as E = x^2 / 2
        # it is a Langevin step, of length b^2, for the energy E / T
        x, cold = torch.randn(5), D.Normal(0.0, (b**2 / (2 * a)) ** 0.5)
        torch.manual_seed(0)
        moved = samplers.langevin(cold, x, step=b**2)
        torch.manual_seed(0)
        close(moved, x - a * x + b * torch.randn_like(x))


@pytest.mark.equation("eq-barrier")
def test_the_time_to_forget_grows_exponentially():
    """1 / (1 - lambda_2) from the matrices of an adjusted chain, against heights of barriers."""
    log_taus, heights = [], []
    for s in (0.4, 0.3, 0.25):
        p, (x, h) = pair(s), line(3, 300)
        log_p = p.log_prob(x)
        log_q = D.Normal((x + 0.05 * slope(p.log_prob, x))[:, None], 0.1**0.5).log_prob(x)
        K = langevin_matrix(p, x, h, 0.1, log_p - log_p[:, None] + log_q.T - log_q)
        root = (log_p / 2).exp()
        balanced = root[:, None] * K / root
        second = torch.linalg.eigvalsh((balanced + balanced.T) / 2)[-2]
        log_taus.append(-(1 - second).log().item())
        heights.append((log_p.max() - p.log_prob(torch.tensor(0.0))).item())
    for i in (0, 1):
        rate = (log_taus[i + 1] - log_taus[i]) / (heights[i + 1] - heights[i])
        assert 0.7 < rate < 1.4


# ------------------------------------------------------------------ counting


@pytest.mark.equation("eq-importance-z")
def test_importance_sampling_of_z():
    """Mean and variance of the weights by enumeration, against Z and chi-squared."""
    rbm = random_rbm()
    q, p = torch.randn(16).softmax(0), probabilities(rbm)
    w, z = (-rbm.energy(binary(4))).exp().detach() / q, rbm.log_partition().exp().detach()
    close((q * w).sum(), z)
    variance = (q * w**2).sum() - z**2
    close(variance, z**2 * ((q * (p / q) ** 2).sum() - 1))


class EveryPath:
    """All paths of an RBM's moves, side by side, each with its probability."""

    def __init__(self, rbm, betas, back=False):
        self.path, x = RBMPath(rbm), binary(3)
        self.log_z0 = self.path.log_z0
        moves = len(betas) - 2
        digits = torch.tensor(list(itertools.product(range(8), repeat=moves + 1)))
        self.states, self.moved = x[digits], 0
        p = self.path.log_f(x, betas[-1] if back else betas[0]).softmax(0).detach()
        self.probability = p[digits[:, 0]]
        for i, beta in enumerate(betas[-2:0:-1] if back else betas[1:-1]):
            warm = RBM((3,), rbm.weight.shape[1])
            warm.load_state_dict({k: beta * v for k, v in rbm.state_dict().items()})
            self.probability = self.probability * kernel(warm)[digits[:, i], digits[:, i + 1]]

    def start(self, n):
        return self.states[:, 0]

    def move(self, x, beta):
        self.moved += 1
        return self.states[:, self.moved]

    def log_f(self, x, beta):
        return self.path.log_f(x, beta)


@pytest.mark.equation("eq-ais")
@pytest.mark.parametrize("betas", [(0.0, 1.0), (0.0, 0.3, 0.6, 1.0)])
def test_annealed_weights_over_all_paths(betas):
    """The mean of w over all paths against Z by enumeration, and of log w below it."""
    rbm = random_rbm(3, 2)
    every, log_z = EveryPath(rbm, betas), rbm.log_partition().detach()
    log_w = ais(every, betas, chains=len(every.states))
    close((every.probability * log_w.exp()).sum().log(), log_z)
    assert (every.probability * log_w).sum() < log_z - 1e-3


@pytest.mark.equation("eq-bdmc")
@pytest.mark.parametrize("betas", [(0.0, 1.0), (0.0, 0.3, 0.6, 1.0)])
def test_annealed_weights_backwards_over_all_paths(betas):
    """The mean of 1 / w over all paths from exact draws against 1 / Z, and of log w above log Z."""
    rbm = random_rbm(3, 2)
    every, log_z = EveryPath(rbm, betas, back=True), rbm.log_partition().detach()
    log_w = reverse_ais(every, betas, every.states[:, 0])
    close((every.probability * (-log_w).exp()).sum().log(), -log_z)
    assert (every.probability * log_w).sum() > log_z + 1e-3


# ------------------------------------------------------------------ noise contrast


class Quantiles:
    """Noise whose draws are the midpoints of n equal shares, in order."""

    def __init__(self, p):
        self.p = p

    def log_prob(self, x):
        return self.p.log_prob(x[..., 0])

    def sample(self, n):
        return self.p.icdf((torch.arange(float(n)) + 0.5) / n)[:, None]


def contrast(theta, c, data, noise, ratio=1):
    """J by quadrature."""
    x, h = line(12, 4000)
    log_noise = noise.log_prob(x) + math.log(ratio)
    G = -quartic(theta, x) - c - log_noise
    seen = h * data.log_prob(x).exp() * F.logsigmoid(G)
    return (seen + h * log_noise.exp() * F.logsigmoid(-G)).sum()


@pytest.mark.equation("eq-nce")
def test_the_optimum_of_noise_contrast():
    """At the data's own energy slopes vanish, the constant is log Z, and the value is the JSD's."""
    theta = torch.tensor([1.0, 0.0, 0.5])  # a Gaussian, about -0.5, and its log Z
    data, noise = D.Normal(-0.5, 1.0), D.Normal(0.3, 2.0)
    log_z = torch.tensor(0.5 * math.log(2 * math.pi) + 0.125)
    at = [theta.requires_grad_(), log_z.requires_grad_()]
    for gradient in torch.autograd.grad(contrast(*at, data, noise), at):
        close(gradient, torch.zeros_like(gradient), atol=1e-8, rtol=0)
    for gradient in torch.autograd.grad(contrast(*at, data, noise, ratio=3), at):
        close(gradient, torch.zeros_like(gradient), atol=1e-8, rtol=0)
    x, h = line(12, 4000)
    p, q = data.log_prob(x), noise.log_prob(x)
    middle = (0.5 * (p.exp() + q.exp())).log()
    jsd = 0.5 * h * (p.exp() * (p - middle) + q.exp() * (q - middle)).sum()
    best = contrast(*at, data, noise)
    close(best, 2 * jsd - math.log(4))
    for other in ((theta + 0.1, log_z), (theta, log_z - 0.1)):
        assert contrast(*other, data, noise) < best


@pytest.mark.equation("eq-nce-gradient")
def test_noise_contrast_sees_through_a_window():
    """Autograd through the library's objective on quantiles, against the integral."""
    theta, c = torch.tensor([0.7, 0.1, 0.3], requires_grad=True), torch.tensor(1.1)
    data, noise, n = D.Normal(-0.5, 0.8), D.Normal(0.3, 2.0), 20_000
    model = Line(theta, quartic)
    model.log_normaliser = c
    seen = Quantiles(data).sample(n)
    x, h = line(12, 4000)
    for ratio in (1, 2):
        objective = objectives.noise_contrastive(model, seen, noise=Quantiles(noise), ratio=ratio)
        (found,) = torch.autograd.grad(objective.mean(), theta)
        p = (-quartic(theta, x) - c).exp().detach()
        wide = ratio * noise.log_prob(x).exp()
        window = wide / (p + wide)
        weight = h * window * (data.log_prob(x).exp() - p)
        (expected,) = torch.autograd.grad(-(weight * quartic(theta, x)).sum(), theta)
        close(found, expected, rtol=0, atol=2e-3)


# ------------------------------------------------------------------ scores


@pytest.mark.equation("eq-score-matching")
def test_score_matching_by_parts():
    """Half the squared distance of the scores against the library's objective, by quadrature."""
    data, model = mixture(), D.Normal(0.4, 1.7)
    x, h = line(12, 6000)
    p, s = h * data.log_prob(x).exp(), slope(data.log_prob, x)
    left = (p * (slope(model.log_prob, x) - s) ** 2).sum() / 2
    objective = objectives.score_matching(model, x).detach()
    close(left, -(p * objective).sum() + (p * s**2).sum() / 2)
    y = torch.randn(4, 2)  # the trace in two dimensions, by the whole Jacobian
    density = toys.moons(points=3, sigma=0.6)
    traces = torch.stack([jacobian(lambda v: score(density, v[None])[0], v).trace() for v in y])
    expected = -score(density, y).square().sum(1) / 2 - traces
    close(objectives.score_matching(density, y).detach(), expected.detach())


@pytest.mark.equation("eq-sliced")
def test_the_trace_along_random_directions():
    """The mean over all vectors of signs; positive directions miss it; the library's by draws."""
    A = torch.randn(4, 4)
    v = 2 * binary(4) - 1
    close(((v @ A) * v).sum(1).mean(), A.trace())
    close(v.T @ v / 16, torch.eye(4))
    v = F.normalize(torch.rand(2000, 4), dim=1)
    assert (((v @ A) * v).sum(1).mean() - A.trace()).abs() > 0.1
    density, x = toys.moons(points=3, sigma=0.6), torch.randn(3, 2)
    exact = objectives.score_matching(density, x).detach()
    drawn = torch.stack([objectives.sliced_score_matching(density, x) for _ in range(100)]).detach()
    assert ((drawn.mean(0) - exact).abs() < 5 * drawn.std(0) / 10 + 1e-9).all()


def denoising_by_quadrature(data, sigma, guess):
    """1/2 E (guess(x~) + eps / sigma)^2 over data on a grid and Gauss-Hermite noise."""
    x, h = line(9, 1500)
    eps, weight = (torch.tensor(v) for v in hermegauss(40))
    weight = weight / weight.sum()
    seen = x[:, None] + sigma * eps
    error = (guess(seen) + eps / sigma) ** 2
    return ((h * data.log_prob(x).exp())[:, None] * weight * error).sum() / 2


@pytest.mark.equation("eq-dsm")
def test_denoising_matches_the_score_of_noised_data():
    """Two guesses: their losses differ as their distances from the noised score do; by draws."""
    sigma, data = 0.7, mixture()
    noised = mixture(sigmas=tuple((s**2 + sigma**2) ** 0.5 for s in (0.5, 0.3, 0.6)))
    y, h = line(12, 6000)
    weight, truth = h * noised.log_prob(y).exp(), slope(noised.log_prob, y)
    models_ = [D.Normal(0.4, 1.7), D.Normal(-1.0, 0.9)]
    loss, distance = [], []
    for model in models_:
        loss.append(denoising_by_quadrature(data, sigma, lambda x, m=model: slope(m.log_prob, x)))
        distance.append((weight * (slope(model.log_prob, y) - truth) ** 2).sum() / 2)
    close(loss[0] - loss[1], distance[0] - distance[1], rtol=1e-6, atol=1e-6)
    x = data.sample((40_000,))
    drawn = objectives.denoising_score_matching(models_[0], x, sigma=sigma).detach()
    assert (drawn.mean() + loss[0]).abs() < 5 * drawn.std() / 200


@pytest.mark.equation("eq-tweedie")
def test_tweedie():
    """The posterior mean of the clean point by quadrature, against the library's denoiser."""
    sigma, y = 0.7, torch.tensor([-1.0, 0.2, 1.7])
    x, h = line(9, 4000)
    parts = D.Independent(D.Normal(torch.tensor([[-1.5], [0.4]]), torch.tensor([[0.5], [0.3]])), 1)
    data = D.MixtureSameFamily(D.Categorical(torch.tensor([0.3, 0.7])), parts)
    weight = (data.log_prob(x[:, None]) + D.Normal(x[:, None], sigma).log_prob(y).T).softmax(1)
    mean = weight @ x
    noised = toys.Noised(data)
    close(noised.denoise(y[:, None], sigma)[:, 0], mean)
    formula = y + sigma**2 * slope(lambda y: noised.log_prob(y[:, None], sigma), y)
    close(formula, mean)


@pytest.mark.equation("eq-dsm-floor")
def test_the_least_denoising_loss():
    """The loss of the exact score, one less its size, and the error of the best denoiser."""
    sigma, data = 0.7, mixture()
    noised = mixture(sigmas=tuple((s**2 + sigma**2) ** 0.5 for s in (0.5, 0.3, 0.6)))
    y, h = line(12, 6000)
    weight, s = h * noised.log_prob(y).exp(), slope(noised.log_prob, y)
    least = 2 * sigma**2 * denoising_by_quadrature(data, sigma, lambda x: slope(noised.log_prob, x))
    floor = 1 - sigma**2 * (weight * s**2).sum()
    close(least, floor, rtol=1e-6, atol=1e-6)
    x, dx = line(9, 1500)
    eps, w = (torch.tensor(v) for v in hermegauss(40))
    seen = x[:, None] + sigma * eps
    error = (x[:, None] - seen - sigma**2 * slope(noised.log_prob, seen)) ** 2
    mmse = ((dx * data.log_prob(x).exp())[:, None] * (w / w.sum()) * error).sum()
    close(mmse / sigma**2, floor, rtol=1e-6, atol=1e-6)
    assert floor > 0.5


# ------------------------------------------------------------------ what slopes do not see


@pytest.mark.equation("eq-blind")
def test_the_score_of_a_mixture_knows_weights_between_modes_only():
    """The formula against autograd; of other weights the same, but where modes overlap."""
    means, weights = torch.tensor([[-3.0, 0.0], [3.0, 0.0]]), torch.tensor([0.9, 0.1])
    parts = D.Independent(D.Normal(means, 0.5), 1)
    x = torch.tensor([[-3.2, 0.4], [2.7, -0.3], [0.05, 0.2]])
    scores = []
    for pi in (weights, torch.tensor([0.5, 0.5])):
        log_r = pi.log() + parts.log_prob(x[:, None])
        r = log_r.softmax(1)
        formula = (r[..., None] * (means - x[:, None]) / 0.25).sum(1)
        density = D.MixtureSameFamily(D.Categorical(pi), parts)
        close(score(density, x).detach(), formula)
        scores.append(formula)
    assert (scores[0] - scores[1])[:2].abs().max() < 1e-6
    assert (scores[0] - scores[1])[2].abs().max() > 1


@pytest.mark.equation("eq-cd-score")
def test_one_langevin_step_is_score_matching():
    """Differences of energies after a step, by Gauss-Hermite, against the library's objective."""
    theta = torch.tensor([0.8, 0.3, -0.2], requires_grad=True)
    model, data, (x, h) = Line(theta, quartic), mixture(), line(9, 3000)
    p = h * data.log_prob(x).exp()
    (matching,) = torch.autograd.grad(
        -(p * objectives.score_matching(model, x[:, None])).sum(), theta
    )
    xi, w = (torch.tensor(v) for v in hermegauss(30))
    s = score(model, x[:, None])[:, 0].detach()
    found = []
    for eta in (1e-2, 1e-3):
        after = (x + eta / 2 * s)[:, None] + eta**0.5 * xi
        change = quartic(theta, x) - (quartic(theta, after) * w / w.sum()).sum(1)
        found.append(torch.autograd.grad((p * change).sum() * 2 / eta, theta)[0])
    close(found[1], matching, rtol=0.01, atol=0.01)
    assert (found[1] - matching).norm() < 0.2 * (found[0] - matching).norm()


# ------------------------------------------------------------------ many noise levels


@pytest.mark.equation("eq-noised-mixture")
def test_noise_widens_every_component():
    """The convolution by quadrature against the library's density, its score by differences."""
    parts = D.Independent(D.Normal(torch.tensor([[-1.5], [0.4]]), torch.tensor([[0.5], [0.3]])), 1)
    data = D.MixtureSameFamily(D.Categorical(torch.tensor([0.3, 0.7])), parts)
    noised, sigma, y = toys.Noised(data), 0.7, torch.tensor([-1.0, 0.2, 1.7])
    x, h = line(9, 4000)

    def convolved(y):
        kernel = D.Normal(y[:, None], sigma).log_prob(x)
        return (data.log_prob(x[:, None]) + kernel).logsumexp(1) + math.log(h)

    close(noised.log_prob(y[:, None], sigma), convolved(y))
    close(noised.score(y[:, None], sigma)[:, 0], slope(convolved, y))
    close(noised.at(sigma).log_prob(y[:, None]), convolved(y))


@pytest.mark.equation("eq-noise-prediction")
def test_weighted_score_matching_predicts_the_noise():
    """The two sides on the network's own answers, and the library's objective, draw by draw."""
    model, x, sigmas = models.ScoreNetwork.mlp((2,), hidden=(8,)), torch.randn(50, 2), (0.9, 0.2)
    torch.manual_seed(3)
    found = objectives.annealed_score_matching(model, x, sigmas=sigmas)
    torch.manual_seed(3)
    sigma = torch.tensor(sigmas)[torch.randint(2, (50,))]
    eps = torch.randn_like(x)
    seen = x + sigma[:, None] * eps
    s = model.score(seen, sigma)
    left = sigma**2 * (s + eps / sigma[:, None]).square().sum(1)
    close(left, (model.noise(seen, sigma) - eps).square().sum(1))
    close(found, -left / 2)


@pytest.mark.equation("eq-de-bruijn")
def test_scores_add_up_to_entropies_and_divergences():
    """Finite differences in the noise's variance against quadratures of scores."""
    x, h = line(14, 6000)

    def p(v):
        return mixture(sigmas=tuple((s**2 + v) ** 0.5 for s in (0.5, 0.3, 0.6)))

    def q(v):
        return D.Normal(0.2, (1.4**2 + v) ** 0.5)

    def entropy(v):
        return -h * (p(v).log_prob(x).exp() * p(v).log_prob(x)).sum()

    def kl(v):
        return h * (p(v).log_prob(x).exp() * (p(v).log_prob(x) - q(v).log_prob(x))).sum()

    v, e = 0.5, 1e-4
    weight, s = h * p(v).log_prob(x).exp(), slope(p(v).log_prob, x)
    difference = s - slope(q(v).log_prob, x)
    close((entropy(v + e) - entropy(v - e)) / (2 * e), (weight * s**2).sum() / 2, rtol=1e-5, atol=0)
    close((kl(v + e) - kl(v - e)) / (2 * e), -(weight * difference**2).sum() / 2, rtol=1e-5, atol=0)
