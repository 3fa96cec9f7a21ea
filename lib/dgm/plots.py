"""Pictures: image grids, codes, paths and surfaces in code space, training curves.

Each function draws into the matplotlib axes it is given, or into a new figure, and returns the
axes. Classes are told apart by marker as well as by colour; the colours are Paul Tol's, chosen to
be distinct with every common form of colour blindness. matplotlib is imported when something is
drawn.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from .evaluate import mean_log_prob
from .protocols import Tractable

# Paul Tol's "muted" scheme, its pale grey (too faint on white) replaced by a dark one
COLORS = (
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933",
    "#ddcc77", "#cc6677", "#882255", "#aa4499", "#555555",
)  # fmt: skip
MARKERS = "osD^vP<>X*"


def use_style() -> None:
    """The book's look for figures drawn in a notebook: sizes, colours, sharp pictures."""
    import matplotlib as mpl

    mpl.rcParams.update(
        {
            "figure.figsize": (6.4, 3.6),
            "figure.constrained_layout.use": True,
            "figure.dpi": 100,
            "font.size": 10,
            "axes.titlesize": 10,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.prop_cycle": mpl.cycler(color=["#332288", "#cc6677", "#117733", "#ddaa33"]),
            "legend.frameon": False,
            "lines.linewidth": 1.8,
        }
    )
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # not in a notebook
        return
    set_matplotlib_formats("retina")


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


def latent_scatter(codes: Tensor, labels: Tensor, classes: Sequence[str] | None = None, ax=None):
    """Two-dimensional codes, a marker and a colour per class.

    Classes whose names are one character long, such as digits, are drawn as that character.

    Args:
        codes: (N, 2).
        labels: (N,), integers.
        classes: names of the classes; by default their numbers.
    """
    _require_plane("codes", codes)
    ax = _axes(ax)
    for c, name in _classes(labels, classes):
        chosen = codes[labels == c].cpu()
        marker = f"${name}$" if len(name) == 1 else MARKERS[c % len(MARKERS)]
        ax.scatter(*chosen.T, s=18, marker=marker, color=_color(c), linewidths=0.3, label=name)
    ax.set_xlabel("$z_1$")
    ax.set_ylabel("$z_2$")
    if any(len(name) > 1 for _, name in _classes(labels, classes)):
        ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def pca_view(codes: Tensor, labels: Tensor, classes: Sequence[str] | None = None, ax=None):
    """Codes of any dimension, projected on their first two principal components.

    Args:
        codes: (N, latent), latent of at least 2.
        labels, classes: as in `latent_scatter`.
    """
    from .models.linear import PCA

    pca = PCA(codes.shape[1:], latent=2).to(codes.device).fit(codes)
    ax = latent_scatter(pca.encode(codes), labels, classes, ax)
    share = pca.eigenvalues[:2] / pca.eigenvalues.sum()
    ax.set_xlabel(f"first principal component ({share[0]:.0%} of the variance)")
    ax.set_ylabel(f"second ({share[1]:.0%})")
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

    groups = _classes(labels, classes)
    n = codes.shape[1]
    _, axes = plt.subplots(1, n, figsize=(3.2 * n, 2.8), squeeze=False, sharey=True)
    for j, ax in enumerate(axes[0]):
        values = [codes[labels == c, j].cpu().numpy() for c, _ in groups]
        colors = [_color(c) for c, _ in groups]
        ax.hist(values, bins, stacked=True, color=colors, label=[name for _, name in groups])
        ax.set_xlabel(f"$z_{{{j + 1}}}$")
    axes[0, 0].set_ylabel("examples")
    axes[0, -1].legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return axes[0]


@torch.no_grad()
def interpolation(decode: Callable[[Tensor], Tensor], start: Tensor, end: Tensor, steps=9, ax=None):
    """Decoded images along the straight line (1 - t) start + t end.

    Args:
        decode: (steps, latent) -> (steps, C, H, W).
        start, end: codes, (latent,).
        steps: number of equally spaced t from 0 to 1.
    """
    t = torch.linspace(0, 1, steps, device=start.device)[:, None]  # (steps, 1)
    return grid(decode((1 - t) * start + t * end), columns=steps, ax=ax)


@torch.no_grad()
def manifold(
    decode: Callable[[Tensor], Tensor],
    side: int = 15,
    box: tuple[Tensor, Tensor] | None = None,
    device: torch.device | None = None,
    ax=None,
):
    """Decoded images over a grid of two-dimensional codes: a map of what the decoder has learned.

    Args:
        decode: (N, 2) -> (N, C, H, W).
        side: images per row and column.
        box: lower and upper corner of the grid, (2,) each. Without it the grid is evenly spaced in
            probability under N(0, I): z = Phi^{-1}(u) for u from 0.5/side to 1 - 0.5/side.
        device: where the codes are made, if there is no box.

    Source: Kingma and Welling (2014), Auto-Encoding Variational Bayes, figure 4.
    """
    if box is None:
        u = (torch.arange(side, device=device) + 0.5) / side
        z1 = z2 = torch.special.ndtri(u)  # (side,)
    else:
        lower, upper = box
        t = torch.linspace(0, 1, side, device=lower.device)
        z1, z2 = (lower[i] + t * (upper[i] - lower[i]) for i in (0, 1))
    z = torch.stack([z1.repeat(side), z2.flip(0).repeat_interleave(side)], 1)  # (side^2, 2)
    images = decode(z)
    picture, _ = _mosaic(images, columns=side, gap=0)
    ax = _axes(ax, aspect=1.0)
    if box is None:  # evenly spaced in probability, not in z: the axes would carry no numbers
        _show(picture, ax)
    else:
        _show(picture, ax, extent=[float(z) for z in (z1[0], z1[-1], z2[0], z2[-1])], aspect="auto")
        ax.axis("on")
        ax.set_xlabel("$z_1$")
        ax.set_ylabel("$z_2$")
    return ax


def history(history, ax=None):
    """Every metric of a `dgm.train.History` against the epoch."""
    ax = _axes(ax)
    for name, values in history.metrics.items():
        ax.plot(range(1, len(values) + 1), values, label=name)
    ax.set_xlabel("epoch")
    if len(history.metrics) == 1:
        ax.set_ylabel(next(iter(history.metrics)))
    else:
        ax.legend()
    return ax


@torch.no_grad()
def compare_2d(models: dict, data, n: int = 1000, ax=None):
    """The book's comparison of models of points in the plane: a panel each, scored and sampled.

    The first panel shows the test points over the exact density, with the score that the exact
    density itself has on them: up to the noise of the test points no model scores better. Then
    comes each model: `n` samples, over its density where it has one, and under its name its mean
    test log-likelihood in nats, with the standard error. A density is shaded on the same scale in
    all panels; an implicit model has none.

    Args:
        models: name -> model with `sample(n)`, and `log_prob(x)` if it has one.
        data: a toy, from `dgm.data.load("moons")` and the like.
        n: samples drawn per model, and test points shown (or all, if there are fewer).
        ax: array of one axes for the data and one per model; by default a new figure.

    Returns:
        The array of axes, flat: data first, then the models in their order.

    Raises:
        ValueError: data is not a toy, or ax has too few axes.

    >>> import dgm
    >>> data = dgm.data.load("ring", device="cpu")
    >>> class Square:
    ...     def sample(self, n): return 2 * torch.rand(n, 2) - 1
    >>> axes = compare_2d({"square": Square()}, data)
    >>> axes[1].get_title()
    'square\\nno density'
    """
    if data.density is None:
        raise ValueError(f"data: got {data.name!r}, expected a toy in the plane with its density")
    axes = _panels(1 + len(models)) if ax is None else ax
    if len(axes) < 1 + len(models):
        raise ValueError(f"ax: got {len(axes)} axes, expected {1 + len(models)}, data first")
    half = 1.1 * data.train.x.abs().max().item()  # the box is [-half, half]^2
    t = torch.linspace(-half, half, 160, device=data.test.x.device)
    points = torch.cartesian_prod(t, t).flip(1)  # (160 * 160, 2), the first coordinate fastest
    darkest = data.density.log_prob(points).exp().max().item()
    for axis, (name, model) in zip(axes, {"data": data.density, **models}.items(), strict=False):
        verdict = "no density"
        if isinstance(model, Tractable):
            density = model.log_prob(points).exp().reshape(160, 160).cpu().numpy()
            box = (-half, half, -half, half)
            shade = {"cmap": "Blues", "vmin": 0, "vmax": 1.8 * darkest, "origin": "lower"}
            axis.imshow(density, extent=box, interpolation="bilinear", **shade)
            mean, error = mean_log_prob(model, data.test.x)
            verdict = f"{mean:.2f} ± {error:.2f} nats" if mean > -torch.inf else "-∞ nats"
        samples = data.test.x[:n] if model is data.density else model.sample(n)
        axis.scatter(*samples.cpu().T, s=3, color=COLORS[0], alpha=0.5, linewidths=0)
        axis.set(xlim=(-half, half), ylim=(-half, half), aspect="equal", title=f"{name}\n{verdict}")
    for axis in axes:
        axis.set(xlabel="$x_1$", ylabel="$x_2$")
        axis.label_outer()
    return axes


def _mosaic(images: Tensor, columns: int | None, gap: int = 1) -> tuple[Tensor, tuple[int, int]]:
    """One picture of N images with a light gap between them, and the (H, W) of one."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or len(images) == 0:
        raise ValueError(
            f"images: got shape {tuple(images.shape)}, expected (N, 1 or 3, height, width)"
        )
    n, channels, height, width = images.shape
    columns = columns or max(1, round((n * height / width) ** 0.5))
    n_rows = -(-n // columns)
    paper = 0.0 if channels == 1 else 1.0  # grey images are drawn inverted: 0 is white
    picture = torch.full(
        (channels, gap + n_rows * (height + gap), gap + columns * (width + gap)), paper
    )
    for i, image in enumerate(images.detach().float().cpu().clamp(0, 1)):
        top, left = (i // columns) * (height + gap) + gap, (i % columns) * (width + gap) + gap
        picture[:, top : top + height, left : left + width] = image
    return picture.movedim(0, -1).squeeze(-1), (height, width)


def _show(picture: Tensor, ax, **options) -> None:
    ax.imshow(picture.numpy(), cmap="gray_r", vmin=0, vmax=1, interpolation="nearest", **options)
    ax.axis("off")


def _axes(ax, aspect: float = 6.4 / 3.6):
    """The given axes, or those of a new figure 6.4 inches wide (narrower if that makes it tall)."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    width = min(6.4, 5.2 * aspect)
    return plt.subplots(figsize=(width, width / aspect), layout="constrained")[1]


def _classes(labels: Tensor, classes: Sequence[str] | None) -> list[tuple[int, str]]:
    present = [int(c) for c in labels.unique()]
    return [(c, str(c) if classes is None else classes[c]) for c in present]


def _color(c: int) -> str:
    return COLORS[c % len(COLORS)]


def _require_plane(argument: str, codes: Tensor) -> None:
    if codes.ndim != 2 or codes.shape[1] != 2:
        raise ValueError(f"{argument}: got shape {tuple(codes.shape)}, expected (N, 2)")


def _panels(count: int):
    """`count` square panels of a new figure, in rows of about as many as there are rows."""
    import matplotlib.pyplot as plt

    columns = -int(-(count**0.5) // 1)
    rows = -(-count // columns)
    size = (min(6.4, 3.2 * columns), min(6.4, 3.2 * columns) / columns * rows * 1.1)
    _, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for unused in axes.flat[count:]:
        unused.remove()
    return axes.flat[:count]
