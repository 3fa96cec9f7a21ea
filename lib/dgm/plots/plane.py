"""Models of points in the plane, measured and sampled side by side."""

import torch

from ..evaluate import mean_log_prob
from ..protocols import Tractable
from .base import COLORS, _numpy, _panels


@torch.no_grad()
def compare_2d(models: dict, data, n: int = 1000, ax=None):
    """The book's comparison of models of points in the plane: a panel each, measured and sampled.

    The first panel shows the test points over the exact density, with the log-likelihood that the
    density itself has on them: up to the noise of the test points no model has a higher one. Then
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
    from matplotlib.colors import LinearSegmentedColormap

    if data.density is None:
        raise ValueError(f"data: got {data.name!r}, expected a toy in the plane with its density")
    axes = _panels(1 + len(models)) if ax is None else ax
    if len(axes) < 1 + len(models):
        raise ValueError(f"ax: got {len(axes)} axes, expected {1 + len(models)}, data first")
    half = 1.1 * data.train.x.abs().max().item()  # the box is [-half, half]^2
    like = {"dtype": data.test.x.dtype, "device": data.test.x.device}
    t = torch.linspace(-half, half, 160, **like)
    points = torch.cartesian_prod(t, t).flip(1)  # (160 * 160, 2), the first coordinate fastest
    # from nothing to blue, over a ground of either theme
    shade = LinearSegmentedColormap.from_list("shade", ["#2a7fc000", "#2a7fc0"])
    darkest = data.density.log_prob(points).exp().max().item()
    for axis, (name, model) in zip(axes, {"data": data.density, **models}.items(), strict=False):
        verdict = "no density"
        if isinstance(model, Tractable):
            density = _numpy(model.log_prob(points).exp().reshape(160, 160))
            box = (-half, half, -half, half)
            scale = {"cmap": shade, "vmin": 0, "vmax": 1.8 * darkest, "origin": "lower"}
            axis.imshow(density, extent=box, interpolation="bilinear", **scale)
            mean, error = mean_log_prob(model, data.test.x)
            verdict = f"{mean:.2f} ± {error:.2f} nats" if mean > -torch.inf else "-∞ nats"
        samples = data.test.x[:n] if model is data.density else model.sample(n)
        axis.scatter(*_numpy(samples).T, s=3, color=COLORS[0], alpha=0.5, linewidths=0)
        axis.set(xlim=(-half, half), ylim=(-half, half), aspect="equal", title=f"{name}\n{verdict}")
    for axis in axes:
        axis.set(xlabel="$x_1$", ylabel="$x_2$")
        axis.label_outer()
    return axes
