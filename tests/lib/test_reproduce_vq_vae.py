"""The recipe of a VQ-VAE and its prior, on the digits: its stages, and what is measured."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from dgm import data
from dgm.models import VQVAE, Transformer
from dgm.reproduce import EXPERIMENTS, Recipe, Schedule, gans, load, reproduce, vq_vae


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.setattr(gans, "CLASSIFIER_UPDATES", 30)
    for name, value in {"PRIOR_UPDATES": 4, "PRIOR_ROUNDS": 2, "SEARCHED": 4, "DRAWS": 3}.items():
        monkeypatch.setattr(vq_vae, name, value)
    schedule = Schedule(100, lambda t, steps: 1e-3, 1)
    tiny = dataclasses.replace(EXPERIMENTS["vq-vae"], dataset="digits", full=schedule)
    monkeypatch.setitem(EXPERIMENTS, "tiny", tiny)
    return tiny


@pytest.fixture
def model():
    torch.manual_seed(0)
    return vq_vae.on_a_grid((1, 28, 28))


def test_a_symbol_has_its_place_in_the_image(model):
    """What is far from it does not change it, and it draws nothing far away."""
    assert model.prior().event_shape == (16, 64)
    model.quantiser.vectors.copy_(model.outputs(torch.rand(4, 1, 28, 28)).reshape(64, 8))
    x = torch.rand(30, 1, 28, 28)
    other = x.clone()
    other[..., 20:, 20:] = torch.rand(30, 1, 8, 8)
    same = (model.codes(x) == model.codes(other)).view(30, 4, 4)
    assert same[:, :2, :2].all() and not same[:, 3, 3].all()
    e = torch.randn(16, 8)
    moved = e.clone()
    moved[-1] += 1.0
    change = model.decoder(e).mean - model.decoder(moved).mean
    assert change[..., :6, :6].abs().max() < 1e-6 < change[..., 20:, 20:].abs().max()


def test_what_is_measured(model, small):
    dataset = data.load("digits")
    model = vq_vae.on_a_grid(dataset.shape)
    model = model.with_prior(vq_vae.prior_of(model))
    found = small.measure(model, dataset, 60)
    x = next(iter(dataset.test.batches(60, shuffle=False, binarize="fixed")))[0]
    k = model.codes(x)  # (60, 16)
    logits = model.decoder(model.quantiser.vectors[k]).base_dist.logits
    distortion = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
    logits = F.pad(model.p_k.model(k / 63), (1, 0))  # (60, 16, 64), that of code 0 being zero
    rate = F.cross_entropy(logits.movedim(2, 1), k, reduction="none").sum(1)
    each = distortion + rate
    assert found["distortion"] == pytest.approx(distortion.mean().item(), rel=1e-5)
    assert found["rate"] == pytest.approx(rate.mean().item(), rel=1e-5)
    assert found["figure"] == pytest.approx(each.mean().item(), rel=1e-5)
    assert found["standard_error"] == pytest.approx(each.std().item() / 60**0.5, rel=1e-4)
    nats = {name: torch.tensor(values) for name, values in found["searched"]["nats"].items()}
    torch.testing.assert_close(nats["nearest_code"], each[:4].detach(), rtol=0, atol=2e-3)
    assert (nats["best_code"] <= nats["nearest_code"] + 1e-3).all()
    assert found["usage"]["used"] == len(k.unique())
    for distance in found["means_of_draws"].values():
        assert distance["figure"] > distance["real_images"]["figure"] > 0


def test_uniform_codes_cost_what_they_must(model):
    dataset = data.load("digits")
    model = vq_vae.on_a_grid(dataset.shape)
    x = vq_vae.binary(dataset, 10)
    logits = model.decoder(model.quantiser.vectors[model.codes(x)]).base_dist.logits
    log_p = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))
    expected = log_p - 16 * math.log(64)
    torch.testing.assert_close(vq_vae.by_one_code(model, x), expected, rtol=1e-5, atol=1e-4)


# ---------------------------------------------------------------- two stages


def test_the_second_stage_leaves_the_first_as_it_was(small):
    plan = {"budget_minutes": None, **small.plan(None)}
    both = small.train(plan, Path("both.pt"))[0].model
    first = Recipe.train(small, plan, Path("first.pt"))[0].model
    assert isinstance(both, VQVAE) and isinstance(both.p_k.model, Transformer)
    state = first.state_dict()
    kept = [name for name in state if not name.startswith("p_k")]
    assert kept and all(torch.equal(both.state_dict()[name], state[name]) for name in kept)


def test_the_prior_learns_the_codes(small, monkeypatch):
    monkeypatch.setattr(vq_vae, "PRIOR_UPDATES", 60)
    plan, dataset = {"budget_minutes": None, **small.plan(None)}, data.load("digits")
    model = small.train(plan, Path("run.pt"))[0].model
    k = model.codes(vq_vae.binary(dataset, 360))
    torch.manual_seed(0)
    untrained = vq_vae.prior_of(model)
    with torch.no_grad():
        learned, before = (prior.log_prob(k).mean() for prior in (model.p_k.model, untrained))
    assert learned > before + 5


def test_a_record_is_measured_again_from_its_model():
    record = reproduce("tiny")
    assert load("tiny", Path("book/records")).examples.unique().tolist() == [0, 1]
    model = load("tiny", Path("book/records")).model()
    assert isinstance(model.p_k.model, Transformer)
    again = EXPERIMENTS["tiny"].measure(model, data.load("digits"), record["images"])
    for name in ("figure", "rate", "distortion"):
        assert again[name] == pytest.approx(record[name], rel=1e-5)


@pytest.mark.parametrize("stage", ["first", "second"])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(small, stage, monkeypatch):
    plan = {"budget_minutes": None, **small.plan(None)}
    whole = small.train(plan, Path("whole.pt"))[0].model.state_dict()

    given = []

    class Stopping(vq_vae.OfCodes):
        def __iter__(self):
            for batch in super().__iter__():
                given.append(1)
                if len(given) == 4:  # in the second round of two updates
                    raise KeyboardInterrupt
                yield batch

    with monkeypatch.context() as now:
        if stage == "second":
            now.setattr(vq_vae, "OfCodes", Stopping)
        else:

            def stopped(*arguments, **more):
                raise KeyboardInterrupt

            now.setattr(vq_vae, "scheduled_step", stopped)
        with pytest.raises(KeyboardInterrupt):
            small.train(plan, Path("parts.pt"))
    torch.manual_seed(99)
    parts = small.train(plan, Path("parts.pt"))[0].model.state_dict()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
