"""Levels from the top down: densities by hand, the bound by its parts, what each level carries."""

import math

import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import distributions as D

from dgm import evaluate, heads
from dgm.models import VAE, Ladder
from dgm.objectives import elbo
from dgm.objectives.divergences import level_divergences
from dgm.train import gradient_step

pytestmark = pytest.mark.usefixtures("cpu")

X = torch.tensor([[0.0, 1, 1, 0], [1, 1, 0, 0], [0, 0, 0, 1]]).double()


def ladder(latent=(2, 1, 3), **more):
    torch.manual_seed(0)
    model = Ladder.mlp(4, latent=latent, hidden=6, features=5, **more)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.2 * torch.randn_like(p))  # more, and draws are astronomic
    return model.double()


def normal(loc, scale):
    return D.Independent(D.Normal(loc, scale), 1)


def gaussians(model, x, z):
    """Prior and posterior of every level at z, written out: pairs of distributions."""
    h = model.encoder(x)
    told = [h]
    for up in model.up:
        told.append(up(told[-1]))
    sizes, pairs = model.latent, []
    for level, size in enumerate(sizes):
        above = z[..., : sum(sizes[:level])]
        if level:
            d = model.down[level - 1](above)
            mean, sigma = model.p[level - 1](d)[..., 0, :], model.p[level - 1](d)[..., 1, :].exp()
            hears = torch.cat([told[-1 - level].expand(*d.shape[:-1], -1), d], -1)
            change = model.q[level - 1](hears)
        else:
            mean, sigma = torch.zeros(size).double(), torch.ones(size).double()
            change = model.q_top(told[-1])
        delta, rho = change[..., 0, :], change[..., 1, :].exp()
        pairs.append((normal(mean, sigma), normal(mean + sigma * delta, sigma * rho)))
    return pairs


def test_prior_and_posterior_are_products_of_levels():
    model = ladder()
    z = torch.randn(7, 3, 6).double()
    parts = z.split(model.latent, -1)
    for which, q in enumerate((model.prior(), model.posterior(X))):
        each = zip(gaussians(model, X, z), parts, strict=True)
        expected = sum(pair[which].log_prob(part) for pair, part in each)
        torch.testing.assert_close(q.log_prob(z), expected)


def test_a_draw_of_a_level_sees_those_above():
    """Means of draws whose upper levels are the same are those of the level's distribution."""
    model = ladder()
    torch.manual_seed(1)
    z = model.posterior(X).sample((4000,))  # (4000, 3, 6)
    q = [pair[1] for pair in gaussians(model, X, z)]
    for level, part in zip(q, z.split(model.latent, -1), strict=True):
        standard = (part - level.mean) / level.stddev  # N(0, 1), whatever is above
        assert standard_errors_off(standard, torch.zeros(()).double()) < 4.5
        assert standard_errors_off(standard.square(), torch.ones(()).double()) < 4.5


def test_a_departing_level_costs_the_same_under_every_prior():
    """(delta^2 + rho^2 - log rho^2 - 1) / 2, against torch's divergence of the two Gaussians."""
    model = ladder()
    z = torch.randn(4, 3, 6).double()
    found = level_divergences(model.posterior(X), model.prior(), z)
    for rate, (p, q) in zip(found, gaussians(model, X, z), strict=True):
        delta = (q.mean - p.mean) / p.stddev
        rho = q.stddev / p.stddev
        formula = 0.5 * (delta**2 + rho**2 - (rho**2).log() - 1).sum(-1)
        torch.testing.assert_close(rate, formula.expand(4, 3))
        torch.testing.assert_close(rate, D.kl_divergence(q, p).expand(4, 3))


def test_the_bound_by_levels_has_the_mean_of_the_other_and_less_variance():
    model = ladder()
    x = X[:1].expand(4000, -1)
    torch.manual_seed(1)
    with torch.no_grad():
        plain = elbo(model, x, analytic_kl=False)
        levels = elbo(model, x)
        halved = elbo(model, x, beta=0.5)
    error = ((plain.var() + levels.var()) / 4000).sqrt()
    assert (plain.mean() - levels.mean()).abs() < 4.5 * error
    assert levels.var() < 0.7 * plain.var()
    rate, distortion = (levels - halved).mean() * -2, -(2 * halved - levels).mean()
    again = evaluate.rate_distortion(model, x)
    assert rate.item() == pytest.approx(again[0], abs=0.1)
    assert distortion.item() == pytest.approx(again[1], abs=0.15)


def test_level_rates_add_up_to_the_rate():
    model = ladder()
    torch.manual_seed(1)
    rates = evaluate.level_rates(model, X, k=4000)
    torch.manual_seed(1)
    q = model.posterior(X)
    z = q.sample((4000,))  # the same draws
    each = [D.kl_divergence(b, a).mean() for a, b in gaussians(model, X, z)]
    torch.testing.assert_close(rates, torch.stack(each).detach())
    plain = (q.log_prob(z) - model.prior().log_prob(z)).mean(1).detach()  # (4000,)
    assert standard_errors_off(plain, rates.sum()) < 4.5
    top = D.kl_divergence(*gaussians(model, X, torch.zeros(3, 6).double())[0][::-1]).mean()
    torch.testing.assert_close(rates[0], top.detach())
    two = VAE.two_layer(4, (3, 2), ((5,), (5,))).double()
    with pytest.raises(ValueError, match="got a VAE with a Chain posterior, expected levels"):
        evaluate.level_rates(two, X)


def test_the_bound_lies_below_the_likelihood_and_the_model_is_normalised():
    """p(x) of all 16 images by the same 20,000 codes: weights sum to one for each of them."""
    model = ladder(latent=(1, 1))
    images = torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * 4)
    torch.manual_seed(1)
    with torch.no_grad():
        z = model.prior().sample((20_000,))
        p_x = model.likelihood(z[:, None]).log_prob(images).exp()  # (20000, 16)
        torch.testing.assert_close(p_x.sum(1), torch.ones(20_000).double())
        log_p = p_x.mean(0).log()
        bound = torch.stack([elbo(model, images, k=50) for _ in range(20)]).mean(0)
    assert (bound < log_p + 0.1).all()


def test_one_level_is_a_vae():
    model = ladder(latent=3)
    q, p = model.posterior(X).first, model.prior().first
    assert len(model.posterior(X).levels(torch.zeros(3, 3))) == 1
    assert isinstance(p, D.Independent)
    vae = VAE(lambda_of(q), model.decoder, heads.StandardNormal(3).double(), 4)
    rates = evaluate.level_rates(model, X)
    assert rates.tolist() == pytest.approx([evaluate.rate_distortion(vae, X)[0]])


def lambda_of(q):
    class Told(torch.nn.Module):
        def forward(self, x):
            return q

    return Told()


def test_codes_of_examples_are_means_level_by_level():
    """The top's is exact, the others are averages over the same 100 draws."""
    model = ladder()
    torch.manual_seed(1)
    codes = evaluate.encode(model, X)
    torch.manual_seed(1)
    each = gaussians(model, X, model.posterior(X).sample((100,)))
    means = [q.mean.expand(100, 3, -1).mean(0) for _, q in each]
    torch.testing.assert_close(codes, torch.cat(means, -1).detach())


def test_levels_of_other_sizes_are_refused():
    a, b = ladder((1, 2)), ladder((2, 1))
    with pytest.raises(ValueError, match=r"q, p: got levels of sizes \(1, 2\) and \(2, 1\)"):
        level_divergences(a.posterior(X), b.prior(), torch.zeros(3, 3).double())


def test_it_learns():
    """Two kinds of images: the bound comes within 0.4 nats of their entropy, log 2."""
    torch.manual_seed(0)
    x = torch.tensor([[1.0, 1, 0, 0], [0, 0, 1, 1]]).repeat(16, 1)
    model = Ladder.mlp(4, latent=(1, 1), hidden=20, features=10)
    step = gradient_step(model, elbo, lr=2e-2)
    for _ in range(150):
        step((x,))
    assert elbo(model, x, k=50).mean() > -math.log(2) - 0.4
