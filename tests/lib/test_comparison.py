"""The book-wide comparison of models of points in the plane: the score and the picture."""

import math

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal

from dgm import data, evaluate, plots

matplotlib.use("Agg")


@pytest.fixture(scope="module")
def moons():
    return data.load("moons", device="cpu")


class Square:
    """Uniform on [-1, 1]^2: an implicit model, or with its density a tractable one."""

    def sample(self, n):
        return 2 * torch.rand(n, 2) - 1


class DenseSquare(Square):
    def log_prob(self, x):
        return torch.where((x.abs() <= 1).all(1), -math.log(4.0), -math.inf)


def test_the_score_is_the_mean_and_its_standard_error():
    torch.manual_seed(0)
    x = torch.randn(501, 3)
    law = Independent(Normal(torch.zeros(3), 2.0), 1)
    mean, error = evaluate.mean_log_prob(law, x, batch_size=100)
    by_hand = -0.5 * (x.double() / 2).square().sum(1) - 1.5 * math.log(2 * math.pi * 4)
    assert mean == pytest.approx(by_hand.mean().item(), rel=1e-6)
    assert error == pytest.approx(np.std(by_hand.numpy(), ddof=1) / math.sqrt(501), rel=1e-5)
    assert evaluate.mean_log_prob(law, x, batch_size=7) == pytest.approx((mean, error), rel=1e-6)


def test_the_standard_error_is_the_spread_of_the_score_over_test_sets():
    torch.manual_seed(0)
    law = Normal(1.0, 3.0)
    scores = [evaluate.mean_log_prob(law, law.sample((200,))) for _ in range(400)]
    means, errors = torch.tensor(scores).T
    assert means.std().item() == pytest.approx(errors.mean().item(), rel=0.15)  # 4 sigma: 0.14


def test_density_zero_at_one_example_is_minus_infinity():
    mean, error = evaluate.mean_log_prob(DenseSquare(), torch.tensor([[0.0, 0.0], [0.0, 2.0]]))
    assert mean == -math.inf
    assert math.isnan(error)


def test_bad_arguments_of_the_score():
    with pytest.raises(ValueError, match="x: got 1 examples"):
        evaluate.mean_log_prob(Normal(0.0, 1.0), torch.zeros(1))
    with pytest.raises(ValueError, match=r"x: got shape \(5, 2\)"):
        evaluate.mean_log_prob(Normal(0.0, 1.0), torch.zeros(5, 2))


def test_a_panel_for_the_data_and_for_each_model(moons):
    models = {"implicit": Square(), "square": DenseSquare()}
    axes = plots.compare_2d(models, moons, n=50)
    first, implicit, square = axes
    exact = evaluate.mean_log_prob(moons.density, moons.test.x)
    assert first.get_title() == "data\n{:.2f} ± {:.2f} nats".format(*exact)
    assert implicit.get_title() == "implicit\nno density"
    assert square.get_title() == "square\n-∞ nats"
    assert [len(ax.images) for ax in axes] == [1, 0, 1]
    assert [len(ax.collections[0].get_offsets()) for ax in axes] == [50, 50, 50]
    shown = torch.as_tensor(first.collections[0].get_offsets().data, dtype=torch.float32)
    torch.testing.assert_close(shown, moons.test.x[:50])
    plt.close("all")


def test_the_density_lies_where_the_axes_say(moons):
    """All of the shade of a Gaussian at (1, 0.5) lies right of and above the origin."""

    class Corner:
        def sample(self, n):
            return torch.tensor([1.0, 0.5]).expand(n, 2)

        def log_prob(self, x):
            return Independent(Normal(torch.tensor([1.0, 0.5]), 0.1), 1).log_prob(x)

    ax = plots.compare_2d({"corner": Corner()}, moons)[1]
    image = np.asarray(ax.images[0].get_array())  # row 0 at the bottom: origin="lower"
    assert ax.images[0].origin == "lower"
    row, column = np.unravel_index(image.argmax(), image.shape)
    left, right, bottom, top = ax.images[0].get_extent()
    assert left + (right - left) * column / 159 == pytest.approx(1.0, abs=0.03)
    assert bottom + (top - bottom) * row / 159 == pytest.approx(0.5, abs=0.03)
    plt.close("all")


def test_own_axes_and_bad_arguments_of_the_picture(moons):
    _, axes = plt.subplots(1, 3)
    assert len(plots.compare_2d({"square": Square()}, moons, ax=axes)) == 3
    with pytest.raises(ValueError, match="ax: got 1 axes, expected 2"):
        plots.compare_2d({"square": Square()}, moons, ax=axes[:1])
    with pytest.raises(ValueError, match="data: got 'digits'"):
        plots.compare_2d({}, data.load("digits", device="cpu"))
    plt.close("all")
