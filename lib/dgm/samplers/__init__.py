"""Samplers: chains that draw from a density known up to a constant.

A sampler is a function `sampler(model, x, steps=1, y=None) -> x`: where chains that stand at x,
(B, *event), are after so many steps. It leaves no graph. What else one needs, such as the length of
a step, goes in by `partial(langevin, step=0.01)`; whoever takes a sampler takes any.

A chain that is long enough forgets its start. How long that is nobody tells it: a start of draws
from p stays one of draws from p, any other start is left only as fast as the chain can cross from
one mode to the next.
"""

from .annealed import annealed_langevin, noise_levels
from .chains import gibbs, metropolis
from .langevin import Place, langevin, mala, mala_log_acceptance, mala_step
from .replay import ReplayBuffer

__all__ = [
    "Place",
    "ReplayBuffer",
    "annealed_langevin",
    "gibbs",
    "langevin",
    "mala",
    "mala_log_acceptance",
    "mala_step",
    "metropolis",
    "noise_levels",
]
