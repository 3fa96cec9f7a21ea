"""Samplers: chains that draw from a density known up to a constant, and ways from noise to data.

A chain is a function `sampler(model, x, steps=1, y=None) -> x`: where chains that stand at x,
(B, *event), are after so many steps. It leaves no graph. What else one needs, such as the length of
a step, goes in by `partial(langevin, step=0.01)`; whoever takes a sampler takes any.

A chain that is long enough forgets its start. How long that is nobody tells it: a start of draws
from p stays one of draws from p, any other start is left only as fast as the chain can cross from
one mode to the next.

A way from noise to data, `sampler(model, x, times, y=None) -> x`, starts from pure noise and is
over when the times are: `reverse`.
"""

from .annealed import annealed_langevin, noise_levels
from .chains import gibbs, metropolis
from .langevin import Place, langevin, mala, mala_log_acceptance, mala_step
from .replay import ReplayBuffer
from .reverse import ancestral, ddim, ddim_step, euler, heun, multistep, sde, trajectory

__all__ = [
    "Place",
    "ReplayBuffer",
    "ancestral",
    "annealed_langevin",
    "ddim",
    "ddim_step",
    "euler",
    "gibbs",
    "heun",
    "langevin",
    "mala",
    "mala_log_acceptance",
    "mala_step",
    "metropolis",
    "multistep",
    "noise_levels",
    "sde",
    "trajectory",
]
