"""The labelled equations of chapter 10, each computed in two independent ways, in float64."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import distributions as D
from torch import nn
from torch.autograd.functional import jacobian
from torch.special import ndtr, ndtri

from dgm import heads, objectives
from dgm.models import Dequantised, Flow
from dgm.models.flows import (
    ActNorm,
    Additive,
    Affine,
    Composition,
    Coupling,
    Flatten,
    Inverse,
    Layer,
    Linear,
    Logit,
    MaskedAutoregressive,
    Planar,
    Split,
    alternating,
    rational_quadratic,
)

LOG_2PI = math.log(2 * math.pi)


pytestmark = pytest.mark.usefixtures("float64")


def log_normal(x, mean=0.0, sigma=1.0):
    return -((x - mean) ** 2) / (2 * sigma**2) - torch.as_tensor(sigma).log() - LOG_2PI / 2


def line(half, n):
    """Midpoints of n cells of [-half, half], and a cell's width."""
    return torch.linspace(-half, half, 2 * n + 1)[1::2], 2 * half / n


def plane(half, n):
    """Midpoints of n^2 cells of a square, and a cell's area."""
    t, width = line(half, n)
    return torch.cartesian_prod(t, t), width**2


def log_det(f, x):
    """log |det| of the Jacobian of f at one point, by autograd."""
    return torch.linalg.slogdet(jacobian(f, x))[1]


def root(f, low, high):
    """Where the increasing f is zero, elementwise, by bisection."""
    for _ in range(80):
        middle = (low + high) / 2
        below = f(middle) < 0
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return middle


def scattered(module, by=0.5):
    """A module that is not the identity."""
    with torch.no_grad():
        for value in module.parameters():
            value.add_(by * torch.randn_like(value))
    return module.eval()


class Smooth(nn.Module):
    """A network without kinks, for quadrature: (..., d) -> (..., d, parameters)."""

    def __init__(self, parameters, d=1):
        super().__init__()
        last = nn.Linear(8, d * parameters)
        self.layers = nn.Sequential(nn.Linear(d, 8), nn.Tanh(), last, nn.Unflatten(-1, (d, -1)))

    def forward(self, x, context=None):
        return self.layers(x)


class Says(nn.Module):
    """What a function says, in place of a network; `degree` is that of the natural order."""

    def __init__(self, function, d=2):
        super().__init__()
        self.function, self.degree = function, torch.arange(1, d + 1)

    def forward(self, x, context=None):
        return self.function(x)


def plane_layers(by, layers=4):
    masks = [alternating(2, first=k % 2 == 0) for k in range(layers)]
    return [Coupling(mask, Smooth(by.parameters), by) for mask in masks]


def plane_flow(by=None, layers=4):
    return Flow(plane_layers(by or Affine(), layers), 2).eval()


def mixture():
    """Three Gaussians in the plane."""
    means = torch.tensor([[-1.0, 0.5], [1.0, -0.8], [0.2, 1.5]])
    sigma = torch.tensor([0.5, 0.4, 0.6])
    parts = D.Independent(D.Normal(means, sigma[:, None].expand(3, 2)), 1)
    return D.MixtureSameFamily(D.Categorical(torch.tensor([0.4, 0.35, 0.25])), parts)


# ------------------------------------------------------------------ change of variables


@pytest.mark.equation("eq-flow-density")
def test_the_density_of_a_flow():
    """Layer by layer against the Jacobian of the whole by autograd; and its mass is one."""
    flow = plane_flow()
    x = 2 * torch.randn(5, 2)
    whole = torch.stack([log_normal(flow.encode(v)).sum() + log_det(flow.encode, v) for v in x])
    torch.testing.assert_close(flow.log_prob(x), whole)
    points, area = plane(14, 300)
    assert (flow.log_prob(points).exp().sum() * area).item() == pytest.approx(1, abs=1e-5)


@pytest.mark.equation("eq-inverse-jacobian")
def test_the_determinants_of_there_and_back():
    """Two Jacobians by autograd, at x = f(z) and at z; a layer says the same both ways."""
    flow = plane_flow()
    z = torch.tensor([0.7, -0.4])
    x = flow.decode(z)
    torch.testing.assert_close(log_det(flow.encode, x), -log_det(flow.decode, z))
    assert (log_det(flow.encode, x) + log_det(flow.decode, x)).abs() > 0.01  # at one argument
    for layer in flow.layers:
        code, there = layer(x)
        torch.testing.assert_close(layer.inverse(code)[1], -there)
        torch.testing.assert_close(there, log_det(lambda v, g=layer: g(v)[0], x))
        x = code


@pytest.mark.equation("eq-flow-composition")
def test_the_log_determinants_of_layers_add_up():
    """The composition's sum, the layers' Jacobians where each stands, and that of the whole."""
    layers = Composition(plane_layers(Affine()))
    x = z = torch.tensor([0.3, 1.1])
    total = 0.0
    for layer in layers:
        total += log_det(lambda v, g=layer: g(v)[0], z)
        z = layer(z)[0]
    whole = log_det(lambda v: layers(v)[0], x)
    torch.testing.assert_close(total, whole)
    torch.testing.assert_close(layers(x)[1], whole)
    back = log_det(lambda v: layers.inverse(v)[0], z)
    torch.testing.assert_close(layers.inverse(z)[1], back)


@pytest.mark.equation("eq-pushforward")
def test_an_expectation_needs_no_jacobian():
    """Quadrature in x with the density against quadrature in z without."""
    flow, g = plane_flow(), lambda x: x[:, 0].sin() + x[:, 1] ** 2
    x, dx = plane(14, 300)
    z, dz = plane(8, 200)
    in_x = (flow.log_prob(x).exp() * g(x)).sum() * dx
    in_z = (log_normal(z).sum(-1).exp() * g(flow.decode(z))).sum() * dz
    torch.testing.assert_close(in_x, in_z, rtol=1e-5, atol=1e-5)


@pytest.mark.equation("eq-flow-entropy")
def test_the_entropy_of_a_flow():
    """-sum p log p on a grid of x against the normal's entropy and a mean of log-determinants."""
    flow = plane_flow()
    x, dx = plane(14, 300)
    z, dz = plane(8, 200)
    log_p = flow.log_prob(x)
    entropy = -(log_p.exp() * log_p).sum() * dx
    stretch = (log_normal(z).sum(-1).exp() * flow.layers.inverse(z)[1]).sum() * dz
    torch.testing.assert_close(entropy, 1 + LOG_2PI + stretch, rtol=1e-5, atol=1e-5)


@pytest.mark.equation("eq-kl-invariant")
def test_the_divergence_is_the_same_in_data_and_in_codes():
    """Two quadratures; the codes' density is a flow, too, whose base are the data."""
    flow, data = plane_flow(), mixture()
    codes = heads.Flowed(data, Inverse(flow.layers))
    x, dx = plane(7, 300)
    z, dz = plane(24, 500)
    log_p, log_q = data.log_prob(x), codes.log_prob(z)
    in_x = (log_p.exp() * (log_p - flow.log_prob(x))).sum() * dx
    in_z = (log_q.exp() * (log_q - log_normal(z).sum(-1))).sum() * dz
    torch.testing.assert_close(in_x, in_z, rtol=1e-5, atol=1e-5)
    by_hand = data.log_prob(flow.decode(z[::999])) + flow.layers.inverse(z[::999])[1]
    torch.testing.assert_close(log_q[::999], by_hand)


@pytest.mark.equation("eq-reverse-kl")
def test_a_fit_to_an_unnormalised_density():
    """The bound by quadrature in z, the divergence and log Z by quadrature in x."""
    flow = plane_flow()

    def log_tilde(x):
        return -0.25 * x.square().sum(-1) - (x[..., 0] - x[..., 1] ** 2 / 3).abs()

    x, dx = plane(14, 400)
    z, dz = plane(8, 200)
    log_z = log_tilde(x).logsumexp(0) + math.log(dx)
    draws, stretch = flow.layers.inverse(z)
    bound = (log_normal(z).sum(-1).exp() * (log_tilde(draws) + stretch)).sum() * dz + 1 + LOG_2PI
    log_p = flow.log_prob(x)
    divergence = (log_p.exp() * (log_p - log_tilde(x) + log_z)).sum() * dx
    torch.testing.assert_close(bound + divergence, log_z, rtol=0, atol=1e-3)  # of the kink
    assert divergence > 0.1


# ------------------------------------------------------------------ one dimension, and no more


def pair_cdf(a, s):
    return lambda x: (ndtr((x + a) / s) + ndtr((x - a) / s)) / 2


@pytest.mark.equation("eq-integral-transform")
def test_the_integral_transform():
    """Slopes by finite differences, and expectations in x and in z."""
    weight, mean, sigma = torch.tensor([[0.5, 0.3, 0.2], [-1.5, 0.4, 2.0], [0.5, 0.3, 0.6]])
    p = D.MixtureSameFamily(D.Categorical(weight), D.Normal(mean, sigma))

    def f(z):
        return root(lambda x: p.cdf(x) - ndtr(z), torch.full_like(z, -15), torch.full_like(z, 15))

    z, h = torch.tensor([-1.2, -0.1, 0.5, 1.3]), 1e-5
    slope = (f(z + h) - f(z - h)) / (2 * h)
    torch.testing.assert_close(slope.log(), log_normal(z) - p.log_prob(f(z)), rtol=1e-6, atol=1e-6)
    z, dz = line(6, 4000)
    x, dx = line(10, 4000)
    in_z = (log_normal(z).exp() * f(z).sin()).sum() * dz
    in_x = (p.log_prob(x).exp() * x.sin()).sum() * dx
    torch.testing.assert_close(in_z, in_x, rtol=0, atol=1e-6)


@pytest.mark.equation("eq-topology")
def test_the_slope_between_two_modes():
    """By finite differences of the inverse distribution function, at three distances."""
    for a, s in ((1.0, 0.5), (1.0, 0.25), (1.0, 0.2)):
        formula = s * math.exp(a**2 / (2 * s**2))
        z = torch.tensor([-1e-5, 1e-5]) / formula
        ends = torch.tensor([-5.0, -5.0]), torch.tensor([5.0, 5.0])
        x = root(lambda x, z=z, a=a, s=s: pair_cdf(a, s)(x) - ndtr(z), *ends)
        assert ((x[1] - x[0]) / (z[1] - z[0])).item() == pytest.approx(formula, rel=1e-3)


@pytest.mark.equation("eq-bridge")
def test_the_mass_of_a_bridge():
    """By quadrature: attained by the steepest map, and by no other of that slope undercut."""
    z, dz = line(8, 40_000)
    p, gap = log_normal(z).exp() * dz, 1.2
    for steepest in (2.0, 10.0, 100.0):
        bound = 2 * ndtr(torch.tensor(gap / (2 * steepest))) - 1
        x = torch.where(z.abs() * steepest < gap / 2, steepest * z, z.sign() * (gap / 2 + z.abs()))
        torch.testing.assert_close(p[x.abs() < gap / 2].sum(), bound, rtol=0, atol=1e-4)
        for _ in range(5):
            slopes = steepest * torch.rand(40).repeat_interleave(1000)
            x = (slopes * dz).cumsum(0)
            left = p.cumsum(0)
            # of all gaps of that width the one with equal mass on its two sides
            end = torch.searchsorted(x, x + gap).clamp(max=len(x) - 1)
            best = (left - (1 - left[end])).abs().argmin()
            assert left[end[best]] - left[best] > bound - 1e-3


# ------------------------------------------------------------------ couplings


@pytest.mark.equation("eq-coupling")
def test_an_affine_coupling():
    """The formula on split coordinates against the layer, and its Jacobian by autograd."""
    layer = scattered(Coupling.of(alternating(5), Affine()))
    z = torch.randn(5)
    z_a, z_b = z[layer.mask], z[~layer.mask]
    t, s = layer.by.shift_and_log_scale(layer.network(z_a))
    expected = z.clone()
    expected[~layer.mask] = z_b * s.exp() + t
    x, stretch = layer.inverse(z)
    torch.testing.assert_close(x, expected)
    torch.testing.assert_close(stretch, s.sum())
    torch.testing.assert_close(stretch, log_det(lambda v: layer.inverse(v)[0], z))
    back, shrink = layer(x)
    torch.testing.assert_close(back[~layer.mask], (x[~layer.mask] - t) * (-s).exp())
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(shrink, -s.sum())


@pytest.mark.equation("eq-nice")
def test_additive_couplings_keep_all_volumes():
    """Determinants by autograd against 1; the highest point of the density against the base's."""
    flow = plane_flow(Additive(), layers=3)
    for x in torch.randn(4, 2):
        torch.testing.assert_close(log_det(flow.decode, x), torch.tensor(0.0))
    x, _ = plane(9, 200)
    highest = flow.log_prob(torch.cat([x, flow.decode(torch.zeros(1, 2))])).max()
    torch.testing.assert_close(highest, torch.tensor(-LOG_2PI))


@pytest.mark.equation("eq-multiscale")
def test_a_split_is_a_flat_flow():
    """Both halves scored where they leave, against the Jacobian of the flat map by autograd."""
    shape, half = (2, 1, 2), (1, 1, 2)
    rest = Composition([Flatten(half), scattered(Coupling.of(alternating(2)))])
    first = scattered(Coupling.of(alternating(shape)))
    flow = Flow([first, Split(shape, rest)], shape)
    x = torch.randn(shape)
    h, stretch = first(x)
    code, more = rest(h[:1])
    by_parts = log_normal(code).sum() + log_normal(h[1:]).sum() + stretch + more

    def flat(v):
        h = first(v.view(shape))[0]
        return torch.cat([rest(h[:1])[0], h[1:].flatten()])

    whole = log_normal(flat(x)).sum() + log_det(flat, x.flatten())
    torch.testing.assert_close(by_parts, whole)
    torch.testing.assert_close(flow.log_prob(x), whole)


# ------------------------------------------------------------------ matrices


@pytest.mark.equation("eq-plu")
def test_the_determinant_of_a_product_of_triangles():
    """The diagonal of U against the determinant of W; W against the three factors."""
    layer = scattered(Linear(6))
    lower, upper = layer.factors()
    assert lower.equal(lower.tril()) and upper.equal(upper.triu())
    assert (lower.diagonal() == 1).all()
    weight = layer.weight()
    torch.testing.assert_close(weight, layer.permutation @ lower @ upper)
    by_diagonal = upper.diagonal().abs().log().sum()
    torch.testing.assert_close(by_diagonal, torch.linalg.slogdet(weight)[1])
    torch.testing.assert_close(layer(torch.randn(6))[1], by_diagonal)


@pytest.mark.equation("eq-conv1x1")
def test_a_matrix_and_a_scale_at_every_pixel():
    """Jacobians of 24 x 24 by autograd against the two formulas and the layers."""
    shape, x = (3, 2, 4), torch.randn(3, 2, 4)
    mix, norm = scattered(Linear(shape)), scattered(ActNorm(shape))
    formulas = 8 * torch.linalg.slogdet(mix.weight())[1], -8 * norm.log_scale.sum()
    for layer, formula in zip((mix, norm), formulas, strict=True):
        whole = log_det(lambda v, g=layer: g(v.view(shape))[0].flatten(), x.flatten())
        torch.testing.assert_close(whole, formula)
        torch.testing.assert_close(layer(x)[1], formula)
    torch.testing.assert_close(norm(x)[0], (x - norm.mean) / norm.log_scale.exp())


@pytest.mark.equation("eq-determinant-lemma")
def test_the_determinant_of_a_plane_s_pull():
    """Of the matrix against 1 + v.u; of a planar layer's Jacobian against the formula."""
    u, v = torch.randn(2, 4)
    torch.testing.assert_close(torch.linalg.det(torch.eye(4) + torch.outer(u, v)), 1 + v @ u)
    layer, x = scattered(Planar(4)), torch.randn(4)
    height = torch.tanh(layer.w @ x + layer.b)
    formula = (1 + (1 - height**2) * (layer.w @ layer.direction())).abs().log()
    torch.testing.assert_close(log_det(lambda v: layer(v)[0], x), formula)
    torch.testing.assert_close(layer(x)[1], formula)


@pytest.mark.equation("eq-planar-invertible")
def test_when_a_planar_layer_is_invertible():
    """The product w.u-hat against m(w.u); images of a line are in order where w.u >= -1 only."""
    layer = Planar(4)
    for scale in (-6.0, -1.0, 0.0, 0.5, 3.0):
        with torch.no_grad():
            layer.u.copy_(scale * layer.w + torch.randn(4))
        along = layer.w @ layer.direction()
        torch.testing.assert_close(along, F.softplus(layer.w @ layer.u) - 1)
        assert along > -1
    height = line(8, 8000)[0]
    for along in (-3.0, -1.05, -1.0, -0.5, 2.0):
        image = height + along * torch.tanh(height)  # w.z of points, by their w.x
        assert (image.diff() > 0).all() == (along >= -1)


@pytest.mark.equation("eq-small-steps")
def test_the_determinant_of_a_small_step():
    """What is left over falls as the square of the step, and is the second term of the series."""
    matrix = torch.randn(4, 4)

    def rest(h):
        return torch.linalg.slogdet(torch.eye(4) + h * matrix)[1] - h * matrix.trace()

    assert (rest(1e-3) / rest(1e-4)).item() == pytest.approx(100, rel=0.05)
    second = -(matrix @ matrix).trace() / 2
    assert (rest(1e-4) / 1e-8).item() == pytest.approx(second.item(), rel=0.01)


@pytest.mark.equation("eq-residual-inverse")
def test_passes_that_contract():
    """Less is left than the bound says, for a network; all of it, where all distances shrink."""
    A, B = (m / torch.linalg.matrix_norm(m, 2) for m in (torch.randn(3, 8), torch.randn(8, 3)))
    z = torch.randn(5, 3)
    for K in (0.3, 0.9):
        for g in (lambda v, K=K: K * torch.tanh(v @ A) @ B, lambda v, K=K: -K * v):
            x = z + g(z)
            passes = [x]
            for _ in range(12):
                passes.append(x - g(passes[-1]))
            first = (passes[1] - passes[0]).norm(dim=1)
            for k, found in enumerate(passes):
                left, bound = (found - z).norm(dim=1), K**k / (1 - K) * first
                assert (left <= bound + 1e-12).all()
        torch.testing.assert_close(left, bound)  # of -K v, at every pass


# ------------------------------------------------------------------ autoregressive layers


@pytest.mark.equation("eq-rosenblatt")
def test_conditional_distribution_functions_are_a_flow():
    """Density by autograd against the mixture's; moments of codes against the normal's."""
    data = mixture()
    weight, means = data.mixture_distribution.probs, data.component_distribution.mean
    sigma = data.component_distribution.stddev[:, 0]

    def codes(x):  # (..., 2)
        first = (weight * ndtr((x[..., :1] - means[:, 0]) / sigma)).sum(-1)
        after = (weight.log() + log_normal(x[..., :1], means[:, 0], sigma)).softmax(-1)
        second = (after * ndtr((x[..., 1:] - means[:, 1]) / sigma)).sum(-1)
        return ndtri(torch.stack([first, second], -1))

    for x in torch.tensor([[0.1, 0.2], [-1.0, 1.0], [1.5, -0.5]]):
        slopes = jacobian(codes, x)
        assert slopes[0, 1] == 0
        ours = (log_normal(codes(x)) + slopes.diagonal().log()).sum()
        torch.testing.assert_close(ours, data.log_prob(x))
    x, dx = plane(4.5, 300)
    p, z = data.log_prob(x).exp() * dx, codes(x)
    for power_1, power_2, moment in ((1, 0, 0), (2, 0, 1), (0, 4, 3), (1, 1, 0), (2, 2, 1)):
        mean = (p * z[:, 0] ** power_1 * z[:, 1] ** power_2)[z.isfinite().all(-1)].sum()
        assert mean.item() == pytest.approx(moment, abs=1e-3)


@pytest.mark.equation("eq-maf-gaussian")
def test_a_masked_layer_is_the_gaussian_autoregressive_model():
    """The flow's density against a product of normals with the network's means and scales."""
    layer = scattered(MaskedAutoregressive(4))
    x = torch.randn(50, 4)
    mean, log_sigma = layer.by.shift_and_log_scale(layer.network(x))
    product = D.Normal(mean, log_sigma.exp()).log_prob(x).sum(-1)
    torch.testing.assert_close(Flow([layer], 4).log_prob(x), product)
    assert jacobian(lambda v: layer.network(v)[:, 0], x[0]).triu().abs().max() == 0


@pytest.mark.equation("eq-maf-inverse")
def test_as_many_passes_as_coordinates():
    """The iteration from anywhere against the layer's inverse: equal after D passes, not before."""
    layer = scattered(MaskedAutoregressive(5))
    z = torch.randn(20, 5)
    exact, _ = layer.inverse(z)
    x, errors = 3 * torch.randn(20, 5), []
    for _ in range(5):
        mean, log_sigma = layer.by.shift_and_log_scale(layer.network(x))
        x = mean + log_sigma.exp() * z
        errors.append((x - exact).abs().max().item())
    assert errors[-1] < 1e-13 < 1e-4 < min(errors[:-1])
    torch.testing.assert_close(layer(x)[0], z)


@pytest.mark.equation("eq-iaf")
def test_an_inverse_autoregressive_layer_draws_in_one_pass():
    """Its own formula, from the draw's noise, against D passes and against autograd."""
    network = scattered(MaskedAutoregressive(4))
    layer, z = Inverse(network), torch.randn(4)
    t, s = network.by.shift_and_log_scale(network.network(z))
    mean, sigma = -t * (-s).exp(), (-s).exp()
    x, _ = layer.inverse(z)
    torch.testing.assert_close(x, mean + sigma * z)
    formula = log_normal(z).sum() - sigma.log().sum()
    torch.testing.assert_close(Flow([layer], 4).log_prob(x), formula)  # finds z first
    by_autograd = log_normal(z).sum() - log_det(lambda v: layer.inverse(v)[0], z)
    torch.testing.assert_close(formula, by_autograd)


@pytest.mark.equation("eq-maf-iaf-duality")
def test_a_masked_flow_fits_data_as_its_inverse_fits_noise():
    """Forward divergence by quadrature in x, reverse divergence by quadrature in z."""
    layer = scattered(MaskedAutoregressive(2, hidden=8), 0.2)
    data, maf = mixture(), Flow([layer], 2)
    iaf = heads.Flowed(data, Inverse(layer))  # what the same network makes of data
    x, dx = plane(7, 300)
    z, dz = plane(12, 500)
    with torch.no_grad():
        log_p, log_q = data.log_prob(x), iaf.log_prob(z)
        forward = (log_p.exp() * (log_p - maf.log_prob(x))).sum() * dx
        reverse = (log_q.exp() * (log_q - log_normal(z).sum(-1))).sum() * dz
    torch.testing.assert_close(forward, reverse, rtol=0, atol=1e-3)  # relus have kinks
    assert forward > 0.1


@pytest.mark.equation("eq-coupling-maf")
def test_a_coupling_is_an_autoregressive_layer_of_two_blocks():
    """The same network behind a coupling and, with zeros for what is kept, behind the other."""
    coupling = scattered(Coupling.of(torch.tensor([True, True, False, False])))

    def network(x):
        says = coupling.network(x[..., :2])
        return torch.cat([torch.zeros_like(says), says], -2)

    layer = MaskedAutoregressive(4)
    layer.network = Says(network, 4)
    x = torch.randn(10, 4)
    for one, other in zip(coupling(x), layer(x), strict=True):
        torch.testing.assert_close(one, other)
    for one, other in zip(coupling.inverse(x), layer.inverse(x), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.equation("eq-same-order")
def test_in_one_order_the_first_coordinate_stays_gaussian():
    """a + b z_1 from the layers' constants against the whole flow, and against turned orders."""
    layers = Composition([scattered(MaskedAutoregressive(3, hidden=8)) for _ in range(5)])
    z = torch.cat([torch.linspace(-3, 3, 9)[:, None], torch.randn(9, 2)], 1)
    a, b = 0.0, 1.0
    for layer in reversed(layers.layers):
        t, s = layer.by.shift_and_log_scale(layer.network(torch.zeros(3))[0])
        a, b = t + s.exp() * a, s.exp() * b
    torch.testing.assert_close(layers.inverse(z)[0][:, 0], a + b * z[:, 0])
    orders = [[0, 1, 2], [2, 1, 0]] * 2
    turned = Composition(scattered(MaskedAutoregressive(3, 8, order)) for order in orders)
    z[:, 1:] = 0.5
    first = turned.inverse(z)[0][:, 0]
    assert first.diff().diff().abs().max() > 1e-3 * first.diff().abs().max()


# ------------------------------------------------------------------ splines


@pytest.mark.equation("eq-spline")
def test_a_bin_of_a_spline():
    """The slope against autograd, the root of the quadratic against bisection."""
    x0, x1, z0, z1, d0, d1 = (torch.tensor(v).expand(50) for v in (-0.5, 1.0, 0.2, 2.5, 0.4, 3.0))
    x = torch.linspace(-0.49, 0.99, 50).requires_grad_()
    z, log_slope = rational_quadratic(x, x0, x1, z0, z1, d0, d1)
    r, xi = (z1 - z0) / (x1 - x0), (x - x0) / (x1 - x0)
    below = r + (d1 + d0 - 2 * r) * xi * (1 - xi)
    above = r**2 * (d1 * xi**2 + 2 * r * xi * (1 - xi) + d0 * (1 - xi) ** 2)
    torch.testing.assert_close(log_slope.exp(), above / below**2)
    torch.testing.assert_close(log_slope.exp(), torch.autograd.grad(z.sum(), x)[0])
    z = torch.linspace(0.21, 2.49, 50)
    back, log_slope_back = rational_quadratic(z, x0, x1, z0, z1, d0, d1, inverse=True)
    found = root(lambda x: rational_quadratic(x, x0, x1, z0, z1, d0, d1)[0] - z, x0, x1)
    torch.testing.assert_close(back, found)
    there = rational_quadratic(found, x0, x1, z0, z1, d0, d1)[1]
    torch.testing.assert_close(log_slope_back, -there)


# ------------------------------------------------------------------ pixels


@pytest.mark.equation("eq-logit")
def test_the_slope_of_the_logit():
    """Autograd on log w - log (1 - w) against the formula and the layer."""
    margin, v = 0.05, torch.tensor([0.0, 0.2, 0.7, 1.0], requires_grad=True)
    w = margin + (1 - 2 * margin) * v
    (slope,) = torch.autograd.grad((w / (1 - w)).log().sum(), v)
    formula = math.log(1 - 2 * margin) - w.log() - (1 - w).log()
    torch.testing.assert_close(slope.log(), formula)
    torch.testing.assert_close(Logit(4, margin)(v)[1], slope.log().sum())


@pytest.mark.equation("eq-bits-scale")
def test_bits_do_not_depend_on_the_scale():
    """Of one flow, of the data on four ranges; -log2 P of a narrow cell by its mass."""
    levels, values = 4096, torch.linspace(0.1, 0.9, 7)[:, None]
    bits = []
    for low, high in ((0.0, 1.0), (0.0, 4096.0), (-1.0, 1.0), (3.0, 13.0)):
        scale = ActNorm(1).eval()
        with torch.no_grad():
            scale.mean.fill_(low + 0.6 * (high - low)), scale.log_scale.fill_(math.log(high - low))
        log_p = Flow([scale], 1).log_prob(low + (high - low) * values)
        bits.append(-log_p / math.log(2) + math.log2(levels / (high - low)))
        torch.testing.assert_close(bits[-1], bits[0])
    edges = values[:, 0] - 0.6 + torch.tensor([[-0.5], [0.5]]) / levels
    mass = ndtr(edges[1]) - ndtr(edges[0])
    torch.testing.assert_close(bits[0], -mass.log2(), rtol=0, atol=1e-6)


class Ramp(Layer):
    """x in [0, 1], of density 2 x, to x^2, which is uniform."""

    support = D.constraints.unit_interval

    def forward(self, x, context=None):
        return x.square(), (2 * x).log().sum(-1)

    def inverse(self, z, context=None):
        return z.sqrt(), -(2 * z.sqrt()).log().sum(-1)


class Noise(nn.Module):
    """N(0.4, 0.8^2), whatever x; the sigmoid of a draw is the place in the cell."""

    def forward(self, x):
        return D.Independent(D.Normal(torch.full((len(x), 1), 0.4), 0.8), 1)


def grey():
    """A ramp of 4 levels, their values, and their probabilities: 1, 3, 5 and 7 sixteenths."""
    flow = Flow([Ramp()], 1, heads.UnitCube(1))
    return flow, torch.tensor([[0.0], [1 / 3], [2 / 3], [1.0]]), torch.tensor([1, 3, 5, 7]) / 16


@pytest.mark.equation("eq-variational-dequantisation")
def test_the_bound_of_dequantisation():
    """Exact log P less a divergence by quadrature in the cell, against the ELBO by draws."""
    flow, x, p_x = grey()
    model = Dequantised(flow, levels=4, noise=Noise())
    v = torch.linspace(0, 1, 80_001)[1::2]
    cell = v.view(4, -1, 1)  # the values of each cell
    log_q = model.posterior(x).log_prob(cell.transpose(0, 1)).T  # (4, 10000)
    log_p = (2 * cell[..., 0]).log()
    torch.testing.assert_close(log_p, model.prior().log_prob(cell))
    q = log_q.exp() / 40_000
    divergence = (q * (log_q - (log_p - p_x.double().log()[:, None]))).sum(1)
    bound = (q * (log_p - log_q)).sum(1)
    torch.testing.assert_close(p_x.double().log() - divergence, bound, rtol=0, atol=1e-5)
    assert (divergence > 0.01).all()
    draws = objectives.elbo(model, x, k=40_000)  # standard errors below 0.004
    torch.testing.assert_close(draws, bound, rtol=0, atol=0.02)


@pytest.mark.equation("eq-iw-dequantisation")
def test_more_draws_of_the_noise_tighten_the_bound():
    """The library's bound, by draws, against the expectation on a grid of one and of two draws."""
    flow, x, p_x = grey()
    model = Dequantised(flow, levels=4)
    u = torch.linspace(0, 1, 4001)[1::2]
    density = 2 * (torch.arange(4)[:, None] + u) / 4  # of v in each cell, (4, 2000); q is 4
    one = (density / 4).log().mean(1)
    two = torch.stack([((row[:, None] + row) / 8).log().mean() for row in density])
    many = x.repeat(20_000, 1)
    for k, exact in ((1, one), (2, two)):
        drawn = objectives.iwae(model, many, k=k).view(-1, 4).mean(0)  # errors below 0.007
        torch.testing.assert_close(drawn, exact, rtol=0, atol=0.03)
    assert (one < two).all() and (two < p_x.log()).all()
    tight = objectives.iwae(model, x, k=100_000)
    torch.testing.assert_close(tight, p_x.double().log(), rtol=0, atol=0.02)


# ------------------------------------------------------------------ posteriors


class Bent:
    """x | z ~ N(z_2 + z_1^2, 0.3^2) with z ~ N(0, I), and some flow as its posterior."""

    shape, classes, sigma = (1,), 0, 0.3

    def __init__(self, layers, mean=(0.0, 0.0), sigma=(1.0, 1.0)):
        self.base = D.Independent(D.Normal(torch.tensor(mean), torch.tensor(sigma)), 1)
        self.layers = layers

    def prior(self):
        return D.Independent(D.Normal(torch.zeros(2), 1.0), 1)

    def posterior(self, x):
        return heads.Flowed(self.base.expand((len(x),)), self.layers)

    def likelihood(self, z):
        mean = (z[..., 1] + z[..., 0] ** 2)[..., None]
        return D.Independent(D.Normal(mean, self.sigma), 1)

    def log_joint(self, z, x):
        return log_normal(z).sum(-1) + log_normal(x, z[..., 1] + z[..., 0] ** 2, self.sigma)


@pytest.mark.equation("eq-flow-elbo")
def test_the_elbo_of_a_flow_posterior():
    """By quadrature in the noise; log p(x) and the divergence in z; the objective by draws."""
    model, x = Bent(Composition(plane_layers(Affine(), 2))), 1.5
    z, dz = plane(16, 500)
    epsilon, d_epsilon = plane(8, 300)
    q = model.posterior(torch.tensor([[x]]))
    log_p = model.log_joint(z, x).logsumexp(0) + math.log(dz)
    there, stretch = q.layers.inverse(epsilon)
    value = model.log_joint(there, x) - log_normal(epsilon).sum(-1) + stretch
    elbo = (log_normal(epsilon).sum(-1).exp() * value).sum() * d_epsilon
    log_q = q.log_prob(z[:, None])[:, 0]
    divergence = (log_q.exp() * (log_q - model.log_joint(z, x) + log_p)).sum() * dz
    torch.testing.assert_close(elbo, log_p - divergence, rtol=1e-3, atol=1e-3)
    draws = objectives.elbo(model, torch.tensor([[x]]).expand(100, 1), k=2000)
    error = draws.std() / 10
    assert (draws.mean() - elbo).abs() < 4 * error


@pytest.mark.equation("eq-banana")
def test_the_gap_of_one_inverse_autoregressive_step():
    """The least divergence in z_1 alone against the gap of the best step in the plane."""
    x, sigma = 1.5, Bent.sigma
    shrink = 1 / (1 + sigma**2)  # z_2 given z_1 is N(shrink (x - z_1^2), sigma^2 shrink)
    z, dz = line(6, 1500)
    log_joint = log_normal(z) + log_normal(x, z**2, math.sqrt(1 + sigma**2))
    log_p = log_joint.logsumexp(0) + math.log(dz)

    def gap(scale):
        log_q = log_normal(z, 0.0, scale)
        return ((log_q.exp() * (log_q - log_joint + log_p)).sum() * dz).item()

    scale = min((0.5 + 0.005 * k for k in range(140)), key=gap)
    assert gap(scale) == pytest.approx(0.1802, abs=5e-5)
    # z = (epsilon - t) exp(-s), with t and s functions of epsilon_1
    log_scale = -math.log(sigma * math.sqrt(shrink))
    raw = torch.tensor(3 * math.atanh(log_scale / 3))

    def network(epsilon):
        second = -shrink * (x - epsilon[..., :1] ** 2) * math.exp(log_scale)
        shift = torch.cat([torch.zeros_like(second), second], -1)
        return torch.stack([shift, raw * torch.tensor([0.0, 1.0]).expand_as(shift)], -1)

    step = MaskedAutoregressive(2)
    step.network = Says(network)
    model = Bent(Inverse(step), sigma=(scale, 1.0))
    epsilon, d_epsilon = plane(7, 300)
    epsilon = epsilon * torch.tensor([scale, 1.0])
    there, stretch = model.layers.inverse(epsilon)
    log_base = model.base.log_prob(epsilon)
    value = log_base.exp() * (model.log_joint(there, x) - log_base + stretch)
    elbo = value.sum() * d_epsilon * scale
    assert (log_p - elbo).item() == pytest.approx(gap(scale), abs=1e-4)


# ------------------------------------------------------------------ typical and cold


@pytest.mark.equation("eq-temperature")
def test_cold_draws():
    """Densities of cold draws on a grid against powers of the density: additive, and affine."""
    temperature, (x, _) = 0.7, plane(8, 250)
    distance = []
    for by in (Additive(), Affine()):
        flow = plane_flow(by, layers=2)
        base = D.Independent(D.Normal(torch.zeros(2), temperature), 1)
        cold = heads.Flowed(base, flow.layers).log_prob(x).softmax(0)
        power = (flow.log_prob(x) / temperature**2).softmax(0)
        distance.append((cold - power).abs().sum().item() / 2)
    assert distance[0] < 1e-9 and distance[1] > 0.01


@pytest.mark.equation("eq-typical")
def test_typical_draws_lie_below_the_mode():
    """By quadrature over the radius, whose density is that of a chi, and by draws."""
    size = 64
    base = heads.StandardNormal(size)()
    r = torch.linspace(0, 20, 20_001)[1::2]
    log_chi = (size - 1) * r.log() - r**2 / 2 - math.lgamma(size / 2) - (size / 2 - 1) * math.log(2)
    below = base.log_prob(torch.zeros(size)) - base.log_prob(
        r[:, None] * F.one_hot(torch.tensor(0), size)
    )
    mean = (log_chi.exp() * below).sum() * (r[1] - r[0])
    assert mean.item() == pytest.approx(size / 2, rel=1e-6)
    drawn = base.log_prob(torch.zeros(size)) - base.log_prob(base.sample((20_000,)))
    assert drawn.mean().item() == pytest.approx(size / 2, abs=5 * (size / 2 / 20_000) ** 0.5)


@pytest.mark.equation("eq-lipschitz-tails")
def test_tails_are_those_of_the_base():
    """By quadrature over the codes; attained by 5 z, and by no map to a Cauchy distribution."""
    z, dz = line(9, 90_000)
    p = log_normal(z).exp() * dz

    def tail(x, t):  # P(|x - f(0)| > t), with f(0) = 1
        return p[(x - 1).abs() > t].sum()

    for t in (1.0, 5.0, 12.0):
        bound = 2 * ndtr(torch.tensor(-t / 5))
        assert tail(1 + 2 * z + torch.sin(3 * z), t) < bound  # of slope 2 + 3 cos 3z
        assert tail(1 + 5 * z, t).item() == pytest.approx(bound.item(), rel=1e-3)
    assert tail(1 + torch.tan(math.pi * (ndtr(z) - 0.5)), 30.0) > 2 * ndtr(torch.tensor(-30 / 5))


@pytest.mark.equation("eq-narrow")
def test_what_is_narrow_scores_higher():
    """The formula against an entropy and a divergence of torch's, and against draws."""
    size = 64
    base = heads.StandardNormal(size)()
    for t in (1.0, 0.5, 0.1):
        narrow = D.Normal(torch.zeros(()), t)
        cross = narrow.entropy() + D.kl_divergence(narrow, D.Normal(0.0, 1.0))
        formula = -size / 2 * (LOG_2PI + t**2)
        assert (-size * cross).item() == pytest.approx(formula)
        drawn = base.log_prob(t * torch.randn(5000, size))
        assert drawn.mean().item() == pytest.approx(formula, abs=5 * t**2 * (32 / 5000) ** 0.5)
