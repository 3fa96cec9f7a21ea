"""A slider, or two, over pictures that a Python function makes."""

import itertools
import math
from collections.abc import Callable, Sequence
from numbers import Real

import numpy as np

from ._formats import to_base64, to_pixels, to_webp

MOST_PICTURES = 200
ENCODINGS = (  # the first that fits is used
    {"lossless": True},
    {"lossless": True, "levels": 16},
    {"quality": 80},
    {"quality": 60},
)
DPI = 150  # of matplotlib figures; shown at 100 to the inch


def frames(
    render: Callable,
    *,
    alt: str | Callable[..., str] | None = None,
    caption: str = "",
    labels: dict[str, str] | None = None,
    limit: int = 400_000,
    **values: Sequence,
):
    """One or two sliders, and a play button, over the pictures `render` makes of their values.

        frames(render, step=range(9))                     # render(step=0), render(step=1), ...
        frames(render, phi=[0, 1, 2], n=[10, 100, 1000])  # render(phi=0, n=10), ...

    All combinations of the given values are rendered at once: they are what a page without a kernel
    shows. Where a kernel runs the sliders also stop in between (at whole numbers between whole
    numbers, else at tenths of the gaps) and the pictures there are rendered on demand.

    Every picture costs its reader some bytes. A matplotlib figure has 150 pixels to the inch: a
    histogram of 7 x 3 inches takes 5 to 10 kB, curves of 6.4 x 3.6 inches or a cloud of 1000 points
    20 to 50 kB, a fifth of a second to make, and a third more as text in the page.

    Args:
        render: called with one value of each parameter, by keyword. Returns a matplotlib figure
            or axes, or an image: (H, W) in [0, 1], drawn as dark ink on white, or (H, W, 3), colour
            in [0, 1]; uint8 images run from 0 to 255. All of one size.
        alt: what the picture shows, for those who do not see it: a format string, such as
            "The copy from {m} components", or a function of the values.
        caption: text below the figure.
        labels: what to write beside the sliders, such as {"n": "draws N"}; by default the names.
        limit: the most bytes that the figure's data may take in a page. Pictures are WebP, without
            loss if that fits, else with 16 levels of each colour, else blurred a little.
        values: per parameter the values to stop at, numbers or strings, in order. The first are
            shown first. Play runs through those of the first parameter.

    Returns:
        A widget; its `values`, such as {"m": 8}, can be read, set and observed.

    Raises:
        ValueError: no or more than two parameters, a parameter without values or with one twice,
            an unknown name in `alt` or `labels`, more than 200 pictures, pictures of several sizes
            or that exceed `limit`, or `render` returns something that is no picture.

    >>> import torch
    >>> fig = frames(lambda grey: torch.full((8, 8), grey), grey=[0.0, 0.5, 1.0])
    >>> fig.values
    {'grey': 0.0}
    """
    from ._widgets import Frames

    stops = {name: _plain(name, given) for name, given in values.items()}
    labels = labels or {}
    _check(stops, labels)
    combinations = [
        dict(zip(stops, each, strict=True)) for each in itertools.product(*stops.values())
    ]
    describe = _describe(alt, list(stops))
    images = [_image(render(**each)) for each in combinations]
    texts = [describe(each) for each in combinations]  # which may tell what render found
    sizes = {(image.size, shown) for image, shown, _ in images}
    if len(sizes) > 1:
        raise ValueError(f"render: got pictures of {len(sizes)} sizes, expected one size")
    ((width, height), shown) = sizes.pop()
    blobs, encoding = _compressed([image for image, *_ in images], limit)
    parameters = [
        {"name": name, "label": labels.get(name, name), "stops": given, "finer": _finer(given)}
        for name, given in stops.items()
    ]
    spec = {
        "parameters": parameters,
        "pictures": [to_base64(blob) for blob in blobs],
        "alts": texts,
        "width": shown,
        "aspect": [width, height],
        "pixels": shown > width,  # an image enlarged: show its pixels
        "paper": images[0][2],  # stays white where the reader's ground is dark
        "details": [f"{len(blobs)} pictures, {sum(map(len, blobs)) / 1000:.0f} kB."],
    }

    def make(each: dict) -> tuple[bytes, str]:
        return to_webp(_image(render(**each))[0], **encoding), describe(each)

    pictures = list(zip(blobs, texts, strict=True))
    return Frames.within(
        limit, spec, pictures=pictures, make=make, values=combinations[0], caption=caption
    )


def _check(stops: dict[str, list], labels: dict[str, str]) -> None:
    if not 1 <= len(stops) <= 2:
        raise ValueError(f"values: got the parameters {list(stops)}, expected one or two")
    for name, given in stops.items():
        if not given or len(set(map(repr, given))) < len(given):
            raise ValueError(f"{name}: got {given}, expected at least one value and none twice")
    if not set(labels) <= set(stops):
        raise ValueError(f"labels: got {labels}, expected labels of {list(stops)}")
    count = math.prod(map(len, stops.values()))
    if count > MOST_PICTURES:
        raise ValueError(f"values: got {count} pictures, expected at most {MOST_PICTURES}")


def _plain(name: str, given) -> list:
    """The values as Python numbers or strings, which JSON keeps as they are."""
    if isinstance(given, (Real, str)):
        raise ValueError(f"{name}: got {given!r}, expected a list of values")
    plain = given.tolist() if hasattr(given, "tolist") else list(given)
    plain = [v.item() if isinstance(v, np.generic) else v for v in plain]
    if not all(isinstance(v, str) or (isinstance(v, Real) and math.isfinite(v)) for v in plain):
        raise ValueError(f"{name}: got {given}, expected finite numbers or strings")
    return plain


def _finer(stops: list) -> list:
    """Up to nine more values in every gap between numbers.

    >>> _finer([1, 2, 5]), _finer([0.0, 0.1])[:3], _finer(["a", "b"])
    ([1, 2, 3, 4, 5], [0.0, 0.01, 0.02], ['a', 'b'])
    """
    if any(isinstance(v, (str, bool)) for v in stops):
        return stops
    whole = all(isinstance(v, int) for v in stops)
    finer = stops[:1]
    for a, b in itertools.pairwise(stops):
        between = [a + (b - a) * i / 10 for i in range(1, 10)]
        between = [round(v) for v in between] if whole else [float(f"{v:.10g}") for v in between]
        finer += [v for v in dict.fromkeys(between) if v not in (a, b)] + [b]
    return finer


def _describe(alt, names: list[str]) -> Callable[[dict], str]:
    if callable(alt):
        return lambda values: alt(**values)
    if alt is None:
        alt = ", ".join(f"{name} = {{{name}}}" for name in names)

    def fill(values: dict) -> str:
        try:
            return alt.format(**values)
        except (LookupError, ValueError) as error:
            wanted = " and ".join(f"{{{name}}}" for name in names)
            raise ValueError(f"alt: got {alt!r}, expected a text with {wanted}") from error

    return fill


def _image(drawn):
    """What `render` returned: a Pillow image, the width to show it at in CSS pixels, and its paper.

    Paper is where a plot holds images, which keep their ground in the dark: left, top, width and
    height of each in percent of the plot. Without a plot there is nothing else, and it is None. A
    shade that one can see through is no image.
    """
    from PIL import Image

    figure = getattr(drawn, "figure", drawn)  # axes know their figure
    if hasattr(figure, "savefig"):
        pixels = to_pixels(figure, DPI)
        images = [image for ax in figure.axes for image in ax.images if image.cmap(0.0)[3] == 1]
        boxes = [
            figure.transFigure.inverted().transform_bbox(i.get_window_extent()) for i in images
        ]
        paper = [[100 * v for v in (b.x0, 1 - b.y1, b.width, b.height)] for b in boxes]
        return pixels, round(100 * figure.get_size_inches()[0]), paper
    array = np.asarray(drawn.detach().cpu() if hasattr(drawn, "detach") else drawn)
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)) or array.size == 0:
        raise ValueError(
            f"render: got {type(drawn).__name__} of shape {array.shape}, expected a matplotlib "
            "figure or axes, or an image (H, W) or (H, W, 3)"
        )
    unit = array / 255 if array.dtype == np.uint8 else array.astype(float).clip(0, 1)
    unit = 1 - unit if array.ndim == 2 else unit  # grey is drawn as ink, as dgm.plots does
    pixels = Image.fromarray(np.rint(255 * unit).astype(np.uint8)).convert("RGB")
    return pixels, pixels.width * max(1, round(420 / pixels.width)), None


def _compressed(images: list, limit: int) -> tuple[list[bytes], dict]:
    """The pictures as WebP, in the best encoding that fits, and which it is."""
    most = 0.95 * limit * 3 / 4  # base64 takes 4 bytes for 3; some room for the alt texts
    for encoding in ENCODINGS:
        blobs, size = [], 0
        for image in images:
            blobs.append(to_webp(image, **encoding))
            size += len(blobs[-1])
            if size > most:
                break
        else:
            return blobs, encoding
    each = size / len(blobs) / 1000
    raise ValueError(
        f"limit: {len(images)} pictures of about {each:.0f} kB, a third more in a page, exceed "
        f"{limit:,} bytes; make fewer, smaller or simpler ones, or raise the limit"
    )
