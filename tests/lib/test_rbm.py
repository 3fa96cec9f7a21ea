"""The RBM: against brute-force enumeration of all (x, h), and contrastive divergence."""

import math

import numpy as np
import pytest
import torch

from dgm import objectives
from dgm.models import RBM
from dgm.train import fit, gradient_step

pytestmark = pytest.mark.usefixtures("float64")


def all_binary(d):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * d).reshape(-1, d)


def random_rbm(shape=(4,), hidden=3):
    model = RBM(shape, hidden)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    return model


def joint(model):
    """exp(-E) for all x and h, written out: states of x (X, D), of h (H, hidden), table (X, H)."""
    w, b, c = (p.detach() for p in (model.weight, model.visible_bias, model.hidden_bias))
    xs, hs = all_binary(len(b)), all_binary(len(c))
    table = torch.zeros(len(xs), len(hs))
    for i, x in enumerate(xs):
        for j, h in enumerate(hs):
            table[i, j] = torch.exp(x @ w @ h + b @ x + c @ h)
    return xs, hs, table


def test_energy_and_free_energy():
    model = random_rbm()
    xs, hs, table = joint(model)
    energy = model.joint_energy(xs.unsqueeze(1), hs)
    torch.testing.assert_close(energy, -table.log(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.energy(xs), -table.sum(1).log(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("d", "hidden"), [(4, 3), (3, 4), (1, 1), (3, 3)])
def test_log_partition_and_log_prob(d, hidden):
    model = random_rbm((d,), hidden)
    xs, _, table = joint(model)
    torch.testing.assert_close(model.log_partition(), table.sum().log(), rtol=1e-12, atol=1e-12)
    expected = (table.sum(1) / table.sum()).log()
    torch.testing.assert_close(model.log_prob(xs), expected, rtol=1e-12, atol=1e-12)


def test_log_partition_sums_either_layer_in_parts():
    """15 units are 2^15 states, more than one part; the 16 of the other layer by hand."""
    model = random_rbm((16,), hidden=15)
    expected = (-model.energy(all_binary(16))).logsumexp(0)
    torch.testing.assert_close(model.log_partition(), expected, rtol=1e-12, atol=1e-12)
    mirror = RBM((15,), hidden=16)
    mirror.weight.data, mirror.visible_bias.data = model.weight.data.T, model.hidden_bias.data
    mirror.hidden_bias.data = model.visible_bias.data
    torch.testing.assert_close(mirror.log_partition(), expected, rtol=1e-12, atol=1e-12)


def test_conditionals():
    model = random_rbm((2, 2), hidden=3)
    xs, hs, table = joint(model)
    images = xs.unflatten(1, (2, 2))
    log_h = model.hidden(images).log_prob(hs.unsqueeze(1)).T  # (X, H)
    torch.testing.assert_close(log_h.exp(), table / table.sum(1, keepdim=True))
    log_x = model.visible(hs).log_prob(images.unsqueeze(1))  # (X, H)
    torch.testing.assert_close(log_x.exp(), table / table.sum(0))


def test_gradient_is_positive_minus_negative_phase():
    model = random_rbm()
    xs, hs, table = joint(model)
    x = xs[torch.tensor([3, 7, 7, 12])]
    model.log_prob(x).mean().backward()
    p = table / table.sum()
    p_h = (table / table.sum(1, keepdim=True))[torch.tensor([3, 7, 7, 12])]  # (4, H)
    positive = torch.einsum("ni,nh,hj->ij", x, p_h, hs) / 4
    negative = torch.einsum("xi,xh,hj->ij", xs, p, hs)
    torch.testing.assert_close(model.weight.grad, positive - negative, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(model.visible_bias.grad, x.mean(0) - p.sum(1) @ xs)
    torch.testing.assert_close(model.hidden_bias.grad, (p_h @ hs).mean(0) - p.sum(0) @ hs)


def frequencies(x, n):
    powers = 2.0 ** torch.arange(x.shape[1] - 1, -1, -1)
    return (x @ powers).long().bincount(minlength=2 ** x.shape[1]) / n


def kernel(model):
    """p(x' | x) of one block Gibbs step: sum over h of p(x' | h) p(h | x), from the table."""
    _, _, table = joint(model)
    to_h, to_x = table / table.sum(1, keepdim=True), table / table.sum(0)
    return to_h @ to_x.T  # (X, X')


def test_one_gibbs_step_draws_from_its_kernel():
    model, n = random_rbm(), 20_000
    start = torch.tensor([1.0, 0.0, 1.0, 1.0])  # state 11
    p = kernel(model)[11]
    seen = frequencies(model.gibbs(start.expand(n, 4)), n)
    assert ((seen - p) / (p * (1 - p) / n).sqrt()).abs().max() < 4


def test_gibbs_leaves_the_model_stationary():
    model, n = random_rbm(), 20_000
    p = model.log_prob(all_binary(4)).exp().detach()
    torch.testing.assert_close(p @ kernel(model), p, rtol=1e-12, atol=1e-12)
    x = all_binary(4)[torch.multinomial(p, n, replacement=True)]
    seen = frequencies(model.gibbs(x, steps=5), n)
    assert ((seen - p) / (p * (1 - p) / n).sqrt()).abs().max() < 4


def test_samples_come_from_the_model():
    model, n = random_rbm((2, 2)), 20_000
    x = model.sample(n, steps=50)  # the second eigenvalue of the kernel to the 50th is nothing
    assert torch.linalg.eigvals(kernel(model)).abs().sort().values[-2] ** 50 < 1e-6
    assert x.shape == (n, 2, 2)
    assert not x.requires_grad
    p = model.log_prob(all_binary(4).unflatten(1, (2, 2))).exp()
    seen = frequencies(x.flatten(1), n)
    assert ((seen - p) / (p * (1 - p) / n).sqrt()).abs().max() < 4


@pytest.mark.parametrize("steps", [1, 3])
def test_contrastive_divergence_has_the_expected_gradient(steps):
    """sum over x' of K^steps(x' | x) grad F(x') - grad F(x), with the kernel from the table."""
    model, n = random_rbm(), 20_000
    xs = all_binary(4)
    # -grad_W F at every state: x sigmoid(c + x W)^T
    g = xs.unsqueeze(2) * (model.hidden_bias + xs @ model.weight).sigmoid().detach().unsqueeze(1)
    k = torch.linalg.matrix_power(kernel(model), steps)[11]  # (X',)
    mean = torch.einsum("s,sij->ij", k, g)
    variance = torch.einsum("s,sij->ij", k, (g - mean).square())
    objectives.contrastive_divergence(model, xs[11].expand(n, 4), steps=steps).mean().backward()
    z = (model.weight.grad - (g[11] - mean)) / (variance / n).sqrt()
    assert z.abs().max() < 4


def test_contrastive_divergence_learns(monkeypatch):
    """Bars and no other patterns: the exact log-likelihood rises from -9 log 2 towards -log 8."""
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    bars = all_binary(3).repeat_interleave(3, 1).unflatten(1, (1, 3, 3))  # rows on or off
    model = RBM((1, 3, 3), hidden=6)
    before = model.log_prob(bars).mean().item()
    step = gradient_step(model, objectives.contrastive_divergence, lr=0.1)
    fit(step, [(bars.repeat(4, 1, 1, 1),)] * 150, epochs=1, progress=False)
    after = model.log_prob(bars).mean().item()
    assert before == pytest.approx(-9 * math.log(2), abs=0.1)
    assert after > -4  # more than half of the way
    assert after < -math.log(8)


def test_exact_maximum_likelihood_through_gradient_step(monkeypatch):
    monkeypatch.setenv("DGM_DEVICE", "cpu")
    x = all_binary(3).repeat_interleave(3, 1)
    step = gradient_step(RBM((9,), hidden=6), objectives.log_likelihood, lr=0.1)
    values = [step((x,))["objective"].item() for _ in range(100)]
    assert values[-1] > -2.6


def test_numpy_integers_are_integers():
    model = RBM(np.int64(4), hidden=np.int64(3))
    assert model.sample(np.int64(2), steps=np.int64(3)).shape == (2, 4)
    torch.manual_seed(0)
    x = model.gibbs(torch.ones(2, 4), steps=np.int64(3))
    torch.manual_seed(0)
    assert torch.equal(x, model.gibbs(torch.ones(2, 4), steps=3))


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: RBM((4,), hidden=0), "hidden: got 0, expected an integer of at least 1"),
        (lambda: RBM((21,), hidden=21).log_partition(), "smaller layer has 21 units"),
        (lambda: RBM((1, 8, 8)).log_prob(torch.ones(2, 1, 8, 8)), "at most 20"),
        (lambda: RBM((4,)).energy(torch.ones(2, 5)), r"x: got shape \(2, 5\)"),
        (lambda: RBM((4,)).gibbs(torch.ones(2, 4), steps=0), "steps: got 0"),
        (lambda: RBM((4,)).sample(2, steps=0), "steps: got 0"),
        (lambda: RBM((4,)).gibbs(torch.ones(2, 4), steps=2.0), "steps: got 2.0"),
        (lambda: RBM((4,)).joint_energy(*map(torch.ones, ((2, 4), (2, 1)))), "h: got shape .2, 1"),
    ],
)
def test_bad_input(act, message):
    with pytest.raises(ValueError, match=message):
        act()
