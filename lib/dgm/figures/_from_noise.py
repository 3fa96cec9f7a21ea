r"""A network that draws in the page: images from noise, one step per frame of the screen.

The steps are those of `dgm.samplers.ddim`, with guidance as in `dgm.denoisers.guided`; on the
straight path $x_t = (1 - t) x_0 + t \epsilon$ they are Euler's. The network reads the noise level
and not the time, so one network serves all paths.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from .. import plots
from ..checks import image_shape, integer
from ..models import Diffusion
from ..paths import Path, grid, linear
from . import _conditioned, _sampling
from ._formats import to_base64, to_pixels
from ._latent_plane import _round_up

MOST_STEPS, MOST_EULER = 100, 64
COLUMNS = 8  # of the strip


def from_noise(
    model: Diffusion,
    *,
    y: int = 0,
    seed: int = 0,
    steps: int = 20,
    eta: float = 0.0,
    w: float = 0.0,
    classes: Sequence[str] | None = None,
    caption: str = "",
    limit: int = 500_000,
):
    r"""Draw an image from noise in the reader's browser; choose noise, class, steps, eta, guidance.

    Beside $x_t$ stands $\hat x$, what the network sees in it, and below both a strip of $x_t$ on
    its way. The network runs in the page with weights of 8 bits; how far its $\hat x$ are from
    those of PyTorch stands in the figure's details.

    Args:
        model: a trained `Diffusion.conv` or `.mlp` of images (1 or 3, height, width), on the
            cosine, the linear or the vp path. Without classes there is no choice of one.
        y: the class at the start.
        seed: of the noise at the start; the reader gets the next ones.
        steps: of the sampler at the start, up to 100.
        eta: how much of the noise is new at every step, from 0 to 1, see `dgm.samplers.ddim`.
        w: guidance, from 0 to 8, see `dgm.denoisers.guided`.
        classes: their names, by default their numbers.
        caption: text below the figure.
        limit: the most bytes that the figure's data may take in a page.

    Returns:
        A widget; its `y`, `seed`, `steps`, `eta` and `w` can be read, set and observed, and
        `images` read: what the page draws, (1, *shape), of the network that it has.

    Raises:
        ValueError: the model is none of these, a value is out of its range, or the data exceed
            `limit`.

    >>> fig = from_noise(Diffusion.conv((1, 8, 8), classes=10), y=3)
    >>> fig.steps, fig.images.shape
    (20, torch.Size([1, 1, 8, 8]))
    """
    from ._widgets import FromNoise

    drawer = Drawer(model)
    spec = drawer.spec(classes) | {"steps": [1, MOST_STEPS]}
    values = {"y": y, "seed": seed, "steps": steps, "eta": float(eta), "w": float(w)}
    if not 0 <= eta <= 1:
        raise ValueError(f"eta: got {eta}, expected a number from 0 to 1")
    if not 0 <= w <= 8 or (w > 0 and not model.classes):
        raise ValueError(f"w: got {w}, expected a number from 0 to 8, and 0 without classes")
    check_choice(model, y, seed, steps, MOST_STEPS)
    spec["details"] = [drawer.about(y, seed), SAMPLER, NOISE]
    functions = {"draw": drawer.way, "draw_still": still}
    return FromNoise.within(limit, spec, **functions, **values, caption=caption)


def euler_steps(
    model: Diffusion,
    *,
    y: int = 0,
    seed: int = 0,
    steps: int = 4,
    classes: Sequence[str] | None = None,
    caption: str = "",
    limit: int = 500_000,
):
    r"""Follow one noise to an image in 1 to 64 of Euler's steps; see the images on the way.

    The path is the straight one, whatever the model's own: $x_t$ in the upper row, below it
    $\hat x$, and at the end what these steps draw beside what 64 draw.

    Args:
        model, y, seed, classes, caption, limit: as for `from_noise`, and so are its errors.
        steps: at the start.

    Returns:
        A widget; its `y`, `seed` and `steps` can be read, set and observed, and `numbers` read: a
        dictionary with `off`, the root of the mean squared difference to the end of 64 steps.

    >>> fig = euler_steps(Diffusion.conv((1, 8, 8)), steps=64)
    >>> fig.numbers
    {'off': 0.0}
    """
    from ._widgets import EulerSteps

    drawer = Drawer(model, linear())
    spec = drawer.spec(classes) | {"steps": [1, MOST_EULER]}
    check_choice(model, y, seed, steps, MOST_EULER)
    spec["details"] = [drawer.about(y, seed), NOISE]
    values = {"y": y, "seed": seed, "steps": steps}
    functions = {"draw": drawer.way, "draw_still": still}
    return EulerSteps.within(limit, spec, **functions, **values, caption=caption)


SAMPLER = (
    "One step of DDIM per frame of the screen. With η = 0 the image is a function of the noise, "
    "with η = 1 every step renews as much noise as the ancestral sampler. Guidance takes two "
    "evaluations a step."
)
NOISE = "Pictures show values from 0 to 1; what is darker or lighter is cut off."


def check_choice(model: Diffusion, y: int, seed: int, steps: int, most: int) -> None:
    """Raise ValueError unless these are a class, a seed and a number of steps."""
    if integer("steps", steps) > most:
        raise ValueError(f"steps: got {steps}, expected at most {most}")
    if integer("y", y, at_least=0) > max(model.classes - 1, 0):
        raise ValueError(f"y: got {y}, expected a class from 0 to {model.classes - 1}")
    integer("seed", seed, at_least=0)


class Drawer:
    """A model as the page has it, and what it draws.

    Args:
        model: see `from_noise`.
        path: None for the model's own.
    """

    def __init__(self, model: Diffusion, path: Path | None = None):
        self.model, self.packed = _conditioned.rounded(model)
        self.exact = copy.copy(model)  # with a path of its own
        self.path = self.model.path if path is None else path
        self.model.path = self.exact.path = self.path
        channels, *_ = image_shape(self.model.shape)
        if channels not in (1, 3):
            raise ValueError(f"model: got one of {channels} channels, expected images of 1 or 3")

    def spec(self, classes: Sequence[str] | None) -> dict:
        """What the page has to know of it."""
        n = self.model.classes
        names = [str(c) for c in (range(n) if classes is None else classes)]
        if len(names) != n:
            raise ValueError(f"classes: got {len(names)} names, expected {n}")
        return {
            "network": {"layers": self.packed.layers, "weights": to_base64(self.packed.weights)},
            "predict": self.model.predict,
            "path": _sampling.path_spec(self.path),
            "shape": list(self.model.shape),
            "mean": float(self.model.mean),
            "scale": float(self.model.scale),
            "classes": names,
            "columns": COLUMNS,
        }

    def way(
        self, y: int, seed: int, steps: int, eta: float = 0.0, w: float = 0.0
    ) -> list[tuple[float, Tensor, Tensor]]:
        r"""Time, $x_t$ and $\hat x$ at every stop, in the data's units, (1, *shape) each."""

        def denoise(x: Tensor, t: float) -> Tensor:
            given = denoised(self.model, x, t, y)
            return given + w * (given - denoised(self.model, x, t, -1)) if w else given

        draw, times = _sampling.Normals(seed), grid(self.path, steps)
        x = _sampling.size(self.path, times[0]) * draw(1, *self.model.shape).float()
        stops = _sampling.steps(denoise, self.path, x, times, eta, draw)
        return [(t, self.model.restored(x), self.model.restored(x0)) for t, x, x0 in stops]

    def about(self, y: int, seed: int) -> str:
        """Size and error, the largest one on the way from the first noise."""
        error = 0.0
        for t, x, x0 in self.way(y, seed, steps=20)[:-1]:
            exact = self.exact.restored(denoised(self.exact, self.model.standardised(x), t, y))
            error = max(error, float((exact.cpu() - x0).abs().max()))
        kilobytes = len(self.packed.weights) / 1000
        return (
            f"The network runs in this page: {self.packed.count:,} weights in {kilobytes:.0f} kB, "
            "rounded to 8 bits. On the way from the first noise to an image its guesses x̂ differ "
            f"from PyTorch's by at most {_round_up(error)}, where pixels run from 0 to 1."
        )


@torch.no_grad()
def denoised(model: Diffusion, x: Tensor, t: float, y: int) -> Tensor:
    """What a model makes of a standardised x, of one class or of any, where the model lives."""
    labels = torch.full((len(x),), y, device=model.mean.device) if model.classes else None
    return model.denoise(x.to(model.mean), t, labels)


# ---------------------------------------------------------------- still pictures


def still(ways: dict[str, list], looks: Sequence[int]):
    """A picture for print: for each way, by its name, rows of what stands at its stops, where
    `looks` says what: 1 for x_t, 2 for what is seen in it.
    """
    rows = {}
    for (name, way), look in zip(ways.items(), looks, strict=True):
        stops = [round(k * (len(way) - 1) / (COLUMNS - 1)) for k in range(COLUMNS)]
        rows[name] = torch.cat([way[k][look] for k in stops]).clamp(0, 1)
    return to_pixels(plots.rows(rows).figure, dpi=110)
