"""The recipe of a flow of codes, on the digits."""

import pytest
import torch

from dgm import data
from dgm.models import VAE
from dgm.reproduce import EXPERIMENTS, gans, latent_flow


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    monkeypatch.setattr(gans, "CLASSIFIER_UPDATES", 30)
    monkeypatch.setattr(latent_flow, "UPDATES", 3)


def test_what_is_measured():
    dataset = data.load("digits")
    step = EXPERIMENTS["latent-flow"].start(dataset, lambda t: 1e-3)
    assert isinstance(step.model, VAE) and step.model.prior().event_shape == (16,)
    torch.manual_seed(0)
    found = latent_flow.with_flow(step.model, dataset, 60)
    for distance in (found, found["prior"], found["codes"]):
        assert distance["figure"] > distance["real_images"]["figure"] > 0
    assert len(found["deviation_of_codes"]) == 16 and found["rate"] > 0
    saved, error = found["saved"]
    assert error > 0 and abs(saved) < 20


def test_the_flow_learns_the_size_and_the_place_of_codes(monkeypatch):
    monkeypatch.setattr(latent_flow, "UPDATES", 150)
    torch.manual_seed(0)
    flow = latent_flow.flow_of(3 + 0.2 * torch.randn(2000, 2))
    z = flow.sample(2000)
    assert z.mean().item() == pytest.approx(3, abs=0.05) and z.std().item() == pytest.approx(
        0.2, abs=0.03
    )
    assert not any(p.requires_grad for p in flow.parameters())


def test_the_weight_of_the_rate_is_in_the_objective():
    dataset = data.load("digits")
    x = dataset.test.images[:5]
    steps = [
        EXPERIMENTS[name].start(dataset, lambda t: 1e-3)
        for name in ("latent-flow", "latent-flow-sharp")
    ]
    values = []
    for step in steps:
        torch.manual_seed(0)
        values.append(step.objective(step.model, x))
    model = steps[0].model
    q, p = model.posterior(x), model.prior()
    rate = torch.distributions.kl_divergence(q, p)
    torch.testing.assert_close(values[1] - values[0], 0.9 * rate, rtol=1e-3, atol=1e-3)
