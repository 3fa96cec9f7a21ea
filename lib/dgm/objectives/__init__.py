"""Objectives: what training maximises.

Every objective is a function `objective(model, x, y=None) -> (B,)`: one number per example, larger
is better. A training step maximises its mean over the batch. Nats where the model is
probabilistic. The players of a GAN have objectives of two arguments or three, in `adversarial`:
`critic_objective(D, real, fake)` and `generator_objective(D, fake)`.
"""

from ..denoisers import flow_likelihood
from .adversarial import (
    critic_hinge,
    critic_logistic,
    critic_wasserstein,
    generator_linear,
    generator_non_saturating,
    generator_saturating,
    gradient_penalty,
    r1_penalty,
)
from .bounds import dreg, elbo, free_bits, iwae
from .contrastive import contrastive_divergence, noise_contrastive
from .denoising import denoising, diffusion_bound, iid, importance, stratified
from .divergences import kl, kl_per_coordinate
from .fisher import fisher
from .likelihood import grid_likelihood, log_likelihood, order_agnostic, reconstruction
from .matching import flow_between, flow_matching
from .score_matching import (
    annealed_score_matching,
    denoising_score_matching,
    score_matching,
    sliced_score_matching,
)
from .semi_supervised import labelled_bound, m2, prediction_constrained, unlabelled_bound

__all__ = [
    "annealed_score_matching",
    "contrastive_divergence",
    "critic_hinge",
    "critic_logistic",
    "critic_wasserstein",
    "denoising",
    "denoising_score_matching",
    "diffusion_bound",
    "dreg",
    "elbo",
    "fisher",
    "flow_between",
    "flow_likelihood",
    "flow_matching",
    "free_bits",
    "generator_linear",
    "generator_non_saturating",
    "generator_saturating",
    "gradient_penalty",
    "grid_likelihood",
    "iid",
    "importance",
    "iwae",
    "kl",
    "kl_per_coordinate",
    "labelled_bound",
    "log_likelihood",
    "m2",
    "noise_contrastive",
    "order_agnostic",
    "prediction_constrained",
    "r1_penalty",
    "reconstruction",
    "score_matching",
    "sliced_score_matching",
    "stratified",
    "unlabelled_bound",
]
