r"""Particles that a sampler moves from noise to data, by the exact score and by a network's.

With a network both stand in its standardised space, $x' = (x - m) / s$, and start at the same
noise; what is shown is $x$.
"""

import copy
import math
from functools import partial

import torch
from torch import Tensor
from torch.distributions import MixtureSameFamily

from ..checks import integer, positive
from ..energies import grid_points
from ..models import Diffusion
from ..paths import Path, cosine, grid
from ..toys import Noised, ring
from . import _conditioned, _exact, _sampling
from ._energies import BLUE, WARM
from ._formats import to_base64, to_pixels

STEPS = (5, 100)
WORK = 150_000  # Gaussians evaluated for a picture of the density


def particles(
    density: MixtureSameFamily | None = None,
    *,
    learned: Diffusion | None = None,
    path: Path | None = None,
    n: int = 1000,
    eta: float = 0.0,
    steps: int = 30,
    t: float = 1.0,
    seed: int = 0,
    box: float = 2.5,
    caption: str = "",
    limit: int = 500_000,
):
    r"""Follow particles from noise to data by DDIM and the exact score; choose steps and eta.

    Behind them stands the density that they should have at the time. At its end the figure says
    their mean energy, $-\log p$, beside the exact one. A learned field has a picture of its own
    beside that of the exact one, with the same noise.

    Args:
        density: a mixture of round Gaussians in the plane, of `dgm.toys`; None takes
            `toys.ring()`.
        learned: a trained `Diffusion.mlp((2,))` without classes.
        path: None for that of the model, or the cosine path.
        n: particles.
        eta: how much of the noise is new at every step, from 0 to 1, see `dgm.samplers.ddim`.
        steps: from 5 to 100.
        t: the time at the start, from 1 (noise) to 0.
        seed: of the noise at the start; the reader gets the next ones.
        box: the picture shows [-box, box]^2.
        caption: text below the figure.
        limit: the most bytes that the figure's data may take in a page.

    Returns:
        A widget; its `eta`, `steps`, `t` and `seed` can be read, set and observed, and `numbers`
        read: a dictionary with the mean `energy` of the particles at time 0, the `exact` one of the
        density, and that of the `learned` field's particles, if there is one, in nats.

    Raises:
        ValueError: the density is no mixture of round Gaussians, the model none of the plane, the
            path none that the page knows, or a value is out of its range.

    >>> fig = particles(steps=100)
    >>> {name: round(value, 1) for name, value in fig.numbers.items()}
    {'energy': -1.1, 'exact': -1.1}
    """
    from ._widgets import Particles

    if not 0 <= eta <= 1:
        raise ValueError(f"eta: got {eta}, expected a number from 0 to 1")
    if not 0 <= t <= 1:
        raise ValueError(f"t: got {t}, expected a time from 0 (data) to 1 (noise)")
    if not STEPS[0] <= integer("steps", steps) <= STEPS[1]:
        raise ValueError(f"steps: got {steps}, expected from {STEPS[0]} to {STEPS[1]}")
    net, packed = None, None
    if learned is not None:
        net, packed = _of_the_plane(learned)
    if path is None:
        path = cosine() if net is None else net.path
    mean, scale = (0.0, 1.0) if net is None else (net.mean.item(), net.scale.item())
    mixture = _exact.mixture_spec(
        ring(device="cpu") if density is None else density, (2,), mean, scale
    )
    spec = {
        "mixture": mixture,
        "path": _sampling.path_spec(path),
        "mean": mean,
        "scale": scale,
        "n": integer("n", n),
        "box": positive("box", box),
        "cells": max(30, min(100, int(math.sqrt(WORK / len(mixture["means"]))))),
        "steps": list(STEPS),
        "entropy": _exact.entropy(mixture) + 2 * math.log(scale),
        "details": [ABOUT],
    }
    if net is not None:
        net.path = path
        spec["learned"] = {
            "network": {"layers": packed.layers, "weights": to_base64(packed.weights)},
            "predict": net.predict,
            "shape": [2],
        }
        spec["details"].append(_about(learned, net, packed, path))
    way = partial(_way, spec, path, net)
    values = {"eta": float(eta), "steps": steps, "t": float(t)}
    values["seed"] = integer("seed", seed, at_least=0)
    functions = {"measure": partial(_numbers, spec, way), "draw_still": partial(_still, spec, way)}
    return Particles.within(limit, spec, **functions, **values, caption=caption)


ABOUT = (
    "Steps are those of DDIM, at times that are even from noise to data. The exact mean energy, "
    "−log p, is a sum over a grid."
)


def _of_the_plane(model: Diffusion) -> tuple[Diffusion, _conditioned.Packed]:
    net, packed = _conditioned.rounded(model)
    if net.shape != (2,) or net.classes:
        raise ValueError(
            f"learned: got a model of {net.shape} with {net.classes} classes, expected one of "
            "points in the plane, (2,), without classes"
        )
    return net, packed


@torch.no_grad()
def _about(model: Diffusion, net: Diffusion, packed, path: Path) -> str:
    """Size and error, on noise and on the way from it, in the data's units."""
    from ._latent_plane import _round_up

    exact, error = copy.copy(model), 0.0
    exact.path, times = path, grid(path, 20)
    x = _sampling.size(path, times[0]) * _sampling.Normals(0)(200, 2).float()
    for t, x_t, x0 in list(_sampling.steps(net.denoise, path, x, times))[:-1]:
        theirs = exact.denoise(x_t.to(exact.mean), t).cpu()
        error = max(error, net.scale.item() * (theirs - x0).abs().max().item())
    kilobytes = len(packed.weights) / 1000
    return (
        f"The network runs in this page: {packed.count:,} weights in {kilobytes:.0f} kB, rounded "
        "to 8 bits. On the way of 200 particles its guesses of where they come from differ from "
        f"PyTorch's by at most {_round_up(error)}."
    )


def _way(
    spec: dict, path: Path, net: Diffusion | None, steps: int, eta: float, seed: int
) -> dict[str, list[Tensor]]:
    """Where the particles of each field are at every stop: (n, 2) each, in the data's units."""
    denoise = {"energy": _exact.denoiser(spec["mixture"], path).denoise}
    if net is not None:
        denoise["learned"] = net.denoise
    ways, times = {}, grid(path, steps)
    for name, function in denoise.items():
        draw = _sampling.Normals(seed)
        x = _sampling.size(path, times[0]) * draw(spec["n"], 2)
        x = x if name == "energy" else x.float()
        stops = _sampling.steps(function, path, x, times, eta, draw)
        ways[name] = [spec["mean"] + spec["scale"] * x.double() for _, x, _ in stops]
    return ways


def _numbers(spec: dict, way, steps: int, eta: float, seed: int) -> dict[str, float]:
    density = _exact.mixture(spec["mixture"])
    found = {}
    for name, stops in way(steps, eta, seed).items():
        own = (stops[-1] - spec["mean"]) / spec["scale"]
        found[name] = -density.log_prob(own).mean().item() + 2 * math.log(spec["scale"])
    return {**found, "exact": spec["entropy"]}


def _still(spec: dict, way, steps: int, eta: float, seed: int):
    """The picture for print: noise, a time between and the end, of each field."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import LinearSegmentedColormap

    ways, box = way(steps, eta, seed), spec["box"]
    stops, path = [0, round(0.7 * steps), steps], _sampling.KNOWN[spec["path"]["name"]]()
    times = grid(path, steps)
    size = {"figsize": (7.2, 2.6 * len(ways)), "squeeze": False, "layout": "constrained"}
    figure, axes = plt.subplots(len(ways), len(stops), sharex=True, sharey=True, **size)
    shade = LinearSegmentedColormap.from_list("shade", ["#ffffff", BLUE])
    x = grid_points(box, 100, like=torch.zeros((), dtype=torch.float64))
    exact = Noised(_exact.mixture(spec["mixture"]))
    for row, (name, states) in zip(axes, ways.items(), strict=True):
        for ax, k in zip(row, stops, strict=True):
            t = torch.tensor(times[k], dtype=torch.float64)
            own = (x - spec["mean"]) / spec["scale"]
            log_p = exact.log_prob(own, path.sigma(t), alpha=path.alpha(t))
            sides = (-box, box, -box, box)
            shown = ((log_p - log_p.max()) / 2).exp().reshape(100, 100)
            ax.imshow(shown, cmap=shade, origin="lower", extent=sides)
            ax.plot(*states[k][:400].T, ".", color=WARM, markersize=2)
            ax.set(xlim=sides[:2], ylim=sides[2:], title=f"t = {times[k]:.2f}")
        row[0].set_ylabel("exact score" if name == "energy" else "network")
    return to_pixels(figure, dpi=110)
