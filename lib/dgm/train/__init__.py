"""Training: one loop for every model.

A *step* makes one update from one batch and returns its metrics. `fit` calls it over and over,
shows a progress bar, keeps the history and writes checkpoints. It knows nothing of models,
objectives or optimisers: those belong to the step, and what moves a module up an objective (its
optimiser, learning rate, clipping and average) is the step's `Learner`.
"""

from .adversarial import adversarial_step
from .checkpoints import load_checkpoint, save_checkpoint
from .codebook import codebook_step
from .distributed import rank, world_size
from .em import em_step
from .learner import Learner
from .loop import History, fit
from .randomness import own_random_state
from .schedules import linear_warmup, rising_average
from .steps import Step, gradient_step

__all__ = [
    "History",
    "Learner",
    "Step",
    "adversarial_step",
    "codebook_step",
    "em_step",
    "fit",
    "gradient_step",
    "linear_warmup",
    "load_checkpoint",
    "own_random_state",
    "rank",
    "rising_average",
    "save_checkpoint",
    "world_size",
]
