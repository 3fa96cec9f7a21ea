"""Codes: where the encoder puts the examples."""

from collections.abc import Sequence

from torch import Tensor

from .base import MARKERS, _axes, _numpy, color_of, present_classes, require_plane


def latent_scatter(codes: Tensor, labels: Tensor, classes: Sequence[str] | None = None, ax=None):
    """Two-dimensional codes, a marker and a colour per class.

    Classes whose names are one character long, such as digits, are drawn as that character.

    Args:
        codes: (N, 2).
        labels: (N,), integers.
        classes: names of the classes; by default their numbers.
    """
    require_plane("codes", codes)
    ax = _axes(ax)
    for c, name in present_classes(labels, classes):
        chosen = _numpy(codes[labels == c])
        marker = f"${name}$" if len(name) == 1 else MARKERS[c % len(MARKERS)]
        ax.scatter(*chosen.T, s=18, marker=marker, color=color_of(c), linewidths=0.3, label=name)
    ax.set_xlabel("$z_1$")
    ax.set_ylabel("$z_2$")
    if any(len(name) > 1 for _, name in present_classes(labels, classes)):
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def stacked_histograms(
    codes: Tensor, labels: Tensor, classes: Sequence[str] | None = None, bins: int = 40
):
    """One histogram per coordinate of the code, the classes stacked; returns an array of axes.

    Args:
        codes: (N, latent).
        labels, classes: as in `latent_scatter`.
    """
    import matplotlib.pyplot as plt

    groups = present_classes(labels, classes)
    n = codes.shape[1]
    _, axes = plt.subplots(1, n, figsize=(3.2 * n, 2.8), squeeze=False, sharey=True)
    for j, ax in enumerate(axes[0]):
        values = [_numpy(codes[labels == c, j]) for c, _ in groups]
        colors = [color_of(c) for c, _ in groups]
        ax.hist(values, bins, stacked=True, color=colors, label=[name for _, name in groups])
        ax.set_xlabel(f"$z_{{{j + 1}}}$")
    axes[0, 0].set_ylabel("examples")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes[0]
