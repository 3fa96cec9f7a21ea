"""Invertible layers in one table; flows against quadrature; grey levels and posteriors."""

import copy
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
    Additive,
    Affine,
    Composition,
    Coupling,
    Flatten,
    Inverse,
    InverseAutoregressive,
    Layer,
    Linear,
    Logit,
    MaskedAutoregressive,
    Permute,
    Planar,
    Spline,
    Split,
    Squeeze,
    alternating,
    channels,
    checkerboard,
    glow_step,
    rational_quadratic,
)
from dgm.train import gradient_step

IMAGE, CONTEXT = (4, 2, 2), 3
unit = partial(Spline, 4, 0.0, 1.0)
LAYERS = {  # a shape, and how a layer is made for it
    "Flatten": (IMAGE, lambda: Flatten(IMAGE)),
    "Permute": ((4,), lambda: Permute([2, 0, 3, 1])),
    "Squeeze": (IMAGE, Squeeze),
    "Split": (IMAGE, lambda: Split(IMAGE, Composition([ActNorm((2, 2, 2)), Flatten((2, 2, 2))]))),
    "Logit": (IMAGE, lambda: Logit(IMAGE)),
    "ActNorm": ((4,), lambda: ActNorm(4)),
    "ActNorm of images": (IMAGE, lambda: ActNorm(IMAGE)),
    "Linear": ((4,), lambda: Linear(4)),
    "Linear of images": (IMAGE, lambda: Linear(IMAGE)),
    "Planar": ((4,), lambda: Planar(4)),
    "Coupling, additive": ((4,), lambda: Coupling.of(alternating(4), Additive())),
    "Coupling, affine": ((4,), lambda: Coupling.of(alternating(4), context=CONTEXT)),
    "Coupling, spline": ((4,), lambda: Coupling.of(alternating(4, first=False), Spline(4))),
    "Coupling, checkerboard": (IMAGE, lambda: Coupling.conv(checkerboard(IMAGE), context=CONTEXT)),
    "Coupling, channels": (IMAGE, lambda: Coupling.conv(channels(IMAGE, first=False), unit())),
    "MaskedAutoregressive": ((4,), lambda: MaskedAutoregressive(4, context=CONTEXT)),
    "MaskedAutoregressive, spline": ((4,), lambda: MaskedAutoregressive(4, by=Spline(4))),
    "MaskedAutoregressive, order": ((4,), lambda: MaskedAutoregressive(4, 64, [2, 0, 3, 1])),
    "Inverse": ((4,), lambda: Inverse(MaskedAutoregressive(4))),
    "Composition": (IMAGE, lambda: Composition(glow_step(IMAGE, width=4))),
}
TWO_WAY = [name for name in LAYERS if name != "Planar"]
every_layer = pytest.mark.parametrize("name", LAYERS)
both_ways = pytest.mark.parametrize("name", TWO_WAY)


def made(name, n=5, dtype=torch.float64, scatter=0.3):
    """A layer that is not the identity, started, with points of [0, 1] and a context for it."""
    torch.manual_seed(2)
    shape, make = LAYERS[name]
    layer = make().to(dtype).eval()
    with torch.no_grad():
        for value in layer.parameters():
            value.add_(scatter * torch.randn_like(value))
    return layer, torch.rand(n, *shape, dtype=dtype), torch.randn(n, CONTEXT, dtype=dtype)


@both_ways
def test_there_and_back(name):
    layer, x, context = made(name)
    z, log_det = layer(x, context)
    back, log_det_back = layer.inverse(z, context)
    assert (back.shape, log_det.shape, log_det_back.shape) == (x.shape, (5,), (5,))
    torch.testing.assert_close(back, x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(log_det, -log_det_back, rtol=1e-9, atol=1e-9)


@every_layer
def test_the_log_det_is_that_of_the_jacobian(name):
    layer, x, context = made(name, 3)
    log_det = layer(x, context)[1]
    for k in range(3):
        there = lambda v, k=k: layer(v.view_as(x[k]), context[k])[0].flatten()  # noqa: E731
        jacobian = torch.autograd.functional.jacobian(there, x[k].flatten())
        torch.testing.assert_close(log_det[k], torch.linalg.slogdet(jacobian)[1])


@every_layer
@pytest.mark.parametrize("n", [0, 4])
def test_as_many_log_dets_as_events(name, n):
    """None of none, and none that broadcasts where there are as many events as coordinates."""
    layer, x, context = made(name, n)
    z, log_det = layer(x, context)
    assert (len(z), log_det.shape) == (n, (n,))
    if n and name != "Planar":
        lead = x.view(2, 2, *x.shape[1:]), context.view(2, 2, CONTEXT)
        torch.testing.assert_close(layer(*lead)[1].flatten(), log_det)
        torch.testing.assert_close(layer.inverse(*(layer(*lead)[0], lead[1]))[0], lead[0])


@every_layer
def test_single_precision_the_meta_device_and_a_copy(name):
    layer, x, context = made(name, dtype=torch.float32)
    z, log_det = layer(x, context)
    assert z.dtype == log_det.dtype == torch.float32
    other = LAYERS[name][1]()
    other.load_state_dict(layer.state_dict())
    for twin in (other.eval(), copy.deepcopy(layer)):
        assert torch.equal(twin(x, context)[0], z)
    there = layer.to("meta")(x.to("meta"), context.to("meta"))
    assert all(t.is_meta for t in there)


@both_ways
def test_another_shape_is_refused(name):
    layer, x, context = made(name)
    with pytest.raises(ValueError, match="x: got shape"):
        layer(x[..., :-1], context)


# ------------------------------------------------------------------ one by one


def test_planar_is_invertible_and_has_no_inverse():
    layer = Planar(3).double()
    with torch.no_grad():
        layer.u.copy_(-5 * layer.w)  # which by itself would fold space
    assert layer.w @ layer.direction() > -1
    torch.testing.assert_close(
        layer.w @ layer.direction(), nn.functional.softplus(layer.w @ layer.u) - 1
    )
    with pytest.raises(NotImplementedError, match="inverse: a planar layer's has no closed form"):
        Flow([Planar(2)], 2).sample(3)


def test_actnorm_starts_once_and_remembers():
    layer, x = ActNorm((2, 3, 3)), 5 + 3 * torch.randn(6, 2, 3, 3)
    with torch.no_grad():
        layer(x)  # a look is no training
    assert not layer.started
    layer(x[:0])
    assert not layer.started
    z = layer(x)[0]
    torch.testing.assert_close(z.mean((0, 2, 3)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.var((0, 2, 3), correction=0), torch.ones(2))
    other = ActNorm((2, 3, 3))
    other.load_state_dict(layer.state_dict())
    for same in (layer, other):
        assert torch.equal(same(x)[0], z)
        assert not torch.allclose(same(10 * x)[0].mean(), torch.zeros(()), atol=1.0)


def test_linear_is_its_weight():
    layer, x = Linear((4, 3, 3)).double(), torch.randn(2, 4, 3, 3, dtype=torch.float64)
    kernel = layer.weight()[..., None, None]
    torch.testing.assert_close(layer(x)[0], nn.functional.conv2d(x, kernel))
    torch.testing.assert_close(
        layer.weight() @ layer.weight().T, torch.eye(4).double(), rtol=0, atol=1e-6
    )


def test_a_spline_is_monotone_and_the_identity_outside():
    by = Spline(bins=6)
    params = 3 * torch.randn(by.parameters, dtype=torch.float64)
    x = torch.linspace(-4, 4, 801, dtype=torch.float64, requires_grad=True)
    z, log_slope = by(x, params.expand(801, -1))
    (slope,) = torch.autograd.grad(z.sum(), x)
    torch.testing.assert_close(log_slope.exp(), slope)
    assert slope.isfinite().all() and (slope > 0).all()
    outside = x.abs() >= 3
    assert torch.equal(z[outside], x[outside])
    assert torch.equal(log_slope[outside], torch.zeros_like(log_slope[outside]))
    back, _ = by.inverse(z, params.expand(801, -1))
    torch.testing.assert_close(back, x)
    knots_x, knots_z, _ = by.knots(params)
    torch.testing.assert_close(by(knots_x[1:-1], params.expand(5, -1))[0], knots_z[1:-1])


def test_a_gradient_outside_a_spline_is_no_nan():
    x = torch.tensor([-1e30, 1e30], requires_grad=True)
    by, params = Spline(4), torch.zeros(2, 11, requires_grad=True)
    (by(x, params)[0] + by.inverse(x, params)[0]).sum().backward()
    assert x.grad.isfinite().all() and params.grad.isfinite().all()


def test_one_bin_is_the_quotient_of_quadratics():
    x0, x1, z0, z1, d0, d1 = torch.tensor([0.5, 2.0, -1.0, 1.0, 0.3, 2.0]).double()
    x = torch.tensor(1.1).double()
    s, xi = (z1 - z0) / (x1 - x0), (x - x0) / (x1 - x0)
    above = (z1 - z0) * (s * xi**2 + d0 * xi * (1 - xi))
    expected = z0 + above / (s + (d1 + d0 - 2 * s) * xi * (1 - xi))
    z, _ = rational_quadratic(x, x0, x1, z0, z1, d0, d1)
    torch.testing.assert_close(z, expected)


def test_one_layer_is_the_gaussian_autoregressive_model():
    layer, x, context = made("MaskedAutoregressive")
    t, s = layer.by.shift_and_log_scale(layer.network(x, context))
    z, log_det = layer(x, context)
    ours = D.Normal(0.0, 1.0).log_prob(z).sum(-1) + log_det
    torch.testing.assert_close(ours, D.Normal(t, s.exp()).log_prob(x).sum(-1))


def test_passes_to_score_and_to_draw():
    layer, x, context = made("MaskedAutoregressive, order")
    passes = []
    layer.network.register_forward_hook(lambda *_: passes.append(1))
    z, _ = layer(x, context)
    assert len(passes) == 1
    layer.inverse(z, context)
    assert len(passes) == 1 + 4
    jacobian = torch.autograd.functional.jacobian(lambda v: layer(v)[0], x[0])
    inside = jacobian[layer.order][:, layer.order]  # in the order of drawing
    assert torch.equal(inside, inside.tril())
    assert (inside.tril(-1) != 0).sum() == 6


def test_a_coupling_keeps_what_its_mask_keeps():
    layer, x, context = made("Coupling, checkerboard")
    z = layer(x, context)[0]
    assert torch.equal((z == x).all(0), layer.mask)


@pytest.mark.parametrize("mask", [torch.ones(3), [True], torch.tensor([True, True]), None])
def test_what_is_no_mask(mask):
    with pytest.raises(ValueError, match="^mask: "):
        Coupling(mask, nn.Identity())


def test_a_network_of_another_size_is_refused():
    layer = Coupling(alternating(4), lambda x, context: torch.zeros(len(x), 1, 2))
    with pytest.raises(ValueError, match=r"network: returned \(5, 1, 2\), expected \(5, 2, 2\)"):
        layer(torch.zeros(5, 4))


# ------------------------------------------------------------------ flows


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


def test_affine_is_what_it_says():
    x, params = torch.randn(5).double(), torch.randn(5, 2).double()
    z, log_slope = Affine()(x, params)
    s = 3 * (params[:, 1] / 3).tanh()
    torch.testing.assert_close(z * s.exp() + params[:, 0], x)
    torch.testing.assert_close(log_slope, -s)
