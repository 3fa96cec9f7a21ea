"""Five predictions of one thing: conversions, weights, preconditioning."""

import pytest
import torch

from dgm import paths
from dgm.predictions import KINDS, from_x0, loss_weight, preconditioning, to_x0

PATHS = [paths.cosine(), paths.linear(), paths.vp(), paths.exploding()]
every_path = pytest.mark.parametrize("path", PATHS, ids=lambda p: p.name)


def scene(path):
    """An image, its noise, times, what is seen, and both factors."""
    torch.manual_seed(0)
    x0, eps = torch.randn(2, 5, 3, dtype=torch.float64)
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    a, s = path.alpha(t)[:, None], path.sigma(t)[:, None]
    return x0, eps, t, a * x0 + s * eps, a, s


@every_path
def test_each_prediction_is_what_its_name_says_and_gives_the_image_back(path):
    x0, eps, t, x, a, s = scene(path)
    slopes = path.d_alpha(t)[:, None], path.d_sigma(t)[:, None]
    values = {
        "x0": x0,
        "eps": eps,
        "v": a * eps - s * x0,
        "score": -eps / s,
        "velocity": slopes[0] * x0 + slopes[1] * eps,
    }
    assert list(values) == list(KINDS)
    for kind, value in values.items():
        torch.testing.assert_close(from_x0(x0, kind, x, path, t), value)
        torch.testing.assert_close(to_x0(value, kind, x, path, t), x0)


@every_path
@pytest.mark.parametrize("kind", KINDS)
def test_the_weight_is_the_ratio_of_the_squared_errors(path, kind):
    x0, _, t, x, _, _ = scene(path)
    wrong = 0.3 + 0.5 * x.tanh()
    error = (from_x0(x0, kind, x, path, t) - from_x0(wrong, kind, x, path, t)).square().sum(1)
    ratio = error / (x0 - wrong).square().sum(1)
    torch.testing.assert_close(loss_weight(kind, path, t), ratio)


def test_known_weights():
    t = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    snr = paths.cosine().log_snr(t).exp()
    torch.testing.assert_close(loss_weight("eps", paths.cosine(), t), snr)
    torch.testing.assert_close(loss_weight("v", paths.cosine(), t), 1 + snr)
    torch.testing.assert_close(loss_weight("velocity", paths.linear(), t), t**-2)


def test_preconditioning_is_the_prediction_of_v_and_its_skip_is_the_best():
    sigma = torch.tensor([0.05, 0.4, 3.0], dtype=torch.float64)
    skip, out, into = preconditioning(sigma)
    x0, eps = torch.tensor([0.7, -1.2], dtype=torch.float64)
    path = paths.exploding(1e-3, 1e3)
    t = path.time_of(-2 * sigma.log())
    x = (x0 + sigma * eps)[:, None]
    v = (eps - sigma * x0) * into  # of size one
    torch.testing.assert_close(skip * x[:, 0] - out * v, x0.expand(3))
    torch.testing.assert_close(to_x0((v / into)[:, None], "v", x, path, t)[:, 0], x0.expand(3))
    # what is left for the network: (1 - c)^2 of the data's variance and c^2 of the noise's
    for data in (0.5, 1.0):
        skip, out, _ = preconditioning(sigma, data)

        def left(c, data=data):
            return (1 - c) ** 2 * data**2 + c**2 * sigma**2

        torch.testing.assert_close(left(skip), out**2)
        assert (left(skip) < left(skip + 0.01)).all() and (left(skip) < left(skip - 0.01)).all()


def test_without_noise_only_the_image_is_known():
    x = torch.ones(2, 3)
    assert torch.equal(to_x0(x / 2, "v", x, paths.cosine(), 0.0), x)
    assert torch.equal(from_x0(x, "x0", x, paths.cosine(), 0.0), x)
    with pytest.raises(ValueError, match="^t: got a time without noise, expected sigma > 0: score"):
        from_x0(x, "score", x, paths.cosine(), torch.tensor([0.5, 0.0]))


def test_an_unknown_prediction():
    with pytest.raises(ValueError, match="^kind: got 'noise', expected one of x0, eps, v"):
        to_x0(torch.ones(2, 3), "noise", torch.ones(2, 3), paths.cosine(), 0.5)
