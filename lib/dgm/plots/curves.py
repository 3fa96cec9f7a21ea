"""Numbers against epochs."""

from .base import _axes


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
