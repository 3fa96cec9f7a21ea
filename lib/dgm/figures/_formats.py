"""From Python objects to text and pictures that can stand in a page."""

import base64
import json
from io import BytesIO

import numpy as np


def to_json(state: dict) -> str:
    """Compact JSON that may stand inside a script element, which "</" could end."""
    return json.dumps(state, separators=(",", ":")).replace("</", "<\\/")


def to_base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def data_uri(picture: bytes) -> str:
    """The address of a WebP picture that is its own content."""
    return "data:image/webp;base64," + to_base64(picture)


def sixteen_levels(x) -> dict:
    """Images as the page reads them, two pixels to a byte: x is a tensor on the CPU, (N, pixels).

    A pixel is shown as low + step * level, with 16 levels from the least pixel to the largest.
    """
    low, high = x.min().item(), x.max().item()
    step = (high - low) / 15 or 1.0
    level = ((x - low) / step).round().byte().flatten().numpy()  # 0 .. 15
    if len(level) % 2:
        level = np.append(level, level[:1])  # a byte holds two
    sizes = {"count": len(x), "size": x.shape[1]}
    pixels = to_base64((level[::2] + 16 * level[1::2]).tobytes())
    return {"pixels": pixels, **sizes, "low": low, "step": step}


def to_pixels(figure, dpi: int):
    """A matplotlib figure as a Pillow image, on white; the figure is closed.

    An open one would be shown a second time, by the notebook.
    """
    import matplotlib.pyplot as plt
    from PIL import Image

    buffer = BytesIO()
    quickly = {"compress_level": 1}  # the PNG is read again at once
    figure.savefig(buffer, format="png", dpi=dpi, facecolor="white", pil_kwargs=quickly)
    plt.close(figure)
    return Image.open(buffer).convert("RGB")


def to_webp(image, levels: int = 256, **options) -> bytes:
    """A Pillow image as WebP; `options` are Pillow's (lossless=True, quality=80).

    Fewer levels of each colour make a plot half as large without a blur around its letters. Black
    and white stay what they are.
    """
    if levels < 256:
        step = 255 / (levels - 1)
        image = image.point([round(round(v / step) * step) for v in range(256)] * 3)
    buffer = BytesIO()
    image.save(buffer, format="WebP", **options)
    return buffer.getvalue()
