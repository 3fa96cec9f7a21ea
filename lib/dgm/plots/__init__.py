"""Pictures: image grids, codes, paths and surfaces in code space, training curves.

Each function draws into the matplotlib axes it is given, or into a new figure, and returns the
axes. Classes are told apart by marker as well as by colour; the colours differ with every common
form of colour blindness. matplotlib is imported when something is
drawn.
"""

# the names with an underscore serve dgm.figures, whose drawings look like these
from .base import COLORS, MARKERS, use_style
from .codes import latent_scatter, stacked_histograms
from .curves import history
from .decoded import interpolation, manifold, neighbours, slerp
from .images import grid, rows, side_by_side
from .plane import compare_2d

__all__ = [
    "COLORS",
    "MARKERS",
    "compare_2d",
    "grid",
    "history",
    "interpolation",
    "latent_scatter",
    "manifold",
    "neighbours",
    "rows",
    "side_by_side",
    "slerp",
    "stacked_histograms",
    "use_style",
]
