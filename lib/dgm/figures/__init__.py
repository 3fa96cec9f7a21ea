"""Interactive figures: in a notebook they are widgets, on a static page they still move.

    fig = latent_plane(model.decoder, codes, labels)   # drag a code, see its decoded image
    fig = frames(render, m=[1, 2, 4, 8])               # a slider over pictures made by `render`
    fig = distribution_1d(grid, log_joint)             # move q; ELBO + KL = log p, by quadrature
    fig = flow_1d()                                    # bend a curve; see what becomes of N(0, 1)
    fig = walkers(toys.ring())                         # Langevin steps, all taken or some refused
    fig = score_field(toys.ring())                     # a slider over noise levels

The last expression of a cell shows the figure. Where a kernel runs it is a widget, whose values
Python reads and sets (`fig.z`, `fig.values`, `fig.mean`). On a page without a kernel it is
self-contained HTML: pictures or weights are embedded, JavaScript of the page itself does the rest,
and nothing is requested from anywhere. Without JavaScript, and in print, a still picture remains.
`fig.html()` is that HTML.

anywidget, matplotlib and Pillow are imported when a figure is made.
"""

from ._distribution_1d import distribution_1d
from ._energies import score_field, walkers
from ._flow_1d import flow_1d
from ._frames import frames
from ._latent_plane import latent_plane

__all__ = [
    "distribution_1d",
    "flow_1d",
    "frames",
    "latent_plane",
    "score_field",
    "walkers",
]
