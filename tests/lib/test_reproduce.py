"""The scoreboard's runs, with a recipe that takes a second: a small schedule on the digits."""

import dataclasses
import json
import math
import os
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch

from dgm import data, evaluate
from dgm.objectives import elbo, iwae, log_likelihood
from dgm.reproduce import (
    EXPERIMENTS,
    RECIPES,
    Schedule,
    __main__,
    add_seeds,
    experiments,
    parts,
    recipe,
    recipes,
    records,
    reproduce,
    runs,
)
from dgm.train import load_checkpoint

EPOCHS = 4
TINY = dataclasses.replace(
    recipes.vae(iwae, k=2, dataset="digits"),
    score=partial(parts.negative_log_likelihood, draws=20),
    full=Schedule(500, parts.burda_rate, EPOCHS),
    short=Schedule(100, partial(parts.falling_rate, highest=1e-3)),
)
UNLIKE = (
    "seconds",
    "measuring_seconds",
    "load",
    "date",
    "commit",
)  # what another run may differ in


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """Runs and records go to a folder of their own; the recipe is known as "tiny"."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)
    return tmp_path


def result(record):
    return {key: value for key, value in record.items() if key not in UNLIKE}


def read(file):
    return json.loads(Path(file).read_text())


def load_step(file):
    step = TINY.start(data.load("digits"), rate=lambda t: 1e-3)
    load_checkpoint(file, step)
    return step


def parameters(file):
    return torch.cat([p.detach().flatten() for p in load_step(file).model.parameters()])


def fail_at(n):
    """The recipe, with Ctrl-C at its n-th update."""

    def step(shape, rate):
        def interrupting(t):
            if t == n:
                raise KeyboardInterrupt
            return rate(t)

        return TINY.step(shape, interrupting)

    return dataclasses.replace(TINY, step=step)


def test_a_run_writes_a_record(folder):
    record = reproduce("tiny")
    assert sorted(os.listdir("book/records")) == ["models", "tiny.json"]
    assert read("book/records/tiny.json") == record
    assert record["name"] == "tiny"
    assert (record["dataset"], record["binarization"], record["unit"]) == (
        "digits",
        "dynamic",
        "nats",
    )
    assert (record["images"], record["epochs"], record["batch_size"]) == (360, EPOCHS, 500)
    assert record["seconds"] > 0
    assert record["versions"]["torch"] == torch.__version__
    assert (record["device"], record["seed"], record["budget_minutes"]) == ("cpu", 0, None)
    # 64 fair coins would have 44.4 nats
    assert 10 < record["figure"] < 64 * math.log(2)
    assert 0 < record["standard_error"] < 1


def test_the_figure_is_recomputed_from_the_checkpoint():
    """By hand, with another loop over the images; the digits are binarised alike every time."""
    record = reproduce("tiny")
    dataset = data.load("digits")
    step = load_step("runs/tiny/checkpoint.pt")
    for parameter in step.model.parameters():  # what is kept is measured
        parameter.data = parameter.half().float()
    x = torch.cat([x for x, _ in dataset.test.batches(77, shuffle=False, binarize="fixed")])
    torch.manual_seed(0)
    values = -evaluate.importance_weighted(step.model, x, k=20, chunk=7)
    assert record["figure"] == pytest.approx(values.double().mean().item(), rel=1e-6)
    assert record["standard_error"] == pytest.approx(values.std().item() / 360**0.5, rel=1e-5)


def test_a_finished_run_is_only_measured_again(monkeypatch, folder):
    record = reproduce("tiny")
    (folder / "book/records/tiny.json").unlink()
    monkeypatch.setitem(EXPERIMENTS, "tiny", fail_at(EPOCHS * 3))  # the update after the last
    again = reproduce("tiny")
    assert result(again) == result(record)
    assert again["seconds"] == record["seconds"]  # those of the training, not of the second call


def test_other_seeds_are_trained_alike_and_told_beside_the_first(monkeypatch, folder):
    first = reproduce("tiny")
    monkeypatch.setitem(EXPERIMENTS, "tiny", dataclasses.replace(TINY, seeds=3))
    record = reproduce("tiny")
    others = record.pop("other_seeds")
    assert result(record) == result(first)
    assert len({first["figure"], *others}) == 3

    def from_seed_two(shape, rate):
        torch.manual_seed(2)
        return TINY.step(shape, rate)

    shutil.rmtree("runs")  # else the plan of the finished run is followed
    monkeypatch.setitem(EXPERIMENTS, "tiny", dataclasses.replace(TINY, step=from_seed_two))
    assert reproduce("tiny")["figure"] == pytest.approx(others[1], abs=1e-6)

    monkeypatch.setitem(EXPERIMENTS, "tiny", dataclasses.replace(TINY, seeds=3))
    assert "other_seeds" not in reproduce("tiny", budget=1e-3)  # whose budget is for one


def test_seeds_are_added_to_a_record_that_stands(monkeypatch):
    """They are those that a recipe of three seeds trains, and nothing else of it changes."""
    monkeypatch.setitem(EXPERIMENTS, "tiny", dataclasses.replace(TINY, seeds=3))
    expected = reproduce("tiny")
    shutil.rmtree("runs")
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)
    first = reproduce("tiny")
    with_others = add_seeds("tiny", seeds=3)
    assert with_others == read("book/records/tiny.json")
    assert with_others.pop("others").keys() >= {"seconds", "commit", "date", "device"}
    assert with_others.pop("other_seeds") == pytest.approx(expected["other_seeds"], abs=1e-6)
    assert with_others == first


@pytest.mark.parametrize(("epochs", "rounds", "updates"), [(13.0, 13, 15), (0.467, 10, 1)])
def test_other_seeds_make_as_many_updates_as_the_record(epochs, rounds, updates):
    """Of 15 batches an epoch, whatever the budget buys here."""
    record = {"budget_minutes": 5.0, "images": 360, "batch_size": 100, "epochs": epochs}
    plan = TINY.plan_again(record)
    assert plan == {
        "budget_minutes": 5.0,
        "batch_size": 100,
        "rounds": rounds,
        "updates": updates,
        "images": 360,
    }


def test_seeds_need_a_recipe_a_record_and_a_number():
    for name, budget, seeds, message in (
        ("ring-game", None, 3, "name: got 'ring-game', expected one of vae-1"),
        ("tiny", 5, 3, "name, budget: got tiny-5min, expected those of a record"),
        ("tiny", None, 1, "seeds: got 1, expected 2 or more"),
    ):
        if seeds == 1:
            reproduce("tiny")
        with pytest.raises(ValueError, match=message):
            add_seeds(name, budget, seeds)


@pytest.mark.parametrize("n", [5, 6, 7])  # within the second epoch, at its end, after it
def test_stopped_and_resumed_equals_uninterrupted(monkeypatch, folder, n):
    whole = reproduce("tiny")
    expected = parameters("runs/tiny/checkpoint.pt")
    shutil.rmtree("runs")
    shutil.rmtree("book/records")

    monkeypatch.setitem(EXPERIMENTS, "tiny", fail_at(n))
    assert reproduce("tiny") is None
    assert not Path("book/records").exists()
    monkeypatch.setitem(EXPERIMENTS, "tiny", TINY)
    torch.manual_seed(1234)  # a fresh process has another random state
    assert result(reproduce("tiny")) == result(whole)
    assert torch.equal(parameters("runs/tiny/checkpoint.pt"), expected)


def test_a_budget_sets_the_number_of_epochs(monkeypatch):
    monkeypatch.setitem(EXPERIMENTS, "tiny", dataclasses.replace(TINY, few=30))
    record = reproduce("tiny", budget=0.03)  # 1.8 s
    assert sorted(os.listdir("book/records")) == ["models", "tiny-0.03min.json"]
    assert (record["images"], record["batch_size"]) == (30, 100)
    assert record["budget_minutes"] == 0.03
    plan = read("runs/tiny-0.03min/plan.json")
    assert record["epochs"] == pytest.approx(plan["rounds"] * plan["updates"] / 15, abs=1e-3)
    assert load_step("runs/tiny-0.03min/checkpoint.pt").t == plan["rounds"] * plan["updates"]
    monkeypatch.setattr(recipe, "seconds_per_update", None)  # the plan is made once
    assert result(reproduce("tiny", budget=0.03)) == result(record)


@pytest.mark.parametrize(
    ("seconds", "rounds", "updates"),
    [
        (0.2, 20, 15),  # 300 updates: 20 epochs of the digits' 15 batches of 100
        (1.0, 10, 6),  # 60 updates, less than ten epochs: ten rounds of a tenth
        (25.0, 2, 1),
        (700.0, 1, 1),  # more than the budget
    ],
)
def test_the_plan_divides_a_minute_by_the_time_of_an_update(
    monkeypatch, folder, seconds, rounds, updates
):
    monkeypatch.setattr(recipe, "seconds_per_update", lambda *args, **kwargs: seconds)
    plan = experiments.plan_of(TINY, 1.0, folder / "plan.json")
    trained = {"batch_size": 100, "rounds": rounds, "updates": updates}
    assert plan == {"budget_minutes": 1.0, **trained, "images": 360}
    assert read(folder / "plan.json") == plan


def test_the_schedule_divides_an_epoch_into_rounds():
    full = dataclasses.replace(TINY.full, epochs=2, parts=3)  # the three batches of an epoch
    plan = dataclasses.replace(TINY, full=full).plan(None)
    assert (plan["rounds"], plan["updates"]) == (6, 1)


def test_exact_likelihoods_are_measured_on_all_images_whatever_the_budget():
    exact = {name: recipe.few for name, recipe in RECIPES.items() if recipe.estimator == "exact"}
    assert len(exact) == 6 and set(exact.values()) == {None}
    assert RECIPES["vae-1"].few == 1000


def test_a_round_is_the_beginning_of_a_shuffle():
    """Two batches of the three, others in every round."""
    batches = data.load("digits").train.batches(500)
    first = runs.Updates(batches, 2)
    torch.manual_seed(0)
    seen = [torch.cat([x for x, _ in first]) for _ in range(2)]
    assert [len(x) for x in seen] == [1000, 1000]
    torch.manual_seed(0)
    assert torch.equal(seen[0], torch.cat([x for x, _ in list(batches)[:2]]))
    assert not torch.equal(seen[0], seen[1])
    assert [len(x) for x, _ in runs.Updates(batches, 5)] == [500, 500, 437, 500, 500]


def test_the_published_schedule_is_that_of_the_paper():
    schedule = RECIPES["iwae-50"].full
    assert (schedule.batch_size, schedule.epochs) == (20, 3280)
    rates = [schedule.rate(3000 * epoch, steps=3000 * 3280) for epoch in range(3280)]
    expected = [1e-3 * 10 ** (-i / 7) for i in range(8) for _ in range(3**i)]
    assert rates == pytest.approx(expected)


def test_the_learning_rate_reaches_the_optimiser():
    step = TINY.start(data.load("digits"), rate=lambda t: 0.1 / (1 + t))
    x = torch.ones(5, 1, 8, 8)
    for expected in (0.1, 0.05):
        assert step.learner.optimizer.param_groups[0]["lr"] == expected
        step((x,))


def test_the_model_is_the_papers():
    """784-200-200-50 and back; before training the decoder's average is the mean image."""
    dataset = data.load("digits")
    model = recipes.two_layer_vae(dataset.shape)
    recipes.start_at_mean(model, dataset)
    widths = [(m.in_features, m.out_features) for m in model.modules() if hasattr(m, "in_features")]
    assert widths == [(64, 200), (200, 200), (200, 100), (50, 200), (200, 200), (200, 64)]
    mean = dataset.train.images.mean(0).clamp(1e-3, 1 - 1e-3)
    with torch.no_grad():
        start = model.likelihood(torch.zeros(50)).mean
    torch.testing.assert_close(start, mean)


def test_a_failed_write_leaves_the_old_record(monkeypatch, folder):
    records.write(folder / "r.json", {"figure": 1})

    def full_disk(*args):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "replace", full_disk)
    with pytest.raises(OSError, match="No space"):
        records.write(folder / "r.json", {"figure": 2})
    assert read(folder / "r.json") == {"figure": 1}
    assert os.listdir(folder) == ["r.json"]


def test_bad_arguments(monkeypatch, capsys):
    with pytest.raises(ValueError, match="name: got 'flow', expected one of vae-1, .*iwae-50"):
        reproduce("flow")
    for budget in (0, -1, math.nan, math.inf):
        with pytest.raises(ValueError, match="budget: got .*, expected more than 0 minutes"):
            reproduce("tiny", budget)
    assert main("flow") == 2
    assert "choose from" in capsys.readouterr().err
    assert main("tiny", "--budget", "0") == 2
    assert "budget: got 0" in capsys.readouterr().err


def test_data_that_are_not_to_be_had(monkeypatch, capsys, folder):
    def unreachable(name, folder):
        raise RuntimeError(f"{name} cannot be downloaded: no network")

    monkeypatch.setenv("DGM_DATA", str(folder))
    monkeypatch.setattr(data._download, "load", unreachable)
    assert main("vae-1", "--budget", "1") == 2
    assert "mnist cannot be downloaded" in capsys.readouterr().err
    assert os.listdir(folder) == []


def test_the_command_prints_the_figure(capsys):
    assert main("tiny") == 0
    figure = read("book/records/tiny.json")["figure"]
    assert capsys.readouterr().out.startswith(f"tiny: {figure:.2f} ± ")


def test_a_stopped_command_says_how_to_go_on(monkeypatch, capsys):
    monkeypatch.setitem(EXPERIMENTS, "tiny", fail_at(4))
    assert main("tiny") == 1
    assert "the same command goes on" in capsys.readouterr().err


def main(*arguments):
    """The command's exit status."""
    try:
        return __main__.main(list(arguments))
    except SystemExit as stop:
        return stop.code
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("bound", [elbo, iwae])
@pytest.mark.parametrize("k", [1, 5, 50])
def test_a_recipe_maximises_what_its_name_says(bound, k):
    own = RECIPES[f"{'vae' if bound is elbo else 'iwae'}-{k}"]
    assert own.model == f"VAE 784-200-200-50, {bound.__name__.upper()}, k = {k}"
    objective = own.step((1, 8, 8), lambda t: 1e-3).objective
    assert (objective.func, objective.keywords) == (bound, {"k": k})


@pytest.mark.parametrize("name", ["made", "nade", "pixelcnn", "transformer"])
def test_autoregressive_recipes_maximise_an_exact_likelihood(name):
    """The figure is the mean of -log p(x) by the chain rule, one pixel after the other."""
    own, dataset = RECIPES[name], data.load("digits")
    torch.manual_seed(0)
    step = own.step(dataset.shape, lambda t: 1e-3)
    assert step.objective is log_likelihood
    assert own.model.lower().startswith(name) and own.estimator == "exact"
    measured = own.score(step.model, dataset, images=20)
    x = next(iter(dataset.test.batches(20, shuffle=False, binarize="fixed")))[0].flatten(1)
    log_p = torch.zeros(20)
    with torch.no_grad():
        for j, logits in zip(step.model.order, step.model.naive(x), strict=True):
            sign = 2 * x[:, j] - 1
            log_p += (sign * logits[:, 0]).sigmoid().log()
    assert measured["figure"] == pytest.approx(-log_p.mean().item(), rel=1e-4)
    assert measured["standard_error"] == pytest.approx((log_p.std() / 20**0.5).item(), rel=1e-3)


def test_decaying_rates():
    assert parts.constant_rate(10_000, 20_000) == 1e-3
    assert parts.decaying_rate(100_000, 200_000) == pytest.approx(1e-3 * math.exp(-2.3), rel=1e-3)
