"""The recipe of a diffusion model, on the digits: what is trained, kept and measured."""

import dataclasses

import pytest
import torch

from dgm import data
from dgm.evaluate import bits_per_dimension
from dgm.objectives import diffusion_bound
from dgm.reproduce import EXPERIMENTS, Schedule, diffusion, gans, reproduce
from dgm.reproduce.diffusion import drawn, samples_and_bounds
from dgm.reproduce.recipe import learned
from dgm.reproduce.records import unpacked

RECIPE = EXPERIMENTS["diffusion"]


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.setattr(gans, "CLASSIFIER_UPDATES", 30)
    monkeypatch.setattr(diffusion, "DRAWN", 50)
    monkeypatch.setattr(diffusion, "STEPS", 2)
    monkeypatch.setattr(diffusion, "ENDS", (6.0,))


def test_a_run_keeps_and_measures_the_average(monkeypatch):
    full, seen = Schedule(500, RECIPE.full.rate, 2), []
    tiny = dataclasses.replace(
        RECIPE, dataset="digits", full=full, score=lambda model, *_: seen.append(model) or {}
    )
    monkeypatch.setitem(EXPERIMENTS, "tiny", tiny)
    record = reproduce("tiny")
    assert record["shape"] == [1, 8, 8] and record["weights"] == "float16"
    assert len(record["objective"]) == 2 and record["objective"][0] < 0
    (model,) = seen
    assert not any(p.requires_grad for p in model.parameters())  # nobody trains an average
    step = tiny.start(data.load("digits"), lambda t: 1e-3)
    assert learned(step) is step.average is not step.model
    step(next(iter(data.load("digits").train.batches(50))))
    assert step.average.mean.item() == pytest.approx(0.305, abs=0.01)  # standardised, too


def test_what_is_measured():
    dataset = data.load("digits")
    model = learned(RECIPE.start(dataset, lambda t: 1e-3)).standardise(dataset.train.images)
    torch.manual_seed(0)
    found = samples_and_bounds(model, dataset, 60)
    bits, few = found["bits"], dataset.test.images[:60]
    assert (bits["levels"], [*bits["by_end"]], found["ddim"]["steps"]) == (17, ["6"], 4)
    assert 0 < found["real_images"]["figure"] < found["figure"]
    for guide in ("0", "1"):
        assert 0 <= found["guidance"][guide]["right"] <= 1
        images = unpacked(found["guidance"][guide]["images"], dataset.shape)
        assert images.shape == (50, 1, 8, 8)
    with torch.no_grad():
        values = [
            diffusion_bound(model, few, torch.full((60,), -1), 17, (-8.0, diffusion.END), k=2)
            for _ in range(20)
        ]
    means = torch.stack([bits_per_dimension(v, dataset.shape).mean() for v in values])
    assert bits["any_class"][0] == pytest.approx(means.mean().item(), abs=6 * means.std().item())
    image = drawn(model, 10)
    assert image.shape == (10, 1, 8, 8) and image.min() >= 0 and image.max() <= 1
