r"""Paths that cross and trajectories that do not.

Each example and its noise have a path, $x_t = \alpha_t x_0 + \sigma_t \epsilon$. The field moves a
point by the mean of the velocities of all paths through it, so its trajectories have no crossings.
How far they are from straight lines is

    S = int_0^1 E |u_t(x_t) - (x_1 - x_0)|^2 dt,

with x_0 and x_1 the ends of one trajectory. It is estimated along Heun's steps from many noises.
"""

from functools import partial
from itertools import pairwise

import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from ..checks import integer
from ..paths import grid
from ..samplers import heun
from . import _exact, _sampling
from ._energies import BLUE, WARM
from ._formats import to_pixels

MANY, SHOWN, STEPS = 400, 40, 64  # trajectories measured and drawn, steps


def crossing(
    density: MixtureSameFamily | None = None,
    *,
    path: str = "linear",
    t: float = 0.5,
    seed: int = 0,
    caption: str = "",
):
    r"""Paths of independent pairs beside the field's trajectories from the same noises.

    On the line both are drawn over time, so that a crossing is two paths at one place at one time;
    in the plane they are seen from above, and the slider moves points along them. Below stands the
    straightness of the trajectories, which is 0 if and only if they are straight.

    Args:
        density: a mixture of round Gaussians on the line or in the plane; None takes two on the
            line, of standard deviation 0.2, at -1 and 1.
        path: "linear", "cosine" or "vp" at the start.
        t: the time at the start, from 0 (data) to 1 (noise).
        seed: of pairs at the start; the reader gets the next ones.
        caption: text below the figure.

    Returns:
        A widget; its `path`, `t` and `seed` can be read, set and observed, and `numbers` read: a
        dictionary with the `straightness` S.

    Raises:
        ValueError: the density is none of these, or a value is out of its range.

    >>> fig = crossing(path="cosine")
    >>> fig.numbers["straightness"] > 0
    True
    """
    from ._widgets import Crossing

    if density is None:
        parts = Independent(Normal(torch.tensor([[-1.0], [1.0]]), 0.2), 1)
        density = MixtureSameFamily(Categorical(torch.ones(2)), parts)
    if path not in _sampling.KNOWN:
        raise ValueError(f"path: got {path!r}, expected one of {', '.join(_sampling.KNOWN)}")
    if not 0 <= t <= 1:
        raise ValueError(f"t: got {t}, expected a time from 0 (data) to 1 (noise)")
    mixture = _exact.mixture_spec(density, (1, 2))
    spec = {
        "mixture": mixture,
        "paths": {name: _sampling.path_spec(make()) for name, make in _sampling.KNOWN.items()},
        "many": MANY,
        "shown": SHOWN,
        "steps": STEPS,
        "box": round(max(2.6, _exact.reach(mixture) + 3 * max(mixture["variances"]) ** 0.5), 1),
        "details": [
            f"Trajectories are {STEPS} steps of Heun's method from noise to data. The straightness "
            f"is a mean over {MANY} of them, of which {SHOWN} are drawn; its error is a few "
            "percent. Examples take turns among the Gaussians."
        ],
    }
    values = {"path": path, "t": float(t), "seed": integer("seed", seed, at_least=0)}
    functions = {"measure": partial(numbers, spec), "draw_still": partial(_still, spec)}
    return Crossing.within(30_000, spec, **functions, **values, caption=caption)


def noises(spec: dict, seed: int) -> Tensor:
    """eps of all pairs: (many, D)."""
    return _sampling.Normals(seed)(spec["many"], len(spec["mixture"]["means"][0]))


def trajectories(spec: dict, path: str, seed: int) -> tuple[list[float], Tensor]:
    """Times from noise to data, and where the points are: (steps + 1, many, D)."""
    known = _sampling.KNOWN[path]()
    model, times = _exact.denoiser(spec["mixture"], known), grid(known, spec["steps"])
    way = [_sampling.size(known, times[0]) * noises(spec, seed)]
    for step in pairwise(times):
        way.append(heun(model, way[-1], step))
    return times, torch.stack(way)


def numbers(spec: dict, path: str, seed: int) -> dict[str, float]:
    times, way = trajectories(spec, path, seed)
    steps = torch.tensor(times, dtype=torch.float64).diff()  # negative
    slopes = way.diff(dim=0) / steps[:, None, None]
    whole = (way[-1] - way[0]) / steps.sum()
    off = (slopes - whole).square().sum(2).mean(1)  # (steps,)
    return {"straightness": (off * steps).sum().item() / steps.sum().item()}


def paths(spec: dict, path: str, seed: int, times: list[float]) -> Tensor:
    """x_t of the pairs that are drawn: (times, shown, D)."""
    known, t = _sampling.KNOWN[path](), torch.tensor(times, dtype=torch.float64)[:, None, None]
    draw = _sampling.Normals(seed + 1_000_003)
    x0 = _exact.draws(spec["mixture"], draw, spec["shown"])
    return known.alpha(t) * x0 + known.sigma(t) * noises(spec, seed)[: spec["shown"]]


def _still(spec: dict, path: str, t: float, seed: int):
    """The picture for print: paths on the left, trajectories on the right."""
    import matplotlib.pyplot as plt

    times, way = trajectories(spec, path, seed)
    panels = {"paths of pairs": paths(spec, path, seed, times)}
    panels["trajectories of the field"] = way[:, : spec["shown"]]
    k = min(range(len(times)), key=lambda k: abs(times[k] - t))
    size = {"figsize": (7.2, 3.6), "layout": "constrained", "sharex": True, "sharey": True}
    figure, axes = plt.subplots(1, 2, **size)
    for ax, (title, states) in zip(axes, panels.items(), strict=True):
        for line in states.unbind(1):  # (times, D)
            across, up = (torch.tensor(times), line[:, 0]) if line.shape[1] == 1 else line.T
            ax.plot(across, up, color=BLUE, linewidth=0.7)
            ax.plot(across[k], up[k], ".", color=WARM)
        ax.set_title(title)
    line = states.shape[2] == 1
    axes[0].set(xlabel="t" if line else "x₁", ylabel="x" if line else "x₂")
    axes[0].set_aspect("auto" if line else "equal")
    return to_pixels(figure, dpi=110)
