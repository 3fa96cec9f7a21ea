"""Interactive figures: the page's arithmetic against torch (under node), and what Python sees."""

import io
import json
import os
import re
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.lib.figures_in_node import answers_to
from torch import nn
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dgm import figures, heads, nets, plots, toys
from dgm.energies import log_density_and_score
from dgm.evaluate import nearest_distance
from dgm.figures import (
    _distribution_1d,
    _energies,
    _exact,
    _flow_1d,
    _frames,
    _latent_plane,
    _network,
)
from dgm.figures._formats import to_base64
from dgm.models import PCA, Autoencoder
from dgm.samplers.langevin import Place, mala_log_acceptance

CODES = torch.tensor([[0.0, 0.0], [1.5, -2.0], [-3.0, 0.5], [40.0, 40.0]])

# ---------------------------------------------------------------- the page's arithmetic


def layer(*modules) -> nn.Sequential:
    """The layers between a first linear layer and nothing: their output is what is compared."""
    return nn.Sequential(nn.Linear(2, 12), *modules)


def image_layer(module) -> nn.Sequential:
    """A layer of images of an odd, oblong shape."""
    return nn.Sequential(nn.Linear(2, 3 * 4 * 5), nn.Unflatten(-1, (3, 4, 5)), module)


NETWORKS = {
    "linear": layer(nn.Linear(12, 7)),
    "linear without bias": layer(nn.Linear(12, 7, bias=False)),
    "relu": layer(nn.ReLU()),
    "leaky relu": layer(nn.LeakyReLU(0.2)),
    "tanh": layer(nn.Tanh()),
    "sigmoid": layer(nn.Sigmoid()),
    "softplus": layer(nn.Softplus()),
    "softplus, beta": layer(nn.Softplus(beta=3.0)),
    "silu": layer(nn.SiLU()),
    "layer norm": layer(nn.LayerNorm(12)),
    "group norm": image_layer(nn.GroupNorm(3, 3)),
    "group norm, groups": layer(nn.Unflatten(-1, (6, 2, 1)), nn.GroupNorm(2, 6)),
    "pixel shuffle": layer(nn.Unflatten(-1, (12, 1, 1)), nn.PixelShuffle(2)),
    "pixel unshuffle": layer(nn.Unflatten(-1, (1, 2, 6)), nn.PixelUnshuffle(2)),
    "flatten, identity": layer(nn.Unflatten(-1, (3, 4)), nn.Identity(), nn.Flatten()),
    "convolution": image_layer(nn.Conv2d(3, 4, 3, padding=1)),
    "convolution, strides": image_layer(nn.Conv2d(3, 4, (2, 3), stride=(1, 2), padding=(0, 1))),
    "transposed": image_layer(nn.ConvTranspose2d(3, 4, 3, 2, 1, output_padding=(1, 0))),
    "transposed, strides": image_layer(nn.ConvTranspose2d(3, 2, (2, 4), (3, 1), (1, 2))),
    "mlp": Autoencoder.mlp((1, 8, 8)),
    "linear autoencoder": Autoencoder.linear((1, 8, 8)),
    "conv, digits": Autoencoder.conv((1, 8, 8), width=4),
    "conv, odd and coloured": Autoencoder.conv((3, 9, 13), width=2),
    "conv, mnist": Autoencoder.conv((1, 28, 28), width=4),
    "Bernoulli head": nn.Sequential(nets.mlp(2, 9), heads.Bernoulli(9, (1, 3, 4))),
    "Normal head": nn.Sequential(nets.mlp(2, 9), heads.Normal(9, (1, 3, 4))),
    "PCA": PCA((1, 4, 5)).fit(torch.randn(40, 1, 4, 5)),
}

GRID = torch.linspace(-12, 12, 241, dtype=torch.float64)
POSTERIOR = Normal(*torch.tensor([0.7, 1.3], dtype=torch.float64))
SHIFTED = POSTERIOR.log_prob(GRID) - 2.5  # log p(x) = -2.5, posterior above
HALVED = SHIFTED.where(GRID > 0, -torch.inf)
PRIOR = Normal(*torch.tensor([0.0, 1.0], dtype=torch.float64))
ABOUT = Normal(1.2, 0.5)  # p(x | z) = N(x; z^2 / 2, 0.5^2) at x = 1.2: a posterior with two modes


def log_prior(z):
    return PRIOR.log_prob(z)


def log_joint(z):
    return log_prior(z) + ABOUT.log_prob(z**2 / 2)


BOUNDS = [  # log p(x, z), log p(z), mean and scale of q
    (SHIFTED, None, 0.7, 1.3),
    (SHIFTED, None, -2.0, 0.4),
    (SHIFTED, None, 0.0, 0.15),
    (HALVED, None, 6.0, 0.5),
    (log_joint(GRID), log_prior(GRID), 1.4, 0.3),
    (log_joint(GRID), log_prior(GRID), 0.0, 1.0),
    (log_joint(GRID), log_prior(GRID), -1.0, 0.2),
]
CURVES = [_flow_1d.START, [[-1.5, -2.0], [-0.1, -1.4], [0.2, 1.1], [2.0, 1.9]], [[0, 0], [1, 3]]]
PLACES = torch.linspace(-3.1, 3.3, 9, dtype=torch.float64)

TOYS = {"ring": toys.ring(modes=5, device="cpu"), "moons": toys.moons(points=4, device="cpu")}
LEVELS, NOISES = [0.0, 0.03, 0.7], [0.0, 0.5, 1.0, 2.0]
POINTS = torch.tensor([[0.9, 0.1], [0.2, -1.1], [-3.0, 0.5]])
MOVES = torch.tensor([[[0.9, 0.1], [1.0, 0.0]], [[0.2, -1.1], [0.5, -0.8]]])  # from x to x'
# one Gaussian of variance 1 / 4: Langevin at eta = 1 / 2 has the variance 1 / 4 / (1 - 1 / 2)
NARROW = toys.ring(modes=1, radius=1e-3, sigma=0.5, device="cpu")
CROWDS = [  # step, noise, adjusted, variance
    (0.5, 1.0, False, 0.5),
    (0.5, 1.0, True, 0.25),
    (0.5, 1.5, True, 0.5625),  # at the temperature 2.25
    (0.05, 0.0, False, 0.0),
]


def as_places(points: torch.Tensor) -> list[dict]:
    energy, score = _energies.energy_and_score(_exact.mixture_spec(TOYS["ring"], (2,)), points)
    rows = zip(points.tolist(), energy.tolist(), score.tolist(), strict=True)
    return [{"x": x, "energy": e, "score": s} for x, e, s in rows]


def energy_cases():
    for toy in TOYS.values():
        spec = figures.score_field(toy).spec  # has all that is asked
        rest = {"points": POINTS.tolist(), "sigmas": LEVELS, "noises": NOISES}
        yield {"run": "energies", "spec": spec, **rest}
    moves = [as_places(move) for move in MOVES]
    for noise in (1.0, 0.5):
        yield {"run": "acceptance", "moves": moves, "step": 0.1, "noise": noise}
    start = torch.randn(2000, 2, generator=torch.Generator().manual_seed(1)).tolist()
    spec = _exact.mixture_spec(NARROW, (2,)) | {"start": start}
    for step, noise, adjusted, _ in CROWDS:
        rule = {"step": step, "noise": noise, "adjusted": adjusted, "steps": 60}
        yield {"run": "crowd", "spec": spec, **rule}


def cases() -> list[dict]:
    found = []
    for network in NETWORKS.values():
        for precision in ("float16", "int8"):
            packed = _network.pack(network, precision)
            spec = {"layers": packed.layers, "weights": to_base64(packed.weights)}
            found.append({"run": "network", "network": spec, "codes": CODES.tolist()})
    step = float(GRID[1] - GRID[0])
    for joint, prior, mean, scale in BOUNDS:
        single = [None if v is None else v.numpy().astype("<f4").tobytes() for v in (joint, prior)]
        values = [None if v is None else to_base64(v) for v in single]
        q = {"log_joint": values[0], "log_prior": values[1], "mean": mean, "scale": scale}
        found.append({"run": "bound", "low": float(GRID[0]), "step": step, **q})
    spec = {"reach": _flow_1d.REACH, "cells": _flow_1d.CELLS, "modes": 1.5, "sigma": 0.35}
    for knots in CURVES:
        found.append({"run": "flow", "spec": spec, "knots": knots, "z": PLACES.tolist()})
    return [*found, *energy_cases()]


@pytest.fixture(scope="module")
def answers() -> list:
    """What figures.js makes of all cases."""
    return answers_to(cases())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("precision", ["float16", "int8"])
@torch.no_grad()
def test_the_page_computes_what_torch_computes(answers, name, precision):
    packed = _network.pack(NETWORKS[name], precision)
    found = answers[2 * list(NETWORKS).index(name) + (precision == "int8")]
    wanted = packed.rounded(CODES).flatten(1)
    torch.testing.assert_close(torch.tensor(found), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_rounding_changes_little(name):
    exact = _network.decode(NETWORKS[name], CODES[:3]).flatten(1)
    scale = exact.abs().max()
    for precision, least in (("float16", 1e-3), ("int8", 2e-2)):
        rounded = _network.pack(NETWORKS[name], precision).rounded(CODES[:3]).flatten(1)
        assert (rounded - exact).abs().max() < least * scale


def test_packing_leaves_the_decoder_as_it_was():
    model = Autoencoder.mlp((1, 8, 8)).double()
    before = [p.clone() for p in model.parameters()]
    _network.pack(model, "int8")
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert before[0].dtype == torch.float64


@pytest.mark.parametrize("i", range(len(BOUNDS)))
def test_the_page_integrates_as_torch_does(answers, i):
    joint, prior, mean, scale = BOUNDS[i]
    found = answers[2 * len(NETWORKS) + i]
    for single in (joint.float().double(), joint):  # the page has float32
        wanted = _distribution_1d.bound(GRID, single, mean, scale, prior)
        for name in ("elbo", "kl", "log_p") + ("reconstruction", "kl_prior") * (prior is not None):
            value = found[name] if found[name] is not None else np.inf  # JSON has no infinity
            want = abs(getattr(wanted, name)) if found[name] is None else getattr(wanted, name)
            assert value == pytest.approx(want, abs=2e-5), name
    np.testing.assert_allclose(found["q"], wanted.q, atol=1e-12)
    np.testing.assert_allclose(found["posterior"], wanted.posterior, atol=1e-6)


def test_the_bound_is_right_where_it_is_known():
    b = _distribution_1d.bound(GRID, SHIFTED, -2.0, 0.4)
    kl = torch.distributions.kl_divergence(Normal(-2.0, 0.4), POSTERIOR)
    assert (b.log_p, b.kl) == pytest.approx((-2.5, float(kl)), abs=1e-6)
    assert b.elbo + b.kl == pytest.approx(b.log_p, abs=1e-9)
    nowhere = _distribution_1d.bound(GRID, HALVED, -3.0, 0.5)  # q where the posterior is zero
    assert (nowhere.elbo, nowhere.kl) == (-np.inf, np.inf)


@pytest.mark.parametrize("i", [i for i, case in enumerate(BOUNDS) if case[1] is not None])
def test_the_page_agrees_with_trapezoids_and_closed_forms(answers, i):
    """Other integrals of the same functions: on a finer grid, by torch's rule, with torch's KL."""
    *_, mean, scale = BOUNDS[i]
    found = answers[2 * len(NETWORKS) + i]
    z = torch.linspace(-9, 9, 5001, dtype=torch.float64)
    q = Normal(*torch.tensor([mean, scale], dtype=torch.float64))
    weight, log_p = q.log_prob(z).exp(), torch.trapezoid(log_joint(z).exp(), z).log()
    posterior = log_joint(z) - log_p
    second_moment, fourth_moment = (
        mean**2 + scale**2,
        mean**4 + 6 * (mean * scale) ** 2 + 3 * scale**4,
    )
    squared_error = 1.2**2 - 1.2 * second_moment + fourth_moment / 4  # E_q[(x - z^2 / 2)^2]
    wanted = {
        "log_p": log_p,
        "kl": torch.trapezoid(weight * (q.log_prob(z) - posterior), z),
        "elbo": torch.trapezoid(weight * log_joint(z), z) + q.entropy(),
        "reconstruction": -squared_error / (2 * 0.5**2) - np.log(0.5) - 0.5 * np.log(2 * np.pi),
        "kl_prior": torch.distributions.kl_divergence(q, PRIOR),
    }
    assert {name: found[name] for name in wanted} == pytest.approx(
        {name: float(value) for name, value in wanted.items()}, abs=2e-5
    )
    assert found["elbo"] + found["kl"] == pytest.approx(found["log_p"], abs=1e-9)
    assert found["reconstruction"] - found["kl_prior"] == pytest.approx(found["elbo"], abs=1e-9)


# ---------------------------------------------------------------- the latent plane


@pytest.fixture(scope="module")
def plane():
    torch.manual_seed(0)
    codes, labels = torch.randn(300, 2), torch.arange(300) % 3
    return figures.latent_plane(
        Autoencoder.mlp((1, 8, 8)), codes, labels, classes=["cat", "dog", "</script>"], reach=0.2
    )


def test_the_stated_error_is_the_error():
    torch.manual_seed(0)
    decoder, codes = Autoencoder.mlp((1, 8, 8)).decoder, torch.randn(50, 2)
    labels = torch.zeros(50).long()
    for limit, precision in ((300_000, "float16"), (60_000, "int8")):
        fig = figures.latent_plane(decoder, codes, labels, limit=limit)
        text = " ".join(fig.spec["details"])
        stated = float(re.search(r"by at most ([\d.e-]+),", text)[1])
        low, side = torch.tensor(fig.spec["low"]), fig.spec["side"]
        t = torch.linspace(0, 1, 21)
        z = low + side * torch.cartesian_prod(t, t)
        with torch.no_grad():
            packed = _network.pack(decoder, precision)
            error = (packed.rounded(z) - decoder(z)).abs().max().item()
        assert precision in text and error <= stated <= 2 * error and stated <= 0.05


def test_z_can_be_read_set_and_observed_and_stays_in_the_plane(plane):
    seen = []
    plane.observe(lambda change: seen.append(change.new), "z")
    plane.z = (0.25, -0.5)
    assert plane.z == [0.25, -0.5] == seen[-1]
    plane.z = [1e9, 0]
    assert plane.z == [plane.spec["low"][0] + plane.spec["side"], 0.0]
    with pytest.raises(Exception, match="z: got .*finite"):
        plane.z = [float("nan"), 0]


def test_many_codes_are_thinned_and_distances_hardly_change():
    torch.manual_seed(0)
    codes = torch.randn(20_000, 2)
    low, side = _latent_plane._box(codes)
    kept = _latent_plane._thin((codes - low) / side)
    assert len(kept) < 16_000 and len(np.unique(kept)) == len(kept)
    z = low + side * torch.rand(500, 2)
    off = nearest_distance(z, codes[kept]) - nearest_distance(z, codes)
    assert off.min() >= 0 and off.max() < 1.5 * side / _latent_plane.CELLS


def test_embedded_codes_are_the_codes(plane):
    import base64

    raw = np.frombuffer(base64.b64decode(plane.spec["codes"]), "<u2").reshape(-1, 2)
    z = torch.tensor(plane.spec["low"]) + plane.spec["side"] * torch.tensor(raw / 65535)
    torch.manual_seed(0)
    assert nearest_distance(torch.randn(300, 2), z.float()).max() < 1e-4 * plane.spec["side"]


def test_class_colours_can_be_read_on_both_grounds():
    for colour in _latent_plane.plots.COLORS:
        for ground in _latent_plane.GROUNDS.values():
            rgb = [
                np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)])
                for c in (_latent_plane._readable(colour, ground), ground)
            ]
            dark, light = sorted(map(_latent_plane._luminance, rgb))
            assert (light + 0.05) / (dark + 0.05) >= 4.49
    css = resources.files(figures).joinpath("figures.css").read_text()
    assert all(f"--dgm-ground: {ground}" in css for ground in _latent_plane.GROUNDS.values())


# ---------------------------------------------------------------- frames


def grey(shade):
    return torch.full((8, 8), float(shade))


def test_frames_are_made_beforehand_and_on_demand():
    fig = figures.frames(grey, shade=[0, 0.5, 1.0], alt="shade {shade}")
    assert fig.spec["alts"] == ["shade 0", "shade 0.5", "shade 1.0"]
    fig.values = {"shade": 0.5}
    assert fig.picture == {}  # it is there already
    fig.values = {"shade": 0.25}
    assert (fig.picture["values"], fig.picture["alt"]) == ({"shade": 0.25}, "shade 0.25")
    with pytest.raises(Exception, match="values: got"):
        fig.values = {"hue": 1}


def test_two_parameters_are_stored_row_by_row():
    fig = figures.frames(
        lambda a, b: grey(a), a=[0.0, 1.0], b=["left", "right"], alt=lambda a, b: f"{a} {b}"
    )
    assert fig.spec["alts"] == ["0.0 left", "0.0 right", "1.0 left", "1.0 right"]
    assert fig.spec["pictures"][0] == fig.spec["pictures"][1] != fig.spec["pictures"][2]


def test_grey_images_are_ink_and_bytes_are_taken_as_they_are():
    for given in (np.array([[0.0, 1.0]]), np.array([[0, 255]], np.uint8)):
        assert [p[0] for p in np.asarray(_frames._image(given)[0])[0]] == [255, 0]
    colour = np.zeros((1, 1, 3), np.uint8) + np.array([10, 20, 30], np.uint8)
    assert np.asarray(_frames._image(colour)[0]).ravel().tolist() == [10, 20, 30]


def test_matplotlib_figures_are_closed_and_compact():
    import matplotlib.pyplot as plt

    def curve(power):
        _, ax = plt.subplots()
        ax.plot(np.linspace(0, 1) ** power)
        return ax

    before = plt.get_fignums()
    fig = figures.frames(curve, power=[1, 2, 3])
    assert plt.get_fignums() == before
    assert max(map(len, fig.spec["pictures"])) < 20_000


@pytest.mark.parametrize("drawing, papers", [("curve", 0), ("shade", 0), ("images", 1)])
def test_images_in_a_plot_keep_their_paper(drawing, papers):
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap

    def draw(power):
        _, (left, right) = plt.subplots(1, 2)
        left.plot(np.linspace(0, 1) ** power)
        if drawing == "shade":
            see_through = LinearSegmentedColormap.from_list("shade", ["#2a7fc000", "#2a7fc0"])
            right.imshow(np.eye(3), cmap=see_through)
        elif drawing == "images":
            plots.grid(torch.rand(4, 1, 8, 8), ax=right)
        return left

    paper = figures.frames(draw, power=[1, 2]).spec["paper"]
    assert len(paper) == papers
    for left, top, width, height in paper:  # in the right half
        assert 50 < left < left + width <= 100 and 0 <= top < top + height <= 100
    assert figures.frames(grey, shade=[0, 1]).spec["paper"] is None


def test_pictures_are_compressed_with_loss_only_if_they_must_be():
    noise = np.random.default_rng(0).random((100, 100))
    images = [_frames._image(noise)[0]]
    assert _frames._compressed(images, limit=400_000)[1] == {"lossless": True}
    blobs, encoding = _frames._compressed(images, limit=10_000)
    assert encoding == {"lossless": True, "levels": 16}
    kept = np.asarray(Image.open(io.BytesIO(blobs[0])).convert("RGB"))
    change = np.abs(kept.astype(int) - np.asarray(images[0]))
    assert (
        len(np.unique(kept)) == 16 and change.max() <= 9 and {0, 255} <= set(kept.ravel().tolist())
    )
    x = np.linspace(0, 1, 100)
    soft = (
        np.stack([np.outer(x, x), np.outer(1 - x, x), np.outer(x, 1 - x)], 2) + noise[..., None] / 9
    )
    assert _frames._compressed([_frames._image(soft)[0]], limit=6_000)[1] == {"quality": 80}


def test_labels_stand_beside_the_sliders_and_numpy_numbers_are_numbers():
    stops = [np.int64(10), np.int64(100)]
    fig = figures.frames(grey, shade=[0.0, 1.0], labels={"shade": "ink"})
    assert [p["label"] for p in fig.spec["parameters"]] == ["ink"]
    fig = figures.frames(lambda phi, n: grey(n / 100), phi=range(2), n=stops)
    assert fig.spec["alts"][-1] == "phi = 1, n = 100" and json.dumps(fig.spec)
    assert [p["label"] for p in fig.spec["parameters"]] == ["phi", "n"]


def test_two_parameters_are_made_on_demand_and_found_again():
    made = []

    def render(a, b):
        made.append((a, b))
        return grey(a * b)

    fig = figures.frames(render, a=[0.0, 1.0], b=[0.5, 1.0], alt="{a} {b}")
    assert made == [(0.0, 0.5), (0.0, 1.0), (1.0, 0.5), (1.0, 1.0)]
    fig.values = {"b": 1.0, "a": 1.0}
    assert len(made) == 4 and fig.still()[1] == "1.0 1.0"
    fig.values = {"a": 1.0, "b": 0.75}
    assert made[-1] == (1.0, 0.75) and fig.picture["alt"] == "1.0 0.75"


# ---------------------------------------------------------------- all of them


@pytest.mark.parametrize("i", range(len(CURVES)))
def test_the_page_bends_as_torch_does(answers, i):
    found = answers[2 * len(NETWORKS) + len(BOUNDS) + i]
    wanted = _flow_1d.numbers(CURVES[i], 1.5, 0.35)
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-6), name  # Normal has float32
    x, log_slope = _flow_1d.curve(CURVES[i], PLACES)
    np.testing.assert_allclose(found["curve"], torch.stack([x, log_slope.exp()], 1), rtol=1e-9)
    rise = _flow_1d.curve(CURVES[i], PLACES + 1e-6)[0] - x
    np.testing.assert_allclose(rise / 1e-6, log_slope.exp(), rtol=1e-3)  # f' is the slope of f


def test_a_curve_keeps_its_mass_and_a_straight_one_its_shape():
    fig = figures.flow_1d(modes=1.5, sigma=0.35)
    assert fig.numbers["mass"] == pytest.approx(1, abs=1e-9)
    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    log_t = torch.logaddexp(Normal(-1.5, 0.35).log_prob(z), Normal(1.5, 0.35).log_prob(z))
    log_t = log_t - np.log(2)
    kl = torch.trapezoid(log_t.exp() * (log_t - Normal(0.0, 1.0).log_prob(z)), z).item()
    assert fig.numbers["kl"] == pytest.approx(kl, abs=1e-4)
    fig.knots = [[-2.0, -6.0], [0.0, 0.0], [2.0, 6.0]]
    assert fig.numbers["steepest"] == pytest.approx(3)
    assert fig.numbers["mass"] == pytest.approx(1, abs=1e-3)
    with pytest.raises(Exception, match="knots: got"):
        fig.knots = [[0.0, 0.0], [1.0, -1.0]]


FIRST_ENERGY = -(len(TOYS) + 2 + len(CROWDS))  # where the answers of energy_cases begin


@pytest.mark.parametrize("i", range(len(TOYS)))
def test_the_page_has_the_energies_and_scores_of_torch(answers, i):
    toy, found = list(TOYS.values())[i], answers[FIRST_ENERGY + i]
    noised, fig = toys.Noised(toy), figures.score_field(toy)
    for sigma, values, told in zip(LEVELS, found["values"], found["told"], strict=True):
        energy, *score = torch.tensor(values, dtype=torch.float64).T
        assert torch.allclose(-energy, noised.log_prob(POINTS, sigma).double(), rtol=1e-4)
        wanted = noised.score(POINTS, sigma).double()
        assert torch.allclose(torch.stack(score, 1), wanted, rtol=1e-4, atol=1e-4)
        numbers = _energies.told(fig.spec, sigma)
        assert told == pytest.approx(numbers["told"], abs=1e-9)
    for noise, energy in zip(NOISES, found["energies"], strict=True):
        assert energy == pytest.approx(_energies.mean_energy(fig.spec, noise)["energy"], abs=1e-9)


@pytest.mark.parametrize("i, noise", enumerate([1.0, 0.5]))
def test_the_page_refuses_steps_as_mala_does(answers, i, noise):
    """At another temperature it is that of p^(1 / T), with a step that is T times as long."""
    found = torch.tensor(answers[FIRST_ENERGY + len(TOYS) + i])
    here, there = (
        Place(x, log_p / noise**2, score / noise**2)
        for x in (MOVES[:, 0], MOVES[:, 1])
        for log_p, score in [log_density_and_score(TOYS["ring"], x)]
    )
    wanted = mala_log_acceptance(here, there, 0.1 * noise**2)
    assert torch.allclose(found, wanted, rtol=1e-3) and wanted.abs().min() > 0.1


@pytest.mark.parametrize("i", range(len(CROWDS)))
def test_walkers_have_the_variance_of_theory(answers, i):
    step, _, adjusted, variance = CROWDS[i]
    found = answers[FIRST_ENERGY + len(TOYS) + 2 + i]
    x = torch.tensor(found["x"])
    # of 4,000 coordinates the variance is off by 2 % (one standard error)
    assert x.var().item() == pytest.approx(variance, rel=0.08, abs=1e-3)
    share = round(found["accepted"], 9)
    assert 0.5 < share < 0.99 if adjusted else share == 1


def test_the_exact_numbers_of_energies_are_those_of_draws():
    torch.manual_seed(0)
    density = toys.ring(sigma=0.15, device="cpu")
    x, fig = density.sample((20_000,)), figures.walkers(density, step=0.01)
    energy = -density.log_prob(x)
    error = 4 * energy.std().item() / len(x) ** 0.5
    assert fig.numbers["energy"] == pytest.approx(energy.mean().item(), abs=error)
    field = figures.score_field(density, sigma=0.4)
    noised = toys.Noised(density)
    told = (0.4 * noised.score(x + 0.4 * torch.randn_like(x), 0.4)).square().sum(1)
    error = 4 * told.std().item() / len(x) ** 0.5
    assert field.numbers["told"] == pytest.approx(told.mean().item(), abs=error)
    assert sum(field.numbers.values()) == pytest.approx(2)
    fig.noise, at_mode = 0.0, -density.log_prob(torch.tensor([1.0, 0.0])).item()
    assert fig.numbers["energy"] == pytest.approx(at_mode, abs=0.02)


def test_sliders_of_energies_hold_their_values():
    fig, field = figures.walkers(), figures.score_field()
    fig.step, fig.noise, fig.adjusted, field.sigma = 1e9, -1.0, True, 0.0
    assert (fig.step, fig.noise, field.sigma) == (fig.spec["steps"][1], 0.0, 0.03)
    for figure, name in ((fig, "step"), (fig, "noise"), (field, "sigma")):
        with pytest.raises(Exception, match=f"{name}: got nan"):
            setattr(figure, name, float("nan"))


def one_of_each():
    yield figures.walkers(caption="a < b & c")
    yield figures.score_field(caption="a < b & c")
    yield figures.flow_1d(caption="a < b & c")
    pca = PCA((1, 4, 4)).fit(torch.rand(30, 1, 4, 4))
    codes = pca.encode(torch.rand(30, 1, 4, 4))
    yield figures.latent_plane(pca, codes, torch.arange(30) % 10, caption="a < b & c")
    yield figures.frames(grey, shade=[0, 1], caption="a < b & c")
    yield figures.distribution_1d(GRID, SHIFTED, caption="a < b & c")
    yield figures.distribution_1d(GRID, log_joint(GRID), log_prior(GRID), caption="a < b & c")


def test_both_faces_are_offered_and_the_page_needs_nothing_else(plane):
    for fig in [plane, *one_of_each()]:
        bundle, _ = fig._repr_mimebundle_()
        assert "application/vnd.jupyter.widget-view+json" in bundle
        html = bundle["text/html"]
        foreign = html.replace("http://www.w3.org/2000/svg", "")
        assert "http" not in foreign and not re.search(r"\bsrc=\"(?!data:)|\bimport\b|url\(", html)
        assert html.count("</script>") == 2  # none is ended early by a class named so
        assert fig.caption == "" or "a &lt; b &amp; c" in html
        assert len(repr(fig)) < 200


def test_numbers_of_the_distribution_follow_its_sliders():
    fig = figures.distribution_1d(GRID, SHIFTED, start=(0.7, 1.3))
    assert fig.numbers["kl"] == pytest.approx(0, abs=1e-9)
    assert list(fig.numbers) == ["elbo", "kl", "log_p"]
    seen = []
    fig.observe(lambda change: seen.append(change.name), ["mean", "scale"])
    fig.mean, fig.scale = 1.7, 1.0
    assert fig.numbers["elbo"] < -2.5 and seen == ["mean", "scale"]
    fig.mean, fig.scale = 100.0, -1.0
    assert (fig.mean, fig.scale) == (fig.spec["mean"][1], fig.spec["scale"][0])
    with pytest.raises(Exception, match="scale: got nan"):
        fig.scale = float("nan")


def test_the_bars_have_room_for_every_reconstruction():
    fig = figures.distribution_1d(GRID, log_joint(GRID), log_prior(GRID), scale=(0.15, 1.0))
    for fig.mean in (-1.5, 1.5):
        for fig.scale in (0.15, 1.0):
            assert fig.numbers["reconstruction"] < fig.spec["axis"][1]
    fig.scale = 0.15
    assert fig.numbers["log_p"] < fig.numbers["reconstruction"]  # it may well be more
    assert "= ELBO" in fig.still()[1]


def test_importing_the_library_imports_nothing_heavy():
    heavy = {"anywidget", "ipywidgets", "matplotlib", "PIL", "traitlets", "IPython"}
    heavy |= {"torchvision", "sklearn"}
    code = f"import sys, dgm.data, dgm.figures; print({heavy} & set(sys.modules))"
    path = {"PYTHONPATH": str(Path(figures.__file__).parents[2])}
    command = [sys.executable, "-c", code]
    assert subprocess.check_output(command, text=True, env=os.environ | path).strip() == "set()"


OBLONG = MixtureSameFamily(
    Categorical(torch.ones(1)),
    Independent(Normal(torch.zeros(1, 2), torch.tensor([[1.0, 2.0]])), 1),
)
C, L = torch.randn(20, 2), torch.zeros(20).long()
AE = Autoencoder.mlp((1, 8, 8))
WRONG = {
    "codes: got shape .20, 3.": lambda: figures.latent_plane(AE, torch.randn(20, 3), L),
    "codes: got 0": lambda: figures.latent_plane(AE, C[:0], L[:0]),
    "labels: got shape": lambda: figures.latent_plane(AE, C, L[:5]),
    "classes: got 1": lambda: figures.latent_plane(AE, C, L + 1, classes=["a"]),
    "reach: got -1": lambda: figures.latent_plane(AE, C, L, reach=-1),
    "z: got": lambda: figures.latent_plane(AE, C, L, z=(1.0,)),
    "decoder: got the layer GELU.*supported are Linear": lambda: figures.latent_plane(
        nn.Sequential(nn.Linear(2, 64), nn.GELU()), C, L, shape=(1, 8, 8)
    ),
    "decoder: got the layer Conv2d": lambda: figures.latent_plane(
        image_layer(nn.Conv2d(3, 3, 3, groups=3)), C, L
    ),
    "decoder: expected one that takes codes": lambda: figures.latent_plane(
        Autoencoder.mlp((1, 8, 8), latent=3), C, L
    ),
    "shape: got .64,.": lambda: figures.latent_plane(nn.Linear(2, 64), C, L),
    "shape: got .1, 9, 9.": lambda: figures.latent_plane(nn.Linear(2, 64), C, L, shape=(1, 9, 9)),
    "limit: the figure's data take": lambda: figures.latent_plane(
        nn.Sequential(nn.Linear(2, 600), nn.Linear(600, 784)), C, L, shape=(1, 28, 28)
    ),
    "values: got the parameters ..,": lambda: figures.frames(grey),
    "values: got 201 pictures, expected at most 200": lambda: figures.frames(
        grey, shade=range(201)
    ),
    "shade: got ..,": lambda: figures.frames(grey, shade=[]),
    "shade: got .*none twice": lambda: figures.frames(grey, shade=[1, 1]),
    "shade: got .*numbers or strings": lambda: figures.frames(grey, shade=[None]),
    "shade: got .*finite": lambda: figures.frames(grey, shade=[0, np.inf]),
    "shade: got 5, expected a list": lambda: figures.frames(grey, shade=5),
    "values: got the parameters .'a', 'b', 'c'.,": lambda: figures.frames(
        grey, a=[1], b=[1], c=[1]
    ),
    "values: got 225 pictures": lambda: figures.frames(grey, a=range(15), b=range(15)),
    "labels: got .*expected labels of .'shade'.": lambda: figures.frames(
        grey, shade=[1], labels={"hue": "h"}
    ),
    "alt: got .*expected a text with {shade}": lambda: figures.frames(grey, shade=[1], alt="{hue}"),
    "render: got pictures of 2 sizes": lambda: figures.frames(
        lambda n: torch.zeros(n, n), n=[2, 3]
    ),
    "render: got str": lambda: figures.frames(str, object=[1]),
    "limit: 9 pictures of about": lambda: figures.frames(
        lambda seed: np.random.default_rng(seed).random((300, 300)), seed=range(9), limit=50_000
    ),
    "grid, log_joint: got": lambda: figures.distribution_1d(GRID, SHIFTED[1:]),
    "grid: expected rising, evenly": lambda: figures.distribution_1d(GRID**3, SHIFTED),
    "grid: q with scale 4": lambda: figures.distribution_1d(GRID, SHIFTED, scale=(1, 4)),
    "scale: got 0.01": lambda: figures.distribution_1d(GRID, SHIFTED, scale=(0.01, 1)),
    "log_prior: got shape": lambda: figures.distribution_1d(GRID, SHIFTED, SHIFTED[1:]),
    "log_prior: integrates to 24": lambda: figures.distribution_1d(GRID, SHIFTED, 0 * GRID),
    "mean: got .3, 1.": lambda: figures.distribution_1d(GRID, SHIFTED, mean=(3, 1)),
    "knots: got .*increasing": lambda: figures.flow_1d([(0, 0), (1, 0)]),
    "knots: got .*two at least": lambda: figures.flow_1d([(0, 0)]),
    "density: got Normal": lambda: figures.walkers(Normal(0.0, 1.0)),
    "density: got one with other parts": lambda: figures.score_field(OBLONG),
    "noise: got 3": lambda: figures.walkers(noise=3),
    "n: got 0": lambda: figures.walkers(n=0),
    "step: got -1": lambda: figures.walkers(step=-1),
    "sigma: got 2": lambda: figures.score_field(sigma=2),
    "log_joint: got nan": lambda: figures.distribution_1d(GRID, SHIFTED * torch.nan),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_use_says_what_is_expected(message):
    with pytest.raises(ValueError, match=message):
        WRONG[message]()
