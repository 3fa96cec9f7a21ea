"""Training: one loop for every model.

A *step* makes one update from one batch and returns its metrics. `fit` calls it over and over,
shows a progress bar, keeps the history and writes checkpoints. It knows nothing of models,
objectives or optimisers: those belong to the step.
"""

from .adversarial import adversarial_step
from .checkpoints import load_checkpoint, random_state, save_checkpoint, set_random_state
from .distributed import rank, world_size
from .em import em_step
from .loop import History, fit
from .schedules import cyclical_warmup, linear_warmup, sigmoid_warmup
from .steps import Step, gradient_step

__all__ = [
    "History",
    "Step",
    "adversarial_step",
    "cyclical_warmup",
    "em_step",
    "fit",
    "gradient_step",
    "linear_warmup",
    "load_checkpoint",
    "random_state",
    "rank",
    "save_checkpoint",
    "set_random_state",
    "sigmoid_warmup",
    "world_size",
]
