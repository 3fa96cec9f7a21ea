"""Chains: closed forms for Gaussians, and stationarity to within standard errors."""

import math
from functools import partial

import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dgm import models, toys
from dgm.energies import score
from dgm.objectives import contrastive_divergence
from dgm.samplers import (
    Place,
    ReplayBuffer,
    annealed_langevin,
    gibbs,
    langevin,
    mala,
    mala_log_acceptance,
    mala_step,
    metropolis,
    noise_levels,
)
from dgm.train import History, gradient_step, load_checkpoint, save_checkpoint

N = 20_000


pytestmark = pytest.mark.usefixtures("cpu", "float64")


def two_modes():
    """In the plane, of unequal weights and widths."""
    parts = Normal(torch.tensor([[-1.0, 0.5], [1.0, 0.0]]), torch.tensor([[0.5, 0.6], [0.4, 0.8]]))
    return MixtureSameFamily(Categorical(torch.tensor([0.3, 0.7])), Independent(parts, 1))


class Quartic:
    """E(x) = x^4 / 4, whose slope outruns any step."""

    shape, classes = (1,), 0

    def energy(self, x):
        return (x**4).sum(1) / 4


class Walled:
    """A standard normal to the left of one, and infinitely high ground to the right."""

    shape, classes = (1,), 0

    def energy(self, x):
        return torch.where(x[:, 0] < 1, x[:, 0].square() / 2, torch.inf)


# ------------------------------------------------------------------ Langevin


def test_a_step_is_half_eta_of_score_and_the_root_of_eta_of_noise():
    density, x = two_modes(), torch.randn(5, 2)
    torch.manual_seed(1)
    noise = torch.randn(5, 2)
    expected = x + 0.15 * score(density, x) + math.sqrt(0.3) * noise
    torch.manual_seed(1)
    torch.testing.assert_close(langevin(density, x, step=0.3), expected)
    twice = langevin(density, x, steps=2, step=0.3)
    assert not torch.allclose(twice, expected)


@pytest.mark.parametrize("step", [0.1, 1.0, 3.0])
def test_the_stationary_variance_of_ula(step):
    """s^2 / (1 - eta / 4 s^2), started there; the error of a variance is v sqrt(2 / n)."""
    s2, start = 1.5, 1.5 / (1 - step / 6.0)
    x = math.sqrt(start) * torch.randn(N)
    x = langevin(Normal(0.0, math.sqrt(s2)), x, steps=20, step=step)
    assert abs(x.var().item() - start) < 4 * start * math.sqrt(2 / N)
    assert abs(start - s2) > (2 if step > 0.1 else 0) * start * math.sqrt(2 / N)


def test_a_step_too_long_says_so():
    x = torch.full((3, 1), 6.0)
    with pytest.raises(ValueError, match="^step: got 0.5, expected a shorter one: a chain ran off"):
        langevin(Quartic(), x, steps=10, step=0.5)
    with pytest.raises(ValueError, match="^step: got 50, expected a shorter one"):
        langevin(Normal(0.0, 1.0), torch.ones(3), steps=400, step=50)  # 4 s^2 is the most
    assert torch.equal(mala(Quartic(), x, steps=50, step=0.5), x)  # refused, every time
    assert not mala_step(Quartic(), x, step=0.5)[1].any()


# ------------------------------------------------------------------ accepted or refused


def test_the_acceptance_of_mala():
    """log p(x') q(x | x') - log p(x) q(x' | x), by torch's normal densities."""
    density, step = two_modes(), 0.3
    x, there = torch.randn(6, 2), torch.randn(6, 2)
    places = [Place(v, density.log_prob(v), score(density, v)) for v in (x, there)]

    def log_q(to, start):
        mean = start + step / 2 * score(density, start)
        return Independent(Normal(mean, math.sqrt(step)), 1).log_prob(to)

    expected = density.log_prob(there) + log_q(x, there) - density.log_prob(x) - log_q(there, x)
    torch.testing.assert_close(mala_log_acceptance(*places, step), expected)
    torch.testing.assert_close(mala_log_acceptance(*places[::-1], step), -expected)


def moments(x):
    """Some test functions, which tell modes and widths apart: (N, 5)."""
    return torch.cat([x, x.square(), x.prod(1, keepdim=True), x.tanh()], 1)


@pytest.mark.parametrize(
    "sampler",
    [
        partial(mala, step=0.05),
        partial(mala, step=0.5),
        partial(mala, step=2.0),
        partial(metropolis, scale=0.5),
        partial(metropolis, scale=(0.2, 2.0)),
    ],
)
def test_exact_chains_leave_the_density_as_it_is(sampler):
    density = two_modes()
    x = sampler(density, density.sample((N,)), steps=8)
    truth = moments(density.sample((400_000,))).mean(0)  # four times as exact
    assert standard_errors_off(moments(x), truth) < 4.2


def test_ula_does_not_leave_it_as_it_is():
    """The test above would see it."""
    density = two_modes()
    x = langevin(density, density.sample((N,)), steps=8, step=0.5)
    truth = moments(density.sample((400_000,))).mean(0)
    assert standard_errors_off(moments(x), truth) > 20


@pytest.mark.parametrize("sampler", [partial(mala, step=0.3), partial(metropolis, scale=1.0)])
def test_exact_chains_get_there(sampler):
    x = sampler(Normal(2.0, 0.7), torch.zeros(N), steps=60)
    assert standard_errors_off(x, 2.0) < 4
    assert abs(x.var().item() - 0.49) < 4 * 0.49 * math.sqrt(2 / N)


def test_which_moves_were_made():
    density, x = two_modes(), two_modes().sample((1000,))
    there, accepted = mala_step(density, x, step=0.5)
    assert accepted.shape == (1000,) and accepted.dtype == torch.bool
    assert torch.equal(accepted, (there != x).any(1))
    rates = [mala_step(density, x, step=s)[1].double().mean().item() for s in (0.01, 0.5, 10.0)]
    assert rates[0] > 0.95 > rates[1] > 0.3 > rates[2]


@pytest.mark.parametrize("sampler", [partial(mala, step=1.0), partial(metropolis, scale=1.0)])
def test_ground_that_is_infinitely_high_is_not_entered(sampler):
    x = sampler(Walled(), torch.zeros(500, 1), steps=20)
    assert (x < 1).all() and (x > 0.5).any() and (x != 0).any()


def test_scales_are_taken_in_turn():
    flat = toys.ring(sigma=1e6, device="cpu")  # every move is accepted
    x = torch.zeros(N, 2)
    for steps, expected in ((1, 1.0), (2, 10.0), (3, 11.0), (4, 20.0)):
        moved = metropolis(flat, x, steps=steps, scale=(1.0, 3.0))
        assert moved.var().item() == pytest.approx(expected, rel=4 / math.sqrt(N))


def test_gibbs_is_the_models_own():
    rbm, x = models.RBM(4, hidden=3), torch.ones(5, 4)
    torch.manual_seed(1)
    expected = rbm.gibbs(x, 3)
    torch.manual_seed(1)
    assert torch.equal(gibbs(rbm, x, 3), expected)


@pytest.mark.parametrize("sampler", [langevin, mala, metropolis])
def test_no_graph_is_left_and_the_start_stays(sampler):
    model = models.EnergyNetwork.fourier(2, hidden=4, features=3)
    x = torch.randn(5, 2)
    before = x.clone()
    assert not sampler(model, x, steps=3).requires_grad
    assert torch.equal(x, before)
    images = models.EnergyNetwork.conv((1, 8, 8), width=2)
    assert sampler(images, torch.rand(3, 1, 8, 8), steps=2).shape == (3, 1, 8, 8)


# ------------------------------------------------------------------ annealing


def test_levels_of_noise():
    levels = noise_levels(2.0, 0.05, 15)
    assert len(levels) == 15 and (levels[0], levels[-1]) == (2.0, 0.05)
    ratios = torch.tensor(levels[1:]) / torch.tensor(levels[:-1])
    torch.testing.assert_close(ratios, ratios[:1].expand(14))


def test_annealed_steps_are_langevin_steps_on_noised_densities():
    noised, x = toys.Noised(two_modes()), torch.randn(5, 2)
    torch.manual_seed(1)
    expected = x
    for sigma in (1.0, 0.3):
        expected = langevin(noised.at(sigma), expected, steps=2, step=0.2 * sigma**2)
    torch.manual_seed(1)
    x = annealed_langevin(noised, x, 2, sigmas=(1.0, 0.3), ratio=0.2)
    torch.testing.assert_close(x, expected)


def test_annealing_finds_the_weights_that_a_plain_chain_does_not():
    """0.8 and 0.2 at -1 and 1, width 0.1, from a symmetric start: half and half if plain."""
    parts = Independent(Normal(torch.tensor([[-1.0], [1.0]]), 0.1), 1)
    density = MixtureSameFamily(Categorical(torch.tensor([0.8, 0.2])), parts)
    n = 2000
    plain = langevin(density, torch.randn(n, 1), steps=200, step=2e-3)
    noised, levels = toys.Noised(density), noise_levels(2.0, 0.05, 15)
    x = annealed_langevin(noised, 2 * torch.randn(n, 1), 25, sigmas=levels, ratio=0.3)
    error = math.sqrt(0.25 / n)
    assert abs((plain < 0).double().mean() - 0.5) < 4 * error
    assert 0.75 < (x < 0).double().mean() < 0.8 + 4 * error
    wide, clean = x[x < 0].std(), noised.denoise(x, levels[-1])[x < 0].std()
    assert clean < wide


# ------------------------------------------------------------------ chains that go on


def test_a_buffer_lends_different_chains_and_takes_them_back():
    chains = ReplayBuffer(lambda n: torch.arange(n * 2.0).reshape(n, 2), size=10)
    start = chains.x.clone()
    index, x = chains.draw(6)
    assert len(set(index.tolist())) == 6
    assert torch.equal(x, start[index])
    chains.put(index, x + 100)
    expected = start.clone()
    expected[index] += 100
    assert torch.equal(chains.x, expected)
    assert torch.equal(chains.draw(10)[0].sort().values, torch.arange(10))


def test_some_chains_begin_anew():
    chains = ReplayBuffer(lambda n: torch.zeros(n, 1, 2), size=N, renew=0.05)
    chains.x.fill_(1.0)
    _, x = chains.draw(N)
    assert ((x == 0).all(2) | (x == 1).all(2)).all()  # whole states
    fresh = (x[:, 0, 0] == 0).double()
    assert standard_errors_off(fresh, 0.05) < 4
    always = ReplayBuffer(lambda n: torch.zeros(n, 2), size=5, renew=1)
    always.x.fill_(1.0)
    assert not always.draw(5)[1].any()


def coins(n):
    return torch.bernoulli(torch.full((n, 6), 0.5))


def persistent(renew):
    """A step that learns with chains, and its chains."""
    chains = ReplayBuffer(coins, size=12, renew=renew)
    objective = partial(contrastive_divergence, steps=2, chains=chains)
    return gradient_step(models.RBM(6, hidden=4), objective, lr=0.1), chains


@pytest.mark.parametrize("renew", [0.0, 0.3])
def test_a_run_with_chains_goes_on_bit_for_bit(renew, tmp_path):
    (step, chains), (resumed, others) = persistent(renew), persistent(renew)
    batch = (coins(8),)
    for _ in range(3):
        step(batch)
    save_checkpoint(tmp_path / "run.pt", step, History())
    saved = chains.x.clone()
    expected = [step(batch)["objective"] for _ in range(3)]
    load_checkpoint(tmp_path / "run.pt", resumed)
    assert torch.equal(others.x, saved)
    assert [resumed(batch)["objective"] for _ in range(3)] == expected
    assert torch.equal(others.x, chains.x) and not torch.equal(chains.x, saved)


def test_a_checkpoint_of_other_chains_is_refused(tmp_path):
    step, _ = persistent(0.0)
    save_checkpoint(tmp_path / "run.pt", step, History())
    more = partial(contrastive_divergence, chains=ReplayBuffer(coins, size=24))
    with pytest.raises(ValueError, match="belongs to another model or step"):
        load_checkpoint(tmp_path / "run.pt", gradient_step(models.RBM(6, hidden=4), more))


# ------------------------------------------------------------------ what is refused


class Corner(nn.Module):
    """Not a number at the origin."""

    shape, classes = (2,), 0

    def energy(self, x):
        return (x / x.norm(dim=1, keepdim=True)).sum(1)


X = torch.zeros(3, 2, dtype=torch.float64)
NAN = torch.full((3, 2), math.nan, dtype=torch.float64)
ENERGY = "model: the energy of Corner"


@pytest.mark.parametrize(
    ("act", "message"),
    [
        *(
            (
                lambda s=s, step=step: s(two_modes(), X, step=step),
                f"step: got {step!r}, expected a p",
            )
            for s in (langevin, mala)
            for step in (0, -0.1, math.nan, "long")
        ),
        (lambda: mala_step(two_modes(), X, step=0), "step: got 0, expected a positive number"),
        *(
            (lambda s=s: s(two_modes(), X, steps=0), "steps: got 0, expected an integer of at")
            for s in (langevin, mala, metropolis)
        ),
        (lambda: metropolis(two_modes(), X, scale=0.0), "scale: got 0.0, expected a positive"),
        (lambda: metropolis(two_modes(), X, scale=(0.1, -1)), "scale: got -1, expected a positive"),
        (lambda: metropolis(two_modes(), X, scale=()), "scale: got .., expected at least one"),
        *((lambda s=s: s(Corner(), X), ENERGY) for s in (langevin, mala, mala_step, metropolis)),
        *(
            (lambda s=s: s(Corner(), NAN), "x: got values that are not finite")
            for s in (langevin, mala, mala_step, metropolis)
        ),
        (
            lambda: gibbs(two_modes(), X),
            "model: got MixtureSameFamily, expected one with a method gibbs",
        ),
        (lambda: langevin(models.RBM(2).double(), X), "model: got a RBM of discrete events"),
        (lambda: noise_levels(0.1, 0.0, 3), "smallest: got 0.0, expected a positive number"),
        (lambda: noise_levels(0.1, 0.2, 3), "largest: got 0.1, expected more than the smallest"),
        (lambda: noise_levels(1.0, 0.1, 1), "n: got 1, expected an integer of at least 2"),
        (
            lambda: annealed_langevin(toys.Noised(two_modes()), X, sigmas=(1.0, 0.0)),
            "sigmas: got 0.0, expected a positive number",
        ),
        (lambda: annealed_langevin(toys.Noised(two_modes()), X, sigmas=()), "sigmas: got none"),
        (
            lambda: annealed_langevin(toys.Noised(two_modes()), X, sigmas=(1.0,), ratio=0),
            "ratio: got 0, expected a positive number",
        ),
        (
            lambda: annealed_langevin(toys.Noised(two_modes()), NAN, sigmas=(1.0,)),
            "x: got values that are not finite",
        ),
        (
            lambda: annealed_langevin(toys.Noised(two_modes()), X, 300, sigmas=(1.0,), ratio=90.0),
            "ratio: got 90, expected a smaller one",
        ),
        (lambda: ReplayBuffer(coins, size=0), "size: got 0"),
        (lambda: ReplayBuffer(coins, size=3, renew=1.5), "renew: got 1.5, expected a probability"),
        (lambda: ReplayBuffer(lambda n: X, size=4), r"fresh: made shape \(3, 2\) for n = 4"),
        (lambda: ReplayBuffer(lambda n: 0.0, size=4), "fresh: made a float for n = 4"),
        (lambda: ReplayBuffer(coins, size=4).draw(5), "size: got 4 chains, expected 5 at least"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        act()
