"""The study of straight flows, for a few updates: who learns from whom, and what is measured."""

import dataclasses

import pytest
import torch

from dgm import data
from dgm.objectives import flow_between
from dgm.reproduce import EXPERIMENTS, straight
from dgm.reproduce.straight import ALONE, BATCHES, EULER, ONCE, TWICE

STUDY = EXPERIMENTS["straight-flows-moons"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.setattr(straight, "PAIRS", 50)
    monkeypatch.setattr(straight, "DRAWN", 40)
    short = dataclasses.replace(STUDY, updates=2, every=1)
    monkeypatch.setitem(straight.STRAIGHT, "straight-flows-moons", short)
    straight.taught.cache_clear()
    yield short
    straight.taught.cache_clear()


def test_a_pupil_learns_its_teachers_pairs(small):
    """From the average that the other setting ends with, which is made once."""
    shape = (2,)
    step = small.start(TWICE, 1, shape)
    assert straight.taught.cache_info().misses == 2  # independent pairs, and a first reflow
    teacher = straight.taught("moons", ONCE, 1)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        again = straight.OfPairs(teacher)
    assert torch.equal(step.objective.eps, again.eps) and torch.equal(step.objective.x, again.x)
    x = torch.zeros(6, 2)  # which are not looked at
    torch.manual_seed(0)
    value = step.objective(step.model, x)
    torch.manual_seed(0)
    i = torch.randint(50, (6,))
    torch.testing.assert_close(value, flow_between(step.model, again.x[i], again.eps[i]))


def test_all_settings_begin_with_one_network_and_end_with_figures(small):
    starts = [small.start(name, 0, (2,)).model.state_dict() for name in (ALONE, ONCE, BATCHES)]
    for other in starts[1:]:
        assert all(torch.equal(starts[0][key], other[key]) for key in other)
    found = straight.by_steps(small.start(ALONE, 0, (2,)).average, data.load("moons"))
    assert [*found] == [f"{steps} MMD" for steps in EULER] + ["KL", "straightness", "cost"]
    assert found["cost"] < 1e-3 and abs(found["straightness"]) < 1e-6  # it moves nothing yet
    assert found["1 MMD"] == pytest.approx(found["64 MMD"], abs=1e-6) and found["KL"] > 0
