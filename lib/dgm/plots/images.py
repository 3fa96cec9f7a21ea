"""Images, as they are: in a grid, in named rows, in named panels."""

import torch
from torch import Tensor

from .base import _axes, _mosaic, _show


def grid(images: Tensor, columns: int | None = None, ax=None):
    """Images side by side, row by row.

    Args:
        images: (N, C, H, W) in [0, 1], C 1 (drawn as dark ink on white) or 3 (colour). Values
            outside are clipped, as a screen would.
        columns: images per row; by default about as many as there are rows.

    >>> ax = grid(torch.rand(12, 1, 8, 8), columns=6)
    >>> ax.images[0].get_array().shape
    (19, 55)
    """
    picture, _ = _mosaic(images, columns)
    ax = _axes(ax, aspect=picture.shape[1] / picture.shape[0])
    _show(picture, ax)
    return ax


def rows(images: dict[str, Tensor], ax=None):
    """Rows of images, one under another, each with its name on the left.

    Args:
        images: name -> (N, C, H, W), the same N and shape in every row.

    >>> ax = rows({"data": torch.rand(6, 1, 8, 8), "copy": torch.rand(6, 1, 8, 8)})
    >>> [label.get_text() for label in ax.get_yticklabels()]
    ['data', 'copy']
    """
    stack = torch.cat(list(images.values()))
    picture, (height, _) = _mosaic(stack, columns=len(stack) // len(images))
    ax = _axes(ax, aspect=picture.shape[1] / picture.shape[0])
    _show(picture, ax)
    ax.axis("on")
    ax.set_xticks([])
    ax.set_yticks([1 + (height + 1) * i + height / 2 for i in range(len(images))], list(images))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def side_by_side(images: dict[str, Tensor], columns: int | None = None):
    """Grids of images in panels next to one another: samples beside data, say.

    Args:
        images: name -> (N, C, H, W); the names become the titles.
        columns: images per row in each panel, as in `grid`.

    Returns:
        An array of axes, one per panel.

    >>> axes = side_by_side({"data": torch.rand(16, 1, 8, 8), "samples": torch.rand(16, 1, 8, 8)})
    >>> [ax.get_title() for ax in axes]
    ['data', 'samples']
    """
    import matplotlib.pyplot as plt

    n = len(images)
    size = (6.4, 6.4 / n + 0.3)  # square panels below their titles
    _, axes = plt.subplots(1, n, figsize=size, squeeze=False, layout="constrained")
    for ax, (name, batch) in zip(axes[0], images.items(), strict=True):
        grid(batch, columns, ax=ax)
        ax.set_title(name)
    return axes[0]
