"""The colours of plots on the grounds of both themes, for all eyes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from places import BOOK

from dgm.plots import COLORS, use_style

CSS = (BOOK / "_assets" / "course.css").read_text(encoding="utf-8")
GROUNDS = {"light": "#ffffff", "dark": "#12171e"}

# What people see who lack one kind of cone, of linear RGB (Machado, Oliveira and Fernandes, 2009)
EYES = {
    "all cones": np.eye(3),
    "no long": [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    "no middle": [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    "no short": [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
}
CONES = [[0.4122, 0.5363, 0.0514], [0.2119, 0.6807, 0.1074], [0.0883, 0.2817, 0.6300]]
OPPONENT = [[0.2105, 0.7936, -0.0041], [1.9780, -2.4286, 0.4506], [0.0259, 0.7828, -0.8087]]


def in_theme(theme: str) -> list[str]:
    block = re.search(rf'html\[data-theme="{theme}"\] {{(.*?)}}', CSS, re.DOTALL)[1]
    return [re.search(rf"--plot-{i}: (#\w+);", block)[1] for i in range(1, 11)]


def linear(colours: list[str]) -> np.ndarray:
    """(n, 3), proportional to light."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colours])
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def luminance(colours: list[str]) -> np.ndarray:
    return linear(colours) @ [0.2126, 0.7152, 0.0722]


def least_difference(colours: list[str], eye: str) -> float:
    """Of any two, in Oklab (Ottosson, 2020), where black and white are 1 apart."""
    seen = (linear(colours) @ np.transpose(EYES[eye])).clip(0, 1)
    lab = np.cbrt(seen @ np.transpose(CONES)) @ np.transpose(OPPONENT)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    return apart[np.triu_indices(len(lab), 1)].min()


@pytest.mark.parametrize("theme", GROUNDS)
def test_plot_colours_stand_out(theme):
    light, dark = luminance(in_theme(theme)) + 0.05, luminance([GROUNDS[theme]]) + 0.05
    assert np.maximum(light / dark, dark / light).min() >= 3


@pytest.mark.parametrize("theme", GROUNDS)
@pytest.mark.parametrize("eye", EYES)
def test_plot_colours_differ(theme, eye):
    """For Paul Tol's muted scheme the least differences are 0.012 of all and 0.095 of four."""
    assert least_difference(in_theme(theme), eye) > 0.07
    assert least_difference(in_theme(theme)[:4], eye) > 0.13


def test_the_grounds_are_those_of_the_style_sheet():
    assert f"--pst-color-background: {GROUNDS['dark']};" in CSS


def test_the_page_and_the_library_have_the_same_colours():
    import matplotlib as mpl

    assert in_theme("light") == list(COLORS)
    with mpl.rc_context():
        use_style()
        assert mpl.rcParams["axes.prop_cycle"].by_key()["color"] == list(COLORS[:4])
