"""Conditional VAE: its bound by enumeration and in closed form, its labels where they belong."""

import itertools
from functools import partial

import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import distributions as D
from torch import nn
from torch.distributions.kl import kl_divergence
from torch.nn import functional as F

from dgm import heads
from dgm.estimators import exact
from dgm.models import ConditionalVAE
from dgm.objectives import dreg, elbo, free_bits, iwae
from dgm.train import fit, gradient_step

SHAPE = (1, 8, 8)


pytestmark = pytest.mark.usefixtures("cpu", "float64")


def scatter(model):
    for p in model.parameters():
        nn.init.normal_(p, std=0.7)
    return model


@pytest.mark.parametrize("learned_prior", [False, True])
def test_conditional_bounds_against_enumeration(learned_prior):
    """Codes of 3 bits: log p(x | y) is the bound plus KL(q(z | x, y) || p(z | x, y)), 8 codes."""
    model = ConditionalVAE.mlp(
        (4,),
        latent=3,
        hidden=(5,),
        classes=3,
        posterior=heads.Bernoulli,
    )
    if learned_prior:
        model.p_z = heads.Bernoulli(3, 3)
    scatter(model)
    x, y = torch.bernoulli(torch.full((6, 4), 0.5)), torch.tensor([0, 1, 2, 0, 1, 2])
    codes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    by_hand = {"log_p": [], "bound": [], "second": []}
    for x_i, y_i in zip(x, y, strict=True):  # one example and one code at a time, from the weights
        label = F.one_hot(y_i, 3).double()
        encoder, decoder = model.encoder.network, model.decoder.network
        q = encoder[1].logits(encoder[0](torch.cat([x_i, label]))).sigmoid()
        prior = model.p_z.logits(label).sigmoid() if learned_prior else torch.full((3,), 0.5)
        log_joint, log_q = [], []
        for z in codes:
            pixels = decoder[1].logits(decoder[0](torch.cat([z, label]))).sigmoid()
            masses = [
                torch.where(z == 1, prior, 1 - prior),
                torch.where(x_i == 1, pixels, 1 - pixels),
            ]
            log_joint.append(sum(m.log().sum() for m in masses))
            log_q.append(torch.where(z == 1, q, 1 - q).log().sum())
        log_joint, log_q = torch.stack(log_joint), torch.stack(log_q)
        log_p = log_joint.logsumexp(0)
        gap = (log_q.exp() * (log_q - (log_joint - log_p))).sum()
        pairs = torch.logaddexp(*torch.meshgrid(*[log_joint - log_q] * 2, indexing="ij"))
        by_hand["log_p"].append(log_p)
        by_hand["bound"].append(log_p - gap)
        by_hand["second"].append(log_q.exp() @ (pairs - torch.tensor(2.0).log()) @ log_q.exp())
    log_p, bound, second = (torch.stack(v) for v in by_hand.values())
    torch.testing.assert_close(elbo(model, x, y, estimator=exact), bound)
    torch.testing.assert_close(elbo(model, x, y, estimator=exact, analytic_kl=False), bound)
    torch.testing.assert_close(iwae(model, x, y, k=2, estimator=exact), second)
    assert (bound < second).all()
    assert (second < log_p).all()


@pytest.fixture(params=[False, True], ids=["fixed prior", "learned prior"])
def linear(request):
    """A linear-Gaussian model: log p(x | y) and p(z | x, y) are known."""
    model = ConditionalVAE.mlp(
        (3,),
        latent=2,
        hidden=(),
        classes=4,
        likelihood=partial(heads.Normal, sigma=0.6),
    )
    if request.param:
        model.p_z = heads.DiagonalNormal(4, 2)
    return scatter(model)


def exact_laws(model, y):
    """log p(x | y) and p(z | x, y), from the weights: one pair per label."""
    layer = model.decoder.network[1].mean[0]  # the mean of x is weight [z, one-hot y] + bias
    weight, offset = layer.weight[:, :2], layer.weight[:, 2:].T + layer.bias
    if isinstance(model.p_z, heads.DiagonalNormal):
        table = model.p_z.parameters_of[0]
        mean, log_var = (table.weight.T + table.bias).split(2, -1)  # (classes, 2) each
    else:
        mean, log_var = torch.zeros(4, 2), torch.zeros(4, 2)
    laws = []
    for c in y:
        prior = log_var[c].exp().diag()
        covariance = weight @ prior @ weight.T + 0.36 * torch.eye(3)
        centre = weight @ mean[c] + offset[c]
        precision = prior.inverse() + weight.T @ weight / 0.36
        laws.append((centre, covariance, prior, precision, mean[c], weight, offset[c]))
    return laws


def exact_posterior(law, x):
    _, _, prior, precision, mean, weight, offset = law
    pull = prior.inverse() @ mean + weight.T @ (x - offset) / 0.36
    return D.MultivariateNormal(torch.linalg.solve(precision, pull), precision_matrix=precision)


def test_conditional_elbo_and_kl_to_the_posterior_add_up_to_log_p_given_y(linear):
    """log p(x | y) = ELBO + KL(q(z | x, y) || p(z | x, y)), all of it normal."""
    x, y = torch.randn(5, 3), torch.tensor([0, 3, 1, 1, 2])
    laws = exact_laws(linear, y)
    log_p = torch.stack(
        [D.MultivariateNormal(a[0], a[1]).log_prob(x_i) for a, x_i in zip(laws, x, strict=True)]
    )
    q = linear.posterior(x, y)
    gaps = []
    for i, law in enumerate(laws):
        q_i = D.MultivariateNormal(q.mean[i], covariance_matrix=q.variance[i].diag())
        gaps.append(kl_divergence(q_i, exact_posterior(law, x[i])))
    truth = (log_p - torch.stack(gaps)).detach()
    for objective in (elbo, partial(elbo, analytic_kl=False), partial(free_bits, free=0.0)):
        draws = torch.stack([objective(linear, x, y, k=20).detach() for _ in range(300)])
        if isinstance(objective, partial) and objective.func is free_bits:  # one penalty for all
            draws, expected = draws.mean(-1), truth.mean()
        else:
            expected = truth
        assert standard_errors_off(draws, expected) < 4
    for bound in (iwae, dreg):
        draws = torch.stack([bound(linear, x, y, k=20).detach() for _ in range(300)])
        assert (draws.mean(0) > truth).all()
        assert (draws.mean(0) - 4 * draws.std(0) / 300**0.5 < log_p).all()


def test_a_learned_prior_learns_and_a_fixed_one_is_the_same_for_all():
    y = torch.arange(4)
    fixed = ConditionalVAE.mlp((3,), classes=4)
    learned = ConditionalVAE.mlp((3,), classes=4)
    learned.p_z = heads.DiagonalNormal(4, 2)
    scatter(learned)
    assert fixed.prior(y).batch_shape == learned.prior(y).batch_shape == (4,)
    assert not list(fixed.p_z.parameters())
    assert torch.equal(fixed.prior(y).mean, torch.zeros(4, 2))
    assert len(learned.prior(y).mean.unique(dim=0)) == 4
    bound = elbo(learned, torch.bernoulli(torch.rand(4, 3)), y).sum()
    for g in torch.autograd.grad(bound, list(learned.p_z.parameters())):
        assert (g != 0).any()


def test_labels_lie_beside_vectors_and_as_channels_beside_images():
    """The networks alone, fed with inputs joined by hand."""
    y = torch.tensor([2, 0])
    x = torch.rand(2, 1, 8, 8)
    label = torch.tensor([[0.0, 0, 1], [1, 0, 0]])
    mlp = ConditionalVAE.mlp(SHAPE, hidden=(6,), classes=3)
    joined = torch.cat([x.reshape(2, 64), label], 1)
    torch.testing.assert_close(mlp.posterior(x, y).mean, mlp.encoder.network(joined).mean)
    conv = ConditionalVAE.conv(SHAPE, width=4, classes=3)
    planes = torch.zeros(2, 3, 8, 8)
    planes[0, 2], planes[1, 0] = 1.0, 1.0
    joined = torch.cat([x, planes], 1)
    torch.testing.assert_close(conv.posterior(x, y).mean, conv.encoder.network(joined).mean)
    z = torch.randn(5, 2, 2)
    for model in (mlp, conv):
        p = model.likelihood(z, y=y)
        assert p.batch_shape == (5, 2)
        one = model.decoder.network(torch.cat([z[4, 1], label[1]]))
        torch.testing.assert_close(p.mean[4, 1], one.mean)


def test_a_sample_has_the_class_it_was_asked_for():
    """A decoder that paints the label: of the sample, each pixel is one bit of the one-hot y."""

    class Paint(nn.Module):
        def forward(self, z, label):
            logits = 80 * (label - 0.5) + 0 * z.sum(-1, keepdim=True)
            return D.Independent(D.Bernoulli(logits=logits, validate_args=False), 1)

    model = ConditionalVAE.mlp((3,), classes=3)
    model.decoder = Paint()
    y = torch.tensor([2, 0, 1, 1])
    assert torch.equal(model.sample(4, y=y), F.one_hot(y, 3).double())


def test_a_conditional_sample_has_the_mean_of_its_class(linear):
    y = torch.tensor([1]).expand(20_000)
    (law,) = exact_laws(linear, y[:1])
    assert standard_errors_off(linear.sample(20_000, y), law[0].detach()) < 4


def test_training_learns_what_the_label_says():
    """Images that are their label: the code is left with nothing to say, and the bound with 0."""
    y = torch.arange(4).repeat(8)
    x = F.one_hot(y, 4).double()
    model = ConditionalVAE.mlp((4,), hidden=(16,), classes=4)
    step = gradient_step(model, elbo, lr=3e-2)
    history = fit(step, [(x, y)] * 50, epochs=3, progress=False)
    assert history["objective"][-1] > -0.1
    labels = torch.tensor([3, 1, 1])
    assert torch.equal(model.sample(3, labels), F.one_hot(labels, 4).double())
