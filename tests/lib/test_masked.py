"""Masked diffusion against all orders, all masks and all groupings of a few coordinates."""

import itertools
import math

import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import nn
from torch.nn.functional import one_hot

from dgm import evaluate
from dgm.models import MaskedDiffusion
from dgm.objectives import masked_bound
from dgm.protocols import Generative, Tractable
from dgm.train import gradient_step

pytestmark = pytest.mark.usefixtures("cpu")

D = 4
EVENTS = torch.tensor(list(itertools.product([0.0, 1.0], repeat=D))).double()  # (16, D)
ORDERS = list(itertools.permutations(range(D)))
MASKS = [torch.tensor(m) for m in itertools.product([False, True], repeat=D)]


def scattered(levels=2):
    """Any network: its conditionals belong to no one distribution."""
    torch.manual_seed(0)
    model = MaskedDiffusion.mlp(D, levels=levels, hidden=8)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p))
    return model.double()


class Exact(nn.Module):
    """The true conditionals of a table of 16 probabilities."""

    def __init__(self, p):
        super().__init__()
        self.p = nn.Parameter(p)  # the model asks a parameter for its type

    def forward(self, v):  # (B, D, 2)
        known = v.sum(-1) > 0
        agree = ((EVENTS[None] == v[:, None, :, 1]) | ~known[:, None]).all(-1)  # (B, 16)
        weights = agree * self.p
        ones = weights @ EVENTS / weights.sum(1, keepdim=True)  # (B, D)
        return torch.stack([1 - ones, ones], -1).clamp(min=0).log()


def table():
    torch.manual_seed(3)
    p = torch.randn(16).double().mul(1.5).softmax(0)
    return p, MaskedDiffusion(Exact(p), D)


def log_conditionals(model, hidden):
    """log p(x_i | what is not hidden) of all events: (16, D)."""
    logits = model(EVENTS, (~hidden).expand(16, D))
    return logits.log_softmax(-1).gather(-1, EVENTS.long()[..., None])[..., 0].detach()


def law(model, groups):
    """The distribution of draws whose coordinates come in these groups: (16,)."""
    hidden, total = torch.ones(D, dtype=torch.bool), torch.zeros(16).double()
    for group in groups:
        total = total + log_conditionals(model, hidden)[:, list(group)].sum(1)
        hidden[list(group)] = False
    return total.exp()


def errors_off(drawn, p):
    """How far shares of the 16 events among draws (N, D) are from p, in standard errors."""
    which = (drawn * torch.tensor([8, 4, 2, 1])).sum(1).long()
    found = torch.bincount(which, minlength=16) / len(drawn)
    # of events that hardly ever come, one draw more or less is no error
    error = (p * (1 - p) / len(drawn)).sqrt() + 1 / len(drawn)
    return ((found - p).abs() / error).max()


# ------------------------------------------------------------------ what it says


def test_one_order_is_a_normalised_model():
    model = scattered()
    for order in ORDERS[:3]:
        member = model.in_order(order)
        assert isinstance(member, Tractable) and not isinstance(model, Tractable)
        expected = law(model, [[j] for j in order])
        torch.testing.assert_close(member.log_prob(EVENTS).exp(), expected)
        torch.testing.assert_close(expected.sum(), torch.ones(()).double())
    assert isinstance(model, Generative)
    assert errors_off(member.sample(4000), expected) < 4.5


def test_hidden_values_are_not_looked_at():
    model, known = scattered(), torch.rand(16, D) < 0.5
    others = EVENTS.where(known, 1 - EVENTS)
    assert torch.equal(model(EVENTS, known), model(others, known))
    unknown = EVENTS.where(known, torch.nan)
    assert torch.equal(model(EVENTS, known), model(unknown, known))
    assert not torch.equal(model(EVENTS, known), model(EVENTS, ~known))
    # a known 0 is something else than an unknown coordinate
    nothing = torch.zeros(1, D).double()
    none, all_ = torch.zeros(1, D, dtype=torch.bool), torch.ones(1, D, dtype=torch.bool)
    assert not torch.equal(model(nothing, none), model(nothing, all_))


def test_conditionals_are_of_values_on_the_grid():
    model = scattered(levels=3)
    x = torch.tensor([[0.0, 0.5, 1.0, 0.5]]).double()
    known = torch.tensor([[True, False, True, False]])
    p = model.conditionals(x, known)
    assert p.support.check(p.sample()).all()
    integers = model.conditionals(torch.tensor([[0, 1, 2, 1]]), known)
    torch.testing.assert_close(integers.logits, p.logits)
    values = torch.tensor([0.0, 0.5, 1.0]).double()[:, None, None]
    torch.testing.assert_close(p.log_prob(values).exp()[:, 0], p.probs[0].T)


# ------------------------------------------------------------------ the bound


def by_orders(model):
    """E_o log p_o(x): (16,)."""
    return torch.stack([model.in_order(order).log_prob(EVENTS) for order in ORDERS]).mean(0)


def test_the_bound_is_the_mean_over_orders_by_masks():
    """24 orders on the one side, 15 masks on the other, and draws of the estimate."""
    model = scattered()
    expected = by_orders(model).detach()
    masks = torch.zeros(16).double()
    for hidden in MASKS[1:]:
        m = int(hidden.sum())
        mean = (log_conditionals(model, hidden) * hidden).sum(1) / m
        masks += mean / math.comb(D, m)  # D times the mean over m, that over sets of m
    torch.testing.assert_close(masks, expected)
    torch.manual_seed(1)
    with torch.no_grad():
        draws = masked_bound(model, EVENTS.repeat(4000, 1)).view(4000, 16)
        sums = -evaluate.by_masked(model, EVENTS.repeat(4000, 1)).sum(1).view(4000, 16)
    assert standard_errors_off(draws, expected) < 4.5
    assert standard_errors_off(sums, expected) < 4.5
    assert (sums.var(0) < 1.2 * draws.var(0) / D).all()


def test_columns_are_the_numbers_of_hidden_coordinates():
    model = scattered()
    torch.manual_seed(1)
    draws = evaluate.by_masked(model, EVENTS.repeat(1000, 1)).view(1000, 16, D)
    for m in range(1, D + 1):
        sets = [hidden for hidden in MASKS if hidden.sum() == m]
        mean = sum((log_conditionals(model, s) * s).sum(1) / m for s in sets) / len(sets)
        assert standard_errors_off(draws[..., m - 1], -mean) < 4.5


def test_the_gradient_of_the_bound_is_that_of_the_mean_over_orders():
    model, x = scattered(), EVENTS[5:6]
    weight = next(p for p in model.parameters() if p.dim() == 2)
    mean = torch.stack([model.in_order(order).log_prob(x) for order in ORDERS]).mean()
    (expected,) = torch.autograd.grad(mean, weight)
    torch.manual_seed(1)
    draws = []
    for _ in range(200):
        (g,) = torch.autograd.grad(masked_bound(model, x.expand(50, -1)).mean(), weight)
        draws.append(g)
    assert standard_errors_off(torch.stack(draws), expected) < 5


def test_conditionals_of_one_distribution_make_the_bound_tight():
    p, model = table()
    torch.testing.assert_close(by_orders(model).exp(), p)
    anything = scattered()
    mixed = torch.stack([anything.in_order(order).log_prob(EVENTS).exp() for order in ORDERS])
    assert (by_orders(anything) < mixed.mean(0).log()).all()  # Jensen


# ------------------------------------------------------------------ samples


def groupings(steps):
    """All ways to reveal D coordinates in so many groups of the same size, equally likely."""
    size = D // steps
    for order in ORDERS:
        yield [order[i : i + size] for i in range(0, D, size)]


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_draws_in_steps_follow_the_mean_over_groupings(steps):
    p, model = table()
    expected = torch.stack([law(model, groups) for groups in groupings(steps)]).mean(0)
    torch.manual_seed(1)
    assert errors_off(model.sample(8000, steps), expected) < 4.5
    off = (expected - p).abs().sum() / 2
    assert (off < 1e-9) == (steps == 4)  # alone each is drawn given all the others before


def test_more_steps_than_coordinates_reveal_one_or_none():
    p, model = table()
    torch.manual_seed(1)
    assert errors_off(model.sample(8000, steps=7), p) < 4.5


def test_a_position_that_is_chosen_by_its_distribution_leaves_the_law_exact():
    p, model = table()
    torch.manual_seed(1)
    assert errors_off(model.sample(8000, choose="entropy"), p) < 4.5
    entropy = model.conditionals(EVENTS[:1], torch.zeros(1, D, dtype=torch.bool)).entropy()[0]
    first, *_ = entropy.argsort()[:2].tolist()
    two = model.sample(8000, steps=2, choose="entropy")
    pair = entropy.argsort()[:2].tolist()
    rest = [j for j in range(D) if j not in pair]
    assert first in pair
    assert errors_off(two, law(model, [pair, rest])) < 4.5


@pytest.mark.parametrize("choose", ["random", "entropy"])
def test_what_is_observed_stays_and_the_rest_is_drawn_given_it(choose):
    p, model = table()
    seen = torch.tensor([torch.nan, 1.0, torch.nan, 0.0]).double()
    torch.manual_seed(1)
    drawn = model.sample(8000, observed=seen, choose=choose)
    fits = (EVENTS[:, 1] == 1) & (EVENTS[:, 3] == 0)
    assert errors_off(drawn, p * fits / (p * fits).sum()) < 4.5
    tokens = torch.tensor([[-1, 1, -1, 0], [-1, -1, -1, 1]])  # another set for each
    each = model.sample(2, observed=tokens, steps=2)
    assert each[0, [1, 3]].tolist() == [1, 0] and each[1, 3] == 1
    grey = scattered(levels=3).sample(1, observed=torch.tensor([0, 1, 2, -1]), choose=choose)
    assert grey[0, :3].tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda m: m.sample(2, steps=0), "steps: got 0"),
        (lambda m: m.sample(2, choose="value"), "choose: got 'value', expected 'random' or"),
        (lambda m: m.sample(2, observed=torch.zeros(3)), r"observed: got shape \(3,\), expected"),
        (
            lambda m: m.sample(2, observed=torch.full((D,), 0.4)),
            "observed: expected 2 levels.* nan",
        ),
        (lambda m: m.sample(2, observed=torch.full((D,), 3)), "observed: expected 2 levels.* -1"),
        (lambda m: m(EVENTS, EVENTS), "known: got torch.float64 of shape"),
        (lambda m: m(EVENTS, EVENTS[:1] > 0), r"known: got torch.bool of shape \(1, 4\)"),
        (lambda m: m.in_order([0, 1, 2]), "order: got"),
        (lambda m: MaskedDiffusion.mlp(D, levels=1), "levels: got 1"),
        (lambda m: MaskedDiffusion.conv((8, 8)), r"shape: got \(8, 8\), expected \(T,\) or \(C, H"),
    ],
)
def test_what_is_refused(ask, message):
    with pytest.raises(ValueError, match=message):
        ask(scattered())


# ------------------------------------------------------------------ networks, training


def test_convolutions_see_their_neighbourhood_and_their_place():
    torch.manual_seed(0)
    model = MaskedDiffusion.conv((20,), levels=3, width=6, blocks=2).double()
    x, known = torch.zeros(1, 20).double(), torch.ones(1, 20, dtype=torch.bool)
    other = x.clone()
    other[0, 10] = 1.0
    changed = (model(x, known) != model(other, known)).any(-1)[0]
    assert changed.nonzero().flatten().tolist() == list(range(6, 15))  # 2 blocks, 2 to each side
    inner = model(x, known)[0, 6:14]
    assert not torch.allclose(inner[0], inner[1])  # the same neighbours, elsewhere


def test_channels_are_not_mixed_up():
    torch.manual_seed(0)
    model = MaskedDiffusion.conv((2, 5, 5), levels=3, width=8, blocks=1).double()
    x = torch.rand(4, 2, 5, 5).mul(2.99).floor().double() / 2
    known = torch.ones_like(x, dtype=torch.bool)
    logits = model(x, known)
    assert logits.shape == (4, 2, 5, 5, 3)
    v = one_hot((2 * x).long(), 3).double()  # (4, 2, 5, 5, 3)
    network = model.network
    planes = torch.stack([v[..., level] for level in range(3)], 1).flatten(1, 2)
    h = network.first(planes) + network.places
    h = h + nn.functional.gelu(network.blocks[0](h))
    out = network.last(h).unflatten(1, (3, 2))
    torch.testing.assert_close(logits, out.movedim(1, -1))


@pytest.mark.parametrize("make", [MaskedDiffusion.mlp, MaskedDiffusion.conv])
def test_it_learns_what_goes_together(make):
    """Two events of 4 tokens: the bound comes near log 1/2, alone each token would cost log 2."""
    torch.manual_seed(0)
    x = torch.tensor([[0.0, 1, 0, 1], [1.0, 0, 1, 0]]).repeat(32, 1)
    more = {"hidden": 20} if make == MaskedDiffusion.mlp else {"width": 8, "blocks": 1}
    model = make(4, **more)
    step = gradient_step(model, masked_bound, lr=2e-2)
    for _ in range(120):
        step((x,))
    assert evaluate.by_masked(model, x).sum(1).mean() < math.log(2) + 0.15
    drawn = model.sample(200)
    good = (drawn == x[0]).all(1) | (drawn == x[1]).all(1)
    assert good.double().mean() > 0.85  # 1/8 by chance
