"""The labelled equations of chapter 09, each computed in two independent ways, in float64."""

import math
from itertools import permutations, product

import pytest
import torch
import torch.nn.functional as F

from dgm.models import FVSBN, LSTM, MADE, NADE, GatedPixelCNN, PixelCNN, Transformer
from dgm.models.autoregressive import OrderEnsemble, inverse_cdf

ANY_ORDER = {
    FVSBN: {},
    NADE: {"hidden": 5},
    MADE: {"hidden": (7, 6)},
    LSTM: {"hidden": 5, "layers": 2},
    Transformer: {"width": 8, "layers": 2, "heads": 2},
}
IMAGES = {PixelCNN: {"width": 4, "layers": 2}, GatedPixelCNN: {"width": 4, "layers": 3}}
ORDERS = [None, (5, 4, 3, 2, 1, 0), (2, 0, 5, 1, 4, 3)]


pytestmark = pytest.mark.usefixtures("float64")


def every_model(shape=(1, 2, 3), levels=2):
    """Each of the seven models in each order that it can have, with random parameters."""
    cases = [(cls, {"order": o, **k}) for (cls, k), o in product(ANY_ORDER.items(), ORDERS)]
    for cls, options in [*cases, *IMAGES.items()]:
        model = cls(shape, levels=levels, **options)
        with torch.no_grad():
            for p in model.parameters():
                p.normal_(std=0.5)
        yield model


def everything(shape, levels=2):
    """All events on the grid: (levels^D, *shape)."""
    values = torch.linspace(0, 1, levels)
    return torch.cartesian_prod(*[values] * math.prod(shape)).view(-1, *shape)


def random_law(*size):
    law = torch.rand(size) ** 3
    return law / law.sum()


def kl(p, q):
    return (p * (p / q).log()).sum()


def total_variation(p, q):
    return (p - q).abs().sum() / 2


def conditional(law, order, t):
    """p(x_(o_t) | x_(o_1), ..., x_(o_(t-1))) of a table, broadcast to the table's size."""
    later, j = order[t + 1 :], order[t]
    marginal = law.sum(later, keepdim=True) if later else law
    return marginal / marginal.sum(j, keepdim=True)


@pytest.mark.equation("eq-chain-rule")
def test_the_chain_rule_in_every_order():
    """Conditionals found by counting exact outcomes of a table, multiplied, against the table.

    And the other way round: those that sums over a model's p(x) give against the model's own.
    """
    counts = torch.randint(1, 50, (2, 3, 2, 2))
    law = counts / counts.sum()
    for order in permutations(range(4)):
        for x in product(range(2), range(3), range(2), range(2)):
            p, seen = 1.0, [slice(None)] * 4
            for j in order:
                before = counts[tuple(seen)].sum().item()
                seen[j] = slice(x[j], x[j] + 1)
                p *= counts[tuple(seen)].sum().item() / before
            assert p == pytest.approx(law[x].item(), rel=1e-12)
    for model in every_model():
        x, order = everything(model.shape), model.order.tolist()
        with torch.no_grad():
            law = model.log_prob(x).exp().view([2] * 6)
            own = model.conditionals(x).log_prob(x).flatten(1).exp()  # (64, 6)
        for t, j in enumerate(order):
            by_sums = conditional(law, order, t).expand([2] * 6).flatten()
            torch.testing.assert_close(own[:, j], by_sums)


@pytest.mark.equation("eq-normalised")
def test_the_probabilities_sum_to_one():
    """The sum over all inputs against 1: seven models, in every order, of two and three levels."""
    for levels, shape in ((2, (1, 2, 3)), (3, (1, 2, 3))):
        x = everything(shape, levels)
        for model in every_model(shape, levels):
            assert model.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-11)
    # and factors that are no network: random tables f_j(x_j; x_<j)
    f = [torch.rand([3] * (j + 1)) for j in range(4)]
    f = [factor / factor.sum(-1, keepdim=True) for factor in f]
    total = sum(
        math.prod(f[j][x[: j + 1]].item() for j in range(4)) for x in product(range(3), repeat=4)
    )
    assert total == pytest.approx(1, abs=1e-12)


@pytest.mark.equation("eq-triangular")
def test_the_jacobian_is_strictly_lower_triangular():
    """Derivatives by autograd, on and above the diagonal in the model's order, against zero."""
    for model in every_model():
        x = torch.rand(5, *model.shape)
        with torch.no_grad():
            for p in model.parameters():
                p.abs_()  # no ReLU is off
        J = torch.autograd.functional.jacobian(lambda x, m=model: m(x).sum(0).flatten(), x)
        J = J.flatten(2).abs().sum(1)[model.order][:, model.order]
        assert (J.triu() == 0).all()
        assert (J.tril(-1) > 0).sum() > 9  # of 15 below the diagonal; a PixelCNN is blind to some


@pytest.mark.equation("eq-teacher-forcing")
def test_the_loss_of_teacher_forcing_is_minus_log_p():
    """Cross-entropies of one step after the other, the rest still blank, against one pass."""
    for model in every_model(levels=3):
        x = everything(model.shape, 3)[::37]
        known, loss = torch.zeros(len(x), 6), torch.zeros(len(x))
        for j, logits in zip(model.order.tolist(), model.naive(known), strict=False):
            target = (2 * x.flatten(1)[:, j]).round().long()
            loss += F.cross_entropy(F.pad(logits, (1, 0)), target, reduction="none")
            known[:, j] = x.flatten(1)[:, j]
        torch.testing.assert_close(loss, -model.log_prob(x), rtol=1e-10, atol=1e-10)


@pytest.mark.equation("eq-inverse-cdf")
def test_draws_are_a_function_of_the_noise():
    """Levels by counting against exact shares of an even grid of noise; samplers with one noise."""
    p = torch.tensor([0.12, 0.5, 0.08, 0.3])
    u = (torch.arange(100_000) + 0.5) / 100_000  # a level's share of the grid is its probability
    level = (u[:, None] >= p.cumsum(0)[:-1]).sum(1)
    shares = torch.bincount(level, minlength=4) / 100_000
    torch.testing.assert_close(shares, p, atol=2e-5, rtol=0)
    logits = (p / p[0]).log()[1:].expand(100_000, 3)
    assert inverse_cdf(logits, u).equal(level)
    for model in every_model(levels=3):
        torch.manual_seed(1)
        noise = torch.rand(20, 6)
        by_hand = torch.zeros(20, 6)
        for t, (j, logits) in enumerate(
            zip(model.order.tolist(), model.naive(by_hand), strict=False)
        ):
            steps = F.pad(logits, (1, 0)).softmax(1).cumsum(1)[:, :-1]
            by_hand[:, j] = (noise[:, t, None] >= steps).sum(1) / 2
        for incremental in (True, False):
            torch.manual_seed(1)
            assert model.sample(20, incremental=incremental).flatten(1).equal(by_hand)


@pytest.mark.equation("eq-kl-chain")
def test_the_divergence_of_the_joint_is_a_sum_over_conditionals():
    """The divergence of two tables against the sum of expected ones, in three orders."""
    p, q = random_law(2, 3, 2), random_law(2, 3, 2)
    for order in ((0, 1, 2), (2, 0, 1), (1, 2, 0)):
        total = 0.0
        for t, j in enumerate(order):
            a, b = conditional(p, order, t), conditional(q, order, t)
            inner = (a * (a / b).log()).sum(j, keepdim=True)  # a divergence per beginning
            total += (p * inner).sum()  # beginnings from p
        torch.testing.assert_close(total, kl(p, q))


@pytest.mark.equation("eq-pinsker")
def test_pinsker():
    """Total variation, also as the largest difference over all events, against the root."""
    tightest = 0.0
    for seed in range(200):
        torch.manual_seed(seed)
        p = random_law(6)
        q = (p.log() + torch.rand(()) * torch.randn(6)).softmax(0)
        events = everything((6,))
        largest = (events @ (p - q)).max()
        torch.testing.assert_close(largest, total_variation(p, q))
        bound = (kl(p, q) / 2).sqrt()
        assert largest <= bound
        tightest = max(tightest, (largest / bound).item())
    assert tightest > 0.9  # no smaller constant would do


@pytest.mark.equation("eq-own-beginnings")
def test_training_on_own_beginnings_loses_the_dependence():
    """The maximiser of the expectation, by gradient ascent over all q, against p(x_2)."""
    p = torch.rand(3, 4) + 0.1
    p = p / p.sum()
    start, target = p.sum(1), p.sum(0)
    pairs = start[:, None] * target  # own beginning and target are independent
    a = torch.zeros(3, 4, requires_grad=True)
    for _ in range(400):
        value = (pairs * a.log_softmax(1)).sum()
        (slope,) = torch.autograd.grad(value, a)
        a = (a + 2 * slope / start[:, None]).detach().requires_grad_()
    torch.testing.assert_close(a.softmax(1).detach(), target.expand(3, 4), atol=1e-9, rtol=0)
    true = p / start[:, None]
    assert (true - target).abs().max() > 0.05  # which is not what the data say


@pytest.mark.equation("eq-source-entropy")
def test_the_entropy_of_a_markov_source():
    """Enumeration of all 3^5 sequences against the formula; no model scores better.

    The models are an LSTM at random, and one trained for the source.
    """
    P = torch.tensor([[0.8, 0.15, 0.05], [0.05, 0.8, 0.15], [0.3, 0.05, 0.65]])
    values, vectors = torch.linalg.eig(P.T)
    pi = vectors[:, values.real.argmax()].real
    pi = pi / pi.sum()
    x = torch.cartesian_prod(*[torch.arange(3)] * 5)
    p = pi[x[:, 0]] * P[x[:, :-1], x[:, 1:]].prod(1)
    entropy = -(p * p.log()).sum()
    formula = -(pi * pi.log()).sum() - 4 * (pi[:, None] * P * P.log()).sum()
    torch.testing.assert_close(entropy, formula)
    model = LSTM((5,), levels=3, hidden=8)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    losses = []
    for _ in range(120):
        loss = -(p * model.log_prob(x)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses) > entropy.item()
    assert losses[-1] < entropy.item() + 0.05


@pytest.mark.equation("eq-nade-running-sum")
def test_the_running_sum_of_nade():
    """Pre-activations summed anew for each coordinate against the recursion and the library."""
    D, n = 7, 5
    model = NADE((D,), hidden=n)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    W, V = model.input_weight[:, 0], model.output_weight[:, 0]
    c, b = model.hidden_bias, model.bias[:, 0]
    x = torch.randint(2, (D,)).double()
    e = c
    for j, of_library in enumerate(model.incremental(x[None])):
        direct = c + sum((W[i] * x[i] for i in range(j)), torch.zeros(n))
        torch.testing.assert_close(e, direct)
        logit = b[j] + V[j] @ direct.sigmoid()
        torch.testing.assert_close(model(x[None])[0, j, 0], logit)
        torch.testing.assert_close(of_library[0, 0], logit)
        e = e + W[j] * x[j]


@pytest.mark.equation("eq-made-paths")
def test_the_masks_of_made_leave_only_paths_forward():
    """The product of the library's masks against a count of paths one by one."""
    for order in (None, (3, 0, 4, 1, 2)):
        model = MADE((5,), hidden=(6, 4), order=order)
        first, second, last = (m.long() for m in model.masks())
        paths = last @ second @ first
        place = model.order.argsort().tolist()
        for i, j in product(range(5), range(5)):
            count = sum(
                bool(first[k, i] and second[m, k] and last[j, m])
                for k, m in product(range(6), range(4))
            )
            assert paths[j, i] == count
            assert count == 0 or place[i] < place[j]
        assert (paths > 0).sum() == 10  # all that may be seen is seen


@pytest.mark.equation("eq-ensemble")
def test_the_mixture_of_orders():
    """The logarithm of the mean of p against the mean of logarithms, for all inputs; sums to 1."""
    x = everything((6,))
    ensemble = OrderEnsemble(MADE((6,), hidden=(9,)), orders=4)
    with torch.no_grad():
        for p in ensemble.parameters():
            p.normal_(std=0.7)
    each = torch.stack([m.log_prob(x) for m in ensemble.members()])  # (4, 64)
    mixed = ensemble.log_prob(x)
    torch.testing.assert_close(mixed, each.exp().mean(0).log())
    assert (mixed >= each.mean(0) - 1e-12).all()
    assert (mixed - each.mean(0)).max() > 0.1
    assert mixed.exp().sum().item() == pytest.approx(1, abs=1e-12)


@pytest.mark.equation("eq-blind-spot")
def test_the_blind_spot():
    """Which pixels have a derivative, by autograd, against the inequality, for many layers."""
    model = PixelCNN((1, 14, 14), width=6, layers=12)
    with torch.no_grad():
        for p in model.parameters():
            p.abs_()  # nothing cancels, and no ReLU is off
    i, j = 10, 4
    x = torch.rand(5, 1, 14, 14, requires_grad=True)
    slope = torch.autograd.grad(model(x)[:, 0, i, j, 0].sum(), x)[0].abs().sum((0, 1))
    for row, column in product(range(14), range(14)):
        k, m = i - row, column - j  # rows up, columns to the right
        if k >= 1 and m >= 1:
            assert (slope[row, column] > 0) == (m <= k + 2), (k, m)
    gated = GatedPixelCNN((1, 14, 14), width=6, layers=12)
    x = torch.rand(5, 1, 14, 14, requires_grad=True)
    slope = torch.autograd.grad(gated(x)[:, 0, i, j, 0].sum(), x)[0].abs().sum((0, 1))
    before = torch.arange(196).view(14, 14) < 14 * i + j
    assert ((slope > 0) == before).all()


@pytest.mark.equation("eq-completion")
def test_what_is_left_of_the_product_is_the_conditional_law():
    """A ratio of sums over the table of p(x) against the product of the later conditionals.

    The last model also completes 8000 vectors: how often each end comes, within 4 errors.
    """
    for model in every_model():
        x = everything(model.shape)
        p, flat = model.log_prob(x).exp(), x.flatten(1)
        first, last = model.order[:3], model.order[3:]
        factors = model.conditionals(x).log_prob(x).flatten(1)[:, last].sum(1).exp()
        for beginning in product((0.0, 1.0), repeat=3):
            agrees = (flat[:, first] == torch.tensor(beginning)).all(1)
            torch.testing.assert_close(factors[agrees], p[agrees] / p[agrees].sum())
    observed = torch.full((6,), torch.nan)
    observed[first] = torch.tensor(beginning)
    drawn = model.sample(8000, observed=observed.view(model.shape)).flatten(1)
    for x, share in zip(flat[agrees], (p[agrees] / p[agrees].sum()).tolist(), strict=True):
        frequency = (drawn == x).all(1).double().mean().item()
        assert abs(frequency - share) < 4 * (share * (1 - share) / 8000) ** 0.5
