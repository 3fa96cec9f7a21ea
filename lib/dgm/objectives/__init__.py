"""Objectives: what training maximises.

Every objective is a function `objective(model, x, y=None) -> (B,)`: one number per example, larger
is better. A training step maximises its mean over the batch. Nats where the model is
probabilistic.
"""

from .likelihood import log_likelihood, reconstruction

__all__ = ["log_likelihood", "reconstruction"]
