"""Flow matching: couplings, what trains a velocity, how straight it is, and its likelihood."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from scipy.integrate import quad, solve_ivp
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dgm import paths
from dgm.couplings import independent, minibatch_ot, pairs
from dgm.denoisers import FlowPrior, NoisedMixture
from dgm.evaluate import (
    mean_and_error,
    ode_log_prob,
    rate_distortion,
    straightness,
    transport_cost,
)
from dgm.models import VAE, Diffusion
from dgm.objectives import denoising, flow_between, flow_likelihood, flow_matching
from dgm.predictions import KINDS
from dgm.samplers import euler, heun, trajectory
from dgm.train import gradient_step

PATHS = [paths.linear(), paths.cosine(), paths.vp()]
every_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)


def normal(variance, d=1, path=None):
    """N(0, variance) in d dimensions, exactly."""
    part = Independent(Normal(torch.zeros(1, d).double(), math.sqrt(variance)), 1)
    return NoisedMixture(MixtureSameFamily(Categorical(torch.ones(1).double()), part), path)


def density():
    means = torch.tensor([[-1.0, 0.3], [0.6, -0.8]]).double()
    parts = Independent(Normal(means, torch.tensor([[0.3], [0.5]]).double()), 1)
    return MixtureSameFamily(Categorical(torch.tensor([0.4, 0.6]).double()), parts)


def mixture(path=None):
    return NoisedMixture(density(), path)


def flow(width=6, d=2, **more):
    torch.manual_seed(0)
    more = {"path": paths.linear(), "predict": "velocity"} | more
    model = Diffusion.mlp((d,), width=width, blocks=1, **more)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model.double()


# ------------------------------------------------------------------ couplings


def test_the_cheapest_pairing_is_the_best_of_all_orders():
    torch.manual_seed(0)
    x, eps = torch.randn(6, 2, 3), torch.randn(6, 2, 3)
    costs = [transport_cost(x, eps[list(p)])[0] for p in itertools.permutations(range(6))]
    assert transport_cost(x, minibatch_ot(x, eps))[0] == pytest.approx(min(costs), rel=1e-6)


def test_on_the_line_the_cheapest_pairing_keeps_the_order():
    torch.manual_seed(0)
    x, eps = torch.randn(300, 1), 2 * torch.randn(300, 1)
    paired = minibatch_ot(x, eps, size=300)
    order = x[:, 0].argsort()
    assert torch.equal(paired[order], eps.sort(0).values)
    groups = minibatch_ot(x, eps, size=100)  # cheapest within each hundred
    for part in range(3):
        own = slice(100 * part, 100 * part + 100)
        assert torch.equal(groups[own][x[own, 0].argsort()], eps[own].sort(0).values)
    costs = [transport_cost(x, e)[0] for e in (paired, groups, independent(x, eps))]
    assert costs == sorted(costs)


def test_with_labels_it_pairs_within_classes():
    torch.manual_seed(0)
    y = torch.arange(40) % 4 - 1  # -1 to 2
    x, eps = torch.randn(40, 1) + 5 * y[:, None], torch.randn(40, 1)
    paired = minibatch_ot(x, eps, y)
    for label in (-1, 0, 1, 2):
        own = y == label
        assert torch.equal(paired[own].sort(0).values, eps[own].sort(0).values)
        assert torch.equal(paired[own][x[own, 0].argsort()], eps[own].sort(0).values)
    far = minibatch_ot(x, eps)  # without them the noise says what the class is
    assert abs(far[y == 2].mean() - far[y == -1].mean()) > 1


def test_what_is_no_pairing():
    x = torch.zeros(4, 2)
    with pytest.raises(ValueError, match=r"^eps: got shape \(4, 3\), expected that of x, \(4, 2\)"):
        minibatch_ot(x, torch.zeros(4, 3))
    with pytest.raises(ValueError, match="^size: got 0"):
        minibatch_ot(x, x, size=0)
    with pytest.raises(ValueError, match=r"^y: got shape \(3,\), expected \(4,\)"):
        minibatch_ot(x, x, torch.zeros(3))
    with pytest.raises(ValueError, match="^n: got 0"):
        pairs(mixture(), 0)
    with pytest.raises(ValueError, match=r"^ends: got shape \(4, 3\)"):
        transport_cost(x, torch.zeros(4, 3))


@every_path
def test_pairs_are_the_ends_of_trajectories(path):
    """Of a normal distribution a multiple of the noise, and the noise of variance one."""
    torch.manual_seed(0)
    x, eps = pairs(normal(0.25, 2, path), 400, steps=128)
    factor = (x / eps).flatten()
    assert factor.std() < 1e-6 and factor.mean().item() == pytest.approx(0.5, abs=1e-3)
    mean, error = mean_and_error(eps.square().mean(1))
    assert abs(mean - 1) < 4 * error


def test_pairs_are_in_the_units_of_the_data():
    torch.manual_seed(0)
    model = Diffusion.mlp((2,), width=4, blocks=1)  # zero: noise stays where it is
    model.mean.fill_(3), model.scale.fill_(0.1)
    x, eps = pairs(model, 50)
    torch.testing.assert_close(x, 3 + 0.1 * eps, rtol=0, atol=1e-3)


# ------------------------------------------------------------------ what trains it


def fixed(t):
    return lambda n, like: (like.new_full((n,), t), like.new_ones(n))


@every_path
@pytest.mark.parametrize("kind", KINDS)
def test_flow_matching_is_denoising_weighed_as_a_velocity(path, kind):
    """Independent pairs, at one time: two formulas of one number, whatever the network predicts."""
    model, x = flow(path=path, predict=kind), torch.randn(7, 2).double()
    values = []
    for objective in (flow_matching, partial(denoising, weight="velocity")):
        torch.manual_seed(1)
        values.append(objective(model, x, times=fixed(0.4)))
    torch.testing.assert_close(*values)


def test_it_is_the_squared_distance_from_the_slope_of_the_path():
    """By differences of the path of each pair."""
    model, path = flow(path=paths.cosine()), paths.cosine()
    x, ends = torch.randn(5, 2).double(), torch.randn(5, 2).double()
    t, h = path.ends(paths.LOG_SNR, x).mean().item(), 1e-5
    ahead, behind = (paths.noised(path, x, t + s, ends) for s in (h, -h))
    u = model.velocity(paths.noised(path, x, t, ends), t)
    expected = -(u - (ahead - behind) / (2 * h)).square().sum(1)
    torch.testing.assert_close(flow_between(model, x, ends, times=fixed(0.5)), expected)


def test_its_gradient_is_that_of_the_marginal_velocity():
    """A field of three parameters, by an average over pairs and by one over x_t alone."""
    exact, t = mixture(paths.linear()), 0.6
    torch.manual_seed(0)
    x, eps = density().sample((20_000,)), torch.randn(20_000, 2).double()
    x_t = paths.noised(exact.path, x, t, eps)
    features = torch.stack([x_t, x_t.sin(), torch.ones_like(x_t)])  # (3, B, 2)
    theta = torch.tensor([0.3, -0.5, 0.2]).double()
    error = torch.einsum("k,kbd->bd", theta, features)
    by_pairs = 2 * ((error - (eps - x)) * features).sum(2)  # (3, B)
    by_field = 2 * ((error - exact.velocity(x_t, t)) * features).sum(2)
    difference = by_pairs - by_field
    for one, both in zip(difference, by_pairs, strict=True):
        mean, standard_error = mean_and_error(one)
        assert abs(mean) < 4 * standard_error < 0.1 * both.std()


def test_the_floor_is_the_variance_of_the_target():
    """N(0, 1), linear path: Var[eps - x_0 | x_t] = 1 / ((1 - t)^2 + t^2), whose mean over t is
    pi / 2; of the best pairs it is nearly nothing."""
    torch.manual_seed(0)
    exact = normal(1.0, path=paths.linear())
    values = -flow_matching(exact, torch.randn(10_000, 1).double())
    mean, error = mean_and_error(values)
    expected, _ = quad(lambda t: 1 / ((1 - t) ** 2 + t**2), 0.0067, 0.9933)
    assert abs(mean - expected / (0.9933 - 0.0067)) < 4 * error

    class Best(Diffusion):
        """That of equal numbers, which is what optimal pairs tend to."""

        def velocity(self, x, t, y=None):
            return torch.zeros_like(x)

    best = Best(nn.Identity(), (1,), paths.linear()).double()
    coupling = partial(minibatch_ot, size=500)
    x = torch.randn(2000, 1).double()
    assert -flow_matching(best, x, coupling=coupling).mean() < 0.02 < mean / 10


def test_labels_reach_the_coupling_before_they_are_hidden():
    torch.manual_seed(0)
    model, seen = Diffusion.mlp((2,), classes=3, width=4, blocks=1), []

    def coupling(x, eps, y):
        seen.append(y)
        return minibatch_ot(x, eps, y)

    y = torch.arange(6) % 3
    flow_matching(model, torch.randn(6, 2), y, coupling, drop_label=1.0)
    assert torch.equal(seen[0], y)
    free = Diffusion.mlp((2,), width=4, blocks=1)  # takes none, and its coupling has none
    flow_matching(free, torch.randn(6, 2), y, lambda x, eps: eps)
    with pytest.raises(ValueError, match="^drop_label: got 2"):
        flow_matching(model, torch.randn(6, 2), y, drop_label=2)
    with pytest.raises(ValueError, match="^y: got None"):
        flow_between(model, torch.randn(6, 2), torch.randn(6, 2))
    with pytest.raises(ValueError, match=r"^ends: got shape \(5, 2\), expected \(..., 6, 2\)"):
        flow_between(free, torch.randn(6, 2), torch.randn(5, 2))
    with pytest.raises(ValueError, match="^x: got data of root mean square 10"):
        flow_matching(free, torch.full((6, 2), 10.0))


def test_reflow_of_a_normal_distribution_is_straight():
    """Pairs (a z, z): the only field through them is known, and the objective is zero there."""
    torch.manual_seed(0)
    x, eps = pairs(normal(0.25, 2, paths.linear()), 300, steps=100)

    class Straight(Diffusion):
        def velocity(self, x, t, y=None):
            t = paths.beside(t, x)
            return (1 - 0.5) * x / ((1 - t) * 0.5 + t)

    straight = Straight(nn.Identity(), (2,), paths.linear()).double()
    assert -flow_between(straight, x, eps).mean() < 1e-4
    assert straightness(straight, 100)[0] < 1e-4 < straightness(normal(0.25, 2), 100)[0]


# ------------------------------------------------------------------ trajectories


def test_a_trajectory_ends_where_the_sampler_does():
    model = mixture(paths.linear())
    noise, times = model.start(5), [0.9, 0.5, 0.3, 0.0]
    for sampler in (euler, heun):
        x = trajectory(model, noise, times, sampler=sampler)
        assert x.shape == (4, 5, 2) and torch.equal(x[0], noise)
        assert torch.equal(x[-1], sampler(model, noise, times))
    with pytest.raises(ValueError, match="^times: got"):
        trajectory(model, noise, [0.1, 0.5])


@pytest.mark.parametrize("variance", [1.0, 0.25, 0.01])
@pytest.mark.parametrize("path", [paths.linear(), paths.cosine()], ids=lambda p: p.name)
def test_straightness_of_a_normal_distribution(path, variance):
    """x_t = s_t z with s_t^2 = alpha^2 v + sigma^2: the integral of (s' - (1 - s_0))^2."""

    def excess(t):
        t = torch.tensor(t).double()
        a, s = path.alpha(t), path.sigma(t)
        slope = (a * path.d_alpha(t) * variance + s * path.d_sigma(t)) / (
            a**2 * variance + s**2
        ).sqrt()
        return (slope - (1 - math.sqrt(variance))).square().item()

    expected = quad(excess, 0, 1, limit=200)[0]
    torch.manual_seed(0)
    value, error = straightness(normal(variance, path=path), n=1000, steps=100)
    assert abs(value - expected) < 4 * error + 0.02 * expected + 1e-3


def test_the_energy_of_a_flow_is_its_cost_and_what_it_lacks_in_straightness():
    torch.manual_seed(0)
    model, n = mixture(paths.linear()), 1000
    x, eps = pairs(model, n)
    cost, error = transport_cost(x, eps)
    excess, more = straightness(model, n)
    times = torch.linspace(0.02, 0.98, 25)
    far = trajectory(model, eps * 0.98 + 0.02 * x, [*times.flip(0).tolist()], sampler=heun)
    speeds = [
        model.velocity(x_t, t).square().sum(1).mean()
        for x_t, t in zip(far, times.flip(0), strict=True)
    ]
    energy = torch.stack(speeds).mean().item()
    assert abs(energy - cost - excess) < 4 * math.hypot(error, more) + 0.03 * energy
    independent_cost, _ = transport_cost(density().sample((n,)), eps)
    assert independent_cost > energy > cost


# ------------------------------------------------------------------ likelihood


def test_the_likelihood_is_that_of_scipys_solver():
    """A network that nobody trained: (x, log det) in one system, by an adaptive method."""
    model, ends = flow(width=4), (-5.0, 5.0)
    x = torch.tensor([[0.3, -0.7]]).double()
    low, high = model.path.ends(ends, x).tolist()  # 0.08, 0.92

    def field(t, state):
        at = torch.tensor(state[:2])[None]
        jacobian = torch.autograd.functional.jacobian(lambda x: model.velocity(x, t)[0], at)
        slope = model.velocity(at, t)[0].detach()
        return np.append(slope, jacobian[:, 0].trace())

    start = np.append((1 - low) * x, 2 * math.log(1 - low))
    end = solve_ivp(field, (low, high), start, rtol=1e-6, atol=1e-6).y[:, -1]
    base = Normal(0.0, math.hypot(1 - high, high)).log_prob(torch.tensor(end[:2])).sum()
    value = ode_log_prob(model, x, steps=200, log_snr=ends)
    assert value.item() == pytest.approx(base.item() + end[2], abs=2e-4)


def test_the_likelihood_has_the_gradient_that_differences_have():
    model, x = flow(width=3), torch.randn(4, 2).double()
    for probes in (None, 1):
        torch.manual_seed(0)
        flow_likelihood(model, x, steps=2, probes=probes).sum().backward()
        for weight in (model.network.first[1].weight, model.network.last[1].weight):
            values = []
            for step in (1e-5, -1e-5):
                weight.data[0, 1] += step
                torch.manual_seed(0)
                values.append(flow_likelihood(model, x, steps=2, probes=probes).sum().item())
                weight.data[0, 1] -= step
            assert (values[0] - values[1]) / 2e-5 == pytest.approx(
                weight.grad[0, 1].item(), rel=1e-4, abs=1e-6
            )
        model.zero_grad()


def test_it_is_the_number_that_is_measured_and_measuring_leaves_no_graph():
    model, x = flow(), torch.randn(4, 2).double()
    value, measured = flow_likelihood(model, x, steps=5), ode_log_prob(model, x, steps=5)
    torch.testing.assert_close(value.detach(), measured)
    assert value.requires_grad and not measured.requires_grad


def test_maximum_likelihood_learns_a_scale():
    """Of N(0, 0.25): the mean log-likelihood comes near the entropy's."""
    torch.manual_seed(0)
    model = Diffusion.mlp((1,), width=8, blocks=1, path=paths.linear(), predict="velocity")
    step = gradient_step(model, partial(flow_likelihood, steps=4), lr=2e-2)
    x = 0.5 * torch.randn(500, 1)

    def gap():
        return (Normal(0.0, 0.5).log_prob(x)[:, 0] - ode_log_prob(model, x, steps=30)).mean()

    before = gap()
    for _ in range(25):
        step((0.5 * torch.randn(64, 1),))
    assert -0.02 < gap() < before / 4


# ------------------------------------------------------------------ codes


def test_a_flow_is_the_prior_of_a_model_of_codes():
    torch.manual_seed(0)
    exact = mixture(paths.linear())
    exact.mean, exact.scale = torch.tensor(0.5).double(), torch.tensor(0.2).double()
    prior = FlowPrior(exact, steps=60)()
    z = prior.sample((3, 400))
    assert z.shape == (3, 400, 2) and prior.event_shape == (2,)
    expected = density().log_prob((z - 0.5) / 0.2) - 2 * math.log(0.2)  # the change of variables
    assert (prior.log_prob(z) - expected).abs().mean() < 0.01
    assert prior.support.check(z).all()


def test_the_rate_under_a_flow_is_estimated():
    """A flow that is the standard normal distribution changes nothing."""
    torch.manual_seed(0)
    vae = VAE.mlp((6,), latent=2, hidden=5).double()
    same = VAE(vae.encoder, vae.decoder, FlowPrior(normal(1.0, 2), steps=20), vae.shape)
    x = torch.bernoulli(torch.full((500, 6), 0.5)).double()
    assert same.sample(4).shape == (4, 6)
    rates = [rate_distortion(model, x, k=20)[0] for model in (vae, same)]
    assert rates[0] == pytest.approx(rates[1], abs=0.03)
