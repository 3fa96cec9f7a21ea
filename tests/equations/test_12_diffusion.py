"""The labelled equations of chapter 12, each computed in two independent ways, in float64."""

import math

import pytest
import torch
from numpy.polynomial.hermite_e import hermegauss
from torch import distributions as D
from torch.autograd.functional import jacobian

from dgm import paths
from dgm.denoisers import (
    IdealDenoiser,
    NoisedMixture,
    classifier_guided,
    guided,
    observed,
)
from dgm.denoisers.base import Denoising
from dgm.evaluate import ode_log_prob
from dgm.models import Diffusion
from dgm.objectives import denoising, diffusion_bound
from dgm.paths import cosine, exploding, grid, linear, posterior, terminal_kl, transition, vp
from dgm.predictions import coefficients, from_x0, loss_weight, to_x0
from dgm.samplers import ddim, ddim_step, euler, heun, multistep, sde

ALL = (cosine(), linear(), vp(), exploding())


@pytest.fixture(autouse=True)
def float64():
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def close(a, b, **tolerance):
    torch.testing.assert_close(torch.as_tensor(a), torch.as_tensor(b), **tolerance)


def tensor(*values):
    return torch.tensor(values)


def line(half=12.0, n=3001):
    """Points of [-half, half] as (n, 1), and their distance."""
    return torch.linspace(-half, half, n)[:, None], 2 * half / (n - 1)


def on_line(means=(-1.2, 0.4, 1.5), sds=(0.2, 0.3, 0.14), weights=(0.3, 0.5, 0.2)):
    parts = D.Independent(D.Normal(torch.tensor(means)[:, None], torch.tensor(sds)[:, None]), 1)
    return D.MixtureSameFamily(D.Categorical(torch.tensor(weights)), parts)


def in_plane():
    parts = D.Normal(
        torch.tensor([[-1.0, 0.2], [0.6, 1.0]]), torch.tensor([[0.5, 0.3], [0.4, 0.6]])
    )
    return D.MixtureSameFamily(D.Categorical(tensor(0.4, 0.6)), D.Independent(parts, 1))


def one_gaussian(mean=0.0, sd=1.0):
    return on_line((mean,), (sd,), (1.0,))


def gauss(n=60):
    """Nodes and weights of expectations under N(0, 1)."""
    x, w = hermegauss(n)
    return torch.from_numpy(x), torch.from_numpy(w / w.sum())


def given_x_t(density, path, x_t, t, half=4.5, n=9001):
    """Mean and variance of x_0 given x_t by Bayes' rule on a grid; x_t (B, 1)."""
    x0, _ = line(half, n)
    alpha, sigma = path.alpha(tensor(t)), path.sigma(tensor(t))
    log_w = density.log_prob(x0) + D.Normal(alpha * x0[:, 0], sigma).log_prob(x_t)  # (B, n)
    w = log_w.softmax(1)
    mean = w @ x0[:, 0]
    return mean, w @ x0[:, 0] ** 2 - mean**2


def mmse(model, t, half=12.0):
    """E Var[x_0 | x_t] of a mixture on the line, by quadrature over x_t."""
    x, h = line(half)
    return model.log_prob(x, t).exp() @ model.covariance(x, t)[:, 0, 0] * h


# ---------------------------------------------------------------- the way to noise


@pytest.mark.equation("eq-transition")
def test_transition():
    """Moments of many short steps, and of two, against those of one; DDPM's product of 1 - beta."""
    for path in ALL:
        r, s, t = tensor(0.1), tensor(0.35), tensor(0.8)
        times = torch.linspace(0.1, 0.8, 51)
        mean, variance = tensor(1.0), tensor(0.0)
        for a, b in zip(times[:-1], times[1:], strict=True):
            factor, added = transition(path, a, b)
            mean, variance = factor * mean, factor**2 * variance + added
        factor, whole = transition(path, r, t)
        close(torch.stack([mean, variance]), torch.stack([factor, whole]))
        # from the data to s and on to t is the noise of time t
        onward, added = transition(path, s, t)
        close(onward * path.alpha(s), path.alpha(t))
        close(onward**2 * path.sigma(s) ** 2 + added, path.sigma(t) ** 2)
    betas = torch.linspace(1e-4, 0.02, 1000)
    close((1 - betas).prod().sqrt(), vp().alpha(tensor(1.0))[0], atol=1e-3, rtol=0.02)


@pytest.mark.equation("eq-one-path")
def test_one_path():
    """Denoisers of four paths at one signal-to-noise ratio, each at its own scale."""
    level, x = tensor(0.7), torch.randn(20, 1)
    guesses = []
    for path in ALL:
        t = path.time_of(level)
        close(path.log_snr(t), level)
        scale = path.alpha(t)  # x is what is seen where alpha is one
        guesses.append(NoisedMixture(on_line(), path).denoise(scale * x, t.item()))
    for guess in guesses[1:]:
        close(guess, guesses[0])
    mean, _ = given_x_t(on_line(), exploding(), x, exploding().time_of(level).item())
    close(guesses[0][:, 0], mean, atol=1e-7, rtol=1e-6)


@pytest.mark.equation("eq-step-back")
def test_step_back():
    """The bridge's mean and variance against Bayes' rule on a grid."""
    x, h = line(8, 16001)
    for path in (cosine(), linear(), vp()):
        s, t = tensor(0.3), tensor(0.7)
        factor, variance = transition(path, s, t)
        log_p = D.Normal(factor * x, variance.sqrt()).log_prob(tensor(-0.4))
        log_p = log_p + D.Normal(path.alpha(s) * 0.8, path.sigma(s)).log_prob(x)
        p = log_p[:, 0].softmax(0)
        mean = p @ x[:, 0]
        q = posterior(path, tensor(-0.4)[None], tensor(0.8)[None], 0.3, 0.7)
        close(q.mean[0, 0], mean)
        close(q.variance[0, 0], p @ x[:, 0] ** 2 - mean**2)
    point = posterior(cosine(), tensor(-0.4)[None], tensor(0.8)[None], 0.0, 0.7)
    close(torch.stack([point.mean[0, 0], point.variance[0, 0]]), tensor(0.8, 0.0))


# ---------------------------------------------------------------- the bound


def bridge(path, s, t):
    """c_t, c_0 and the variance of q(x_s | x_t, x_0)."""
    q = posterior(path, torch.tensor([[1.0], [0.0]]), torch.tensor([[0.0], [1.0]]), s, t)
    return *q.mean[:, 0], q.variance[0, 0]


@pytest.mark.equation("eq-diffusion-elbo")
def test_diffusion_elbo():
    """Terms of a chain of four Gaussian steps, plus a KL of joint Gaussians, against log p(x_0)."""
    path, mean, var, x0 = cosine(), 0.5, 0.6, tensor(1.3)[0]
    times = tensor(0.0, 0.2, 0.5, 0.8, 0.95)
    alpha, sigma = path.alpha(times), path.sigma(times)
    steps = []  # x_s given x_t is N(a x_t + b, c); any numbers will do
    for i in range(4):
        gain = alpha[i + 1] * var / (alpha[i + 1] ** 2 * var + sigma[i + 1] ** 2)
        c_t, c_0, v = bridge(path, times[i].item(), times[i + 1].item())
        steps.append((c_t + c_0 * gain, c_0 * (1 - gain * alpha[i + 1]) * mean, 1.3 * v + 0.01))
    m, L = torch.zeros(5), torch.zeros(5, 5)
    L[4, 4] = 1.0
    for i in (3, 2, 1, 0):
        a, b, c = steps[i]
        m[i], L[i] = a * m[i + 1] + b, a * L[i + 1]
        L[i, i] = c.sqrt()
    S = L @ L.T
    log_p = D.Normal(m[0], S[0, 0].sqrt()).log_prob(x0)
    k = S[1:, 0] / S[0, 0]
    model = D.MultivariateNormal(m[1:] + k * (x0 - m[0]), S[1:, 1:] - torch.outer(k, S[0, 1:]))
    near = torch.minimum(*torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")) + 1
    far = torch.maximum(*torch.meshgrid(torch.arange(4), torch.arange(4), indexing="ij")) + 1
    noise = D.MultivariateNormal(alpha[1:] * x0, alpha[far] / alpha[near] * sigma[near] ** 2)
    gap = D.kl_divergence(noise, model)

    node, weight = gauss()
    elbo = -terminal_kl(path, x0[None, None], times[-1].item())[0]
    for i, (a, b, c) in enumerate(steps):
        x_t = alpha[i + 1] * x0 + sigma[i + 1] * node  # (60,)
        p = D.Normal(a * x_t + b, c.sqrt())
        if i == 0:
            elbo = elbo + weight @ p.log_prob(x0)
            continue
        back = posterior(path, x_t[:, None], x0.expand(60, 1), times[i].item(), times[i + 1].item())
        q = D.Normal(back.mean[:, 0], back.stddev[:, 0])
        elbo = elbo - weight @ D.kl_divergence(q, p)
    close(elbo + gap, log_p, atol=1e-9, rtol=0)
    assert gap > 1e-3


@pytest.mark.equation("eq-kl-snr")
def test_kl_snr():
    """The KL of two bridges, by torch, against a difference of signal-to-noise ratios."""
    x0, guess, x_t = torch.randn(5, 3), torch.randn(5, 3), torch.randn(5, 3)
    for path in (cosine(), linear(), vp()):
        q, p = (posterior(path, x_t, x, 0.3, 0.7) for x in (x0, guess))
        snr = path.log_snr(tensor(0.3, 0.7)).exp()
        close(D.kl_divergence(q, p), (snr[0] - snr[1]) / 2 * (x0 - guess).square().sum(1))


@pytest.mark.equation("eq-best-variance")
def test_best_variance():
    """Var[x_s | x_t] by quadrature over x_s, against the bridge's and the guess's."""
    path, s, t, x_t = cosine(), 0.4, 0.7, 0.35
    model, (x, _) = NoisedMixture(on_line(), path), line(6, 8001)
    factor, variance = transition(path, tensor(s), tensor(t))
    log_p = model.log_prob(x, s) + D.Normal(factor * x[:, 0], variance.sqrt()).log_prob(tensor(x_t))
    p = log_p.softmax(0)
    exact = p @ x[:, 0] ** 2 - (p @ x[:, 0]) ** 2
    c_t, c_0, v = bridge(path, s, t)
    close(v + c_0**2 * model.covariance(torch.full((1, 1), x_t), t)[0, 0, 0], exact)
    of_normal = NoisedMixture(one_gaussian(), path).covariance(torch.zeros(1, 1), t)[0, 0, 0]
    close(v + c_0**2 * of_normal, variance[0])


@pytest.mark.equation("eq-diffusion-limit")
def test_diffusion_limit():
    """The library's unbiased estimate against quadrature over time on three paths, and a sum."""
    ends, values = (-3.0, 3.0), []
    for path in (cosine(), linear(), vp()):
        model = NoisedMixture(on_line(), path)
        t = torch.linspace(*path.ends(ends, torch.zeros(())).tolist(), 121)
        errors = torch.stack([mmse(model, v.item(), half=6.0) for v in t])
        snr = path.log_snr(t).exp()
        values.append(-torch.trapezoid(errors, snr) / 2)
    close(torch.stack(values), values[0].expand(3), rtol=5e-4, atol=0)
    level = torch.linspace(-3, 3, 129)
    time = linear().time_of(level)
    model = NoisedMixture(on_line(), linear())
    errors = torch.stack([mmse(model, v.item(), half=6.0) for v in time])
    close(torch.trapezoid(level.exp() * errors / 2, level), values[1], rtol=5e-4, atol=0)
    snr = level.exp()  # T steps: a sum of differences of SNR, each with the error at its noisy end
    sums = [((snr[k::k] - snr[:-1:k]) * errors[:-1:k]).sum() / 2 for k in (32, 8, 4, 1)]
    assert sums[0] > sums[1] > sums[2] > sums[3] > values[1]

    x = on_line().sample((20_000,))
    estimate = diffusion_bound(model, x, log_snr=ends)
    early, late = linear().ends(ends, x).tolist()
    sd = linear().sigma(tensor(early)) / linear().alpha(tensor(early))
    known = -0.5 * (1 + math.log(2 * math.pi)) - sd.log()[0] - terminal_kl(linear(), x, late).mean()
    found = known - estimate.mean()
    # the errors of one example at a random level vary by far more than those of the mean do
    assert (found - values[1]).abs() < 5 * estimate.std() / len(x) ** 0.5


@pytest.mark.equation("eq-mmse-entropy")
def test_mmse_entropy():
    """The area under the errors of the exact denoiser against the entropy by quadrature."""
    level = torch.linspace(-14, 12, 209)
    model = NoisedMixture(on_line(), exploding(1e-3, 2e3))
    errors = []
    for value in level:
        sigma = math.exp(-value.item() / 2)
        t = model.path.time_of(value).item()
        errors.append(mmse(model, t, half=4 + 8 * sigma))
    snr = level.exp()
    area = torch.trapezoid((1 / (1 + snr) - torch.stack(errors)) * snr, level)
    x, h = line(6, 24001)
    log_p = on_line().log_prob(x)
    entropy = -(log_p.exp() * log_p).sum() * h
    close(0.5 * math.log(2 * math.pi * math.e) - area / 2, entropy, atol=3e-3, rtol=0)


@pytest.mark.equation("eq-weighted-bound")
def test_weighted_bound():
    """A loss weighed by a falling function against the mean of the bounds below each level."""
    level = torch.linspace(-6, 6, 201)
    model = NoisedMixture(on_line())
    errors = torch.stack([mmse(model, t.item(), half=7.0) for t in model.path.time_of(level)])
    slope = level.exp() * errors / 2
    h = level[1] - level[0]
    below = torch.cat([torch.zeros(1), ((slope[1:] + slope[:-1]) / 2 * h).cumsum(0)])
    w = torch.sigmoid(2 - level)
    by_parts = w[-1] * below[-1] + torch.trapezoid(w * (1 - w) * below, level)
    close(torch.trapezoid(w * slope, level), by_parts, rtol=1e-4, atol=0)


# ---------------------------------------------------------------- what is predicted


@pytest.mark.equation("eq-denoising-floor")
def test_denoising_floor():
    """The error of a wrong guess by quadrature over image and noise, and by the library's loss."""
    path, t = cosine(), 0.45

    class Wrong(Denoising):
        shape, classes, support = (1,), 0, D.constraints.real
        path = cosine()
        mean, scale = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)

        def denoise(self, x, t, y=None):
            return 0.3 + 0.4 * x.sin()

    wrong, exact = Wrong(), NoisedMixture(on_line(), path)
    alpha, sigma = path.alpha(tensor(t)), path.sigma(tensor(t))
    node, weight = gauss()
    x0, h0 = line(4.5, 3001)
    x_t = (alpha * x0 + sigma * node).reshape(-1, 1)
    square = (x0 - wrong.denoise(x_t, t).view(3001, 60)).square() @ weight
    left = on_line().log_prob(x0).exp() @ square * h0
    x, h = line(8)
    p = exact.log_prob(x, t).exp()
    far = p @ (exact.denoise(x, t) - wrong.denoise(x, t)).square()[:, 0] * h
    close(mmse(exact, t) + far, left, rtol=1e-6, atol=0)

    data = on_line().sample((40_000,))
    level = path.log_snr(tensor(t)).item()
    narrow = (level - 1e-6, level + 1e-6)
    loss = -denoising(wrong, data, weight="x0", log_snr=narrow)
    assert (loss.mean() - left).abs() < 5 * loss.std() / 200


@pytest.mark.equation("eq-tweedie-path")
def test_tweedie_path():
    """Mean and variance of x_0 by Bayes' rule on a grid against slopes of log p_t by autograd."""
    for path in ALL[:3]:
        t, x = 0.5, torch.linspace(-1.5, 1.5, 11)[:, None].requires_grad_()
        model = NoisedMixture(on_line(), path)
        (score,) = torch.autograd.grad(model.log_prob(x, t).sum(), x, create_graph=True)
        (curvature,) = torch.autograd.grad(score.sum(), x)
        alpha, sigma = path.alpha(tensor(t)), path.sigma(tensor(t))
        mean, variance = given_x_t(on_line(), path, x.detach(), t)
        close(((x + sigma**2 * score) / alpha)[:, 0].detach(), mean, atol=1e-7, rtol=1e-6)
        close(
            (sigma / alpha) ** 2 * (1 + sigma**2 * curvature[:, 0]), variance, atol=1e-6, rtol=1e-5
        )
        close(model.denoise(x, t)[:, 0].detach(), mean, atol=1e-7, rtol=1e-6)
        close(model.covariance(x, t)[:, 0, 0].detach(), variance, atol=1e-7, rtol=1e-6)
    model, x = NoisedMixture(in_plane()), torch.tensor([[0.3, -0.4]])
    J = jacobian(lambda x: model.denoise(x, 0.5)[0], x)[:, 0]  # the guess's slope is its covariance
    alpha, sigma = cosine().alpha(tensor(0.5)), cosine().sigma(tensor(0.5))
    close(J * sigma**2 / alpha, model.covariance(x, 0.5)[0])


@pytest.mark.equation("eq-dresses")
def test_dresses():
    """The solution of two linear equations, by torch, and squared errors, for five predictions."""
    x0, guess, eps = torch.randn(4, 3), torch.randn(4, 3), torch.randn(4, 3)
    for path in ALL:
        t = tensor(0.4)
        alpha, sigma = path.alpha(t), path.sigma(t)
        x_t = alpha * x0 + sigma * eps
        eps_guess = (x_t - alpha * guess) / sigma
        for kind in ("x0", "eps", "v", "score", "velocity"):
            a, b = coefficients(kind, path, t)
            truth, value = a * x0 + b * eps, a * guess + b * eps_guess
            a, b = a.expand(1), b.expand(1)
            system = torch.stack([torch.cat([alpha, sigma]), torch.cat([a, b])])  # (2, 2)
            solved = torch.linalg.solve(system, torch.stack([x_t.flatten(), value.flatten()]))[0]
            close(to_x0(value, kind, x_t, path, 0.4), solved.view(4, 3))
            close(from_x0(guess, kind, x_t, path, 0.4), value)
            square = (truth - value).square().sum(1)
            close(square, loss_weight(kind, path, t) * (x0 - guess).square().sum(1))
    # the table's weights
    t, snr = tensor(0.4), cosine().log_snr(tensor(0.4)).exp()
    sigma, slopes = cosine().sigma(t), (cosine().d_alpha(t), cosine().d_sigma(t))
    close(loss_weight("eps", cosine(), t), snr)
    close(loss_weight("v", cosine(), t), 1 + snr)
    close(loss_weight("score", cosine(), t), snr / sigma**2)
    close(loss_weight("velocity", cosine(), t), (slopes[0] - slopes[1] * snr.sqrt()) ** 2)


@pytest.mark.equation("eq-wiener")
def test_wiener():
    """The linear guess against Bayes' rule on a grid; an untrained network is that of N(0, I)."""
    path, x = linear(), torch.linspace(-2, 2, 9)[:, None]
    alpha, sigma = path.alpha(tensor(0.3)), path.sigma(tensor(0.3))
    gain = alpha * 0.6 / (alpha**2 * 0.6 + sigma**2)
    mean, _ = given_x_t(one_gaussian(0.5, 0.6**0.5), path, x, 0.3, half=9)
    close((0.5 + gain * (x - alpha * 0.5))[:, 0], mean, atol=1e-7, rtol=1e-6)
    model = Diffusion.mlp((1,), width=8, blocks=1).double()
    with torch.no_grad():
        guess = model.denoise(x, 0.3)
    mean, _ = given_x_t(one_gaussian(), cosine(), x, 0.3, half=9)
    close(guess[:, 0], mean, atol=1e-6, rtol=1e-5)
    close(from_x0(guess, "v", x, cosine(), 0.3), torch.zeros_like(x), atol=1e-6, rtol=0)


# ---------------------------------------------------------------- samplers


@pytest.mark.equation("eq-ddim")
def test_ddim():
    """Moments of a step from draws of q(x_t | x_0) against q(x_s | x_0); eta = 1 is the bridge."""
    x0 = torch.full((200_000, 1), 0.7)
    for path in (cosine(), linear()):
        s, t = 0.3, 0.6
        alpha, sigma = path.alpha(tensor(s, t)), path.sigma(tensor(s, t))
        for eta in (0.0, 0.5, 1.0):
            x_t = alpha[1] * x0 + sigma[1] * torch.randn_like(x0)
            x_s = ddim_step(path, x_t, x0, s, t, eta)
            assert (x_s.mean() - alpha[0] * 0.7).abs() < 5 * sigma[0] / len(x0) ** 0.5
            assert (x_s.var() / sigma[0] ** 2 - 1).abs() < 5 * (2 / len(x0)) ** 0.5
        fixed = torch.full_like(x0, -0.2)
        x_s, q = ddim_step(path, fixed, x0, s, t, 1.0), posterior(path, fixed[:1], x0[:1], s, t)
        assert (x_s.mean() - q.mean[0, 0]).abs() < 5 * q.stddev[0, 0] / len(x0) ** 0.5
        assert (x_s.var() / q.variance[0, 0] - 1).abs() < 5 * (2 / len(x0)) ** 0.5


def change_in_time(model, x, t, h=1e-4):
    """The derivative of p_t(x) in t, by a central difference: (B,)."""
    return (model.log_prob(x, t + h).exp() - model.log_prob(x, t - h).exp()) / (2 * h)


def divergence(f, x):
    """The divergence of f on the line, by autograd: (B, 1) -> (B,)."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(f(x).sum(), x)[0][:, 0]


@pytest.mark.equation("eq-flow-ode")
def test_flow_ode():
    """Two forms of the velocity, and dp/dt by differences against the divergence of p u."""
    x, t = torch.linspace(-2.5, 2.5, 41)[:, None], tensor(0.4)
    for path in (cosine(), linear(), vp()):
        model = NoisedMixture(on_line(), path)
        mean, _ = given_x_t(on_line(), path, x, 0.4)  # E[x_0 | x_t] without the library
        noise = (x[:, 0] - path.alpha(t) * mean) / path.sigma(t)
        velocity = model.velocity(x, 0.4)[:, 0]
        close(velocity, path.d_alpha(t) * mean + path.d_sigma(t) * noise, atol=1e-6, rtol=1e-5)
        f, g = paths.drift(path, t), paths.diffusion(path, t)
        close(velocity, f * x[:, 0] - g**2 / 2 * model.score(x, 0.4)[:, 0])

        def flux(x, model=model):
            return model.log_prob(x, 0.4).exp()[:, None] * model.velocity(x, 0.4)

        close(change_in_time(model, x, 0.4), -divergence(flux, x), atol=1e-6, rtol=1e-4)


@pytest.mark.equation("eq-reverse-sde")
def test_reverse_sde():
    """The Fokker-Planck equation of the sampler's drift and noise, and the moments of one step."""
    path, t, h = cosine(), 0.5, 0.01
    model = NoisedMixture(on_line(), path)
    x = torch.linspace(-2.0, 2.0, 21)[:, None]
    f, g = paths.drift(path, tensor(t)), paths.diffusion(path, tensor(t))
    for eta in (0.0, 0.5, 1.0, 2.0):

        def flux(x, eta=eta):  # of probability, forwards in time: the drift, and noise backwards
            p = model.log_prob(x, t).exp()[:, None]
            drift = f * x - (1 + eta**2) / 2 * g**2 * model.score(x, t)
            return p * drift + (eta * g) ** 2 / 2 * p * model.score(x, t)

        close(change_in_time(model, x, t), -divergence(flux, x), atol=1e-6, rtol=1e-4)
        # one step of the sampler, back by h, is this drift and the noise of its seed
        torch.manual_seed(0)
        noise = eta * g * h**0.5 * torch.randn_like(x)
        torch.manual_seed(0)
        moved = sde(model, x, [t, t - h], eta=eta) - x
        drift = f * x - (1 + eta**2) / 2 * g**2 * model.score(x, t)
        close(moved, noise - h * drift)
    # the path's f and g: moments of the forward equation are those of q(x_t | x_s)
    mean, variance, steps = 1.0, 0.0, 4000
    for i in range(steps):
        time, dt = tensor(0.2 + 0.5 * (i + 0.5) / steps), 0.5 / steps
        rate, noise = paths.drift(path, time).item(), paths.diffusion(path, time).item() ** 2
        grow = math.exp(rate * dt)
        mean, variance = mean * grow, variance * grow**2 + noise * dt * grow
    factor, added = transition(path, tensor(0.2), tensor(0.7))
    close(tensor(mean, variance), torch.cat([factor, added]), rtol=1e-5, atol=0)


@pytest.mark.equation("eq-ddim-solves")
def test_ddim_solves():
    """A step against a thousand of Runge and Kutta, with the guess held fixed."""
    for path in (cosine(), linear(), vp()):
        x, guess = torch.randn(6, 2), torch.randn(6, 2)

        def slope(x, t, guess=guess, path=path):
            t = tensor(t)
            noise = (x - path.alpha(t) * guess) / path.sigma(t)
            return path.d_alpha(t) * guess + path.d_sigma(t) * noise

        end, h = x, -0.4 / 200
        for i in range(200):
            t = 0.7 + i * h
            k1 = slope(end, t)
            k2 = slope(end + h / 2 * k1, t + h / 2)
            k3 = slope(end + h / 2 * k2, t + h / 2)
            k4 = slope(end + h * k3, t + h)
            end = end + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        close(ddim_step(path, x, guess, 0.3, 0.7), end, atol=1e-8, rtol=1e-7)


@pytest.mark.equation("eq-orders")
def test_orders():
    """How the error at the end falls when steps are halved, for four samplers."""
    density = on_line((-1.0, 0.3, 1.2), (0.3, 0.4, 0.3), (0.3, 0.5, 0.2))
    model, x = NoisedMixture(density), torch.linspace(-2, 2, 21)[:, None]

    def end(sampler, steps):
        return sampler(model, x, torch.linspace(0.97, 0.03, steps + 1).tolist())

    exact = end(heun, 500)
    for sampler, order in ((euler, 1), (ddim, 1), (heun, 2), (multistep, 2)):
        coarse, fine = ((end(sampler, n) - exact).abs().mean() for n in (50, 100))
        assert abs(math.log2(coarse / fine) - order) < 0.3


@pytest.mark.equation("eq-ode-likelihood")
def test_ode_likelihood():
    """The integral along trajectories, the library's and one by autograd, against the density."""
    model = NoisedMixture(in_plane())
    x = in_plane().sample((5,))
    ends = (-14.0, 14.0)
    close(
        ode_log_prob(model, x, steps=200, log_snr=ends), in_plane().log_prob(x), atol=2e-3, rtol=0
    )
    # between two times: Heun's steps with the exact trace of the Jacobian
    now, total, steps = x, 0.0, 80
    times = torch.linspace(0.1, 0.8, steps + 1).tolist()

    def both(x, t):
        J = jacobian(lambda x: model.velocity(x, t).sum(0), x)  # (2, B, 2)
        return model.velocity(x, t), J[0, :, 0] + J[1, :, 1]

    for t, s in zip(times[:-1], times[1:], strict=True):
        u, d = both(now, t)
        v, e = both(now + (s - t) * u, s)
        now, total = now + (s - t) * (u + v) / 2, total + (s - t) * (d + e) / 2
    close(model.log_prob(x, 0.1), model.log_prob(now, 0.8) + total, atol=1e-3, rtol=0)


@pytest.mark.equation("eq-score-loss-bound")
def test_score_loss_bound():
    """Gaussian data and a score off by a factor: the noisy sampler's KL, in closed form or almost,
    is below the bound, which is reached by no factor but one; the flow's KL is above it.
    """
    path, v, n = cosine(), 0.25, 8000
    t = torch.linspace(0.98, 0.02, n + 1)
    variance = path.alpha(t) ** 2 * v + path.sigma(t) ** 2
    f, g2 = paths.drift(path, t), paths.diffusion(path, t) ** 2

    def kl(a, b):
        return D.kl_divergence(D.Normal(0.0, a**0.5), D.Normal(0.0, b**0.5))

    for c in (0.8, 1.0, 1.25):
        h, noisy, flow = 0.96 / n, 1.0, 1.0
        for rate, noise, now in zip(f.tolist(), g2.tolist(), variance.tolist(), strict=True):
            noisy += h * (noise - 2 * (rate + c * noise / now) * noisy)
            flow -= 2 * h * (rate + c * noise / now / 2) * flow
        # E |c s - s|^2 = (c - 1)^2 / variance
        loss = -torch.trapezoid(g2 * (c - 1) ** 2 / variance, t) / 2
        bound = loss + kl(variance[0], torch.tensor(1.0))
        end = variance[-1]
        assert kl(end, torch.tensor(noisy)) < bound + 1e-6
        if c == 1:
            assert kl(end, torch.tensor(noisy)) < 1e-4 and loss == 0
        else:
            assert kl(end, torch.tensor(flow)) > bound


# ---------------------------------------------------------------- guidance


def two_classes(sd=0.6):
    return NoisedMixture(on_line((-1.0, 1.0), (sd, sd), (0.5, 0.5)), labels=torch.tensor([0, 1]))


@pytest.mark.equation("eq-guidance-bayes")
def test_guidance_bayes():
    """The score of a class against that of all and the slope of a noisy classifier, by autograd."""
    model, t = two_classes(), 0.5
    x = torch.linspace(-2, 2, 9)[:, None].requires_grad_()
    y = torch.ones(9, dtype=torch.long)
    (slope,) = torch.autograd.grad(model.classify(x, t).log_prob(y).sum(), x)
    one = NoisedMixture(one_gaussian(1.0, 0.6))  # the class alone
    close(one.score(x, t), model.score(x, t, torch.full_like(y, -1)) + slope)
    by_classifier = classifier_guided(model, lambda x, t: model.classify(x, t).logits)
    close(by_classifier.score(x.detach(), t, y), one.score(x.detach(), t))


@pytest.mark.equation("eq-guidance")
def test_guidance():
    """The guided guess as a score, against the slope of log p(x | y) + w log p(y | x)."""
    model, t, w = two_classes(), 0.5, 1.5
    x = torch.linspace(-2, 2, 9)[:, None].requires_grad_()
    y = torch.ones(9, dtype=torch.long)
    log_tilted = model.log_prob(x, t, y) + w * model.classify(x, t).log_prob(y)
    (slope,) = torch.autograd.grad(log_tilted.sum(), x)
    x = x.detach()
    close(guided(model, w).score(x, t, y), slope)
    of_y, of_all = (model.denoise(x, t, label) for label in (y, torch.full_like(y, -1)))
    close(guided(model, w).denoise(x, t, y), of_all + (1 + w) * (of_y - of_all))


class Widths(Denoising):
    """N(0, 2), and N(0, 1) for the class 0, behind noise that explodes."""

    shape, classes, support = (1,), 1, D.constraints.real
    path = exploding(1e-3, 1e3)
    mean, scale = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)

    def denoise(self, x, t, y=None):
        sigma = self.path.sigma(paths.beside(t, x))
        v = torch.where(y == 0, 1.0, 2.0)[:, None]
        return v / (v + sigma**2) * x


@pytest.mark.equation("eq-guided-gaussian")
def test_guided_gaussian():
    """Variances by the library's samplers against the closed forms."""
    times, y = torch.linspace(1, 0, 401).tolist(), torch.zeros(1, dtype=torch.long)
    for w in (1.0, 3.0):
        model = guided(Widths(), w)
        end = ddim(model, torch.full((1, 1), 1e3), times, y)  # linear: one start tells the factor
        close(end.square()[0, 0], 2**-w, rtol=0.04, atol=0)
        many = 5000
        x = sde(model, 1e3 * torch.randn(many, 1), times, y.expand(many))
        exact = (2 - 2 ** (-2 * w)) / (1 + 2 * w)
        assert (x.var() / exact - 1).abs() < 5 * (2 / many) ** 0.5
        # the tilted density, by quadrature
        x, h = line(20, 40001)
        log_p = D.Normal(0.0, 1.0).log_prob(x[:, 0])
        log_p = (1 + w) * log_p - w * D.Normal(0.0, 2**0.5).log_prob(x[:, 0])
        close(log_p.softmax(0) @ x[:, 0] ** 2, 2 / (2 + w), rtol=1e-6, atol=0)


@pytest.mark.equation("eq-observed")
def test_observed():
    """log p(y | x_t) by quadrature over x_0, and its slope against the library's guess."""
    path, t, sd, y = cosine(), 0.5, 0.3, 1.2
    model = NoisedMixture(one_gaussian(0.5, 0.8), path)
    x = torch.linspace(-1, 1.5, 7)[:, None].requires_grad_()
    x0, h = line(8, 8001)
    alpha, sigma = path.alpha(tensor(t)), path.sigma(tensor(t))
    log_p = D.Normal(0.5, 0.8).log_prob(x0[:, 0]) + D.Normal(alpha * x0[:, 0], sigma).log_prob(x)
    joint = log_p + D.Normal(x0[:, 0], sd).log_prob(tensor(y))
    exact = joint.logsumexp(1) - log_p.logsumexp(1)  # (7,)
    variance = model.covariance(x.detach(), t)[0, 0]
    formula = D.Normal(model.denoise(x, t)[:, 0], (variance + sd**2).sqrt()).log_prob(tensor(y))
    close(formula, exact)
    (slope,) = torch.autograd.grad(exact.sum(), x)
    x = x.detach()
    with_spread = observed(model, lambda x: x, tensor(y), sd, spread=lambda t: variance[None])
    close(with_spread.denoise(x, t), model.denoise(x, t) + sigma**2 / alpha * slope)
    without = observed(model, lambda x: x, tensor(y), sd).denoise(x, t) - model.denoise(x, t)
    close(without, (variance + sd**2) / sd**2 * sigma**2 / alpha * slope)


# ---------------------------------------------------------------- the perfect network


@pytest.mark.equation("eq-ideal-denoiser")
def test_ideal_denoiser():
    """The weighted mean against a mixture of very narrow Gaussians; no other guess is better."""
    x, t = torch.randn(6, 2), 0.4
    parts = D.Independent(D.Normal(x, torch.full_like(x, 1e-6)), 1)
    mixture = D.MixtureSameFamily(D.Categorical(torch.ones(6)), parts)
    at = torch.randn(8, 2)
    ideal = IdealDenoiser(x)
    close(ideal.denoise(at, t), NoisedMixture(mixture).denoise(at, t), atol=1e-9, rtol=1e-7)
    alpha, sigma = cosine().alpha(tensor(t)), cosine().sigma(tensor(t))
    near = (-torch.cdist(at, alpha * x).square() / (2 * sigma**2)).softmax(1)
    close(ideal.weights(at, t), near)
    ends = ddim(ideal, torch.randn(50, 2), grid(cosine(), 60))
    assert torch.cdist(ends, x).min(1).values.max() < 1e-6  # it draws what it remembers
