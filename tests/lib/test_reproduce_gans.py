"""Recipes that are judged by their samples, on the digits: what is trained, kept and measured."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch
from torch import nn

from dgm import data, evaluate
from dgm.objectives import (
    critic_logistic,
    critic_wasserstein,
    generator_linear,
    generator_non_saturating,
)
from dgm.reproduce import (
    EXPERIMENTS,
    RECIPES,
    Schedule,
    gans,
    load,
    recipe,
    reproduce,
)
from dgm.reproduce.records import write_model

NAMES = ["gan", "gan-r1", "wgan-gp"]


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.setattr(gans, "CLASSIFIER_UPDATES", 30)
    return tmp_path


def tiny(name, epochs=2):
    """The recipe on the digits, for two epochs."""
    return dataclasses.replace(RECIPES[name], dataset="digits", full=schedule(name, epochs))


def schedule(name, epochs):
    return Schedule(RECIPES[name].full.batch_size, lambda t, steps: 1e-3, epochs)


def step_of(name, rate=lambda t: 1e-3):
    return RECIPES[name].start(data.load("digits"), rate)


@pytest.mark.parametrize("name", ["gan-r1", "vae-means"])
def test_a_run_writes_a_record_that_is_recomputed_from_its_model(monkeypatch, name):
    monkeypatch.setitem(EXPERIMENTS, "tiny", tiny(name))
    record = reproduce("tiny")
    assert (record["binarization"], record["images"], record["epochs"]) == (None, 360, 2)
    assert record == json.loads(Path("book/records/tiny.json").read_text())
    assert 0 < record["real_images"]["figure"] < record["figure"]  # two epochs teach little
    assert 0 < record["standard_error"] < record["figure"]

    model = load("tiny", Path("book/records")).model()
    again = EXPERIMENTS["tiny"].measure(model, data.load("digits"), 360)
    assert {key: record[key] for key in again} == again


def test_the_figure_is_the_distance_of_samples_to_the_test_images():
    """In percent of their variance, with the eigenvalues of a product that is not symmetric."""
    dataset, step = data.load("digits"), step_of("gan")
    measured = RECIPES["gan"].measure(step.model, dataset, images=300)
    classifier, name = gans.features_of(dataset)
    assert measured["features"] == name
    torch.manual_seed(recipe.SEED)
    evaluate.Classifier(dataset.shape, 10)  # takes its share of random numbers
    samples = classifier.features(step.model.sample(300)).double()
    assert measured["figure"] == pytest.approx(distance(samples, dataset, classifier), rel=1e-4)
    own = dataset.train.images[held_out()[:300]]
    expected = distance(classifier.features(own).double(), dataset, classifier)
    assert measured["real_images"]["figure"] == pytest.approx(expected, rel=1e-4)


def distance(a, dataset, classifier):
    b = classifier.features(dataset.test.images[:300]).double()
    product = torch.linalg.eigvals(a.T.cov() @ b.T.cov()).real.clamp(min=0)
    trace = (a.T.cov() + b.T.cov()).trace() - 2 * product.sqrt().sum()
    distance = (a.mean(0) - b.mean(0)).square().sum() + trace
    return 100 * (distance / b.var(0).sum()).item()


def held_out():
    return torch.randperm(1437, generator=torch.Generator().manual_seed(0))[:360]


def test_the_classifier_has_not_seen_the_images_that_are_held_out(monkeypatch):
    dataset = data.load("digits")
    apart, rest = gans.held_out(dataset)
    assert (len(apart), len(rest)) == (360, 1077)
    assert torch.equal(apart.x, dataset.train.x[held_out()])
    assert torch.equal(apart.y, dataset.train.y[held_out()])
    both = torch.cat([apart.x, rest.x]).flatten(1).long().sum(0)
    assert torch.equal(both, dataset.train.x.flatten(1).long().sum(0))

    seen = []
    train = evaluate.train_classifier
    monkeypatch.setattr(
        gans, "train_classifier", lambda d, *a: seen.append(d.train) or train(d, *a)
    )
    gans.features_of(dataset)
    assert torch.equal(seen[0].x, rest.x)


def test_the_classifier_is_trained_once_and_known_by_its_parameters(monkeypatch, folder):
    dataset = data.load("digits")
    classifier, name = gans.features_of(dataset)
    about = json.loads((folder / "book/records/classifiers/digits.json").read_text())
    guess = classifier(dataset.test.images).argmax(1)
    wrong = 100 * (guess != dataset.test.y).double().mean().item()
    assert about["test_error"] == pytest.approx(wrong) and 0 < wrong < 90
    assert name.endswith(f", {wrong:.2f} % errors")
    assert (about["seed"], about["updates"], about["device"]) == (0, 30, "cpu")

    monkeypatch.setattr(gans, "train_classifier", None)
    again, same = gans.features_of(dataset)
    assert same == name
    assert torch.equal(again.logits.weight, classifier.logits.weight)
    with torch.no_grad():
        again.logits.bias[0] += 1e-3
    write_model(folder / "book/records/classifiers/digits.pt", again)
    assert gans.features_of(dataset)[1].split(",")[0] != name.split(",")[0]


def test_the_games_are_what_their_names_say():
    plain, r1, wasserstein = (step_of(name) for name in NAMES)
    assert plain.critic_objective is critic_logistic
    assert (r1.critic_objective.func, r1.critic_objective.keywords) == (critic_logistic, {"r1": 1})
    assert wasserstein.critic_objective is critic_wasserstein
    own = [step.generator_objective for step in (plain, r1, wasserstein)]
    assert own == [generator_non_saturating, generator_non_saturating, generator_linear]
    assert [step.critic_steps for step in (plain, r1, wasserstein)] == [1, 1, 5]
    betas = [
        step.players["critic"].optimizer.param_groups[0]["betas"] for step in (plain, wasserstein)
    ]
    assert betas == [(0.5, 0.999), (0.0, 0.9)]
    # each update of a critic sees 64 images
    assert [RECIPES[name].short.batch_size for name in NAMES] == [64, 64, 320]


def test_the_convolutional_game_is_wgan_gp_with_fewer_weights():
    perceptrons, convolutions = (
        RECIPES[name].step((1, 28, 28), lambda t: 1e-3) for name in ("wgan-gp", "wgan-gp-conv")
    )
    assert convolutions.critic_objective is perceptrons.critic_objective
    assert convolutions.generator_objective is perceptrons.generator_objective
    assert convolutions.critic_steps == 3
    assert any(isinstance(layer, nn.ConvTranspose2d) for layer in convolutions.generator.modules())
    pair = [
        [sum(p.numel() for p in who.parameters()) for who in (s.generator, s.critic)]
        for s in (perceptrons, convolutions)
    ]
    assert pair == [[207984, 197401], [77777, 24321]]


def test_both_players_follow_the_learning_rate_and_the_average_is_measured():
    step = step_of("gan", rate=lambda t: 0.01 / (1 + t))
    x = torch.rand(8, 1, 8, 8)
    for expected in (0.01, 0.005):
        for player in step.players.values():
            assert player.learning_rates() == [expected]
        step((x,))
    assert step.model is step.average


def test_one_image_over_and_over_is_a_hundred_percent_away_or_more():
    """d^2 is then the squared distance to the mean of the features, plus their whole variance."""
    dataset, constant = data.load("digits"), torch.full((1, 8, 8), 0.3)
    measured = gans.distance_of_samples(
        None, dataset, 300, lambda _, n: constant.expand(n, 1, 8, 8)
    )
    classifier, _ = gans.features_of(dataset)
    test = classifier.features(dataset.test.images[:300])
    off = (classifier.features(constant[None]) - test.mean(0)).square().sum() / test.var(0).sum()
    assert measured["figure"] == pytest.approx(100 + 100 * off.item(), rel=1e-4)


def test_what_stands_for_a_vae_are_the_means_of_its_likelihood():
    model = step_of("vae-means").model
    torch.manual_seed(0)
    z = model.prior().sample((3,))
    torch.manual_seed(0)
    assert torch.equal(gans.means(model, 3), model.likelihood(z).mean)
    assert RECIPES["vae-means"].score.keywords == {"draw": gans.means}


def test_a_stopped_game_goes_on_as_if_it_had_not_been_stopped(monkeypatch, folder):
    uncut = tiny("gan-r1")
    monkeypatch.setitem(EXPERIMENTS, "tiny", uncut)
    whole = reproduce("tiny")
    shutil.rmtree("runs")

    def interrupted(shape, rate):
        def until(t):
            if t == 25:  # of 2 times 23 updates
                raise KeyboardInterrupt
            return rate(t)

        return uncut.step(shape, until)

    monkeypatch.setitem(EXPERIMENTS, "tiny", dataclasses.replace(uncut, step=interrupted))
    assert reproduce("tiny") is None
    monkeypatch.setitem(EXPERIMENTS, "tiny", uncut)
    torch.manual_seed(99)
    again = reproduce("tiny")
    assert (again["figure"], again["standard_error"]) == (whole["figure"], whole["standard_error"])
