"""em_step: monotone under fit, resumed bit for bit, and honest about what it needs."""

import pytest
import torch
from torch.distributions import MultivariateNormal

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


# What rounding takes away in a step, as a share of the largest mean log-likelihood of the run.
# Measured over ten starts of each case: 1.4e-7 in float32, 8e-12 in float64. (With sums in float32
# EM fell by 0.3 of it, or Cholesky failed.)
ROUNDING = {torch.float32: 2e-6, torch.float64: 1e-10}


def clusters(rank, scale, dtype, offset=0.0):
    """150 points of three clusters in R^6, in a subspace of this dimension that lies askew."""
    centres = 3 * torch.randn(3, rank, dtype=torch.float64).repeat(50, 1)
    z = centres + torch.randn(150, rank, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    return (scale * (z @ rotation[:rank] + offset)).to(dtype)


@torch.no_grad()
def largest_fall(model, x, starts, steps=30):
    """Of the mean log-likelihood in any step from any start, as a share of its largest value."""
    model = model.to(x.dtype)
    values = torch.zeros(starts, steps, dtype=torch.float64)
    for start in range(starts):
        model.initialize(x)
        for t in range(steps):
            values[start, t] = model.log_prob(x).mean()
            model.m_step(x, model.e_step(x))
    assert values.isfinite().all()
    return float(-values.diff().min() / values.abs().max())


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("rank", [6, 3])
@pytest.mark.parametrize("scale", [1e-2, 1, 100])
@pytest.mark.parametrize("kind", ["full", "diagonal", "spherical"])
def test_em_of_mixtures_does_not_fall_by_more_than_rounding(kind, scale, rank, dtype):
    x = clusters(rank, scale, dtype)
    starts = 3 if (kind, rank) == ("full", 3) else 1  # three where it fell
    assert largest_fall(GaussianMixture((6,), 3, kind), x, starts) < ROUNDING[dtype]


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("scale", [1e-2, 1, 100])
@pytest.mark.parametrize("latent", [2, 3, 4, 6])  # below, at and above the data's rank
def test_em_of_ppca_does_not_fall_by_more_than_rounding(latent, scale, dtype):
    x = clusters(3, scale, dtype)
    assert largest_fall(PPCA((6,), latent), x, starts=2) < ROUNDING[dtype]


@pytest.mark.parametrize("model", [PPCA((6,), 4), GaussianMixture((6,), 3)], ids=["ppca", "full"])
def test_em_of_data_far_from_the_origin(model):
    """In float32 a mean of 10^3 is known to 3e-5, a third of a hundredth of sigma."""
    x = clusters(3, 1, torch.float32, offset=1000)
    assert largest_fall(model, x, starts=1) < 1e-4


@pytest.mark.parametrize("dtype", ROUNDING)
def test_em_of_bernoullis_with_constant_pixels(dtype):
    """Always off, always on: the floor, at which EM still rises."""
    p = torch.tensor([[0.0, 1.0, 0.2, 0.7, 0.9, 0.0], [0.0, 1.0, 0.8, 0.1, 0.4, 0.0]])
    x = torch.bernoulli(p.repeat(50, 1)).to(dtype)
    assert largest_fall(BernoulliMixture((6,), 3), x, starts=1) < ROUNDING[dtype]


def test_a_model_without_an_m_step():
    with pytest.raises(ValueError, match="model: got RBM, expected e_step and m_step"):
        em_step(RBM((4,)))


# ---------------------------------------------------------------- what the floors leave alone


@pytest.mark.parametrize(
    ("dtype", "scales"),
    [(torch.float32, [3e5, 1.0, 1e-2]), (torch.float64, [1e6, 1.0, 1e-3]), (torch.float32, [1.0])],
)
def test_coordinates_of_other_units_are_fitted_exactly(dtype, scales):
    """No digit of L is lost between columns in metres and in millimetres; PPCA loses none in W."""
    torch.manual_seed(0)
    x = (torch.randn(500, len(scales), dtype=torch.float64) * torch.tensor(scales)).to(dtype)
    exact = x.double()
    centred = exact - exact.mean(0)
    covariance = centred.T @ centred / len(x)
    best = MultivariateNormal(exact.mean(0), covariance).log_prob(exact).mean().item()
    model = GaussianMixture((len(scales),), components=1, floor=1e-9).to(dtype).initialize(x)
    model.m_step(x, model.e_step(x))
    assert model.log_prob(x).mean().item() == pytest.approx(best, abs=1e-4)
    deviations = model.covariances()[0].diagonal().sqrt().double()
    torch.testing.assert_close(deviations, covariance.diagonal().sqrt(), rtol=1e-4, atol=0)
    if len(scales) > 1:
        left = torch.linalg.eigvalsh(covariance)[:-1].mean()
        variance = PPCA((len(scales),), latent=1).to(dtype).fit(x).log_variance.exp().double()
        torch.testing.assert_close(variance, left, rtol=1e-4, atol=0)


@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 1.42e-10), (torch.float64, 2.22e-14)])
def test_the_noise_of_em_has_a_floor_that_its_type_can_hold(dtype, share):
    torch.manual_seed(0)
    x = 1e4 * torch.randn(50, 2, dtype=dtype) @ torch.randn(2, 4, dtype=dtype)
    model = PPCA((4,), latent=3).to(dtype).initialize(x)
    for _ in range(60):
        model.m_step(x, model.e_step(x))
    total = x.double().var(0, correction=0).sum().item()
    assert model.log_variance.exp().item() == pytest.approx(max(1e-6, share * total), rel=0.01)
