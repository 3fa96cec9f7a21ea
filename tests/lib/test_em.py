"""em_step: monotone under fit, resumed bit for bit, and honest about what it needs."""

import pytest
import torch

from dgm.models import PPCA, RBM, BernoulliMixture, GaussianMixture
from dgm.train import em_step, fit, load_checkpoint

pytestmark = pytest.mark.usefixtures("cpu")

MODELS = {
    "PPCA": lambda: PPCA((1, 2, 4), latent=2),
    "full": lambda: GaussianMixture((1, 2, 4), components=3),
    "diagonal": lambda: GaussianMixture((1, 2, 4), components=3, covariance="diagonal"),
    "spherical": lambda: GaussianMixture((1, 2, 4), components=3, covariance="spherical"),
    "bernoulli": lambda: BernoulliMixture((1, 2, 4), components=3),
}


@pytest.fixture
def cpu(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    torch.manual_seed(0)


@pytest.fixture
def x():
    p = torch.rand(3, 8).repeat_interleave(40, 0).unflatten(1, (1, 2, 4))
    return torch.bernoulli(p)


def new_step(name, x, seed=1):
    torch.manual_seed(seed)
    model = MODELS[name]().double().initialize(x.double())
    return em_step(model)


def parameters(step):
    return torch.cat([p.detach().flatten() for p in step.model.parameters()])


@pytest.mark.parametrize("name", MODELS)
def test_fit_is_monotone(name, x):
    step = new_step(name, x)
    history = fit(step, [(x.double(),)], epochs=15, progress=False)
    gains = torch.tensor(history["objective"]).diff()
    assert (gains > -1e-9).all()
    assert gains[0] > 1e-3
    assert step.t == 15


def test_the_objective_is_that_before_the_update(x):
    step = new_step("bernoulli", x)
    before = step.model.log_prob(x.double()).mean()
    metrics = step((x.double(), torch.zeros(len(x))))  # labels are not used
    assert list(metrics) == ["objective"]
    assert torch.equal(metrics["objective"], before.detach())
    assert not metrics["objective"].requires_grad
    assert step.model.log_prob(x.double()).mean() > before


def test_a_step_is_e_then_m(x):
    step, by_hand = new_step("full", x), new_step("full", x).model
    step((x.double(),))
    by_hand.m_step(x.double(), by_hand.posterior(x.double()))
    assert torch.equal(
        parameters(step), torch.cat([p.detach().flatten() for p in by_hand.parameters()])
    )


@pytest.mark.parametrize("name", MODELS)
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, x, name):
    batches = [(x.double(),)]
    whole = new_step(name, x)
    expected = fit(whole, batches, epochs=6, progress=False)

    file = tmp_path / "run.pt"
    fit(new_step(name, x), batches, epochs=4, checkpoint=file, progress=False)
    again = new_step(name, x, seed=99)  # another start, which the checkpoint replaces
    history = fit(again, batches, epochs=6, checkpoint=file, progress=False)
    assert torch.equal(parameters(again), parameters(whole))
    assert history.metrics == expected.metrics
    assert again.t == whole.t == 6


def test_a_checkpoint_restores_the_random_state(tmp_path, x):
    step, file = new_step("bernoulli", x), tmp_path / "run.pt"
    fit(step, [(x.double(),)], epochs=1, checkpoint=file, progress=False)
    expected = step.model.sample(5)
    torch.manual_seed(1234)
    load_checkpoint(file, step)
    assert torch.equal(step.model.sample(5), expected)


def test_a_checkpoint_of_another_model(tmp_path, x):
    file = tmp_path / "run.pt"
    fit(new_step("bernoulli", x), [(x.double(),)], epochs=1, checkpoint=file, progress=False)
    with pytest.raises(ValueError, match="belongs to another model"):
        load_checkpoint(file, new_step("full", x))


def test_fit_checks_the_data(x):
    with pytest.raises(ValueError, match="outside the support"):
        fit(new_step("bernoulli", x), [(0.5 * x.double(),)], epochs=1, progress=False)
    with pytest.raises(ValueError, match="not finite"):
        fit(new_step("full", x), [(x.double() / 0,)], epochs=1, progress=False)


def test_a_model_without_an_m_step():
    with pytest.raises(ValueError, match="model: got RBM, expected e_step and m_step"):
        em_step(RBM((4,)))
