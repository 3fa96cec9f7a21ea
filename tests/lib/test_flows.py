"""Flows against quadrature; grey levels, posteriors and priors."""

import math
from functools import partial

import pytest
import torch
from torch import distributions as D
from torch import nn

from dgm import evaluate, heads, models, objectives
from dgm.models import Dequantised, Flow
from dgm.models.flows import (
    ActNorm,
    Composition,
    Coupling,
    Inverse,
    InverseAutoregressive,
    Layer,
    Permute,
    Planar,
    Squeeze,
    alternating,
)
from dgm.train import gradient_step

IMAGE = (4, 2, 2)


def scattered(flow, by=0.3):
    with torch.no_grad():
        for value in flow.parameters():
            value.add_(by * torch.randn_like(value))
    return flow.double().eval()


@pytest.mark.parametrize("make", [Flow.nice, Flow.coupling, Flow.spline, Flow.autoregressive])
def test_mass_one_in_the_plane(make):
    flow = scattered(make(2, layers=3, hidden=8))
    t = torch.linspace(-15, 15, 601, dtype=torch.float64)
    with torch.no_grad():
        p = flow.log_prob(torch.cartesian_prod(t, t)).exp()
    assert float(p.sum() * (t[1] - t[0]) ** 2) == pytest.approx(1, abs=5e-3)  # bins are steep


def test_layers_can_be_cut_short():
    flow = scattered(Flow.coupling(2, layers=3, hidden=8))
    x = torch.randn(5, 2).double()
    z = x
    for k, layer in enumerate(flow.layers):
        assert torch.equal(Flow(flow.layers[:k], 2).encode(x.float() if not k else x), z.to(z)) or k
        z = layer(z)[0]
    torch.testing.assert_close(flow.encode(x), z)
    torch.testing.assert_close(flow.decode(z), x)


def test_couplings_with_one_mask_never_change_the_rest():
    mask = alternating(2)
    same = [Coupling.of(mask), Coupling.of(mask)]
    with pytest.raises(ValueError, match="2 couplings with one and the same mask.*1 coordinates"):
        Flow(same, 2)
    Flow([same[0], Permute([1, 0]), same[1]], 2)
    Flow([same[0], Coupling.of(~mask)], 2)


def test_a_point_of_one_coordinate_has_no_coupling():
    with pytest.raises(ValueError, match=r"shape: got \(1,\), expected two elements at least"):
        Flow.coupling(1)
    assert Flow.autoregressive(1).sample(3).shape == (3, 1)


@pytest.mark.parametrize("make", [Flow.nice, Flow.coupling, Flow.spline, Flow.autoregressive])
def test_a_fresh_flow_is_its_base(make):
    x = torch.randn(6, 3)
    torch.testing.assert_close(make(3).eval().encode(x), x, atol=1e-5, rtol=1e-5)
    other = make(3, classes=4).eval()
    torch.testing.assert_close(other.encode(x, torch.arange(6) % 4), x, atol=1e-5, rtol=1e-5)


def test_nice_ends_in_a_scale_and_pixels_begin_with_one():
    def scales(flow):
        return [k for k, layer in enumerate(flow.layers) if isinstance(layer, ActNorm)]

    assert scales(Flow.nice(2, layers=3)) == [3]
    for make in (Flow.nice, Flow.coupling, Flow.autoregressive):
        assert scales(make((1, 2, 2)))[0] == 2  # after the logit, and as a vector
    x = torch.rand(200, 1, 2, 2)
    z = Flow.coupling((1, 2, 2)).encode(x)
    torch.testing.assert_close(z.std(0), torch.ones(4), atol=0.05, rtol=0)


@pytest.mark.parametrize("make", [Flow.coupling, Flow.autoregressive, Flow.spline])
def test_labels_go_there_and_back(make):
    flow = scattered(make(3, layers=2, hidden=8, classes=4))
    x, y = torch.randn(6, 3).double(), torch.arange(6) % 4
    torch.testing.assert_close(flow.decode(flow.encode(x, y), y), x)
    assert not torch.allclose(flow.encode(x, y), flow.encode(x, y.flip(0)))
    for wrong in (None, y[:3], y + 1):
        with pytest.raises(ValueError, match="^y: "):
            flow.log_prob(x, wrong)


def test_points_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"x: got shape \(6, 2\), expected \(..., 3\)"):
        Flow.coupling(3).log_prob(torch.randn(6, 2))
    with pytest.raises(ValueError, match="x: got torch.float64"):
        Flow.coupling(3).log_prob(torch.zeros(6, 3).double())


def test_layers_end_in_vectors():
    with pytest.raises(ValueError, match="layers: put out codes of shape .* let Flatten be the l"):
        Flow([Squeeze()], IMAGE).log_prob(torch.zeros(3, *IMAGE))


def test_a_flow_is_its_distribution():
    flow = scattered(Flow.coupling((1, 2, 2), classes=3, layers=2, hidden=8))
    y, p = torch.tensor([2, 0]), flow(torch.tensor([2, 0]))
    x = p.rsample((5,))
    assert (p.batch_shape, p.event_shape, x.shape) == ((2,), (1, 2, 2), (5, 2, 1, 2, 2))
    expected = flow.log_prob(x.flatten(0, 1), y.repeat(5)).view(5, 2)
    torch.testing.assert_close(p.log_prob(x), expected)  # remembered
    torch.testing.assert_close(p.log_prob(x.clone()), expected)  # through the layers


# ------------------------------------------------------------------ posteriors and priors


def vae(**more):
    model = models.VAE.mlp((3,), hidden=4, latent=2, likelihood=heads.Normal, **more)
    return scattered(model), torch.randn(6, 3).double()


def test_a_posterior_that_flows():
    """Own draws and others have the same density; its density integrates to one."""
    model, x = vae(posterior=InverseAutoregressive)
    q = model.posterior(x)
    z = q.rsample((4,))
    torch.testing.assert_close(q.log_prob(z), q.log_prob(z.clone()))
    t = torch.linspace(-12, 12, 401, dtype=torch.float64)
    points = torch.cartesian_prod(t, t)[:, None]  # (401^2, 1, 2), for each of two x
    mass = model.posterior(x[:2]).log_prob(points).exp().sum(0) * (t[1] - t[0]) ** 2
    torch.testing.assert_close(mass, torch.ones(2).double(), rtol=0, atol=5e-3)


def test_a_fresh_posterior_is_a_diagonal_normal():
    """Whatever it is told; and its steps turn the order in which they draw."""
    head, features = InverseAutoregressive(5, 3, steps=3), torch.randn(4, 5)
    q, z = head(features), torch.randn(4, 3)
    torch.testing.assert_close(q.log_prob(z), q.base.log_prob(z))
    orders = [step.layer.order for step in head.layers]
    assert orders == [[0, 1, 2], [2, 1, 0], [0, 1, 2]]


def test_what_cannot_flow():
    with pytest.raises(ValueError, match=r"latent: got \(2, 2\), expected the size of a vector"):
        InverseAutoregressive(5, (2, 2))
    with pytest.raises(ValueError, match=r"base: got event shape \(\), expected vectors"):
        heads.Flowed(D.Normal(0.0, 1.0), Composition([]))


def test_the_last_draw_takes_no_pass():
    model, x = vae(posterior=InverseAutoregressive)
    passes = []
    for step in model.encoder[1].layers:
        step.layer.network.register_forward_hook(lambda *_: passes.append(1))
    q = model.posterior(x)
    z = q.rsample((4,))
    q.log_prob(z)
    assert len(passes) == 2
    q.log_prob(z.clone())
    assert len(passes) == 2 + 2 * 2


def test_a_draw_without_a_graph_is_not_remembered_for_gradients():
    """The score function draws so, and differentiates the density at what was drawn."""
    model, x = vae(posterior=InverseAutoregressive)
    q = model.posterior(x)
    z = q.sample((4,))
    assert not z.requires_grad
    assert q.log_prob(z).requires_grad
    with torch.no_grad():
        assert not q.log_prob(z).requires_grad


def test_objectives_of_a_flowing_posterior_and_prior():
    model, x = vae(posterior=InverseAutoregressive)
    model.p_z = scattered(Flow.coupling(2, layers=2, hidden=4))
    for objective in (objectives.elbo, objectives.iwae, objectives.dreg):
        model.zero_grad()
        value = objective(model, x, k=2)
        value.sum().backward()
        assert value.shape == (6,)
        assert all(p.grad is not None and p.grad.any() for p in model.parameters())
    torch.manual_seed(0)
    remembered = objectives.elbo(model, x, k=500).mean().item()
    assert evaluate.importance_weighted(model, x, k=500).mean() > remembered
    torch.manual_seed(0)
    assert sum(evaluate.rate_distortion(model, x, k=500)) == pytest.approx(-remembered)


def test_planar_layers_draw_and_score_their_own_draws():
    base = D.Independent(D.Normal(torch.zeros(2), 1.0), 1)
    layer = Planar(2)
    q = heads.Flowed(base, Composition([Inverse(layer)]))
    z = q.rsample((5,))
    assert q.log_prob(z).shape == (5,)
    with pytest.raises(NotImplementedError, match="inverse: a planar"):
        q.log_prob(z.clone())


@pytest.mark.parametrize("what", ["mean", "variance", "entropy"])
def test_no_moments(what):
    q = Flow.coupling(2)()
    with pytest.raises(NotImplementedError, match=f"{what}: a flow's has no closed form"):
        value = getattr(q, what)
        value()


# ------------------------------------------------------------------ grey levels


class Square(Layer):
    """x in [0, 1], of density 2 x, to x^2, which is uniform."""

    support = D.constraints.unit_interval

    def forward(self, x, context=None):
        return x.square(), (2 * x).log().sum(-1)

    def inverse(self, z, context=None):
        return z.sqrt(), -(2 * z.sqrt()).log().sum(-1)


def ramp():
    """p(v) = 2 v on [0, 1]: of 4 levels the probabilities are 1, 3, 5 and 7 sixteenths."""
    return Flow([Square()], 1, heads.UnitCube(1)).double()


GREY = torch.tensor([[0.0], [1 / 3], [2 / 3], [1.0]], dtype=torch.float64)
EXACT = (torch.tensor([1.0, 3.0, 5.0, 7.0], dtype=torch.float64) / 16).log()


def test_the_elbo_is_the_bound_of_uniform_noise():
    model = Dequantised(ramp(), levels=4)
    v = torch.linspace(0, 1, 100_001, dtype=torch.float64)[1:] - 5e-6
    bound = (2 * v).log().view(4, -1).mean(1) - math.log(4)
    torch.manual_seed(1)
    estimate = objectives.elbo(model, GREY, k=20_000)  # standard errors below 0.007
    torch.testing.assert_close(estimate, bound, rtol=0, atol=0.03)
    assert (bound < EXACT).all()
    tight = evaluate.importance_weighted(model, GREY, k=20_000)
    torch.testing.assert_close(tight, EXACT, rtol=0, atol=0.03)


class Noise(nn.Module):
    """N(mu, sigma), whatever x."""

    def __init__(self):
        super().__init__()
        self.mu, self.log_sigma = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        mu = self.mu.expand(len(x), 1)
        return D.Independent(D.Normal(mu, self.log_sigma.exp().expand(len(x), 1)), 1)


def test_noise_that_is_learned_is_a_density_on_the_cell():
    model = Dequantised(ramp(), levels=4, noise=Noise().double())
    q = model.posterior(GREY)
    v = torch.linspace(0, 1, 4001, dtype=torch.float64)[1:] - 1.25e-4
    p = q.log_prob(v[:, None, None]).exp().sum(0) / 4000
    torch.testing.assert_close(p, torch.ones(4).double(), rtol=0, atol=1e-3)
    assert q.log_prob(torch.tensor([[0.1]]).double()).isinf().tolist() == [False, True, True, True]
    draws = q.rsample((1000,))
    assert ((draws * 4).floor() == torch.arange(4)[:, None]).all()
    torch.testing.assert_close(q.log_prob(draws), q.log_prob(draws.clone()))
    objectives.elbo(model, GREY, k=10).sum().backward()
    assert model.noise.mu.grad.any() and model.noise.log_sigma.grad.any()


@pytest.mark.parametrize("levels", [2, 17, 256])
def test_no_draw_is_rounded_out_of_its_cell(levels):
    """In single precision (255 + u) / 256 may be 1, and i / 17 * 17 less than i."""
    flow = Flow.spline((1, 16, 16), layers=2, hidden=4)
    x = torch.arange(256).remainder(levels).view(1, 1, 16, 16) / (levels - 1)
    model = Dequantised(flow, levels)
    torch.manual_seed(0)
    values = objectives.iwae(model, x.expand(200, -1, -1, -1), k=1)
    torch.testing.assert_close(values, torch.full((200,), -256 * math.log(levels)))


def test_levels_and_cells():
    model = Dequantised(Flow.coupling((1, 2, 2)), levels=4)
    v = torch.tensor([[-0.2, 0.1, 0.6, 1.3]])
    p = model.likelihood(v)
    x = torch.tensor([[[[0.0, 0.0], [2 / 3, 1.0]]]])
    assert torch.equal(p.sample(), x) and p.log_prob(x) == 0
    assert p.log_prob(x.flip(-1)) == -torch.inf
    assert model.posterior(x).log_prob(v.clamp(0, 1)) == pytest.approx(4 * math.log(4))
    assert model.posterior(x.flip(-1)).log_prob(v.clamp(0, 1)) == -torch.inf
    assert model.support.check(model.sample(50)).all()


def test_the_prior_of_levels_is_the_flow():
    flow = scattered(Flow.coupling((1, 2, 2), layers=2, hidden=4, classes=3))
    v, y = torch.rand(5, 1, 2, 2).double(), torch.arange(5) % 3
    log_p = Dequantised(flow, levels=4).prior(y).log_prob(v.flatten(1))
    torch.testing.assert_close(log_p, flow.log_prob(v, y))


@pytest.mark.parametrize("noise", [None, lambda x: None])
def test_levels_that_do_not_fit(noise):
    model = Dequantised(Flow.coupling((1, 2, 2)), levels=17)
    model.noise = noise
    with pytest.raises(ValueError, match="x: got values that are not on the grid, expected the gr"):
        model.posterior(torch.full((3, 1, 2, 2), 0.5 + 1 / 32))
    with pytest.raises(ValueError, match="levels: got 1"):
        Dequantised(model.flow, levels=1)


def test_a_flow_trains():
    """From a base that is too wide and elsewhere; the entropy of N(3, 1/4 I) is 1.45."""
    torch.manual_seed(0)
    flow = Flow.coupling(2, layers=2, hidden=8)
    optimizer = partial(torch.optim.Adam, lr=0.03)
    step = gradient_step(flow, objectives.log_likelihood, optimizer=optimizer)
    x = 3 + 0.5 * torch.randn(500, 2)
    first = step((x,))["objective"]
    for _ in range(150):
        last = step((x,))["objective"]
    assert first < -9 and last > -1.6
