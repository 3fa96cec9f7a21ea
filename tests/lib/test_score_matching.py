"""Score matching, against Hessians, closed forms and exact scores of noised densities."""

import math

import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dgm import models, toys
from dgm.energies import score
from dgm.objectives import (
    annealed_score_matching,
    denoising_score_matching,
    score_matching,
    sliced_score_matching,
)

N = 20_000


pytestmark = pytest.mark.usefixtures("cpu", "float64")


class Quadratic(nn.Module):
    """E(x) = x^T A x / 2: the score is -A x, and its Jacobian -A."""

    classes = 0

    def __init__(self, precision):
        super().__init__()
        self.precision, self.shape = nn.Parameter(precision), (len(precision),)

    def energy(self, x):
        return 0.5 * (x @ self.precision * x).sum(1)


def mixture():
    parts = Normal(torch.tensor([[-1.0, 0.5], [1.0, 0.0]]), torch.tensor([[0.5, 0.6], [0.4, 0.8]]))
    return MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7])), Independent(parts, 1))


def gradients(value, model):
    parameters = [p for name, p in model.named_parameters() if name != "log_normaliser"]
    return torch.autograd.grad(value.sum(), parameters)


# ------------------------------------------------------------------ explicit


def by_hessians(model, x):
    """-|grad E|^2 / 2 + tr of the Hessian of E, example by example, entry by entry."""
    values = []
    for one in x:
        one = one[None].clone().requires_grad_()
        (slope,) = torch.autograd.grad(model.energy(one).sum(), one, create_graph=True)
        trace = 0
        for i, part in enumerate(slope.flatten()):
            (row,) = torch.autograd.grad(part, one, create_graph=True)
            trace = trace + row.flatten()[i]
        values.append(-0.5 * slope.square().sum() + trace)
    return torch.stack(values)


@pytest.mark.parametrize("shape", [(2,), (1, 2, 2)])
def test_explicit_score_matching_and_its_gradient(shape):
    model = models.EnergyNetwork.fourier(shape, hidden=5, features=3)
    x = torch.randn(4, *shape)
    value, expected = score_matching(model, x), by_hessians(model, x)
    torch.testing.assert_close(value, expected)
    pairs = zip(gradients(value, model), gradients(expected, model), strict=True)
    for gradient, wanted in pairs:
        torch.testing.assert_close(gradient, wanted)
        assert gradient.any()


def test_by_parts_it_is_the_distance_of_scores():
    """E of both differs by E|s_p|^2 / 2, a constant of the data: draws of p, three models."""
    p, x = mixture(), mixture().sample((N,))
    truth, constant = score(p, x), 0.5 * score(p, x).square().sum(1)
    for a in (0.5, 1.0, 2.0):
        model = Quadratic(a * torch.tensor([[1.0, 0.3], [0.3, 2.0]]))
        distance = 0.5 * (score(model, x) - truth).square().sum(1)
        by_parts = constant - score_matching(model, x)  # (N,), with the same mean
        assert standard_errors_off((distance - by_parts).detach(), 0.0) < 4


def test_a_gaussian_fits_the_inverse_covariance_of_the_sample():
    x = torch.randn(50, 3) @ torch.randn(3, 3)
    precision = (x.T @ x / 50).inverse()
    model = Quadratic(precision)
    (gradient,) = gradients(score_matching(model, x), model)
    assert (gradient + gradient.T).abs().max() < 1e-9 * 50
    model = Quadratic(1.1 * precision)
    (gradient,) = gradients(score_matching(model, x), model)
    assert (gradient + gradient.T).abs().max() > 0.1


# ------------------------------------------------------------------ sliced


def test_signs_know_a_diagonal_exactly():
    model, x = Quadratic(torch.tensor([1.0, 2.0, 5.0]).diag()), torch.randn(4, 3)
    torch.testing.assert_close(sliced_score_matching(model, x), score_matching(model, x))


@pytest.mark.parametrize("k", [1, 3])
def test_slices_have_the_traces_mean_and_a_known_variance(k):
    """2 (|A|^2 - sum A_ii^2) / k, for symmetric A."""
    a = torch.randn(4, 4)
    model, x = Quadratic(a + a.T), torch.randn(1, 4).expand(N, 4)
    values = sliced_score_matching(model, x, k=k).detach()
    assert standard_errors_off(values, score_matching(model, x[:1]).detach()) < 4
    a = (a + a.T).square()
    variance = 2 * (a.sum() - a.diagonal().sum()) / k
    spread = (values - values.mean()).square()
    assert standard_errors_off(spread, variance) < 4


def test_a_slice_and_its_gradient():
    model, x = models.EnergyNetwork.fourier(2, hidden=5, features=3), torch.randn(4, 2)
    torch.manual_seed(1)
    value = sliced_score_matching(model, x)
    torch.manual_seed(1)
    v = 2.0 * torch.randint(2, (4, 2)) - 1
    expected = []
    for one, direction in zip(x, v, strict=True):
        hessian = torch.autograd.functional.hessian(
            lambda x: model.energy(x[None])[0], one, create_graph=True
        )
        slope = torch.autograd.functional.jacobian(
            lambda x: model.energy(x[None])[0], one, create_graph=True
        )
        expected.append(direction @ hessian @ direction - 0.5 * slope.square().sum())
    torch.testing.assert_close(value, torch.stack(expected))
    pairs = zip(gradients(value, model), gradients(torch.stack(expected), model), strict=True)
    for gradient, wanted in pairs:
        torch.testing.assert_close(gradient, wanted)


# ------------------------------------------------------------------ denoising


def test_denoising_is_minus_half_the_squared_miss_of_the_noise():
    model, x = Quadratic(torch.tensor([[3.0]])), torch.randn(5, 1)
    torch.manual_seed(1)
    value = denoising_score_matching(model, x, sigma=0.2)
    torch.manual_seed(1)
    noise = torch.randn(5, 1)
    expected = -0.5 * (-3.0 * (x + 0.2 * noise) + noise / 0.2).square()[:, 0]
    torch.testing.assert_close(value, expected)
    images = models.EnergyNetwork.mlp((1, 2, 2), hidden=3)
    assert denoising_score_matching(images, torch.randn(5, 1, 2, 2)).shape == (5,)


def test_the_minimiser_is_the_noised_density():
    """For data from N(0, v) the best variance is v + sigma^2: there the mean gradient is zero."""
    x, sigma = math.sqrt(0.5) * torch.randn(N, 1), 0.6
    means = {}
    for variance in (0.5, 0.5 + sigma**2):
        w = torch.full((N, 1, 1), 1 / variance, requires_grad=True)  # each its own

        class Own(nn.Module):
            shape, classes = (1,), 0

            def energy(self, x, w=w):
                return 0.5 * w[:, 0, 0] * x[:, 0].square()

        value = denoising_score_matching(Own(), x, sigma=sigma)
        (g,) = torch.autograd.grad(value.sum(), w)
        means[variance] = standard_errors_off(g.flatten(), 0.0)
    assert means[0.5 + sigma**2] < 4
    assert means[0.5] > 20


def test_denoising_differs_from_the_distance_to_the_noised_score_by_a_constant():
    p, sigma = mixture(), 0.3
    x, noised = p.sample((N,)), toys.Noised(p)
    truth, model = noised.at(sigma), Quadratic(torch.tensor([[1.0, 0.3], [0.3, 2.0]]))
    torch.manual_seed(1)
    of_model = denoising_score_matching(model, x, sigma=sigma).detach()
    torch.manual_seed(1)
    of_truth = denoising_score_matching(truth, x, sigma=sigma)
    torch.manual_seed(1)
    x = x + sigma * torch.randn_like(x)
    distance = 0.5 * (score(model, x) - noised.score(x, sigma)).square().sum(1).detach()
    assert standard_errors_off(of_truth - of_model - distance, 0.0) < 4


# ------------------------------------------------------------------ several levels


class Silent:
    """A score of zero, which keeps what it was asked."""

    shape, classes = (2,), 0

    def score(self, x, sigma):
        self.asked = x, sigma
        return torch.zeros_like(x)


def test_every_example_has_a_level_of_its_own():
    model, x, levels = Silent(), torch.zeros(N, 2), (2.0, 0.5, 0.1)
    value = annealed_score_matching(model, x, sigmas=levels)
    noisy, sigma = model.asked
    assert sigma.unique().tolist() == sorted(levels)
    for level in levels:
        assert standard_errors_off((sigma == level).double(), 1 / 3) < 4
    noise = noisy / sigma[:, None]  # x was zero
    torch.testing.assert_close(value, -0.5 * noise.square().sum(1))
    assert standard_errors_off(noise.square(), 1.0) < 4


def test_it_is_the_miss_of_the_predicted_noise():
    model, x = models.ScoreNetwork.mlp((1, 2, 2), hidden=5, features=2), torch.randn(6, 1, 2, 2)
    torch.manual_seed(1)
    value = annealed_score_matching(model, x, sigmas=(1.0, 0.1))
    torch.manual_seed(1)
    sigma = torch.tensor([1.0, 0.1])[torch.randint(2, (6,))]
    noise = torch.randn_like(x)
    miss = model.noise(x + sigma[:, None, None, None] * noise, sigma) - noise
    torch.testing.assert_close(value, -0.5 * miss.flatten(1).square().sum(1))


def test_its_floor_is_known():
    """With the exact score, E |sigma s + eps|^2 = D - sigma^2 E |s|^2 at each level."""
    p = mixture()
    x, noised = p.sample((N,)), toys.Noised(p)
    for sigma in (0.3, 1.0):
        torch.manual_seed(1)
        loss = -2 * annealed_score_matching(noised, x, sigmas=(sigma,))
        noisy = x + sigma * torch.randn_like(x)
        floor = 2 - (sigma * noised.score(noisy, sigma)).square().sum(1)
        error = ((loss.var() + floor.var()) / N).sqrt()
        assert abs(loss.mean() - floor.mean()) < 4 * error


# ------------------------------------------------------------------ all of them


class Labelled(Quadratic):
    """About a corner that the label names."""

    classes = 3

    def energy(self, x, y):
        return super().energy(x - y[:, None])

    def score(self, x, sigma, y):
        return score(self, x, y)


@pytest.mark.parametrize(
    "objective",
    [
        score_matching,
        sliced_score_matching,
        denoising_score_matching,
        lambda model, x, y=None: annealed_score_matching(model, x, y, sigmas=(0.5,)),
    ],
)
def test_labels_are_handed_on_and_no_graph_is_needed(objective):
    x, y, a = torch.randn(3, 2), torch.tensor([0, 2, 1]), torch.tensor([[1.0, 0.3], [0.3, 2.0]])
    torch.manual_seed(1)
    value = objective(Labelled(a), x, y)
    torch.manual_seed(1)
    silent = objective(Labelled(a).requires_grad_(False), x, y)
    with torch.no_grad():
        torch.manual_seed(1)
        alone = objective(Labelled(a), x, y)
    torch.testing.assert_close(silent, value)
    torch.testing.assert_close(alone, value)
    if objective in (score_matching, sliced_score_matching):
        torch.manual_seed(1)
        torch.testing.assert_close(value, objective(Quadratic(a), x - y[:, None]))
    with pytest.raises(ValueError, match="^y: got None"):
        objective(Labelled(a), x)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m, x: denoising_score_matching(m, x, sigma=0.0), "sigma: got 0.0, expected a posi"),
        (lambda m, x: denoising_score_matching(m, x, sigma=-1), "sigma: got -1, expected a posi"),
        (lambda m, x: annealed_score_matching(m, x, sigmas=(1.0, 0)), "sigmas: got 0, expected a"),
        (lambda m, x: annealed_score_matching(m, x, sigmas=()), "sigmas: got none, expected at"),
        (lambda m, x: sliced_score_matching(m, x, k=0), "k: got 0"),
        (lambda m, x: score_matching(m, x[0]), r"x: got shape \(2,\), expected \(N, 2\)"),
        (lambda m, x: score_matching(models.RBM(2), x), "model: got a RBM of discrete events"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        act(Quadratic(torch.eye(2)), torch.zeros(3, 2))
