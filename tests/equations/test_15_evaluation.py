"""The labelled equations of chapter 15, each computed in two independent ways, in float64."""

import itertools
import math
import random
from fractions import Fraction

import pytest
import torch
from torch import distributions as D

from dgm import coding, evaluate, heads
from dgm.models import VAE


@pytest.fixture(autouse=True)
def float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def close(a, b, **tolerance):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), **tolerance)


def table(n):
    """A distribution of n outcomes."""
    return torch.randn(n).softmax(0)


def distance(p, q):
    """The total variation distance of two tables: the largest difference over all events."""
    events = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * len(p))  # (2^n, n)
    return (events @ (p - q)).max()


def near(values, expected, errors=4.0):
    """The mean of values is so many of its standard errors from what is expected, at most."""
    values = torch.as_tensor(values).double()
    assert abs(values.mean() - expected) < errors * values.std() / len(values) ** 0.5


def line(half=9.0, n=4001):
    """Points of the line and their distance."""
    x = torch.linspace(-half, half, n)
    return x, (x[1] - x[0]).item()


# ------------------------------------------------------------------ likelihood and samples


@pytest.mark.equation("eq-hidden-set")
def test_what_a_hidden_set_changes():
    """All events of five outcomes, and torch's divergences, against the formulas."""
    p = torch.tensor([0.4, 0.3, 0.2, 0.095, 0.005])
    hidden = torch.tensor([False, False, False, True, True])
    q = torch.where(hidden, 0.0, p) / p[~hidden].sum()
    share = 0.1
    close(distance(p, q), share)
    close((q[~hidden] * (q / p)[~hidden].log()).sum(), -math.log(1 - share))
    assert D.kl_divergence(D.Categorical(p), D.Categorical(q)) == math.inf


@pytest.mark.equation("eq-foreign")
def test_what_foreign_data_get():
    """Sums over nine outcomes against torch's entropy and divergence."""
    p, q = table(9), table(9)
    kl = D.kl_divergence(D.Categorical(q), D.Categorical(p))
    close((q * p.log()).sum(), -D.Categorical(q).entropy() - kl)


@pytest.mark.equation("eq-typical-width")
def test_how_wide_the_usual_is():
    """Quadrature over one coordinate, of which there are 64, against the formulas."""
    x, h = line()
    log_p = D.Normal(0.0, 1.0).log_prob(x)
    mean = (log_p.exp() * log_p).sum() * h
    variance = (log_p.exp() * (log_p - mean) ** 2).sum() * h
    close(64 * mean, torch.tensor(-32 * math.log(2 * math.pi * math.e)))
    close((64 * variance).sqrt(), torch.tensor(32.0).sqrt())


# ------------------------------------------------------------------ estimating a likelihood


@pytest.mark.equation("eq-weight-variance")
def test_the_variance_of_weights():
    """Quadrature of one coordinate, and draws of three, against the formula; where it is none."""
    x, h = line(half=30.0)

    def second_moment(s, x=x, h=h):
        log_w = D.Normal(0.0, 1.0).log_prob(x) - D.Normal(0.0, s).log_prob(x)
        return ((2 * log_w).exp() * D.Normal(0.0, s).log_prob(x).exp()).sum() * h

    for s in (0.8, 1.6, 3.0):
        formula = (s**2 / math.sqrt(2 * s**2 - 1)) ** 3 - 1
        close(second_moment(s) ** 3 - 1, torch.tensor(formula), rtol=1e-6, atol=0)
    z = 1.6 * torch.randn(200_000, 3)
    w = (D.Normal(0.0, 1.0).log_prob(z) - D.Normal(0.0, 1.6).log_prob(z)).sum(1).exp()
    near((w - 1) ** 2, (1.6**2 / math.sqrt(2 * 1.6**2 - 1)) ** 3 - 1)
    wide = line(half=10.0)
    assert second_moment(0.6, *line(half=20.0)) > 1e3 * second_moment(0.6, *wide)


class Perfect:
    """A path over a few states, whose moves are fresh draws."""

    def __init__(self, heights):
        self.heights = heights
        self.log_z0 = torch.tensor(math.log(len(heights)))

    def p(self, beta):
        return (beta * self.heights).softmax(0)

    def start(self, n):
        return torch.randint(len(self.heights), (n,))

    def log_f(self, x, beta):
        return beta * self.heights[x]

    def move(self, x, beta):
        return torch.multinomial(self.p(beta), len(x), replacement=True)


@pytest.mark.equation("eq-annealing-gap")
def test_what_annealing_loses():
    """Chains of the library against divergences of neighbours; they halve with the steps."""
    path = Perfect(torch.tensor([0.0, 1.5, -2.0, 3.0, 0.5, -1.0]))
    lost = {}
    for steps in (4, 20, 40):
        betas = torch.linspace(0, 1, steps + 1)
        stops = [D.Categorical(path.p(beta)) for beta in betas]
        lost[steps] = sum(D.kl_divergence(a, b) for a, b in itertools.pairwise(stops))
    log_w = evaluate.ais(path, torch.linspace(0, 1, 5), chains=40_000)
    near(path.heights.logsumexp(0) - log_w, lost[4])
    assert abs(lost[20] / lost[40] - 2) < 0.02


# ------------------------------------------------------------------ samples against samples


def root(m):
    values, vectors = torch.linalg.eigh(m)
    return vectors * values.clamp(min=0).sqrt() @ vectors.T


@pytest.mark.equation("eq-frechet-bias")
def test_the_distance_of_a_perfect_model():
    """300 pairs of samples against the formula, for N = M and N < M; identity; the library's."""
    spread = torch.tensor([3.0, 2.0, 1.0, 1.0, 0.5, 0.2])
    pairs = spread[:, None] * spread / (spread[:, None] + spread)
    exact = torch.cat([torch.eye(6), -torch.eye(6)]) * (11 / 2 * spread).sqrt()  # has this spread
    for n, m in ((200, 200), (150, 600)):
        formula = (1 / (2 * n) + 1 / (2 * m)) * (2.5 * spread.sum() + pairs.sum())
        close(evaluate.expected_frechet(exact, n, m), formula.item())
        draws = (
            (torch.randn(n, 6) * spread.sqrt(), torch.randn(m, 6) * spread.sqrt())
            for _ in range(300)
        )
        found = torch.tensor([evaluate.frechet_distance(a, b, resamples=2)[0] for a, b in draws])
        assert abs(found.mean() - formula) < 4 * found.std() / 300**0.5 + 0.01 * formula
    unit = torch.cat([torch.eye(6), -torch.eye(6)]) * (11 / 2) ** 0.5
    close(evaluate.expected_frechet(unit, 100, 100), 6 * 11 / 200)


@pytest.mark.equation("eq-cubic-kernel")
def test_three_moments_and_no_more():
    """Sums over pairs of values against moments; the library's, from draws, in the same way."""
    x = torch.tensor([-1.0, 0.3, 2.0, 0.9])
    p, q = table(4), table(4)
    gap = p - q
    kernel = (x[:, None] * x + 1) ** 3
    first, second, third = ((x**r * gap).sum() for r in (1, 2, 3))
    close(gap @ kernel @ gap, 3 * first**2 + 3 * second**2 + third**2)
    a, b = torch.randn(20, 1), torch.randn(30, 1) + 1

    def squared(r):  # (difference of the r-th moments)^2, from pairs of different examples
        one, other = a[:, 0] ** r, b[:, 0] ** r
        within = [(y.sum() ** 2 - (y**2).sum()) / (len(y) * (len(y) - 1)) for y in (one, other)]
        return within[0] + within[1] - 2 * one.mean() * other.mean()

    close(evaluate.kid(a, b)[0], (3 * squared(1) + 3 * squared(2) + squared(3)).item())


@pytest.mark.equation("eq-expected-coverage")
def test_what_a_perfect_model_covers():
    """All orders of neighbours, and 300 pairs of samples, against the formula and the library."""
    orders = list(itertools.permutations("rrrsss"))  # three other data and three samples, N = 4
    covered = sum("s" in order[:2] for order in orders) / len(orders)
    close(evaluate.expected_coverage(4, 3, 2), covered)
    close(covered, 1 - 3 / 6 * 2 / 5)
    found = [
        evaluate.prdc(torch.randn(40, 3), torch.randn(60, 3), k=3, splits=1) for _ in range(300)
    ]
    near([each.coverage[0] for each in found], evaluate.expected_coverage(40, 60, 3))
    near([each.density[0] for each in found], 1.0)


@pytest.mark.equation("eq-best-accuracy")
def test_how_well_a_classifier_can_do():
    """All 64 classifiers of six outcomes against the formula; the library's forest on draws."""
    p, q = table(6), table(6)
    rules = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 6)  # 1: says p
    best = ((rules @ p + (1 - rules) @ q) / 2).max()
    close(best, (1 + distance(p, q)) / 2)
    outcomes = [torch.eye(6)[torch.multinomial(each, 1000, replacement=True)] for each in (p, q)]
    forest = evaluate.classifier_test(*outcomes, trees=10)
    assert abs(forest.accuracy - best) < 4 * forest.error


# ------------------------------------------------------------------ memory and variety


@pytest.mark.equation("eq-copying-error")
def test_how_far_from_a_half_by_chance():
    """All ways to mix three samples and four images against the formulas, by the library."""
    n, m, places = 3, 4, torch.arange(1.0, 8.0)
    found = []
    for ours in itertools.combinations(range(7), n):
        is_ours = torch.zeros(7, dtype=torch.bool)
        is_ours[list(ours)] = True
        samples, test = places[is_ours, None], places[~is_ours, None]
        found.append(evaluate.copying(samples, torch.zeros(1, 1), test)[0])
    close(torch.tensor(found).mean(), torch.tensor(0.5))
    close(torch.tensor(found).var(correction=0), torch.tensor((n + m + 1) / (12 * n * m)))


@pytest.mark.equation("eq-birthday")
def test_equal_pairs():
    """1000 samples of fifty outputs by the library against the formulas; the approximation."""
    n, outputs = 8, 50
    pairs = torch.tensor(
        [evaluate.birthday(torch.randint(outputs, (n, 1))).pairs for _ in range(1000)]
    )
    near(pairs, n * (n - 1) / (2 * outputs))
    near((pairs > 0).double(), 1 - math.prod(1 - i / outputs for i in range(1, n)))
    exact = 1 - math.prod(1 - i / 1000 for i in range(1, 40))
    assert abs(exact - (1 - math.exp(-(40**2) / 2000))) < 0.01
    assert evaluate.birthday(torch.tensor([[1.0], [1.0], [2.0], [3.0]])).support == 6


@pytest.mark.equation("eq-vendi")
def test_how_many_different_ones():
    """The library's against entropies of groups of known sizes, and its ends."""
    sizes = torch.tensor([5, 2, 13])
    groups = torch.eye(4)[:3].repeat_interleave(sizes, 0) * torch.rand(20, 1).add(0.1)
    shares = sizes / 20
    close(evaluate.vendi(groups)[0], math.exp(-(shares * shares.log()).sum()))
    close(evaluate.vendi(torch.ones(9, 3))[0], 1.0)
    close(evaluate.vendi(torch.eye(7))[0], 7.0)
    x = torch.randn(12, 5)
    cosines = (x @ x.T) / x.norm(dim=1) / x.norm(dim=1)[:, None]
    spectrum = torch.linalg.svdvals(cosines / 12).clamp(min=1e-300)
    close(evaluate.vendi(x)[0], math.exp(-(spectrum * spectrum.log()).sum()))


@pytest.mark.equation("eq-class-score")
def test_information_about_the_class():
    """The divergence of a joint table from the product of its margins against the library's."""
    probs = torch.randn(6, 3).softmax(1)
    joint = probs / 6
    product = joint.sum(1, keepdim=True) * joint.sum(0)
    close(math.log(evaluate.class_score(probs)[0]), (joint * (joint / product).log()).sum().item())
    close(evaluate.class_score(torch.eye(5).repeat(3, 1))[0], 5.0)
    close(evaluate.class_score(table(4).expand(8, 4))[0], 1.0)


# ------------------------------------------------------------------ is the difference real?


@pytest.mark.equation("eq-paired-variance")
def test_pairs_share_what_is_hard():
    """All pairs of four images, drawn with replacement, against the formula; the library's."""
    a, b = torch.randn(4), torch.randn(4)
    drawn = torch.cartesian_prod(torch.arange(4), torch.arange(4))  # (16, 2)
    means = a[drawn].mean(1) - b[drawn].mean(1)
    covariance = torch.stack([a, b]).cov(correction=0)
    formula = (covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / 2
    close(means.var(correction=0), formula)
    covariance = torch.stack([a, b]).cov()
    error = ((covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]) / 4).sqrt()
    close(evaluate.paired(a, b).error, error.item())
    close(evaluate.paired(a, b).difference, (a.mean() - b.mean()).item())


@pytest.mark.equation("eq-sign-flip")
def test_signs_are_fair():
    """The library's p of all 64 sign patterns of six differences: never too small, too often."""
    sizes = torch.tensor([0.8, 0.3, 0.1, 0.5, 0.9, 0.3])
    signs = torch.tensor(list(itertools.product([1.0, -1.0], repeat=6)))
    p = torch.tensor([evaluate.sign_flip(each * sizes) for each in signs])
    for level in p.unique():
        assert (p <= level).double().mean() <= level + 1e-12
    close(p.min(), torch.tensor(2.0**-5))
    sums = (signs @ sizes).abs()
    close(p, (sums >= sums[:, None] - 1e-9).double().mean(1))


@pytest.mark.equation("eq-few-seeds")
def test_three_seeds():
    """200,000 triples against the formula, and the library's interval at that level."""
    v = torch.randn(200_000, 3)
    for a in (1.0, 2.0, 4.30265):
        level = a / math.sqrt(a**2 + 2)
        near((v.mean(1).abs() < a * v.std(1) / 3**0.5).double(), level)
        three = [2.35, 2.40, 2.46]
        _, half = evaluate.seed_interval(three, level)
        close(half, (a * torch.tensor(three).std() / 3**0.5).item())
    close(4.30265 / math.sqrt(4.30265**2 + 2), 0.95, atol=1e-5, rtol=0)


@pytest.mark.equation("eq-two-way")
def test_two_sources_of_spread():
    """Means of 1500 tables of scores against the formula; the library's error, on average."""
    seeds, images = 4, 30
    by_seed, by_image, rest = 0.5, 2.0, 1.0
    means, squares = [], []
    for _ in range(1500):
        scores = by_seed * torch.randn(seeds, 1) + by_image * torch.randn(1, images)
        found = evaluate.two_way(scores + rest * torch.randn(seeds, images))
        means.append(found.mean), squares.append(found.error**2)
    formula = by_seed**2 / seeds + by_image**2 / images + rest**2 / (seeds * images)
    near(torch.tensor(means) ** 2, formula)
    near(squares, formula)


@pytest.mark.equation("eq-many-tests")
def test_looking_often():
    """20,000 rows of 20 p-values of nothing against the formula; the library's correction."""
    p = torch.rand(20_000, 20)
    near((p <= 0.05).any(1).double(), 1 - 0.95**20)
    for rows in (p[:1500], p[:1500, :1].expand(-1, 20)):  # independent, and all the same
        found = torch.tensor([float(evaluate.holm(row).min() <= 0.05) for row in rows])
        assert found.mean() <= 0.05 + 4 * (0.05 * 0.95 / 1500) ** 0.5
        close(found, (rows.min(1).values <= 0.05 / 20).double())


# ------------------------------------------------------------------ the length of a file


@pytest.mark.equation("eq-arithmetic-code")
def test_a_code_for_81_words():
    """All words of a Markov source in fractions: cells within pieces, prefixes, the mean length."""
    rows = [[(1, 2), (3, 10), (1, 5)], [(1, 10), (8, 10), (1, 10)], [(1, 4), (1, 4), (1, 2)]]
    rows = [[Fraction(*pair) for pair in row] for row in rows]
    codes, mean, entropy = [], 0.0, 0.0
    for word in itertools.product(range(3), repeat=4):
        low, width, row = Fraction(0), Fraction(1), rows[0]
        for k in word:
            low, width, row = low + width * sum(row[:k], Fraction(0)), width * row[k], rows[k]
        length = math.ceil(-math.log2(width)) + 1
        assert length < -math.log2(width) + 2
        cell = math.ceil(low * 2**length)
        assert low <= Fraction(cell, 2**length) and Fraction(cell + 1, 2**length) <= low + width
        codes.append(format(cell, f"0{length}b"))
        mean, entropy = mean + width * length, entropy - float(width) * math.log2(width)
    codes.sort()
    assert not any(b.startswith(a) for a, b in itertools.pairwise(codes))
    assert entropy <= mean < entropy + 2


@pytest.mark.equation("eq-code-price")
def test_what_a_wrong_model_costs():
    """Sums against torch's entropy and divergence; the library's frequencies; a stack's length."""
    p, q = table(5), table(5)
    own, wrong = D.Categorical(p), D.Categorical(q)
    price = (own.entropy() + D.kl_divergence(own, wrong)) / math.log(2)
    close(-(p * q.log2()).sum(), price)
    f = coding.frequencies(q, bits=12)
    rounded = f / 4096
    assert -(p * rounded.log2()).sum() <= price + math.log2(4096 / (4096 - 5))
    counts = (p * 2000).round().long()
    state = 1 << 40
    for k in torch.arange(5).repeat_interleave(counts).tolist():
        state = coding.push(state, k, f.tolist())
    assert abs(state.bit_length() - 41 - -(counts * rounded.log2()).sum()) < 2


@pytest.mark.equation("eq-ans")
def test_a_stack_of_symbols():
    """Which of all integers a symbol owns, by listing them, against push; pop undoes it."""
    f = [4, 1, 3]
    owner = [0, 0, 0, 0, 1, 2, 2, 2] * 200
    for k in range(3):
        owned = [s for s, symbol in enumerate(owner) if symbol == k]
        for s, after in enumerate(owned):
            assert coding.push(s, k, f) == after
            assert coding.pop(after, f) == (s, k)


@pytest.mark.equation("eq-bits-back")
def test_bits_come_back():
    """All codes of a small model against its ELBO; the library's lengths over random stacks."""
    vae = VAE.mlp((1, 2, 3), latent=3, hidden=(8,), posterior=heads.Bernoulli)
    for p in vae.parameters():
        p.data.mul_(3)
    x = torch.bernoulli(torch.full((30, 1, 2, 3), 0.5))
    codes = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 3)  # (8, 3)
    with torch.no_grad():
        log_q = vae.posterior(x).log_prob(codes[:, None])  # (8, 30)
        log_x = vae.likelihood(codes[:, None]).log_prob(x)
        bits = (log_q - log_x - vae.prior().log_prob(codes)[:, None]) / math.log(2)
        mean = (log_q.exp() * bits).sum(0)  # (30,)
        kl = D.kl_divergence(vae.posterior(x), vae.prior().expand((30,)))
        minus_elbo = kl - (log_q.exp() * log_x).sum(0)
    close(mean, minus_elbo / math.log(2))
    source, grown = random.Random(0), []
    for _ in range(100):
        before = source.getrandbits(1000) | 1 << 1000
        after = coding.encode_bits_back(vae, x, before)
        assert coding.decode_bits_back(vae, after, 30)[0] == before
        grown.append(after.bit_length() - before.bit_length())
    near(grown, mean.sum().item())
