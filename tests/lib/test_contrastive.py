"""Contrastive divergence with any sampler and with chains that persist; telling data from noise."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.standard_error import standard_errors_off
from torch import nn
from torch.distributions import Independent, Normal

from dgm import models, samplers
from dgm.objectives import contrastive_divergence, noise_contrastive
from dgm.samplers import ReplayBuffer
from dgm.train import gradient_step

N = 20_000


pytestmark = pytest.mark.usefixtures("cpu", "float64")


def network():
    return models.EnergyNetwork.fourier(2, hidden=5, features=3)


def gradients(value, model):
    return torch.autograd.grad(
        value.sum(), [*model.parameters()], allow_unused=True, materialize_grads=True
    )


SAMPLERS = [
    partial(samplers.langevin, step=0.1),
    partial(samplers.mala, step=0.1),
    partial(samplers.metropolis, scale=0.3),
]


# ------------------------------------------------------------------ contrastive divergence


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_its_gradient_is_that_of_energies_at_two_places(sampler):
    """x' is a constant, wherever it came from."""
    model, x = network(), torch.randn(6, 2)
    torch.manual_seed(1)
    value = contrastive_divergence(model, x, steps=4, sampler=sampler)
    torch.manual_seed(1)
    after = sampler(model, x, 4)
    expected = model.energy(after) - model.energy(x)
    torch.testing.assert_close(value, expected)
    for gradient, wanted in zip(gradients(value, model), gradients(expected, model), strict=True):
        assert torch.equal(gradient, wanted)


def test_chains_go_on_from_where_they_were():
    model, x = network(), torch.randn(6, 2)
    chains = ReplayBuffer(lambda n: torch.full((n, 2), 3.0), size=6)
    sampler = partial(samplers.langevin, step=0.1)
    for _ in range(2):
        before = chains.x.clone()
        torch.manual_seed(1)
        value = contrastive_divergence(model, x, steps=2, sampler=sampler, chains=chains)
        torch.manual_seed(1)
        index, start = torch.randperm(6), before
        after = sampler(model, start[index], 2)
        torch.testing.assert_close(value, model.energy(after) - model.energy(x))
        assert torch.equal(chains.x[index], after)
    fewer = contrastive_divergence(model, x[:4], sampler=sampler, chains=chains)
    assert fewer.shape == (4,)  # the last batch of an epoch is small
    with pytest.raises(ValueError, match="^size: got 6 chains, expected 7 at least"):
        contrastive_divergence(model, torch.randn(7, 2), sampler=sampler, chains=chains)


def bits(d):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * d).reshape(-1, d)


def test_persistent_chains_learn_an_rbm():
    """Bars and no other patterns: the exact log-likelihood rises from -9 log 2 = -6.2."""
    bars = bits(3).repeat_interleave(3, 1)  # (8, 9), rows on or off
    chains = ReplayBuffer(lambda n: torch.bernoulli(torch.full((n, 9), 0.5)), size=64)
    model = models.RBM(9, hidden=6)
    step = gradient_step(model, partial(contrastive_divergence, chains=chains), lr=0.03)
    for _ in range(100):
        step((bars.repeat(8, 1),))
    assert -5.2 < model.log_prob(bars).mean() < -math.log(8)


class Labelled(nn.Module):
    """A Gaussian about a corner that the label names."""

    shape, classes = (2,), 3

    def energy(self, x, y):
        return 50 * (x - y[:, None]).square().sum(1)


def test_labels_are_the_samplers_too():
    y = torch.tensor([0, 1, 2])
    at_y, away = y[:, None].expand(3, 2).double(), torch.zeros(3, 2)
    sampler = partial(samplers.langevin, step=0.005)
    value = contrastive_divergence(Labelled(), away, y, 200, sampler)
    assert (value + Labelled().energy(away, y) < 10).all()  # each has found its own corner
    assert contrastive_divergence(Labelled(), at_y, y, 1, sampler).shape == (3,)
    chains = ReplayBuffer(lambda n: torch.zeros(n, 2), size=3)
    with pytest.raises(ValueError, match="^chains: got some for a Labelled with classes"):
        contrastive_divergence(Labelled(), away, y, 1, sampler, chains)


def test_a_model_without_gibbs_is_told_of_other_samplers():
    with pytest.raises(ValueError, match="^model: got EnergyNetwork, expected one with a method g"):
        contrastive_divergence(network(), torch.randn(6, 2))


# ------------------------------------------------------------------ noise


class Fixed:
    """Noise that draws what it was told to."""

    def __init__(self, draws):
        self.draws, self.density = draws, Independent(Normal(torch.zeros(2), 2.0), 1)

    def sample(self, n):
        assert n == len(self.draws)
        return self.draws

    def log_prob(self, x):
        return self.density.log_prob(x)


@pytest.mark.parametrize("ratio", [1, 3])
def test_noise_contrastive_estimation_is_logistic_regression(ratio):
    """By torch's cross-entropy, example by example; and by finite differences."""
    model, x, draws = network(), torch.randn(4, 2), torch.randn(4 * ratio, 2)
    nn.init.constant_(model.log_normaliser, 0.7)
    noise = Fixed(draws)
    value = noise_contrastive(model, x, noise=noise, ratio=ratio)

    def logit(x):
        return -model.energy(x) - model.log_normaliser - noise.log_prob(x) - math.log(ratio)

    cross = F.binary_cross_entropy_with_logits
    real = cross(logit(x), torch.ones(4), reduction="none")
    fake = cross(logit(draws), torch.zeros(4 * ratio), reduction="none")
    torch.testing.assert_close(value, -real - fake.reshape(4, ratio).sum(1))
    (gradient,) = torch.autograd.grad(value.sum(), model.log_normaliser)
    with torch.no_grad():
        ends = []
        for h in (1e-5, -1e-5):
            model.log_normaliser.fill_(0.7 + h)
            ends.append(noise_contrastive(model, x, noise=noise, ratio=ratio).sum())
    torch.testing.assert_close(gradient, (ends[0] - ends[1]) / 2e-5, rtol=1e-8, atol=1e-8)


class Gaussian(nn.Module):
    """E = x^2 / 2 v with a constant, each example its own copy of both."""

    shape, classes = (1,), 0

    def __init__(self, variance, log_normaliser):
        super().__init__()
        self.variance, self.log_normaliser = variance, log_normaliser

    def energy(self, x):
        return x[:, 0].square() / (2 * self.variance)


@pytest.mark.parametrize(
    ("variance", "constant", "at_optimum"),
    [(1.0, 0.5 * math.log(2 * math.pi), True), (1.0, 0.5, False), (1.3, 0.919, False)],
)
def test_the_optimum_is_the_density_of_the_data_normalised(variance, constant, at_optimum):
    x = torch.randn(N, 1)
    v, c = (torch.full((N,), value, requires_grad=True) for value in (variance, constant))
    noise = Independent(Normal(torch.zeros(1), 2.0), 1)
    value = noise_contrastive(Gaussian(v, c), x, noise=noise)
    off = [standard_errors_off(g, 0.0) for g in torch.autograd.grad(value.sum(), (v, c))]
    assert (max(off) < 4) == at_optimum
    if at_optimum:  # the best classifier's value, by quadrature: 2 JSD - log 4
        t = torch.linspace(-12, 12, 4001)
        p, q = (Normal(0.0, s).log_prob(t).exp() for s in (1.0, 2.0))
        best = (p * (p / (p + q)).log() + q * (q / (p + q)).log()).sum() * (24 / 4000)
        assert standard_errors_off(value.detach(), best) < 4


def test_with_much_noise_its_gradient_is_that_of_maximum_likelihood():
    """In v, of N(0, v) at v = 2 for data from N(0, 1): (1 - v) / 2 v^2 = -1/8."""
    x, ratio = torch.randn(400, 1), 300
    v = torch.tensor(2.0, requires_grad=True)
    noise = Independent(Normal(torch.zeros(1), 2.0), 1)

    def model():
        return Independent(Normal(torch.zeros(1), v.sqrt()), 1)

    value = noise_contrastive(model(), x, noise=noise, ratio=ratio)
    (gradient,) = torch.autograd.grad(value.mean(), v)
    (likelihood,) = torch.autograd.grad(model().log_prob(x).mean(), v)
    # of p^2 / (nu q) the gradient is short by some of its 300th part; 120,000 draws give the rest
    assert gradient == pytest.approx(likelihood.item(), abs=0.01)
    assert likelihood == pytest.approx(-0.125, abs=0.05)


def test_images_models_as_noise_and_labels():
    model, x = models.EnergyNetwork.mlp((1, 2, 2), hidden=3), torch.randn(5, 1, 2, 2)
    noise = models.GaussianMixture((1, 2, 2), components=2)
    value = noise_contrastive(model, x, noise=noise, ratio=2)
    assert value.shape == (5,)
    value.sum().backward()
    assert all(p.grad is None for p in noise.parameters())  # what is known does not learn
    assert model.log_normaliser.grad is not None


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda n: noise_contrastive(network(), torch.ones(3, 2), noise=n, ratio=0), "ratio: got "),
        (
            lambda n: noise_contrastive(models.EnergyNetwork.mlp(3), torch.ones(2, 3), noise=n),
            r"noise: draws are of shape \(2,\), expected \(3,\)",
        ),
        (
            lambda n: noise_contrastive(Labelled(), torch.ones(3, 2), torch.arange(3), noise=n),
            "model: got Labelled, expected one with log_normaliser",
        ),
        (
            lambda n: noise_contrastive(
                network(), torch.ones(3, 2), noise=Normal(torch.zeros(2), 1.0)
            ),
            r"noise: log_prob: returned shape \(3, 2\)",
        ),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        act(Independent(Normal(torch.zeros(2), 1.0), 1))
