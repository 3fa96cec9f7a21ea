"""The labelled equations of chapter 14, each computed in two independent ways, in float64."""

import itertools
import math
from collections import defaultdict

import pytest
import torch
from sklearn.cluster import KMeans
from torch import distributions as D
from torch import nn

from dgm import evaluate, heads, symbols
from dgm.estimators import exact, pass_gradient
from dgm.models import MADE, VQVAE, Codebook, FiniteScalar, Ladder, MaskedDiffusion
from dgm.objectives import elbo, masked_bound, vq

pytestmark = pytest.mark.usefixtures("float64")


def close(a, b, **tolerance):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), **tolerance)


def bits(n):
    """All vectors of n bits, (2^n, n)."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)))


def entropy(p):
    """Of probabilities that sum to one, of any shape."""
    return -(p * p.log()).where(p > 0, 0.0).sum()


def scattered(module):
    """Parameters away from where they start, so that nothing holds by symmetry."""
    with torch.no_grad():
        for p in module.parameters():
            p.add_(torch.randn_like(p))
    return module


def book_of(vectors, **more):
    book = Codebook(*vectors.shape, **more)
    book.vectors.data = vectors.clone()
    return book


def tiny(symbols=2, codes=3, **more):
    """A VQ-VAE of 4 pixels, whose 9 codes and 16 images can be enumerated."""
    torch.manual_seed(1)
    book = more.pop("quantiser", None) or book_of(torch.randn(codes, 2))
    return scattered(VQVAE.mlp(4, symbols=symbols, quantiser=book, hidden=5, **more))


def log_joint(model, prior):
    """log p(x, k) of all 16 images and all codes, by a loop over codes: (S, 16), and the codes."""
    M, K = model.prior().event_shape
    codes = torch.tensor(list(itertools.product(range(K), repeat=M)))
    rows = [model.decoder(model.quantiser.vectors[k]).log_prob(bits(4)) for k in codes]
    return torch.stack(rows).detach() + prior[:, None], codes


# ------------------------------------------------------------------ a code of symbols


@pytest.mark.equation("eq-nearest-code")
def test_the_nearest_vector_is_a_linear_choice():
    """Distances in a loop, linear scores, a cold softmax; and the library's index."""
    torch.manual_seed(0)
    vectors, z = torch.randn(8, 3), torch.randn(200, 3)
    by_distance = [min(range(8), key=lambda k: (p - vectors[k]).norm().item()) for p in z]
    by_distance = torch.tensor(by_distance)
    scores = z @ vectors.T - 0.5 * vectors.square().sum(1)
    assert torch.equal(scores.argmax(1), by_distance)
    book = book_of(vectors)
    assert torch.equal(book.nearest(z), by_distance)
    own = torch.eye(8)[by_distance]
    warm, cold = ((-book.squared_distances(z) / tau).softmax(1) for tau in (1.0, 1e-5))
    assert (cold - own).abs().mean() < 1e-3 < 0.05 < (warm - own).abs().mean()


# ------------------------------------------------------------------ the gradient that is not one


@pytest.mark.equation("eq-flat-quantiser")
def test_the_field_has_no_potential():
    """Difference quotients of the loss; a loop integral by small steps against sums at borders."""
    vectors = torch.tensor([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])
    mix = torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    book = book_of(vectors)

    def loss(e):
        return (e @ mix).sin().sum(-1)

    def field(z):  # what the library hands to the encoder
        z = z.clone().requires_grad_()
        return torch.autograd.grad(loss(pass_gradient(book(z)[0], z)).sum(), z)[0]

    torch.manual_seed(0)
    z, h = torch.randn(500, 2), 1e-7
    for direction in torch.eye(2) * h:
        assert ((loss(book(z + direction)[0]) - loss(book(z)[0])) == 0).all()
    angle = torch.linspace(0, 2 * math.pi, 4001)
    circle = torch.stack([angle.cos(), angle.sin()], 1)
    step = circle[1:] - circle[:-1]
    k = book.nearest(circle[:-1] + step / 2)
    loop = (field(circle[:-1] + step / 2) * step).sum()
    g = field(vectors)
    at = (k[1:] != k[:-1]).nonzero()[:, 0]
    jumps = ((g[k[at]] - g[k[at + 1]]) * circle[at + 1]).sum()
    assert len(at) == 3
    close(loop, jumps, atol=1e-9, rtol=0)
    assert loop < -1


@pytest.mark.equation("eq-vq-gradients")
def test_who_gets_which_gradient():
    """Autograd through the library's objective against the two formulas, for a linear decoder."""
    torch.manual_seed(0)
    W, beta = torch.randn(3, 2), 0.4

    class Model(nn.Module):
        shape, classes, support = (3,), 0, D.constraints.real

        def __init__(self):
            super().__init__()
            self.z = nn.Parameter(torch.randn(5, 1, 2))
            self.quantiser = book_of(torch.randn(4, 2), decay=None)

        def outputs(self, x):
            return self.z

        def decoder(self, e):
            return D.Independent(D.Normal(e[:, 0] @ W.T, 1.0), 1)

    model, x = Model(), torch.randn(5, 3)
    by_z, by_e = torch.autograd.grad(
        vq(model, x, beta=beta).sum(), (model.z, model.quantiser.vectors)
    )
    e, k = model.quantiser(model.z[:, 0])
    close(by_z[:, 0], (x - e @ W.T) @ W - 2 * beta * (model.z[:, 0] - e))
    expected = torch.zeros(4, 2)
    for z, j in zip(model.z[:, 0], k, strict=True):
        expected[j] += 2 * (z - model.quantiser.vectors[j])
    close(by_e, expected.detach())


@pytest.mark.equation("eq-soft-code")
def test_a_choice_by_chance_has_a_gradient():
    """Differences of the sum over all codes against the covariance, and the library's estimator."""
    model = tiny(symbols=1, codes=4, temperature=0.7)
    vectors, tau = model.quantiser.vectors, model.temperature

    def f(e):
        return (e[..., 0] * 1.3).sin() + e[..., 1] ** 2

    z = torch.tensor([0.2, -0.4])

    def expected_loss(z):
        weights = torch.stack([(-(z - e).square().sum() / tau).exp() for e in vectors])
        return (weights * f(vectors)).sum() / weights.sum()

    h = 1e-5 * torch.eye(2)
    differences = torch.stack([(expected_loss(z + d) - expected_loss(z - d)) / 2e-5 for d in h])
    q = (-(z - vectors).square().sum(1) / tau).softmax(0)
    mean = q @ vectors
    covariance = ((q * f(vectors))[:, None] * (vectors - mean)).sum(0)
    close(differences, 2 / tau * covariance, rtol=1e-6, atol=1e-8)
    # the library's posterior, its codes summed out
    model.encoder = nn.Identity()
    model.shape, out = (1, 2), z.view(1, 1, 2).requires_grad_()
    value = exact(lambda k: f(k @ vectors)[..., 0], model.posterior(out), 1)
    close(torch.autograd.grad(value.sum(), out)[0].flatten(), 2 / tau * covariance)


# ------------------------------------------------------------------ the codebook is k-means


@pytest.mark.equation("eq-distortion-split")
def test_distortion_splits_at_the_means():
    """Mean squared distances on the left, means and shares on the right, of the library's cells."""
    torch.manual_seed(0)
    z, book = torch.randn(500, 3), book_of(torch.randn(6, 3))
    e, k = book(z)
    shares = torch.bincount(k, minlength=6) / 500
    means = torch.stack([z[k == j].mean(0) for j in range(6)])
    inner = (z - means[k]).square().sum(1).mean()
    moved = (shares * (book.vectors - means).square().sum(1)).sum()
    close((z - e).square().sum(1).mean(), inner + moved)
    close(z.square().sum(1).mean(), means[k].square().sum(1).mean() + inner)


@pytest.mark.equation("eq-codebook-ema")
def test_the_codebook_follows_its_members():
    """The library's sums against the step in the second form, and against k-means for no decay."""
    torch.manual_seed(0)
    points, start = torch.randn(400, 2), torch.randn(5, 2)
    book = book_of(start, decay=0.0, restart=0)
    book.update(points, book.nearest(points))
    kmeans = KMeans(5, init=start.numpy(), n_init=1, max_iter=1).fit(points.numpy())
    close(book.vectors, torch.as_tensor(kmeans.cluster_centers_))
    gamma = 0.9
    book = book_of(start, decay=gamma, restart=0)
    for _ in range(20):  # the first ten are plain means
        book.update(points, book.nearest(points))
    for _ in range(3):
        batch = points[torch.randint(400, (60,))]
        k, before, N = book.nearest(batch), book.vectors.clone(), book.counts.clone()
        book.update(batch, k)
        for j in range(5):
            members = batch[k == j]
            N_new = gamma * N[j] + (1 - gamma) * len(members)
            moved = before[j]
            if len(members):
                rate = (1 - gamma) * len(members) / N_new
                moved = moved + rate * (members.mean(0) - moved)
            close(book.vectors[j], moved)


@pytest.mark.equation("eq-dead-code")
def test_who_is_near_to_nothing_hears_nothing():
    """Autograd through the library's objective: zero for exactly the codes that nothing has."""
    torch.manual_seed(0)
    model = VQVAE.mlp(4, symbols=2, quantiser=Codebook(32, 4, decay=None), hidden=8)
    x = bits(4)
    slope = torch.autograd.grad(vq(model, x).sum(), model.quantiser.vectors)[0]
    used = torch.bincount(model.codes(x).flatten(), minlength=32) > 0
    assert torch.equal(slope.abs().sum(1) > 0, used)
    assert 0 < used.sum() < 16


@pytest.mark.equation("eq-perplexity-bias")
def test_the_entropy_of_a_sample_is_too_small():
    """The mean over 4,000 samples of the library's perplexity against the formula."""
    torch.manual_seed(0)
    p, n = torch.tensor([0.4, 0.3, 0.2, 0.1]), 200

    class Coded(nn.Module):  # an example's code is its first number
        shape, classes, support = (1,), 0, D.constraints.real
        quantiser = book_of(torch.randn(4, 1))

        def codes(self, x):
            return x.long()

    drawn = D.Categorical(p).sample((4000, n)).double()
    model = Coded()
    found = torch.tensor([math.log(evaluate.usage(model, x[:, None]).perplexity) for x in drawn])
    error = found.std() / 4000**0.5
    expected = entropy(p) - 3 / (2 * n)
    assert (found.mean() - expected).abs() < 4 * error
    assert 3 / (2 * n) > 8 * error  # it would be seen if the term were missing


# ------------------------------------------------------------------ no codebook


@pytest.mark.equation("eq-grid-codes")
def test_rounding_is_the_nearest_point_of_a_grid():
    """A search over all points of the grid, built here, against the library's rounding."""
    torch.manual_seed(0)
    for levels in ((5, 3), (4, 2, 3), (2, 2, 2, 2)):
        grid, z = FiniteScalar(levels), 2 * torch.randn(300, len(levels))
        # the first coordinate is the one that counts fastest
        points = [p[::-1] for p in itertools.product(*[range(n) for n in reversed(levels)])]
        tops = torch.tensor(levels) - 1
        vectors = 2 * torch.tensor(points) / tops - 1
        assert len(points) == grid.codes == math.prod(levels)
        close(grid.vectors, vectors)
        u = grid.inside(z)
        close(u, z.tanh())
        k = (u[:, None] - vectors).square().sum(2).argmin(1)
        assert torch.equal(grid.nearest(u), k)
    signs = sum(2**j * (z[:, j] > 0) for j in range(4))
    assert torch.equal(grid.nearest(grid.inside(z)), signs)


# ------------------------------------------------------------------ it is a VAE


@pytest.mark.equation("eq-one-code-gap")
def test_what_one_code_leaves_out_is_its_posterior():
    """The bound by the library, the posterior of the code by sums over all nine codes."""
    model = tiny()
    x = bits(4)
    joint, codes = log_joint(model, torch.full((9,), -2 * math.log(3)))
    own = (codes[:, None] == model.codes(x)).all(2).double().argmax(0)  # (16,)
    log_p = joint.logsumexp(0)
    posterior = joint - log_p  # log p(k | x)
    bound = elbo(model, x, estimator=exact).detach()
    close(log_p - bound, -posterior[own, range(16)])
    found = evaluate.sum_codes(model, x)
    close(found.log_prob, log_p)
    close(found.best, joint.max(0).values)
    rate, _ = evaluate.rate_distortion(model, x)
    close(rate, 2 * math.log(3))
    learned = scattered(MADE((2,), levels=3, hidden=8))
    rate, _ = evaluate.rate_distortion(model.with_prior(learned), x)
    close(rate, -learned.log_prob(model.codes(x)).mean().item())


@pytest.mark.equation("eq-code-prior")
def test_the_best_prior_is_the_distribution_of_the_codes():
    """The rate by the library against entropy and divergence; entropy against information."""
    model, p_x = tiny(), torch.randn(16).softmax(0)
    codes = model.codes(bits(4))
    index = codes @ torch.tensor([3, 1])
    p_hat = torch.zeros(9).index_add(0, index, p_x)
    prior = scattered(MADE((2,), levels=3, hidden=8))
    every = torch.tensor(list(itertools.product(range(3), repeat=2)))
    p = prior.log_prob(every).exp().detach()
    under = model.with_prior(prior)
    rates = torch.tensor([evaluate.rate_distortion(under, x[None])[0] for x in bits(4)])
    divergence = (p_hat * (p_hat.log() - p.log())).where(p_hat > 0, 0.0).sum()
    close((p_x * rates).sum(), entropy(p_hat) + divergence)
    joint = p_x[:, None] * torch.eye(9)[index]  # (16, 9)
    information = (joint * (joint / (p_x[:, None] * p_hat)).log()).where(joint > 0, 0.0).sum()
    close(information, entropy(p_hat))


@pytest.mark.equation("eq-code-chain")
def test_independent_symbols_lose_the_total_correlation():
    """Products of marginals and others, event by event, and conditional entropies, of a table."""
    torch.manual_seed(0)
    p = torch.randn(3, 3, 3).softmax(0).div(9)
    p = (p * torch.rand(3, 3, 3)).div((p * torch.rand(3, 3, 3)).sum())
    p = p / p.sum()
    marginals = [p.sum((1, 2)), p.sum((0, 2)), p.sum((0, 1))]
    correlation = sum(entropy(m) for m in marginals) - entropy(p)

    def cost(a, b, c):  # the cross-entropy of a product, event by event
        events = itertools.product(range(3), repeat=3)
        return -sum(p[i, j, k] * (a[i] * b[j] * c[k]).log() for i, j, k in events)

    close(cost(*marginals) - entropy(p), correlation)
    others = [[(m.log() + 0.3 * torch.randn(3)).softmax(0) for m in marginals] for _ in range(20)]
    assert all(cost(*each) > cost(*marginals) for each in others)
    one, two = p.sum((1, 2)), p.sum(2)
    second = -(two * (two / two.sum(1, keepdim=True)).log()).sum()
    third = -(p * (p / p.sum(2, keepdim=True)).log()).sum()
    close(entropy(one) + second + third, entropy(p))
    # a model of symbols in an order, as a prior, is normalised over all codes: it loses nothing
    prior = heads.Tokens(scattered(MADE((2,), levels=3, hidden=8)))
    every = torch.eye(3)[torch.tensor(list(itertools.product(range(3), repeat=2)))]
    close(prior.log_prob(every).exp().sum().detach(), 1.0)


# ------------------------------------------------------------------ several levels


@pytest.mark.equation("eq-level-rates")
def test_levels_add_up_to_the_rate():
    """Log-ratios at many draws of the posterior against the library's account by level."""
    torch.manual_seed(0)
    model = scattered(Ladder.mlp((4,), latent=(1, 2, 1), features=6, hidden=(6,)))
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.4)
    x = bits(4)[:4]
    with torch.no_grad():
        q, p = model.posterior(x), model.prior()
        z = q.sample((20_000,))
        ratios = (q.log_prob(z) - p.log_prob(z)).mean(1)  # (20000,)
        levels = evaluate.level_rates(model, x, k=20_000)
    assert levels.shape == (3,) and (levels > 0.01).all()
    error = ratios.std() / 20_000**0.5
    assert (ratios.mean() - levels.sum()).abs() < 5 * error
    rate, _ = evaluate.rate_distortion(model, x, k=20_000)
    close(levels.sum(), torch.tensor(rate), rtol=0.02, atol=0.0)


@pytest.mark.equation("eq-residual-level")
def test_a_departure_costs_the_same_everywhere():
    """The formula against KL of two Gaussians by quadrature, and the library's second level."""
    torch.manual_seed(0)
    mu, sigma, delta, rho = 0.7, 2.3, -0.6, 0.4
    t = torch.linspace(-40, 40, 200_001)
    p, q = D.Normal(mu, sigma), D.Normal(mu + sigma * delta, sigma * rho)
    kl = torch.trapezoid(q.log_prob(t).exp() * (q.log_prob(t) - p.log_prob(t)), t)
    close(kl, 0.5 * (delta**2 + rho**2 - math.log(rho**2) - 1))
    model = scattered(Ladder.mlp((4,), latent=(1, 1), features=6, hidden=(6,)))
    x = bits(4)[5:6]
    with torch.no_grad():
        level = model.posterior(x).levels(torch.tensor([[0.3, 0.0]]))[1].base_dist
        prior = model.prior().levels(torch.tensor([0.3, 0.0]))[1].base_dist
        features = model.encoder(x)
        above = model.down[0](torch.tensor([[0.3]]))
        d, log_r = model.q[0](torch.cat([features, above], -1)).unbind(-2)
    expected = 0.5 * (d**2 + (2 * log_r).exp() - 2 * log_r - 1)
    close(D.kl_divergence(level, prior).flatten(), expected.flatten())


@pytest.mark.equation("eq-pixels-are-levels")
def test_an_autoregressive_model_is_a_ladder_of_pixels():
    """Levels from the library's conditionals, a copying decoder, against log p of the model."""
    model, x = scattered(MADE((4,), hidden=8)), bits(4)
    with torch.no_grad():
        levels = [model.conditionals(x).log_prob(x)[:, j] for j in range(4)]
        kl = sum(-log_p for log_p in levels)  # of a point mass
        log_p = model.log_prob(x)
    close(0.0 - kl, log_p)  # a decoder that copies: log p(x | z) = 0
    close(log_p.exp().sum(), 1.0)


# ------------------------------------------------------------------ noise for symbols


@pytest.mark.equation("eq-uniform-noise")
def test_uniform_noise_has_happened_or_not():
    """All paths of three steps, summed, against the library's product and the closed form."""
    betas, K = (0.3, 0.1, 0.5), 3
    kernels = torch.stack([symbols.uniform_kernel(K, b) for b in betas])
    by_paths = torch.zeros(K, K)
    for path in itertools.product(range(K), repeat=4):
        p = 1.0
        for (i, j), b in zip(itertools.pairwise(path), betas, strict=True):
            p *= (1 - b) * (i == j) + b / K
        by_paths[path[0], path[-1]] += p
    alpha = math.prod(1 - b for b in betas)
    close(by_paths, alpha * torch.eye(K) + (1 - alpha) / K)
    close(symbols.cumulative(kernels)[-1], by_paths, atol=1e-6, rtol=0)


@pytest.mark.equation("eq-symbol-posterior")
def test_the_step_back_by_counting_paths():
    """Bayes' rule on all paths of a chain whose matrices are not symmetric, and the library."""
    torch.manual_seed(0)
    Q = torch.randn(3, 3, 3).softmax(2)
    before = symbols.cumulative(Q)[2]
    for start, end in itertools.product(range(3), repeat=2):
        weight = torch.zeros(3)
        for a, b in itertools.product(range(3), repeat=2):
            weight[b] += Q[0, start, a] * Q[1, a, b] * Q[2, b, end]
        formula = Q[2][:, end] * before[start] / (before @ Q[2])[start, end]
        found = symbols.step_posterior(Q[2], before, torch.tensor(end), torch.tensor(start))
        close(formula, weight / weight.sum())
        close(found, weight / weight.sum())


@pytest.mark.equation("eq-symbol-bound")
def test_the_bound_of_a_chain_by_all_its_paths():
    """The expectation of log p(path) / q(path) over all paths against the library's terms."""
    torch.manual_seed(0)
    K, T = 2, 3
    Q, start = torch.randn(T, K, K).softmax(2), torch.tensor([0.3, 0.7])
    guesses = torch.randn(T + 1, K**2, 2, K).softmax(3)  # of t, the event, the coordinate
    found = symbols.chain_bound(Q, lambda x, t: guesses[t], start, 2)
    bars, events = symbols.cumulative(Q), found.events
    back = [None] + [
        symbols.reverse_step(Q[t - 1], bars[t - 1], events, guesses[t]) for t in range(1, T + 1)
    ]  # (S, 2, K)
    bound, total = torch.zeros(4), torch.zeros(4)
    for path in itertools.product(range(4), repeat=T + 1):  # numbers of events, x_0 first
        x = events[list(path)]
        q, p = 1.0, start[x[T]].prod()
        for t in range(1, T + 1):
            q = q * Q[t - 1][x[t - 1], x[t]].prod()
            p = p * back[t][path[t], [0, 1], x[t - 1]].prod()
        bound[path[0]] += q * (p / q).log()
        total[path[0]] += p
    close(found.bound, bound)
    close(found.log_prob, total.log())
    assert (bound < total.log()).all()


# ------------------------------------------------------------------ masking


class Exact(nn.Module):
    """The true conditionals of a table of 16 probabilities, as a network of indicators."""

    def __init__(self, p):
        super().__init__()
        self.p = nn.Parameter(p)

    def forward(self, v):  # (B, 4, 2)
        known = v.sum(-1) > 0
        agree = ((bits(4)[None] == v[:, None, :, 1]) | ~known[:, None]).all(-1)  # (B, 16)
        weights = agree * self.p
        ones = weights @ bits(4) / weights.sum(1, keepdim=True)  # (B, 4)
        return torch.stack([1 - ones, ones], -1).clamp(min=0).log()


def table():
    torch.manual_seed(3)
    p = torch.randn(16).mul(1.5).softmax(0)
    return p, MaskedDiffusion(Exact(p), 4)


def anything():
    """Conditionals that belong to no one distribution."""
    torch.manual_seed(0)
    return scattered(MaskedDiffusion.mlp(4, hidden=8))


MASKS = [torch.tensor(m) for m in itertools.product([False, True], repeat=4)]  # hidden
ORDERS = list(itertools.permutations(range(4)))


def told(model, hidden):
    """log p(x_i | the known) of all 16 events: (16, 4)."""
    with torch.no_grad():
        logits = model(bits(4), (~hidden).expand(16, 4)).log_softmax(-1)
    return logits.gather(-1, bits(4).long()[..., None])[..., 0]


def by_orders(model):
    with torch.no_grad():
        return torch.stack([model.in_order(o).log_prob(bits(4)) for o in ORDERS])  # (24, 16)


@pytest.mark.equation("eq-unmasking-rate")
def test_how_fast_masks_go():
    """The posterior of the library's absorbing kernel against the closed form, step by step."""
    alphas = [1.0, 0.8, 0.5, 0.3, 0.05]
    Q = [symbols.absorbing_kernel(2, 1 - b / a) for a, b in itertools.pairwise(alphas)]
    bars = symbols.cumulative(torch.stack(Q))
    for t in range(1, 5):
        back = symbols.step_posterior(Q[t - 1], bars[t - 1], torch.tensor(2), torch.tensor(0))
        rate = (alphas[t - 1] - alphas[t]) / (1 - alphas[t])
        close(back, torch.tensor([rate, 0.0, 1 - rate]), atol=1e-6, rtol=0)
        known = symbols.step_posterior(Q[t - 1], bars[t - 1], torch.tensor(0), torch.tensor(0))
        close(known, torch.tensor([1.0, 0.0, 0.0]), atol=1e-6, rtol=0)


@pytest.mark.equation("eq-no-time")
def test_masks_need_no_time():
    """Bayes' rule through the library's kernels at three times; uniform noise as the contrast."""
    p, _ = table()
    x = bits(4).long()
    seen = torch.tensor([1, 2, 2, 0])  # 2 is the mask
    agree = (x[:, 0] == 1) & (x[:, 3] == 0)
    expected = p * agree / (p * agree).sum()
    others = []
    for beta in (0.2, 0.5, 0.9):
        hide, mix = symbols.absorbing_kernel(2, beta), symbols.uniform_kernel(2, beta)
        weight = p * hide[x, seen].prod(1)
        close(weight / weight.sum(), expected)
        weight = p * mix[x, torch.tensor([1, 0, 1, 0])].prod(1)
        others.append(weight / weight.sum())
    assert (others[0] - others[2]).abs().max() > 0.05


@pytest.mark.equation("eq-all-orders")
def test_the_integral_over_time_is_the_mean_over_orders():
    """Quadrature over t for two schedules against 24 orders of the library's model."""
    model = anything()
    nodes = (torch.arange(4000) + 0.5) / 4000
    schedules = {
        "linear": (1 - nodes, torch.ones(4000)),
        "cosine": ((nodes * math.pi / 2).cos(), math.pi / 2 * (nodes * math.pi / 2).sin()),
    }  # alpha and -alpha'
    for alpha, speed in schedules.values():
        total = torch.zeros(16)
        for hidden in MASKS[1:]:
            m = int(hidden.sum())
            chance = (alpha ** (4 - m) * (1 - alpha) ** (m - 1) * speed).mean()
            total += chance * (told(model, hidden) * hidden).sum(1)
        close(total, by_orders(model).mean(0), rtol=1e-5, atol=1e-5)


@pytest.mark.equation("eq-masked-bound")
def test_one_random_mask_is_enough():
    """All masks weighed by hand against 24 orders, and the library's estimate against both."""
    model = anything()
    expected = by_orders(model).mean(0)
    total = torch.zeros(16)
    for hidden in MASKS[1:]:
        m = int(hidden.sum())
        total += (told(model, hidden) * hidden).sum(1) / m / math.comb(4, m)
    close(total, expected)
    torch.manual_seed(0)
    with torch.no_grad():
        draws = masked_bound(model, bits(4).repeat(3000, 1)).view(3000, 16)
    assert ((draws.mean(0) - expected).abs() < 4.5 * draws.std(0) / 3000**0.5).all()


@pytest.mark.equation("eq-mixture-of-orders")
def test_orders_agree_if_one_distribution_is_behind_them():
    """24 orders of the library: the mixture is normalised and above the mean, or equal to it."""
    log_p = by_orders(anything())
    mixture = log_p.logsumexp(0) - math.log(24)
    close(mixture.exp().sum(), 1.0)
    assert (log_p.mean(0) < mixture - 1e-6).all()
    p, model = table()
    log_p = by_orders(model)
    close(log_p.mean(0), p.log())
    close(log_p, p.log().expand(24, 16))


# ------------------------------------------------------------------ many at a time


@pytest.mark.equation("eq-steps-cost")
def test_tokens_drawn_together_cost_their_correlation():
    """KL of the grouped product from the library's conditionals against entropies of the table."""
    p, model = table()
    x = bits(4)

    def joint_entropy(places):
        index = (x[:, list(places)] @ 2.0 ** torch.arange(len(places))).long()
        return entropy(torch.zeros(16).index_add(0, index, p))

    for groups in ([[0, 1, 2, 3]], [[0, 3], [2, 1]], [[1], [0, 2, 3]], [[3], [1], [0], [2]]):
        hidden, log_q, cost, before = torch.ones(4, dtype=torch.bool), torch.zeros(16), 0.0, []
        for group in groups:
            log_q += told(model, hidden)[:, group].sum(1)
            given = joint_entropy(before) if before else 0.0
            cost += sum(joint_entropy([*before, i]) - given for i in group)
            cost -= joint_entropy([*before, *group]) - given
            hidden[group], before = False, before + group
        close(log_q.exp().sum(), 1.0)
        close((p * (p.log() - log_q)).sum(), torch.as_tensor(cost), atol=1e-9, rtol=0)
    torch.manual_seed(0)
    drawn = model.sample(4000, steps=1)
    product_of_bits = told(model, torch.ones(4, dtype=torch.bool)).sum(1).exp()
    shares = torch.bincount((drawn @ torch.tensor([8.0, 4, 2, 1])).long(), minlength=16) / 4000
    error = (product_of_bits * (1 - product_of_bits) / 4000).sqrt()
    assert ((shares - product_of_bits).abs() < 4.5 * error + 1 / 4000).all()


@pytest.mark.equation("eq-adaptive-order")
def test_a_rule_that_has_not_seen_the_draw_is_exact():
    """All draws enumerated for a rule by entropy and one by the drawn value; and the library's."""
    p, model = table()

    def outcomes(by_value):
        now = {(-1.0,) * 4: 1.0}
        for _ in range(4):
            after = defaultdict(float)
            for state, mass in now.items():
                known = torch.tensor(state) >= 0
                with torch.no_grad():
                    q = model.conditionals(torch.tensor([state]), known[None]).logits[0].exp()
                hidden = [i for i in range(4) if not known[i]]
                for values in itertools.product((0, 1), repeat=len(hidden)):
                    chance = {i: q[i, v].item() for i, v in zip(hidden, values, strict=True)}
                    sure = chance if by_value else {i: q[i].max().item() for i in hidden}
                    i = max(hidden, key=sure.get)
                    new = (*state[:i], float(values[hidden.index(i)]), *state[i + 1 :])
                    after[new] += mass * math.prod(chance.values())
            now = after
        return torch.tensor([now[tuple(x.tolist())] for x in bits(4)])

    close(outcomes(by_value=False), p)
    assert (outcomes(by_value=True) - p).abs().sum() / 2 > 0.2
    torch.manual_seed(0)
    drawn = model.sample(4000, choose="entropy")
    shares = torch.bincount((drawn @ torch.tensor([8.0, 4, 2, 1])).long(), minlength=16) / 4000
    assert ((shares - p).abs() < 4.5 * (p * (1 - p) / 4000).sqrt() + 1 / 4000).all()


@pytest.mark.equation("eq-pseudo-entropy")
def test_each_given_all_others_is_less_than_the_entropy():
    """Conditional entropies by sums over the table, the library's conditionals, and a product."""
    p, model = table()
    x = bits(4)

    def pseudo(p, model):
        by_table, by_model = 0.0, 0.0
        for i in range(4):
            others = [j for j in range(4) if j != i]
            index = (x[:, others] @ torch.tensor([4.0, 2, 1])).long()
            by_table += entropy(p) - entropy(torch.zeros(8).index_add(0, index, p))
            hidden = torch.arange(4) == i
            by_model -= (p * told(model, hidden)[:, i]).sum()
        close(by_model, by_table)
        return by_table

    assert pseudo(p, model) < entropy(p) - 0.1
    rates = torch.tensor([0.2, 0.5, 0.7, 0.9])
    flat = torch.where(x == 1, rates, 1 - rates).prod(1)
    close(pseudo(flat, MaskedDiffusion(Exact(flat), 4)), entropy(flat))
    torch.manual_seed(0)
    with torch.no_grad():  # of one hidden coordinate, as the library's table by number has it
        drawn = x[D.Categorical(p).sample((20_000,))]
        column = evaluate.by_masked(model, drawn)[:, 0]
    assert (4 * column.mean() - pseudo(p, model)).abs() < 4.5 * 4 * column.std() / 20_000**0.5
