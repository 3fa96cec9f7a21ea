"""Gaussian paths: their slopes and clocks, steps between any two times, grids of times."""

import math

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from dgm import paths

PATHS = {p.name: p for p in (paths.cosine(), paths.linear(), paths.vp(), paths.exploding())}
every_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


@every_path
def test_slopes_are_derivatives_and_clocks_invert(path):
    t = torch.linspace(0.01, 0.99, 50, dtype=torch.float64, requires_grad=True)
    for f, slope in ((path.alpha, path.d_alpha), (path.sigma, path.d_sigma)):
        (exact,) = torch.autograd.grad((f(t) + 0 * t).sum(), t)
        torch.testing.assert_close(slope(t), exact, rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(path.time_of(path.log_snr(t)), t, rtol=1e-9, atol=1e-12)
    assert (path.log_snr(t).diff() < 0).all()


@pytest.mark.parametrize("name", ["cosine", "linear", "vp"])
def test_both_ends_in_single_precision(name):
    path = PATHS[name]
    ends = torch.tensor([0.0, 1.0])
    assert path.alpha(ends)[0] == 1 and path.sigma(ends)[0] == 0
    assert 0 <= path.alpha(ends)[1] < 0.01 and path.sigma(ends)[1] > 0.9999
    assert path.log_snr(ends)[0] == math.inf and path.log_snr(ends)[1] < -9


@every_path
def test_transitions_are_the_moments_of_the_forward_equation(path):
    """m' = f m and v' = 2 f v + g^2, by Runge and Kutta."""
    times = torch.linspace(0.25, 0.8, 401, dtype=torch.float64)

    def rate(t, z):
        f, g = paths.drift(path, t), paths.diffusion(path, t)
        return torch.stack([f * z[0], 2 * f * z[1] + g**2])

    z = double(1.0, 0.0)
    for s, t in zip(times[:-1], times[1:], strict=True):
        h = t - s
        k1 = rate(s, z)
        k2 = rate(s + h / 2, z + h / 2 * k1)
        k3 = rate(s + h / 2, z + h / 2 * k2)
        z = z + h / 6 * (k1 + 2 * k2 + 2 * k3 + rate(t, z + h * k3))
    factor, variance = paths.transition(path, times[0], times[-1])
    torch.testing.assert_close(z, torch.stack([factor, variance]), rtol=1e-8, atol=1e-10)


@every_path
def test_the_posterior_is_bayes_rule(path):
    """Precisions add: of q(x_s | x_0) and of q(x_t | x_s), seen as a function of x_s."""
    s, t, x_0, x_t = 0.3, 0.7, double(0.8, -2.0)[None], double(-0.3, 1.0)[None]
    q = paths.posterior(path, x_t, x_0, s, t)
    a, sd = path.alpha(double(s)), path.sigma(double(s))
    factor, variance = paths.transition(path, double(s), double(t))
    precision = 1 / sd**2 + factor**2 / variance
    mean = (a * x_0 / sd**2 + factor * x_t / variance) / precision
    torch.testing.assert_close(q.mean, mean)
    torch.testing.assert_close(q.variance, (1 / precision).expand_as(mean))
    assert q.event_shape == (2,)


def test_at_time_zero_the_posterior_is_the_point_itself():
    x_0, x_t = double(0.8, -2.0)[None], double(-0.3, 1.0)[None]
    q = paths.posterior(paths.cosine(), x_t, x_0, 0.0, 0.7)
    assert torch.equal(q.mean, x_0) and not q.variance.any()


def test_a_thousand_small_steps_are_the_continuous_path():
    """DDPM's betas against the integral, to the order of a step."""
    kept = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(0)
    i = torch.tensor([99, 299, 499, 999])
    alpha = paths.vp().alpha((i + 1) / 1000.0)
    torch.testing.assert_close(alpha.square().double(), kept[i], rtol=0.12, atol=0)


def test_uniform_times_are_a_density_of_the_log_snr():
    level = torch.linspace(-8, 8, 33, dtype=torch.float64, requires_grad=True)
    expected = {
        "cosine": 1 / (2 * math.pi * torch.cosh(level / 2)),
        "linear": 1 / (8 * torch.cosh(level / 4) ** 2),
    }
    for name, density in expected.items():
        (slope,) = torch.autograd.grad(PATHS[name].time_of(level).sum(), level)
        torch.testing.assert_close(-slope, density)


@every_path
def test_what_a_signal_that_is_left_costs(path):
    x, t = double(0.5, -1.5)[None], double(0.6)
    a, s = path.alpha(t), path.sigma(t)
    kl = kl_divergence(Normal(a * x, s), Normal(0 * x, torch.hypot(a, s))).sum(1)
    torch.testing.assert_close(paths.terminal_kl(path, x, 0.6), kl)


@every_path
@pytest.mark.parametrize("spacing", ["t", "log_snr", "edm"])
def test_grids_fall_from_noise_to_data(path, spacing):
    for steps in (1, 5):
        times = paths.grid(path, steps, spacing, (-6.0, 6.0))
        assert len(times) == steps + 1 and times[-1] == 0
        assert path.log_snr(double(times[0])).item() == pytest.approx(-6)
        assert all(t > s for t, s in zip(times[:-1], times[1:], strict=True))


def test_the_grid_of_edm():
    path, n = paths.exploding(1e-4, 200.0), 18
    times = paths.grid(path, n, "edm", (-2 * math.log(80), -2 * math.log(0.002)))
    sigma = path.sigma(torch.tensor(times[:-1], dtype=torch.float64))
    i = torch.arange(n, dtype=torch.float64) / (n - 1)
    first, last = 80 ** (1 / 7), 0.002 ** (1 / 7)
    torch.testing.assert_close(sigma, (first + i * (last - first)) ** 7)


def test_a_path_whose_noise_has_a_floor_ends_there():
    times = paths.grid(paths.exploding(0.1, 100.0), 4, "log_snr")
    assert len(times) == 5 and times[-1] == 0 and times[-2] > 0.1


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: paths.grid(paths.linear(), 0), "^steps: got 0, expected an integer of at least 1"),
        (lambda: paths.grid(paths.linear(), 4, "u"), "^spacing: got 'u', expected"),
        (
            lambda: paths.linear().ends((2.0, -2.0), torch.zeros(())),
            "^log_snr: got .* a smaller and a larger",
        ),
        (lambda: paths.vp(beta_min=0.0), "^beta_min: got 0.0, expected a positive"),
        (lambda: paths.beside(1.2, torch.zeros(2, 3)), r"^t: got 1.2.* from 0 \(data\) to 1"),
        (lambda: paths.beside(torch.zeros(3), torch.zeros(2, 3)), r"^t: got shape \(3,\)"),
        (lambda: paths.beside(float("nan"), torch.zeros(2, 3)), "^t: got nan"),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
