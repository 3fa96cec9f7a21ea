"""Chains of symbols against sums over all their paths."""

import itertools

import pytest
import torch

from dgm.symbols import (
    absorbing_kernel,
    chain_bound,
    cumulative,
    gaussian_kernel,
    noised,
    reverse_step,
    step_posterior,
    uniform_kernel,
)

pytestmark = pytest.mark.usefixtures("cpu")


def any_kernels(steps, symbols):
    """No two alike, and none symmetric: what is transposed by mistake shows."""
    torch.manual_seed(0)
    return torch.rand(steps, symbols, symbols).double().softmax(-1)


def paths(kernels, x_0):
    """Every path x_1, ..., x_T from x_0, and its probability."""
    k = kernels.shape[-1]
    for path in itertools.product(range(k), repeat=len(kernels)):
        steps = zip(kernels, (x_0, *path), path, strict=False)
        yield path, torch.stack([q[i, j] for q, i, j in steps]).prod()


def test_products_are_sums_over_paths():
    kernels = any_kernels(4, 3)
    bar = cumulative(kernels)
    assert torch.equal(bar[0], torch.eye(3).double())
    for x_0, t in itertools.product(range(3), range(1, 5)):
        found = torch.zeros(3).double()
        for path, p in paths(kernels, x_0):
            found[path[t - 1]] += p
        torch.testing.assert_close(bar[t, x_0], found)


def test_the_step_back_is_bayes_rule_on_all_paths():
    kernels = any_kernels(4, 3)
    bar = cumulative(kernels)
    for x_0, t, x_t in itertools.product(range(3), (2, 3, 4), range(3)):
        found = torch.zeros(3).double()
        for path, p in paths(kernels, x_0):
            if path[t - 1] == x_t:
                found[path[t - 2]] += p
        q = step_posterior(kernels[t - 1], bar[t - 1], torch.tensor(x_t), torch.tensor(x_0))
        torch.testing.assert_close(q, found / found.sum())


def test_uniform_steps_are_one():
    betas = (0.1, 0.3, 0.2)
    bar = cumulative(torch.stack([uniform_kernel(5, b) for b in betas]))[-1]
    alpha = 0.9 * 0.7 * 0.8
    torch.testing.assert_close(bar, uniform_kernel(5, 1 - alpha))
    distance = (bar - 0.2).abs().sum(1) / 2  # total variation from uniform
    torch.testing.assert_close(distance, torch.full((5,), alpha * 0.8))


def test_masks_stay_and_come_off_at_their_rate():
    """Masked at t, it was not at s < t with probability (alpha_s - alpha_t) / (1 - alpha_t)."""
    bar = cumulative(torch.stack([absorbing_kernel(2, b) for b in (0.2, 0.5)]))
    alpha_s, alpha_t = 0.8, 0.4
    torch.testing.assert_close(bar[2], absorbing_kernel(2, 1 - alpha_t))
    q = step_posterior(absorbing_kernel(2, 0.5), bar[1], torch.tensor(2), torch.tensor(0))
    rate = (alpha_s - alpha_t) / (1 - alpha_t)
    torch.testing.assert_close(q, torch.tensor([rate, 0.0, 1 - rate]))
    impossible = step_posterior(absorbing_kernel(2, 0.5), bar[1], torch.tensor(1), torch.tensor(0))
    assert impossible.tolist() == [0.0, 0.0, 0.0]


@pytest.mark.parametrize("beta", [0.001, 0.1, 5.0])
def test_grey_levels_stay_uniform_and_fall_off_as_a_gaussian(beta):
    q = gaussian_kernel(9, beta)
    torch.testing.assert_close(q.sum(0), torch.ones(9))
    torch.testing.assert_close(q, q.T)
    assert (q >= 0).all()
    if beta == 0.1:  # neighbours at distance 1 and 3
        ratio = torch.tensor(-4 * (9 - 1) / (64 * 0.1)).exp()
        torch.testing.assert_close(q[4, 7] / q[4, 5], ratio)
        torch.testing.assert_close(q[0, 3] / q[0, 1], ratio)


def test_noise_is_drawn_by_its_rows():
    bar, x_0 = any_kernels(1, 3)[0], torch.tensor([0, 2]).expand(20_000, 2)
    drawn = noised(x_0, bar)
    for column, row in enumerate((0, 2)):
        shares = torch.bincount(drawn[:, column], minlength=3) / 20_000
        torch.testing.assert_close(shares.double(), bar[row], rtol=0, atol=0.016)  # 4.5 errors


def test_the_models_step_back_is_a_mixture():
    kernels = any_kernels(3, 4)
    bar, p_0 = cumulative(kernels), torch.tensor([0.1, 0.2, 0.3, 0.4]).double()
    x_t = torch.arange(4)
    found = reverse_step(kernels[2], bar[2], x_t, p_0.expand(4, 4))
    for x in range(4):
        parts = [
            p_0[v] * step_posterior(kernels[2], bar[2], torch.tensor(x), torch.tensor(v))
            for v in range(4)
        ]
        torch.testing.assert_close(found[x], sum(parts))
    # with masks, what is not masked stays, whatever the network says of it
    masks = cumulative(torch.stack([absorbing_kernel(2, 0.5)] * 2))
    p = reverse_step(absorbing_kernel(2, 0.5), masks[1], torch.arange(3), torch.ones(3, 3) / 3)
    assert p[0].tolist() == [1.0, 0.0, 0.0]


def test_the_bound_is_that_over_all_paths():
    """E_q log p(x_0, ..., x_T) / q(x_1, ..., x_T | x_0), 729 paths of 9 events; and the total."""
    kernels, start = any_kernels(3, 3), torch.tensor([0.2, 0.3, 0.5]).double()
    torch.manual_seed(1)
    table = torch.randn(4, 9, 2, 3).double().softmax(-1)
    found = chain_bound(kernels, lambda x, t: table[t], start, 2)
    torch.testing.assert_close(found.log_prob.exp().sum(), torch.ones(()).double())
    assert (found.bound < found.log_prob).all()
    events, bar = found.events, cumulative(kernels)
    assert events.tolist() == [list(e) for e in itertools.product(range(3), repeat=2)]

    def forward(t, a, b):
        return kernels[t - 1][events[a], events[b]].prod()

    def back(t, a, b):  # p(x_{t-1} = b | x_t = a)
        each = reverse_step(kernels[t - 1], bar[t - 1], events[a], table[t, a])  # (2, 3)
        return each[torch.arange(2), events[b]].prod()

    f = {
        t: torch.stack([torch.stack([forward(t, a, b) for b in range(9)]) for a in range(9)])
        for t in (1, 2, 3)
    }
    r = {
        t: torch.stack([torch.stack([back(t, a, b) for b in range(9)]) for a in range(9)])
        for t in (1, 2, 3)
    }
    first = start[events].prod(1)
    log_p = (first @ r[3] @ r[2] @ r[1]).log()
    torch.testing.assert_close(found.log_prob, log_p)
    for x_0 in (0, 5):
        total = 0.0
        for a, b, c in itertools.product(range(9), repeat=3):
            q = f[1][x_0, a] * f[2][a, b] * f[3][b, c]
            p = first[c] * r[3][c, b] * r[2][b, a] * r[1][a, x_0]
            total = total + q * (p.log() - q.log())
        torch.testing.assert_close(found.bound[x_0], total)


def test_one_symbol_whose_past_is_known_has_a_tight_bound():
    """Predictions by Bayes' rule turn the chain back exactly: p(x_0) is the data's."""
    data, kernels = torch.tensor([0.5, 0.3, 0.2]).double(), any_kernels(4, 3)
    bar = cumulative(kernels)

    def bayes(x, t):
        joint = data * bar[t].T[x[:, 0]]  # (S, K)
        return (joint / joint.sum(1, keepdim=True))[:, None]

    found = chain_bound(kernels, bayes, data @ bar[-1], 1)
    torch.testing.assert_close(found.log_prob.exp(), data)
    torch.testing.assert_close(found.bound.exp(), data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: uniform_kernel(0, 0.5), "symbols: got 0"),
        (lambda: uniform_kernel(3, 1.5), "beta: got 1.5, expected a probability"),
        (lambda: absorbing_kernel(3, -0.1), "beta: got -0.1, expected a probability"),
        (lambda: gaussian_kernel(3, 0.0), "beta: got 0.0, expected a positive number"),
        (lambda: gaussian_kernel(1, 0.1), "symbols: got 1, expected an integer of at least 2"),
        (lambda: chain_bound(torch.ones(1, 1, 1), None, None, 0), "coordinates: got 0"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
