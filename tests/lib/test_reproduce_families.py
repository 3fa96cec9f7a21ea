"""The final comparison: that each family starts, and what is measured of each."""

from functools import partial

import pytest
import torch

from dgm import data, evaluate
from dgm.reproduce import families

pytestmark = pytest.mark.usefixtures("cpu")

NAMES = ["PixelCNN", "MADE", "VAE", "flow", "diffusion", "GAN"]
SAID = {"GAN": None, "VAE": "estimate", "flow": "estimate", "diffusion": "bound"}


@pytest.fixture
def digits(monkeypatch):
    """The data, and a classifier that is not the one of the records."""
    dataset = data.load("digits", device="cpu")
    classifier = evaluate.Classifier(dataset.shape, 10).requires_grad_(False)
    monkeypatch.setattr(families, "features_of", lambda _: (classifier, "fresh"))
    monkeypatch.setattr(families, "classifier_test", partial(evaluate.classifier_test, trees=3))
    return dataset


def test_families_have_one_table():
    for study in families.FAMILIES.values():
        assert [*study.settings] == NAMES
        assert study.every == study.updates  # measured at the end alone


@pytest.mark.parametrize("name", NAMES)
def test_each_family_takes_a_step_and_is_measured(name, digits, monkeypatch):
    monkeypatch.setattr(families, "DRAWS", 2)
    study = families.families("digits", levels=17, updates=10)
    step = study.start(name, 0, digits.shape)
    step(next(iter(study.batches(digits))))
    found = families.judged(study.kept(step), digits, images=12)
    bits = [metric for metric in found if metric.startswith("bits")]
    kind = SAID.get(name, "exact")
    expected = [f"bits per dimension, {kind}", f"bits per dimension, {kind}, error"]
    assert bits == ([] if kind is None else expected)
    measures = {m for m in found if f"{m}, error" in found}
    assert len(measures) == 8 + (kind is not None)
    assert found["parameters"] == sum(p.numel() for p in study.kept(step).parameters())
    assert all(isinstance(v, int | float) for v in found.values())


class Copies:
    """A generator that draws training images, and knows no likelihood."""

    def __init__(self, images):
        self.images = images

    def sample(self, n):
        return self.images[:n]

    def parameters(self):
        return iter(())


def test_measures_are_those_of_copies(digits):
    found = families.judged(Copies(digits.train.images), digits, images=100)
    assert found["nearer to the training set"] == pytest.approx(1)
    assert found["nearer to the training set, error"] == pytest.approx((201 / 120_000) ** 0.5)
    assert found["accuracy of a forest"] == pytest.approx(0.5, abs=4 * 0.5 / 200**0.5)
    assert not any(metric.startswith("bits") for metric in found)


def test_the_nats_of_a_tractable_model_are_exact(digits):
    model, x = families.MADE(digits.shape, levels=17, hidden=8), digits.test.images[:130]
    kind, nats = families.nats_of(model, x, 17)
    assert kind == "exact"
    torch.testing.assert_close(nats, model.log_prob(x))
