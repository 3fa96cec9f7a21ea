"""Annealed importance sampling: expectations over all paths, an Ising model, decoders."""

import math

import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import distributions as D

from dgm import heads, models
from dgm.estimators import logmeanexp
from dgm.evaluate import DecoderPath, RBMPath, Sandwich, ais, reverse_ais, sandwich

pytestmark = pytest.mark.usefixtures("float64")


def bits(d):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * d).reshape(-1, d)


def random_rbm(d=3, hidden=2):
    rbm = models.RBM(d, hidden)
    with torch.no_grad():
        for p in rbm.parameters():
            p.normal_()
    return rbm


def intermediate(rbm, base, beta):
    """An RBM in between, with all of its joint states: exp(-E) is (X, H)."""
    xs, hs = bits(len(rbm.visible_bias)), bits(len(rbm.hidden_bias))
    table = beta * (
        xs @ rbm.weight @ hs.T + (xs @ rbm.visible_bias)[:, None] + hs @ rbm.hidden_bias
    )
    return (table + (1 - beta) * (xs @ base)[:, None]).exp().detach()


def kernel(table):
    """p(x' | x) of a block Gibbs step, (X, X')."""
    return (table / table.sum(1, keepdim=True)) @ (table / table.sum(0)).T


# ------------------------------------------------------------------ of a Boltzmann machine


@pytest.mark.parametrize("data", [None, torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])])
def test_the_path_of_an_rbm(data):
    rbm = random_rbm()
    path = RBMPath(rbm, None if data is None else data.double())
    rates = torch.full((3,), 0.5) if data is None else torch.tensor([3 / 4, 1 / 4, 1 / 2])
    base = rates.logit()
    for beta in (0.0, 0.3, 1.0):
        table = intermediate(rbm, base, beta)
        torch.testing.assert_close(path.log_f(bits(3), beta), table.sum(1).log())
    torch.testing.assert_close(path.log_z0, intermediate(rbm, base, 0.0).sum().log())
    torch.testing.assert_close(path.log_f(bits(3), 1.0), -rbm.energy(bits(3)))
    n = 20_000
    start = path.start(n)
    assert standard_errors_off(start, rates) < 4


def frequencies(x):
    powers = 2 ** torch.arange(x.shape[1] - 1, -1, -1)
    return (x.long() @ powers).bincount(minlength=2 ** x.shape[1]) / len(x)


def test_a_move_of_an_rbm_draws_from_its_kernel():
    rbm, beta, n = random_rbm(), 0.4, 20_000
    rbm.weight.data *= 3  # so that it matters which hidden units are on
    data = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    path = RBMPath(rbm, data)
    p = kernel(intermediate(rbm, path.base, beta))[5]
    seen = frequencies(path.move(bits(3)[5].expand(n, 3), beta))
    assert ((seen - p) / (p * (1 - p) / n).sqrt()).abs().max() < 4
    images = random_rbm((1, 2, 2))
    path = RBMPath(images)
    assert path.move(path.start(7), 0.5).shape == (7, 1, 2, 2)


class EveryPath:
    """All paths of so many moves, side by side, each with its probability.

    Chain number n visits the states that the digits of n to the base X say.
    """

    def __init__(self, path, stops, table_of, reverse=False):
        self.path, self.log_z0 = path, path.log_z0
        xs = bits(3)
        moves = len(stops) - 2
        self.digits = torch.cartesian_prod(*[torch.arange(len(xs))] * (moves + 1))
        self.digits = self.digits.reshape(-1, moves + 1)
        self.states, self.moved = xs[self.digits], 0  # (X^(moves + 1), moves + 1, 3)
        tables = [table_of(beta) for beta in stops]
        first = tables[-1] if reverse else tables[0]
        p = first.sum(1) / first.sum()
        self.probability = p[self.digits[:, 0]]
        between = tables[-2:0:-1] if reverse else tables[1:-1]
        for i, table in enumerate(between):
            step = kernel(table)[self.digits[:, i], self.digits[:, i + 1]]
            self.probability = self.probability * step
        self.betas = list(stops[-2:0:-1] if reverse else stops[1:-1])

    def start(self, n):
        assert n == len(self.states)
        return self.states[:, 0]

    def move(self, x, beta):
        assert torch.equal(x, self.states[:, self.moved]) and beta == self.betas[self.moved]
        self.moved += 1
        return self.states[:, self.moved]

    def log_f(self, x, beta):
        return self.path.log_f(x, beta)


@pytest.mark.parametrize("stops", [(0.0, 1.0), (0.0, 0.5, 1.0), (0.0, 0.2, 0.6, 1.0)])
def test_over_all_paths_weights_are_right_and_their_logarithms_enclose(stops):
    """E[w] = Z, E[log w] < log Z; backwards E[1 / w] = 1 / Z, E[log w] > log Z."""
    rbm = random_rbm()
    path, log_z = RBMPath(rbm), rbm.log_partition().detach()

    def table_of(beta):
        return intermediate(rbm, torch.zeros(3), beta)

    every = EveryPath(path, stops, table_of)
    torch.testing.assert_close(every.probability.sum(), torch.tensor(1.0))
    log_w = ais(every, stops, chains=len(every.states))
    torch.testing.assert_close((every.probability * log_w.exp()).sum().log(), log_z)
    back = EveryPath(path, stops, table_of, reverse=True)
    log_v = reverse_ais(back, stops, back.states[:, 0])
    torch.testing.assert_close((back.probability * (-log_v).exp()).sum().log(), -log_z)
    low, high = (every.probability * log_w).sum(), (back.probability * log_v).sum()
    assert low < log_z - 1e-3 and high > log_z + 1e-3


def test_a_start_at_the_rates_of_data_and_more_stops_are_closer():
    rbm = random_rbm(6, 4)
    log_z = rbm.log_partition().item()
    p = (-rbm.energy(bits(6))).softmax(0).detach()
    data = bits(6)[torch.multinomial(p, 2000, replacement=True)]
    gaps = {}
    for name, path, stops in (
        ("coins", RBMPath(rbm), 5),
        ("rates", RBMPath(rbm, data), 5),
        ("long", RBMPath(rbm, data), 100),
    ):
        betas = torch.linspace(0, 1, stops + 1)
        both = sandwich(ais(path, betas, 2000), reverse_ais(path, betas, data))
        assert both.low - 4 * both.low_error < log_z < both.high + 4 * both.high_error
        gaps[name] = (both.high - both.low).item()
    assert gaps["coins"] > 2 * gaps["rates"] > 4 * gaps["long"] > 0


# ------------------------------------------------------------------ a path of one's own


class Ising:
    """4 x 4 spins of -1 and 1 with free edges, from infinite temperature; moves go by colour."""

    log_z0 = torch.tensor(16 * math.log(2), dtype=torch.float64)
    coupling = 0.4
    black = (torch.arange(4)[:, None] + torch.arange(4)) % 2 == 0

    def start(self, n):
        return 2 * torch.bernoulli(torch.full((n, 4, 4), 0.5)) - 1

    def log_f(self, x, beta):
        pairs = (x[:, 1:] * x[:, :-1]).sum((1, 2)) + (x[:, :, 1:] * x[:, :, :-1]).sum((1, 2))
        return beta * self.coupling * pairs

    def move(self, x, beta):
        # one colour, the other, and the first again: the same way backwards
        for colour in (self.black, ~self.black, self.black):
            wide = torch.nn.functional.pad(x, (1, 1, 1, 1))
            field = wide[:, 2:, 1:-1] + wide[:, :-2, 1:-1] + wide[:, 1:-1, 2:] + wide[:, 1:-1, :-2]
            new = 2 * torch.bernoulli((2 * beta * self.coupling * field).sigmoid()) - 1
            x = torch.where(colour, new, x)
        return x


def test_an_ising_model():
    """log Z by the transfer matrix: row by row."""
    rows = 2 * bits(4) - 1
    row = (0.4 * (rows[:, 1:] * rows[:, :-1]).sum(1)).exp()
    v = row
    for _ in range(3):
        v = (v @ (0.4 * rows @ rows.T).exp()) * row
    log_z = v.sum().log()
    assert log_z.item() == pytest.approx(13.1865734, abs=1e-7)
    log_w = ais(Ising(), torch.linspace(0, 1, 31), chains=500)
    assert standard_errors_off((log_w - log_z).exp(), 1.0) < 4
    assert log_w.mean() < log_z


# ------------------------------------------------------------------ of a decoder


def linear_vae():
    """x = W z + m + sigma eps: log p(x) and p(z | x) have closed forms."""
    vae = models.VAE.linear((4,), latent=2)
    decoder = vae.decoder[1]
    weight, sigma = torch.randn(4, 2), 0.7
    with torch.no_grad():
        decoder.mean[0].weight.copy_(weight)
        decoder.mean[0].bias.fill_(0.3)
        decoder.log_sigma.fill_(math.log(sigma))
    p_x = D.MultivariateNormal(torch.full((4,), 0.3), weight @ weight.T + sigma**2 * torch.eye(4))

    def posterior(x, beta=1.0):
        covariance = (torch.eye(2) + beta * weight.T @ weight / sigma**2).inverse()
        return D.MultivariateNormal(beta * (x - 0.3) @ weight @ covariance / sigma**2, covariance)

    return vae, p_x, posterior


def test_the_path_of_a_decoder():
    """f_beta is p(z) p(x | z)^beta; moves leave the posterior of each example in between alone."""
    vae, p_x, posterior = linear_vae()
    x, n, beta = p_x.sample((3,)), 5000, 0.4
    path = DecoderPath(vae, x, step=0.3, moves=2)
    assert path.start(n).shape == (n, 3, 2)
    z = posterior(x, beta).sample((n,))
    evidence = path.log_f(z, beta) - posterior(x, beta).log_prob(z)  # the same for every z
    torch.testing.assert_close(evidence, evidence[:1].expand(n, 3))
    moved = path.move(z, beta).detach()
    assert (moved != z).any(2).double().mean() > 0.7
    assert standard_errors_off(moved, posterior(x, beta).mean) < 4.2
    spread = (moved - posterior(x, beta).mean).square()
    assert standard_errors_off(spread, posterior(x, beta).variance) < 4.2


def test_log_p_of_a_decoder_between_its_bounds():
    vae, p_x, posterior = linear_vae()
    x = p_x.sample((3,))
    path, betas = DecoderPath(vae, x, step=0.4), torch.linspace(0, 1, 31)
    log_w = ais(path, betas, chains=400)
    assert log_w.shape == (400, 3) and not log_w.requires_grad
    assert standard_errors_off((log_w - p_x.log_prob(x)).exp(), 1.0) < 4
    log_v = reverse_ais(path, betas, posterior(x).sample((400,)))
    assert standard_errors_off((p_x.log_prob(x) - log_v).exp(), 1.0) < 4
    low, high, low_error, high_error = sandwich(log_w, log_v)
    assert (low < p_x.log_prob(x) + 4 * low_error).all()
    assert (high > p_x.log_prob(x) - 4 * high_error).all()
    assert (high - low < 2).all()
    torch.testing.assert_close(logmeanexp(log_w), p_x.log_prob(x), rtol=0, atol=0.3)


def test_simulated_data_come_with_a_draw_of_the_posterior():
    """z from the prior, x from p(x | z): the bounds hold on average over many examples."""
    vae, p_x, _ = linear_vae()
    z = vae.prior().sample((300,))
    x = vae.likelihood(z).sample()
    path, betas = DecoderPath(vae, x, step=0.1), torch.linspace(0, 1, 21)
    gap = reverse_ais(path, betas, z[None])[0] - p_x.log_prob(x)
    assert standard_errors_off((-gap).exp(), 1.0) < 4
    assert gap.mean() > 4 * gap.std() / 300**0.5


def test_a_decoder_given_labels():
    vae, x, y = (
        models.ConditionalVAE.mlp(3, latent=2, classes=4),
        torch.rand(5, 3),
        torch.arange(5) % 4,
    )
    x = x.round()
    path = DecoderPath(vae, x, y)
    z = path.start(2)
    expected = vae.prior(y).log_prob(z) + 0.5 * vae.likelihood(z, y).log_prob(x)
    torch.testing.assert_close(path.log_f(z, 0.5), expected)
    assert ais(path, (0, 0.5, 1), chains=2).shape == (2, 5)


# ------------------------------------------------------------------ what is refused


def discrete():
    return models.VAE.mlp(3, posterior=heads.Bernoulli)


class Lost(Ising):
    def log_f(self, x, beta):
        return super().log_f(x, beta) / beta  # at zero nothing is known


@pytest.mark.parametrize(
    ("act", "message"),
    [
        *(
            (lambda b=b: ais(Ising(), b), "betas: got .*, expected numbers that rise from 0 to 1")
            for b in ((0, 0.5), (0.1, 1), (0, 0.7, 0.5, 1), (0, 0, 1), (1,), ())
        ),
        (lambda: reverse_ais(Ising(), (1, 0), Ising().start(2)), "betas: got"),
        (lambda: ais(Ising(), (0, 1), chains=0), "chains: got 0"),
        (lambda: ais(Lost(), (0, 1)), "path: got values that are not finite"),
        (lambda: reverse_ais(Lost(), (0, 1), Ising().start(2)), "path: got values that are not"),
        (lambda: sandwich(torch.ones(1), torch.ones(3)), "forward: got 1 chains, expected 2"),
        (lambda: sandwich(torch.ones(3), torch.ones(1)), "reverse: got 1 chains, expected 2"),
        (lambda: sandwich(torch.ones(3, 2), torch.ones(3)), "reverse: got shape .3,., expected"),
        (lambda: RBMPath(models.RBM(3), torch.full((2, 3), 0.5)), "x: got values outside the"),
        (lambda: DecoderPath(models.MADE(3), torch.ones(2, 3)), "model: got MADE, expected one"),
        (lambda: DecoderPath(discrete(), torch.ones(2, 3)), "model: got codes in .*, expected con"),
        (lambda: DecoderPath(models.VAE.mlp(3), torch.ones(2, 3), step=0), "step: got 0, expected"),
        (lambda: DecoderPath(models.VAE.mlp(3), torch.ones(2, 3), moves=0), "moves: got 0"),
        (lambda: DecoderPath(models.VAE.mlp(3), torch.ones(2, 4)), "x: got shape .2, 4."),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        act()


def test_a_sandwich_has_names():
    both = sandwich(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[4.0, 6.0]] * 3))
    assert isinstance(both, Sandwich)
    assert both.low.tolist() == [2, 5] and both.high.tolist() == [4, 6]
    assert both.low_error.tolist() == [1, 0] and both.high_error.tolist() == [0, 0]
