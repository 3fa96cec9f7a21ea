"""The labelled equations of chapter 07, each computed in two independent ways, in float64.

Integrals over z are Gauss-Hermite sums or sums over fine grids; labels and bits are enumerated.
"""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.distributions import Categorical, Independent, OneHotCategorical
from torch.distributions import Normal as TorchNormal
from torch.nn import functional as F

from dgm.models import M2, GaussianMixture
from dgm.objectives import labelled_bound, m2, prediction_constrained, unlabelled_bound

DTYPE = torch.float64
_nodes, _weights = np.polynomial.hermite_e.hermegauss(60)
NODES, WEIGHTS = torch.as_tensor(_nodes), torch.as_tensor(_weights / math.sqrt(2 * math.pi))
GRID = torch.linspace(-9, 9, 1801, dtype=DTYPE)  # for z, step 0.01


def Normal(mean, scale):
    """Numbers become float64: torch would make float32 of them."""
    return TorchNormal(torch.as_tensor(mean, dtype=DTYPE), torch.as_tensor(scale, dtype=DTYPE))


def tensor(value):
    return torch.tensor(value, dtype=DTYPE)


# ---- mixtures: labels and points


def mixture_and_points():
    """A mixture of two Gaussians and 12 points, of which 4 have labels."""
    torch.manual_seed(0)
    x, y = torch.randn(12, 2, dtype=DTYPE), torch.full((12,), -1)
    y[:4] = torch.tensor([0, 1, 1, 0])
    model = GaussianMixture((2,), components=2).double().initialize(x)
    with torch.no_grad():
        model.weight_logits.copy_(tensor([0.3, -0.4]))
    return model, x, y


def log_joint_by_hand(model, x):
    """log p(x, y) from the formula of a Gaussian: (N, 2)."""
    rows = []
    for mean, covariance in zip(model.mean, model.covariances(), strict=True):
        dx = x - mean
        square = (dx @ torch.linalg.inv(covariance) * dx).sum(1)
        rows.append(-0.5 * (square + torch.logdet(2 * math.pi * covariance)))
    return torch.stack(rows, 1) + (model.weight_logits - model.weight_logits.logsumexp(0))


@pytest.mark.equation("eq-labels-weigh")
def test_the_log_likelihood_as_a_sum_about_images_and_one_about_labels():
    """Labelled joints and unlabelled marginals by hand, against the library's p(x) and p(y | x)."""
    model, x, y = mixture_and_points()
    known, joint = y >= 0, log_joint_by_hand(model, x)
    left = joint[known, y[known]].sum() + joint[~known].logsumexp(1).sum()
    about_labels = model.posterior(x[known]).probs.log()[range(4), y[known]].sum()
    assert torch.isclose(left, model.log_prob(x).sum() + about_labels, atol=1e-9)


@pytest.mark.equation("eq-semi-em")
def test_the_bound_with_given_labels_and_its_gap():
    """The likelihood by hand against bound plus divergence, at arbitrary responsibilities."""
    model, x, y = mixture_and_points()
    known, joint = y >= 0, log_joint_by_hand(model, x)
    left = joint[known, y[known]].sum() + joint[~known].logsumexp(1).sum()
    r = torch.rand(12, 2, dtype=DTYPE)
    r = r / r.sum(1, keepdim=True)
    r[known] = F.one_hot(y[known], 2).to(r)
    bound = (r * model.log_joint(x)).sum() + torch.special.entr(r).sum()
    gap = torch.distributions.kl_divergence(
        OneHotCategorical(probs=r[~known]), model.posterior(x[~known])
    )
    assert gap.sum() > 1
    assert torch.isclose(left, bound + gap.sum(), atol=1e-9)


@pytest.mark.equation("eq-no-help")
def test_unlabelled_images_tell_nothing_about_separate_parameters():
    """Posteriors over grids of eta and omega, from all data and from the labelled ones alone."""
    levels = tensor([0.1, 0.3, 0.5, 0.8])  # values of p(x = 1) and of p(y = 1 | x), x = 0, 1
    labelled, unlabelled = [(0, 1), (1, 0), (1, 1)], [1, 1, 0, 1, 1]
    eta, w0, w1 = torch.meshgrid(levels, levels, levels, indexing="ij")
    prior = {"independent": torch.ones_like(eta), "tied": 0.02 + (eta == w1).to(DTYPE)}

    def posterior(points, weights):  # of (w0, w1)
        p = weights.clone()
        for x, y in labelled:
            w = w1 if x else w0
            p = p * (eta if x else 1 - eta) * (w if y else 1 - w)
        for x in points:
            p = p * (eta if x else 1 - eta)
        return p.sum(0) / p.sum()

    same = posterior(unlabelled, prior["independent"])
    assert torch.allclose(same, posterior([], prior["independent"]), atol=1e-12)
    alone = torch.ones_like(same)  # and it is the classifier's own likelihood, normalised
    for x, y in labelled:
        w = w1[0] if x else w0[0]
        alone = alone * (w if y else 1 - w)
    assert torch.allclose(same, alone / alone.sum(), atol=1e-12)
    tied = posterior(unlabelled, prior["tied"]), posterior([], prior["tied"])
    assert (tied[0] - tied[1]).abs().max() > 0.01  # shared parameters: they do tell


# ---- M2 on a line: x | y, z ~ N(c_y + w_y z, 1), at x = 0.8, with three classes

X, PI = tensor(0.8), tensor([0.2, 0.5, 0.3])
C, W = tensor([-1.0, 2.0, 0.5]), tensor([1.0, 0.5, -1.5])
MEANS, SCALES = tensor([0.3, -0.7, 0.1]), tensor([0.9, 0.6, 1.3])  # of a q(z | x, y) far from exact
Q_Y = tensor([0.5, 0.1, 0.4])


def log_joint_with_z(z, y):
    """log p(x, y, z) at x = X, from the densities."""
    return -0.5 * (X - C[y] - W[y] * z) ** 2 - 0.5 * z**2 - math.log(2 * math.pi) + PI[y].log()


def log_p_xy():
    """log p(x, y) by a sum over a grid of z: (3,)."""
    return torch.stack([(log_joint_with_z(GRID, y).exp().sum() * 0.01).log() for y in range(3)])


def elbo_xy(means=MEANS, scales=SCALES):
    """ELBO(x, y) as the chapter writes it: reconstruction by quadrature, KL by formula: (3,)."""
    z = means[:, None] + scales[:, None] * NODES  # (3, n)
    log_likelihood = Normal(C[:, None] + W[:, None] * z, 1.0).log_prob(X)
    rate = 0.5 * (means**2 + scales**2 - 1 - 2 * scales.log())
    return log_likelihood @ WEIGHTS - rate + PI.log()


def log_q(z, y):
    return Normal(MEANS[y], SCALES[y]).log_prob(z)


def vectors(mean, scale):
    """Single codes or images as the library has them: vectors of one coordinate."""
    return Independent(Normal(mean[..., None], scale), 1)


def as_m2(c=C, w=W, means=MEANS, scales=SCALES, q_y=Q_Y):
    """The model on a line as the library's objectives take it."""
    return SimpleNamespace(
        classes=3,
        prior=lambda y: vectors(torch.zeros(y.shape), 1.0),
        posterior=lambda x, y: vectors(means[y], scales[y, None]),
        likelihood=lambda z, y: vectors(c[y] + w[y] * z[..., 0], 1.0),
        prior_y=lambda: Categorical(probs=PI),
        classify=lambda x: Categorical(probs=q_y.expand(len(x), -1)),
    )


def on_nodes(f, q, k):
    """An estimator without noise: E_q[f(z)] for single codes, by Gauss-Hermite nodes."""
    nodes = NODES.reshape(-1, *[1] * q.mean.dim())
    return torch.tensordot(WEIGHTS, f(q.mean + q.stddev * nodes), 1)


@pytest.mark.equation("eq-m2-labelled")
def test_the_labelled_bound_and_its_gap():
    """log p(x, y) by a grid over z against ELBO by formula plus KL(q || posterior) by the grid.

    And against the library's bound, with nodes in place of draws.
    """
    by_library = labelled_bound(as_m2(), X.expand(3, 1), torch.arange(3), on_nodes)
    for y in range(3):
        q = log_q(GRID, y).exp() * 0.01
        log_posterior = log_joint_with_z(GRID, y) - log_p_xy()[y]
        gap = (q * (log_q(GRID, y) - log_posterior)).sum()
        assert gap > 0.01
        assert torch.isclose(log_p_xy()[y], elbo_xy()[y] + gap, atol=1e-8)
        assert torch.isclose(log_p_xy()[y], by_library[y] + gap, atol=1e-8)


def u_of(q, bounds):
    return (q * bounds).sum() + Categorical(probs=q).entropy()


@pytest.mark.equation("eq-m2-unlabelled")
def test_the_unlabelled_bound_and_its_gap():
    """log p(x) by grid and enumeration against U plus the divergence of the pair (y, z), U by
    formula and by the library; and U at the exact posteriors."""
    log_p = log_p_xy().logsumexp(0)
    gap = tensor(0.0)
    for y in range(3):
        q_pair = Q_Y[y] * log_q(GRID, y).exp() * 0.01
        log_ratio = Q_Y[y].log() + log_q(GRID, y) - (log_joint_with_z(GRID, y) - log_p)
        gap = gap + (q_pair * log_ratio).sum()
    assert gap > 0.1
    assert torch.isclose(log_p, u_of(Q_Y, elbo_xy()) + gap, atol=1e-8)
    by_library = unlabelled_bound(as_m2(), X.expand(1, 1), on_nodes)[0]
    assert torch.isclose(log_p, by_library + gap, atol=1e-8)
    # tight at exact posteriors, from Gaussian conditioning; not without the entropy
    means, scales = W * (X - C) / (1 + W**2), (1 + W**2) ** -0.5
    q = log_p_xy().softmax(0)
    bounds = elbo_xy(means, scales)
    assert torch.isclose(u_of(q, bounds), log_p, atol=1e-8)
    assert (q * bounds).sum() < log_p - 0.5
    for other in (Q_Y, torch.full((3,), 1 / 3, dtype=DTYPE)):
        assert u_of(other, bounds) < log_p - 1e-3


def test_the_library_computes_the_same_u():
    """`unlabelled_bound` against a loop over the classes, with the same draws of z."""
    torch.manual_seed(0)
    model = M2.mlp((3,), latent=2, hidden=(5,), classes=4).double()
    x = torch.bernoulli(torch.full((6, 3), 0.5, dtype=DTYPE))
    torch.manual_seed(1)
    got = unlabelled_bound(model, x)
    torch.manual_seed(1)
    eps = torch.randn(1, 4, 6, 2, dtype=DTYPE)[0]  # the draws, in the library's order
    q_y, total = model.classify(x).probs, torch.zeros(6, dtype=DTYPE)
    for c in range(4):
        label = torch.full((6,), c)
        q = model.vae.posterior(x, label)
        z = q.mean + q.variance.sqrt() * eps[c]
        rate = 0.5 * (q.mean**2 + q.variance - 1 - q.variance.log()).sum(1)
        bound = model.vae.likelihood(z, label).log_prob(x) - rate - math.log(4)
        total = total + q_y[:, c] * (bound - q_y[:, c].log())
    assert torch.allclose(got, total, atol=1e-10)


@pytest.mark.equation("eq-m2-best")
def test_the_best_classifier_is_the_softmax_of_the_bounds():
    """U against logsumexp minus a divergence at any q; and a search over q finds the softmax."""
    bounds = elbo_xy()
    best = bounds.softmax(0)
    gap = (Q_Y * (Q_Y.log() - best.log())).sum()
    assert torch.isclose(u_of(Q_Y, bounds), bounds.logsumexp(0) - gap, atol=1e-10)
    for q, least in ((Q_Y, gap), (best, 0.0)):
        by_library = unlabelled_bound(as_m2(q_y=q), X.expand(1, 1), on_nodes)[0]
        assert torch.isclose(by_library, bounds.logsumexp(0) - least, atol=1e-10)
    t = torch.linspace(0.005, 0.99, 198, dtype=DTYPE)
    q = torch.cartesian_prod(t, t)
    q = q[q.sum(1) < 0.999]
    q = torch.cat([q, 1 - q.sum(1, keepdim=True)], 1)
    values = q @ bounds + torch.special.entr(q).sum(1)
    assert (q[values.argmax()] - best).abs().max() < 0.006
    assert values.max() < bounds.logsumexp(0) + 1e-12


@pytest.mark.equation("eq-m2-silent")
def test_the_labelled_bound_does_not_depend_on_the_classifier():
    """Other weights in the classifier: the same value, bit for bit; no gradient, unlike m2's."""
    torch.manual_seed(0)
    model = M2.mlp((3,), latent=2, hidden=(5,), classes=4).double()
    x, y = torch.bernoulli(torch.full((6, 3), 0.5, dtype=DTYPE)), torch.tensor([0, 1, 2, 3, 0, 1])
    weights = list(model.classifier.parameters())

    def value(objective):
        torch.manual_seed(1)
        return objective().sum()

    def slopes(objective):
        return torch.autograd.grad(value(objective), weights, allow_unused=True)

    before = value(lambda: labelled_bound(model, x, y)).detach()
    found = slopes(lambda: labelled_bound(model, x, y))
    assert all(s is None or not s.any() for s in found)
    assert all(not s.any() for s in slopes(lambda: m2(model, x, y, alpha=0.0)))
    assert all(s.abs().max() > 1e-6 for s in slopes(lambda: m2(model, x, y, alpha=1.0)))
    assert all(s.abs().max() > 1e-6 for s in slopes(lambda: unlabelled_bound(model, x)))
    with torch.no_grad():
        for w in weights:
            w += torch.randn_like(w)
    assert torch.equal(before, value(lambda: labelled_bound(model, x, y)).detach())


@pytest.mark.equation("eq-m2-ignores-y")
def test_a_decoder_that_ignores_y_makes_m2_a_vae():
    """One c and w for all classes: the posterior of y by a grid is the prior, and U is the ELBO."""
    c, w, mean, scale = 0.4, 1.2, 0.3, 0.8
    log_z = Normal(c + w * GRID, 1.0).log_prob(X) + Normal(0, 1).log_prob(GRID)
    log_joint = (log_z.exp().sum() * 0.01).log() + PI.log()
    assert torch.allclose(log_joint.softmax(0), PI, atol=1e-10)
    z = mean + scale * NODES
    integrand = Normal(c + w * z, 1.0).log_prob(X) + Normal(0, 1).log_prob(z)
    vae = (integrand - Normal(mean, scale).log_prob(z)) @ WEIGHTS  # ELBO, one quadrature
    log_q_z = Normal(mean, scale).log_prob(GRID)
    pairs = [  # E over (y, z) of log p(x, y, z) - log q(y, z | x), with q(y | x) = p(y)
        (PI[y] * log_q_z.exp() * 0.01 * (log_z + PI[y].log() - (PI[y].log() + log_q_z))).sum()
        for y in range(3)
    ]
    assert torch.isclose(torch.stack(pairs).sum(), vae, atol=1e-8)
    bounds = vae + PI.log()
    assert torch.isclose(u_of(PI, bounds), vae, atol=1e-10)
    assert u_of(Q_Y, bounds) < vae - 0.05
    same = [tensor(v).expand(3) for v in (c, w, mean, scale)]
    by_library = unlabelled_bound(as_m2(*same, q_y=PI), X.expand(1, 1), on_nodes)[0]
    assert torch.isclose(by_library, vae, atol=1e-10)


@pytest.mark.equation("eq-m1m2")
def test_the_two_layers_of_m1m2_and_their_gaps():
    """log p(x) by a grid over z_1 and formulas for p(z_1, y), against the terms of the bound, with
    U by the library at each z_1, and both divergences."""
    x, step = tensor(0.6), 0.05
    z1 = torch.linspace(-8, 8, 321, dtype=DTYPE)  # beyond it q(z_1 | x) has less than 1e-15

    def likelihood(z1):
        return Normal(0.8 * z1, 0.7).log_prob(x)

    log_joint = Normal(C, (1 + W**2).sqrt()).log_prob(z1[:, None]) + PI.log()  # (321, 3): z_1, y
    log_prior = log_joint.logsumexp(1)
    log_p = (likelihood(z1) + log_prior).logsumexp(0) + math.log(step)
    q = Normal(0.3, 0.8)
    weight = q.log_prob(z1).exp() * step
    u = unlabelled_bound(as_m2(), z1[:, None], on_nodes)  # (321,)
    bound = (weight * (likelihood(z1) - q.log_prob(z1) + u)).sum()
    of_z1 = (weight * (q.log_prob(z1) - likelihood(z1) - log_prior + log_p)).sum()
    of_pair = torch.zeros_like(z1)  # KL of (y, z_2) given z_1, by a grid over z_2
    for y in range(3):
        log_q2 = log_q(GRID, y)
        at = Normal(C[y] + W[y] * GRID, 1.0).log_prob(z1[:, None]) + Normal(0.0, 1.0).log_prob(GRID)
        log_post = at + PI[y].log() - log_prior[:, None]  # (321, 1801)
        of_pair += Q_Y[y] * (log_q2.exp() * 0.01 * (Q_Y[y].log() + log_q2 - log_post)).sum(1)
    gap = (weight * of_pair).sum()
    assert of_z1 > 0.01 and gap > 0.1
    assert torch.isclose(log_p, bound + of_z1 + gap, atol=1e-7)


# ---- PC-VAE and cross-entropies


class NodeByNode(TorchNormal):
    """One normal for every node, each of which draws its own: (60, 1)."""

    def __init__(self, mean, scale):
        super().__init__(torch.full((len(NODES), 1), mean, dtype=DTYPE), scale)

    def rsample(self, shape=()):
        return self.loc + self.scale * NODES[:, None]


@pytest.mark.equation("eq-pc-joint")
def test_one_copy_of_a_label_is_a_bound_of_the_joint():
    """z ~ N(0, 1), x | z ~ N(1.3 z, 0.7^2), y | z logistic: ELBO plus label term, and the gap.

    The left side also by the library, with a multiplier of 1 and a node for each draw.
    """
    mean, scale, x = 0.4, 0.5, tensor(1.1)
    log_q = Normal(mean, scale).log_prob
    for y in (0, 1):
        sign = 2 * y - 1

        def log_joint(z, sign=sign):
            label = F.logsigmoid(sign * (1.5 * z - 0.3))
            return Normal(0, 1).log_prob(z) + Normal(1.3 * z, 0.7).log_prob(x) + label

        log_p = (log_joint(GRID).exp().sum() * 0.01).log()
        q = log_q(GRID).exp() * 0.01
        gap = (q * (log_q(GRID) - log_joint(GRID) + log_p)).sum()
        z = mean + scale * NODES
        reconstruction = Normal(1.3 * z, 0.7).log_prob(x) @ WEIGHTS
        rate = 0.5 * (mean**2 + scale**2 - 1) - math.log(scale)
        label = F.logsigmoid(sign * (1.5 * z - 0.3)) @ WEIGHTS
        assert gap > 0.01
        assert torch.isclose(reconstruction - rate + label, log_p - gap, atol=1e-7)
        model = SimpleNamespace(
            predicted_classes=2,
            prior=lambda: vectors(torch.zeros(()), 1.0),
            posterior=lambda x: Independent(NodeByNode(mean, scale), 1),
            likelihood=lambda z: vectors(1.3 * z[:, 0], 0.7),
            predictor=lambda z: Categorical(logits=torch.cat([0 * z, 1.5 * z - 0.3], 1)),
        )
        labels = torch.full((len(NODES),), y)
        values = prediction_constrained(model, x.expand(len(NODES), 1), labels, multiplier=1.0)
        assert torch.isclose(WEIGHTS @ values, log_p - gap, atol=1e-7)


@pytest.mark.equation("eq-bce")
def test_binary_cross_entropies_are_cross_entropy_and_a_penalty():
    """torch's BCE summed over classes, against softmax and an enumeration of all answers."""
    torch.manual_seed(0)
    for _ in range(5):
        a = 2 * torch.randn(5, dtype=DTYPE)
        for y in range(5):
            target = F.one_hot(torch.tensor(y), 5).to(DTYPE)
            bce = F.binary_cross_entropy_with_logits(a, target, reduction="sum")
            p, one_yes = a.sigmoid(), tensor(0.0)
            for bits in itertools.product((0, 1), repeat=5):
                if sum(bits) == 1:
                    on = torch.tensor(bits, dtype=torch.bool)
                    one_yes = one_yes + torch.where(on, p, 1 - p).prod()
            cross_entropy = -(a[y].exp() / a.exp().sum()).log()
            assert torch.isclose(bce, cross_entropy - one_yes.log(), atol=1e-10)


# ---- choosing the best


@pytest.mark.equation("eq-best-of")
def test_the_best_of_equals_looks_better_than_it_is():
    """The formula against the enumeration of all outcomes of M = 3 settings on n = 6 images."""
    n, settings, a = 6, 3, 0.7
    mass = [math.comb(n, s) * a**s * (1 - a) ** (n - s) for s in range(n + 1)]
    direct = sum(
        max(counts) * math.prod(mass[s] for s in counts)
        for counts in itertools.product(range(n + 1), repeat=settings)
    )
    below = np.cumsum(mass)[:n]  # F(0), ..., F(n - 1)
    formula = (1 - below**settings).sum() / n
    assert math.isclose(direct / n, formula, abs_tol=1e-12)
    assert formula > a + 0.05
    assert math.isclose((1 - below).sum() / n, a, abs_tol=1e-12)  # one setting: no excess
