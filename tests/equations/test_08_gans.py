"""The labelled equations of chapter 08, each computed in two independent ways, in float64."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import scipy.optimize
import scipy.spatial
import torch
from torch import nn
from torch.distributions import Categorical, MixtureSameFamily, Normal
from torch.nn.functional import logsigmoid

from dgm.objectives import (
    critic_logistic,
    critic_wasserstein,
    generator_non_saturating,
    generator_saturating,
    gradient_penalty,
    r1_penalty,
)
from dgm.train import adversarial_step

GRID = torch.linspace(-12, 12, 2401, dtype=torch.float64)
STEP = 0.01


def integral(values):
    return values.sum(-1) * STEP


def two_modes(x):
    spots = Normal(torch.tensor([-1.5, 1.5], dtype=x.dtype), 0.5)
    return MixtureSameFamily(Categorical(torch.ones(2, dtype=x.dtype)), spots).log_prob(x)


def gaussian(x, mu, sigma):
    return -(((x - mu) / sigma) ** 2) / 2 - math.log(sigma * math.sqrt(2 * math.pi))


def kl(log_p, log_q):
    return integral(log_p.exp() * (log_p - log_q))


def jsd(log_p, log_q):
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return (kl(log_p, log_m) + kl(log_q, log_m)) / 2


def random_distributions(n, size, seed=0):
    torch.manual_seed(seed)
    return torch.rand(n, size, dtype=torch.float64).pow(3).softmax(-1)


def mean_over_pairs(objective, scores, p, q):
    """The mean of a critic's objective over all pairs of a real and a fake value.

    p and q are tables of probabilities, `scores` says what the critic gives each of the values.
    """
    real, fake = torch.cartesian_prod(*[torch.arange(len(scores))] * 2).T
    return p[real] * q[fake] @ objective(lambda x: scores[x], real, fake)


def slope_of_value(a, p, q):
    """The gradient of the library's V in the logits: zero at the best critic, and only there."""
    a = a.clone().requires_grad_()
    return torch.autograd.grad(mean_over_pairs(critic_logistic, a, p, q), a)[0]


def logits_found_by_newton(p, q, steps=200):
    """The maximiser of p log sigma(a) + q log sigma(-a), per point, by damped Newton steps."""
    a = torch.zeros_like(p)
    for _ in range(steps):
        slope = p * torch.sigmoid(-a) - q * torch.sigmoid(a)
        curvature = (p + q) * torch.sigmoid(a) * torch.sigmoid(-a)
        a = a + (slope / curvature).clamp(-1, 1)
    return a


@pytest.mark.equation("eq-value-classifier")
def test_value_is_the_classifiers_likelihood():
    """V by its definition, and by the library, against twice E[log p(c | x)], all enumerated."""
    p, q = random_distributions(2, 6)
    torch.manual_seed(1)
    a = torch.randn(6, dtype=torch.float64)
    value = (p * a.sigmoid().log()).sum() + (q * (1 - a.sigmoid()).log()).sum()
    total = 0.0
    for c, x in itertools.product((0, 1), range(6)):
        joint = 0.5 * (p if c else q)[x]  # P(c) p(x | c)
        total += joint * torch.distributions.Bernoulli(logits=a[x]).log_prob(torch.tensor(c * 1.0))
    torch.testing.assert_close(value, 2 * total)
    torch.testing.assert_close(mean_over_pairs(critic_logistic, a, p, q), 2 * total)


@pytest.mark.equation("eq-optimal-critic")
def test_optimal_critic():
    """A search over D in steps of 0.0001 at each of six points against p / (p + q).

    There the library's value of the game has no slope, and it has one elsewhere.
    """
    p, q = random_distributions(2, 6)
    D = torch.arange(1, 10_000, dtype=torch.float64)[:, None] / 10_000
    found = D[(p * D.log() + q * (1 - D).log()).argmax(0), 0]
    torch.testing.assert_close(found, p / (p + q), atol=6e-5, rtol=0)
    best = (p / (p + q)).logit()
    assert slope_of_value(best, p, q).abs().max() < 1e-15
    assert slope_of_value(best + 0.1, p, q).abs().min() > 1e-3


@pytest.mark.equation("eq-logit-ratio")
def test_logit_of_the_best_critic():
    """Logits found by maximising V numerically against the log ratio of the densities.

    On 100 points of the grid, the library's V has no slope at that ratio.
    """
    log_p, log_q = two_modes(GRID), gaussian(GRID, 0.5, 1.5)
    near = GRID.abs() < 5
    found = logits_found_by_newton(log_p.exp()[near], log_q.exp()[near])
    torch.testing.assert_close(found, (log_p - log_q)[near], atol=1e-8, rtol=1e-8)
    p, q = (log[near][::10].softmax(0) for log in (log_p, log_q))
    assert slope_of_value(p.log() - q.log(), p, q).abs().max() < 1e-15
    assert slope_of_value(p.log() - q.log() + 0.1, p, q).abs().max() > 1e-4


@pytest.mark.equation("eq-value-jsd")
def test_value_at_the_best_critic():
    """V maximised numerically, by quadrature, against 2 JSD - log 4; other critics stay below.

    On tables, the library's V at the best logits against scipy's Jensen-Shannon distance.
    """
    log_p = two_modes(GRID)
    for mu, sigma in ((0.5, 1.5), (-3.0, 1.0), (0.0, 1.8)):
        log_q = gaussian(GRID, mu, sigma)
        a = logits_found_by_newton(log_p.exp(), log_q.exp(), steps=400)

        def value(a, log_p=log_p, log_q=log_q):
            return integral(log_p.exp() * logsigmoid(a) + log_q.exp() * logsigmoid(-a))

        bound = 2 * jsd(log_p, log_q) - math.log(4)
        torch.testing.assert_close(value(a), bound, atol=1e-8, rtol=0)
        assert value(a + 0.1 * torch.sin(GRID)) < bound - 1e-5
    p, q = random_distributions(2, 6)
    best = mean_over_pairs(critic_logistic, p.log() - q.log(), p, q).item()
    distance = scipy.spatial.distance.jensenshannon(p.numpy(), q.numpy())
    assert best == pytest.approx(2 * distance**2 - math.log(4), abs=1e-12)


@pytest.mark.equation("eq-jsd-bounds")
def test_jsd_bounds():
    """200 pairs, values checked by scipy: in the bounds, 0 if equal, log 2 if disjoint."""

    def jsd(p, q):
        return (torch.xlogy(p, 2 * p / (p + q)) + torch.xlogy(q, 2 * q / (p + q))).sum(-1) / 2

    p, q = random_distributions(200, 5), random_distributions(200, 5, seed=1) ** 8
    q = q / q.sum(-1, keepdim=True)
    values = jsd(p, q)
    reference = scipy.spatial.distance.jensenshannon(p.numpy(), q.numpy(), axis=1) ** 2
    torch.testing.assert_close(values, torch.as_tensor(reference))
    assert (values > 1e-6).all() and (values < math.log(2)).all()
    assert jsd(p, p).abs().max() < 1e-12
    ends = torch.eye(5, dtype=torch.float64)[:2] * (1 - 4e-13) + 1e-13
    torch.testing.assert_close(
        jsd(*ends), torch.tensor(math.log(2), dtype=torch.float64), atol=1e-9, rtol=0
    )


@pytest.mark.equation("eq-half-of-two")
def test_half_of_two_modes():
    """Two far modes against one of them, by quadrature, against 3/4 log 4/3."""
    one, other = gaussian(GRID, -5.0, 0.5), gaussian(GRID, 5.0, 0.7)
    both = torch.logaddexp(one, other) - math.log(2)
    expected = torch.tensor(0.75 * math.log(4 / 3), dtype=torch.float64)
    torch.testing.assert_close(jsd(both, one), expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(jsd(both, other), expected, atol=1e-9, rtol=0)


@pytest.mark.equation("eq-generator-slopes")
def test_generator_slopes():
    """The three derivatives by central differences against the formulas, from a = -10 to 10.

    The library's objectives, -log(1 - sigma(a)) and log sigma(a), have these slopes by autograd.
    """
    a, h = torch.linspace(-10, 10, 41, dtype=torch.float64), 1e-5
    pairs = [
        (lambda a: (1 - a.sigmoid()).log(), -a.sigmoid()),
        (lambda a: a.sigmoid().log(), 1 - a.sigmoid()),
        (lambda a: a.sigmoid(), a.sigmoid() * (1 - a.sigmoid())),
    ]
    for f, formula in pairs:
        torch.testing.assert_close((f(a + h) - f(a - h)) / (2 * h), formula, atol=1e-6, rtol=0)
    a.requires_grad_()
    for objective, formula in (
        (generator_saturating, a.sigmoid()),
        (generator_non_saturating, 1 - a.sigmoid()),
    ):
        (slope,) = torch.autograd.grad(objective(lambda x: x, a).sum(), a)
        torch.testing.assert_close(slope, formula.detach())


@pytest.mark.equation("eq-gaussian-game")
def test_gaussian_game():
    """Central differences in mu, the critic held fixed, by quadrature, against mu E[D*].

    Both losses are written out, and both are minus an objective of the library.
    """
    z, weight = GRID, gaussian(GRID, 0.0, 1.0).exp()
    for mu in (-5.0, -1.0, 0.5):

        def logit(x, mu=mu):
            return gaussian(x, 0.0, 1.0) - gaussian(x, mu, 1.0)

        D = logit(mu + z).sigmoid()
        for loss, mean in (
            (lambda x, D: logsigmoid(-D(x)), integral(weight * D)),
            (lambda x, D: -generator_saturating(D, x), integral(weight * D)),
            (lambda x, D: -logsigmoid(D(x)), integral(weight * (1 - D))),
            (lambda x, D: -generator_non_saturating(D, x), integral(weight * (1 - D))),
        ):
            up, down = (integral(weight * loss(mu + h + z, logit)) for h in (1e-5, -1e-5))
            torch.testing.assert_close((up - down) / 2e-5, mu * mean, atol=1e-7, rtol=1e-6)


@pytest.mark.equation("eq-nonsaturating-gradient")
def test_nonsaturating_gradient():
    """Autograd through x = mu + sigma z with D* fixed against differences of KL - 2 JSD.

    The loss is minus the library's objective of the generator.
    """
    log_p = two_modes(GRID)
    z, weight = GRID, gaussian(GRID, 0.0, 1.0).exp()

    def divergences(mu, sigma):
        log_q = gaussian(GRID, mu, sigma)
        return kl(log_q, log_p) - 2 * jsd(log_p, log_q)

    for at in ((0.3, 0.7), (-1.0, 0.4)):
        mu, sigma = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in at)
        x = mu + sigma * z

        def critic(x, at=at):  # at holds floats: D* does not move
            return two_modes(x) - gaussian(x, *at)

        loss = integral(weight * -generator_non_saturating(critic, x))
        gradient = torch.stack(torch.autograd.grad(loss, (mu, sigma)))
        h = 1e-4
        right = [
            (divergences(at[0] + h, at[1]) - divergences(at[0] - h, at[1])) / (2 * h),
            (divergences(at[0], at[1] + h) - divergences(at[0], at[1] - h)) / (2 * h),
        ]
        torch.testing.assert_close(gradient, torch.stack(right), atol=1e-5, rtol=1e-5)


@pytest.mark.equation("eq-jsd-disjoint")
def test_jsd_of_disjoint_distributions():
    """scipy's Jensen-Shannon distance, squared, of tables on disjoint sets against log 2."""
    distributions = random_distributions(10, 4)
    for p, q in itertools.combinations(distributions, 2):
        padded = np.r_[p.numpy(), np.zeros(4)], np.r_[np.zeros(4), q.numpy()]
        assert abs(scipy.spatial.distance.jensenshannon(*padded) ** 2 - math.log(2)) < 1e-12


@pytest.mark.equation("eq-jsd-uniform")
def test_jsd_of_uniform_distributions():
    """scipy's divergence of the two on cells of width 0.001 against min(d, 1) log 2."""
    cells = np.arange(0, 12, 0.001) + 0.0005
    for d in (0.0, 0.25, 0.5, 1.0, 2.0, 9.0):
        p, q = ((cells > start) & (cells < start + 1) for start in (0.0, d))
        divergence = scipy.spatial.distance.jensenshannon(p, q) ** 2
        assert abs(divergence - min(d, 1) * math.log(2)) < 1e-9


def cheapest_plan(x, y, p, q):
    """The optimal transport cost of two tables by linear programming over all plans."""
    cost = np.abs(x[:, None] - y[None, :])
    rows = np.kron(np.eye(len(x)), np.ones(len(y)))
    columns = np.kron(np.ones(len(x)), np.eye(len(y)))
    constraints = dict(A_eq=np.r_[rows, columns], b_eq=np.r_[p, q])
    return scipy.optimize.linprog(cost.ravel(), **constraints, bounds=(0, None)).fun


def two_discrete_distributions(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=6), rng.normal(1.0, 2.0, size=7)
    return x, y, rng.dirichlet(np.ones(6)), rng.dirichlet(np.ones(7))


@pytest.mark.equation("eq-wasserstein-line")
def test_wasserstein_on_a_line():
    """The cheapest plan by linear programming against the area between distribution functions."""
    for seed in range(3):
        x, y, p, q = two_discrete_distributions(seed)
        ends = np.sort(np.r_[x, y])
        middle = (ends[1:] + ends[:-1]) / 2
        F_p = ((x <= middle[:, None]) * p).sum(1)
        F_q = ((y <= middle[:, None]) * q).sum(1)
        area = (np.abs(F_p - F_q) * np.diff(ends)).sum()
        assert abs(cheapest_plan(x, y, p, q) - area) < 1e-9


@pytest.mark.equation("eq-kantorovich")
def test_kantorovich_duality():
    """The cheapest plan against the best 1-Lipschitz function, two linear programs.

    For that function the library's objective without penalty has the same mean.
    """
    for seed in range(3):
        x, y, p, q = two_discrete_distributions(seed)
        points, gain = np.r_[x, y], np.r_[p, -q]
        pairs = list(itertools.permutations(range(len(points)), 2))
        slopes = np.zeros((len(pairs), len(points)))
        for row, (i, j) in enumerate(pairs):
            slopes[row, [i, j]] = 1, -1  # a(x_i) - a(x_j) <= |x_i - x_j|
        distances = [abs(points[i] - points[j]) for i, j in pairs]
        best = scipy.optimize.linprog(-gain, slopes, distances, bounds=(-50, 50))
        assert abs(-best.fun - cheapest_plan(x, y, p, q)) < 1e-8
        on_all = [torch.as_tensor(v) for v in (best.x, np.r_[p, 0 * q], np.r_[0 * p, q])]
        value = mean_over_pairs(partial(critic_wasserstein, penalty=0.0), *on_all)
        assert abs(value.item() - cheapest_plan(x, y, p, q)) < 1e-8


@pytest.mark.equation("eq-penalty-linear")
def test_gradient_penalty():
    """Double backward against the formula (linear critic) and finite differences (a network)."""
    torch.manual_seed(0)
    real, fake = torch.randn(2, 8, 3, dtype=torch.float64)
    w = torch.randn(3, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(lambda x: x @ w + 0.7, real, fake).mean()
    (gradient,) = torch.autograd.grad(penalty, w)
    norm = w.detach().norm()
    torch.testing.assert_close(gradient, 2 * (norm - 1) * w.detach() / norm)

    critic = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1), nn.Flatten(0)).double()
    weight = critic[0].weight

    def objective():
        torch.manual_seed(1)  # the same points between real and fake each time
        return critic_wasserstein(critic, real, fake, penalty=3.0).mean()

    (gradient,) = torch.autograd.grad(objective(), weight)
    differences = torch.zeros_like(weight)
    for i, j in itertools.product(range(5), range(3)):
        values = []
        for h in (1e-6, -1e-6):
            with torch.no_grad():
                weight[i, j] += h
            values.append(objective().item())
            with torch.no_grad():
                weight[i, j] -= h
        differences[i, j] = (values[0] - values[1]) / 2e-6
    torch.testing.assert_close(gradient, differences, atol=1e-7, rtol=1e-6)


@pytest.mark.equation("eq-penalty-slope")
def test_the_penalty_is_a_price():
    """The library's objective of cones of slope s, searched over s, against 1 + W / (2 gamma).

    All fakes are at the origin, so that W, from scipy's assignment, is the mean distance from it,
    and a cone of slope 1 attains it.
    """
    torch.manual_seed(0)
    real, fake = torch.randn(40, 3, dtype=torch.float64), torch.zeros(40, 3, dtype=torch.float64)
    cost = torch.cdist(real, fake)
    rows, columns = scipy.optimize.linear_sum_assignment(cost.numpy())
    W = cost[rows, columns].mean().item()
    for gamma in (0.5, 10.0):

        def minus_objective(s, gamma=gamma):
            cone = lambda x: s * x.norm(dim=1)  # noqa: E731
            return -critic_wasserstein(cone, real, fake, penalty=gamma).mean().item()

        found = scipy.optimize.minimize_scalar(minus_objective, bounds=(0, 9), method="bounded")
        assert found.x == pytest.approx(1 + W / (2 * gamma), abs=1e-4)
        assert minus_objective(1.0) == pytest.approx(-W)


def product_of_norms(net):
    norms = [torch.linalg.svdvals(m.weight)[0] for m in net if isinstance(m, nn.Linear)]
    return math.prod(norm.item() for norm in norms)


@pytest.mark.equation("eq-spectral-lipschitz")
def test_spectral_norms_bound_the_slope():
    """Slopes of networks between many pairs of points against the product of norms by the SVD."""
    for seed in range(5):
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))
        net = net.double()
        x = 0.3 * torch.randn(4000, 4, dtype=torch.float64)
        for reach in (1e-3, 1.0):
            y = x + reach * torch.randn_like(x)
            with torch.no_grad():
                slopes = (net(x) - net(y)).norm(dim=1) / (x - y).norm(dim=1)
            assert 0 < slopes.max() <= product_of_norms(net)
    # attained by scaled rotations, where nothing is lost: the slope is the product everywhere
    layers = [nn.Linear(4, 4).double() for _ in range(3)]
    for layer, scale in zip(layers, (0.5, 3.0, 2.0), strict=True):
        layer.weight.data = scale * torch.linalg.qr(layer.weight.data).Q
    net = nn.Sequential(*layers)
    with torch.no_grad():
        slopes = (net(x) - net(y)).norm(dim=1) / (x - y).norm(dim=1)
    torch.testing.assert_close(slopes, torch.full_like(slopes, product_of_norms(net)))


@pytest.mark.equation("eq-power-iteration")
def test_power_iteration():
    """u^T W v after 200 rounds against the largest singular value from the SVD."""
    for seed in range(5):
        torch.manual_seed(seed)
        W = torch.randn(7, 4, dtype=torch.float64)
        u = torch.randn(7, dtype=torch.float64)
        for _ in range(200):
            v = W.T @ u / (W.T @ u).norm()
            u = W @ v / (W @ v).norm()
        torch.testing.assert_close(u @ W @ v, torch.linalg.svdvals(W)[0], rtol=1e-6, atol=0)
        layer = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 7, bias=False).double())
        layer.parametrizations.weight.original.data.copy_(W)
        layer.train()
        for _ in range(200):
            normed = layer.weight  # one round per look in training mode
        torch.testing.assert_close(
            normed.detach(), W / torch.linalg.svdvals(W)[0], rtol=1e-5, atol=0
        )


def dirac_value(theta, psi):
    """V of the Dirac-GAN: one data point at 0, one fake at theta, logit psi x."""
    return logsigmoid(psi * torch.zeros(())) + logsigmoid(-psi * theta)


def dirac_motion(state, gamma=0.0):
    """Autograd's gradients: the generator descends V, the critic ascends V - gamma/2 psi^2."""
    theta, psi = state
    d_theta = torch.func.grad(dirac_value)(theta, psi)
    d_psi = torch.func.grad(lambda s: dirac_value(theta, s) - gamma / 2 * s**2)(psi)
    return torch.stack([-d_theta, d_psi])


def eigenvalues_of(step):
    at_rest = torch.zeros(2, dtype=torch.float64)
    return torch.linalg.eigvals(torch.func.jacrev(step)(at_rest))


class Fake(nn.Module):
    """The generator of the Dirac-GAN, in the library's terms: one point, at theta."""

    def __init__(self, theta):
        super().__init__()
        self.theta = nn.Parameter(theta)

    def rsample(self, n):
        return self.theta.expand(n, 1)

    def sample(self, n):
        return self.rsample(n).detach()


class Slope(nn.Module):
    """Its critic: the logit psi x."""

    def __init__(self, psi):
        super().__init__()
        self.psi = nn.Parameter(psi)

    def forward(self, x):
        return self.psi * x[:, 0]


def library_step(state, eta, simultaneous):
    """The state after one step of the library, both players by plain gradient ascent."""
    generator, critic = Fake(state[0].clone()), Slope(state[1].clone())
    step = adversarial_step(
        generator,
        critic,
        generator_objective=generator_saturating,
        generator_optimizer=partial(torch.optim.SGD, lr=eta),
        critic_optimizer=partial(torch.optim.SGD, lr=eta),
        simultaneous=simultaneous,
    )
    step((torch.zeros(1, 1, dtype=torch.float64),))
    return torch.stack([generator.theta, critic.psi]).detach()


def by_differences(step, h=1e-6):
    """The Jacobian of one step at rest: (2, 2)."""
    units = h * torch.eye(2, dtype=torch.float64)
    return torch.stack([(step(unit) - step(-unit)) / (2 * h) for unit in units], 1)


@pytest.mark.equation("eq-dirac-circles")
def test_dirac_gan_circles():
    """Autograd's motion against the formula, and the radius along it by Runge-Kutta."""

    def formula(state):
        theta, psi = state
        return torch.stack([psi, -theta]) * torch.sigmoid(theta * psi)

    torch.manual_seed(0)
    for state in torch.randn(5, 2, dtype=torch.float64):
        torch.testing.assert_close(dirac_motion(state), formula(state))
    h, now = 0.05, state
    for _ in range(300):  # twice around
        k1 = formula(now)
        k2 = formula(now + h / 2 * k1)
        k3 = formula(now + h / 2 * k2)
        k4 = formula(now + h * k3)
        now = now + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    torch.testing.assert_close(now.norm(), state.norm(), atol=1e-6, rtol=0)


@pytest.mark.equation("eq-dirac-simultaneous")
def test_dirac_simultaneous():
    """Eigenvalues of the Jacobian of one simultaneous step of autograd against 1 +- i eta / 2.

    And the Jacobian of the library's step, by differences, against the matrix.
    """
    for eta in (0.01, 0.5, 2.0):
        values = eigenvalues_of(lambda s, eta=eta: s + eta * dirac_motion(s))
        torch.testing.assert_close(values.real, torch.ones(2).double())
        torch.testing.assert_close(
            values.imag.abs(), torch.full((2,), eta / 2, dtype=torch.float64)
        )
        J = by_differences(lambda s, eta=eta: library_step(s, eta, simultaneous=True))
        matrix = torch.tensor([[1, eta / 2], [-eta / 2, 1]], dtype=torch.float64)
        torch.testing.assert_close(J, matrix, atol=1e-7, rtol=0)
        modulus = torch.full((2,), math.sqrt(1 + eta**2 / 4), dtype=torch.float64)
        torch.testing.assert_close(values.abs(), modulus)


@pytest.mark.equation("eq-dirac-alternating")
def test_dirac_alternating():
    """Jacobian and eigenvalues of one alternating step of autograd against the matrix and 1.

    And the Jacobian of the library's step, by differences.
    """
    for eta in (0.01, 0.5, 2.0, 3.9, 4.1):

        def step(state, eta=eta):
            psi = state[1] + eta * dirac_motion(state)[1]
            theta = state[0] + eta * dirac_motion(torch.stack([state[0], psi]))[0]
            return torch.stack([theta, psi])

        J = torch.func.jacrev(step)(torch.zeros(2, dtype=torch.float64))
        matrix = torch.tensor([[1 - eta**2 / 4, eta / 2], [-eta / 2, 1]], dtype=torch.float64)
        torch.testing.assert_close(J, matrix, atol=1e-7, rtol=0)
        J = by_differences(lambda s, eta=eta: library_step(s, eta, simultaneous=False))
        torch.testing.assert_close(J, matrix, atol=1e-7, rtol=0)
        modulus = eigenvalues_of(step).abs()
        if eta < 4:
            torch.testing.assert_close(modulus, torch.ones(2).double(), atol=1e-7, rtol=0)
        else:
            assert modulus.max() > 1.1


@pytest.mark.equation("eq-dirac-r1")
def test_dirac_r1():
    """Eigenvalues of the Jacobian of autograd's motion with R1 against the formula.

    The motion of the critic is what the library's objective and its penalty make of it.
    """
    for gamma in (0.1, 0.5, 1.5, 3.0):
        values = eigenvalues_of(lambda s, gamma=gamma: dirac_motion(s, gamma))
        root = complex(gamma**2 - 1) ** 0.5
        formula = [(-gamma + root) / 2, (-gamma - root) / 2]
        key = lambda v: (round(v.real, 6), round(v.imag, 6))  # noqa: E731
        found = sorted(values.tolist(), key=key)
        for a, b in zip(found, sorted(formula, key=key), strict=True):
            assert abs(a - b) < 1e-7
        assert max(v.real for v in found) < 0
        state = torch.tensor([0.7, -0.4], dtype=torch.float64, requires_grad=True)
        points = torch.zeros(1, 1).double(), state[:1, None].detach()  # the data, the fake
        slope = lambda x, s=state: s[1] * x[:, 0]  # noqa: E731
        value = critic_logistic(slope, *points) - gamma * r1_penalty(slope, points[0])
        d_psi = torch.autograd.grad(value.sum(), state)[0][1]
        torch.testing.assert_close(d_psi, dirac_motion(state.detach(), gamma)[1])


@pytest.mark.equation("eq-best-response")
def test_best_response_is_a_point():
    """The mean of log(1 - D) over 1000 tables against its smallest value, and a point mass."""
    torch.manual_seed(0)
    D = torch.rand(7, dtype=torch.float64)
    lowest = torch.log1p(-D).min()
    means = random_distributions(1000, 7) @ (1 - D).log()
    assert (means >= lowest).all()
    # gradient descent over all distributions, by softmax, ends in the point where D is highest
    scores = torch.zeros(7, dtype=torch.float64, requires_grad=True)
    for _ in range(3000):
        (gradient,) = torch.autograd.grad(scores.softmax(0) @ (1 - D).log(), scores)
        scores = (scores - 5 * gradient).detach().requires_grad_()
    assert scores.argmax() == D.argmax()
    torch.testing.assert_close(
        scores.detach().softmax(0) @ (1 - D).log(), lowest, atol=1e-3, rtol=0
    )


@pytest.mark.equation("eq-mmd-linear")
def test_mmd_of_the_linear_kernel():
    """The three expectations over all pairs of a table against the distance of means."""
    torch.manual_seed(0)
    points = torch.randn(6, 3, dtype=torch.float64)
    p, q = random_distributions(2, 6)
    kernel = points @ points.T
    mmd2 = p @ kernel @ p + q @ kernel @ q - 2 * p @ kernel @ q
    torch.testing.assert_close(mmd2, (p @ points - q @ points).square().sum())
