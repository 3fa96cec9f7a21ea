"""Samplers from noise to data: on Gaussian data they are linear, and everything is known."""

import math
from functools import partial
from itertools import pairwise

import pytest
import torch
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dgm import paths, samplers
from dgm.denoisers import IdealDenoiser, NoisedMixture
from dgm.models import Diffusion

PATHS = [paths.cosine(), paths.linear(), paths.vp(), paths.exploding()]
every_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)
SAMPLERS = {
    "euler": samplers.euler,
    "heun": samplers.heun,
    "ddim": samplers.ddim,
    "ddim, half the noise": partial(samplers.ddim, eta=0.5),
    "ancestral": samplers.ancestral,
    "multistep": samplers.multistep,
    "sde": samplers.sde,
}
every_sampler = pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS)


def mixture(means, sds, weights, path):
    means, sds, weights = (torch.tensor(v, dtype=torch.float64) for v in (means, sds, weights))
    parts = Independent(Normal(means[:, None], sds[:, None]), 1)
    return NoisedMixture(MixtureSameFamily(Categorical(weights), parts), path)


def gaussian(path, mean=0.3, sd=0.5):
    return mixture([mean], [sd], [1.0], path)


def start(model, times, n):
    torch.manual_seed(0)
    return model.start(n, times[0])


@every_path
@every_sampler
def test_with_many_steps_each_draws_the_data(sampler, path):
    """Up to what a hundred steps leave: the first-order ones on a growing path lose a tenth."""
    model = gaussian(path)
    times = paths.grid(path, 100, "t" if path.name == "linear" else "log_snr")
    torch.manual_seed(0)
    share = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    size = start(model, times, 20_000).std()
    x = sampler(model, size * torch.special.ndtri(share)[:, None], times)
    assert x.mean().item() == pytest.approx(0.3, abs=0.08)
    assert x.std().item() == pytest.approx(0.5, abs=0.12)


@pytest.mark.parametrize("eta", [0.5, 1.0, 1.5])
@every_path
def test_the_variance_of_the_stochastic_equation_by_recursion(path, eta):
    """A step is x + h (f x - (1 + eta^2) / 2 g^2 score) + eta g sqrt(-h) z."""
    model, times = gaussian(path, mean=0.0), [0.8, 0.6, 0.5, 0.4]
    x = start(model, times, 4000)
    variance, n = x.var(), len(x)
    for t, s in pairwise(torch.tensor(times, dtype=torch.float64)):
        f, g = paths.drift(path, t), paths.diffusion(path, t)
        slope = f + (1 + eta**2) / 2 * g**2 / (path.alpha(t) ** 2 / 4 + path.sigma(t) ** 2)
        variance = (1 + (s - t) * slope) ** 2 * variance + eta**2 * g**2 * (t - s)
    x = samplers.sde(model, x, times, eta=eta)
    assert abs(x.var() - variance) < 4 * variance * math.sqrt(2 / n)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@every_path
def test_moments_of_the_ddim_family_by_recursion(path, eta):
    """Mean and variance of 5 steps: each maps x to image and noise, linearly, and adds noise."""
    model, times = gaussian(path), paths.grid(path, 5)
    mean, variance = torch.zeros(1, 1).double(), model.start(1, times[0]).new_ones(())
    variance = (
        variance * torch.hypot(*(f(variance * times[0]) for f in (path.alpha, path.sigma))) ** 2
    )
    for t, s in pairwise(times):
        a_t, s_t, a_s, s_s = (
            f(mean.new_tensor(v))[()] for v in (t, s) for f in (path.alpha, path.sigma)
        )
        fresh = eta**2 * s_s**2 / s_t**2 * (s_t**2 - a_t**2 / a_s**2 * s_s**2)

        def step(x, t=t, a_t=a_t, s_t=s_t, a_s=a_s, s_s=s_s, fresh=fresh):
            image = model.denoise(x, t)
            return a_s * image + (s_s**2 - fresh).sqrt() * (x - a_t * image) / s_t

        slope = step(torch.ones_like(mean)) - step(torch.zeros_like(mean))
        mean, variance = step(mean), slope**2 * variance + fresh
    x = samplers.ddim(model, start(model, times, 4000), times, eta=eta)
    n = len(x)
    assert abs(x.mean() - mean) < 4 * (variance / n).sqrt()
    assert abs(x.var() - variance) < 4 * variance * math.sqrt(2 / n)


@every_path
def test_every_ddim_step_keeps_the_noised_image(path):
    """With the true image: mean and variance of q(x_s | x_0), and at eta 1 the posterior."""
    torch.manual_seed(0)
    n, x0, t, s = 4000, torch.tensor([[0.8]]).double(), 0.7, 0.3
    x = paths.noised(path, x0.expand(n, 1), t, torch.randn(n, 1).double())
    a, sd = (f(torch.tensor(s).double()) for f in (path.alpha, path.sigma))
    for eta in (0.0, 0.5, 1.0):
        there = samplers.ddim_step(path, x, x0, s, t, eta)
        assert abs(there.mean() - a * 0.8) < 4 * sd / math.sqrt(n)
        assert abs(there.std() / sd - 1) < 4 / math.sqrt(2 * n)
    one = x[:1].expand(n, 1)
    step, exact = (
        samplers.ddim_step(path, one, x0, s, t, 1.0),
        paths.posterior(path, x[:1], x0, s, t),
    )
    assert abs(step.mean() - exact.mean) < 4 * exact.stddev / math.sqrt(n)
    assert abs(step.std() / exact.stddev - 1) < 4 / math.sqrt(2 * n)


@every_path
def test_a_ddim_step_solves_the_equation_with_the_image_held_fixed(path):
    x, x0, t, s = torch.tensor([[0.7]]).double(), torch.tensor([[-0.4]]).double(), 0.7, 0.3
    ddim, y = samplers.ddim_step(path, x, x0, s, t), x.clone()
    times = torch.linspace(t, s, 301, dtype=torch.float64)

    def slope(y, t):
        return path.d_alpha(t) * x0 + path.d_sigma(t) * (y - path.alpha(t) * x0) / path.sigma(t)

    for here, there in pairwise(times):  # the midpoint rule
        h = there - here
        y = y + h * slope(y + h / 2 * slope(y, here), here + h / 2)
    torch.testing.assert_close(ddim, y, rtol=3e-4, atol=3e-4)


def test_on_the_linear_path_euler_is_ddim():
    model = mixture([-1.0, 1.2], [0.3, 0.2], [0.4, 0.6], paths.linear())
    times = paths.grid(model.path, 7)
    x = start(model, times, 9)
    torch.testing.assert_close(samplers.euler(model, x, times), samplers.ddim(model, x, times))


@pytest.mark.parametrize(
    ("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("multistep", 2)]
)
def test_orders(name, order):
    """The error of the end points, from 40 steps to 80: by 2 to the order."""
    model = mixture([-1.0, 0.3, 1.2], [0.3, 0.4, 0.3], [0.3, 0.5, 0.2], paths.cosine())
    x = torch.linspace(-2, 2, 21, dtype=torch.float64)[:, None]

    def end(sampler, steps):
        return sampler(model, x, torch.linspace(0.97, 0.03, steps + 1).tolist())

    truth = end(samplers.heun, 320)
    error = [(end(SAMPLERS[name], steps) - truth).abs().mean() for steps in (40, 80)]
    assert (error[0] / error[1]).log2().item() == pytest.approx(order, abs=0.35)


def test_without_noise_the_stochastic_ones_are_the_others():
    model = mixture([-1.0, 1.2], [0.3, 0.2], [0.4, 0.6], paths.cosine())
    times = paths.grid(model.path, 7)
    x = start(model, times, 9)
    torch.testing.assert_close(
        samplers.sde(model, x, times, eta=0.0), samplers.euler(model, x, times)
    )
    one = [times[0], 0.0]
    image = model.denoise(x, times[0])
    for sampler in (samplers.ddim, samplers.ancestral, samplers.multistep):
        torch.testing.assert_close(sampler(model, x, one), image)


@every_sampler
def test_each_takes_a_network_the_truth_and_a_data_set(sampler):
    """Without a graph, and without a step at time 0, where no score is known."""
    truth = mixture([-1.0, 1.2], [0.3, 0.2], [0.4, 0.6], None)
    data = IdealDenoiser(torch.tensor([[-1.0], [1.2]]).double())
    network = Diffusion.mlp((1,), width=4, blocks=1).double()
    for model in (truth, data, network):
        times = paths.grid(model.path, 3)
        x = sampler(model, start(model, times, 5), times)
        assert x.shape == (5, 1) and x.isfinite().all() and not x.requires_grad


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: samplers.ddim(m, x, [0.5]), "^times: got .* two or more that fall"),
        (lambda m, x: samplers.heun(m, x, [0.0, 0.5]), "^times: got .* that fall"),
        (lambda m, x: samplers.euler(m, x, [1.5, 0.0]), "^times: got .* from 1 or less to 0"),
        (lambda m, x: samplers.ddim(m, x, [0.9, 0.0], eta=1.5), "^eta: got 1.5, expected"),
        (lambda m, x: samplers.sde(m, x, [0.9, 0.0], eta=-1.0), "^eta: got -1.0, expected"),
        (lambda m, x: samplers.multistep(m, x[:, 0], [0.9, 0.0]), r"^x: got shape \(3,\)"),
    ],
)
def test_errors_name_the_argument(call, message):
    model = gaussian(paths.cosine())
    with pytest.raises(ValueError, match=message):
        call(model, torch.zeros(3, 1, dtype=torch.float64))


def test_labels_reach_the_model():
    model = Diffusion.mlp((1,), width=4, blocks=1, classes=2)
    with pytest.raises(ValueError, match="^y: got None, expected labels"):
        samplers.ddim(model, torch.zeros(3, 1), [0.9, 0.0])
