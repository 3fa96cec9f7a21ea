"""Recorded flows: what is measured of them, in the plane and of grey levels."""

import dataclasses
import math

import pytest
import torch
from torch.distributions import Independent, Normal

from dgm import data
from dgm.objectives import elbo
from dgm.reproduce import flows
from dgm.reproduce.flows import FLOWS, bits_and_images, divergence, spline_flow


@pytest.mark.parametrize("toy", ["moons", "ring"])
def test_the_divergence_of_the_truth_is_zero_and_of_a_normal_what_draws_say(toy):
    dataset = data.load(toy, device="cpu")
    found = divergence(dataset.density, dataset)
    assert found["KL"] == 0
    # a Gaussian in the plane has exp(-4^2 / 2) of its mass beyond four deviations; of the squares
    # that the circle cuts, as wide as most of a deviation, the density there is exp(-8) of the peak
    assert 0 <= found["mass far from modes"] < 2 * math.exp(-8)
    normal = Independent(Normal(torch.zeros(2), 1.0), 1)
    torch.manual_seed(0)
    x = dataset.density.sample((20_000,))
    ratio = dataset.density.log_prob(x) - normal.log_prob(x)
    error = 5 * ratio.std().item() / len(x) ** 0.5
    assert divergence(normal, dataset)["KL"] == pytest.approx(ratio.mean().item(), abs=error)


def test_bits_are_those_of_the_bound(monkeypatch):
    monkeypatch.setattr(flows, "TRAINING", 40)
    monkeypatch.setattr(flows, "WEIGHTED", 20)
    dataset = data.load("digits", device="cpu")
    recipe = dataclasses.replace(spline_flow(levels=17, width=2, bins=4), dataset="digits")
    model = recipe.start(dataset, lambda t: 1e-2).model
    for parameter in model.parameters():  # a fresh spline is the identity
        parameter.data.normal_(std=0.3)
    found = recipe.measure(model, dataset, images=30)
    torch.manual_seed(0)
    with torch.no_grad():
        bits = -elbo(model, dataset.test.images[:30]) / (64 * math.log(2))
    assert found["figure"] == pytest.approx(bits.mean().item(), rel=1e-5)
    assert found["standard_error"] == pytest.approx(bits.std().item() / 30**0.5, rel=1e-4)
    assert found["one_draw"] == pytest.approx(bits[:20].mean().item(), rel=1e-5)
    assert found["several_draws"] < found["one_draw"]
    assert bits_and_images(model, dataset, 30).keys() == found.keys()


@pytest.mark.parametrize("name", ["flows-moons", "flows-ring"])
def test_each_setting_starts_and_is_small_enough_to_be_kept(name):
    study = FLOWS[name]
    for setting in study.settings:
        model = study.untrained((2,), setting)
        assert model.sample(3).shape == (3, 2)
