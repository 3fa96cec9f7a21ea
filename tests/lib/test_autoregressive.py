"""Autoregressive models: normalised, causal, and sampled the same way twice. By enumeration."""

import math
from itertools import product

import pytest
import torch
from torch.distributions import Bernoulli

from dgm import objectives
from dgm.checks import check_data
from dgm.evaluate import bits_per_dimension
from dgm.heads import GreyLevels
from dgm.models import FVSBN, LSTM, MADE, NADE, GatedPixelCNN, PixelCNN, Transformer
from dgm.train import fit, gradient_step, save_checkpoint
from dgm.train.checkpoints import load_checkpoint

# tiny, but with everything that a layer can have more than one of
ANY_ORDER = {
    FVSBN: {},
    NADE: {"hidden": 5},
    MADE: {"hidden": (7, 6)},
    LSTM: {"hidden": 5, "layers": 2},
    Transformer: {"width": 8, "layers": 2, "heads": 2},
}
IMAGES = {
    PixelCNN: {"width": 4, "layers": 2},
    GatedPixelCNN: {"width": 4, "layers": 3},
}
ALL = ANY_ORDER | IMAGES
ORDERS = [None, (5, 4, 3, 2, 1, 0), (2, 0, 5, 1, 4, 3)]

# every model in every order that it can have: of 6 pixels, then of 3 pixels of 3 levels, of colours
CASES = [
    *[(model, (1, 2, 3), 2, order) for model, order in product(ANY_ORDER, ORDERS)],
    *[(model, (3,), 3, order) for model, order in product(ANY_ORDER, [None, (1, 2, 0)])],
    *[(model, shape, 2, None) for model, shape in product(IMAGES, [(1, 2, 3), (1, 3, 2)])],
    *[(model, shape, 3, None) for model, shape in product(IMAGES, [(1, 1, 4), (3, 1, 2)])],
]


def name(value):
    return getattr(value, "__name__", str(value))


every_case = pytest.mark.parametrize(("cls", "shape", "levels", "order"), CASES, ids=name)
every_model = pytest.mark.parametrize("cls", ALL, ids=name)


pytestmark = pytest.mark.usefixtures("cpu", "float64")


def build(cls, shape, levels=2, order=None, classes=0):
    """A tiny model with random parameters, far from the symmetries of a fresh one."""
    order = {} if order is None else {"order": order}
    model = cls(shape, levels=levels, classes=classes, **order, **ALL[cls])
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(std=0.5)  # not 1: conditionals would be certain
    return model


def everything(shape, levels=2):
    """All levels^D events: (levels^D, *shape)."""
    values = torch.linspace(0, 1, levels)
    d = math.prod(shape)
    return torch.cartesian_prod(*[values] * d).reshape(-1, *shape)


# ---------------------------------------------------------------- the chain rule


@every_case
def test_probabilities_sum_to_one(cls, shape, levels, order):
    log_p = build(cls, shape, levels, order).log_prob(everything(shape, levels))
    assert log_p.exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert log_p.std() > 0.1  # not the uniform distribution, which says nothing


@every_model
def test_probabilities_sum_to_one_for_every_class(cls):
    model, x = build(cls, (1, 2, 2), classes=3), everything((1, 2, 2))
    tables = [model.log_prob(x, torch.full((len(x),), y)).exp() for y in range(3)]
    for table in tables:
        assert table.sum().item() == pytest.approx(1, abs=1e-12)
    assert torch.stack(tables).std(0).max() > 1e-3
    first = model(x[:3], torch.arange(3))[:, 0, 0, 0]  # the first pixel, too, depends on the class
    assert len(first.unique()) == 3


@every_case
def test_a_conditional_is_the_ratio_of_two_sums_of_the_table(cls, shape, levels, order):
    """p(x_j | what comes before) = sum of p over all that agree up to j, over that before j."""
    model, x = build(cls, shape, levels, order), everything(shape, levels)
    p, flat = model.log_prob(x).exp(), x.flatten(1)
    seen = model.order.tolist()
    here = 7 % len(x)
    agree = torch.ones(len(x), dtype=torch.bool)
    conditionals = model.conditionals(x[here : here + 1])
    assert isinstance(conditionals, Bernoulli if levels == 2 else GreyLevels)
    log_p = conditionals.log_prob(x[here : here + 1]).flatten()
    for j in seen:
        before, agree = agree, agree & (flat[:, j] == flat[here, j])
        expected = (p[agree].sum() / p[before].sum()).log()
        assert log_p[j].item() == pytest.approx(expected.item(), abs=1e-10)


@pytest.mark.parametrize(
    ("cls", "shape", "levels", "order"), [case for case in CASES if case[2] == 2], ids=name
)
def test_the_jacobian_of_the_logits_is_strictly_lower_triangular(cls, shape, levels, order):
    model = build(cls, shape, levels, order)
    x, d = torch.rand(20, *shape), math.prod(shape)  # many, as a ReLU may be off at one
    summed = torch.autograd.functional.jacobian(lambda x: model(x).sum(0), x)
    jacobian = summed.reshape(d, 20, d).abs().sum(1)  # of d logit_i / d x_j
    jacobian = jacobian[model.order][:, model.order]
    assert (jacobian.triu() == 0).all()
    below = jacobian[torch.tril_indices(d, d, -1).unbind()]
    assert (below != 0).float().mean() > 0.6  # most of what may be seen is seen, or all


@every_case
def test_teacher_forcing_is_the_chain_step_by_step(cls, shape, levels, order):
    """The summed cross-entropy of the parallel pass = that of one conditional after the other."""
    model, x = build(cls, shape, levels, order), everything(shape, levels)[::5]
    for steps in (model.naive, model.incremental):
        x_known, log_p = torch.zeros(len(x), math.prod(shape)), torch.zeros(len(x))
        for j, logits in zip(model.order.tolist(), steps(x_known), strict=False):
            full = torch.cat([torch.zeros(len(x), 1), logits], 1)  # of level 0 first
            target = (x.flatten(1)[:, j] * (levels - 1)).round().long()
            log_p = log_p - torch.nn.functional.cross_entropy(full, target, reduction="none")
            x_known[:, j] = x.flatten(1)[:, j]  # only now is it written down
        torch.testing.assert_close(model.log_prob(x), log_p, rtol=1e-10, atol=1e-10)


# ---------------------------------------------------------------- sampling


@every_case
def test_the_incremental_sampler_draws_what_the_naive_one_draws(cls, shape, levels, order):
    model, n = build(cls, shape, levels, order), 50
    samples = []
    for incremental in (True, False):
        torch.manual_seed(1)
        samples.append(model.sample(n, incremental=incremental))
    assert samples[0].shape == (n, *shape)
    assert samples[0].equal(samples[1])
    assert len(samples[0].unique(dim=0)) > 3


@pytest.mark.parametrize("levels", [2, 5])
@every_model
def test_samplers_agree_on_larger_images_and_given_labels(cls, levels):
    """Wider than a mask and higher than a band of rows, with a label; the logits to rounding."""
    shape = (2, 6, 7) if cls in IMAGES else (1, 6, 7)
    model, y = build(cls, shape, levels, classes=3), torch.tensor([0, 1, 2])
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.6)  # else most conditionals are certain
    x = torch.randint(levels, (3, math.prod(shape))) / (levels - 1)
    parallel = model(x.unflatten(1, shape), y).flatten(1, -2)[:, model.order]
    steps = torch.stack([logits.clone() for logits in model.incremental(x, y)], 1)
    torch.testing.assert_close(steps, parallel, rtol=1e-9, atol=1e-9)
    samples = []
    for incremental in (True, False):
        torch.manual_seed(1)
        samples.append(model.sample(3, y, incremental=incremental))
    assert samples[0].equal(samples[1])


def z_scores(samples, x, p):
    """How far the frequencies of the events x are from p, in standard errors; events of mass."""
    n = len(samples)
    same = (samples.flatten(1).unsqueeze(1) - x.flatten(1)).abs().sum(2) < 1e-6  # (n, events)
    assert same.any(1).all()  # nothing else was drawn
    enough = p * n > 5  # where a frequency is about Gaussian
    return ((same.double().mean(0) - p) / (p * (1 - p) / n).sqrt())[enough]


@pytest.mark.parametrize("levels", [2, 3])
@every_model
def test_sample_frequencies(cls, levels):
    shape = (1, 2, 2)
    model, x = build(cls, shape, levels), everything(shape, levels)
    p = model.log_prob(x).exp().detach()
    z = z_scores(model.sample(10_000), x, p)
    assert len(z) > 4
    assert z.abs().max() < 4.5  # of up to 81 events; P(|z| > 4.5) = 7e-6 each


@every_model
def test_completion_draws_from_the_conditional_law(cls):
    """p(x | the first pixels) from the table against 10,000 completions; unknown is nan."""
    shape = (1, 2, 2)
    model, x = build(cls, shape), everything(shape)
    known = torch.tensor([[[1.0, 0.0], [torch.nan, torch.nan]]])
    p = model.log_prob(x).exp().detach()
    agrees = (x[:, 0, 0] == torch.tensor([1.0, 0.0])).all(1)
    p = torch.where(agrees, p, 0) / p[agrees].sum()
    assert z_scores(model.sample(10_000, observed=known), x, p).abs().max() < 4


def test_completion_of_many_and_of_integers():
    model = build(NADE, (4,), levels=3, order=(3, 2, 1, 0))
    given = torch.tensor([[-1, -1, 0, 2], [-1, 1, 1, 1], [-1, -1, -1, -1]])
    x = model.indices(model.sample(3, observed=given))
    assert (x[given >= 0] == given[given >= 0]).all()
    torch.manual_seed(1)
    nothing = model.sample(3, observed=torch.full((4,), torch.nan))
    torch.manual_seed(1)
    assert model.sample(3).equal(nothing)
    whole = torch.tensor([0.0, 0.5, 1.0, 0.5])
    assert model.sample(2, observed=whole).equal(whole.expand(2, 4))


def test_labels_choose_the_distribution_that_is_sampled():
    model, x = build(MADE, (2,), classes=2), everything((2,))
    y = torch.arange(2).repeat(10_000)
    samples = model.sample(20_000, y=y)
    for label in range(2):
        p = model.log_prob(x, torch.full((4,), label)).exp().detach()
        assert z_scores(samples[y == label], x, p).abs().max() < 4


# ---------------------------------------------------------------- values


@every_model
def test_integers_are_levels_whatever_their_type(cls):
    shape = (1, 2, 2)
    model = build(cls, shape, levels=256)
    index = torch.randint(256, (3, *shape))
    x = index / 255
    expected = model.log_prob(x)
    assert model.indices(x).equal(index)
    for integers in (index, index.to(torch.uint8), index.int()):
        torch.testing.assert_close(model.log_prob(integers), expected, rtol=1e-12, atol=1e-12)
    # as they come from a data set, in float32; grid values are of the model's own type
    in_float32 = (index / 255.0).float()
    with pytest.raises(ValueError, match="x: got torch.float32, expected torch.float64"):
        model.log_prob(in_float32)
    converted = model.log_prob(in_float32.double())
    torch.testing.assert_close(converted, expected, rtol=1e-5, atol=1e-4)


def test_bits_per_dimension():
    """Independent uniform levels: log2(L) bits each. And the entropy of a biased coin, in bits."""
    model = FVSBN((1, 2, 2), levels=16)  # zero weights: uniform
    x = torch.rand(5, 1, 2, 2).mul(15).round() / 15
    bits = bits_per_dimension(model.log_prob(x), model.shape)
    torch.testing.assert_close(bits, torch.full((5,), 4.0))
    coin = Bernoulli(0.25)
    h = -0.25 * math.log2(0.25) - 0.75 * math.log2(0.75)
    assert bits_per_dimension(-coin.entropy().item(), (1,)) == pytest.approx(h)


@every_model
def test_support(cls):
    model = cls((1, 5, 5), levels=3)
    check_data(model, torch.tensor([0, 0.5, 1]).repeat(25)[:50].reshape(2, 1, 5, 5))
    check_data(model, torch.full((2, 1, 5, 5), 2))
    for x in (torch.full((2, 1, 5, 5), 0.4), torch.full((2, 1, 5, 5), 3)):
        with pytest.raises(ValueError, match="outside the support .*3 levels: 0, 1/2, ..., 1"):
            check_data(model, x)


# ---------------------------------------------------------------- training and the rest


@every_model
def test_an_untrained_model_knows_little(cls):
    """About log 2 nats for each of the 64 pixels."""
    model = cls((1, 8, 8))
    log_p = model.log_prob(model.sample(2)).mean().item()
    assert log_p == pytest.approx(-64 * math.log(2), rel=0.4)


@every_model
def test_training_by_maximum_likelihood(cls):
    """Two patterns, equally often: the best score is -log 2."""
    x = torch.tensor([[0.0, 1, 1, 0], [1, 0, 1, 1]]).reshape(2, 1, 2, 2)
    model = cls((1, 2, 2))
    step = gradient_step(model, objectives.log_likelihood, lr=0.1 if cls is FVSBN else 0.005)
    fit(step, [(x,)] * 80, epochs=1, progress=False)
    assert -0.9 < model.log_prob(x).mean().item() < -math.log(2)


@every_model
def test_the_gradient_is_that_of_finite_differences(cls):
    model = build(cls, (1, 2, 2), levels=3, classes=2)
    x, y = torch.randint(3, (4, 1, 2, 2)) / 2, torch.tensor([0, 1, 1, 0])
    model.log_prob(x, y).sum().backward()
    for p in model.parameters():
        direction = torch.randn_like(p)
        slope, eps = (p.grad * direction).sum(), 1e-6
        with torch.no_grad():
            values = []
            for sign in (1, -1):
                p.add_(direction, alpha=sign * eps)
                values.append(model.log_prob(x, y).sum())
                p.add_(direction, alpha=-sign * eps)
        finite = (values[0] - values[1]) / (2 * eps)
        torch.testing.assert_close(slope, finite, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cls", ANY_ORDER, ids=name)
def test_a_checkpoint_knows_the_order(cls, tmp_path):
    a, b = (
        gradient_step(build(cls, (6,), order=order), objectives.log_likelihood)
        for order in ORDERS[1:]
    )
    x = everything((6,))
    save_checkpoint(tmp_path / "a.pt", a, type("History", (), {"metrics": {}}))
    load_checkpoint(tmp_path / "a.pt", b)
    assert a.model.log_prob(x).equal(b.model.log_prob(x))


# ---------------------------------------------------------------- bad input


@every_model
def test_bad_input(cls):
    shape = (1, 5, 5)
    model = cls(shape, levels=3, **ALL[cls])
    x = torch.zeros(2, *shape)
    backwards = torch.full(shape, torch.nan)
    backwards[:, -1] = 1  # the last row is known, and the first is not
    for act, message in [
        (lambda: cls(shape, levels=1), "levels: got 1, expected an integer of at least 2"),
        (lambda: cls(shape, levels=None), "levels: got None"),
        (lambda: cls(shape, classes=-1), "classes: got -1"),
        (lambda: model.log_prob(x + 0.3), "x: got values that are not on the grid"),
        (lambda: model.log_prob(x + torch.nan), "x: got values that are not on the grid"),
        (lambda: model.log_prob(x.long() + 3), "x: got values that are not on the grid"),
        (lambda: model.conditionals(x - 1), "x: got values that are not on the grid"),
        (lambda: model.log_prob(x[0]), r"x: got shape \(1, 5, 5\), expected \(B, 1, 5, 5\)"),
        (lambda: model.log_prob(x.flatten(1)), r"x: got shape \(2, 25\)"),
        (lambda: model.sample(2, observed=x[0] + 0.3), "observed: expected 3 levels.* or nan"),
        (lambda: model.sample(2, observed=x.long() - 2), "observed: expected 3 levels.* or -1"),
        (lambda: model.sample(3, observed=x), r"observed: got shape \(2, 1, 5, 5\)"),
        (lambda: model.sample(2, observed=backwards), "observed: .* observed to come first"),
    ]:
        with pytest.raises(ValueError, match=message):
            act()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda: NADE((4,), order=(0, 1, 2)), "order: got .*, expected each of 0, ..., 3 once"),
        (lambda: NADE((4,), order=(0, 1, 2, 2)), "order: got .*, expected each of 0, ..., 3 once"),
        (lambda: NADE((4,), order=torch.rand(4)), "order: got .*, expected each of 0, ..., 3 once"),
        (lambda: NADE(()), "shape: got"),
        (lambda: NADE((4,), hidden=0), "hidden: got"),
        (lambda: MADE((4,), hidden=()), "hidden: got"),
        (lambda: LSTM((4,), layers=0), "layers: got"),
        (lambda: Transformer((4,), width=6, heads=4), "heads: got 4, expected a divisor"),
        (lambda: PixelCNN((2,), levels=64), r"shape: got \(2,\), expected \(channels, height"),
        (lambda: GatedPixelCNN((2,), levels=64), r"shape: got \(2,\), expected \(channels, height"),
        (lambda: GatedPixelCNN((1, 5, 5), layers=0), "layers: got 0"),
    ],
)
def test_bad_arguments(act, message):
    with pytest.raises(ValueError, match=message):
        act()
