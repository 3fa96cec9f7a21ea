"""Paths between codes, the neighbourhood of an image, and panels."""

import math

import matplotlib
import matplotlib.pyplot as plt
import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal

from dgm import plots

matplotlib.use("Agg")

T = torch.linspace(0, 1, 9, dtype=torch.float64)[:, None]  # (9, 1)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_slerp_turns_at_constant_speed_on_the_sphere():
    torch.manual_seed(0)
    start, end = torch.randn(2, 5, dtype=torch.float64)
    end = end * start.norm() / end.norm()
    path = plots.slerp(start, end, T)  # (9, 5)
    torch.testing.assert_close(path.norm(dim=1), start.norm().expand(9))
    torch.testing.assert_close(path[0], start)
    torch.testing.assert_close(path[-1], end)
    angles = torch.cosine_similarity(path[1:], path[:-1]).acos()
    whole = torch.cosine_similarity(start, end, dim=0).acos()
    torch.testing.assert_close(angles, (whole / 8).expand(8))


def test_slerp_between_codes_of_one_direction_is_the_straight_line():
    start = torch.tensor([1.0, 2.0], dtype=torch.float64)
    for end in (start, 3 * start):
        torch.testing.assert_close(plots.slerp(start, end, T), torch.lerp(start, end, T))


@pytest.mark.parametrize("end", [[0.0, 0.0], [-2.0, -4.0]])
def test_slerp_refuses_codes_without_one_arc(end):
    with pytest.raises(ValueError, match="start, end: got a zero code or two in opposite"):
        plots.slerp(torch.tensor([1.0, 2.0]), torch.tensor(end), T.float())


def test_half_way_between_draws_the_straight_line_is_nearer_to_the_origin():
    """In 200 dimensions sqrt(200) against sqrt(100): what the docstring says."""
    torch.manual_seed(0)
    start, end = torch.randn(2, 200)
    middle = torch.tensor([[0.5]])
    assert plots.slerp(start, end, middle).norm() == pytest.approx(math.sqrt(200), rel=0.1)
    assert torch.lerp(start, end, middle).norm() == pytest.approx(math.sqrt(100), rel=0.1)


def test_interpolation_follows_its_path():
    seen = []
    decode = lambda z: seen.append(z) or torch.zeros(len(z), 1, 2, 2)  # noqa: E731
    start, end = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 2.0])
    plots.interpolation(decode, start, end, steps=3, path=plots.slerp)
    plots.interpolation(decode, start, end, steps=3)
    torch.testing.assert_close(seen[0][1], torch.tensor([2.0, 2.0]) / 2**0.5)
    torch.testing.assert_close(seen[1][1], torch.tensor([1.0, 1.0]))


class Stripes:
    """Codes of two numbers near (0.9, 0.1): the chances of ink in an image's two pixels."""

    def posterior(self, x):
        mean = torch.tensor([[0.9, 0.1]]).expand(len(x), 2)
        return Independent(Normal(mean, 0.05), 1)

    def likelihood(self, z):
        return Independent(Bernoulli(z.clamp(0, 1)[..., None, None, :]), 3)

    prior = sample = None


def test_neighbours_draws_pixels_at_one_code_and_at_many():
    torch.manual_seed(0)
    ax = plots.neighbours(Stripes(), torch.zeros(1, 1, 2), n=300)
    picture = torch.as_tensor(ax.images[0].get_array())  # (1 + 3 * 2, 1 + 300 * 3)
    one, many, means = (picture[row].reshape(-1)[1:].reshape(300, 3)[:, :2] for row in (1, 3, 5))
    for row in (one, many):
        assert set(row.unique().tolist()) == {0.0, 1.0}  # draws of pixels are black or white
    assert means[:, 0].std() == pytest.approx(0.05, rel=0.4)  # (clipped at 1) codes move the means
    assert abs(many[:, 1].mean() - 0.1) < 4 * math.sqrt(0.1 * 0.9 / 300)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["one z,\npixels drawn", "many z,\npixels drawn", "many z,\nmeans"]


def test_neighbours_row_one_has_a_single_code():
    """Codes as far apart as 0 and 1: all draws at one code agree, those at many do not."""

    class Coin(Stripes):
        def posterior(self, x):
            return Independent(Bernoulli(torch.full((len(x), 2), 0.5)), 1)

    torch.manual_seed(0)
    picture = torch.as_tensor(
        plots.neighbours(Coin(), torch.zeros(1, 1, 2), n=50).images[0].get_array()
    )
    one, many = (picture[row].reshape(-1)[1:].reshape(50, 3)[:, :2] for row in (1, 3))
    assert len(one.unique(dim=0)) == 1
    assert len(many.unique(dim=0)) == 4


def test_panels_stand_side_by_side_under_their_names():
    images = {"data": torch.zeros(4, 1, 3, 3), "samples": torch.ones(9, 1, 3, 3)}
    data, samples = plots.side_by_side(images)
    assert (data.get_title(), samples.get_title()) == ("data", "samples")
    assert data.images[0].get_array().shape == (9, 9)  # 2 x 2 images with gaps
    assert samples.images[0].get_array().shape == (13, 13)  # 3 x 3
    assert data.images[0].get_array().max() == 0
    assert samples.images[0].get_array()[1, 1] == 1
