"""The recipe of flow matching on images, on the digits: what differs from diffusion's, and what is
measured."""

import dataclasses

import pytest
import torch

from dgm import data
from dgm.objectives import denoising
from dgm.reproduce import EXPERIMENTS, Schedule, diffusion, gans, reproduce
from dgm.reproduce.flow_matching import EULER, SHOWN, by_steps
from dgm.reproduce.recipe import learned
from dgm.reproduce.records import unpacked

RECIPE = EXPERIMENTS["flow-matching"]


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.setattr(gans, "CLASSIFIER_UPDATES", 30)
    monkeypatch.setattr(diffusion, "DRAWN", 50)
    monkeypatch.setattr(diffusion, "ENDS", (6.0,))


def test_the_budget_is_that_of_diffusion_and_no_weights_are_kept(monkeypatch, tmp_path):
    other = EXPERIMENTS["diffusion"]
    schedules = [(r.full.batch_size, r.full.epochs, r.full.rate.keywords) for r in (RECIPE, other)]
    assert schedules[0] == schedules[1]
    full = Schedule(500, RECIPE.full.rate, 2)
    tiny = dataclasses.replace(RECIPE, dataset="digits", full=full, score=lambda *_: {})
    monkeypatch.setitem(EXPERIMENTS, "tiny", tiny)
    record = reproduce("tiny")
    assert record["shape"] == [1, 8, 8] and "weights" not in record
    assert not (tmp_path / "book/records/models/tiny.pt").exists()


def test_it_is_trained_on_the_velocity_of_straight_lines():
    """At the same times, with the same noise, its objective is denoising's by another formula."""

    def times(n, like):
        return torch.linspace(0.01, 0.99, n), torch.ones(n)

    step = RECIPE.start(data.load("digits"), lambda t: 1e-3)
    (x, y), values = next(iter(data.load("digits").train.batches(50))), []
    for objective in (step.objective, denoising):
        torch.manual_seed(0)
        values.append(objective(step.model, x, y, times=times, drop_label=0.0))
    assert (step.model.path.name, step.model.predict) == ("linear", "velocity")
    torch.testing.assert_close(values[0], values[1], rtol=1e-3, atol=1e-3)


def test_what_is_measured():
    dataset = data.load("digits")
    model = learned(RECIPE.start(dataset, lambda t: 1e-3)).standardise(dataset.train.images)
    torch.manual_seed(0)
    found = by_steps(model, dataset, 60)
    assert 0 < found["real_images"]["figure"] < found["figure"]
    assert [*found["euler"]] == [*found["drawn"]] == [str(steps) for steps in EULER]
    images = {k: unpacked(v, dataset.shape) for k, v in found["drawn"].items()}
    assert images["1"].shape == (10 * SHOWN, 1, 8, 8)
    # the network is zero, and moves noise nowhere: in any number of steps it draws the same
    assert (images["1"] - images["50"]).abs().max() < 0.02
