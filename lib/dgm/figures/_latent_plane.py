"""A plane of codes in which the reader moves, with the decoded image beside it."""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor

from .. import plots
from ..plots.base import color_of, present_classes, require_plane
from . import _network
from ._formats import to_base64, to_pixels

MOST_CODES = 4000  # more are thinned to one per cell of a CELLS x CELLS lattice
CELLS = 200
MOST_DRAWN = 1500  # characters in the plane
GLYPHS = "●■◆▲▼✚◄►✕★"  # for classes with long names, like plots.MARKERS
GROUNDS = {"light": "#ffffff", "dark": "#171d26"}  # --dgm-ground of figures.css


def latent_plane(
    decoder,
    codes: Tensor,
    labels: Tensor,
    *,
    shape: Sequence[int] | None = None,
    classes: Sequence[str] | None = None,
    reach: float | None = None,
    z: Sequence[float] | None = None,
    caption: str = "",
    limit: int = 300_000,
):
    """Drag a code in the latent plane (or touch, or use the arrow keys) and see its image.

    The decoder is evaluated in the page, with weights rounded to float16 if they fit into half of
    `limit` and else to int8; the largest difference from torch, measured on a grid of codes, is
    shown in the figure's details. Distances look as they are: both axes have one scale.

    Args:
        decoder: maps codes (..., 2) to images in [0, 1] (values outside are clipped, as a screen
            would) or to a distribution, whose mean is shown. A module, or a model with `decode`.
            `_network.SUPPORTED` lists what it may consist of.
        codes: (N, 2), of training data.
        labels: (N,), integers.
        shape: (C, H, W), C 1 (drawn as dark ink on white) or 3, for decoders that put out vectors.
        classes: names of the classes; by default their numbers. Names of one character are drawn
            as that character, longer ones as markers with a legend.
        reach: codes farther than this from every training code are shaded as the dead zone.
        z: the code at the start; by default the training code nearest to the mean.
        caption: text below the figure.
        limit: the most bytes that the figure's data may take in a page.

    Returns:
        A widget; its `z`, a list of two numbers, can be read, set and observed.

    Raises:
        ValueError: codes are not (N, 2), labels or shape do not fit, decoder has a layer that is
            not supported or does not put out images, reach is not positive, or the data exceed
            `limit`.

    >>> from dgm.models import PCA
    >>> x = torch.rand(50, 1, 8, 8)
    >>> pca = PCA((1, 8, 8), latent=2).fit(x)
    >>> fig = latent_plane(pca, pca.encode(x), torch.arange(50) % 10, z=(0, 0.5))
    >>> fig.z
    [0.0, 0.5]
    """
    from ._widgets import LatentPlane

    codes, labels = codes.detach().cpu().float(), labels.cpu()
    _check(codes, labels, classes, reach)
    reach = None if reach is None else float(reach)
    start = codes[(codes - codes.mean(0)).norm(dim=1).argmin()] if z is None else z
    if len(start) != 2:
        raise ValueError(f"z: got {z}, expected two numbers")
    low, side = _box(codes)
    packed = _network.pack(decoder, "float16")
    if len(packed.weights) * 4 / 3 > limit / 2:  # base64 takes 4 bytes for 3
        packed = _network.pack(decoder, "int8")
    shape, error = _compare(decoder, packed, low, side, shape)
    names = [name for _, name in present_classes(labels, classes)]
    position = {int(c): i for i, c in enumerate(labels.unique())}
    kept = _thin((codes - low) / side)
    spec = {
        "network": {"layers": packed.layers, "weights": to_base64(packed.weights)},
        "shape": list(shape),
        "low": low.tolist(),
        "side": side,
        "codes": to_base64(_uint16((codes[kept] - low) / side)),
        "labels": to_base64(bytes(position[int(c)] for c in labels[kept])),
        "drawn": MOST_DRAWN,
        "classes": _class_list(labels, names),
        "reach": reach,
        "details": _details(packed, error, len(codes), len(kept), reach),
    }
    box = [(float(v), float(v) + side) for v in low]
    draw_still = partial(_still, packed.rounded, shape, codes, labels, classes, box, reach)
    z = [float(v) for v in start]
    return LatentPlane.within(limit, spec, draw_still=draw_still, z=z, caption=caption)


def _check(codes: Tensor, labels: Tensor, classes, reach) -> None:
    require_plane("codes", codes)
    if len(codes) == 0 or not codes.isfinite().all():
        raise ValueError(f"codes: got {len(codes)}, expected at least one and finite numbers")
    if labels.shape != codes.shape[:1]:
        raise ValueError(f"labels: got shape {tuple(labels.shape)}, expected ({len(codes)},)")
    if classes is not None and not 0 <= int(labels.min()) <= int(labels.max()) < len(classes):
        raise ValueError(f"classes: got {len(classes)} names for labels up to {int(labels.max())}")
    if len(labels.unique()) > 255:
        raise ValueError(f"labels: got {len(labels.unique())} classes, expected at most 255")
    if reach is not None and not reach > 0:
        raise ValueError(f"reach: got {reach}, expected a positive distance")


def _box(codes: Tensor) -> tuple[Tensor, float]:
    """The lower corner and the side of a square that holds all codes, with a margin."""
    centre = (codes.amin(0) + codes.amax(0)) / 2
    side = 1.2 * float((codes.amax(0) - codes.amin(0)).max()) or 1.0  # one code: any square does
    return centre - side / 2, side


def _compare(decoder, packed, low, side, shape) -> tuple[tuple[int, ...], float]:
    """The shape of the images, and how far the page's are from torch's on a 21 x 21 grid."""
    t = torch.linspace(0, 1, 21, dtype=low.dtype, device=low.device)
    z = low + side * torch.cartesian_prod(t, t)  # (441, 2)
    with torch.no_grad():
        like = next(_tensors(decoder), z)  # where the decoder lives, and its precision
        exact = _network.decode(decoder, z.to(like)).cpu().float()
        rounded = packed.rounded(z)
    shape = tuple(shape or exact.shape[1:])
    if len(shape) != 3 or shape[0] not in (1, 3) or exact[0].numel() != np.prod(shape):
        raise ValueError(
            f"shape: got {shape} for a decoder that puts out {tuple(exact.shape[1:])}, "
            "expected images (1 or 3, height, width)"
        )
    return shape, float((exact.flatten(1) - rounded.flatten(1)).abs().max())


def _tensors(decoder):
    if isinstance(decoder, torch.nn.Module):
        yield from decoder.parameters()
        yield from decoder.buffers()


def _thin(unit: Tensor) -> np.ndarray:
    """Indices of the codes to embed, in random order; `unit` are codes in the unit square."""
    order = np.random.default_rng(0).permutation(len(unit))
    if len(unit) <= MOST_CODES:
        return order
    cells = (unit.numpy()[order] * CELLS).astype(int)
    _, first = np.unique(cells, axis=0, return_index=True)
    return order[np.sort(first)]


def _class_list(labels: Tensor, names: list[str]) -> list[dict]:
    """Per class: its name, the character that marks it, and a colour for each theme."""
    return [
        {
            "name": name,
            "glyph": name if len(name) == 1 else GLYPHS[int(c) % len(GLYPHS)],
            **{theme: _readable(color_of(int(c)), g) for theme, g in GROUNDS.items()},
        }
        for c, name in zip(labels.unique(), names, strict=True)
    ]


def _readable(colour: str, ground: str, least: float = 4.5) -> str:
    """The colour, moved towards black or white until it stands out from the ground.

    `least` is a contrast as WCAG 2 defines it; text needs 4.5.

    >>> _readable("#332288", "#ffffff"), _readable("#332288", "#171d26") != "#332288"
    ('#332288', True)
    """
    rgb, behind = (np.array([int(c[i : i + 2], 16) for i in (1, 3, 5)]) for c in (colour, ground))
    end = 0 if _luminance(behind) > 0.5 else 255
    for t in np.linspace(0, 1, 21):
        mixed = np.rint((1 - t) * rgb + t * end)
        dark, light = sorted((_luminance(mixed), _luminance(behind)))
        if (light + 0.05) / (dark + 0.05) >= least:
            break
    return "#" + "".join(f"{int(v):02x}" for v in mixed)


def _luminance(rgb: np.ndarray) -> float:
    v = rgb / 255
    linear = np.where(v <= 0.03928, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _details(packed, error: float, n: int, kept: int, reach) -> list[str]:
    exact = packed.precision == "float32"
    rounded = "not rounded" if exact else f"rounded to {packed.precision} after the first layer"
    drawn = f", of which {MOST_DRAWN:,} are drawn." if n > MOST_DRAWN else "."
    lines = [
        f"The network runs in this page: {packed.count:,} weights in "
        f"{len(packed.weights) / 1000:.0f} kB, {rounded}. On a grid of 441 codes its images "
        f"differ from PyTorch's by at most {_round_up(error)}, where pixels run from 0 to 1.",
        f"{n:,} training codes{drawn}",
    ]
    if kept < n:
        lines[-1] += f" Distances are measured to {kept:,} of them, one per 1/{CELLS} of the plane."
    if reach is not None:
        lines.append(f"Dead zone: farther than {reach:.3g} from every training code.")
    return lines


def _round_up(error: float) -> str:
    """One significant digit, never less than the error.

    >>> _round_up(0.0141), _round_up(0.0097), _round_up(0.0)
    ('0.02', '0.01', '0')
    """
    if error == 0:
        return "0"
    unit = 10.0 ** math.floor(math.log10(error))
    return f"{math.ceil(error / unit) * unit:.1g}"


def _uint16(unit: Tensor) -> bytes:
    return (unit * 65535).round().numpy().astype("<u2").tobytes()


@torch.no_grad()
def _still(rounded, shape, codes, labels, classes, box, reach, z):
    """The picture for print: codes, dead zone, a ring around z, the decoded image (Pillow's)."""
    import matplotlib.pyplot as plt
    from matplotlib.collections import EllipseCollection

    figure, (plane, image) = plt.subplots(1, 2, figsize=(7.2, 3.7), layout="constrained")
    plots.latent_scatter(codes[:MOST_DRAWN], labels[:MOST_DRAWN], classes, plane)
    plane.plot(*z, "o", ms=12, mew=2, color="black", mfc="none")
    plane.set(xlim=box[0], ylim=box[1], aspect="equal")
    if reach is not None:  # shade everything, then a white disc around every code
        plane.set_facecolor("#ebe7f5")
        d = np.full(len(codes), 2 * reach)
        discs = {"units": "xy", "offsets": codes.numpy(), "offset_transform": plane.transData}
        plane.add_collection(EllipseCollection(d, d, 0 * d, facecolor="white", zorder=0, **discs))
    plots.grid(rounded(codes.new_tensor([z])).reshape(1, *shape), ax=image)
    image.set_title(f"decoded at z = ({z[0]:.2f}, {z[1]:.2f})")
    return to_pixels(figure, dpi=110)
