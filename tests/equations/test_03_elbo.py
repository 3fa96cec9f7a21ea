"""The labelled equations of chapter 03, each computed in two independent ways, in float64."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from torch.distributions import (
    Bernoulli,
    Beta,
    Independent,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
)

from dgm import objectives
from dgm.estimators import exact
from dgm.evaluate import aggregate_posterior
from dgm.models import PPCA, BernoulliMixture, GaussianMixture

pytestmark = pytest.mark.usefixtures("float64")


def binary(n):
    """All vectors of n bits, (2^n, n)."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)))


def grid(low, high, n):
    """Points and step of a quadrature by sums."""
    z = torch.linspace(low, high, n)
    return z, (z[1] - z[0]).item()


def kl(q, p):
    """KL of discrete laws with positive probabilities, over the last axis."""
    return (q * (q.log() - p.log())).sum(-1)


def log_beta(a, b):
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def close(a, b, **tolerance):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), **tolerance)


@pytest.mark.equation("eq-bayes")
def test_bayes():
    """The formula against what conditioning means: of many draws (t, x), keep those with this x."""
    prior, likelihood = torch.rand(4).softmax(0), torch.randn(4, 3).softmax(1)
    n = 400_000
    t = torch.multinomial(prior, n, replacement=True)
    x = torch.multinomial(likelihood, n, replacement=True)[t, torch.arange(n)]
    for value in range(3):
        evidence = (prior * likelihood[:, value]).sum()
        posterior = prior * likelihood[:, value] / evidence
        kept = t[x == value]
        assert abs(len(kept) / n - evidence) < 4 * (evidence * (1 - evidence) / n).sqrt()
        frequency = torch.bincount(kept, minlength=4) / len(kept)
        error = (posterior * (1 - posterior) / len(kept)).sqrt()
        assert ((frequency - posterior).abs() < 4 * error).all()


@pytest.mark.equation("eq-coin")
def test_coin():
    """Evidence and posterior by quadrature over theta, against Beta functions."""
    theta, step = grid(0, 1, 200_001)
    theta = theta[1:-1]
    for a, b, heads, tails in ((2.0, 2.0, 3, 0), (1.5, 4.0, 2, 5), (3.0, 2.0, 0, 0)):
        joint = theta**heads * (1 - theta) ** tails * Beta(a, b).log_prob(theta).exp()
        evidence = joint.sum() * step
        log_evidence = log_beta(a + heads, b + tails) - log_beta(a, b)
        close(evidence.log(), log_evidence, rtol=0, atol=1e-5)
        formula = Beta(a + heads, b + tails).log_prob(theta).exp()
        close(joint / evidence, formula, rtol=1e-5, atol=1e-5)


@pytest.mark.equation("eq-coin-predictive")
def test_coin_predictive():
    """Mean and peak of the posterior on a grid against both fractions."""
    theta, step = grid(0, 1, 200_001)
    theta = theta[1:-1]
    for a, b, heads, n in ((2.0, 2.0, 3, 3), (1.5, 4.0, 2, 7), (3.0, 2.0, 40, 100)):
        posterior = theta ** (heads + a - 1) * (1 - theta) ** (n - heads + b - 1)
        posterior /= posterior.sum()
        close((theta * posterior).sum(), (a + heads) / (a + b + n), atol=1e-6, rtol=0)
        peak = theta[posterior.argmax()]
        close(peak, (a + heads - 1) / (a + b + n - 2), atol=2 * step, rtol=0)


@pytest.mark.equation("eq-mixture-softmax")
def test_the_posterior_of_a_bernoulli_mixture_is_a_softmax():
    """Bayes' rule by products of probabilities against one linear layer, for all 2^6 inputs."""
    pi, mu, x = torch.rand(3).softmax(0), torch.rand(3, 6), binary(6)
    joint = pi * torch.where(x[:, None] == 1, mu, 1 - mu).prod(2)  # (64, 3)
    w, b = (mu / (1 - mu)).log(), pi.log() + (1 - mu).log().sum(1)
    close(joint / joint.sum(1, keepdim=True), (x @ w.T + b).softmax(1))
    model = BernoulliMixture((6,), components=3)
    model.load_state_dict({"weight_logits": pi.log(), "logits": mu.logit()})
    close(model.posterior(x).probs.detach(), (x @ w.T + b).softmax(1))


@pytest.mark.equation("eq-ppca")
def test_ppca_marginal_and_posterior():
    """Quadrature over a two-dimensional z against both Gaussians, and against the library."""
    W, mu, sigma2 = torch.randn(3, 2), torch.randn(3), 0.4
    x = torch.randn(5, 3) + mu
    t, h = grid(-8, 8, 321)
    z = torch.cartesian_prod(t, t)  # (G, 2)
    log_joint = Normal(0.0, 1.0).log_prob(z).sum(1) + Normal(z @ W.T + mu, sigma2**0.5).log_prob(
        x[:, None]
    ).sum(2)  # (5, G)
    log_p = log_joint.logsumexp(1) + 2 * math.log(h)
    close(log_p, MultivariateNormal(mu, W @ W.T + sigma2 * torch.eye(3)).log_prob(x))
    M = W.T @ W + sigma2 * torch.eye(2)
    mean = (x - mu) @ W @ torch.linalg.inv(M)
    formula = MultivariateNormal(mean[:, None], sigma2 * torch.linalg.inv(M)).log_prob(z)
    close(log_joint - log_p[:, None], formula, atol=1e-8, rtol=1e-8)
    model = PPCA((3,), latent=2)
    parameters = {"weight": W, "mean": mu, "log_variance": torch.tensor(math.log(sigma2))}
    model.load_state_dict(parameters)
    close(model.log_prob(x).detach(), log_p)
    by_library = model.posterior(x).log_prob(z[:, None]).T.detach()  # (5, G)
    close(by_library, log_joint - log_p[:, None], atol=1e-8, rtol=1e-8)


@pytest.mark.equation("eq-ppca-mle")
def test_ppca_maximum_likelihood():
    """At the closed form autograd's gradients vanish, with any rotation; elsewhere it is lower."""
    scales = torch.tensor([3.0, 2.0, 1.0, 0.6, 0.4])
    x = (torch.randn(200, 5) * scales) @ torch.linalg.qr(torch.randn(5, 5)).Q + 1.0
    values, vectors = torch.linalg.eigh(torch.cov(x.T, correction=0))
    values, U = values.flip(0), vectors.flip(1)[:, :2]
    sigma2 = values[2:].mean()
    R = torch.linalg.qr(torch.randn(2, 2)).Q
    best = [x.mean(0), U * (values[:2] - sigma2).sqrt() @ R, sigma2.log()]

    def score(mu, W, log_variance):
        C = W @ W.T + log_variance.exp() * torch.eye(5)
        return MultivariateNormal(mu, C).log_prob(x).mean()

    for gradient in torch.func.grad(score, argnums=(0, 1, 2))(*best):
        close(gradient, torch.zeros_like(gradient), atol=1e-10, rtol=0)
    for _ in range(50):
        assert score(*(p + 0.1 * torch.randn_like(p) for p in best)) < score(*best)
    close(PPCA((5,), latent=2).fit(x).log_prob(x).mean().detach(), score(*best))
    for _ in range(3):  # gradient ascent from anywhere ends no higher
        free = [torch.zeros(5), torch.randn(5, 2), torch.zeros(())]
        free = [p.requires_grad_() for p in free]
        optimizer = torch.optim.LBFGS(free, max_iter=300, line_search_fn="strong_wolfe")

        def closure(free=free, optimizer=optimizer):
            optimizer.zero_grad()
            loss = -score(*free)
            loss.backward()
            return loss

        optimizer.step(closure)
        close(score(*free).detach(), score(*best), atol=1e-6, rtol=0)


@pytest.mark.equation("eq-plug-in-latent")
def test_the_best_latent():
    """The highest of many z against the formula, and its rise with w for ever."""
    z, _ = grid(-6, 6, 240_001)
    for x in (-2.0, 0.3, 1.7):
        heights = []
        for w in (0.0, 0.5, 2.0, 7.0):
            log_joint = Normal(0.0, 1.0).log_prob(z) + Normal(w * z, 1.0).log_prob(torch.tensor(x))
            heights.append(log_joint.max())
            formula = -math.log(2 * math.pi) - x**2 / (2 * (1 + w**2))
            close(heights[-1], formula, atol=1e-7, rtol=0)
        assert heights == sorted(heights)


@pytest.mark.equation("eq-fisher-identity")
def test_fisher_identity():
    """Autograd through the marginal against the posterior mean of the joint's gradients."""
    x = torch.bernoulli(torch.full((5,), 0.5))
    z = binary(4)

    def log_joint(W):
        prior = Bernoulli(logits=W[0, :4]).log_prob(z).sum(1)
        return prior + Bernoulli(logits=(z @ W[1:] + W[0]).tanh()).log_prob(x).sum(1)  # (16,)

    W = torch.randn(5, 5)
    left = torch.func.grad(lambda W: log_joint(W).logsumexp(0))(W)
    per_state = torch.func.jacrev(log_joint)(W)  # (16, 5, 5)
    posterior = log_joint(W).exp() / log_joint(W).exp().sum()
    close(left, torch.einsum("s,sij->ij", posterior, per_state))


@pytest.mark.equation("eq-gaussian-kl")
def test_gaussian_kl():
    """Quadrature against the formula and the library's `kl`, in both directions."""
    z, h = grid(-30, 30, 60_001)
    for m1, s1, m2, s2 in ((0.5, 0.8, -0.3, 1.4), (-0.3, 1.4, 0.5, 0.8), (2.0, 1.0, 2.0, 3.0)):
        log_p, log_q = Normal(m1, s1).log_prob(z), Normal(m2, s2).log_prob(z)
        quadrature = (log_p.exp() * (log_p - log_q)).sum() * h
        formula = math.log(s2 / s1) + (s1**2 + (m1 - m2) ** 2) / (2 * s2**2) - 0.5
        close(quadrature, formula)
        close(objectives.kl(Normal(m1, s1), Normal(m2, s2)), quadrature)


@pytest.mark.equation("eq-moment-matching")
def test_moment_matching():
    """The KL from a skewed two-humped law, minimised numerically, against mean and variance."""
    z, h = grid(-15, 15, 3001)
    p = 0.3 * Normal(-2.0, 0.7).log_prob(z).exp() + 0.7 * Normal(1.5, 1.2).log_prob(z).exp()
    mean = (p * z).sum() * h
    variance = (p * (z - mean) ** 2).sum() * h
    free = torch.tensor([0.5, 0.0], requires_grad=True)  # mu, log sigma
    optimizer = torch.optim.LBFGS([free], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = (p * (p.log() - Normal(free[0], free[1].exp()).log_prob(z))).sum() * h
        loss.backward()
        return loss

    optimizer.step(closure)
    close(free.detach()[0], mean, atol=1e-5, rtol=0)
    close((2 * free.detach()[1]).exp(), variance, atol=1e-5, rtol=0)


def random_net():
    """log p(z), log p(x | z) of a net with six hidden bits at one x, (64,) each."""
    z, x = binary(6), torch.bernoulli(torch.full((8,), 0.5))
    prior = Bernoulli(logits=torch.randn(6)).log_prob(z).sum(1)
    return prior, Bernoulli(logits=z @ torch.randn(6, 8) * 2).log_prob(x).sum(1)


def table(prior, likelihood, q):
    """A model of a single x: log p(z), log p(x | z) and q(z), for every value of the code."""
    return SimpleNamespace(
        prior=lambda: OneHotCategorical(logits=prior),
        posterior=lambda x: OneHotCategorical(probs=q.expand(len(x), -1)),
        likelihood=lambda z: SimpleNamespace(log_prob=lambda x: z @ likelihood),
    )


@pytest.mark.equation("eq-elbo")
def test_elbo_plus_kl_is_log_p():
    """64 states, many q: the evidence by summing probabilities, the right side by logarithms.

    The library's `elbo`, all codes enumerated, is the ELBO of the right side.
    """
    prior, likelihood = random_net()
    evidence = (prior.exp() * likelihood.exp()).sum()
    posterior = prior.exp() * likelihood.exp() / evidence
    for scale in (0.0, 1.0, 5.0):
        q = (scale * torch.randn(64)).softmax(0)
        elbo = (q * (prior + likelihood - q.log())).sum()
        assert abs(elbo + kl(q, posterior) - evidence.log()) < 1e-12
        model = table(prior, likelihood, q)
        for analytic in (True, False):  # the KL to the prior in closed form, or summed up
            value = objectives.elbo(model, torch.zeros(1, 1), estimator=exact, analytic_kl=analytic)
            close(value + kl(q, posterior), evidence.log().expand(1))
        assert elbo < evidence.log()
    tight = (posterior * (prior + likelihood - posterior.log())).sum()
    assert abs(tight - evidence.log()) < 1e-12  # equality at the posterior


@pytest.mark.equation("eq-elbo-forms")
def test_forms_of_the_elbo():
    """The definition by quadrature against both forms with closed-form KL and entropy.

    And the library's `elbo`, its draws replaced by the grid, with and without the closed form.
    """
    z, h = grid(-9, 9, 3601)
    prior, x = Normal(0.3, 1.5), torch.tensor(1.2)
    log_likelihood = Normal(z.sin() + z, 0.6).log_prob(x)
    for mean, sd in ((0.0, 1.0), (1.1, 0.3), (-2.0, 0.8)):
        q = Normal(mean, sd)
        weights = q.log_prob(z).exp() * h
        log_joint = prior.log_prob(z) + log_likelihood
        elbo = (weights * (log_joint - q.log_prob(z))).sum()
        to_prior = torch.distributions.kl_divergence(q, prior)
        close((weights * log_likelihood).sum() - to_prior, elbo)
        close((weights * log_joint).sum() + q.entropy(), elbo)
        model = SimpleNamespace(
            prior=lambda: Independent(Normal(torch.tensor([0.3]), 1.5), 1),
            posterior=lambda x, q=q: Independent(q.expand((1, 1)), 1),
            likelihood=lambda z: Independent(Normal(z.sin() + z, 0.6), 1),
        )

        def on_grid(f, q, k, weights=weights):
            return weights @ f(z[:, None, None])

        for analytic in (True, False):
            value = objectives.elbo(model, x.reshape(1, 1), estimator=on_grid, analytic_kl=analytic)
            close(value, elbo.expand(1))


@pytest.mark.equation("eq-aggregate")
def test_mean_kl_splits_at_the_average():
    """Closed-form KLs to the prior on the left, quadrature over the average on the right.

    The library estimates both terms of the right side, here within 4 standard errors.
    """
    means, sds = torch.randn(30, 1), 0.3 + torch.rand(30, 1)
    left = torch.distributions.kl_divergence(Normal(means, sds), Normal(0.0, 1.0)).mean()
    z, h = grid(-9, 9, 3601)
    log_q = Normal(means, sds).log_prob(z)  # (30, n)
    average = log_q.exp().mean(0)
    information = (log_q.exp() * (log_q - average.log())).sum(1).mean() * h
    to_prior = (average * (average.log() - Normal(0.0, 1.0).log_prob(z))).sum() * h
    close(left, information + to_prior)
    assert information > 0.1
    assert to_prior > 0.01
    model = SimpleNamespace(
        prior=lambda: Independent(Normal(torch.zeros(1), 1.0), 1),
        posterior=lambda x: Independent(Normal(means, sds), 1),
        likelihood=lambda z: None,  # not asked for, but a latent-variable model has them
        sample=lambda n: None,
    )
    parts = aggregate_posterior(model, torch.zeros(30, 1), k=2000)
    assert abs(parts.mutual_information - information) < 4 * parts.mutual_information_error < 0.02
    assert abs(parts.marginal_kl - to_prior) < 4 * parts.marginal_kl_error < 0.02


@pytest.mark.equation("eq-em-monotone")
@pytest.mark.parametrize("seed", range(3))
def test_em_climbs(seed):
    """All four members of the chain, for a mixture of Gaussians over thirty rounds."""
    torch.manual_seed(seed)
    x = torch.cat([torch.randn(40, 2), 2 * torch.randn(60, 2) + 3])
    model = GaussianMixture((2,), components=3).initialize(x)
    with torch.no_grad():
        for _ in range(30):
            before = model.log_prob(x).sum()
            q = model.e_step(x)
            r = q.probs

            def bound(model=model, r=r):
                return (r * model.log_joint(x) - torch.xlogy(r, r)).sum()

            touching = bound()
            model.m_step(x, q)
            close(touching, before)
            assert bound() >= touching - 1e-9
            assert model.log_prob(x).sum() >= bound() - 1e-9


@pytest.mark.equation("eq-one-weight-m-step")
@pytest.mark.parametrize("s", [0.3, 1.0])
def test_m_step_of_one_weight(s):
    """Autograd through quadrature over z is zero at the formula; the library's M-step agrees."""
    x, mean = torch.randn(40), torch.randn(40)
    x, mean = x - x.mean(), mean - mean.mean()
    t, h = grid(-8, 8, 161)
    z = mean[:, None] + s * t  # (40, 161)

    def objective(w):
        weights = Normal(0.0, 1.0).log_prob(t).exp() * h
        return ((Normal(w * z, 1.0).log_prob(x[:, None])) @ weights).sum()

    best = (x * mean).sum() / (mean**2 + s**2).sum()
    close(torch.func.grad(objective)(best), torch.tensor(0.0), atol=1e-9, rtol=0)
    assert objective(best) > max(objective(best - 0.01), objective(best + 0.01))
    model = PPCA((1,), latent=1)
    model.m_step(x[:, None], MultivariateNormal(mean[:, None], scale_tril=torch.tensor([[s]])))
    close(model.weight.detach().squeeze(), best)


@pytest.mark.equation("eq-em-mixture")
def test_m_step_of_a_mixture():
    """At the formulas autograd's gradient is zero and all else is lower; the library agrees."""
    x, r = torch.randn(50) * 2, torch.rand(50, 3).softmax(1)
    n = r.sum(0)
    mean = (r * x[:, None]).sum(0) / n
    variance = (r * (x[:, None] - mean) ** 2).sum(0) / n

    def objective(logits, mean, log_variance):
        log_p = Normal(mean, (log_variance / 2).exp()).log_prob(x[:, None])
        return (r * (logits.log_softmax(0) + log_p)).sum()

    best = [(n / 50).log(), mean, variance.log()]
    for gradient in torch.func.grad(objective, argnums=(0, 1, 2))(*best):
        close(gradient, torch.zeros(3), atol=1e-9, rtol=0)
    for _ in range(50):
        assert objective(*(p + 0.1 * torch.randn(3) for p in best)) < objective(*best)
    model = GaussianMixture((1,), components=3, covariance="diagonal")
    model.m_step(x[:, None], OneHotCategorical(probs=r))
    close(model.weights.detach(), n / 50)
    close(model.mean.detach()[:, 0], mean)
    close(model.log_variance.detach()[:, 0].exp(), variance)


def restricted(w, x):
    """max over m of the ELBO of z ~ N(0, 1), x | z ~ N(w z, 1), q = N(m, 1), by search."""
    m = torch.linspace(-4, 4, 8001)
    t, h = grid(-8, 8, 161)
    z = m[:, None] + t  # (8001, 161)
    weights = Normal(0.0, 1.0).log_prob(t).exp() * h
    log_joint = Normal(0.0, 1.0).log_prob(z) + Normal(w * z, 1.0).log_prob(x)
    return (log_joint @ weights).max() + 0.5 * math.log(2 * math.pi * math.e)


@pytest.mark.equation("eq-restricted-gap")
@pytest.mark.parametrize("w", [0.0, 0.7, 2.0])
def test_gap_of_a_restricted_q(w):
    """The best of many m by quadrature against the formula, at several x."""
    for x in (-2.0, 0.3, 1.7):
        log_p = Normal(0.0, math.sqrt(1 + w**2)).log_prob(torch.tensor(x))
        gap = log_p - restricted(w, torch.tensor(x))
        close(gap, 0.5 * (w**2 - math.log(1 + w**2)), atol=1e-5, rtol=0)


@pytest.mark.equation("eq-restricted-optimum")
def test_optima_with_and_without_restriction():
    """Ascent in w and all m_i, by quadrature, against sqrt(v) - 1; in w alone against v - 1."""
    x = torch.randn(20)
    x = (x - x.mean()) / x.std(correction=0) * math.sqrt(3.7)
    t, h = grid(-8, 8, 81)
    weights = Normal(0.0, 1.0).log_prob(t).exp() * h

    def bound(w, m):
        z = m[:, None] + t
        log_joint = Normal(0.0, 1.0).log_prob(z) + Normal(w * z, 1.0).log_prob(x[:, None])
        return (log_joint @ weights).mean()

    def log_p(w):
        return Normal(torch.zeros(()), (1 + w**2).sqrt()).log_prob(x).mean()

    for objective, free, target in (
        (log_p, [torch.tensor(0.5)], 3.7 - 1),
        (bound, [torch.tensor(0.5), torch.zeros(20)], math.sqrt(3.7) - 1),
    ):
        free = [p.requires_grad_() for p in free]
        optimizer = torch.optim.LBFGS(
            free, max_iter=500, line_search_fn="strong_wolfe", tolerance_change=1e-15
        )

        def closure(objective=objective, free=free, optimizer=optimizer):
            optimizer.zero_grad()
            loss = -objective(*free)
            loss.backward()
            return loss

        optimizer.step(closure)
        close(free[0].detach() ** 2, target, atol=1e-4, rtol=0)


@pytest.mark.equation("eq-mean-field")
def test_the_best_factor_of_a_product():
    """ELBOs summed over all 24 codes: no factor beats the formula's, and ascent ends there."""
    log_joint = 2 * torch.randn(2, 3, 4)  # log p(x, z_1, z_2, z_3) at one x
    q1, q3 = torch.randn(2).softmax(0), torch.randn(4).softmax(0)
    formula = torch.einsum("ijk,i,k->j", log_joint, q1, q3).softmax(0)

    def bound(q2):
        q = torch.einsum("i,j,k->ijk", q1, q2, q3)
        return (q * (log_joint - q.log())).sum()

    for _ in range(100):
        assert bound(torch.randn(3).softmax(0)) <= bound(formula)
    logits = torch.zeros(3, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], max_iter=200, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = -bound(logits.softmax(0))
        loss.backward()
        return loss

    optimizer.step(closure)
    close(logits.detach().softmax(0), formula, atol=1e-5, rtol=0)


@pytest.mark.equation("eq-inference-gap")
def test_inference_gap_splits():
    """The whole gap as a KL to the posterior; its two parts from closed forms."""
    w, a = 1.4, 0.3  # x | z ~ N(w z, 1); family N(m, 1); the network says m = a x
    u = 1 + w**2
    for x in (-1.5, 0.4, 2.0):
        posterior = Normal(w * x / u, u**-0.5)
        whole = torch.distributions.kl_divergence(Normal(a * x, 1.0), posterior)
        best = restricted(w, torch.tensor(x))
        approximation = Normal(0.0, u**0.5).log_prob(torch.tensor(x)) - best
        z, h = grid(-12, 12, 4801)
        q = Normal(a * x, 1.0).log_prob(z)
        log_joint = Normal(0.0, 1.0).log_prob(z) + Normal(w * z, 1.0).log_prob(torch.tensor(x))
        amortisation = best - ((log_joint - q) * q.exp()).sum() * h
        close(whole, approximation + amortisation)
        assert approximation > 0
        close(amortisation, (a - w / u) ** 2 * x**2 * u / 2, atol=1e-5, rtol=0)
