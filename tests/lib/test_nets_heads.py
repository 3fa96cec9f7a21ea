"""Networks keep shapes and leading dimensions; heads are normalised distributions."""

import itertools

import pytest
import torch
from torch import nn

from dgm import heads, nets
from dgm.architectures import Convolution

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 13)]


@pytest.mark.parametrize("shape", [*SHAPES, (2,)])
def test_mlp_flattens_events_and_passes_leading_dimensions(shape):
    net = nets.mlp(shape, 16, 8)
    x = torch.randn(4, 5, *shape)
    assert net(x).shape == (4, 5, net.out_features)
    torch.testing.assert_close(net(x)[1, 2], net(x[1, 2][None])[0])


def test_mlp_without_hidden_layers_is_the_flattened_input():
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(nets.mlp((1, 8, 8))(x), x.flatten(1))


def test_parameters_of_one_pixel_of_a_feature_map_stay_together():
    """n parameters per pixel from a feature map: the same as n separate convolutions."""
    layer = nets.to_event((4, 6, 6), (2, 6, 6), n=3)
    x = torch.randn(5, 4, 6, 6)
    conv = layer[0].layers[0]
    for i in range(3):
        rows = slice(2 * i, 2 * i + 2)
        one = nn.functional.conv2d(x, conv.weight[rows], conv.bias[rows], padding=1)
        torch.testing.assert_close(layer(x)[:, i], one)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: nets.mlp(0, 3), "inputs: got"),
        (lambda: nets.mlp(3, -1), "hidden: got"),
        (lambda: Convolution().decoder(0, (1, 8, 8)), "latent: got"),
        (lambda: nets.to_event((4, 6, 6), (1, 8, 8)), "same height and width"),
        (lambda: heads.Categorical(4, (1, 8, 8), levels=1), "levels: got 1"),
    ],
)
def test_bad_sizes_name_the_argument(build, message):
    with pytest.raises(ValueError, match=message):
        build()


HEADS = {
    "DiagonalNormal": lambda f, s: heads.DiagonalNormal(f, s[0]),
    "FullNormal": lambda f, s: heads.FullNormal(f, s[0]),
    "Bernoulli": heads.Bernoulli,
    "Normal": heads.Normal,
    "Categorical": lambda f, s: heads.Categorical(f, s, levels=5),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads_shapes_and_log_prob_of_own_samples(name):
    p = HEADS[name](7, (4,))(torch.randn(3, 2, 7))
    assert p.batch_shape == (3, 2)
    assert p.event_shape == (4,)
    x = p.sample((6,))
    assert x.shape == (6, 3, 2, 4)
    assert p.support.check(x).all()
    assert p.log_prob(x).shape == (6, 3, 2)


def test_diagonal_normal_puts_out_a_log_variance():
    head = heads.DiagonalNormal(1, 2)
    with torch.no_grad():
        head.parameters_of[0].weight.zero_()
        head.parameters_of[0].bias.copy_(torch.tensor([1.0, 2.0, 0.5, -0.5]))
    q = head(torch.zeros(1, 1))
    torch.testing.assert_close(q.mean[0], torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(q.variance[0], torch.tensor([0.5, -0.5]).exp())


def test_full_normal_density_is_that_of_its_covariance():
    q = heads.FullNormal(4, 3)(torch.randn(1, 4))
    z = q.sample()
    d = z - q.mean
    cov = q.scale_tril @ q.scale_tril.mT
    quadratic = (d @ torch.linalg.inv(cov[0]) * d).sum()
    log_det = torch.logdet(2 * torch.pi * cov[0])
    torch.testing.assert_close(q.log_prob(z)[0], -0.5 * (quadratic + log_det))


@pytest.mark.parametrize("name", ["Bernoulli", "Categorical"])
def test_discrete_likelihoods_sum_to_one_over_all_images(name):
    levels = 2 if name == "Bernoulli" else 3
    head = heads.Bernoulli(5, (1, 2, 2)) if levels == 2 else heads.Categorical(5, (1, 2, 2), 3)
    p = head(torch.randn(1, 5, dtype=torch.float32))
    grid = torch.arange(levels) / (levels - 1)
    every = torch.tensor(list(itertools.product(grid, repeat=4))).reshape(-1, 1, 2, 2)
    torch.testing.assert_close(p.log_prob(every).exp().sum(), torch.tensor(1.0))


def test_normal_head_integrates_to_one():
    p = heads.Normal(5, (1,))(torch.randn(1, 5))
    x = torch.linspace(-12, 12, 20001)[:, None]
    torch.testing.assert_close(
        torch.trapezoid(p.log_prob(x).exp(), x[:, 0]), torch.tensor(1.0), atol=1e-4, rtol=0
    )


def test_grey_levels_live_on_their_grid():
    p = heads.GreyLevels(torch.tensor([0.1, 0.2, 0.3, 2.0]))
    assert p.support.check(torch.tensor([0, 1 / 3, 2 / 3, 1])).all()
    assert not p.support.check(torch.tensor([0.5, -1 / 3, 4 / 3])).any()
    torch.testing.assert_close(p.mean, (p.probs * torch.tensor([0, 1 / 3, 2 / 3, 1])).sum())
    torch.manual_seed(0)
    draws = p.sample((40_000,))
    standard_error = draws.std() / 200
    assert (draws.mean() - p.mean).abs() < 4 * standard_error


@pytest.mark.parametrize("name", ["Bernoulli", "Normal", "Categorical"])
def test_heads_take_feature_maps(name):
    up = Convolution(width=4).decoder(3, (3, 9, 9))
    head = HEADS[name](up.out_features, (3, 9, 9))
    p = head(up(torch.randn(2, 5, 3)))
    assert p.batch_shape == (2, 5)
    assert p.event_shape == (3, 9, 9)
    p.log_prob(p.sample()).sum().backward()
