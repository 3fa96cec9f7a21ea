"""What all plots share: colours, markers, axes, and how images become a picture."""

from collections.abc import Sequence

from torch import Tensor

# Each stands out from white (contrast 3 or more), any two differ with every common form of colour
# blindness, and the first four, which lines take in turn, differ most (tests/book/test_colours.py).
COLORS = (
    "#332288", "#a63801", "#067a9a", "#da7920", "#3997d5",
    "#056e45", "#7a9267", "#521059", "#a84e78", "#424242",
)  # fmt: skip
MARKERS = "osD^vP<>X*"


def use_style() -> None:
    """The book's look for figures drawn in a notebook: sizes, colours, sharp at every size.

    Figures are SVG on white paper, which reads in a notebook of either theme. The book's pages take
    the paper away and show ink and `COLORS` in the reader's theme (book/_ext/inline_plots.py).
    """
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
            "axes.prop_cycle": mpl.cycler(color=COLORS[:4]),
            "image.interpolation": "none",  # an SVG then holds each pixel once
            "legend.frameon": False,
            "lines.linewidth": 1.8,
            "svg.hashsalt": "dgm",  # the same figure is the same file
        }
    )
    try:
        from matplotlib_inline.backend_inline import set_matplotlib_formats
    except ImportError:  # not in a notebook
        return
    set_matplotlib_formats("svg", metadata={"Date": None})


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
    images = images.detach().float().cpu().clamp(0, 1)
    picture = images.new_full(
        (channels, gap + n_rows * (height + gap), gap + columns * (width + gap)), paper
    )
    for i, image in enumerate(images):
        top, left = (i // columns) * (height + gap) + gap, (i % columns) * (width + gap) + gap
        picture[:, top : top + height, left : left + width] = image
    return picture.movedim(0, -1).squeeze(-1), (height, width)


def _show(picture: Tensor, ax, **options) -> None:
    ax.imshow(picture.numpy(), cmap="gray_r", vmin=0, vmax=1, interpolation="none", **options)
    ax.axis("off")


def _axes(ax, aspect: float = 6.4 / 3.6):
    """The given axes, or those of a new figure 6.4 inches wide (narrower if that makes it tall)."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    width = min(6.4, 5.2 * aspect)
    return plt.subplots(figsize=(width, width / aspect), layout="constrained")[1]


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


def present_classes(labels: Tensor, classes: Sequence[str] | None) -> list[tuple[int, str]]:
    present = [int(c) for c in labels.unique()]
    return [(c, str(c) if classes is None else classes[c]) for c in present]


def color_of(c: int) -> str:
    return COLORS[c % len(COLORS)]


def _numpy(values: Tensor):
    """As matplotlib takes them: NumPy knows neither bfloat16 nor devices."""
    return values.detach().float().cpu().numpy()


def require_plane(argument: str, codes: Tensor) -> None:
    if codes.ndim != 2 or codes.shape[1] != 2:
        raise ValueError(f"{argument}: got shape {tuple(codes.shape)}, expected (N, 2)")
