"""Invertible layers: all in one table, and what is particular to each."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import distributions as D
from torch import nn

from dgm.models import Flow
from dgm.models.flows import (
    ActNorm,
    Additive,
    Affine,
    Composition,
    Coupling,
    Flatten,
    Inverse,
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
    linear,
    rational_quadratic,
)

IMAGE, CONTEXT = (4, 2, 2), 3
unit = partial(Spline, 4, 0.0, 1.0)


def told_vectors(shape):
    """Layers of which the second is told a context."""
    return Composition(
        [Flatten(shape), Coupling.of(alternating(math.prod(shape)), context=CONTEXT)]
    )


LAYERS = {  # a shape, and how a layer is made for it
    "Flatten": (IMAGE, lambda: Flatten(IMAGE)),
    "Permute": ((4,), lambda: Permute([2, 0, 3, 1])),
    "Squeeze": (IMAGE, Squeeze),
    "Split": (IMAGE, lambda: Split(IMAGE, Composition([ActNorm((2, 2, 2)), Flatten((2, 2, 2))]))),
    "Split, context": (IMAGE, lambda: Split(IMAGE, told_vectors((2, 2, 2)))),
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
    "Inverse": ((4,), lambda: Inverse(MaskedAutoregressive(4, context=CONTEXT))),
    "Composition, context": (IMAGE, lambda: told_vectors(IMAGE)),
    "Composition": (IMAGE, lambda: Composition(glow_step(IMAGE, width=4))),
}
TOLD = [
    "Split, context",
    "Coupling, affine",
    "Coupling, checkerboard",
    "MaskedAutoregressive",
    "Inverse",
    "Composition, context",
]
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
    argument = "z" if name == "Inverse" else "x"  # whose forward is the other's inverse
    with pytest.raises(ValueError, match=f"{argument}: got shape"):
        layer(x[..., :-1], context)

    z = layer(x, context)[0]
    argument = "x" if name == "Inverse" else "z"  # whose inverse is the other's forward
    with pytest.raises(ValueError, match=f"{argument}: got shape"):
        layer.inverse(z[:, 1:] if name == "Squeeze" else z[..., :-1], context)


@pytest.mark.parametrize("name", TOLD)
def test_what_is_told_makes_a_difference(name):
    """To every event its own, both ways."""
    layer, x, context = made(name)
    other = context.clone()
    other[2] += 1
    for way in (layer, layer.inverse):
        shape = (5, *layer(x, context)[0].shape[1:]) if way == layer.inverse else x.shape
        (one, there), (two, again) = way(x.view(shape), context), way(x.view(shape), other)
        changed = torch.arange(5) == 2
        assert torch.equal((one != two).flatten(1).any(1), changed)
        assert torch.equal(there != again, changed)


@pytest.mark.parametrize("name", LAYERS)
def test_what_a_layer_is_lies_in_its_state(name):
    """A fresh layer that loads it does the same, the first time that it is trained, too."""
    layer, x, context = made(name)
    layer.train()
    layer(x, context)  # an actnorm starts here
    z = layer(10 * x - 4 if name != "Logit" else x, context)[0]
    torch.manual_seed(5)
    other = LAYERS[name][1]().double()
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(10 * x - 4 if name != "Logit" else x, context)[0], z)


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


def test_a_planar_layer_pulls_along_its_direction():
    layer, x, _ = made("Planar")
    pull = layer(x)[0] - x
    height = torch.tanh(x @ layer.w + layer.b)
    torch.testing.assert_close(pull, height[:, None] * layer.direction())


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
        assert not torch.allclose(same(10 * x)[0].mean(), torch.zeros(()), atol=1.0)
        assert torch.equal(same(x)[0], z)


def test_actnorm_starts_where_it_can():
    """Not in evaluation, not on one value per channel; a channel may be constant."""
    layer, x = ActNorm(2), torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    layer.eval()(x)
    assert not layer.started
    layer.train()(x[:1])
    assert not layer.started
    z = layer(x)[0]
    torch.testing.assert_close(z, torch.tensor([[-1.0, 0.0], [1.0, 0.0]]))
    assert layer.started


def test_actnorm_starts_once_where_nothing_can_be_read(monkeypatch):
    """As in a compiled step, or on the meta device: it is masked instead."""
    monkeypatch.setattr(linear, "readable", lambda x: False)
    layer, x = ActNorm(2), 5 + 3 * torch.randn(20, 2)
    z = layer(x)[0]
    torch.testing.assert_close(z.mean(0), torch.zeros(2), atol=1e-5, rtol=0)
    assert layer(10 * x)[0].mean().abs() > 1
    assert torch.equal(layer(x)[0], z)


def test_linear_is_its_weight():
    layer, x = Linear((4, 3, 3)).double(), torch.randn(2, 4, 3, 3, dtype=torch.float64)
    kernel = layer.weight()[..., None, None]
    torch.testing.assert_close(layer(x)[0], nn.functional.conv2d(x, kernel))
    torch.testing.assert_close(
        layer.weight() @ layer.weight().T, torch.eye(4).double(), rtol=0, atol=1e-6
    )
    vectors, x, _ = made("Linear")
    torch.testing.assert_close(vectors(x)[0][0], vectors.weight() @ x[0])


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


def test_the_ends_of_a_spline():
    """Slope 1 where the identity begins; no bin and no slope vanishes; zeros are the identity."""
    by = Spline(5, -2.0, 4.0)
    params = 100 * torch.randn(50, by.parameters, dtype=torch.float64)
    *ends, slopes = by.knots(params)
    for knots in ends:
        assert (knots[:, 0] == -2).all() and (knots[:, -1] == 4).all()
        assert (knots.diff() >= 0.999e-3 * 6).all()
    assert (slopes[:, [0, -1]] == 1).all() and (slopes >= 1e-3).all()
    x = torch.linspace(-3, 5, 9, dtype=torch.float64)
    z, log_slope = by(x, torch.zeros(9, by.parameters, dtype=torch.float64))
    torch.testing.assert_close(z, x)
    torch.testing.assert_close(log_slope, torch.zeros_like(x), atol=1e-9, rtol=0)


@pytest.mark.parametrize("bins, low, high", [(0, -3.0, 3.0), (1.5, -3.0, 3.0), (4, 1.0, 1.0)])
def test_what_is_no_spline(bins, low, high):
    with pytest.raises(ValueError, match="^bins: got|^low, high: got 1.0 and 1.0, expected low <"):
        Spline(bins, low, high)


def test_a_spline_of_one_bin_is_a_line():
    x = torch.linspace(-2.9, 2.9, 5)
    torch.testing.assert_close(Spline(1)(x, torch.randn(5, 2))[0], x)


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


def test_no_root_of_a_rounded_square_is_a_nan():
    """At the upper end of a bin what stands under the root may be less than its rounding."""
    torch.manual_seed(0)
    n, zero = 200_000, torch.zeros(200_000)
    x1, z1 = 0.01 + 0.5 * torch.rand(n), 0.01 + 3 * torch.rand(n)
    d0, d1 = 10 ** (4 * torch.rand(2, n) - 3)
    z = z1 * (1 - 10 ** (-7 * torch.rand(n)))
    x, _ = rational_quadratic(z, zero, x1, zero, z1, d0, d1, inverse=True)
    assert x.isfinite().all()


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


@pytest.mark.parametrize("mask", [[1.0, 0.0], [True, True], [False, False]])
def test_what_is_no_mask(mask):
    with pytest.raises(
        ValueError, match="^mask: (got a tensor of torch.float|keeps [02] of 2 elem)"
    ):
        Coupling(torch.tensor(mask), nn.Identity())
    with pytest.raises(ValueError, match="^mask: got (list|NoneType), expected a tensor of bool"):
        Coupling(mask if mask[0] else None, nn.Identity())


def test_masks():
    """Each kind, and its complement."""
    for make, shape in ((alternating, (2, 3)), (checkerboard, (3, 4, 5)), (channels, (4, 2, 3))):
        mask = make(shape)
        assert mask.shape == shape and torch.equal(make(shape, first=False), ~mask)
    assert alternating(4).tolist() == [True, False, True, False]
    board = checkerboard((3, 4, 5))
    assert (board[:, 1:] != board[:, :-1]).all() and (board[..., 1:] != board[..., :-1]).all()
    assert board[:, 0, 0].all()
    assert channels((3, 1, 1)).flatten().tolist() == [True, False, False]


def test_a_convolution_sees_its_neighbours():
    """Three convolutions reach three pixels far; each pixel has an offset of its own."""
    mask = checkerboard((1, 9, 9))
    layer = Coupling.conv(mask, Additive(), width=4)
    with torch.no_grad():
        for value in layer.parameters():
            value.normal_()
    x = torch.randn(1, 9, 9)
    moved = x.clone()
    moved[0, 0, 4] += 1  # which is kept
    rows, columns = (layer(moved)[0] != layer(x)[0])[0].nonzero().T
    assert (rows.max(), columns.min(), columns.max()) == (3, 1, 7)
    before = layer(x)[0]
    place = (~mask).flatten().nonzero().flatten().tolist().index(9 * 4 + 5)
    with torch.no_grad():
        layer.network.offset[place] += 1
    changed = (layer(x)[0] != before).nonzero().tolist()
    assert changed == [[0, 4, 5]]


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Permute([0, 2]), "order: got"),
        (lambda: MaskedAutoregressive(3, order=[0, 1]), "order: got"),
        (lambda: MaskedAutoregressive(3, hidden=()), "hidden: got no layer, expected at least one"),
        (lambda: Coupling.of(alternating(4), hidden=()), "hidden: got no layer"),
        (lambda: Coupling.conv(alternating(4)), r"shape: got \(4,\), expected \(channels, height"),
        (lambda: Logit(3, margin=0.0), "margin: got 0.0, expected a number between 0 and 1/2"),
        (lambda: Logit(3, margin=0.5), "margin: got 0.5"),
        (
            lambda: Split((3, 2, 2), Flatten((1, 2, 2))),
            "shape: got .3, 2, 2., expected an even num",
        ),
        (lambda: Planar(0), "d: got 0"),
        (lambda: Squeeze()(torch.zeros(1, 3, 4)), "x: got shape .1, 3, 4., expected .* H, W even"),
        (lambda: Squeeze().inverse(torch.zeros(2, 3, 4)), "z: got shape .2, 3, 4., expected .*4 C"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_a_slice_of_a_composition_is_one():
    layers = Composition([Permute([1, 2, 0]), Permute([2, 1, 0]), Permute([0, 2, 1])])
    x = torch.randn(4, 3)
    assert torch.equal(layers[:2](x)[0], layers[1](layers[0](x)[0])[0])


def test_a_logit_keeps_what_was_rounded_finite():
    layer = Logit(2, margin=1e-9)
    z, log_det = layer(torch.tensor([[0.0, 1.0]]))
    assert z.isfinite().all() and log_det.isfinite()
    assert layer.support.check(layer.inverse(torch.tensor([[-1e4, 1e4]]))[0]).all()


def test_a_network_of_another_size_is_refused():
    layer = Coupling(alternating(4), lambda x, context: torch.zeros(len(x), 1, 2))
    with pytest.raises(ValueError, match=r"network: returned \(5, 1, 2\), expected \(5, 2, 2\)"):
        layer(torch.zeros(5, 4))


def test_affine_is_what_it_says():
    x, params = torch.randn(5).double(), torch.randn(5, 2).double()
    z, log_slope = Affine()(x, params)
    s = 3 * (params[:, 1] / 3).tanh()
    torch.testing.assert_close(z * s.exp() + params[:, 0], x)
    torch.testing.assert_close(log_slope, -s)
