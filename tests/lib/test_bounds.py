"""Bounds of the log-likelihood: against closed forms, enumeration, quadrature, and each other."""

import itertools
import math
from functools import partial

import numpy as np
import pytest
import torch
from tests.standard_error import standard_errors_off
from torch import distributions as D
from torch import nn
from torch.distributions.kl import kl_divergence

from dgm import heads, models
from dgm.estimators import (
    exact,
    gumbel_softmax,
    mean,
    measure_valued,
    pathwise,
    score_function,
    straight_through,
)
from dgm.objectives import dreg, elbo, fisher, free_bits, iwae, kl, kl_per_coordinate

leave_one_out = partial(score_function, baseline="leave-one-out")


@pytest.fixture(autouse=True)
def validation(float64):
    yield
    D.Distribution.set_default_validate_args(True)  # torch.compile switches it off for good


# --- KL divergences ---


def normals(*batch):
    return D.Independent(D.Normal(torch.randn(*batch, 3), torch.rand(*batch, 3) + 0.3), 1)


def full_normals(*batch):
    return D.MultivariateNormal(
        torch.randn(*batch, 3),
        scale_tril=torch.randn(*batch, 3, 3).tril(-1) + (torch.rand(*batch, 3) + 0.3).diag_embed(),
    )


def bits(*batch):
    return D.Independent(D.Bernoulli(logits=2 * torch.randn(*batch, 3)), 1)


def choice(*batch):
    return D.OneHotCategorical(logits=torch.randn(*batch, 3))


def choices(*batch):
    return D.Independent(D.OneHotCategorical(logits=torch.randn(*batch, 2, 3)), 1)


def as_full(p):
    return D.MultivariateNormal(p.mean, scale_tril=p.stddev.diag_embed())


PAIRS = {
    "normals": (normals, normals),
    "full against diagonal": (full_normals, normals),
    "bits": (bits, bits),
    "choice": (choice, choice),
    "choices": (choices, choices),
}


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("p_batch", [(), (5,)])
def test_kl_agrees_with_torch_and_with_monte_carlo(name, p_batch):
    make_q, make_p = PAIRS[name]
    q, p = make_q(5), make_p(*p_batch)
    divergence = kl(q, p)
    if name == "full against diagonal":  # torch has no such pair
        theirs = kl_divergence(q, as_full(p.expand((5,))))
    else:
        theirs = kl_divergence(q, p.expand((5,)))
    torch.testing.assert_close(divergence, theirs)
    z = q.sample((20_000,))
    assert standard_errors_off(q.log_prob(z) - p.log_prob(z), divergence) < 4


def test_kl_of_scalars():
    q, p = D.Normal(torch.randn(5), 0.5), D.Normal(0.0, torch.tensor(2.0))
    torch.testing.assert_close(kl(q, p), kl_divergence(q, p))
    q, p = D.Bernoulli(torch.rand(5)), D.Bernoulli(torch.tensor(0.3))
    torch.testing.assert_close(kl(q, p), kl_divergence(q, p))


@pytest.mark.parametrize(
    ("q", "p", "message"),
    [
        (D.Laplace(0.0, 1.0), D.Cauchy(0.0, 1.0), "no closed form for a Laplace against a Cauchy"),
        (normals(5), full_normals(), "no closed form for a Normal against a MultivariateNormal"),
        (bits(5), normals(), "got Bernoulli, event shape .3,., and Normal"),
        (D.Normal(torch.zeros(5, 3), 1.0), normals(), r"event shape \(\), and Normal, .*\(3,\)"),
        (choice(5), choices(), r"event shape \(3,\), and OneHotCategorical, event shape \(2, 3\)"),
    ],
)
def test_kl_refuses(q, p, message):
    with pytest.raises(ValueError, match=message):
        kl(q, p)


def test_kl_of_pairs_that_are_in_torchs_table_alone():
    q = D.Independent(D.Gamma(torch.rand(5, 3) + 0.5, torch.rand(5, 3) + 0.5), 1)
    p = D.Independent(D.Gamma(torch.ones(3), torch.ones(3)), 1)
    torch.testing.assert_close(kl(q, p), kl_divergence(q, p.expand((5,))))
    torch.testing.assert_close(
        kl_per_coordinate(q, p)[:, 1], kl_divergence(q.base_dist, p.base_dist)[:, 1]
    )
    torch.testing.assert_close(kl_per_coordinate(q, p).sum(1), kl(q, p))
    q, p = full_normals(5), full_normals()
    torch.testing.assert_close(kl(q, p), kl_divergence(q, p.expand((5,))))
    with pytest.raises(ValueError, match="is no sum over coordinates"):
        kl_per_coordinate(q, p)


class Mine(D.Distribution):
    """N(loc, I), of which neither torch nor the library knows what it is."""

    arg_constraints = {}
    support = D.constraints.real_vector
    has_rsample = True

    def __init__(self, loc):
        self.inside = D.Independent(D.Normal(loc, 1.0), 1)
        super().__init__(self.inside.batch_shape, self.inside.event_shape)

    def rsample(self, sample_shape=()):
        return self.inside.rsample(sample_shape)

    def log_prob(self, z):
        return self.inside.log_prob(z)


class Wrong(Mine):
    """Its divergence is registered, but comes per coordinate."""


def test_a_distribution_of_ones_own_brings_its_closed_form(linear_gaussian):
    model, x = linear_gaussian
    loc = torch.randn(4, 3)

    def bound(q):
        model.q = q
        torch.manual_seed(0)
        return elbo(model, x)

    estimated = bound(Mine(loc))
    with pytest.raises(ValueError, match="no closed form for a Mine against a Normal"):
        kl(Mine(loc), model.prior())
    D.register_kl(Mine, D.Independent)(lambda q, p: 0.5 * q.inside.mean.square().sum(-1))
    exactly = bound(Mine(loc))
    torch.testing.assert_close(exactly, bound(D.Independent(D.Normal(loc, 1.0), 1)))
    assert not torch.allclose(exactly, estimated)
    D.register_kl(Wrong, D.Independent)(lambda q, p: 0.5 * q.inside.mean.square())
    with pytest.raises(ValueError, match=r"a Wrong and a Independent returned shape \(4, 3\), exp"):
        bound(Wrong(loc))


# --- a linear-Gaussian model: everything is known ---


class LinearGaussian:
    """z ~ N(0, I), x | z ~ N(W z, s^2 I), and any q(z | x) that one puts in."""

    def __init__(self, weight, sigma, q):
        self.weight, self.sigma, self.q = weight, sigma, q

    def prior(self):
        m = self.weight.shape[1]
        return D.Independent(D.Normal(torch.zeros(m), torch.ones(m)), 1)

    def likelihood(self, z):
        return D.Independent(D.Normal(z @ self.weight.T, self.sigma), 1)

    def posterior(self, x):
        return self.q

    def log_prob(self, x):
        d = len(self.weight)
        covariance = self.weight @ self.weight.T + self.sigma**2 * torch.eye(d)
        return D.MultivariateNormal(torch.zeros(d), covariance).log_prob(x)

    def exact_posterior(self, x):
        m = self.weight.shape[1]
        precision = torch.eye(m) + self.weight.T @ self.weight / self.sigma**2
        mean = torch.linalg.solve(precision, (x @ self.weight / self.sigma**2).T).T
        return D.MultivariateNormal(mean, precision_matrix=precision)


@pytest.fixture
def linear_gaussian():
    x = torch.randn(4, 5)
    model = LinearGaussian(torch.randn(5, 3), torch.tensor(0.7), normals(4))
    return model, x


@pytest.mark.parametrize("make_q", [normals, full_normals])
def test_elbo_and_kl_to_the_posterior_add_up_to_log_p(linear_gaussian, make_q):
    model, x = linear_gaussian
    model.q = make_q(4)
    q = as_full(model.q) if make_q is normals else model.q
    gap = kl_divergence(q, model.exact_posterior(x))
    draws = torch.stack([elbo(model, x, k=10) for _ in range(500)])  # (500, B)
    assert standard_errors_off(draws, model.log_prob(x) - gap) < 4


def test_bounds_are_tight_at_the_exact_posterior(linear_gaussian):
    """All log-weights are then log p(x): the importance-weighted bound does not even vary."""
    model, x = linear_gaussian
    model.q = model.exact_posterior(x)
    for k in (1, 5):
        torch.testing.assert_close(iwae(model, x, k=k), model.log_prob(x))
    draws = torch.stack([elbo(model, x, k=10) for _ in range(500)])
    assert standard_errors_off(draws, model.log_prob(x)) < 4


def test_elbo_of_ppca_is_its_log_likelihood():
    """The library's own model, with the closed-form KL of a full covariance in the way."""
    model = models.PPCA((1, 2, 3), latent=2)
    x = torch.randn(3, 1, 2, 3)
    draws = torch.stack([elbo(model, x, k=10) for _ in range(500)]).detach()
    assert standard_errors_off(draws, model.log_prob(x).detach()) < 4
    torch.testing.assert_close(iwae(model, x, k=3), model.log_prob(x))


def test_beta_weighs_the_kl_term(linear_gaussian):
    model, x = linear_gaussian
    bounds = []
    for beta in (0.0, 1.0, 4.0):
        torch.manual_seed(1)
        bounds.append(elbo(model, x, k=2, beta=beta))
    divergence = kl_divergence(model.q, model.prior().expand((4,)))
    torch.testing.assert_close(bounds[0] - bounds[1], divergence)
    torch.testing.assert_close(bounds[0] - bounds[2], 4 * divergence)


class MixturePrior(LinearGaussian):
    """A prior without a closed-form KL: a mixture that happens to be N(0, I)."""

    def prior(self):
        m = self.weight.shape[1]
        parts = D.Independent(D.Normal(torch.zeros(2, m), torch.ones(2, m)), 1)
        return D.MixtureSameFamily(D.Categorical(torch.ones(2)), parts)


@pytest.mark.parametrize("beta", [1.0, 3.0])
@pytest.mark.parametrize("estimator", [pathwise, score_function])
def test_elbo_without_a_closed_form_estimates_the_kl_from_the_same_draws(estimator, beta):
    x = torch.randn(4, 5)
    mu, log_sigma = torch.randn(4, 3, requires_grad=True), torch.zeros(4, 3, requires_grad=True)
    n, gradients, values = 300, [], []
    for kind in (LinearGaussian, MixturePrior):
        model = kind(torch.ones(5, 3), torch.tensor(2.0), None)
        # n copies of each example: the gradient of each copy's q is a sample of its own
        mu_n, log_sigma_n = (
            p.detach().expand(n, 4, 3).clone().requires_grad_() for p in (mu, log_sigma)
        )
        model.q = D.Independent(D.Normal(mu_n, log_sigma_n.exp()), 1)
        value = elbo(model, x.expand(n, 4, 5), k=8, beta=beta, estimator=estimator)
        gradients.append(torch.stack(torch.autograd.grad(value.sum(), (mu_n, log_sigma_n)), 1))
        values.append(value.detach())
    difference = gradients[0] - gradients[1]  # two independent estimates: their means agree
    assert standard_errors_off(difference, 0.0) < 4
    assert standard_errors_off(values[0] - values[1], 0.0) < 4


def test_gradient_of_the_importance_weighted_bound_against_quadrature():
    """One latent coordinate, two draws: the plane of both draws' noise by Gauss-Hermite."""
    x, k, n = torch.tensor([1.3, -0.4]), 2, 20_000
    start = {"mu": 0.2, "log_sigma": -0.3, "weight": 0.8, "log_s": 0.1}
    start = {name: torch.tensor(value) for name, value in start.items()}

    def log_weight(z, mu, log_sigma, weight, log_s):
        log_prior = D.Normal(0.0, 1.0).log_prob(z)
        log_lik = sum(D.Normal(c * weight * z, log_s.exp()).log_prob(x[i]) for i, c in PIXELS)
        return log_lik + log_prior - D.Normal(mu, log_sigma.exp()).log_prob(z)

    leaves = {name: value.clone().requires_grad_() for name, value in start.items()}
    nodes, masses = hermite(60)
    z = leaves["mu"] + leaves["log_sigma"].exp() * nodes
    w = log_weight(z, **leaves)
    bound = masses @ (torch.logaddexp(w[:, None], w[None]) - math.log(2)) @ masses
    truth = torch.autograd.grad(bound, list(leaves.values()))

    class Copies:
        """n copies of the model, each with parameters of its own."""

        def __init__(self, mu, log_sigma, weight, log_s):
            self.q = D.Independent(D.Normal(mu[:, None], log_sigma.exp()[:, None]), 1)
            self.weight, self.s = weight, log_s.exp()

        def prior(self):
            return D.Independent(D.Normal(torch.zeros(1), torch.ones(1)), 1)

        def posterior(self, x):
            return self.q

        def likelihood(self, z):
            mean = torch.stack([c * self.weight * z[..., 0] for _, c in PIXELS], -1)
            return D.Independent(D.Normal(mean, self.s[:, None]), 1)

    for estimator in (pathwise, score_function, leave_one_out, measure_valued):
        copies = [value.expand(n).clone().requires_grad_() for value in start.values()]
        value = iwae(Copies(*copies), x.expand(n, 2), k=k, estimator=estimator)
        assert standard_errors_off(value.detach(), bound.detach()) < 4
        for g, exactly in zip(torch.autograd.grad(value.sum(), copies), truth, strict=True):
            assert standard_errors_off(g, exactly) < 4


PIXELS = [(0, 1.0), (1, -0.5)]  # the decoder of that test: pixel i has mean c w z


def hermite(n):
    """Nodes and weights for expectations under N(0, 1)."""
    import numpy as np

    nodes, weights = np.polynomial.hermite_e.hermegauss(n)
    return torch.tensor(nodes), torch.tensor(weights / weights.sum())


# --- a model with bits for codes: everything can be enumerated ---


class Bits(nn.Module):
    """Sigmoid belief network: fair-coin codes of 3 bits, 4 pixels, a free q per example."""

    def __init__(self, logits, weight):  # (B, 3), (B, 3, 4): copies of one weight matrix
        super().__init__()
        self.logits, self.weight = nn.Parameter(logits), nn.Parameter(weight)

    def prior(self):
        return D.Independent(D.Bernoulli(torch.full((3,), 0.5)), 1)

    def posterior(self, x):
        return D.Independent(D.Bernoulli(logits=self.logits, validate_args=False), 1)

    def likelihood(self, z):
        logits = torch.einsum("...bi,bij->...bj", z, self.weight)
        return D.Independent(D.Bernoulli(logits=logits, validate_args=False), 1)

    def by_hand(self, x):
        """log w and log q of all 8 codes, for the first example: (8,), (8,)."""
        log_w, log_q = [], []
        for code in itertools.product([0.0, 1.0], repeat=3):
            z = torch.tensor(code)
            p = self.logits[0].sigmoid()
            log_q.append(torch.where(z == 1, p, 1 - p).log().sum())
            pixels = (z @ self.weight[0]).sigmoid()
            log_joint = torch.where(x[0] == 1, pixels, 1 - pixels).log().sum() + 3 * math.log(0.5)
            log_w.append(log_joint - log_q[-1])
        return torch.stack(log_w), torch.stack(log_q)


def make_bits(n=1):
    torch.manual_seed(5)
    logits, weight = torch.randn(3), torch.randn(3, 4)
    x = torch.tensor([1.0, 0.0, 0.0, 1.0])
    model = Bits(logits.expand(n, 3).clone(), weight.expand(n, 3, 4).clone())
    torch.manual_seed(0)
    return model, x.expand(n, 4)


def bound_by_hand(model, x, k):
    log_w, log_q = model.by_hand(x)
    total = 0.0
    for tuple_ in itertools.product(range(8), repeat=k):
        index = torch.tensor(tuple_)
        total = total + log_q[index].sum().exp() * (log_w[index].logsumexp(0) - math.log(k))
    return total


def gradients(model, value):
    return torch.autograd.grad(value, (model.logits, model.weight))


def test_exact_bounds_and_gradients_are_the_sums_written_out():
    model, x = make_bits()
    for bound, k in [(elbo, 1), (iwae, 1), (iwae, 2), (iwae, 3)]:
        by_hand = bound_by_hand(model, x, k)
        value = bound(model, x, k=k, estimator=exact)
        torch.testing.assert_close(value[0], by_hand)
        torch.testing.assert_close(gradients(model, value.sum()), gradients(model, by_hand))


@pytest.mark.parametrize("estimator", [score_function, leave_one_out])
@pytest.mark.parametrize(("bound", "k"), [(elbo, 2), (iwae, 2), (iwae, 4)])
def test_score_function_gradients_of_the_bounds_against_enumeration(estimator, bound, k):
    """In the posterior's parameters and in the decoder's."""
    model, x = make_bits()
    truth = gradients(model, bound(model, x, k=k, estimator=exact).sum())
    model, x = make_bits(20_000)
    value = bound(model, x, k=k, estimator=estimator)
    for g, exactly in zip(gradients(model, value.sum()), truth, strict=True):
        assert standard_errors_off(g, exactly) < 4


@pytest.mark.parametrize("estimator", [straight_through, gumbel_softmax])
def test_biased_gradients_of_the_elbo_are_near_and_the_decoders_are_as_stated(estimator):
    """Straight-through is unbiased in the decoder's parameters, Gumbel-softmax in none."""
    model, x = make_bits()
    truth = gradients(model, elbo(model, x, estimator=exact).sum())
    model, x = make_bits(20_000)
    g_q, g_decoder = gradients(model, elbo(model, x, estimator=estimator).sum())
    cosine = torch.cosine_similarity(g_q.mean(0), truth[0][0], dim=0)
    assert cosine > 0.9
    off = standard_errors_off(g_decoder, truth[1])
    assert off < 4 if estimator is straight_through else off > 10


def test_bounds_rise_with_k_towards_log_p():
    """L_1 <= L_5 <= L_50 <= log p, without noise: one bit of code, so that ones can be counted."""
    p, q = torch.tensor(0.5), torch.tensor(0.2)
    pixels = {0: torch.tensor([0.9, 0.3]), 1: torch.tensor([0.2, 0.6])}  # of x = (1, 1)
    log_w0 = ((1 - p) * pixels[0].prod() / (1 - q)).log()
    log_w1 = (p * pixels[1].prod() / q).log()

    def bound(k):
        """The sum over the number c of draws that are one, binomial."""
        c = torch.arange(k + 1.0)
        terms = torch.stack([log_w1 + c.log(), log_w0 + (k - c).log()])
        mass = D.Binomial(k, q).log_prob(c).exp()
        return mass @ (terms.logsumexp(0) - math.log(k))

    class OneBit:
        def prior(self):
            return D.Independent(D.Bernoulli(p[None]), 1)

        def posterior(self, x):
            return D.Independent(D.Bernoulli(q.expand(len(x), 1)), 1)

        def likelihood(self, z):
            probs = pixels[0] + z * (pixels[1] - pixels[0])
            return D.Independent(D.Bernoulli(probs), 1)

    model, x = OneBit(), torch.ones(1, 2)
    log_p = (log_w0.exp() * (1 - q) + log_w1.exp() * q).log()
    values = [iwae(model, x, k=k, estimator=exact)[0] for k in (1, 5)]
    torch.testing.assert_close(values, [bound(1), bound(5)])
    torch.testing.assert_close(elbo(model, x, estimator=exact)[0], bound(1))
    draws = iwae(model, torch.ones(5000, 2), k=50, estimator=score_function)
    assert standard_errors_off(draws, bound(50)) < 4
    assert bound(1) < bound(5) < bound(50) < log_p


def test_a_mixtures_elbo_at_its_responsibilities_is_its_log_likelihood():
    model = models.BernoulliMixture((4,), components=3)
    x = torch.bernoulli(torch.full((6, 4), 0.5))
    torch.testing.assert_close(elbo(model, x, estimator=exact), model.log_prob(x))
    for k in (1, 2):
        torch.testing.assert_close(iwae(model, x, k=k, estimator=exact), model.log_prob(x))


# --- refusals, compilation ---


def concrete(f, q, k, reduce=mean):
    """A relaxation that is not the library's, and does not say what it is."""
    logits = q.base_dist.logits if isinstance(q, D.Independent) else q.logits
    z = logits.expand(k, *logits.shape) + torch.randn(k, *logits.shape)
    return reduce(f(z.sigmoid() if isinstance(q, D.Independent) else z.softmax(-1)))


def soft_and_hard(f, q, k, reduce=mean):
    """Straight-through as it is often written, in float32: at the outcomes up to rounding."""
    mean = q.mean
    z = q.sample((k,))
    return reduce(f(mean + (z - mean).detach()))


RELAXED = {
    "gumbel_softmax": gumbel_softmax,
    "partial": partial(gumbel_softmax, temperature=0.1),
    "wrapped": lambda *a: gumbel_softmax(*a),
    # so cold that its codes are outcomes up to rounding
    "wrapped and cold": lambda *a: gumbel_softmax(*a, temperature=1e-3),
    "another's": concrete,
}
AT_OUTCOMES = {
    "exact": exact,
    "score function": score_function,
    "leave-one-out": leave_one_out,
    "straight-through": straight_through,
    "another's straight-through": soft_and_hard,
}
DISCRETE = [heads.Bernoulli, heads.OneHotCategorical]


@pytest.mark.parametrize("head", DISCRETE)
@pytest.mark.parametrize("name", RELAXED)
def test_relaxed_codes_meet_no_discrete_log_prob(head, name):
    """Whatever the function is called; with the KL term in closed form they meet none."""
    torch.set_default_dtype(torch.float32)
    model, x = models.VAE.mlp((4,), latent=3, hidden=(5,), posterior=head), torch.ones(6, 4)
    estimator = RELAXED[name]
    assert elbo(model, x, k=3, estimator=estimator).isfinite().all()
    for bound in (partial(elbo, analytic_kl=False), iwae):
        with pytest.raises(ValueError, match="estimator: got relaxed codes, between the outcomes"):
            bound(model, x, k=3, estimator=estimator)


@pytest.mark.parametrize("head", DISCRETE)
@pytest.mark.parametrize("name", AT_OUTCOMES)
def test_codes_at_the_outcomes_are_served(head, name):
    torch.set_default_dtype(torch.float32)
    model, x = models.VAE.mlp((4,), latent=3, hidden=(5,), posterior=head), torch.ones(6, 4)
    for bound in (elbo, partial(elbo, analytic_kl=False), iwae):
        value = bound(model, x, k=2, estimator=AT_OUTCOMES[name])
        assert value.isfinite().all()
        value.sum().backward()


def test_relaxed_codes_are_known_without_their_values():
    """On meta there are none, as on an accelerator they would have to be waited for."""
    model = models.VAE.mlp((4,), latent=3, hidden=(5,), posterior=heads.Bernoulli).to("meta")
    x = torch.ones(6, 4, device="meta")
    with pytest.raises(ValueError, match="estimator: got relaxed codes"):
        iwae(model, x, k=3, estimator=lambda *a: gumbel_softmax(*a))
    assert iwae(model, x, k=3, estimator=lambda *a: straight_through(*a)).is_meta


def test_k_is_said_by_every_bound():
    model, x = models.VAE.mlp((4,), likelihood=heads.Normal), torch.ones(6, 4)
    for bound in (elbo, free_bits, iwae, dreg, fisher):
        for k in (0, 2.5):
            with pytest.raises(ValueError, match=f"k: got {k}, expected .*at least 1"):
                bound(model, x, k=k)
        assert bound(model, x, k=np.int64(2)).shape == (6,)


@pytest.mark.parametrize("bound", [dreg, fisher])
def test_slopes_at_codes_that_only_pretend_to_move_are_refused(bound):
    class PretendingHead(heads.OneHotCategorical):
        def forward(self, features):
            return D.OneHotCategoricalStraightThrough(logits=self.logits(features))

    model = models.VAE.mlp((4,), posterior=PretendingHead, likelihood=heads.Normal)
    with pytest.raises(ValueError, match="posterior of OneHotCategoricalStraightThrough codes has"):
        bound(model, torch.ones(6, 4), k=2)


def test_bits_are_no_one_hot_codes():
    """A one-hot log-probability of several ones is the first one's: a number without meaning."""
    bits = models.VAE.mlp((4,), latent=3, posterior=heads.Bernoulli)
    model = models.VAE(bits.encoder, bits.decoder, heads.UniformOneHot(3), (4,))
    for bound in (elbo, iwae):
        with pytest.raises(ValueError, match="expected distributions of the same codes"):
            bound(model, torch.zeros(5, 4), estimator=score_function)


def test_a_prior_of_other_codes_is_refused():
    coins = models.VAE.mlp((4,), latent=3, posterior=heads.Bernoulli)
    model = models.VAE(coins.encoder, coins.decoder, heads.StandardNormal(3), (4,))
    for bound in (elbo, iwae):
        with pytest.raises(ValueError, match="expected distributions of the same codes"):
            bound(model, torch.zeros(5, 4), estimator=score_function)


COMPILED = [
    (elbo, heads.DiagonalNormal, pathwise, "inductor"),
    (iwae, heads.Bernoulli, leave_one_out, "inductor"),
    (iwae, heads.DiagonalNormal, pathwise, "aot_eager"),
    (elbo, heads.DiagonalNormal, score_function, "aot_eager"),
    (iwae, heads.FullNormal, pathwise, "aot_eager"),
    (elbo, heads.FullNormal, pathwise, "aot_eager"),
    (elbo, heads.Bernoulli, leave_one_out, "aot_eager"),
    (elbo, heads.OneHotCategorical, score_function, "aot_eager"),
    (elbo, heads.Bernoulli, gumbel_softmax, "aot_eager"),
    (iwae, heads.OneHotCategorical, straight_through, "aot_eager"),
]


@pytest.mark.parametrize(("bound", "posterior", "estimator", "backend"), COMPILED)
def test_objectives_compile_whole_and_agree_with_eager(bound, posterior, estimator, backend):
    torch.set_default_dtype(torch.float32)
    torch._dynamo.reset()
    model = models.VAE.mlp((4,), latent=3, hidden=(5,), posterior=posterior)
    x = torch.bernoulli(torch.full((6, 4), 0.5))

    def objective(x):
        return bound(model, x, k=2, estimator=estimator)

    compiled = torch.compile(objective, fullgraph=True, backend=backend)
    results = []
    for function in (objective, compiled):
        torch.manual_seed(1)
        with torch._inductor.config.patch(fallback_random=True):  # eager's random numbers
            value = function(x)
        results.append((value, *torch.autograd.grad(value.mean(), list(model.parameters()))))
    torch.testing.assert_close(*results, atol=1e-5, rtol=1e-4)
