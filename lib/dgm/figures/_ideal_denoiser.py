"""The perfect network of a data set, in the page: five images with their weights."""

import math
from functools import partial

import torch
from torch import Tensor

from .. import plots
from ..checks import image_shape, integer, positive
from ..denoisers import IdealDenoiser
from . import _sampling
from ._formats import sixteen_levels, to_pixels

END, STOPS = 8.0, 65  # log SNR from -END to END, at so many stops
HEAVIEST = 5


def ideal_denoiser(
    denoiser: IdealDenoiser,
    *,
    seed: int = 0,
    log_snr: float = 0.0,
    shape: tuple[int, ...] | None = None,
    caption: str = "",
    limit: int = 100_000,
):
    r"""Follow a noise to an image by the best denoiser there is; see which images it thinks of.

    Beside $x_t$ stands $\hat x$, the mean of the training images, and below them the five that
    count most, with their weights. The slider moves $\lambda$ along the way from the noise. The
    page has the images in 16 grey levels, and as many of them as fit into `limit`: those it has are
    its data set.

    Args:
        denoiser: of images with one channel or three; its labels are not used.
        seed: of the noise at the start; the reader gets the next ones.
        log_snr: $\lambda$ at the start, from -8 to 8.
        shape: (channels, height, width), where examples are vectors.
        caption: text below the figure.
        limit: the most bytes that the figure's data may take in a page.

    Returns:
        A widget; its `seed` and `log_snr` can be read, set and observed, and `numbers` read: a
        dictionary with the `heaviest` weight, and with 1 / sum w^2, how many images count.

    Raises:
        ValueError: the denoiser is none of images, log_snr or seed is out of its range, or limit
            too small for ten images.

    >>> fig = ideal_denoiser(IdealDenoiser(torch.rand(50, 1, 8, 8)), log_snr=8.0)
    >>> {name: round(value, 2) for name, value in fig.numbers.items()}
    {'heaviest': 1.0, 'effective': 1.0}
    """
    from ._widgets import PerfectNetwork

    if not isinstance(denoiser, IdealDenoiser):
        got = type(denoiser).__name__
        raise ValueError(f"denoiser: got {got}, expected a dgm.denoisers.IdealDenoiser")
    shape = image_shape(denoiser.shape if shape is None else shape)
    x = denoiser.x.detach().cpu().float().flatten(1)  # (N, D)
    if math.prod(shape) != x.shape[1] or shape[0] not in (1, 3):
        raise ValueError(f"shape: got {shape}, expected that of images (1 or 3, height, width)")
    if not -END <= log_snr <= END:
        raise ValueError(f"log_snr: got {log_snr}, expected a number from {-END:g} to {END:g}")
    kept = x[_spread(len(x), most=_room(positive("limit", limit), x.shape[1]))]
    images = sixteen_levels(kept)
    low, step = images["low"], images["step"]
    levels = torch.linspace(-END, END, STOPS, dtype=torch.float64)
    spec = {
        "images": images,
        "shape": list(shape),
        "path": denoiser.path.name,
        "levels": levels.tolist(),
        "times": denoiser.path.time_of(levels).tolist(),
        "size": _sampling.size(denoiser.path, denoiser.path.time_of(levels[0]).item()),
        "paper": _paper(x),
        "heaviest": HEAVIEST,
        "details": _details(len(x), len(kept), step, x.std().item()),
    }
    _sampling.path_spec(denoiser.path)  # complains of paths that the page does not know
    ideal = IdealDenoiser(low + step * ((kept - low) / step).round().double(), denoiser.path)
    way = partial(_way, ideal, spec)
    values = {"seed": integer("seed", seed, at_least=0), "log_snr": float(log_snr)}
    draw = partial(_still, ideal, spec, way)
    functions = {"measure": partial(_numbers, ideal, spec, way), "draw_still": draw}
    return PerfectNetwork.within(limit, spec, **functions, **values, caption=caption)


def _room(limit: int, pixels: int) -> int:
    """How many images fit, with a kilobyte and a half left for the rest."""
    room = int((limit - 6_000) * 3 / 4 / math.ceil(pixels / 2))
    if room < 10:
        raise ValueError(f"limit: got {limit}, expected room for ten images of {pixels} pixels")
    return room


def _spread(n: int, most: int) -> Tensor:
    """Indices of so many of n examples, evenly spread."""
    return torch.arange(n) if n <= most else torch.linspace(0, n - 1, most).round().long()


def _paper(x: Tensor) -> list[float]:
    """The least and the largest pixel, which are drawn as white and as black."""
    return [x.min().item(), x.max().item()]


def _details(n: int, kept: int, step: float, deviation: float) -> list[str]:
    have = f"{kept:,} images" if kept == n else f"{kept:,} of {n:,} images, which are its data set"
    return [
        f"The page has {have}, their pixels in 16 levels, {step / deviation:.2f} standard "
        f"deviations of all pixels apart. The way from noise has {STOPS - 1} steps of DDIM, "
        "with η = 0, even in λ.",
    ]


def _way(ideal: IdealDenoiser, spec: dict, seed: int) -> list[tuple[float, Tensor, Tensor]]:
    """Time, x_t and what is seen in it at every stop, in double precision, (1, D) each."""
    x = spec["size"] * _sampling.Normals(seed)(1, spec["images"]["size"])
    return list(_sampling.steps(ideal.denoise, ideal.path, x, spec["times"]))


def nearest_stop(spec: dict, log_snr: float) -> int:
    off = [abs(level - log_snr) for level in spec["levels"]]
    return off.index(min(off))


def _at(ideal: IdealDenoiser, spec: dict, way, seed: int, log_snr: float):
    """x_t, the mean of the images and the weights there."""
    t, x, _ = way(seed)[nearest_stop(spec, log_snr)]
    return x, ideal.denoise(x, t), ideal.weights(x, t)[0]


def _numbers(ideal, spec: dict, way, seed: int, log_snr: float) -> dict[str, float]:
    weights = _at(ideal, spec, way, seed, log_snr)[2]
    return {"heaviest": weights.max().item(), "effective": 1 / weights.square().sum().item()}


def _still(ideal, spec: dict, way, seed: int, log_snr: float):
    """The picture for print: x_t, x̂ and the heaviest images."""
    import matplotlib.pyplot as plt

    x, x0, weights = _at(ideal, spec, way, seed, log_snr)
    heavy = weights.topk(min(HEAVIEST, len(weights)))
    images = {"$x_t$": x, r"$\hat x$": x0}
    for w, i in zip(heavy.values.tolist(), heavy.indices.tolist(), strict=True):
        images[f"{100 * w:.0f} %" + " " * len(images)] = ideal.x[i]  # names must differ
    low, high = spec["paper"]
    figure, axes = plt.subplots(1, len(images), figsize=(7.2, 1.5), layout="constrained")
    for ax, (name, image) in zip(axes, images.items(), strict=True):
        grey = ((image - low) / (high - low or 1)).reshape(1, *spec["shape"])
        plots.grid(grey.clamp(0, 1).float(), ax=ax)
        ax.set_title(name)
    return to_pixels(figure, dpi=110)
