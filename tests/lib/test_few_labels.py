"""The comparison of classifiers, with networks that train for a moment, on the digits."""

import dataclasses
import json
import math
import os
import statistics
from pathlib import Path

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from dgm import data, labels
from dgm.reproduce import (
    EXPERIMENTS,
    Comparison,
    __main__,
    comparison,
    experiments,
    few_labels,
    reproduce,
)
from dgm.reproduce.few_labels import METHODS, SETTINGS, Draw, Method, choose, compare, measure

TINY = dataclasses.replace(SETTINGS["few-labels-digits"], size={"hidden": (8,)}, latent=3)
CHEAP = dataclasses.replace(TINY, methods=METHODS[:2])


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.setitem(EXPERIMENTS, "tiny", Comparison(CHEAP, draws=2, updates=3))
    return tmp_path


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", device="cpu")


def quick(setting, **options):
    return compare(setting, draws=2, updates=3, progress=False, **options)


def test_every_method_has_an_error_for_every_draw():
    rows = quick(TINY)
    assert [row["method"] for row in rows] == [method.name for method in METHODS]
    for row, method in zip(rows, METHODS, strict=True):
        assert row["labels"] == 100
        assert len(row["errors"]) == 2
        assert all(0 < error < 100 for error in row["errors"])
        assert row["chosen"][method.chosen] in method.choices


def test_the_same_comparison_twice_gives_the_same_numbers():
    torch.manual_seed(1)
    rows = quick(TINY)
    torch.manual_seed(2)
    assert quick(TINY) == rows


def test_pixels_by_hand(digits):
    """Logistic regression by scikit-learn alone, on the labels of each draw."""
    setting = dataclasses.replace(TINY, methods=METHODS[:1])
    (row,) = quick(setting)
    x_test = digits.test.images.flatten(1).numpy()
    for seed, error in enumerate(row["errors"]):
        split = labels.few(digits.train, 100, seed)
        x, y = split.images[split.y >= 0].flatten(1).numpy(), split.y[split.y >= 0].numpy()
        alone = LogisticRegression(C=row["chosen"]["C"], max_iter=1000).fit(x, y)
        accuracy = (alone.predict(x_test) == digits.test.y.numpy()).mean()
        assert error == pytest.approx(100 * (1 - accuracy))


def spy(seen, errors=None):
    """A method that notes what it is given, and predicts the label c with the choice c."""

    def learn(draw, split, choice, updates):
        seen.append((draw.seed, split.y.clone(), choice, updates))
        return lambda x: torch.full((len(x),), int(choice))

    return Method("spy", learn, "class", (3.0, 7.0))


@pytest.mark.parametrize("best", [3.0, 7.0])
def test_hyper_parameters_are_chosen_on_a_fifth_of_the_labels_and_nothing_else(digits, best):
    learned, asked = [], []

    def learn(draw, split, choice, updates):
        learned.append((split, updates))
        return lambda x: asked.append(x) or (truth(x) if choice == best else 0 * truth(x) - 1)

    def truth(x):
        return digits.train.y[torch.cdist(x.flatten(1), everything).argmin(1)]

    everything = digits.train.images.flatten(1)
    draw = Draw(TINY, dataclasses.replace(digits, test=None), seed=5, updates=30)
    assert choose(Method("oracle", learn, "choice", (3.0, 7.0)), draw, 100) == best
    labelled = labels.known(draw.split(100)).images.flatten(1)
    for (split, updates), x in zip(learned, asked, strict=True):
        assert updates == 10  # a third
        both = torch.cat([labels.known(split).images, x]).flatten(1)
        assert (len(x), len(both)) == (20, 100)
        assert torch.equal(both.unique(dim=0), labelled.unique(dim=0))


def test_the_draws_are_trained_on_all_labels_and_the_choosing_one_is_none_of_them(digits):
    seen = []
    compare(dataclasses.replace(TINY, methods=(spy(seen),)), draws=3, updates=30, progress=False)
    choosing, trained = seen[:2], seen[2:]
    assert [int((y >= 0).sum()) for _, y, _, _ in choosing] == [80, 80]
    assert [(seed, updates) for seed, _, _, updates in trained] == [(0, 30), (1, 30), (2, 30)]
    for seed, y, _, _ in trained:
        assert torch.equal(y, labels.few(digits.train, 100, seed).y)
    assert choosing[0][0] not in (0, 1, 2)


def test_the_error_is_that_of_the_test_images(digits):
    draw = Draw(TINY, digits, seed=0, updates=3)
    share = (digits.test.y != 7).double().mean().item()
    assert measure(spy([]), draw, 100, 7.0) == pytest.approx(100 * share)


def stop_at(monkeypatch, n):
    """Ctrl-C at the n-th part."""
    parts, finish = [], few_labels.measure

    def stopping(*arguments):
        parts.append(arguments)
        if len(parts) == n:
            raise KeyboardInterrupt
        return finish(*arguments)

    monkeypatch.setattr(few_labels, "measure", stopping)


def test_a_stopped_comparison_goes_on_and_ends_as_if_it_had_not_been(monkeypatch, folder):
    whole = quick(TINY, folder=folder / "whole")
    with monkeypatch.context() as patch:
        stop_at(patch, 5)
        with pytest.raises(KeyboardInterrupt):
            quick(TINY, folder=folder / "a")
    done = json.loads((folder / "a/results.json").read_text())
    assert len(done) == len(METHODS) + 4

    finish, trained = few_labels.measure, []
    monkeypatch.setattr(few_labels, "measure", lambda *a: trained.append(a) or finish(*a))
    assert quick(TINY, folder=folder / "a") == whole
    assert len(trained) == 2 * len(METHODS) - 4


def test_ctrl_c_within_a_training_stops_the_comparison(monkeypatch):
    def interrupt(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(few_labels, "prediction_constrained", interrupt)
    with pytest.raises(KeyboardInterrupt):
        quick(TINY)


def test_a_run_writes_a_record():
    record = reproduce("tiny")
    assert os.listdir("book/records/few-labels") == ["tiny.json"]
    assert json.loads(Path("book/records/few-labels/tiny.json").read_text()) == record
    assert {(row["method"], row["labels"]) for row in record["rows"]} == {
        (method.name, n) for method in CHEAP.methods for n in (100, 1000, 1100)
    }
    assert all(len(row["errors"]) == record["draws"] == 2 for row in record["rows"])
    assert (record["training_images"], record["test_images"]) == (1437, 360)
    assert (record["updates"], record["budget_minutes"]) == (3, None)
    assert record["versions"]["torch"] == torch.__version__
    assert record["seconds"] > 0
    few = [row["errors"] for row in record["rows"] if "pixels" in row["method"]]
    assert statistics.mean(few[0]) > statistics.mean(few[2]) + 3  # more labels help


def test_a_stopped_run_goes_on(monkeypatch, capsys):
    with monkeypatch.context() as patch:
        stop_at(patch, 3)
        assert main("tiny") == 1
    assert "the same command goes on" in capsys.readouterr().err
    assert not Path("book").exists()
    before = json.loads(Path("runs/tiny/plan.json").read_text())["seconds"]
    assert main("tiny") == 0
    record = json.loads(Path("book/records/few-labels/tiny.json").read_text())
    assert record["seconds"] > before > 0
    row = next(r for r in record["rows"] if r["method"] == "Supervised network")
    mean, deviation = statistics.mean(row["errors"]), statistics.stdev(row["errors"])
    out = capsys.readouterr().out
    assert f"Supervised network                    100 labels {mean:6.2f} ± {deviation:.2f}" in out


def test_a_budget_sets_the_number_of_updates(monkeypatch, folder):
    monkeypatch.setattr(Comparison, "seconds_per_update", lambda *a: 0.5)
    plan = experiments.plan_of(Comparison(CHEAP), 2.0, folder / "a.json")
    assert plan == {"budget_minutes": 2.0, "updates": 240, "seconds": 0.0}
    monkeypatch.setattr(Comparison, "seconds_per_update", None)  # the plan is made once
    assert experiments.plan_of(Comparison(CHEAP), 2.0, folder / "a.json") == plan


def test_an_update_costs_what_all_networks_take_for_it(monkeypatch):
    """3 x (2 VAEs + 3 numbers of labels x 2 methods) x 0.01 s, with a clock that is told."""
    clock = [0.0]

    def train(model, objective, batches, updates, rate, decay=0.0, checkpoint=None):
        clock[0] += 0.01 * updates

    def stopwatch():
        last = [clock[0]]

        def lap():
            before, last[0] = last[0], clock[0]
            return last[0] - before

        return lap

    monkeypatch.setattr(few_labels, "train", train)
    monkeypatch.setattr(comparison, "stopwatch", stopwatch)
    setting = dataclasses.replace(TINY, methods=(*METHODS[:2], METHODS[2], METHODS[5]))
    cost = Comparison(setting, draws=2).seconds_per_update()
    assert cost == pytest.approx(3 * (2 + 3 * 2) * 0.01)


def test_bad_arguments(capsys):
    with pytest.raises(ValueError, match=r"numbers: got \(100, 130\), expected multiples of 50"):
        compare(CHEAP, numbers=(100, 130))
    with pytest.raises(ValueError, match="n: got 1400, but class"):
        quick(CHEAP, numbers=(1400,))
    for budget in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="budget: got .*, expected more than 0 minutes"):
            reproduce("tiny", budget)
    assert main("tiny", "--budget", "0") == 2
    assert "budget: got 0" in capsys.readouterr().err
    assert main("few-labels-none") == 2


def main(*arguments):
    """The command's exit status."""
    try:
        return __main__.main(list(arguments))
    except SystemExit as stop:
        return stop.code
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("name", SETTINGS)
def test_recorded_settings_build_what_they_say(name):
    """Encoders and classifiers of one architecture; code sizes alike."""
    setting = SETTINGS[name]
    shape = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}[setting.dataset]
    x = torch.zeros(2, *shape)
    vae, constrained = (setting.build(m, shape) for m in (few_labels.VAE, few_labels.PCVAE))
    assert vae.posterior(x).event_shape == constrained.posterior(x).event_shape
    assert vae.posterior(x).event_shape == (setting.latent,)
    widths = [p.shape for p in setting.features(shape).parameters()]
    assert [p.shape for p in vae.encoder[0].parameters()] == widths
    assert [p.shape for p in constrained.vae.encoder[0].parameters()] == widths
    assert vae.likelihood(torch.zeros(2, setting.latent)).event_shape == shape
