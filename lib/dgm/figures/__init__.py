"""Interactive figures: in a notebook they are widgets, on a static page they still move.

    fig = latent_plane(model.decoder, codes, labels)   # drag a code, see its decoded image
    fig = frames(render, m=[1, 2, 4, 8])               # a slider over pictures made by `render`
    fig = distribution_1d(grid, log_joint)             # move q; ELBO + KL = log p, by quadrature
    fig = flow_1d()                                    # bend a curve; see what becomes of N(0, 1)
    fig = walkers(toys.ring())                         # Langevin steps, all taken or some refused
    fig = score_field(toys.ring())                     # a slider over noise levels
    fig = from_noise(model)                            # the page draws images, step by step
    fig = ideal_denoiser(IdealDenoiser(x))             # the images that a noisy one may have been
    fig = particles(toys.ring())                       # from noise to data, in any number of steps
    fig = guidance()                                   # what guidance draws, and what it is said to
    fig = crossing()                                   # paths that cross, trajectories that do not
    fig = euler_steps(model)                           # one noise, followed in 1 to 64 steps
    fig = balls()                                      # drag an outlier; precision and coverage
    fig = ranks(table, good)                           # families between two measures, which cross
    fig = coder(model, x)                              # one image becomes bits, step by step

The last expression of a cell shows the figure. Where a kernel runs it is a widget, whose values
Python reads and sets (`fig.z`, `fig.values`, `fig.mean`). On a page without a kernel it is
self-contained HTML: pictures or weights are embedded, JavaScript of the page itself does the rest,
and nothing is requested from anywhere. Without JavaScript, and in print, a still picture remains.
`fig.html()` is that HTML.

anywidget, matplotlib and Pillow are imported when a figure is made.
"""

from ._balls import balls
from ._coder import coder
from ._crossing import crossing
from ._distribution_1d import distribution_1d
from ._energies import score_field, walkers
from ._flow_1d import flow_1d
from ._frames import frames
from ._from_noise import euler_steps, from_noise
from ._guidance import guidance
from ._ideal_denoiser import ideal_denoiser
from ._latent_plane import latent_plane
from ._particles import particles
from ._ranks import ranks

__all__ = [
    "balls",
    "coder",
    "crossing",
    "distribution_1d",
    "euler_steps",
    "flow_1d",
    "frames",
    "from_noise",
    "guidance",
    "ideal_denoiser",
    "latent_plane",
    "particles",
    "ranks",
    "score_field",
    "walkers",
]
