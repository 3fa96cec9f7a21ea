"""Diffusion models: the network's place in the formula, what trains it, and the bound."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dgm import paths
from dgm.conditioned import LevelFeatures, ResidualPerceptron, UNet
from dgm.denoisers import IdealDenoiser, NoisedMixture
from dgm.models import Diffusion, ScoreNetwork
from dgm.objectives import denoising, diffusion_bound, iid, importance, stratified
from dgm.predictions import KINDS, loss_weight
from dgm.train import gradient_step, rising_average

PATHS = [paths.cosine(), paths.linear(), paths.vp(), paths.exploding()]
every_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)


def scattered(model, seed=0):
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model.double()


def small(**more):
    return scattered(Diffusion.mlp((2,), width=6, blocks=1, **more))


def mixture(sds=(0.3, 0.6), path=None):
    means, sds = torch.tensor([[-1.0], [1.2]]).double(), torch.tensor(sds)[:, None].double()
    parts = Independent(Normal(means, sds), 1)
    weights = Categorical(torch.tensor([0.4, 0.6]).double())
    return NoisedMixture(MixtureSameFamily(weights, parts), path)


# ------------------------------------------------------------------ the network in the formula


@every_path
def test_it_starts_as_the_denoiser_of_standard_normal_data(path):
    torch.manual_seed(0)
    model, x = Diffusion.mlp((2,), path=path).double(), torch.randn(5, 2).double()
    t = torch.linspace(0.1, 0.9, 5).double()
    a, s = path.alpha(t)[:, None], path.sigma(t)[:, None]
    torch.testing.assert_close(model.denoise(x, t), a / (a**2 + s**2) * x)
    torch.testing.assert_close(model.score(x, t), -x / (a**2 + s**2))


def test_one_network_of_v_serves_all_paths():
    """At equal log SNR it denoises the same image alike, whatever its size."""
    network, x = small().network, torch.randn(5, 2).double()
    level = torch.linspace(-3, 3, 5).double()
    values = []
    for path in PATHS:
        t = path.time_of(level)
        model = Diffusion(network, (2,), path)
        values.append(model.denoise(path.alpha(t)[:, None] * x, t))
    for value in values[1:]:
        torch.testing.assert_close(value, values[0])


@every_path
def test_a_score_network_is_a_diffusion_model(path):
    """Its F is -v, and it reads the logarithm of sigma / alpha, which is -log SNR / 2."""
    scores = scattered(ScoreNetwork.mlp((2,), hidden=6, features=0))

    class AsV(nn.Module):
        def forward(self, u, log_snr, y):
            return -scores.network(u, -log_snr / 2)

    torch.manual_seed(0)
    x, t = torch.randn(5, 2).double(), torch.linspace(0.2, 0.8, 5).double()
    a, s = path.alpha(t)[:, None], path.sigma(t)[:, None]
    expected = scores.denoise(x / a, (s / a)[:, 0])
    torch.testing.assert_close(Diffusion(AsV(), (2,), path).double().denoise(x, t), expected)


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_may_predict_any_of_the_five(kind):
    class Told(nn.Module):
        def forward(self, x, log_snr, y):
            return torch.full_like(x, 0.7)

    path, x, t = paths.cosine(), torch.randn(5, 2).double(), 0.4
    model = Diffusion(Told(), (2,), path, predict=kind).double()
    a, s = (f(torch.tensor(t).double()) for f in (path.alpha, path.sigma))
    values = {"x0": model.denoise, "eps": model.noise, "score": model.score}
    values |= {"velocity": model.velocity}
    values |= {"v": lambda x, t: a * model.noise(x, t) - s * model.denoise(x, t)}
    torch.testing.assert_close(values[kind](x, t), torch.full_like(x, 0.7))


def test_data_are_standardised_on_the_way_in_and_restored_on_the_way_out():
    torch.manual_seed(0)
    x = 5 + 0.1 * torch.randn(4000, 2)
    model = Diffusion.mlp((2,), width=4, blocks=1).standardise(x)
    assert model.mean.item() == pytest.approx(5, abs=0.01)
    inside = model.standardised(x)
    assert abs(inside.mean()) < 1e-4 and inside.std().item() == pytest.approx(1, abs=1e-4)
    torch.testing.assert_close(model.restored(inside), x)
    drawn = model.sample(500, steps=5)  # of a network that knows nothing else
    assert abs(drawn.mean() - 5) < 0.02 and 0.07 < drawn.std() < 0.11
    copy = Diffusion.mlp((2,), width=4, blocks=1)
    copy.load_state_dict(model.state_dict())
    assert torch.equal(copy.mean, model.mean) and torch.equal(copy.scale, model.scale)


def test_no_label_is_a_label_of_its_own():
    model, x = small(classes=3), torch.randn(4, 2).double()
    values = [model.denoise(x, 0.5, torch.full((4,), y)) for y in (-1, 0, 1, 2)]
    for i, value in enumerate(values):
        assert not any(torch.allclose(value, other) for other in values[:i])
    with pytest.raises(ValueError, match="^y: got labels from 3 to 3, expected -1 to 2"):
        model.denoise(x, 0.5, torch.full((4,), 3))


@pytest.mark.parametrize(
    ("network", "shape", "weights"),
    [
        (partial(UNet, (1, 8, 8), classes=10), (1, 8, 8), 47_105),
        (partial(UNet, (1, 28, 28), classes=10), (1, 28, 28), 243_028),
        (partial(UNet, (3, 7, 9), width=8), (3, 7, 9), None),
        (partial(UNet, (1, 17, 17), width=4), (1, 17, 17), None),
        (partial(ResidualPerceptron, (3, 2), width=5, classes=10), (3, 2), None),
    ],
)
def test_networks_keep_the_shape(network, shape, weights):
    network = network()
    if weights:
        assert sum(p.numel() for p in network.parameters()) == weights
    y = torch.arange(4) if network.features.classes else None
    x, level = torch.randn(4, *shape), torch.tensor([-math.inf, -2.0, 2.0, math.inf])
    assert torch.equal(network(x, level, y), torch.zeros(4, *shape))
    out = scattered(network).float()(x, level, y)
    assert out.shape == x.shape and out.isfinite().all()


def test_levels_are_told_apart():
    features = LevelFeatures()(torch.linspace(-10, 10, 41))
    assert features.shape == (41, 48) and torch.pdist(features).min() > 1e-3


# ------------------------------------------------------------------ what trains it


def test_the_objective_is_the_weighted_error_at_the_drawn_times():
    model, x = small(), torch.randn(7, 2).double()
    seen = {}
    model.denoise, inner = None, model.denoise
    model.denoise = lambda x_t, t: seen.update(x=x_t, t=t) or inner(x_t, t)
    value = denoising(model, x, weight="x0", log_snr=(-6.0, 6.0))
    error = (x - inner(seen["x"], seen["t"])).square().sum(1)
    torch.testing.assert_close(value, -error)
    early, late = model.path.ends((-6.0, 6.0), x)
    place = (seen["t"] - early) / (late - early) * 7
    assert torch.equal(place.floor(), torch.arange(7.0).double())  # one in each seventh


@pytest.mark.parametrize("kind", KINDS)
def test_weights_by_the_name_of_a_prediction_or_a_function(kind):
    model, x = small(predict=kind), torch.randn(7, 2).double()

    def value(weight):
        torch.manual_seed(3)
        return denoising(model, x, weight=weight)

    def of_level(level):
        return loss_weight(kind, model.path, model.path.time_of(level))

    torch.testing.assert_close(value(kind), value(None))
    torch.testing.assert_close(value(of_level), value(None))


def test_an_exact_denoiser_has_a_floor_that_no_other_beats():
    """Its squared error is the variance that is left; a denoiser off by 0.2 adds 0.04."""
    exact, other, n = mixture(), mixture(), 4000
    other.denoise = lambda x, t: exact.denoise(x, t) + 0.2
    torch.manual_seed(0)
    x = exact.noised.at(0.0).sample((n,))

    def loss(model):
        torch.manual_seed(1)
        return -denoising(model, x, weight="x0")

    more = loss(other) - loss(exact)
    assert abs(more.mean() - 0.04) < 4 * more.std() / math.sqrt(n)


def test_ways_to_draw_times_have_one_mean_and_other_spreads():
    """Of 64 values f(u) z^2, with f(u) = (3u)^4, and with z = 1 as well as random."""
    centres = (torch.arange(20) + 0.5) / 20
    ways = {"iid": iid, "stratified": stratified, "importance": importance((3 * centres) ** 4 + 1)}
    spread, noisy = {}, {}
    for name, times in ways.items():
        torch.manual_seed(0)
        draws = [times(64, torch.zeros((), dtype=torch.float64)) for _ in range(400)]
        values = torch.stack([weight * (3 * u) ** 4 for u, weight in draws])  # (400, 64)
        spread[name] = values.mean(1).std().item()
        noisy[name] = (values * torch.randn_like(values).square()).mean(1).std().item()
        assert abs(values.mean() - 81 / 5) < 4 * spread[name] / 20, name
        assert all(((u >= 0) & (u < 1)).all() for u, _ in draws)
    assert spread["stratified"] < 0.3 * spread["iid"]
    assert noisy["importance"] < 0.8 * noisy["stratified"] < 0.8 * noisy["iid"]


def test_hidden_labels_are_minus_one():
    model, x, y = small(classes=3), torch.randn(300, 2).double(), torch.arange(300) % 3
    seen = []
    inner = model.denoise
    model.denoise = lambda x_t, t, y: seen.append(y) or inner(x_t, t, y)
    for share in (0.0, 0.1, 1.0):
        torch.manual_seed(0)
        denoising(model, x, y, drop_label=share)
    hidden = [(y == -1).double().mean().item() for y in seen]
    assert hidden[0] == 0 and hidden[2] == 1 and 0.03 < hidden[1] < 0.2
    kept = seen[1] >= 0
    assert torch.equal(seen[1][kept], y[kept])


def test_the_average_forgets_its_start():
    """min(ema, (1 + t) / (10 + t)) after t updates, against the recursion."""
    model = nn.Linear(1, 1)
    step = gradient_step(
        model, lambda m, x: m(x)[:, 0], ema=partial(rising_average, ema=0.3), lr=0.1
    )
    expected = model.weight.item()
    for t in range(6):
        step((torch.ones(4, 1),))
        ema = min(0.3, (1 + t) / (10 + t))
        expected = ema * expected + (1 - ema) * model.weight.item()
        assert step.average.weight.item() == pytest.approx(expected, rel=1e-5)


# ------------------------------------------------------------------ the bound


def test_between_its_ends_the_path_does_not_matter():
    """The same numbers drawn, three paths: the same value to rounding."""
    torch.manual_seed(0)
    x = torch.randn(6, 1).double()
    values = []
    for path in PATHS[:3]:
        torch.manual_seed(1)
        values.append(diffusion_bound(mixture(path=path), x, log_snr=(-4.0, 5.0), k=3))
    for value in values[1:]:
        torch.testing.assert_close(value, values[0])


def test_the_bound_of_the_exact_denoiser_is_log_p_of_every_point():
    """Without bias: to four standard errors, typical or not; the ends leave e^-10 in variance."""
    model, n = mixture(), 3000
    for value in (-1.0, 0.3, 2.4):
        torch.manual_seed(0)
        x = torch.full((n, 1), value, dtype=torch.float64)
        bound = diffusion_bound(model, x, log_snr=(-10.0, 10.0), k=4)
        truth = model.log_prob(x[:1], 0.0)
        assert abs(bound.mean() - truth) < 4 * bound.std() / math.sqrt(n) + 1e-3


def test_of_grey_levels_it_is_the_logarithm_of_a_probability():
    """Three levels with probabilities .2, .3, .5, and the ideal denoiser of just those."""
    levels = torch.tensor([0.0, 0.0, 0.5, 0.5, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0])[:, None].double()
    mean, scale = levels.mean(), levels.std()
    model = IdealDenoiser((levels - mean) / scale)
    model.mean, model.scale = mean, scale
    for value, p in ((0.0, 0.2), (0.5, 0.3), (1.0, 0.5)):
        torch.manual_seed(0)
        x, n = torch.full((2000, 1), value, dtype=torch.float64), 2000
        for end in (3.0, 6.0):
            bound = diffusion_bound(model, x, levels=3, log_snr=(-10.0, end), k=4)
            gap = math.log(p) - bound.mean()
            assert gap > -4 * bound.std() / math.sqrt(n)
        assert abs(gap) < 4 * bound.std() / math.sqrt(n) + 1e-3  # enough signal: no gap


def test_units_of_the_bound_are_those_of_the_data():
    """A network that knows nothing, of data from N(mean, scale^2)."""
    model = Diffusion.mlp((1,), width=4, blocks=1).double()
    model.mean.fill_(0.4), model.scale.fill_(0.2)
    torch.manual_seed(0)
    x = torch.full((3000, 1), 0.55, dtype=torch.float64)
    bound = diffusion_bound(model, x, log_snr=(-10.0, 10.0), k=4)
    truth = Normal(0.4, 0.2).log_prob(x[0])
    assert abs(bound.mean() - truth) < 4 * bound.std() / math.sqrt(3000) + 1e-3


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda m, x: Diffusion.mlp((2,), path=paths.vp(beta_max=4.0)),
            r"^path: got one that ends with a signal left, SNR\(1\) = 0.1\d, expected at most",
        ),
        (lambda m, x: Diffusion.mlp((2,), predict="noise"), "^predict: got 'noise', expected"),
        (lambda m, x: Diffusion.mlp((2,), width=0), "^width: got 0"),
        (lambda m, x: Diffusion.conv((2,)), r"^shape: got \(2,\), expected \(channels, height"),
        (lambda m, x: m.denoise(x, 1.5), "^t: got 1.5, expected times from 0"),
        (lambda m, x: m.denoise(x, torch.zeros(2)), r"^t: got shape \(2,\), expected a number"),
        (lambda m, x: m.score(x, 0.0), "^t: got a time without noise"),
        (lambda m, x: m.sample(3, steps=0), "^steps: got 0"),
        (lambda m, x: m.standardise(torch.ones(5, 2).double()), "^x: got data that are all the"),
        (lambda m, x: denoising(m, 100 * x), "^x: got data of root mean square \\d+ where"),
        (lambda m, x: diffusion_bound(m, x / 100), "^x: got data of root mean square 0.0"),
        (lambda m, x: denoising(m, x, drop_label=1.5), "^drop_label: got 1.5"),
        (lambda m, x: denoising(m, x, weight="u"), "^kind: got 'u'"),
        (lambda m, x: denoising(m, x, log_snr=(1.0, -1.0)), "^log_snr: got"),
        (lambda m, x: importance(torch.zeros(3)), "^weights: got"),
        (lambda m, x: diffusion_bound(m, x, k=0), "^k: got 0"),
        (lambda m, x: diffusion_bound(m, x, levels=1), "^levels: got 1"),
        (lambda m, x: diffusion_bound(m, x, levels=4), "^x: got values that are not on the grid"),
        (lambda m, x: gradient_step(m, denoising, ema=1.5), "^ema: got 1.5"),
    ],
)
def test_errors_name_the_argument(call, message):
    torch.manual_seed(0)
    model, x = small(), torch.randn(5, 2).double()
    with pytest.raises(ValueError, match=message):
        call(model, x)


def test_labels_that_are_missing():
    model, x = small(classes=3), torch.randn(5, 2).double()
    for call in (
        lambda: model.sample(5),
        lambda: model.denoise(x, 0.5),
        lambda: denoising(model, x),
    ):
        with pytest.raises(ValueError, match="^y: got None, expected labels"):
            call()
