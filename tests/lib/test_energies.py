"""Energies, scores and noised toys: against closed forms, and quadrature in the plane."""

import math

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal

from dgm import models, nets, toys
from dgm.energies import grid_log_partition, grid_points, log_density, score
from dgm.evaluate import grid_kl
from dgm.objectives import grid_likelihood

pytestmark = pytest.mark.usefixtures("float64")


class Quadratic(nn.Module):
    """E(x) = x^T A x / 2 + 7, a Gaussian of precision A up to a constant."""

    shape, classes = (2,), 0

    def __init__(self, *rows):
        super().__init__()
        self.precision = nn.Parameter(torch.tensor(rows))

    def energy(self, x):
        return 0.5 * (x @ self.precision * x).sum(1) + 7

    def log_z(self):
        return math.log(2 * math.pi) - 0.5 * self.precision.logdet() - 7


GAUSSIAN = ([8.0, 2.0], [2.0, 5.0])


# ------------------------------------------------------------------ scores


def test_the_score_of_a_gaussian_is_minus_precision_times_x():
    model, x = Quadratic(*GAUSSIAN), torch.randn(6, 2)
    torch.testing.assert_close(score(model, x), -x @ model.precision)
    torch.testing.assert_close(log_density(model, x), -model.energy(x))
    normal = MultivariateNormal(torch.zeros(2), precision_matrix=model.precision.detach())
    torch.testing.assert_close(score(normal, x), -x @ model.precision)


def test_a_score_can_be_differentiated_and_needs_no_graph_around_it():
    model, x = Quadratic(*GAUSSIAN), torch.randn(6, 2)
    (gradient,) = torch.autograd.grad(score(model, x).sum(), model.precision)
    # -sum_n,i,j A_ij x_nj, of which autograd sees the symmetric half twice
    total = x.sum(0).expand(2, 2)
    torch.testing.assert_close(gradient, -0.5 * (total + total.T))
    with torch.no_grad():
        alone = score(model, x)
    assert torch.equal(alone, score(model, x)) and not alone.requires_grad


class Labelled(Quadratic):
    """A Gaussian about a corner that the label names."""

    classes = 3

    def energy(self, x, y):
        return super().energy(x - y[:, None])


def test_labels_are_handed_on():
    model, x, y = Labelled(*GAUSSIAN), torch.randn(3, 2), torch.tensor([0, 2, 1])
    torch.testing.assert_close(score(model, x, y), -(x - y[:, None]) @ model.precision)
    with pytest.raises(ValueError, match="^y: got None"):
        score(model, x)


# ------------------------------------------------------------------ the grid


def test_points_of_a_grid():
    points = grid_points(box=3.0, cells=6)
    assert points.shape == (36, 2)
    line = torch.tensor([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5])
    torch.testing.assert_close(points[:6], torch.stack([line, torch.full((6,), -2.5)], 1))
    torch.testing.assert_close(points[::6, 1], line)
    assert grid_points(like=torch.zeros(1, dtype=torch.float32)).dtype == torch.float32


def test_log_z_on_a_grid_and_its_gradient():
    """grad log Z = -E[grad E], here -covariance / 2."""
    model = Quadratic(*GAUSSIAN)
    log_z = grid_log_partition(model, box=4.0, cells=64)
    torch.testing.assert_close(log_z, model.log_z(), rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(log_z, model.precision)
    torch.testing.assert_close(gradient, -0.5 * model.precision.detach().inverse())
    for toy in (toys.ring, toys.moons, toys.spirals, toys.grid):
        assert grid_log_partition(toy(device="cpu")).abs() < 1e-6


def test_likelihood_on_a_grid_is_the_likelihood():
    model, x = Quadratic(*GAUSSIAN), torch.randn(6, 2)
    normal = MultivariateNormal(torch.zeros(2), precision_matrix=model.precision)
    value, expected = grid_likelihood(model, x, box=4.0), normal.log_prob(x)
    torch.testing.assert_close(value, expected)
    gradients = (torch.autograd.grad(v.mean(), model.precision)[0] for v in (value, expected))
    torch.testing.assert_close(*(g + g.T for g in gradients))


def test_kl_on_a_grid():
    """Of two Gaussians in closed form; a constant of the energy is nothing; p may vanish."""
    p, q = Quadratic(*GAUSSIAN), Quadratic([3.0, -1.0], [-1.0, 2.0])
    normals = (MultivariateNormal(torch.zeros(2), precision_matrix=m.precision) for m in (p, q))
    expected = torch.distributions.kl_divergence(*normals).item()
    assert grid_kl(p, q, box=6.0) == pytest.approx(expected, abs=1e-9)
    assert grid_kl(p, p) == 0
    ring = toys.ring(device="cpu")
    assert 0 < grid_kl(ring, q) < math.inf
    far = Independent(Normal(torch.full((2,), 1.0), 1e-3), 1)  # log p far below any number
    assert grid_kl(far, q, cells=300) < math.inf


# ------------------------------------------------------------------ toys behind noise


@pytest.mark.parametrize("toy", [toys.ring, toys.grid, toys.moons, toys.spirals])
def test_noised_toys_are_convolved(toy):
    """p_sigma(x) = sum over u of p(u) N(x - u), and E[u | x], by quadrature."""
    density, sigma, x = toy(device="cpu"), 0.2, torch.randn(5, 2)
    noised, u = toys.Noised(density), grid_points(cells=120)
    area = (6 / 120) ** 2
    kernel = Independent(Normal(x[:, None], sigma), 1).log_prob(u)  # (5, points)
    weight = (density.log_prob(u) + kernel).exp() * area
    torch.testing.assert_close(noised.log_prob(x, sigma), weight.sum(1).log())
    torch.testing.assert_close(noised.denoise(x, sigma), weight @ u / weight.sum(1, keepdim=True))
    torch.testing.assert_close(noised.at(sigma).log_prob(x), noised.log_prob(x, sigma))
    torch.testing.assert_close(noised.score(x, sigma), score(noised.at(sigma), x))


def test_no_noise_is_the_toy_itself_and_each_point_may_have_its_own():
    density, x = toys.moons(device="cpu"), torch.randn(4, 2)
    noised, sigma = toys.Noised(density), torch.tensor([0.0, 0.1, 0.5, 2.0])
    torch.testing.assert_close(noised.score(x, 0), score(density, x))
    torch.testing.assert_close(noised.denoise(x, 0.0), x)
    for f in (noised.score, noised.denoise, noised.log_prob):
        one_by_one = torch.cat([f(x[i : i + 1], sigma[i].item()) for i in range(4)])
        torch.testing.assert_close(f(x, sigma), one_by_one)


def test_unequal_components():
    """Weights, and deviations of each component and coordinate."""
    weights = torch.distributions.Categorical(torch.tensor([0.2, 0.8]))
    parts = Normal(torch.tensor([[-1.0, 0.0], [1.0, 0.5]]), torch.tensor([[0.3, 0.5], [0.7, 0.2]]))
    density = torch.distributions.MixtureSameFamily(weights, Independent(parts, 1))
    noised, x = toys.Noised(density), torch.randn(5, 2)
    torch.testing.assert_close(noised.score(x, 0.4), score(noised.at(0.4), x))
    torch.testing.assert_close(noised.log_prob(x, 0), density.log_prob(x))


# ------------------------------------------------------------------ networks


def test_an_energy_network_is_linear_on_top_of_features_in_a_weak_bowl():
    model, x = models.EnergyNetwork.mlp((1, 3, 3), hidden=5, confine=0.3), torch.randn(4, 1, 3, 3)
    expected = model.features(x) @ model.weight.weight[0] + 0.15 * x.flatten(1).square().sum(1)
    torch.testing.assert_close(model.energy(x), expected)
    assert any(isinstance(m, nn.SiLU) for m in model.modules())
    assert not any(isinstance(m, nn.ReLU) for m in model.modules())


def test_waves():
    waves, x = nets.Fourier(3, features=4, scale=1.7), torch.randn(5, 3)
    phase = x @ waves.frequencies
    torch.testing.assert_close(waves(x), torch.cat([phase.sin(), phase.cos()], 1))
    many = nets.Fourier(50, features=400, scale=1.7).frequencies  # 20,000 numbers
    assert many.std().item() == pytest.approx(1.7, abs=4 * 1.7 / math.sqrt(2 * 20_000))
    energy = models.EnergyNetwork.fourier((2,), features=4)
    assert "features.0.frequencies" in energy.state_dict() or any(
        name.endswith("frequencies") for name in energy.state_dict()
    )


def test_a_silent_score_network_knows_standard_normal_data():
    model, x = models.ScoreNetwork.mlp((2, 3), hidden=4), torch.randn(5, 2, 3)
    for p in model.network.last.parameters():
        nn.init.zeros_(p)
    sigma = torch.tensor([0.01, 0.1, 1.0, 3.0, 10.0])
    wide = sigma[:, None, None]
    torch.testing.assert_close(model.score(x, sigma), -x / (1 + wide**2))
    torch.testing.assert_close(model.denoise(x, sigma), x / (1 + wide**2))


def test_a_score_network_says_the_same_in_three_ways_at_every_level():
    model, x = models.ScoreNetwork.mlp((2,), hidden=8), torch.randn(4, 2)
    sigma = torch.tensor([0.05, 0.2, 1.0, 4.0])
    wide, slope = sigma[:, None], model.score(x, sigma)
    torch.testing.assert_close(model.noise(x, sigma), -wide * slope)
    torch.testing.assert_close(model.denoise(x, sigma), x + wide**2 * slope)
    for i, level in enumerate(sigma.tolist()):
        torch.testing.assert_close(model.score(x, level)[i], slope[i])
    plain = models.ScoreNetwork.mlp((2,), features=0)
    assert plain.score(x, 0.1).shape == (4, 2)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: score(models.RBM((4,)), torch.ones(2, 4)), "model: got a RBM of discrete events"),
        (lambda: grid_points(box=0.0), "box: got 0.0, expected a positive number"),
        (lambda: grid_points(cells=0), "cells: got 0"),
        (lambda: grid_log_partition(models.EnergyNetwork.mlp(3)), r"x: got shape \(16384, 2\)"),
        (lambda: toys.Noised(Normal(0.0, 1.0)), "density: got Normal, expected a mixture of Gauss"),
        (lambda: toys.Noised(toys.ring()).score(torch.ones(2, 2), -0.1), "sigma: got -0.1"),
        (lambda: toys.Noised(toys.ring()).score(torch.ones(2, 3), 0.1), "x: got shape .2, 3."),
        (lambda: nets.Fourier(2, 4, scale=0), "scale: got 0, expected a positive number"),
        (lambda: models.EnergyNetwork.mlp(2, confine=0.0), "confine: got 0.0, expected a positive"),
        (lambda: models.ScoreNetwork.mlp(2).score(torch.ones(2, 2), 0), "sigma: got 0, expected a"),
        (
            lambda: models.ScoreNetwork.mlp(2).denoise(torch.ones(2, 2), torch.ones(3)),
            r"sigma: got shape \(3,\), expected a number, or one per example, \(2,\)",
        ),
        (lambda: models.ScoreNetwork.mlp(2).score(torch.ones(2, 3), 0.1), "x: got shape"),
    ],
)
def test_bad_input(act, message, monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    with pytest.raises(ValueError, match=message):
        act()
