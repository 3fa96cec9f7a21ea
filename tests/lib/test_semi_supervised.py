"""M1, M2 and PC-VAE: bounds by enumeration, gradients and means where they belong."""

from functools import partial

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.svm import SVC
from tests.standard_error import standard_errors_off
from torch import distributions as D
from torch import nn
from torch.nn import functional as F

from dgm import data, heads, labels
from dgm.estimators import exact
from dgm.evaluate import encode
from dgm.models import M1, M2, PCVAE, VAE, ConditionalVAE
from dgm.models.semi_supervised import SoftmaxRegression
from dgm.objectives import elbo, labelled_bound, m2, prediction_constrained, unlabelled_bound
from dgm.objectives.semi_supervised import of_labelled, weights
from dgm.train import fit, gradient_step

pytestmark = pytest.mark.usefixtures("cpu", "float64")


def scatter(model):
    for p in model.parameters():
        nn.init.normal_(p, std=0.7)
    return model


# ---------------------------------------------------------------- M2, by enumeration

X = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).double()  # all 16 images of 4 bits


@pytest.fixture
def tiny():
    """Three classes, codes of four outcomes, four binary pixels: everything can be summed."""
    vae = ConditionalVAE.mlp(
        (4,), latent=4, hidden=(5,), classes=3, posterior=heads.OneHotCategorical
    )
    return scatter(M2(vae, nn.Sequential(nn.Linear(4, 6), nn.Tanh(), SoftmaxRegression(6, 3))))


@torch.no_grad()
def joint(model):
    """log p(x, y, z) from the decoder's weights, one y and one z at a time: (16, 3, 4)."""
    table = torch.zeros(16, 3, 4)
    decoder = model.vae.decoder.network
    for y in range(3):
        for z in range(4):
            code = torch.cat([torch.eye(4)[z], torch.eye(3)[y]])
            p = decoder[1].logits(decoder[0](code)).sigmoid()
            log_mass = torch.where(X == 1, p, 1 - p).log().sum(1)
            table[:, y, z] = log_mass - torch.tensor(12.0).log()  # 1/3 for y, 1/4 for z
    return table


def test_the_joint_is_normalised(tiny):
    torch.testing.assert_close(joint(tiny).exp().sum(), torch.tensor(1.0))


class PosteriorOfZ(nn.Module):
    """p(z | x, y) itself, looked up."""

    def __init__(self, table):
        super().__init__()
        self.table = table

    def forward(self, x, label):
        index = (x @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long()  # (..., B) which of the images
        return heads.OneHot(self.table[index, label.argmax(-1)])


class PosteriorOfY(nn.Module):
    def __init__(self, table):
        super().__init__()
        self.table = table

    def forward(self, x):
        return D.Categorical(logits=self.table.logsumexp(2))


def test_bounds_are_tight_at_the_exact_posteriors(tiny):
    table = joint(tiny)
    tiny.vae.encoder, tiny.classifier = PosteriorOfZ(table), PosteriorOfY(table)
    log_p_x, log_p_xy = table.logsumexp((1, 2)), table.logsumexp(2)
    for y in range(3):
        bound = labelled_bound(tiny, X, torch.full((16,), y), estimator=exact)
        torch.testing.assert_close(bound, log_p_xy[:, y])
    bound = unlabelled_bound(tiny, X, estimator=exact)
    torch.testing.assert_close(bound, log_p_x)
    entropy = tiny.classify(X).entropy()
    assert (entropy > 0.01).all()
    assert (bound - entropy < log_p_x - 0.01).all()  # what is left out is not there twice


def test_the_unlabelled_bound_misses_log_p_by_the_divergence_of_the_posteriors(tiny):
    """log p(x) - U(x) = KL(q(y | x) q(z | x, y) || p(y, z | x)), from twelve terms each."""
    table = joint(tiny)
    with torch.no_grad():
        log_q_y = tiny.classifier[2].logits(tiny.classifier[:2](X)).log_softmax(-1)
        log_q = torch.zeros(16, 3, 4)
        for y in range(3):
            encoder = tiny.vae.encoder.network
            label = torch.eye(3)[y].expand(16, 3)
            logits = encoder[1].logits(encoder[0](torch.cat([X, label], 1)))
            log_q[:, y] = log_q_y[:, y, None] + logits.log_softmax(-1)
    log_p_x = table.logsumexp((1, 2))
    log_posterior = table - log_p_x[:, None, None]
    divergence = (log_q.exp() * (log_q - log_posterior)).sum((1, 2))
    assert (divergence > 0.01).all()
    bound = unlabelled_bound(tiny, X, estimator=exact)
    torch.testing.assert_close(bound, log_p_x - divergence)


def test_labels_reach_the_classifier_through_alpha_alone(tiny):
    x, y = X[:6], torch.tensor([0, 1, 2, 0, 1, 2])
    parameters = list(tiny.classifier.parameters())

    def slope(objective):
        return torch.autograd.grad(objective.mean(), parameters, allow_unused=True)

    assert slope(labelled_bound(tiny, x, y, estimator=exact)) == (None,) * len(parameters)
    assert all((g == 0).all() for g in slope(m2(tiny, x, y, alpha=0.0, estimator=exact)))
    expected = slope(-0.7 * F.cross_entropy(tiny.classify(x).logits, y)[None])
    for ours, theirs in zip(
        slope(m2(tiny, x, y, alpha=0.7, estimator=exact)), expected, strict=True
    ):
        torch.testing.assert_close(ours, theirs)
    assert all((g != 0).any() for g in slope(unlabelled_bound(tiny, x, estimator=exact)))


Y = torch.tensor([-1, 2, -1, -1, 0, -1, -1, -1])  # two of eight are labelled


@pytest.mark.parametrize("share", [None, 0.01])
def test_m2_is_the_mean_of_the_bounds_and_that_of_the_classifier(tiny, share):
    x = X[3:11]
    known = Y >= 0
    seen = labelled_bound(tiny, x[known], Y[known], estimator=exact)
    unseen = unlabelled_bound(tiny, x[~known], estimator=exact)
    if share is None:
        bound = (seen.sum() + unseen.sum()) / 8
    else:
        bound = share * seen.mean() + (1 - share) * unseen.mean()
    right = F.cross_entropy(tiny.classify(x[known]).logits, Y[known])
    value = m2(tiny, x, Y, alpha=0.3, labelled_share=share, estimator=exact)
    assert value.shape == (8,)
    torch.testing.assert_close(value.mean(), bound - 0.3 * right)


def test_m2_without_any_labels_in_a_batch_is_the_unlabelled_bound(tiny):
    y = torch.full((16,), -1)
    expected = unlabelled_bound(tiny, X, estimator=exact)
    torch.testing.assert_close(m2(tiny, X, y, alpha=5.0, estimator=exact), expected)
    torch.testing.assert_close(
        m2(tiny, X, y, alpha=5.0, labelled_share=0.0, estimator=exact), expected
    )


def test_alpha_counts_as_in_the_paper(tiny):
    """Sums over N = 16 examples plus 0.1 N times the labelled mean, over N, is alpha = 0.1."""
    y = torch.full((16,), -1)
    y[:3] = torch.tensor([0, 1, 2])
    paper = labelled_bound(tiny, X[:3], y[:3], estimator=exact).sum()
    paper = paper + unlabelled_bound(tiny, X[3:], estimator=exact).sum()
    paper = paper + 0.1 * 16 * tiny.classify(X[:3]).log_prob(y[:3]).mean()
    torch.testing.assert_close(m2(tiny, X, y, estimator=exact).mean(), paper / 16)


def test_samples_of_m2_have_the_class_asked_for_or_a_drawn_one():
    model = M2.mlp((3,), classes=3)

    class Paint(nn.Module):
        def forward(self, z, label):
            logits = 80 * (label - 0.5) + 0 * z.sum(-1, keepdim=True)
            return D.Independent(D.Bernoulli(logits=logits, validate_args=False), 1)

    model.vae.decoder = Paint()
    y = torch.tensor([2, 0, 1, 1])
    assert torch.equal(model.sample(4, y=y), F.one_hot(y, 3).double())
    model.prior_logits.copy_(torch.tensor([0.5, 0.3, 0.2]).log())
    assert standard_errors_off(model.sample(5000), torch.tensor([0.5, 0.3, 0.2])) < 4


def test_m1_m2_learns_from_codes():
    """Codes in three clumps, of which one in thirty is labelled."""
    centres = 3 * torch.eye(3)
    truth = torch.arange(3).repeat(30)
    z = centres[truth] + 0.5 * torch.randn(90, 3)
    y = torch.where(torch.arange(90) < 3, truth, -1)
    model = M2.mlp((3,), hidden=(32,), classes=3, likelihood=heads.Normal)
    step = gradient_step(model, partial(m2, alpha=1.0), lr=1e-2)
    fit(step, [(z, y)] * 100, epochs=1, progress=False)
    assert (model.classify(z).probs.argmax(1) == truth).double().mean() > 0.95


# ---------------------------------------------------------------- PC-VAE


@pytest.fixture
def constrained():
    return scatter(PCVAE.mlp((4,), hidden=(6,), classes=3))


def pcvae(model, seed=1, **options):
    torch.manual_seed(seed)
    return prediction_constrained(model, X[3:11], Y, **options)


def test_without_a_multiplier_it_is_a_vae(constrained):
    draws = torch.stack([pcvae(constrained, s, multiplier=0.0).detach() for s in range(500)])
    expected = elbo(constrained, X[3:11], k=20_000).detach()
    assert standard_errors_off(draws, expected) < 4
    torch.manual_seed(1)
    others = prediction_constrained(constrained, X[3:11], Y.flip(0), multiplier=0.0)
    assert torch.equal(pcvae(constrained, multiplier=0.0), others)  # labels enter nowhere else


@pytest.mark.parametrize("share", [None, 0.01])
def test_the_multiplier_weighs_the_mean_cross_entropy_of_the_labelled(constrained, share):
    x, known = X[3:11], Y >= 0
    torch.manual_seed(1)
    q = constrained.posterior(x)
    z = q.mean + q.stddev * torch.randn(8, 2)
    loss = F.cross_entropy(constrained.predictor.logits(z[known]), Y[known])
    p = constrained.vae.decoder[1].logits(constrained.vae.decoder[0](z)).sigmoid()
    kl = 0.5 * (q.variance + q.mean**2 - 1 - q.variance.log()).sum(1)
    bound = torch.where(x == 1, p, 1 - p).log().sum(1) - kl
    if share is None:
        bound = bound.mean()
    else:
        bound = share * bound[known].mean() + (1 - share) * bound[~known].mean()
    value = pcvae(constrained, multiplier=25.0, labelled_share=share)
    assert value.shape == (8,)
    torch.testing.assert_close(value.mean(), bound - 25 * loss)


def test_the_constraint_reaches_the_encoder_and_not_the_decoder(constrained):
    """And of the encoder's codes, those of labelled images only."""
    z = []
    constrained.predictor.register_forward_pre_hook(lambda module, inputs: z.append(inputs[0]))
    parts = [
        next(iter(m.parameters())) for m in (constrained.vae.encoder, constrained.vae.decoder[0])
    ]
    slopes = []
    for multiplier in (0.0, 1.0):
        value = pcvae(constrained, multiplier=multiplier).mean()
        slopes.append(torch.autograd.grad(value, [*parts, z[-1]]))
    to_encoder, to_decoder, to_codes = (b - a for a, b in zip(*slopes, strict=True))
    assert to_encoder.abs().max() > 1e-3
    assert to_decoder.abs().max() < 1e-12
    assert torch.equal(to_codes.abs().sum(1) > 1e-12, Y >= 0)


def test_consistency_asks_for_the_same_prediction_from_the_reconstruction(constrained):
    torch.manual_seed(1)
    q = constrained.posterior(X[3:11])
    z = q.mean + q.stddev * torch.randn(8, 2)
    again = constrained.posterior(constrained.likelihood(z).mean)
    z_again = again.mean + again.stddev * torch.randn(8, 2)
    target = constrained.predictor.logits(z).softmax(1).detach()
    target[Y >= 0] = F.one_hot(Y[Y >= 0], 3).double()
    expected = -F.cross_entropy(constrained.predictor.logits(z_again), target)
    value = pcvae(constrained, consistency=2.0) - pcvae(constrained)
    torch.testing.assert_close(value.mean(), 2 * expected)
    ours = torch.autograd.grad(value.mean(), list(constrained.parameters()), allow_unused=True)
    theirs = torch.autograd.grad(2 * expected, list(constrained.parameters()), allow_unused=True)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, torch.zeros_like(a) if b is None else b)


def test_the_multiplier_may_be_a_schedule(constrained):
    seen = []

    def objective(model, x, y, multiplier):
        seen.append(multiplier)
        return prediction_constrained(model, x, y, multiplier=multiplier)

    step = gradient_step(constrained, objective, schedules={"multiplier": lambda t: 10.0 * t})
    for _ in range(3):
        step((X[:8], Y))
    assert seen == [0.0, 10.0, 20.0]


def test_a_large_multiplier_makes_codes_that_tell_the_label():
    """Two classes that differ in the last of 12 pixels, which is not worth a VAE's while."""
    x = torch.bernoulli(torch.full((400, 12), 0.5))
    y = x[:, 11].long()
    accuracy = {}
    for multiplier in (0.0, 100.0):
        torch.manual_seed(0)
        model = PCVAE.mlp((12,), latent=1, hidden=(16,), classes=2)
        objective = partial(prediction_constrained, multiplier=multiplier)
        step = gradient_step(model, objective, lr=1e-2)
        fit(step, [(x, y)] * 150, epochs=1, progress=False)
        z = encode(model, x).numpy()
        accuracy[multiplier] = LogisticRegression().fit(z, y.numpy()).score(z, y.numpy())
    assert accuracy[0.0] < 0.75
    assert accuracy[100.0] > 0.95


# ---------------------------------------------------------------- M1


def test_m1_is_a_classifier_of_the_labelled_codes():
    vae = scatter(VAE.mlp((4,), hidden=(5,)))
    x, y = X, (X.sum(1) > 2).long()
    y[::3] = -1
    for make in (partial(LogisticRegression, C=3.0), partial(SVC, C=3.0)):
        m1 = M1(vae, make()).fit(x, y)
        codes = vae.posterior(x).mean.detach().numpy()
        kept = (y >= 0).numpy()
        alone = make().fit(codes[kept], y[kept].numpy())
        assert m1.predict(x).tolist() == alone.predict(codes).tolist()


def test_posterior_samples_tell_m1_how_sure_the_encoder_is():
    """Codes N(y, sigma^2): with many draws the weights are those of the normal law, not steeper."""

    class Encoder(nn.Module):
        def forward(self, x):
            return D.Independent(D.Normal(x, torch.full_like(x, 0.8)), 1)

    vae = VAE.mlp((1,), latent=1)
    vae.encoder = Encoder()
    x, y = torch.tensor([[0.0], [1.0]]), torch.tensor([0, 1])
    weight = {}
    for draws in (0, 20_000):
        classifier = LogisticRegression(C=1e4)
        M1(vae, classifier, draws).fit(x, y)
        weight[draws] = classifier.coef_.item()
    # two normals of equal variance, a distance of 1 apart: the logit's slope is 1 / sigma^2
    assert weight[20_000] == pytest.approx(1 / 0.64, abs=0.07)
    assert weight[0] > 10


def test_m1_bad_input():
    vae = VAE.mlp((4,))
    with pytest.raises(ValueError, match="y: every label is -1"):
        M1(vae).fit(X, torch.full((16,), -1))
    with pytest.raises(ValueError, match="draws: got -1"):
        M1(vae, draws=-1)


# ---------------------------------------------------------------- labels


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", device="cpu")


def test_few_labels_are_right_and_as_many_of_each_class(digits):
    split = labels.few(digits.train, 50, seed=3)
    kept = split.y >= 0
    assert split.y[kept].bincount().tolist() == [5] * 10
    assert torch.equal(split.y[kept], digits.train.y[kept])
    assert split.x is digits.train.x
    assert torch.equal(labels.few(digits.train, 50, seed=3).y, split.y)
    assert not torch.equal(labels.few(digits.train, 50, seed=4).y, split.y)
    again = labels.few(split, 40)  # fewer of these
    assert ((again.y < 0) | (again.y == split.y)).all()
    assert torch.equal(labels.known(split).y, split.y[kept])
    assert torch.equal(labels.known(split).x, split.x[kept])


def test_mixed_batches_show_every_example_once_and_labels_each_time(digits):
    split = labels.few(digits.train, 50)
    batches = labels.MixedBatches(split, batch_size=100, labelled=20)
    assert len(batches) == 15
    assert batches.share == pytest.approx(50 / 1437)
    everything, extra = [], []
    for x, y in batches:
        assert (y[-20:] >= 0).all()
        everything.append(x[:-20])
        extra.append((x[-20:], y[-20:]))
    assert len(everything) == 15
    rows = torch.cat(everything).flatten(1)
    assert torch.equal(*(r.sort(0).values for r in (rows, split.images.flatten(1))))
    known = labels.known(split)
    for x, y in extra:
        distances = torch.cdist(x.flatten(1), known.images.flatten(1))
        assert distances.min(1).values.max() == 0
        assert torch.equal(known.y[distances.argmin(1)], y)
    # 15 x 20 labelled ones in rounds of two batches of 40 of the 50: none is left out for long
    assert len(torch.cat([x for x, _ in extra]).flatten(1).unique(dim=0)) == 50
    x, _ = next(iter(labels.MixedBatches(split, 10, 10, binarize="dynamic")))
    assert x.unique().tolist() == [0, 1]
    assert len(next(iter(labels.MixedBatches(split, 10, 500)))[1]) == 60


def test_each_class_that_occurs_keeps_as_many_labels(digits):
    some = digits.train.select((digits.train.y == 3) | (digits.train.y == 7))
    kept = labels.few(some, 4).y
    assert sorted(kept[kept >= 0].tolist()) == [3, 3, 7, 7]


def test_labels_bad_input(digits):
    with pytest.raises(ValueError, match="n: got 25, expected a multiple of 10"):
        labels.few(digits.train, 25)
    with pytest.raises(ValueError, match="n: got 0"):
        labels.few(digits.train, 0)
    with pytest.raises(ValueError, match="n: got 1430, but class 0 has only"):
        labels.few(digits.train, 1430)
    unlabelled = data.Split(digits.train.x, torch.full_like(digits.train.y, -1), 17)
    with pytest.raises(ValueError, match="split: every label is -1"):
        labels.MixedBatches(unlabelled, 10, 10)
    with pytest.raises(ValueError, match="labelled: got 0"):
        labels.MixedBatches(digits.train, 10, 0)


# ---------------------------------------------------------------- weights of labels


@pytest.mark.parametrize("share", [None, 0.0, 0.1, 1.0])
@pytest.mark.parametrize("labelled", [0, 1, 4, 10])
def test_weights_have_mean_one_whatever_is_labelled(share, labelled):
    x = torch.zeros(10, 2)
    y = torch.where(torch.arange(10) < labelled, 3, -1)
    w = weights(x, y, share)
    assert w.mean().item() == pytest.approx(1)
    if share is not None and 0 < labelled < 10:
        assert w[:labelled].sum().item() / 10 == pytest.approx(share)
    mean = (of_labelled(x, y) * torch.arange(10.0)).mean().item()
    assert mean == pytest.approx(sum(range(labelled)) / max(labelled, 1) if labelled else 0)


def test_a_share_is_between_0_and_1():
    with pytest.raises(ValueError, match="labelled_share: got 2"):
        weights(torch.zeros(3, 2), torch.zeros(3, dtype=torch.long), 2)
