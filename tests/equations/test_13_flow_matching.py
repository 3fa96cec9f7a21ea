"""The labelled equations of chapter 13, each computed in two independent ways, in float64."""

import itertools
import math

import pytest
import torch
from torch import distributions as D

from dgm import couplings, evaluate, objectives, paths
from dgm.denoisers import FlowPrior, NoisedMixture
from dgm.evaluate import hutchinson, ode_log_prob, straightness, transport_cost
from dgm.models import Diffusion
from dgm.paths import cosine, linear, vp
from dgm.predictions import from_x0, loss_weight, to_x0
from dgm.samplers import euler, heun, trajectory

THREE_PATHS = (linear(), cosine(), vp())


@pytest.fixture(autouse=True)
def float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def close(a, b, **tolerance):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), **tolerance)


def mixture(means, sigmas, weights=None):
    """A mixture of round Gaussians: means (K, D), sigmas (K,)."""
    means, sigmas = torch.tensor(means), torch.tensor(sigmas)[:, None]
    weights = torch.ones(len(means)) if weights is None else torch.tensor(weights)
    parts = D.Independent(D.Normal(means, sigmas.expand_as(means)), 1)
    return D.MixtureSameFamily(D.Categorical(weights), parts)


def on_the_line():
    return mixture([[-1.5], [0.3], [1.4]], [0.3, 0.25, 0.4], [0.5, 0.2, 0.3])


def in_the_plane():
    return mixture([[-1.0, 0.5], [0.8, 0.2], [0.1, -0.9]], [0.3, 0.4, 0.25], [0.5, 0.3, 0.2])


def gaussian(mean, v, d=1):
    return mixture([[mean] * d], [v**0.5])


def line(half=7.0, n=2001):
    """Points of the line, (n, 1), and their distance."""
    x = torch.linspace(-half, half, n)
    return x[:, None], (x[1] - x[0]).item()


def even(n, first=1.0, last=0.0):
    return torch.linspace(first, last, n + 1).tolist()


def divergence(model, x, t):
    """The trace of the velocity's Jacobian, one backward pass for each coordinate: (B,)."""
    each = []
    for d in range(x.shape[1]):
        x = x.detach().requires_grad_()
        (row,) = torch.autograd.grad(model.velocity(x, t)[:, d].sum(), x)
        each.append(row[:, d])
    return torch.stack(each).sum(0)


# ------------------------------------------------------------------ a field moves a density


@pytest.mark.equation("eq-continuity")
def test_no_mass_is_lost():
    """Differences of the density in time against autograd's divergence of the flux, three paths."""
    x, h = torch.randn(50, 2), 1e-5
    for path in THREE_PATHS:
        model = NoisedMixture(in_the_plane(), path)
        change = (model.log_prob(x, 0.4 + h).exp() - model.log_prob(x, 0.4 - h).exp()) / (2 * h)
        each = x.clone().requires_grad_()
        flux = model.log_prob(each, 0.4).exp()[:, None] * model.velocity(each, 0.4)
        outflow = sum(
            torch.autograd.grad(flux[:, d].sum(), each, retain_graph=True)[0][:, d] for d in (0, 1)
        )
        close(change, -outflow, atol=1e-7, rtol=1e-6)
        assert change.abs().max() > 0.01


@pytest.mark.equation("eq-instantaneous")
def test_the_density_along_a_trajectory():
    """Its slope by differences against the divergence; the whole integral against the density."""
    model, x, h = NoisedMixture(in_the_plane(), linear()), torch.randn(20, 2), 1e-4
    moved = [x + sign * h * model.velocity(x, 0.5) for sign in (1, -1)]
    slope = (model.log_prob(moved[0], 0.5 + h) - model.log_prob(moved[1], 0.5 - h)) / (2 * h)
    close(slope, -divergence(model, x, 0.5), atol=1e-6, rtol=1e-5)
    x = in_the_plane().sample((20,))
    found = ode_log_prob(model, x, steps=150)
    close(found, in_the_plane().log_prob(x), atol=1e-2, rtol=0)
    close(objectives.flow_likelihood(model, x, steps=150).detach(), found)


@pytest.mark.equation("eq-hutchinson-variance")
def test_how_noisy_the_trace_is():
    """All 32 vectors of signs, and 200,000 Gaussian ones, against the two formulas."""
    A = torch.randn(5, 5)
    S = (A + A.T) / 2
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=5)))
    _, values = hutchinson(lambda x: x @ A.T, torch.zeros(32, 5), signs)
    close(values.mean(), A.trace())
    off_diagonal = S.square().sum() - S.diagonal().square().sum()
    close(values.var(correction=0), 2 * off_diagonal)
    v = torch.randn(200_000, 5)
    _, values = hutchinson(lambda x: x @ A.T, torch.zeros_like(v), v)
    close(values.var(), 2 * S.square().sum(), rtol=0.03, atol=0)
    assert off_diagonal < 0.9 * S.square().sum()


# ------------------------------------------------------------------ learning it


@pytest.mark.equation("eq-marginal-velocity")
def test_the_mean_velocity_of_pairs():
    """Quadrature over x_0 given x_t against the library's velocity; a dependent coupling, too."""
    x0, h = line()
    p0 = on_the_line().log_prob(x0).exp() * h
    for path in THREE_PATHS:
        t = torch.tensor(0.35)
        alpha, sigma = path.alpha(t), path.sigma(t)
        x = torch.tensor([[-1.2], [0.1], [0.9]])
        eps = (x - alpha * x0.T) / sigma  # (3, n): what the noise was
        w = p0 * D.Normal(0.0, 1.0).log_prob(eps).exp()
        pair = path.d_alpha(t) * x0.T + path.d_sigma(t) * eps
        mean = (w * pair).sum(1) / w.sum(1)
        close(NoisedMixture(on_the_line(), path).velocity(x, 0.35)[:, 0], mean)
    # noise of correlation c with Gaussian data, linear path: Var x_t changes as 2 u / x says
    c, v, t = 0.6, 0.25, torch.tensor(0.3, requires_grad=True)
    spread = (1 - t) ** 2 * v + t**2 + 2 * t * (1 - t) * c * v**0.5
    (change,) = torch.autograd.grad(spread, t)
    slope = (t - (1 - t) * v + (1 - 2 * t) * c * v**0.5) / spread  # Cov(velocity, x_t) / Var
    close(change / spread, 2 * slope)


@pytest.mark.equation("eq-flow-matching")
def test_pairs_teach_the_field():
    """Both losses of a field of three parameters by quadrature, their gradients; the library's."""
    t, h = 0.4, 0.05
    grid = torch.arange(-7.0, 7.0, h)
    x0, eps = (each[:, None] for each in torch.cartesian_prod(grid, grid).T)
    w = (on_the_line().log_prob(x0) + D.Normal(0.0, 1.0).log_prob(eps[:, 0])).exp() * h**2
    exact, theta = NoisedMixture(on_the_line(), linear()), torch.randn(3, requires_grad=True)
    x_t = (1 - t) * x0 + t * eps
    u = theta[0] + theta[1] * x_t + theta[2] * (2 * x_t).sin()
    pairs = w @ (u - (eps - x0)).square().sum(1)
    field = w @ (u - exact.velocity(x_t, t)).square().sum(1)
    floor = w @ (exact.covariance(x_t, t)[:, 0, 0] / t**2)  # of -x_0 / t, the rest being x_t
    close((pairs - field).detach(), floor, atol=1e-6, rtol=1e-6)
    gradients = [torch.autograd.grad(loss, theta, retain_graph=True)[0] for loss in (pairs, field)]
    close(gradients[0], gradients[1], atol=1e-8, rtol=1e-8)

    def at_t(n, like):
        early, late = linear().ends(paths.LOG_SNR, like)
        return (t - early) / (late - early) * like.new_ones(n), like.new_ones(n)

    class Field(NoisedMixture):  # u instead of the exact velocity
        def velocity(self, x, t, y=None):
            return theta[0] + theta[1] * x + theta[2] * (2 * x).sin()

    model, x = Field(on_the_line(), linear()), on_the_line().sample((20_000,))
    mean, error = evaluate.mean_and_error(-objectives.flow_matching(model, x, times=at_t).detach())
    assert abs(mean - pairs.item()) < 4 * error


@pytest.mark.equation("eq-linear-readings")
def test_what_a_velocity_knows():
    """The readings against the exact denoiser and score, and the library's conversions."""
    model, t = NoisedMixture(in_the_plane(), linear()), 0.3
    x = torch.randn(30, 2)
    u = model.velocity(x, t)
    close(x - t * u, model.denoise(x, t))
    close(-(x + (1 - t) * u) / t, model.score(x, t))
    slope = torch.autograd.functional.jacobian(lambda x: model.log_prob(x, t).sum(), x)
    close(-(x + (1 - t) * u) / t, slope)
    close(to_x0(u, "velocity", x, linear(), t), x - t * u)
    close(from_x0(x - t * u, "eps", x, linear(), t), x + (1 - t) * u)


@pytest.mark.equation("eq-one-flow")
def test_all_paths_are_one_flow():
    """Ends of three paths' equations against those of the one in sigma / alpha, without a path."""
    density, log_snr = in_the_plane(), torch.linspace(-5.0, 5.0, 401)
    y0 = torch.randn(12, 2) * math.exp(2.5)  # x / alpha, where there is much noise
    rho, y = (-log_snr / 2).exp(), y0
    clean = NoisedMixture(density, linear()).noised

    def slope(y, rho):
        return -rho * clean.score(y, sigma=rho.expand(len(y)))  # E[eps | y] by the score of y

    for a, b in itertools.pairwise(rho):
        there = y + (b - a) * slope(y, a)
        y = y + (b - a) * (slope(y, a) + slope(there, b)) / 2
    for path in THREE_PATHS:
        times = path.time_of(log_snr).tolist()
        start, end = (path.alpha(torch.tensor(times[k])) for k in (0, -1))
        found = heun(NoisedMixture(density, path), start * y0, times) / end
        close(found, y, atol=5e-3, rtol=0)


@pytest.mark.equation("eq-matching-weight")
def test_what_the_losses_weigh():
    """dt / d lambda by differences, times the library's weights, against the formulas."""
    lam, h = torch.linspace(-6, 6, 25), 1e-4
    for path, kind, factor in ((linear(), "velocity", 0.5), (cosine(), "v", 1 / math.pi)):
        speed = (path.time_of(lam - h) - path.time_of(lam + h)) / (2 * h)
        weight = speed * loss_weight(kind, path, path.time_of(lam))
        close(weight, factor * (lam / 2).exp(), rtol=1e-6, atol=0)


# ------------------------------------------------------------------ straight or not


def test_straightness():
    """The library's, along trajectories, against integrals over r(t) in closed form."""
    t = torch.linspace(0, 1, 4001)
    for path, v in ((linear(), 1.0), (linear(), 0.25), (cosine(), 0.25)):
        r = (path.alpha(t).square() * v + path.sigma(t).square()).sqrt()
        exact = 4000 * r.diff().square().sum() - (r[-1] - r[0]).square()
        found, error = straightness(NoisedMixture(gaussian(0.0, v, d=2), path), n=4000)
        assert abs(found - 2 * exact) < 4 * error + 0.02 * exact
    assert straightness(NoisedMixture(gaussian(0.0, 1.0), cosine()), n=100)[0] < 1e-6


@pytest.mark.equation("eq-gaussian-flow")
def test_flows_of_gaussians_scale():
    """The library's trajectories against one z for each, on three paths."""
    z = torch.linspace(-2, 2, 9)[:, None]
    for path in THREE_PATHS:

        def at(t, path=path):
            a, s = path.alpha(torch.tensor(t)), path.sigma(torch.tensor(t))
            return 0.4 * a + (0.09 * a.square() + s.square()).sqrt() * z

        times = even(200, 0.9, 0.02)
        found = trajectory(NoisedMixture(gaussian(0.4, 0.09), path), at(0.9), times, sampler=heun)
        close(found[100], at(times[100]), atol=1e-3, rtol=0)
        close(found[-1], at(0.02), atol=1e-3, rtol=0)


@pytest.mark.equation("eq-first-step")
def test_one_step_finds_the_mean():
    """One Euler step of the library's against the mixture's mean, from any noise."""
    density = in_the_plane()
    model, x = NoisedMixture(density, linear()), 3 * torch.randn(50, 2)
    close(euler(model, x, [1.0, 0.0]), density.mean.expand(50, 2))
    close(model.velocity(x, 1.0), x - density.mean)


# ------------------------------------------------------------------ couplings


@pytest.mark.equation("eq-cost-chain")
def test_a_flow_costs_less_than_its_pairs():
    """On the line: moments, quadrature, trajectories and quantiles, in this order."""
    density = on_the_line()
    model = NoisedMixture(density, linear())
    independent = 1 + density.variance[0] + density.mean[0].square()
    x, h = line(n=1001)
    times = torch.linspace(0.005, 0.995, 100)
    kinetic = sum(
        h * (model.log_prob(x, t).exp() * model.velocity(x, t)[:, 0].square()).sum() for t in times
    ) / len(times)
    share = (torch.arange(4000) + 0.5) / 4000
    z = torch.special.ndtri(share)[:, None]
    flow, _ = transport_cost(heun(model, z, paths.grid(linear(), 100)), z)
    fine, h = line(n=40_001)
    cdf = (density.log_prob(fine).exp() * h).cumsum(0)
    quantile = fine[torch.searchsorted(cdf, share).clamp(max=40_000)]
    optimal = (quantile - z).square().mean()
    assert independent > kinetic + 0.3 and kinetic > flow + 0.05
    close(flow, optimal.item(), atol=5e-3, rtol=0)  # on the line a flow is monotone
    torch.manual_seed(0)
    found, error = transport_cost(*couplings.pairs(model, 4000))
    assert abs(found - flow) < 4 * error


@pytest.mark.equation("eq-permutation")
def test_a_pairing_permutes_the_noise():
    """The library's pairing against all 720 of six points, and its noises against those it had."""
    x, eps = torch.randn(6, 2), torch.randn(6, 2)
    paired = couplings.minibatch_ot(x, eps)
    for f in (torch.sin, torch.exp, lambda e: e**3):
        close(f(paired).mean(0), f(eps).mean(0))
    best = min(transport_cost(x, eps[list(p)])[0] for p in itertools.permutations(range(6)))
    close(transport_cost(x, paired)[0], best)
    x, eps = torch.randn(12_800, 2) + 1, torch.randn(12_800, 2)
    paired = couplings.minibatch_ot(x, eps, size=32)
    close(paired.mean(0), torch.zeros(2), atol=0.04, rtol=0)  # 4 / sqrt(12,800)
    close(paired.T.cov(), torch.eye(2), atol=0.06, rtol=0)
    one = paired[::32]  # one of each group: a draw of N(0, I) again
    close(one.T.cov(), torch.eye(2), atol=0.35, rtol=0)


@pytest.mark.equation("eq-quarter-turn")
def test_straight_and_not_optimal():
    """Trajectories of the conditional mean, by Gaussian conditioning, against straight lines."""
    R = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
    eps = torch.randn(7, 2)

    class Turned:
        """The mean velocity given x_t, by Gaussian conditioning: Cov(v, x) Cov(x)^-1 x."""

        path, shape, classes = linear(), (2,), 0
        support = D.constraints.real

        def velocity(self, x, t):
            M = (1 - t) * R + t * torch.eye(2)
            return x @ ((torch.eye(2) - R) @ M.T @ torch.linalg.inv(M @ M.T)).T

    times = even(50)
    found = trajectory(Turned(), eps, times, sampler=heun)
    for t, x in zip(times, found, strict=True):
        close(x, eps @ ((1 - t) * R + t * torch.eye(2)).T)
    n = torch.randn(40_000, 2)
    cost, error = transport_cost(n @ R.T, n)
    assert abs(cost - 4) < 4 * error
    close(transport_cost(n, couplings.independent(n, n))[0], 0.0)


# ------------------------------------------------------------------ few steps


@pytest.mark.equation("eq-consistency")
def test_a_consistency_function():
    """Gaussian data: its total derivative, and ends of the library's trajectories."""
    mu, v = 0.4, 0.25

    def f(x, t):
        return mu + (v / ((1 - t) ** 2 * v + t**2)).sqrt() * (x - (1 - t) * mu)

    model = NoisedMixture(gaussian(mu, v), linear())
    x, t = torch.tensor([[0.9], [-0.3]], requires_grad=True), torch.full((2, 1), 0.6)
    t.requires_grad_()
    in_x, in_t = torch.autograd.grad(f(x, t).sum(), (x, t))
    close(in_t + model.velocity(x, 0.6) * in_x, torch.zeros(2, 1))
    x = x.detach()
    close(heun(model, x, even(400, 0.6)), f(x, torch.tensor(0.6)), atol=1e-4, rtol=0)
    assert (f(x, torch.tensor(0.6)) - model.denoise(x, 0.6)).abs().min() > 0.05


@pytest.mark.equation("eq-mean-flow")
def test_the_mean_velocity_obeys_its_equation():
    """A mixture's U from trajectories, its total derivative by differences along one."""
    model, x, r, t, h = NoisedMixture(on_the_line(), linear()), torch.randn(8, 1), 0.2, 0.7, 1e-3

    def U(x, t):
        return (x - heun(model, x, even(200, t, r))) / (t - r)

    u = model.velocity(x, t)
    ahead, behind = (heun_both(model, x, t, t + s) for s in (h, -h))
    total = (U(ahead, t + h) - U(behind, t - h)) / (2 * h)
    close(U(x, t), u - (t - r) * total, atol=1e-3, rtol=0)
    assert ((t - r) * total).abs().max() > 0.1


def heun_both(model, x, t, s):
    """A Heun step in either direction."""
    slope = model.velocity(x, t)
    return x + (s - t) * (slope + model.velocity(x + (s - t) * slope, s)) / 2


# ------------------------------------------------------------------ likelihood


@pytest.mark.equation("eq-kl-along-flows")
def test_a_divergence_along_two_flows():
    """d KL / dt of two mixtures, by differences of quadrature, against scores and velocities."""
    x, w = line(9.0, 6001)
    p, q = (NoisedMixture(d, linear()) for d in (on_the_line(), gaussian(0.2, 1.3)))

    def kl(t):
        log_p, log_q = p.log_prob(x, t), q.log_prob(x, t)
        return w * (log_p.exp() * (log_p - log_q)).sum()

    change = (kl(0.4 + 1e-4) - kl(0.4 - 1e-4)) / 2e-4
    apart = (p.velocity(x, 0.4) - q.velocity(x, 0.4)) * (p.score(x, 0.4) - q.score(x, 0.4))
    close(w * (p.log_prob(x, 0.4).exp() * apart[:, 0]).sum(), change, rtol=1e-5, atol=0)
    assert change < -0.05


# ------------------------------------------------------------------ codes


@pytest.mark.equation("eq-latent-flow")
def test_what_a_flow_of_codes_saves():
    """Closed forms and quadrature of four codes; and the library's exact flow as the prior."""
    mu, v = torch.tensor([-1.5, -0.2, 0.3, 1.6]), 0.15
    q = mixture(mu[:, None].tolist(), [v**0.5] * 4)  # q(z), the mean of the four
    z, h = line(9.0, 601)
    log_q, log_p = q.log_prob(z), D.Normal(0.0, 1.0).log_prob(z[:, 0])
    misfit = h * (log_q.exp() * (log_q - log_p)).sum()
    rate = D.kl_divergence(D.Normal(mu, v**0.5), D.Normal(0.0, 1.0)).mean()
    log_q_x = D.Normal(mu, v**0.5).log_prob(z)  # (n, 4)
    better = FlowPrior(NoisedMixture(q, linear()), steps=80)()
    with_flow = h * (log_q_x.exp() * (log_q_x - better.log_prob(z)[:, None])).sum(0).mean()
    close(rate - with_flow, misfit, atol=5e-3, rtol=0)
    information = h * (log_q_x.exp() * (log_q_x - log_q[:, None])).sum(0).mean()
    close(rate - information, misfit)


@pytest.mark.equation("eq-standardised-codes")
def test_codes_are_put_back():
    """The library's density of codes of another size against the density of standard ones."""
    model = Diffusion.mlp(3, path=linear(), width=8, blocks=1)
    for p in model.parameters():
        p.data.normal_(std=0.3)
    z = torch.randn(5, 3)
    standard = FlowPrior(model)().log_prob(z)
    model.mean.fill_(1.7), model.scale.fill_(0.2)
    close(FlowPrior(model)().log_prob(1.7 + 0.2 * z), standard - 3 * math.log(0.2))
