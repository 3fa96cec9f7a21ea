"""Objectives of a VAE beyond the two bounds: KL terms, weights, DReG, Fisher, schedules."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import distributions as D
from torch import nn

from dgm import heads, models, nets
from dgm.estimators import gumbel_softmax
from dgm.objectives import dreg, elbo, fisher, free_bits, iwae, kl, kl_per_coordinate
from dgm.train import fit, gradient_step, linear_warmup

VAE = models.VAE


pytestmark = pytest.mark.usefixtures("cpu", "float64")


def gradient(value, parameters):
    """Of the sum of values, as one vector; zeros for parameters that are not involved."""
    grads = torch.autograd.grad(value.sum(), parameters, retain_graph=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in grads])


def seeded(objective, *args, seed=1, **kwargs):
    torch.manual_seed(seed)
    return objective(*args, **kwargs)


# --- a linear VAE is probabilistic PCA ---


@pytest.fixture
def ppca():
    """The library's PPCA, and a linear VAE with its parameters and its exact posterior."""
    truth = models.PPCA((1, 2, 3), latent=2).fit(torch.randn(50, 1, 2, 3) * 2 + 1)
    vae = VAE.linear((1, 2, 3), latent=2, posterior=heads.FullNormal)
    weight, sigma = truth.weight.detach(), (0.5 * truth.log_variance).exp().detach()
    precision = torch.eye(2) + weight.T @ weight / sigma**2
    gain = torch.linalg.solve(precision, weight.T / sigma**2)  # E[z | x] = gain (x - mean)
    factor = torch.linalg.cholesky(precision.inverse())
    encoder, decoder = vae.encoder[1], vae.decoder[1]
    with torch.no_grad():
        decoder.mean[0].weight.copy_(weight)
        decoder.mean[0].bias.copy_(truth.mean)
        decoder.log_sigma.copy_(sigma.log())
        encoder.mean.weight.copy_(gain)
        encoder.mean.bias.copy_(-gain @ truth.mean)
        encoder.factor[0].weight.zero_()
        encoder.factor[0].bias.copy_((factor.tril(-1) + factor.diagonal().log().diag()).flatten())
    return truth, vae, torch.randn(7, 1, 2, 3)


def test_a_linear_vae_at_the_exact_posterior_is_ppca(ppca):
    truth, vae, x = ppca
    log_p = truth.log_prob(x).detach()
    torch.testing.assert_close(iwae(vae, x, k=5), log_p)
    torch.testing.assert_close(dreg(vae, x, k=5), log_p)
    torch.testing.assert_close(elbo(vae, x, analytic_kl=False), log_p)
    draws = torch.stack([elbo(vae, x, k=10).detach() for _ in range(300)])
    assert standard_errors_off(draws, log_p) < 4
    assert (draws.std(0) > 0.01).all()  # with the KL in closed form the two terms do not cancel


def test_a_linear_vae_off_the_posterior_misses_the_kl(ppca):
    truth, vae, x = ppca
    with torch.no_grad():
        vae.encoder[1].mean.bias += torch.tensor([0.5, -1.0])
        vae.encoder[1].factor[0].bias += 0.3
    q, posterior = vae.posterior(x), truth.posterior(x)
    gap = D.kl_divergence(q, posterior).detach()
    bound = truth.log_prob(x).detach() - gap
    for analytic_kl in (True, False):
        objective = partial(elbo, analytic_kl=analytic_kl)
        draws = torch.stack([objective(vae, x, k=10).detach() for _ in range(400)])
        assert standard_errors_off(draws, bound) < 4
    assert (gap > 0.1).all()


def test_beta_and_a_fixed_sigma_are_one_knob():
    """beta-ELBO at sigma^2 = beta ELBO at beta sigma^2, up to a constant of the normal density."""
    beta, sigma, x = 4.0, 0.5, torch.randn(5, 3)
    narrow = VAE.mlp((3,), latent=2, hidden=(8,), likelihood=partial(heads.Normal, sigma=sigma))
    wide = VAE.mlp(
        (3,), latent=2, hidden=(8,), likelihood=partial(heads.Normal, sigma=sigma * beta**0.5)
    )
    weights = [(p, q) for p, q in zip(narrow.parameters(), wide.parameters(), strict=True)]
    with torch.no_grad():
        for p, q in weights:
            q.copy_(p)
    left = seeded(elbo, narrow, x, k=3, beta=beta)
    right = beta * seeded(elbo, wide, x, k=3)
    log_normaliser = partial(lambda v: 1.5 * math.log(2 * math.pi * v))
    constant = beta * log_normaliser(beta * sigma**2) - log_normaliser(sigma**2)
    torch.testing.assert_close(left, right + constant)
    torch.testing.assert_close(
        gradient(left, [p for p, _ in weights]), gradient(right, [q for _, q in weights])
    )


# --- KL terms ---


def test_kl_per_coordinate_sums_to_kl():
    q = D.Independent(D.Normal(torch.randn(5, 3), torch.rand(5, 3) + 0.3), 1)
    terms = kl_per_coordinate(q, heads.StandardNormal(3)())
    assert terms.shape == (5, 3)
    torch.testing.assert_close(terms.sum(1), kl(q, heads.StandardNormal(3)()))
    one = D.Normal(q.mean[:, 1], q.stddev[:, 1])
    torch.testing.assert_close(terms[:, 1], D.kl_divergence(one, D.Normal(0.0, 1.0)))
    choices = D.Independent(D.OneHotCategorical(logits=torch.randn(5, 2, 4)), 1)
    assert kl_per_coordinate(choices, heads.UniformOneHot((2, 4))()).shape == (5, 2)
    with pytest.raises(ValueError, match="of a MultivariateNormal from a Normal is no sum"):
        kl_per_coordinate(heads.FullNormal(4, 3)(torch.randn(5, 4)), heads.StandardNormal(3)())


def kl_and_gradients(q, p, parameters):
    value = kl(q, p)
    return value.detach(), torch.autograd.grad(value.sum(), parameters, retain_graph=True)


@pytest.mark.parametrize("log_var", [-170.0, -110.0, 0.0, 60.0])
def test_kl_of_a_normal_of_any_variance_in_float32(log_var):
    """Half of e^v - 1 - v per coordinate; its slope in v is half of e^v - 1."""
    v = torch.full((1, 2), log_var, dtype=torch.float32, requires_grad=True)
    p = D.Independent(D.Normal(torch.zeros(2, dtype=torch.float32), 1.0), 1)
    expected, slope = math.exp(log_var) - 1 - log_var, 0.5 * (math.exp(log_var) - 1)
    sigma = (0.5 * v).exp()
    for q in (
        D.Independent(D.Normal(torch.zeros_like(v), sigma), 1),
        D.MultivariateNormal(torch.zeros_like(v), scale_tril=sigma.diag_embed()),
    ):
        value, (g,) = kl_and_gradients(q, p, [v])
        torch.testing.assert_close(value, torch.tensor([expected], dtype=torch.float32))
        torch.testing.assert_close(g, torch.full_like(g, slope))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("a", [-torch.inf, -2000.0, -200.0, 0.3, 200.0, torch.inf])
@pytest.mark.parametrize("b", [-2000.0, -200.0, 0.0, 200.0])
def test_kl_of_bits_of_any_logits(a, b, dtype):
    """Against sums in Python's floats; with 0 log 0 = 0, and finite slopes."""

    def log_sigmoid(c):
        return -math.log1p(math.exp(-c)) if c > 0 else c - math.log1p(math.exp(c))

    def mass(c):
        return math.exp(log_sigmoid(c)) if c > -700 else 0.0

    q = [(mass(c), log_sigmoid(c), log_sigmoid(d)) for c, d in ((a, b), (-a, -b)) if mass(c)]
    expected = sum(p * (log_q - log_p) for p, log_q, log_p in q)
    logits = [torch.tensor([[c]], dtype=dtype, requires_grad=True) for c in (a, b)]
    parts = [D.Independent(D.Bernoulli(logits=c, validate_args=False), 1) for c in logits]
    value, gradients = kl_and_gradients(*parts, logits)
    torch.testing.assert_close(value, torch.tensor([expected], dtype=dtype))
    assert all(g.isfinite().all() for g in gradients)


@pytest.mark.parametrize("given", ["logits", "probs"])
def test_kl_with_impossible_outcomes(given):
    """0 log 0 = 0, and infinity where q has mass and p none; bits and one-hot codes alike."""
    third = torch.tensor([1 / 3, 1 / 3, 1 / 3])
    sure, two = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.25, 0.75, 0.0])
    cases = [
        (sure, third, math.log(3)),
        (sure, two, -math.log(0.75)),
        (two, two, 0.0),
        (sure, sure, 0.0),
        (two, third, math.log(3) + 0.25 * math.log(0.25) + 0.75 * math.log(0.75)),
        (third, two, math.inf),
        (two, sure, math.inf),
    ]

    def made(probs):
        parameter = (probs.log() if given == "logits" else probs)[None].clone().requires_grad_()
        return parameter, D.OneHotCategorical(**{given: parameter}, validate_args=False)

    def bits(probs):
        """The bit of the last two outcomes against the first."""
        p = 1 - probs[:1]
        parameter = (p.logit() if given == "logits" else p)[None].clone().requires_grad_()
        return parameter, D.Independent(D.Bernoulli(**{given: parameter}, validate_args=False), 1)

    for q_probs, p_probs, expected in cases:
        (a, q), (b, p) = made(q_probs), made(p_probs)
        value, gradients = kl_and_gradients(q, p, [a, b])
        # probabilities that are given, torch may move by the rounding of float64
        torch.testing.assert_close(value, torch.tensor([expected]), atol=1e-12, rtol=1e-12)
        if math.isfinite(expected):
            assert all(g.isfinite().all() for g in gradients)
    for q_probs, p_probs, expected in [
        (sure, third, -math.log(2 / 3)),
        (sure, sure, 0.0),
        (third, sure, math.inf),
    ]:
        (a, q), (b, p) = bits(q_probs), bits(p_probs)
        value, gradients = kl_and_gradients(q, p, [a, b])
        torch.testing.assert_close(value, torch.tensor([expected]), atol=1e-12, rtol=1e-12)
        if math.isfinite(expected):
            assert all(g.isfinite().all() for g in gradients)


def test_analytic_kl_is_a_choice_of_the_estimate_not_of_the_mean():
    """Gradients too; and with a discrete posterior a relaxed estimator is refused without it."""
    model = VAE.mlp((4,), latent=2, hidden=(6,))
    x = torch.bernoulli(torch.full((3, 4), 0.5))
    parameters = list(model.parameters())
    samples = {}
    for analytic_kl in (True, False):
        values = [elbo(model, x, k=10, beta=2.0, analytic_kl=analytic_kl) for _ in range(300)]
        samples[analytic_kl] = torch.stack([gradient(v, parameters) for v in values])
    difference = samples[True] - samples[False]
    assert standard_errors_off(difference, 0.0) < 4.5
    bits = VAE.mlp((4,), latent=2, hidden=(6,), posterior=heads.Bernoulli)
    elbo(bits, x, estimator=gumbel_softmax)
    with pytest.raises(ValueError, match="got relaxed codes"):
        elbo(bits, x, estimator=gumbel_softmax, analytic_kl=False)


def test_free_bits_takes_the_larger_of_lambda_and_the_batch_mean_per_coordinate():
    model, x = VAE.mlp((4,), latent=3, hidden=(6,)), torch.bernoulli(torch.full((5, 4), 0.5))
    with torch.no_grad():
        model.encoder[1].parameters_of[0].bias[:3] = torch.tensor([0.0, 1.0, 2.0])  # means
    q = model.posterior(x)
    rates = []  # of each coordinate, from scratch
    for j in range(3):
        mu, var = q.mean[:, j], q.variance[:, j]
        rates.append((0.5 * (mu**2 + var - 1 - var.log())).mean())
    low, middle, high = sorted(r.item() for r in rates)
    for free in (low / 2, (low + middle) / 2, (middle + high) / 2, 2 * high):
        log_lik = seeded(partial(elbo, beta=0.0), model, x)
        penalty = sum(max(free, r.item()) for r in rates)
        torch.testing.assert_close(seeded(free_bits, model, x, free=free), log_lik - penalty)
        assert penalty >= sum(r.item() for r in rates)
    torch.testing.assert_close(
        seeded(free_bits, model, x, free=0.0).mean(), seeded(elbo, model, x).mean()
    )


def test_a_coordinate_below_its_free_bits_is_left_alone():
    """A decoder that ignores the code: the objective's gradient in the encoder is the penalty's."""
    model, x = VAE.mlp((4,), latent=2, hidden=(6,)), torch.bernoulli(torch.full((5, 4), 0.5))
    nn.init.zeros_(model.decoder[0][0].weight)
    mu = model.encoder[1].parameters_of[0].bias  # of means (2,), then of log-variances (2,)
    with torch.no_grad():
        mu[:2] = torch.tensor([0.1, 3.0])
    g = gradient(free_bits(model, x, free=1.0), [mu])
    assert (g[[0, 2]] == 0).all()
    assert (g[[1, 3]] != 0).all()
    assert (gradient(elbo(model, x), [mu]) != 0).all()


def test_free_bits_refuses():
    x = torch.ones(2, 4)
    with pytest.raises(ValueError, match="free: got -0.1, expected nats"):
        free_bits(VAE.mlp((4,)), x, free=-0.1)
    with pytest.raises(ValueError, match="of a MultivariateNormal from a Normal is no sum"):
        free_bits(VAE.mlp((4,), posterior=heads.FullNormal), x)


# --- importance weights ---


def test_the_gradient_of_the_importance_weighted_bound_weighs_the_draws():
    """sum_k w~_k grad log w_k, each gradient taken on its own, at the very same draws."""
    k, x = 6, torch.bernoulli(torch.full((1, 4), 0.5))
    model = VAE.mlp((4,), latent=2, hidden=(5,))
    parameters = list(model.parameters())
    for p in parameters:
        nn.init.normal_(p)
    torch.manual_seed(1)
    q = model.posterior(x)
    z = q.rsample((k,))
    log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
    weights = (log_w - log_w.max()).exp().flatten()
    weights = weights / weights.sum()
    by_hand = sum(weights[i].detach() * gradient(log_w[i], parameters) for i in range(k))
    torch.testing.assert_close(gradient(seeded(iwae, model, x, k=k), parameters), by_hand)
    assert weights.max() > 2 * weights.min()  # or all would be 1 / k, and nothing weighed


class OneLatent:
    """n copies of z ~ N(0, 1), x | z ~ N([w z, -w z / 2], s^2 I), q = N(mu, sigma^2)."""

    def __init__(self, mu, log_sigma, weight, log_s):
        self.q = D.Independent(D.Normal(mu[:, None], log_sigma.exp()[:, None]), 1)
        self.weight, self.s = weight[:, None], log_s.exp()[:, None]

    def prior(self):
        return D.Independent(D.Normal(torch.zeros(1), torch.ones(1)), 1)

    def posterior(self, x):
        return self.q

    def likelihood(self, z):
        return D.Independent(
            D.Normal(torch.cat([self.weight * z, -self.weight * z / 2], -1), self.s), 1
        )


START = {"mu": 0.2, "log_sigma": -0.3, "weight": 0.8, "log_s": 0.1}
X = torch.tensor([1.3, -0.4], dtype=torch.float64)


def copies(n, **changes):
    values = {name: torch.tensor(v) for name, v in (START | changes).items()}
    return {name: v.expand(n).clone().requires_grad_() for name, v in values.items()}


def gradient_draws(objective, k, n=20_000, **changes):
    """n independent gradients in each of the four parameters: (n, 4)."""
    leaves = copies(n, **changes)
    value = objective(OneLatent(**leaves), X.expand(n, 2), k=k)
    return torch.stack(torch.autograd.grad(value.sum(), list(leaves.values())), 1)


def test_doubly_reparameterised_gradient_against_quadrature():
    """Two draws: the plane of their noise by Gauss-Hermite, differentiated by autograd."""
    nodes, masses = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(60))
    masses = masses / masses.sum()
    leaf = {name: torch.tensor(v, requires_grad=True) for name, v in START.items()}
    z = leaf["mu"] + leaf["log_sigma"].exp() * nodes
    log_w = D.Normal(0.0, 1.0).log_prob(z) - D.Normal(leaf["mu"], leaf["log_sigma"].exp()).log_prob(
        z
    )
    for slope, x in [(1.0, X[0]), (-0.5, X[1])]:
        log_w = log_w + D.Normal(slope * leaf["weight"] * z, leaf["log_s"].exp()).log_prob(x)
    pairs = torch.logaddexp(log_w[:, None], log_w[None]) - math.log(2)
    truth = torch.stack(torch.autograd.grad(masses @ pairs @ masses, list(leaf.values())))
    assert standard_errors_off(gradient_draws(dreg, 2), truth) < 4
    assert standard_errors_off(gradient_draws(iwae, 2), truth) < 4


def test_doubly_reparameterised_gradients_do_not_drown_as_k_grows():
    """Signal-to-noise in mu, from 8 draws to 64: iwae's falls, dreg's rises, by about sqrt(8)."""
    ratio = {}
    for objective in (iwae, dreg):
        for k in (8, 64):
            g = gradient_draws(objective, k, mu=-0.5, log_sigma=0.3)[:, 0]
            ratio[objective, k] = (g.mean().abs() / g.std()).item()  # give or take 1 / sqrt(n)
    assert ratio[iwae, 64] < ratio[iwae, 8] / 2
    assert ratio[dreg, 64] > ratio[dreg, 8] * 2
    for k in (8, 64):
        assert ratio[dreg, k] > 4 * ratio[iwae, k]


def test_dreg_has_iwaes_value_and_decoder_gradient_draw_by_draw():
    model, x = VAE.mlp((4,), latent=2, hidden=(5,)), torch.bernoulli(torch.full((6, 4), 0.5))
    plain, double = seeded(iwae, model, x, k=7), seeded(dreg, model, x, k=7)
    torch.testing.assert_close(plain, double)
    decoder, encoder = list(model.decoder.parameters()), list(model.encoder.parameters())
    torch.testing.assert_close(gradient(plain, decoder), gradient(double, decoder))
    assert (gradient(plain, encoder) - gradient(double, encoder)).abs().max() > 1e-3


def test_dreg_is_still_at_the_exact_posterior(ppca):
    """The encoder has nothing to learn, and the gradient says so without noise; iwae's does not."""
    _, vae, x = ppca
    encoder = list(vae.encoder.parameters())
    for k in (1, 5):
        still = gradient(dreg(vae, x, k=k), encoder)
        torch.testing.assert_close(still, torch.zeros_like(still), atol=1e-9, rtol=0)
    assert gradient(iwae(vae, x, k=5), encoder).abs().max() > 0.1


def test_dreg_without_gradients_and_with_codes_that_have_none():
    model, x = VAE.mlp((4,)), torch.ones(3, 4)
    with torch.no_grad():
        value = seeded(dreg, model, x, k=5)
        assert not value.requires_grad
        torch.testing.assert_close(value, seeded(iwae, model, x, k=5))
    bits = VAE.mlp((4,), posterior=heads.Bernoulli)
    with pytest.raises(ValueError, match="a posterior of Bernoulli codes has no differentiable"):
        dreg(bits, x)


# --- Fisher divergence ---


class Curved(nn.Module):
    """One x, one z, every law normal with a mean and a variance that bend."""

    def __init__(self):
        super().__init__()
        self.phi = nn.Parameter(torch.tensor([0.5, 0.3, -0.6, 0.2]))
        self.theta = nn.Parameter(torch.tensor([0.9, 0.4, -0.3, 0.25]))

    def law(self, p, v):
        return D.Normal(p[0] * v + p[1] * torch.tanh(v), (p[2] + p[3] * torch.tanh(v)).exp())

    def prior(self):
        return D.Independent(D.Normal(torch.zeros(1), torch.ones(1)), 1)

    def posterior(self, x):
        return D.Independent(self.law(self.phi, x), 1)

    def likelihood(self, z):
        return D.Independent(self.law(self.theta, z), 1)


def test_fisher_is_the_divergence_up_to_the_datas_constant():
    """The joint divergence by quadrature, with the score of p_data in it; and its gradient."""
    model = Curved()
    data = D.Normal(0.3, 1.2)
    nodes, masses = (torch.tensor(a) for a in np.polynomial.hermite_e.hermegauss(40))
    masses = masses / masses.sum()

    x = (0.3 + 1.2 * nodes)[:, None].requires_grad_()  # (40, 1)
    q = model.law(model.phi, x.detach())
    z = q.loc + q.scale * nodes  # (x, noise), of phi but not of the x below
    grid = x.expand(40, 40)
    log_data_and_code = data.log_prob(grid) + model.law(model.phi, grid).log_prob(z)
    log_model = model.law(model.theta, z).log_prob(grid) + D.Normal(0.0, 1.0).log_prob(z)
    slopes = torch.autograd.grad(
        (log_data_and_code - log_model).sum(), (grid, z), create_graph=True
    )
    divergence = masses @ (0.5 * (slopes[0] ** 2 + slopes[1] ** 2)) @ masses
    constant = 0.5 / 1.2**2  # half of the Fisher information of a normal's location
    truth = torch.cat(torch.autograd.grad(divergence, (model.phi, model.theta)))

    fresh, values, gradients = x.detach(), [], []
    for _ in range(300):
        value = masses @ -fisher(model, fresh, k=20)
        gradients.append(torch.cat(torch.autograd.grad(value, (model.phi, model.theta))))
        values.append(value.detach())
    assert standard_errors_off(torch.stack(values) + constant, divergence.detach()) < 4
    assert standard_errors_off(torch.stack(gradients), truth) < 4


def test_fishers_terms_at_the_exact_posterior_of_a_linear_model(ppca):
    """There the slopes in z agree, and what is left is known; off it, so is the first term."""
    truth, vae, x = ppca
    sigma2 = truth.log_variance.exp().detach()
    gain = vae.encoder[1].mean.weight
    values = -torch.stack([fisher(vae, x).detach() for _ in range(400)])
    q = vae.posterior(x)
    flat, weight = x.flatten(1), truth.weight.detach()
    residual = flat - (q.mean @ weight.T + truth.mean)
    spread = (weight @ q.covariance_matrix[0] @ weight.T).trace()
    reconstruction = (residual.square().sum(1) + spread) / (2 * sigma2**2) - 6 / sigma2
    precision = q.covariance_matrix[0].inverse()
    smooth = 0.5 * (gain.T @ precision @ gain).trace()  # E |grad_x log q|^2 / 2
    assert standard_errors_off(values, (reconstruction + smooth).detach()) < 4
    with torch.no_grad():  # off the posterior by a shift d: |precision d|^2 / 2 more
        shift = torch.tensor([0.3, -0.4])
        vae.encoder[1].mean.bias += shift
    more = -torch.stack([fisher(vae, x, k=4).detach() for _ in range(400)])
    residual = residual - shift @ weight.T
    reconstruction = (residual.square().sum(1) + spread) / (2 * sigma2**2) - 6 / sigma2
    match = 0.5 * (precision @ shift).square().sum()
    assert standard_errors_off(more, (reconstruction + smooth + match).detach()) < 4


def test_fisher_on_images_sums_over_pixels_and_averages_over_draws():
    smooth = partial(nets.mlp, activation=nn.Softplus)
    model = VAE(
        nn.Sequential(smooth((1, 2, 3), 5), heads.DiagonalNormal(5, 2)),
        nn.Sequential(smooth(2, 5), heads.NormalPerPixel(5, (1, 2, 3))),
        heads.StandardNormal(2),
        (1, 2, 3),
    )
    x = torch.randn(4, 1, 2, 3)
    torch.manual_seed(1)
    value = fisher(model, x, k=3)
    torch.manual_seed(1)
    z = model.posterior(x.repeat(3, 1, 1, 1)).rsample().detach()  # (12, 2)
    rows = []
    for n in range(12):  # one draw at a time, every derivative by autograd

        def log_q(x_, z_):
            return model.posterior(x_[None]).log_prob(z_[None])[0]

        def log_lik(x_, z_):
            return model.likelihood(z_).log_prob(x_)

        def log_joint(x_, z_):
            return log_lik(x_, z_) + model.prior().log_prob(z_)

        x_n, z_n = x[n % 4], z[n]
        jac = torch.func.grad
        match = jac(log_q, 1)(x_n, z_n) - jac(log_joint, 1)(x_n, z_n)
        hessian = torch.autograd.functional.hessian(partial(log_lik, z_=z_n), x_n).reshape(6, 6)
        norms = [match, jac(log_q)(x_n, z_n), jac(log_lik)(x_n, z_n)]
        rows.append(sum(0.5 * v.square().sum() for v in norms) + hessian.trace())
    by_hand = -torch.stack(rows).reshape(3, 4).mean(0)
    torch.testing.assert_close(value, by_hand)
    with torch.no_grad():
        assert not fisher(model, x).requires_grad
        torch.testing.assert_close(seeded(fisher, model, x, k=3), by_hand)


def test_fisher_refuses_what_has_no_slopes():
    x = torch.ones(2, 4)
    with pytest.raises(ValueError, match="got a Bernoulli likelihood, expected a Normal"):
        fisher(VAE.mlp((4,)), x)
    with pytest.raises(ValueError, match="a posterior of Bernoulli codes has no slopes"):
        fisher(VAE.linear((4,), posterior=heads.Bernoulli), x)


# --- schedules ---


def test_a_warmup_is_a_straight_line_from_zero_to_one():
    values = [linear_warmup(t, steps=100) for t in (0, 10, 50, 100, 300)]
    assert values == pytest.approx([0, 0.1, 0.5, 1, 1])


def test_a_schedule_is_read_at_the_number_of_updates_done():
    seen = []

    def objective(model, x, y=None, beta=None, free=None):
        seen.append((beta, free))
        return model(x).square().sum(-1)

    schedules = {"beta": lambda t: t / 10, "free": lambda t: -t}
    step = gradient_step(nn.Linear(2, 2), objective, schedules=schedules)
    fit(step, [(torch.ones(3, 2),)] * 2, epochs=2, progress=False)
    assert seen == [(0.0, 0), (0.1, -1), (0.2, -2), (0.3, -3)]


def test_a_scheduled_step_is_the_objective_with_that_beta():
    """Three updates by hand, with the betas written out."""
    x = torch.bernoulli(torch.full((5, 4), 0.5))
    torch.manual_seed(1)
    schedules = {"beta": partial(linear_warmup, steps=2)}
    step = gradient_step(VAE.mlp((4,), latent=2, hidden=(5,)), elbo, schedules=schedules)
    torch.manual_seed(1)
    by_hand = VAE.mlp((4,), latent=2, hidden=(5,))
    adam = torch.optim.Adam(by_hand.parameters(), lr=1e-3)
    torch.manual_seed(2)
    for beta in (0.0, 0.5, 1.0):
        adam.zero_grad()
        (-elbo(by_hand, x, beta=beta).mean()).backward()
        adam.step()
    torch.manual_seed(2)
    for _ in range(3):
        step((x,))
    for p, q in zip(step.model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(p, q)


def test_a_schedule_resumes_where_it_was(tmp_path):
    """Stopped after one epoch, in the middle of the warm-up: bit for bit the run never stopped."""
    x = torch.bernoulli(torch.full((8, 4), 0.3))
    batches, file = [(x[:4],), (x[4:],)], tmp_path / "run.pt"

    def new_step(seed):
        torch.manual_seed(seed)
        schedules = {"beta": partial(linear_warmup, steps=5)}
        return gradient_step(VAE.mlp((4,), latent=2, hidden=5), elbo, schedules=schedules)

    whole, first, second = new_step(1), new_step(1), new_step(7)
    torch.manual_seed(2)
    expected = fit(whole, batches, epochs=3, progress=False)
    torch.manual_seed(2)
    fit(first, batches, epochs=1, checkpoint=file, progress=False)
    history = fit(second, batches, epochs=3, checkpoint=file, progress=False)
    assert history.metrics == expected.metrics
    for p, q in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(p, q)
