"""What is particular to one autoregressive model: formulas by hand, masks, the blind spot."""

import math

import pytest
import torch
import torch.nn.functional as F

from dgm import objectives
from dgm.models import FVSBN, LSTM, MADE, NADE, GatedPixelCNN, PixelCNN, Transformer
from dgm.models.autoregressive import inverse_cdf
from dgm.train import gradient_step

pytestmark = pytest.mark.usefixtures("cpu", "float64")


def randomised(model):
    with torch.no_grad():
        for p in model.parameters():
            p.normal_()
    return model


def all_binary(d):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * d).reshape(-1, d)


def sigmoid(a):
    return 1 / (1 + math.exp(-a))


# ---------------------------------------------------------------- the formulas, in plain loops


def test_fvsbn_is_the_textbook_formula():
    order = (2, 0, 3, 1)
    model = randomised(FVSBN((4,), order=order))
    w, b = model.weight.tolist(), model.bias.tolist()
    for x in all_binary(4).tolist():
        p = 1.0
        for t, j in enumerate(order):
            on = sigmoid(b[j] + sum(w[j][i] * x[i] for i in order[:t]))
            p *= on if x[j] else 1 - on
        assert model.log_prob(torch.tensor([x])).item() == pytest.approx(math.log(p), abs=1e-12)


def test_nade_is_the_textbook_formula():
    """With the hidden layer of each conditional summed from scratch, not from the one before."""
    order = (2, 0, 3, 1)
    model = randomised(NADE((4,), order=order, hidden=3))
    w, v = model.input_weight[:, 0].tolist(), model.output_weight[:, 0].tolist()
    b, c = model.bias[:, 0].tolist(), model.hidden_bias.tolist()
    for x in all_binary(4).tolist():
        p = 1.0
        for t, j in enumerate(order):
            h = [sigmoid(c[k] + sum(w[i][k] * x[i] for i in order[:t])) for k in range(3)]
            on = sigmoid(b[j] + sum(v[j][k] * h[k] for k in range(3)))
            p *= on if x[j] else 1 - on
        assert model.log_prob(torch.tensor([x])).item() == pytest.approx(math.log(p), abs=1e-12)


def test_the_running_sum_of_nade_is_the_direct_sum():
    model, x = randomised(NADE((6,), levels=3, hidden=4)), torch.randint(3, (5, 6)) / 2
    for t, logits in enumerate(model.incremental(x)):
        one_hot = torch.nn.functional.one_hot((x * 2).long(), 3).double()[..., 1:]  # (5, 6, 2)
        direct = model.hidden_bias + torch.einsum(
            "bdm,dmh->bh", one_hot[:, :t], model.input_weight[:t]
        )
        expected = direct.sigmoid() @ model.output_weight[t].T + model.bias[t]
        torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)


def test_the_levels_of_a_three_level_fvsbn_are_a_softmax():
    """logits (0, l_1, l_2): level 0 is the reference, and what was drawn enters as indicators."""
    model = randomised(FVSBN((2,), levels=3))
    w, b = model.weight, model.bias
    logits = torch.stack([torch.tensor(0.0), b[2] + w[2, 1], b[3] + w[3, 1]])  # given x_0 = 1.0
    p = model.conditionals(torch.tensor([[1.0, 0.0]])).probs[0, 1]
    torch.testing.assert_close(p, logits.softmax(0))


def test_the_first_conditional_depends_on_nothing():
    """The first pixel is not a constant that somebody chose: it has a distribution of its own."""
    for cls in (FVSBN, NADE, MADE, LSTM, Transformer):
        model = randomised(cls((4,), order=(2, 0, 3, 1)))
        first = model.conditionals(all_binary(4)).probs[:, 2]
        torch.testing.assert_close(first, first[:1].expand(16))
        x = model.sample(4000)[:, 2]
        p = first[0].item()
        assert abs(x.mean().item() - p) < 4 * math.sqrt(p * (1 - p) / 4000) + 1e-12


# ---------------------------------------------------------------- MADE


@pytest.mark.parametrize("hidden", [(1,), (7,), (3, 9, 5)])
def test_made_masks_connect_what_comes_before_and_all_of_it(hidden):
    """The product of the masks counts the paths: none to earlier outputs or to oneself."""
    order = (3, 1, 4, 0, 2)
    model = MADE((5,), order=order, hidden=hidden)
    paths = torch.eye(5)
    for mask in model.masks():
        paths = mask.double() @ paths
    paths = paths[model.order][:, model.order]
    assert (paths.triu() == 0).all()
    if min(hidden) >= 4:  # a unit for each degree
        assert (paths[torch.tril_indices(5, 5, -1).unbind()] > 0).all()


def test_made_degrees():
    model = MADE((5,), hidden=(8, 3))
    assert model.degrees(model.layers[0]).tolist() == [1, 1, 2, 2, 3, 3, 4, 4]
    assert model.degrees(model.layers[1]).tolist() == [1, 2, 3]


@pytest.mark.parametrize("cls", [FVSBN, NADE, MADE, LSTM, Transformer])
def test_one_coordinate(cls):
    model = randomised(cls((1,), levels=3))
    x = torch.tensor([[0.0], [0.5], [1.0]])
    assert model.log_prob(x).exp().sum().item() == pytest.approx(1)
    assert model.sample(4).shape == (4, 1)


def test_reordered_shares_the_parameters():
    made = randomised(MADE((5,), hidden=(6,)))
    other = made.reordered((4, 3, 2, 1, 0))
    assert made.order.tolist() == [0, 1, 2, 3, 4]
    twin = MADE((5,), order=(4, 3, 2, 1, 0), hidden=(6,))
    twin.load_state_dict(made.state_dict() | {"order": twin.order})
    x = all_binary(5)
    assert other.log_prob(x).equal(twin.log_prob(x))
    assert not torch.allclose(other.log_prob(x), made.log_prob(x))
    assert all(a is b for a, b in zip(made.parameters(), other.parameters(), strict=True))


def test_the_ensemble_is_the_mean_of_its_members_and_normalised():
    ensemble, x = randomised(MADE((4,), hidden=(6, 6)).ensemble(orders=3)), all_binary(4)
    p = torch.stack([member.log_prob(x).exp() for member in ensemble.members()])
    assert p.std(0).max() > 1e-3
    torch.testing.assert_close(ensemble.log_prob(x).exp(), p.mean(0))
    assert ensemble.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)
    n, p = 20_000, p.mean(0).detach()
    drawn = (ensemble.sample(n) @ torch.tensor([8.0, 4, 2, 1])).long().bincount(minlength=16) / n
    z = (drawn - p) / (p * (1 - p) / n).sqrt()
    assert z[p * n > 5].abs().max() < 4


def test_order_agnostic_training_serves_orders_that_were_not_asked_for():
    """Of three bits the third is the parity of the others: in any order the last one is certain."""
    x = all_binary(2)
    x = torch.cat([x, x.sum(1, keepdim=True) % 2], 1)
    model = MADE((3,), hidden=(60, 60))
    step = gradient_step(model, objectives.order_agnostic, lr=0.02)
    for _ in range(150):
        step((x,))
    for order in [(0, 1, 2), (2, 0, 1), (1, 2, 0)]:
        assert model.reordered(order).log_prob(x).mean().item() > -1.6  # the best is -log 4 = -1.39
    # what is known comes first, wherever it is
    given = torch.tensor([torch.nan, 1.0, 1.0])
    assert model.reordered((1, 2, 0)).sample(200, observed=given)[:, 0].mean() < 0.2


def test_training_the_ensemble_trains_its_network():
    made = MADE((4,), hidden=(8,))
    ensemble = made.ensemble(orders=2)
    before = made.log_prob(torch.ones(1, 4)).item()
    step = gradient_step(ensemble, objectives.log_likelihood, lr=0.05)
    for _ in range(10):
        step((torch.ones(4, 4),))
    assert made.log_prob(torch.ones(1, 4)).item() > before + 0.5


# ---------------------------------------------------------------- PixelCNN


def receptive_field(model, i, j):
    """Which pixels the logit of pixel (i, j) of a (1, H, W) image has a gradient with respect to.

    Over many random inputs, as a ReLU may be off at one of them.
    """
    x = torch.rand(20, *model.shape, requires_grad=True)
    model(x)[:, 0, i, j].sum().backward()
    return x.grad.abs().sum((0, 1)) > 0  # (H, W)


def before(height, width, i, j):
    place = torch.arange(height * width).reshape(height, width)
    return place < i * width + j


def test_the_gated_pixelcnn_has_no_blind_spot_and_the_plain_one_has():
    shape, i, j = (1, 5, 13), 3, 4
    seen_before = before(5, 13, i, j)
    gated = receptive_field(GatedPixelCNN(shape, width=4, layers=8), i, j)
    assert gated.equal(seen_before)
    plain = receptive_field(PixelCNN(shape, width=4, layers=8), i, j)
    assert not (plain & ~seen_before).any()
    # Up and to the right: the 7 x 7 mask reaches 3 columns in the row above, those of 3 x 3 one
    # column with every row. So in the row r above, the last column seen is j + 3 + (r - 1).
    assert not plain[i - 1, j + 4 :].any()
    assert not plain[i - 2, j + 5 :].any()
    assert plain[i - 1, : j + 4].all()
    assert plain[i - 2, : j + 5].all()
    blind = seen_before & ~plain
    assert blind.sum() > 5


@pytest.mark.parametrize("cls", [PixelCNN, GatedPixelCNN])
def test_the_channels_of_a_pixel_see_the_ones_before(cls):
    """Red, green, blue: green sees the red of its pixel, blue both, and red neither."""
    model = randomised(cls((3, 2, 2), width=6, layers=2))
    x = torch.rand(20, 3, 2, 2)  # many, as a ReLU may be off at one
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x).sum(0), x).abs().sum(4)
    own, to_left = jacobian[:, 1, 1, 0, :, 1, 1], jacobian[:, 1, 1, 0, :, 1, 0]  # (3, 3) each
    assert (own.triu() == 0).all()
    assert (own[torch.tril_indices(3, 3, -1).unbind()] != 0).all()
    assert (to_left != 0).all()


def test_width_is_rounded_up_to_the_channels():
    assert PixelCNN((3, 5, 5), width=32).last.in_channels == 33
    assert GatedPixelCNN((3, 5, 5), width=32).last.in_channels == 33


# ---------------------------------------------------------------- sequences


def test_a_markov_source_is_learned_up_to_its_entropy():
    """x_t = x_{t-1} with probability 0.9: T symbols have log 2 + (T - 1) H(0.9) nats."""
    t, n = 6, 512
    flips = torch.bernoulli(torch.full((n, t), 0.1))
    flips[:, 0] = torch.bernoulli(torch.full((n,), 0.5))
    x = flips.cumsum(1) % 2
    model = LSTM((t,), hidden=12)
    step = gradient_step(model, objectives.log_likelihood, lr=0.03)
    for _ in range(120):
        step((x,))
    everything = all_binary(t)
    switches = everything.diff(dim=1).abs().sum(1)  # how often a sequence switches
    true = math.log(0.5) + switches * math.log(0.1) + (t - 1 - switches) * math.log(0.9)
    entropy = math.log(2) - (t - 1) * (0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    cross = -(true.exp() * model.log_prob(everything)).sum().item()
    assert entropy < cross < entropy + 0.1


def test_the_lstm_leaks_if_it_is_fed_its_own_token():
    """Without the shift by one the numbers are conditionals no more: they do not sum to one."""
    model, x = randomised(LSTM((4,), hidden=5)), all_binary(4)
    inputs = model.embed(x.unsqueeze(-1))  # x_t at step t
    logits = model.logits(model.recurrent(inputs)[0])[..., 0]
    leaking = -torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    assert abs(leaking.sum(1).exp().sum().item() - 1) > 0.1
    assert model.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_inverse_cdf_at_the_steps():
    """Noise lies in [0, 1): 0 is the lowest level that has mass, what is next to 1 the highest."""
    logits = torch.tensor([[0.0, 0.0, -torch.inf]]).expand(4, 3)  # thirds, and nothing
    u = torch.tensor([0.0, 1 / 3, 0.5, 1 - 1e-12])
    assert inverse_cdf(logits, u).tolist() == [0, 1, 1, 2]


def test_order_agnostic_takes_what_log_likelihood_takes():
    """Batches carry labels, which a model without classes is not given."""
    model, x = randomised(MADE((4,), hidden=(5,))), torch.eye(4)

    def value(*y):
        torch.manual_seed(0)
        return objectives.order_agnostic(model, x, *y)

    assert torch.equal(value(torch.arange(4)), value())
    with pytest.raises(ValueError, match=r"x: got shape \(4, 3\), expected"):
        objectives.order_agnostic(model, x[:, :3])


def test_two_levels_are_drawn_as_by_the_general_rule():
    logits, u = 3 * torch.randn(1000, 1).double(), torch.rand(1000).double()
    third = F.pad(logits, (0, 1), value=-torch.inf)  # a level without mass
    assert torch.equal(inverse_cdf(logits, u), inverse_cdf(third, u))
