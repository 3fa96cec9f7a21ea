"""The final comparison: that each family starts, and what is measured of each."""

import dataclasses
import json
import math
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import distributions as D

from dgm import data, evaluate
from dgm.models import MADE, PPCA, VQVAE, Codebook, GaussianMixture
from dgm.reproduce import EXPERIMENTS, families, judging, load, reproduce
from dgm.reproduce.families import FAMILIES, NEAREST, TRAINING
from dgm.reproduce.grey_levels import (
    IndependentPixels,
    Rounded,
    RoundedNormal,
    RoundedPixels,
    to_level,
)
from dgm.reproduce.judging import BITS, FOREST, MILLISECONDS, NEARER, SECONDS

STUDY = FAMILIES["families-digits"]
# all but the updates and what is averaged over is as in the record
TINY = dataclasses.replace(STUDY, updates=3 * families.ROUNDS, images=12, shown=2)
SAMPLED = {
    "Fréchet distance",
    "KID",
    "precision",
    "recall",
    "density",
    "coverage",
    FOREST,
    NEARER,
    MILLISECONDS,
}


@pytest.fixture(autouse=True)
def digits(monkeypatch, tmp_path):
    """The data, and a classifier that is not the one of the records."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    dataset = data.load("digits", device="cpu")
    torch.manual_seed(0)
    classifier = evaluate.Classifier(dataset.shape, 10).requires_grad_(False)
    for module in (families, judging):
        monkeypatch.setattr(module, "features_of", lambda _: (classifier, "fresh"))
    monkeypatch.setattr(judging, "TREES", 3)
    return dataset


def test_both_data_sets_have_one_table():
    names = [[*study.families] for study in FAMILIES.values()]
    assert names[0] == names[1]
    for study in FAMILIES.values():
        assert {f.kind for f in study.families.values()} == {"exact", "estimate", "bound", None}
        assert all((f.nats is None) == (f.kind is None) for f in study.families.values())
        assert study.updates % (3 * families.ROUNDS) == 0


@pytest.mark.parametrize("name", [*STUDY.families])
def test_each_family_takes_a_step_and_is_measured(name, digits, monkeypatch):
    """Of all codes only those of a search, which take less."""
    if name == "VQ-VAE":
        monkeypatch.setattr(
            families, "sum_codes", lambda model, x, chunk: evaluate.search_codes(model, x, 5)
        )
    model, course = TINY.train(name, 0, digits, rounds=1)
    outcome = TINY.measure(name, 0, model, digits)
    family, found = TINY.families[name], outcome["measures"]
    scored = set() if family.kind is None else {BITS, *family.more}
    assert set(found) == SAMPLED | scored
    assert all(math.isfinite(value) and error >= 0 for value, error in found.values())
    if family.kind:
        assert len(outcome["bits"]) == 12
        assert found[BITS][0] == pytest.approx(sum(outcome["bits"]) / 12, abs=1e-4)
    assert outcome["parameters"] == sum(p.numel() for p in model.parameters())
    assert bool(course.histories) == (family.trained or name == "mixture")
    if name != TRAINING:
        state = model.state_dict()
        untrained = TINY.untrained(digits.shape, name).state_dict()
        assert {k: v.shape for k, v in state.items()} == {k: v.shape for k, v in untrained.items()}


def test_seeds_are_other_networks_and_measuring_does_not_move_them(digits):
    """A fixed seed for the draws between two trainings would make them equal."""
    models = {}
    for measuring in (False, True):
        for seed in (0, 1):
            model, _ = TINY.train("MADE", seed, digits, rounds=1)
            models[measuring, seed] = torch.cat([p.flatten() for p in model.parameters()])
            if measuring:
                state = torch.get_rng_state()
                TINY.measure("MADE", seed, model, digits)
                assert torch.equal(torch.get_rng_state(), state)
    for seed in (0, 1):
        assert torch.equal(models[False, seed], models[True, seed])
    assert not torch.equal(models[True, 0], models[True, 1])


def test_the_round_is_chosen_by_images_that_no_step_sees(digits):
    """The network is the one of the best round, trained no further."""
    divided, held_back = STUDY.divided(digits)
    assert len(divided.train) == 1437 - 144 and torch.equal(divided.test.x, digits.test.x)
    assert torch.equal(torch.cat([divided.train.images, held_back]), digits.train.images)
    # a rate at which a small network of so many parameters soon gets worse
    build = partial(MADE, levels=17, hidden=(100,))
    small = divided.train.select(torch.arange(64))
    few = dataclasses.replace(divided, train=small)
    course = families.Course(10 * families.ROUNDS, 64, held_back)
    torch.manual_seed(0)
    model = families.by_gradient(build, families.log_likelihood, 3e-2, few, course)
    scores = course.histories[0]["held back"]
    best = max(range(families.ROUNDS), key=scores.__getitem__)
    assert best < families.ROUNDS - 1
    assert model.log_prob(held_back).mean().item() == pytest.approx(scores[best], rel=1e-5)


@pytest.fixture
def few(monkeypatch):
    """A comparison of three families, as an experiment."""
    some = {name: STUDY.families[name] for name in ("MADE", "mixture", "GAN", TRAINING)}
    small = dataclasses.replace(TINY, families=some, seeds=2, keeps=("mixture",))
    monkeypatch.setitem(EXPERIMENTS, "tiny", small)
    return small


def test_a_record_has_a_line_for_each_family(few, digits, monkeypatch):
    """And what was measured is not trained again."""
    written = reproduce("tiny")
    record = load("tiny", Path("book/records"))
    assert record.content == json.loads(json.dumps(written))
    assert record.settings == ["MADE", "mixture", "GAN", TRAINING]
    lines = record["settings"]
    assert [lines[name]["kind"] for name in record.settings] == ["exact", "exact", None, None]
    assert [lines[name]["updates"] for name in record.settings] == [60, 0, 60, 0]
    best = lines["MADE"]["paired"]["to"]
    assert lines[best]["paired"]["difference"] == 0 and "paired" not in lines["GAN"]
    for name in ("MADE", "mixture"):
        line = lines[name]
        bits = line["measures"][BITS]
        assert bits["mean"] == pytest.approx(line["spread"]["mean"], abs=1e-4)
        assert bits["values"][0] == pytest.approx(sum(line["bits by image"]) / 12, abs=1e-4)
        difference = line["spread"]["mean"] - lines[best]["spread"]["mean"]
        assert line["paired"]["difference"] == pytest.approx(difference, abs=1e-3)
    assert len(lines["MADE"]["curves"]["objective"]) == 2
    assert len(lines["MADE"]["curves"]["objective"][0]) == families.ROUNDS
    assert [*lines["GAN"]["curves"]] == ["critic", "generator"]
    for curve, best in zip(
        lines["MADE"]["curves"]["held back"], lines["MADE"]["rounds"], strict=True
    ):
        assert curve[best - 1] == max(curve)
    assert lines["GAN"]["rounds"] == [None, None]
    for line in lines.values():
        assert line["measures"][SECONDS]["mean"] >= 0
        assert families.packed(torch.zeros(2, 1, 8, 8)).__len__() == len(line["drawn"])
    again = few.measure("mixture", 0, record.model("mixture"), digits)["measures"]
    for metric in SAMPLED - {MILLISECONDS} | {BITS}:
        value = lines["mixture"]["measures"][metric]["values"][0]
        assert again[metric][0] == pytest.approx(value, rel=1e-4, abs=1e-5), metric
    assert "tiny" in few.summary(written) and NEARER in few.summary(written)

    def no(*_):
        raise AssertionError("trained again")

    monkeypatch.setattr(families.Families, "train", no)
    Path("book/records/tiny.json").unlink()
    assert reproduce("tiny")["settings"] == json.loads(json.dumps(written["settings"]))


def test_a_budget_of_minutes_is_refused():
    with pytest.raises(ValueError, match="budget: got 5, expected none: it is 60 updates"):
        TINY.plan(5.0)


# ---------------------------------------------------------------- what is measured


def test_measures_of_copies(digits):
    """Of all training images: a forest cannot tell them, and nothing is nearer."""
    model = families.Remembered(digits.train.images)
    torch.manual_seed(0)
    found, fake = judging.judged(model.sample, digits, images=100)
    assert len(fake.unique(dim=0)) == 100
    assert found[NEARER] == pytest.approx((1.0, (201 / 120_000) ** 0.5))
    assert found[FOREST][0] == pytest.approx(0.5, abs=4 * found[FOREST][1])
    assert found["precision"][0] > 0.9 and found["recall"][0] > 0.9


def test_nearer_is_copying(digits):
    """Looking at neighbours alone changes nothing."""
    train, test = digits.train.images, digits.test.images[:50]
    torch.manual_seed(0)
    samples = (train[:40] + 0.2 * torch.randn(40, 1, 8, 8)).clamp(0, 1)
    value, error = judging.nearer(samples, train, test)
    assert value == pytest.approx(evaluate.copying(samples, train, test)[0])
    assert error == pytest.approx((91 / (12 * 40 * 50)) ** 0.5)


def test_test_images_are_taken_evenly(digits):
    assert torch.equal(judging.compared_images(digits, 360), digits.test.images)
    assert torch.equal(judging.compared_images(digits, 7), digits.test.images[::51][:7])


def test_bits_of_a_tractable_model_are_exact(digits):
    model = MADE(digits.shape, levels=17, hidden=8)
    each = judging.bits(families.exact, model, digits, 130)
    nats = model.log_prob(judging.compared_images(digits, 130))
    torch.testing.assert_close(each, -nats / (64 * math.log(2)))


def test_the_code_that_the_encoder_chooses_is_a_part_of_the_sum():
    """By enumeration, of two symbols of three."""
    torch.manual_seed(0)
    prior = MADE((2,), levels=3, hidden=5)
    for parameter in prior.parameters():
        parameter.data.normal_()
    model = VQVAE.mlp((1, 2, 2), symbols=2, quantiser=Codebook(3), hidden=(9,)).with_prior(prior)
    x = torch.bernoulli(torch.full((6, 1, 2, 2), 0.5))
    eye = torch.eye(3)
    pairs = [(i, j) for i in range(3) for j in range(3)]
    codes = torch.stack([eye[[i, j]] for i, j in pairs])  # (9, 2, 3)
    joint = torch.stack(
        [model.likelihood(z.expand(6, 2, 3)).log_prob(x) + model.prior().log_prob(z) for z in codes]
    )
    torch.testing.assert_close(families.all_codes(model, x), joint.logsumexp(0))
    chosen = [pairs.index(tuple(k)) for k in model.codes(x).tolist()]
    torch.testing.assert_close(families.one_code(model, x), joint[chosen, torch.arange(6)])
    assert NEAREST in STUDY.families["VQ-VAE"].more


# ---------------------------------------------------------------- grey levels by rounding


def test_a_rounded_normal_has_the_shares_of_rounded_draws():
    mean, sigma = torch.tensor([0.1, 0.5, 1.3]), torch.tensor([0.05, 0.3, 0.2])
    p = RoundedNormal(mean, sigma, levels=5)
    x = torch.linspace(0, 1, 5)[:, None]
    log_p = p.log_prob(x.expand(5, 3))
    torch.testing.assert_close(log_p.exp().sum(0), torch.ones(3))
    torch.manual_seed(0)
    drawn = D.Normal(mean, sigma).sample((100_000,))
    shares = (to_level(drawn, 5)[:, None] == x).double().mean(0)
    assert (shares - log_p.exp()).abs().max() < 4 * 0.5 / 100_000**0.5
    assert set(p.sample((50,)).unique().tolist()) <= set(x.flatten().tolist())


def test_a_rounded_normal_keeps_its_digits_far_away():
    """Twenty deviations from the mean on either side: against scipy, and with a gradient."""
    from scipy.stats import norm

    x = torch.tensor([0.0, 51 / 255, 1.0])
    low, high = (
        torch.tensor(v) for v in ([-9.0, 50.5 / 255, 254.5 / 255], [0.5 / 255, 51.5 / 255, 9])
    )
    for mean, tail, sign in ((0.0, norm.sf, 1), (1.0, norm.cdf, -1)):
        m = torch.tensor(mean, requires_grad=True)
        log_p = RoundedNormal(m, torch.tensor(0.05), levels=256).log_prob(x)
        a, b = (((v.double() - mean) / 0.05).numpy() for v in (low, high))
        expected = torch.as_tensor(sign * (tail(a) - tail(b))).log()
        torch.testing.assert_close(log_p.double(), expected, rtol=1e-3, atol=1e-3)
        log_p.sum().backward()
        assert m.grad.isfinite()


@pytest.mark.parametrize("build", [PPCA, partial(GaussianMixture, covariance="diagonal")])
def test_rounded_models_sum_to_one(build):
    """Over all images of two pixels of three levels."""
    torch.manual_seed(0)
    model = Rounded(build((1, 1, 2)), levels=3)
    x = torch.cartesian_prod(*[torch.linspace(0, 1, 3)] * 2).reshape(9, 1, 1, 2)
    if isinstance(model.model, PPCA):
        z = model.prior().sample((200_000,))
        p = torch.stack([model.likelihood(z).log_prob(image).exp().mean() for image in x])
        weighted = evaluate.importance_weighted(model, x, k=20_000, chunk=20_000).exp()
        assert (weighted - p).abs().max() < 0.03
    else:
        p = families.all_codes(model, x).exp()
    assert p.sum().item() == pytest.approx(1, abs=1e-3)
    drawn = model.sample(20_000)
    shares = torch.stack([(drawn == image).flatten(1).all(1).double().mean() for image in x])
    assert (shares - p).abs().max() < 4 * 0.5 / 20_000**0.5 + 0.002


def test_pixels_are_counted(digits):
    model = IndependentPixels(digits.shape, 17).fit(digits.train.images)
    x, i = digits.test.images[:3], digits.test.x[:3].long()
    expected = torch.zeros(3)
    for n in range(3):
        for row in range(8):
            for column in range(8):
                seen = (digits.train.x[:, 0, row, column] == i[n, 0, row, column]).sum()
                expected[n] += ((seen + 1) / (1437 + 17)).log()
    torch.testing.assert_close(model.log_prob(x), expected)
    assert model.sample(5).shape == (5, 1, 8, 8)


def test_rounded_pixels_are_a_head():
    head = RoundedPixels(6, (1, 2, 2), levels=4)
    p = head(torch.randn(5, 6))
    assert p.batch_shape == (5,) and p.event_shape == (1, 2, 2)
    assert set((3 * p.sample()).round().unique().tolist()) <= {0.0, 1.0, 2.0, 3.0}
