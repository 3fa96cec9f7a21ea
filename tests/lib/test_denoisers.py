"""Denoisers that are known exactly, and denoisers made of denoisers."""

import math
from functools import partial

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dgm import paths, samplers, toys
from dgm.denoisers import (
    Denoising,
    IdealDenoiser,
    NoisedMixture,
    classifier_guided,
    guided,
    inpainting,
    observed,
)
from dgm.protocols import Denoiser, Generative

PATHS = [paths.cosine(), paths.linear(), paths.vp(), paths.exploding()]
every_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)
LABELS = torch.tensor([0, 1, 0])


def mixture():
    """Three components in the plane, none like another."""
    weights = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
    means = torch.tensor([[-1.2, 0.3], [0.4, 1.0], [1.5, -0.5]], dtype=torch.float64)
    sd = torch.tensor([[0.2, 0.3], [0.3, 0.1], [0.15, 0.4]], dtype=torch.float64)
    return MixtureSameFamily(Categorical(weights), Independent(Normal(means, sd), 1))


def points(n=6):
    torch.manual_seed(0)
    return torch.randn(n, 2, dtype=torch.float64)


class Gaussian(Denoising):
    """Data from N(mean, S), of which all is known; with `given`, of class 0 from N(mean, G)."""

    def __init__(self, covariance, path, given=None, mean=0.0):
        self.covariances = [
            torch.as_tensor(c, dtype=torch.float64) for c in (covariance, given) if c is not None
        ]
        self.path, self.shape, self.classes = path, covariance.shape[:1], int(given is not None)
        self.mean, self.scale = torch.zeros(2, dtype=torch.float64)[0], torch.tensor(1.0).double()
        self.centre = mean

    def denoise(self, x, t, y=None):
        t = paths.beside(t, x)
        a, s = self.path.alpha(t)[..., None], self.path.sigma(t)[..., None]  # (B, 1, 1)
        which = torch.zeros(len(x), dtype=torch.long) if y is None else y + 1
        own = torch.stack(self.covariances)[which]  # (B, D, D)
        gain = a * own @ torch.linalg.inv(a**2 * own + s**2 * torch.eye(len(own[0])).double())
        apart = x - a[..., 0] * self.centre
        return self.centre + (gain @ apart[..., None])[..., 0]


# ------------------------------------------------------------------ a known density


@every_path
def test_a_mixture_behind_noise_is_a_mixture(path):
    x, t = points(), 0.4
    a, s = (f(torch.tensor(t, dtype=torch.float64)) for f in (path.alpha, path.sigma))
    p = mixture().component_distribution
    parts = Normal(a * p.mean, (a**2 * p.variance + s**2).sqrt())
    noised = MixtureSameFamily(mixture().mixture_distribution, Independent(parts, 1))
    exact = NoisedMixture(mixture(), path)
    torch.testing.assert_close(exact.log_prob(x, t), noised.log_prob(x))
    torch.testing.assert_close(exact.noised.at(s, a).log_prob(x), noised.log_prob(x))
    assert isinstance(exact, Denoiser) and isinstance(exact, Generative)


@every_path
def test_tweedie_to_second_order(path):
    """Slope and curvature of log p_t by autograd."""
    x, times = points().requires_grad_(), torch.linspace(0.2, 0.9, 6, dtype=torch.float64)
    exact = NoisedMixture(mixture(), path)
    log_p = exact.log_prob(x, times)
    (slope,) = torch.autograd.grad(log_p.sum(), x, create_graph=True)
    hessian = torch.stack(
        [torch.autograd.grad(slope[:, i].sum(), x, retain_graph=True)[0] for i in range(2)], 1
    )
    a, s2 = path.alpha(times)[:, None], path.sigma(times)[:, None].square()
    torch.testing.assert_close(exact.score(x, times), slope)
    torch.testing.assert_close(exact.denoise(x, times), (x + s2 * slope) / a)
    torch.testing.assert_close(Denoising.score(exact, x, times), slope)
    covariance = (s2 / a**2)[..., None] * (torch.eye(2) + s2[..., None] * hessian)
    torch.testing.assert_close(exact.covariance(x, times), covariance)


@every_path
def test_the_velocity_carries_the_density(path):
    """f x - g^2 score / 2, and the change of the density is minus the divergence of p u."""
    exact, x, t = NoisedMixture(mixture(), path), points().requires_grad_(), 0.4
    f, g = (
        part(path, torch.tensor(t, dtype=torch.float64)) for part in (paths.drift, paths.diffusion)
    )
    u = exact.velocity(x, t)
    torch.testing.assert_close(u, f * x - g**2 / 2 * exact.score(x, t))
    flux = exact.log_prob(x, t).exp()[:, None] * u
    divergence = sum(
        torch.autograd.grad(flux[:, i].sum(), x, retain_graph=True)[0][:, i] for i in range(2)
    )
    change = (exact.log_prob(x, t + 1e-5).exp() - exact.log_prob(x, t - 1e-5).exp()) / 2e-5
    torch.testing.assert_close(change, -divergence, rtol=1e-5, atol=1e-8)


def test_all_paths_are_one_family():
    """At equal signal-to-noise ratio, images of another size are denoised alike."""
    x, level = points(), torch.tensor(0.8, dtype=torch.float64)
    values = []
    for path in PATHS:
        t = path.time_of(level)
        values.append(NoisedMixture(mixture(), path).denoise(path.alpha(t) * x, float(t)))
    for value in values[1:]:
        torch.testing.assert_close(value, values[0])


def test_the_ends_of_the_path():
    exact, x = NoisedMixture(mixture()), points()
    p = mixture().component_distribution.mean
    mean = (mixture().mixture_distribution.probs[:, None] * p).sum(0)
    torch.testing.assert_close(exact.denoise(x, 1.0), mean.expand_as(x))
    torch.testing.assert_close(exact.denoise(x, 0.0), x)
    torch.testing.assert_close(exact.log_prob(x, 0.0), mixture().log_prob(x))


def test_densities_of_classes():
    exact, x, t = NoisedMixture(mixture(), labels=LABELS), points(), 0.3
    parts, weights = mixture().component_distribution.base_dist, mixture().mixture_distribution
    keep = LABELS == 0
    own = Independent(Normal(parts.mean[keep], parts.stddev[keep]), 1)
    of_class = NoisedMixture(MixtureSameFamily(Categorical(weights.probs[keep]), own))
    for name in ("log_prob", "denoise", "score", "velocity", "covariance"):
        both, first = getattr(exact, name), getattr(of_class, name)
        torch.testing.assert_close(both(x, t, torch.zeros(6).long()), first(x, t))
        whole = getattr(NoisedMixture(mixture()), name)
        torch.testing.assert_close(both(x, t, torch.full((6,), -1)), whole(x, t))
    posterior = exact.classify(x, t).logits.exp()  # p(y) p(x | y) / p(x)
    prior = torch.tensor([0.5, 0.5], dtype=torch.float64)
    for y in (0, 1):
        of_y = exact.log_prob(x, t, torch.full((6,), y)) - exact.log_prob(
            x, t, torch.full((6,), -1)
        )
        torch.testing.assert_close(posterior[:, y], prior[y] * of_y.exp())


# ------------------------------------------------------------------ a finite data set


def test_the_ideal_denoiser_is_tweedie_of_the_noised_examples():
    """A mixture of points: components of next to no width."""
    torch.manual_seed(0)
    data = torch.randn(20, 3, dtype=torch.float64)
    ideal = IdealDenoiser(data, paths.linear())
    x, t = torch.randn(7, 3, dtype=torch.float64), torch.linspace(0.2, 0.95, 7).double()
    points = MixtureSameFamily(
        Categorical(torch.ones(20, dtype=torch.float64)), Independent(Normal(data, 1e-8), 1)
    )
    expected = NoisedMixture(points, paths.linear()).denoise(x, t)
    torch.testing.assert_close(ideal.denoise(x, t), expected)
    torch.testing.assert_close(ideal.weights(x, t).sum(1), torch.ones(7, dtype=torch.float64))


def test_it_returns_the_examples():
    torch.manual_seed(0)
    data, y = torch.randn(30, 1, 2, 2), torch.arange(30) % 3
    drawn = IdealDenoiser(data).sample(40, steps=30)
    nearest = torch.cdist(drawn.flatten(1), data.flatten(1)).min(1)
    assert nearest.values.max() < 1e-3 and len(nearest.indices.unique()) > 10
    of_class = IdealDenoiser(data, y=y).sample(20, torch.full((20,), 2), steps=30)
    nearest = torch.cdist(of_class.flatten(1), data.flatten(1)).min(1)
    assert nearest.values.max() < 1e-3 and (y[nearest.indices] == 2).all()


def test_close_to_the_data_it_finds_the_nearest():
    """Where a difference of squares would be lost in single precision."""
    data = torch.stack([torch.full((64,), 3.0), torch.full((64,), 3.001)])
    x = data[1:] * paths.cosine().alpha(torch.tensor(1e-4))
    assert IdealDenoiser(data).weights(x, 1e-4)[0, 1] > 0.99


# ------------------------------------------------------------------ asking for what you want


def test_guidance_is_a_tilt_of_the_scores():
    exact, x, y = NoisedMixture(mixture(), labels=LABELS), points(), torch.tensor([0, 1] * 3)
    anyone, w, t = torch.full((6,), -1), 1.5, torch.linspace(0.2, 0.8, 6, dtype=torch.float64)
    of_y, of_all = exact.score(x, t, y), exact.score(x, t, anyone)
    model = guided(exact, w)
    torch.testing.assert_close(model.score(x, t, y), (1 + w) * of_y - w * of_all)
    torch.testing.assert_close(guided(exact, 0.0).denoise(x, t, y), exact.denoise(x, t, y))
    assert isinstance(model, Denoiser)
    with pytest.raises(ValueError, match="^y: got None"):
        model.sample(3)
    with pytest.raises(ValueError, match="^model: got one without classes"):
        guided(NoisedMixture(mixture()), 1.0)


def test_a_classifier_of_noisy_points_makes_the_conditional():
    """Bayes' rule: with the exact classifier, exactly; of a model with classes or without."""
    exact, x, y = NoisedMixture(mixture(), labels=LABELS), points(), torch.tensor([0, 1] * 3)
    t = torch.linspace(0.2, 0.8, 6, dtype=torch.float64)
    for model in (exact, NoisedMixture(mixture())):
        steered = classifier_guided(model, lambda x, t: exact.classify(x, t).logits)
        torch.testing.assert_close(steered.denoise(x, t, y), exact.denoise(x, t, y))
    twice = classifier_guided(exact, lambda x, t: exact.classify(x, t).logits, w=2.0)
    torch.testing.assert_close(twice.score(x, t, y), guided(exact, 1.0).score(x, t, y))


def test_what_guidance_samples_from_gaussians():
    """Data N(0, 2), of the class N(0, 1): the ODE's variance is 2^-w, the tilted 2 / (2 + w)."""
    one = torch.ones(1, 1, dtype=torch.float64)
    model = Gaussian(2 * one, paths.exploding(1e-3, 1e3), given=one)
    times = paths.grid(model.path, 200, "log_snr", (-12.0, 12.0))
    start = model.path.sigma(torch.tensor(times[0], dtype=torch.float64))
    for w in (0.0, 1.0, 2.0):
        end = samplers.heun(guided(model, w), start * one, times, torch.tensor([0]))
        assert end.item() ** 2 == pytest.approx(2.0**-w, rel=1e-2)  # of 200 steps


def test_replacing_known_pixels_is_biased_as_computed():
    """A pair of correlation 0.8, the first of which is 1.5: mean and variance by recursion."""
    path, rho, value, n = paths.cosine(), 0.8, 1.5, 4000
    pair = Gaussian(torch.tensor([[1, rho], [rho, 1]], dtype=torch.float64), path)
    times = paths.grid(path, 60)
    mean, variance = 0.0, 1.0
    for t, s in zip(times[:-1], times[1:], strict=True):
        t, s = torch.tensor([t, s], dtype=torch.float64)
        a, sd = path.alpha(t), path.sigma(t)
        gain = pair.denoise(torch.eye(2, dtype=torch.float64), float(t))[:, 1]  # of each coordinate
        zero = torch.zeros(1, 2, dtype=torch.float64)
        new = paths.posterior(path, zero, zero, s, t).variance[0, 0]
        kept = (path.sigma(s) ** 2 - new).sqrt() / sd  # of x_t
        image = path.alpha(s) - kept * a  # of the denoised one
        mean = (image * gain[1] + kept) * mean + image * gain[0] * a * value
        variance = (image * gain[1] + kept) ** 2 * variance + (image * gain[0] * sd) ** 2 + new
    torch.manual_seed(0)
    shown = torch.tensor([value, math.nan], dtype=torch.float64)
    model = inpainting(pair, shown, torch.tensor([True, False]))
    x = samplers.ancestral(model, model.start(n), times)
    assert torch.equal(x[:, 0], shown[0].expand(n))
    assert abs(x[:, 1].mean() - mean) < 4 * math.sqrt(variance / n)
    assert abs(x[:, 1].var() - variance) < 4 * variance * math.sqrt(2 / n)
    assert mean < 0.9 < rho * value  # the truth
    # what the other coordinate is told is as noisy as x_t
    image = model.denoise(torch.ones(n, 2, dtype=torch.float64), 0.5)[:, 1]
    gain = pair.denoise(torch.eye(2, dtype=torch.float64), 0.5)[0, 1]
    noise = gain * path.sigma(torch.tensor(0.5, dtype=torch.float64))
    assert abs(image.std() / noise - 1) < 4 / math.sqrt(2 * n)


def test_a_measurement_of_gaussian_data_is_exact_with_its_variance():
    """y = x_0 + noise makes a Gaussian of Gaussian data, which is denoised in closed form."""
    path, v, sd, y = paths.cosine(), 0.6, 0.3, torch.tensor([1.2], dtype=torch.float64)
    one, x = torch.ones(1, 1, dtype=torch.float64), torch.tensor([[0.7], [-1.0]]).double()
    prior, t = Gaussian(v * one, path, mean=0.5), 0.6
    a, s = (f(torch.tensor(t, dtype=torch.float64)) for f in (path.alpha, path.sigma))
    spread = v * s**2 / (a**2 * v + s**2)
    precision = 1 / v + 1 / sd**2
    posterior = Gaussian(one / precision, path, mean=(0.5 / v + y / sd**2) / precision)
    exact = observed(prior, lambda x: x, y, sd, spread=lambda t: spread)
    torch.testing.assert_close(exact.denoise(x, t), posterior.denoise(x, t))
    pull = exact.denoise(x, t) - prior.denoise(x, t)
    too_far = observed(prior, lambda x: x, y, sd).denoise(x, t) - prior.denoise(x, t)
    torch.testing.assert_close(too_far, pull * (spread + sd**2) / sd**2)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: IdealDenoiser(torch.zeros(0, 3)), r"^x: got shape \(0, 3\)"),
        (lambda: IdealDenoiser(torch.tensor([[math.nan]])), "^x: got values that are not finite"),
        (lambda: NoisedMixture(Normal(0.0, 1.0)), "^density: got Normal"),
        (lambda: NoisedMixture(mixture(), labels=LABELS[:2]), r"^labels: got shape \(2,\)"),
        (lambda: NoisedMixture(mixture()).classify(points(), 0.5), "^labels: got None"),
        (lambda: NoisedMixture(mixture()).sample(3, steps=0), "^steps: got 0"),
        (lambda: NoisedMixture(mixture()).sample(0), "^n: got 0"),
        (lambda: NoisedMixture(mixture()).denoise(points(), 1.5), "^t: got 1.5"),
        (
            lambda: NoisedMixture(mixture(), labels=LABELS).denoise(points(), 0.5),
            "^y: got None, expected labels from -1 to 1",
        ),
        (
            lambda: inpainting(NoisedMixture(mixture()), torch.zeros(3), torch.zeros(3)),
            r"^x: got shape \(3,\)",
        ),
        (
            lambda: inpainting(NoisedMixture(mixture()), torch.zeros(2), torch.zeros(3)),
            r"^known: got shape \(3,\)",
        ),
        (
            lambda: observed(NoisedMixture(mixture()), torch.sin, torch.zeros(2), 0.0),
            "^sd: got 0.0, expected a positive number",
        ),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_samples_follow_the_seed_and_the_default_sampler():
    ring = NoisedMixture(toys.ring(device="cpu"))
    torch.manual_seed(3)
    drawn = ring.sample(200, steps=40)
    torch.manual_seed(3)
    again = ring.sample(200, steps=40, sampler=partial(samplers.ddim, eta=0.0))
    assert torch.equal(drawn, again)
    assert (drawn.norm(dim=1) - 1).abs().median() < 0.1
