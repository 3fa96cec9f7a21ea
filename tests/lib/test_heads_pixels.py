"""Likelihoods: every head is normalised, and sigma is learned, fixed or bounded from below."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from dgm import heads, nets

pytestmark = pytest.mark.usefixtures("float64")


CONTINUOUS = {
    "Normal": heads.Normal,
    "Normal, fixed sigma": partial(heads.Normal, sigma=0.3),
    "NormalPerPixel": heads.NormalPerPixel,
}
DISCRETE = {
    "Bernoulli": (heads.Bernoulli, 2),
    "Categorical": (partial(heads.Categorical, levels=5), 5),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_likelihoods_integrate_to_one(name):
    """Over the plane of two pixels, by the trapezoidal rule."""
    p = CONTINUOUS[name](3, (2,))(torch.randn(1, 3))
    axis = torch.linspace(-10, 10, 1201)
    grid = torch.cartesian_prod(axis, axis)[:, None]  # (N, 1, 2)
    density = p.log_prob(grid).exp().reshape(len(axis), len(axis))
    total = torch.trapezoid(torch.trapezoid(density, axis), axis)
    torch.testing.assert_close(total, torch.tensor(1.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_likelihoods_sum_to_one(name):
    head, levels = DISCRETE[name]
    p = head(3, (1, 2, 2))(torch.randn(1, 3))
    grid = [i / (levels - 1) for i in range(levels)]
    every = torch.tensor(list(itertools.product(grid, repeat=4))).reshape(-1, 1, 1, 2, 2)
    torch.testing.assert_close(p.log_prob(every).exp().sum(), torch.tensor(1.0))
    torch.testing.assert_close(
        p.mean, (p.log_prob(every).exp()[..., None, None, None] * every).sum(0)
    )


@pytest.mark.parametrize("name", [*CONTINUOUS, *DISCRETE])
@pytest.mark.parametrize("features", [7, (4, 6, 5)])
def test_shapes_and_gradients_from_vectors_and_feature_maps(name, features):
    head = CONTINUOUS[name] if name in CONTINUOUS else DISCRETE[name][0]
    head = head(features, (2, 6, 5))
    shape = (features,) if isinstance(features, int) else features
    p = head(torch.randn(3, 4, *shape))
    assert (p.batch_shape, p.event_shape) == ((3, 4), (2, 6, 5))
    x = p.sample()
    assert p.support.check(x).all()
    p.log_prob(x).sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())


def test_a_fixed_sigma_is_no_parameter_but_is_saved():
    head, other = heads.Normal(3, (2,), sigma=0.3), heads.Normal(3, (2,), sigma=0.5)
    p = head(torch.randn(5, 3))
    torch.testing.assert_close(p.stddev, torch.full((5, 2), 0.3))
    assert {name for name, _ in head.named_parameters()} == {"mean.0.weight", "mean.0.bias"}
    other.load_state_dict(head.state_dict())
    assert torch.equal(other.log_sigma, head.log_sigma)


def test_a_learned_sigma_is_best_at_the_mean_squared_error_per_coordinate():
    head, x = heads.Normal(3, (2,)), torch.randn(50, 2)
    features = torch.randn(50, 3)
    error = (x - head(features).mean).square().mean().detach()
    with torch.no_grad():
        head.log_sigma.copy_(0.5 * error.log())
    (slope,) = torch.autograd.grad(head(features).log_prob(x).mean(), head.log_sigma)
    torch.testing.assert_close(slope, torch.tensor(0.0))


def exact_hit(floor, a):
    """Log-density per pixel of an image that the mean meets exactly, with log-variance output a."""
    head = heads.NormalPerPixel(1, (4,), floor=floor)
    nn.init.zeros_(head.parameters_of[0].weight)
    with torch.no_grad():
        head.parameters_of[0].bias.copy_(torch.tensor([[0.5] * 4, [a] * 4]).flatten())
    return head(torch.zeros(1)).log_prob(torch.full((4,), 0.5)).item() / 4


def test_without_a_floor_a_pixels_log_density_has_no_bound():
    """The reason for the floor: one sigma per pixel can shrink onto an image met exactly."""
    for sigma, nats in [(1.0, -0.92), (0.1, 1.38), (1e-3, 5.99), (1e-6, 12.90)]:
        assert exact_hit(floor=1e-12, a=2 * math.log(sigma)) == pytest.approx(nats, abs=0.005)
    highest = -math.log(0.05) - 0.5 * math.log(2 * math.pi)
    for a in (-5.0, -20.0, -1000.0):
        assert exact_hit(floor=0.05, a=a) <= highest
    assert exact_hit(floor=0.05, a=-1000.0) == pytest.approx(highest)


def test_a_pixels_variance_is_the_floors_plus_what_the_network_says():
    head = heads.NormalPerPixel((4, 6, 5), (2, 6, 5), floor=0.2)
    features = torch.randn(3, 4, 6, 5)
    mu, a = head.parameters_of(features).unbind(1)  # (3, 2, 6, 5) each
    p = head(features)
    torch.testing.assert_close(p.mean, mu)
    torch.testing.assert_close(p.variance, 0.04 + a.exp())


@pytest.mark.parametrize("a", [-200.0, 100.0, 170.0])
@pytest.mark.parametrize("floor", [1e-30, 0.05])
def test_a_pixels_sigma_is_right_where_its_square_is_no_float32(a, floor):
    torch.set_default_dtype(torch.float32)
    head = heads.NormalPerPixel(1, (4,), floor=floor)
    with torch.no_grad():
        head.parameters_of[0].weight.zero_()
        head.parameters_of[0].bias.copy_(torch.tensor([[0.0] * 4, [a] * 4]).flatten())
    sigma = head(torch.zeros(1)).base_dist.scale
    expected = math.hypot(floor, math.exp(a / 2))
    torch.testing.assert_close(sigma, torch.full((4,), expected), rtol=2e-5, atol=0)
    sigma.log().sum().backward()
    assert head.parameters_of[0].bias.grad.isfinite().all()


def test_grey_levels_are_told_apart_in_bfloat16():
    """Between 254/255 and 1 it has no number: draws are float32."""
    p = heads.GreyLevels(torch.zeros(256, dtype=torch.bfloat16))
    every = p.enumerate_support()
    assert (every.dtype, p.sample().dtype, p.mean.dtype) == (torch.float32,) * 3
    assert len(every.unique()) == 256
    assert p.support.check(every).all()


def test_the_moments_of_grey_levels_are_as_exact_as_its_logits():
    p = heads.GreyLevels(torch.zeros(4))  # float64
    torch.testing.assert_close(p.mean, torch.tensor(0.5), rtol=1e-15, atol=0)
    torch.testing.assert_close(p.variance, torch.tensor(5 / 36), rtol=1e-15, atol=0)


SHAPED = CONTINUOUS | {
    "Bernoulli": heads.Bernoulli,
    "Categorical": partial(heads.Categorical, levels=np.int64(4)),
    "DiagonalNormal": heads.DiagonalNormal,
    "FullNormal": heads.FullNormal,
    "OneHotCategorical": heads.OneHotCategorical,
}


@pytest.mark.parametrize("name", SHAPED)
def test_an_event_shape_may_be_a_number(name):
    build = SHAPED[name]
    for shape in (5, np.int64(5), (5,), (np.int64(5),)):
        p = build(3, shape)(torch.randn(2, 3))
        assert (p.batch_shape, p.event_shape) == ((2,), (5,))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: heads.GreyLevels(torch.zeros(2, 1)), "logits: got 1 levels, expected at least 2"),
        (lambda: heads.Normal(3, (2,), sigma=0.0), "sigma: got 0.0, expected a positive"),
        (lambda: heads.Normal(3, (2,), sigma=math.nan), "sigma: got nan"),
        (lambda: heads.Normal(3, (2,), sigma=math.inf), "sigma: got inf"),
        (lambda: heads.NormalPerPixel(3, (2,), floor=math.inf), "floor: got inf"),
        (lambda: heads.Categorical(3, (2,), levels=2.5), "levels: got 2.5, expected at least 2"),
        (lambda: heads.FullNormal(3, (2, 3)), r"latent: got \(2, 3\), expected the size of a vec"),
        (lambda: heads.NormalPerPixel(3, (2,), floor=-1.0), "floor: got -1.0"),
        (lambda: heads.Categorical(3, (2,), levels=1), "levels: got 1"),
        (lambda: heads.NormalPerPixel((4, 6, 6), (1, 8, 8)), "same height and width"),
    ],
)
def test_bad_arguments(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_categorical_logits_stay_with_their_pixel():
    """From a feature map: the levels of a pixel are those that one convolution each puts out."""
    head = heads.Categorical((4, 6, 5), (2, 6, 5), levels=3)
    features = torch.randn(3, 4, 6, 5)
    layer = nets.to_event((4, 6, 5), (2, 6, 5), n=3)
    layer.load_state_dict(head.logits.state_dict())
    log_p = layer(features).log_softmax(1)  # (3, levels, 2, 6, 5)
    for level in range(3):
        x = torch.full((3, 2, 6, 5), level / 2)
        expected = log_p[:, level].flatten(1).sum(1)
        torch.testing.assert_close(head(features).log_prob(x), expected)


@pytest.mark.parametrize("levels", [2, 17, 23, 98, 256, 300])
def test_every_grey_level_is_its_own(levels):
    """k / (levels - 1) times levels - 1 may be a hair below k."""
    p = heads.GreyLevels(torch.randn(levels))
    levels = torch.arange(levels) / (levels - 1)
    torch.testing.assert_close(p.log_prob(levels), p.logits, rtol=0, atol=0)
