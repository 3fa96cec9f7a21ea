"""One energy, trained in six ways: what is measured, and what each way starts with."""

from types import SimpleNamespace

import pytest
import torch

from dgm import toys
from dgm.models import EnergyNetwork
from dgm.reproduce.six_ways import SIX_WAYS, distances


class Gaussian:
    """The energy of N(0, s^2 I), and a constant."""

    shape, classes, support = (2,), 0, torch.distributions.constraints.real

    def __init__(self, s):
        self.s = s

    def energy(self, x):
        return x.square().sum(-1) / (2 * self.s**2) + 7.0


def test_distances_of_gaussians_are_those_of_the_formulas():
    """KL and half the mean squared difference of scores, of N(0, a^2 I) from N(0, b^2 I)."""
    a, b = 0.5, 0.7
    data = toys.ring(modes=1, radius=1e-9, sigma=a, device="cpu")
    dataset = SimpleNamespace(density=data, train=SimpleNamespace(x=torch.zeros(1, 2)))
    found = distances(Gaussian(b), dataset)
    ratio = a**2 / b**2
    assert found["KL"] == pytest.approx(ratio - 1 - torch.tensor(ratio).log().item(), abs=1e-4)
    assert found["Fisher divergence"] == pytest.approx(a**2 * (1 / a**2 - 1 / b**2) ** 2, rel=1e-3)
    assert distances(Gaussian(a), dataset)["KL"] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("name", SIX_WAYS)
def test_each_way_takes_a_step_on_fresh_draws(name):
    study = SIX_WAYS[name]
    density = toys.ring(device="cpu")
    batches = iter(study.batches(SimpleNamespace(density=density)))
    first, second = next(batches)[0], next(batches)[0]
    assert first.shape == (256, 2) and not torch.equal(first, second)
    for setting in study.settings:
        step = study.start(setting, 0, (2,))
        assert isinstance(step.model, EnergyNetwork)
        before = step.model.weight.weight.clone()
        step((first,))
        assert not torch.equal(before, step.model.weight.weight)
