"""Two stochastic layers: chains of distributions, and the VAE made of them."""

import itertools
from functools import partial

import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import distributions as D
from torch import nn
from torch.distributions.kl import kl_divergence

from dgm import evaluate, heads, models
from dgm.estimators import pathwise, score_function
from dgm.heads import Chain
from dgm.objectives import dreg, elbo, free_bits, iwae, kl

pytestmark = pytest.mark.usefixtures("float64")


def normal(mu, sigma):
    return D.Independent(D.Normal(mu, sigma), 1)


def joint_normal(mean, covariance, weight, offset, noise):
    """The law of [a, b] for a ~ N(mean, covariance), b = weight a + offset + N(0, noise)."""
    cross = covariance @ weight.T
    top = torch.cat([covariance, cross], 1)
    bottom = torch.cat([cross.T, weight @ cross + noise], 1)
    full_mean = torch.cat([mean, mean @ weight.T + offset], -1)
    return D.MultivariateNormal(full_mean, torch.cat([top, bottom], 0))


@pytest.mark.parametrize("reverse", [False, True])
def test_a_linear_gaussian_chain_is_one_normal(reverse):
    """Density, draws and their gradient, against the joint normal of both layers."""
    mean, sigma = torch.randn(4, 3), torch.rand(3) + 0.5
    weight, offset, noise = torch.randn(2, 3), torch.randn(2), torch.rand(2) + 0.5
    q = Chain(
        normal(mean, sigma), lambda a: normal(a @ weight.T + offset, noise), 2, reverse=reverse
    )
    assert (q.batch_shape, q.event_shape) == ((4,), (5,))
    joint = joint_normal(mean, sigma.square().diag(), weight, offset, noise.square().diag())
    order = [3, 4, 0, 1, 2] if reverse else [0, 1, 2, 3, 4]
    z = torch.randn(7, 4, 5)
    torch.testing.assert_close(q.log_prob(z[..., order]), joint.log_prob(z))
    draws = q.sample((50_000,))  # (N, 4, 5)
    assert not draws.requires_grad
    assert standard_errors_off(draws, joint.mean[:, order]) < 4
    centred = draws - joint.mean[:, order]
    products = centred[..., None] * centred[..., None, :]
    assert standard_errors_off(products, joint.covariance_matrix[:, order][:, :, order]) < 4.5


def test_draws_carry_the_gradient_of_both_layers():
    """E[b^2] = (w m + c)^2 + w^2 s^2 + t^2, differentiated by hand."""
    m, s, w, c, t = (torch.tensor(v, requires_grad=True) for v in (0.3, 0.8, 1.5, -0.2, 0.6))
    n = 20_000
    copies = [p.detach().expand(n).clone().requires_grad_() for p in (m, s, w, c, t)]
    m_, s_, w_, c_, t_ = (p[:, None] for p in copies)
    q = Chain(normal(m_, s_), lambda a: normal(w_ * a + c_, t_), 1)
    value = pathwise(lambda z: z[..., 1].square(), q, k=1)
    truth = torch.autograd.grad((w * m + c) ** 2 + w**2 * s**2 + t**2, (m, s, w, c, t))
    for g, exactly in zip(torch.autograd.grad(value.sum(), copies), truth, strict=True):
        assert standard_errors_off(g, exactly) < 4


@pytest.mark.parametrize("reverse", [False, True])
def test_a_chain_of_bits_sums_to_one(reverse):
    second = heads.Bernoulli(2, 3)
    first = D.Independent(D.Bernoulli(torch.tensor([0.2, 0.7])), 1)
    q = Chain(first, second, 3, reverse=reverse)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=5)))
    mass = q.log_prob(every).exp()
    torch.testing.assert_close(mass.sum(), torch.tensor(1.0))
    draws = q.sample((20_000,))
    assert q.support.check(draws).all()
    hits = (draws[:, None] == every).all(-1).double()  # (N, 32)
    assert standard_errors_off(hits, mass) < 4.5


def test_a_chain_says_truly_whether_its_draws_are_differentiable():
    """Both parts must be; `pathwise` refuses a chain that cannot as it refuses anything else."""
    normal_head, bits_head = heads.DiagonalNormal, heads.Bernoulli
    for first, second in itertools.product([normal_head, bits_head], repeat=2):
        q = heads.Chained(first(4, 2), second(2, 3), 3)(torch.zeros(5, 4))
        state = torch.get_rng_state()
        assert q.has_rsample == (first is second is normal_head)
        assert torch.equal(state, torch.get_rng_state())  # to be asked costs no random number
        if not q.has_rsample:
            with pytest.raises(ValueError, match="q: pathwise cannot serve a Chain, whose draws"):
                pathwise(lambda z: z.sum(-1), q, k=2)


@pytest.mark.parametrize("reverse", [False, True])
def test_the_support_of_a_chain_is_that_of_both_parts(reverse):
    parts = heads.OneHotCategorical(4, 3), heads.Bernoulli(3, 2)
    support = heads.Chained(*parts, 2, reverse)(torch.zeros(4)).support
    for a, b, inside in [
        ([0, 1, 0], [1, 1], True),
        ([0, 1, 1], [1, 1], False),
        ([0, 1, 0], [1, 2], False),
        ([0, 1, 0], [1], False),  # a bit is missing
        ([0, 1, 0], [1, 1, 1], False),
    ]:
        z = torch.tensor(b + a if reverse else a + b, dtype=torch.get_default_dtype())
        assert bool(support.check(z)) == inside
    assert support.is_discrete
    assert ("OneHot" in repr(support)) and ("Boolean" in repr(support))


@pytest.mark.parametrize("size", [1, 2])
def test_a_second_part_of_another_size_is_said(size):
    """With size 1 the three bits would take one coordinate's value each, by broadcasting."""
    q = heads.Chained(heads.DiagonalNormal(4, 2), heads.Bernoulli(2, 3), size)(torch.zeros(5, 4))
    message = rf"size: got {size}, expected the event shape of `second`, \(3,\)"
    for act in (q.sample, lambda: q.log_prob(torch.zeros(5, 2 + size))):
        with pytest.raises(ValueError, match=message):
            act()
    with pytest.raises(ValueError, match=r"first: got event shape \(1, 2, 2\), expected vectors"):
        Chain(heads.Bernoulli(4, (1, 2, 2))(torch.zeros(4)), heads.Bernoulli(4, 2), 2)


# --- the model ---


@pytest.fixture
def linear():
    """Two stochastic layers without hidden ones: everything is normal."""
    model = models.VAE.two_layer(
        (4,), latent=(3, 2), hidden=((), ()), likelihood=partial(heads.Normal, sigma=0.5)
    )
    for p in model.parameters():
        nn.init.normal_(p, std=0.3)
    return model


def constant_noise(head):
    """Fix a DiagonalNormal's variance, whatever its input: weight, bias, covariance."""
    weight, bias = head.parameters_of[0].weight, head.parameters_of[0].bias
    half = len(bias) // 2
    with torch.no_grad():
        weight[half:] = 0.0
    return weight[:half].detach(), bias[:half].detach(), bias[half:].exp().diag().detach()


def test_two_linear_layers_bound_their_exact_likelihood(linear):
    """ELBO + KL(q(z_1, z_2 | x) || p(z_1, z_2 | x)) = log p(x), with every law in closed form."""
    model, x = linear, torch.randn(6, 4)
    p1 = constant_noise(model.p_z.second[1])  # z_1 | z_2
    q1, q2 = constant_noise(model.encoder.first[1]), constant_noise(model.encoder.second[1])
    decoder = model.decoder[2].mean[0]  # x | z_1
    zero, one, last = torch.zeros(2), torch.eye(2), [2, 3, 4, 0, 1]

    # p(z_2, z_1), then p(z_1, z_2), then p(z_1, z_2, x)
    prior = joint_normal(zero, one, *p1)
    prior_mean, prior_cov = prior.mean[last], prior.covariance_matrix[last][:, last]
    weight = torch.cat([decoder.weight, torch.zeros(4, 2)], 1).detach()
    joint = joint_normal(prior_mean, prior_cov, weight, decoder.bias.detach(), 0.25 * torch.eye(4))
    mean, cov = joint.mean, joint.covariance_matrix
    log_p = D.MultivariateNormal(mean[5:], cov[5:, 5:]).log_prob(x)
    gain = torch.linalg.solve(cov[5:, 5:], cov[5:, :5]).T
    posterior = D.MultivariateNormal(
        mean[:5] + (x - mean[5:]) @ gain.T, cov[:5, :5] - gain @ cov[5:, :5]
    )
    q = joint_normal(x @ q1[0].T + q1[1], q1[2], *q2)

    draws = torch.stack([elbo(model, x, k=20) for _ in range(400)]).detach()
    assert standard_errors_off(draws, log_p - kl_divergence(q, posterior)) < 4
    means = [
        torch.stack([bound(model, x, k=k).detach() for _ in range(200)]).mean()
        for bound, k in [(elbo, 1), (iwae, 5), (iwae, 50)]
    ]
    assert means[0] < means[1] < means[2] < log_p.mean()


def set_full_normal(head, weight, bias, covariance):
    """Make a FullNormal head the law N(weight v + bias, covariance) of features v."""
    factor = torch.linalg.cholesky(covariance)
    raw = factor.tril(-1) + factor.diagonal().log().diag()
    with torch.no_grad():
        head.mean.weight.copy_(weight)
        head.mean.bias.copy_(bias)
        head.factor[0].weight.zero_()
        head.factor[0].bias.copy_(raw.flatten())


def conditional(mean, covariance, kept, given):
    """Of a joint normal: weight, bias and covariance of the law of `kept` given `given`."""
    weight = torch.linalg.solve(covariance[given][:, given], covariance[given][:, kept]).T
    bias = mean[kept] - weight @ mean[given]
    return weight, bias, covariance[kept][:, kept] - weight @ covariance[given][:, kept]


def test_the_exact_posterior_in_two_layers_makes_every_weight_p_of_x():
    """p(z_1 | x) p(z_2 | z_1), put into the encoder: log w = log p(x) whatever the draws."""
    model = models.VAE.two_layer(
        (4,), (3, 2), ((), ()), heads.FullNormal, partial(heads.Normal, sigma=0.5)
    )
    for p in model.parameters():
        nn.init.normal_(p, std=0.5)
    second, decoder = model.p_z.second[1], model.decoder[2].mean[0]
    nn.init.zeros_(second.factor[0].weight)  # a covariance that does not depend on z_2
    noise = second(torch.zeros(2)).covariance_matrix
    sigma = torch.full((4,), 0.5)
    z2, z1, x_ = [0, 1], [2, 3, 4], [5, 6, 7, 8]
    codes = joint_normal(torch.zeros(2), torch.eye(2), second.mean.weight, second.mean.bias, noise)
    weight = torch.cat([torch.zeros(4, 2), decoder.weight], 1)
    joint = joint_normal(
        codes.mean, codes.covariance_matrix, weight, decoder.bias, sigma.square().diag()
    )
    mean, covariance = joint.mean.detach(), joint.covariance_matrix.detach()
    set_full_normal(model.encoder.first[1], *conditional(mean, covariance, z1, x_))
    set_full_normal(model.encoder.second[1], *conditional(mean, covariance, z2, z1))
    x = torch.randn(6, 4)
    log_p = D.MultivariateNormal(mean[x_], covariance[x_][:, x_]).log_prob(x)
    torch.testing.assert_close(elbo(model, x), log_p)
    torch.testing.assert_close(iwae(model, x, k=5), log_p)
    torch.testing.assert_close(evaluate.importance_weighted(model, x, k=3), log_p)
    value = dreg(model, x, k=5)
    torch.testing.assert_close(value, log_p)
    for g in torch.autograd.grad(value.sum(), list(model.encoder.parameters())):
        torch.testing.assert_close(g, torch.zeros_like(g), atol=1e-9, rtol=0)


def test_two_layers_of_bits_against_enumeration():
    model = models.VAE.two_layer((4,), (2, 2), ((3,), (3,)), posterior=heads.Bernoulli)
    for p in model.parameters():
        nn.init.normal_(p, std=0.7)
    x = torch.bernoulli(torch.full((3, 4), 0.5))
    codes = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))[:, None]  # (16, 1, 4)
    z1, z2 = codes[..., :2], codes[..., 2:]
    bits = partial(torch.nn.functional.binary_cross_entropy_with_logits, reduction="none")

    def log_mass(network, given, values):
        logits = network[-1].logits(network[:-1](given))
        return -bits(*torch.broadcast_tensors(logits, values)).sum(-1)

    log_joint = (
        log_mass(model.p_z.second, z2, z1)
        + 2 * torch.tensor(0.5).log()
        + log_mass(model.decoder[1:], z1, x)
    )  # (16, 3)
    log_q = log_mass(model.encoder.first, x, z1) + log_mass(model.encoder.second, z1, z2)
    torch.testing.assert_close(log_q.exp().sum(0), torch.ones(3))
    bound = (log_q.exp() * (log_joint - log_q)).sum(0)
    parameters = list(model.parameters())
    truth = torch.autograd.grad(bound.sum(), parameters)
    values, gradients = [], []
    for _ in range(300):
        value = elbo(model, x, k=50, estimator=partial(score_function, baseline="leave-one-out"))
        gradient = torch.autograd.grad(value.sum(), parameters)
        values.append(value.detach())
        gradients.append(torch.cat([g.flatten() for g in gradient]))
    assert standard_errors_off(torch.stack(values), bound.detach()) < 4
    exactly = torch.cat([g.flatten() for g in truth])
    assert standard_errors_off(torch.stack(gradients), exactly) < 4.5


def test_a_sample_starts_at_the_top(linear):
    """z_2, then z_1, then x: the mean of x is the decoder's at the prior mean of z_1."""
    weight, bias, _ = constant_noise(linear.p_z.second[1])
    decoder = linear.decoder[2].mean[0]
    expected = bias @ decoder.weight.T + decoder.bias
    assert standard_errors_off(linear.sample(20_000), expected.detach()) < 4


def test_what_a_chain_does_not_have(linear):
    x = torch.randn(6, 4)
    with pytest.raises(ValueError, match="no closed form for a Chain against a Chain"):
        kl(linear.posterior(x), linear.prior())
    with pytest.raises(ValueError, match="of a Chain from a Chain is no sum over coordinates"):
        free_bits(linear, x)
    wrong = models.VAE(linear.encoder, linear.decoder, heads.StandardNormal(4), (4,))
    with pytest.raises(ValueError, match=r"event shape \(5,\), and Normal, event shape \(4,\)"):
        elbo(wrong, x)
    assert "Chain" in repr(linear.posterior(x))
