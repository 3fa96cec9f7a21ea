"""Recorded convolutional models: what is measured and kept, on the digits and untrained."""

import dataclasses

import pytest
import torch

from dgm import data
from dgm.evaluate import importance_weighted
from dgm.models import MADE
from dgm.objectives import elbo
from dgm.reproduce import EXPERIMENTS, at_scale
from dgm.reproduce.at_scale import AT_SCALE
from dgm.reproduce.parts import likelihoods_and_images
from dgm.reproduce.records import packed, unpacked


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", device="cpu")


def start(name, digits):
    return AT_SCALE[name].start(digits, lambda t: 1e-3).model


def test_images_come_back_as_they_were(digits):
    """Grey ones in 256 levels, binary ones as 0 and 1."""
    images = (digits.test.images * 255).round() / 255
    assert torch.equal(unpacked(packed(images), digits.shape), images)
    binary = (images > 0.5).float()
    assert torch.equal(unpacked(packed(binary), [*digits.shape]), binary)


def test_a_likelihood_keeps_one_binary_image_of_each_class(digits):
    model = MADE(digits.shape, hidden=(8,))
    measured = likelihoods_and_images(model, digits, images=30)
    examples = unpacked(measured["examples"], digits.shape)
    x, y = next(iter(digits.test.batches(1000, shuffle=False, binarize="fixed")))
    firsts = torch.stack([x[y == label][0] for label in range(10)])
    assert torch.equal(examples, firsts)
    with torch.no_grad():
        own = -model.log_prob(x)
    torch.testing.assert_close(torch.tensor(measured["nats"]), own, rtol=0, atol=6e-4)


def test_a_vae_is_measured_by_its_bound_and_its_estimate(digits, monkeypatch):
    monkeypatch.setattr(at_scale, "DRAWS", 7)
    model = start("conv-vae", digits)
    measured = AT_SCALE["conv-vae"].measure(model, digits, images=30)
    x = next(iter(digits.test.batches(30, shuffle=False, binarize="fixed")))[0]
    torch.manual_seed(0)
    bound = elbo(model, x).mean().item()
    assert measured["rate"] + measured["distortion"] == pytest.approx(-bound, rel=1e-5)
    torch.manual_seed(1)
    again = -importance_weighted(model, x, k=7)
    spread = 5 * again.std().item() / 30**0.5
    assert measured["figure"] == pytest.approx(again.mean().item(), abs=spread)
    assert measured["standard_error"] == pytest.approx(again.std().item() / 30**0.5, rel=0.5)


def test_an_autoencoder_is_measured_by_its_squared_error(digits):
    model = start("conv-autoencoder", digits)
    measured = AT_SCALE["conv-autoencoder"].measure(model, digits, images=30)
    x = digits.test.images[:30]
    with torch.no_grad():
        errors = (model(x) - x).square().sum((1, 2, 3))
    assert measured["figure"] == pytest.approx(errors.mean().item(), rel=1e-5)


def test_a_record_keeps_codes_labels_and_a_few_images(digits, monkeypatch):
    monkeypatch.setattr(at_scale, "CODES", 25)
    model = start("conv-autoencoder", digits)
    measured = AT_SCALE["conv-autoencoder"].measure(model, digits, images=30)
    with torch.no_grad():
        codes = model.encode(digits.test.images[:25])
    torch.testing.assert_close(torch.tensor(measured["codes"]), codes, rtol=0, atol=0.0051)
    assert measured["labels"] == digits.test.y[:25].tolist()
    first = (255 * digits.test.images[:20]).round() / 255
    assert torch.equal(unpacked(measured["examples"], digits.shape), first)


def test_the_plan_is_that_of_a_recipe_for_1000_images():
    for name, updates in (("conv-vae", 6), ("conv-vae-plane", 2), ("conv-autoencoder", 2)):
        recipe = dataclasses.replace(EXPERIMENTS[name], dataset="digits")
        plan = recipe.plan(None)
        assert (plan["images"], plan["rounds"], plan["batch_size"]) == (1000, updates, 64)


def test_their_records_stand_apart_from_the_scoreboards():
    assert {recipe.folder for recipe in AT_SCALE.values()} == {"at-scale"}
