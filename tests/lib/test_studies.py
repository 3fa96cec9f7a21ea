"""Studies and their records, with a game of a few updates on the ring."""

import dataclasses
import json
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

from dgm import data
from dgm.reproduce import EXPERIMENTS, Record, Study, load, reproduce, study
from dgm.reproduce.records import read_models, round_weights, write_models
from dgm.reproduce.ring import RING_COLLAPSE, RING_GAME, game

SETTINGS = {"fast": partial(game, beta1=0.0), "slow": partial(game, beta1=0.9, r1=1.0)}
TINY = dataclasses.replace(RING_GAME, settings=SETTINGS, updates=6, every=2, seeds=2)
FOLDER = Path("book/records")
UNLIKE = ("seconds", "load", "date", "commit")  # what another run may differ in


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)
    return tmp_path


def result(record):
    return {key: value for key, value in record.items() if key not in UNLIKE}


def test_a_study_has_a_curve_for_every_setting_seed_and_metric():
    written = reproduce("tiny")
    assert json.loads(Path("book/records/tiny.json").read_text(encoding="utf-8")) == written
    record = load("tiny", FOLDER)
    assert record.settings == ["fast", "slow"]
    watched = [f"{who} {what}" for who in ("generator", "average") for what in ("modes", "good")]
    assert record.metrics == ["critic", "generator", *watched]
    assert record.updates.tolist() == [2, 4, 6]
    for setting in record.settings:
        for metric in record.metrics:
            assert record.curves(setting, metric).shape == (2, 3)
    assert record["processors"] >= 1 and record["load"] >= 0
    assert record["seconds"] > 0


def test_a_curve_is_what_a_plain_loop_gives():
    """The game by hand, with measuring that leaves the random numbers of training alone."""
    reproduce("tiny")
    record, ring = load("tiny", FOLDER), data.load("ring")
    torch.manual_seed(1)
    step = SETTINGS["slow"](ring.shape)
    for point in range(3):
        batches = iter(ring.train.batches(128, drop_last=True))
        critic = [step(next(batches))["critic"].item() for _ in range(2)]
        recorded = record.curves("slow", "critic")[1, point].item()
        assert recorded == pytest.approx(sum(critic) / 2, rel=1e-5)
        with torch.random.fork_rng():
            torch.manual_seed(study.MEASURING_SEED)
            now = {"generator": RING_GAME.measure(step.generator, ring)}
            now["average"] = RING_GAME.measure(step.average, ring)
        for who, measured in now.items():
            for what, value in measured.items():
                assert record.curves("slow", f"{who} {what}")[1, point].item() == pytest.approx(
                    value
                )


def test_the_spread_is_over_seeds():
    reproduce("tiny")
    record = load("tiny", FOLDER)
    curves = record.curves("fast", "critic")
    mean, deviation = record.spread("fast", "critic")
    torch.testing.assert_close(mean, (curves[0] + curves[1]) / 2)
    torch.testing.assert_close(deviation, (curves[0] - curves[1]).abs() / 2**0.5)
    figure = record["settings"]["fast"]["figures"]["critic"]
    assert figure["mean"] == pytest.approx(mean[-1].item())
    assert figure["deviation"] == pytest.approx(deviation[-1].item(), rel=1e-4)


@pytest.mark.parametrize("n", [4, 8, 15])  # within a part, between two, in the second setting
def test_a_stopped_study_goes_on_as_if_it_had_not_been(monkeypatch, n):
    whole = reproduce("tiny")
    weights = read_models(FOLDER / "models/tiny.pt")
    for place in ("runs", "book"):
        shutil.rmtree(place)
    updates = []

    def interrupted(start, shape):
        step = start(shape)
        objective = step.critic_objective

        def stopping(*players):
            updates.append(1)
            if len(updates) == n:
                raise KeyboardInterrupt
            return objective(*players)

        step.critic_objective = stopping
        return step

    stopping = {name: partial(interrupted, start) for name, start in SETTINGS.items()}
    monkeypatch.setitem(EXPERIMENTS, "tiny", dataclasses.replace(TINY, settings=stopping))
    assert reproduce("tiny") is None
    assert not Path("book").exists()
    torch.manual_seed(99)
    updates.extend([1] * n)  # no more interruptions
    assert result(reproduce("tiny")) == result(whole)
    assert len(updates) - 2 * n < 24  # what was finished was not done again
    for name, state in read_models(FOLDER / "models/tiny.pt").items():
        for key, value in state.items():
            assert torch.equal(value, weights[name][key])


def test_a_budget_sets_the_number_of_rounds(monkeypatch):
    monkeypatch.setattr(study, "seconds_per_update", lambda *a: 0.5)
    long = dataclasses.replace(TINY, updates=1000)
    # a round of both settings with two seeds takes 2 * 2 * 2 updates of half a second
    assert long.plan(1.0) == {"rounds": 15}
    assert TINY.plan(1.0) == {"rounds": 3}  # no more than without a budget
    assert long.plan(0.01) == {"rounds": 1}
    assert long.plan(None) == {"rounds": 500}


def test_images_are_made_binary_and_the_last_ones_held_back():
    digits = data.load("digits", device="cpu")
    study = dataclasses.replace(TINY, batch_size=100, binarize="dynamic", held_back=237)
    batches = study.batches(digits)
    assert len(batches) == 12 and batches.split.x.equal(digits.train.x[:1200])
    assert all(set(x.unique().tolist()) == {0.0, 1.0} for x, _ in batches)


def test_weights_that_nobody_wants_are_not_kept(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "tiny", dataclasses.replace(TINY, weights=False))
    assert "weights" not in reproduce("tiny")
    assert not (FOLDER / "models").exists()


def test_a_model_is_loaded_as_it_was_kept():
    reproduce("tiny")
    record, ring = load("tiny", FOLDER), data.load("ring")
    step, _ = TINY.train("slow", 1, ring, rounds=3)
    before = torch.get_rng_state()
    model = record.model("slow", seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    round_weights(step.generator)
    for kept, trained in zip(model.parameters(), step.generator.parameters(), strict=True):
        assert kept.dtype == torch.float32 and not kept.requires_grad
        assert torch.equal(kept, trained)


def test_larger_models_are_thrown_away(tmp_path):
    small, large = nn.Linear(249_999, 1), nn.Linear(250_000, 1)
    assert write_models(tmp_path / "small.pt", {"a": small, "b": small})
    assert not write_models(tmp_path / "large.pt", {"a": small, "b": large})
    assert [file.name for file in tmp_path.iterdir()] == ["small.pt"]
    before = large.weight.clone()
    round_weights(large)  # measured as it is
    assert torch.equal(large.weight, before)
    round_weights(small)
    assert torch.equal(small.weight, small.weight.half().float())


def test_the_provenance_says_what_how_long_where_and_with_what(monkeypatch):
    monkeypatch.setattr(study, "seconds_per_update", lambda *a: 0.01)
    reproduce("tiny", budget=1000.0)
    record = load("tiny-1000min", FOLDER)
    versions = f"torch {torch.__version__}, scikit-learn "
    threads = torch.get_num_threads()
    assert record.provenance.startswith(
        f"2 settings, 2 seeds, 6 updates each in 0.0 minutes on CPU ({threads} thread"
    )
    for part in (" processors, load ", versions, record["date"], f"commit {record['commit'][:12]}"):
        assert part in record.provenance
    assert record.provenance.endswith(": make reproduce NAMES=tiny BUDGET=1000")


@pytest.mark.parametrize(("epochs", "says"), [(1.0, "1 epoch in"), (0.5, "0.5 epochs in")])
def test_one_epoch_is_no_plural(folder, epochs, says):
    record = load("vae-1-digits").content | {"epochs": epochs}
    (folder / "x.json").write_text(json.dumps(record), encoding="utf-8")
    line = Record(folder / "x.json", folder / "x.pt").provenance
    assert line.startswith(f"{record['model']}: {says}")


def test_questions_a_record_cannot_answer():
    reproduce("tiny")
    record = load("tiny", FOLDER)
    with pytest.raises(ValueError, match="name: got 'tinny', expected one of tiny"):
        load("tinny", FOLDER)
    with pytest.raises(ValueError, match=r"setting: got 'Fast', expected one of \['fast', 'slow'"):
        record.curves("Fast", "critic")
    with pytest.raises(ValueError, match=r"metric: got 'modes', expected one of \['critic', 'gen"):
        record.spread("fast", "modes")
    with pytest.raises(ValueError, match="got 'fast', 2, but what was kept is fast, seed 0"):
        record.model("fast", seed=2)
    with pytest.raises(KeyError, match="no 'figure' in this record; there are name, model"):
        record["figure"]


def test_the_ring_game_is_what_the_chapter_says():
    """Five settings, two layers of 64 on either side, one optimiser; curves end at 7,440."""
    betas = {}
    for name, start in RING_GAME.settings.items():
        step = start((2,))
        groups = [player.optimizer.param_groups[0] for player in step.players.values()]
        group = groups[0]
        assert group["lr"] == 2e-3 and group["betas"] == groups[1]["betas"] and len(groups) == 2
        betas[name] = group["betas"][0], step.critic_objective.keywords["r1"]
        sizes = [p.shape for p in step.generator.parameters() if p.dim() == 2]
        assert sizes == [(64, 2), (64, 64), (2, 64)]
        assert [p.shape for p in step.critic.parameters() if p.dim() == 2][-1] == (1, 64)
    assert [*betas.values()] == [(0.9, 0.0), (0.5, 0.0), (0.0, 0.0), (0.9, 0.3), (0.9, 1.0)]
    assert (RING_GAME.updates, RING_GAME.seeds, RING_GAME.batch_size) == (7440, 5, 128)
    assert RING_GAME.plan(None) == {"rounds": 60}
    assert isinstance(RING_GAME, Study)


def test_the_collapse_differs_from_the_ring_game_in_its_critic():
    """Eight units see what two layers of 64 saw; one remedy is a penalty, the other a rate."""
    seen = []
    for start in RING_COLLAPSE.settings.values():
        step = start((2,))
        weights = [[p.shape for p in n.parameters()] for n in (step.generator, step.critic)]
        assert weights[0] == [p.shape for p in game((2,), beta1=0.5).generator.parameters()]
        assert weights[1] == [(8, 2), (8,), (1, 8), (1,)]
        groups = [step.players[who].optimizer.param_groups[0] for who in ("generator", "critic")]
        assert {group["betas"] for group in groups} == {(0.5, 0.99)}
        seen.append((*(g["lr"] for g in groups), step.critic_objective.keywords["r1"]))
    assert seen == [(2e-3, 2e-3, 0.0), (2e-3, 2e-3, 0.1), (2e-4, 2e-3, 0.0)]
    same = RING_COLLAPSE.settings["equal rates"]((2,)), game((2,), 0.5, critic_hidden=(8,))
    assert same[0].critic_objective.keywords == same[1].critic_objective.keywords
