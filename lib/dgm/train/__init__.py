"""Training: one loop for every model.

A *step* makes one update from one batch and returns its metrics. `fit` calls it over and over,
shows a progress bar, keeps the history and writes checkpoints. It knows nothing of models,
objectives or optimisers: those belong to the step.
"""

from .checkpoints import load_checkpoint, random_state, save_checkpoint, set_random_state
from .loop import History, fit
from .steps import Step, check_batch, gradient_step, likelihood_support

__all__ = [
    "History",
    "Step",
    "check_batch",
    "fit",
    "gradient_step",
    "likelihood_support",
    "load_checkpoint",
    "random_state",
    "save_checkpoint",
    "set_random_state",
]
