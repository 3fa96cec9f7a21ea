"""Recorded energies and scores: what is measured of them, on the digits."""

import dataclasses

import pytest
import torch

from dgm import data
from dgm.models import RBM
from dgm.reproduce import energies
from dgm.reproduce.energies import boltzmann, score_network
from dgm.reproduce.records import unpacked


def test_a_boltzmann_machine_is_counted_as_by_enumeration(monkeypatch):
    monkeypatch.setattr(energies, "STOPS", 100)
    monkeypatch.setattr(energies, "GIBBS", 50)
    dataset = data.load("digits", device="cpu")
    recipe = dataclasses.replace(boltzmann(6, epochs=1, renew=0.0), dataset="digits")
    model = recipe.start(dataset, lambda t: 0.1).model
    model.weight.data.normal_(std=0.3)  # so weak that 50 steps of Gibbs lead to draws
    found, exact = recipe.measure(model, dataset, 200), model.log_partition().item()
    log_z = found["log_z"]
    assert log_z["estimate"] == pytest.approx(exact, abs=0.05)
    assert log_z["low"] - 3 * log_z["low_error"] < exact < log_z["high"] + 3 * log_z["high_error"]
    assert log_z["low"] < log_z["estimate"]
    x = next(iter(dataset.test.batches(200, False, binarize="fixed")))[0]
    log_p = -model.energy(x) - log_z["estimate"]
    assert found["figure"] == pytest.approx(-log_p.mean().item(), abs=1e-4)
    assert found["standard_error"] == pytest.approx(log_p.std().item() / 200**0.5, rel=1e-4)
    for name in ("from_rates", "from_coins"):
        assert unpacked(found[name], (1, 8, 8)).unique().tolist() == [0, 1]


def test_a_boltzmann_machine_begins_at_the_rates_of_the_data():
    dataset = data.load("digits", device="cpu")
    model = RBM(dataset.shape, hidden=3)
    energies.start_at_mean(model, dataset)
    rates = dataset.train.images.mean(0).flatten().clamp(1e-3, 1 - 1e-3)
    assert torch.allclose(model.visible_bias.sigmoid(), rates, atol=1e-5)


def test_a_score_network_is_pictured_and_compared(monkeypatch):
    dataset = data.load("digits", device="cpu")
    monkeypatch.setattr(energies, "COMPARED", 5)
    monkeypatch.setattr(energies, "distance_of_samples", lambda *args: {"figure": 1.0})
    model = score_network(4, epochs=1).start(dataset, lambda t: 1e-3).model
    found = energies.pictured(model, dataset, 360)
    shape = (len(found["sigmas"]), energies.PICTURED, 1, 8, 8)
    assert unpacked(found["along"], (1, 8, 8)).reshape(shape).max() == 1
    assert found["sigmas"][0] > found["sigmas"][-1] and len(found["sigmas"]) == 7
    train, last = dataset.train.images, unpacked(found["along"], (1, 8, 8))[-energies.PICTURED :]
    other = unpacked(found["nearest"], (1, 8, 8))
    assert all((train - image).flatten(1).norm(dim=1).min() < 0.1 for image in other)
    for image, near in zip(last, other, strict=True):
        assert (image - near).norm() <= (train - image).flatten(1).norm(dim=1).min() + 0.1
    test = dataset.test.images[:5].flatten(1)
    nearest = (test[:, None] - train.flatten(1)).norm(dim=2).min(1).values
    assert found["test_to_nearest"] == pytest.approx(nearest.mean().item(), rel=1e-4)
