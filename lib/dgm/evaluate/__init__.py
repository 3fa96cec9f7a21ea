"""Evaluation: what a trained model is worth, in numbers.

`representation` asks a model about given examples: codes, reconstructions, log-likelihoods.
`likelihood` estimates what a latent-variable model says about data, and takes its bound apart.
`partition` counts: log Z of an energy, and log p(x) of a decoder without its encoder, by annealed
importance sampling along a path of `paths`. `ode` is the likelihood of a denoiser as a flow.
`plane` compares densities of the plane on a grid.
`samples` needs draws alone, as there are of every generative model, implicit ones included,
if need be in the features of a `classifier` of our own. `trajectories` asks a flow how straight its
ways are.
"""

from ..models.codes import encode
from .classifier import Classifier, train_classifier
from .likelihood import (
    AggregatePosterior,
    active_units,
    aggregate_posterior,
    importance_weighted,
    rate_distortion,
)
from .ode import hutchinson, ode_log_prob
from .partition import AnnealingPath, Sandwich, ais, reverse_ais, sandwich
from .paths import DecoderPath, RBMPath
from .plane import grid_kl
from .representation import (
    bits_per_dimension,
    knn,
    linear_probe,
    mean_and_error,
    mean_log_prob,
    nearest_distance,
    nearest_neighbours,
    principal_angles,
    reconstruction_error,
)
from .samples import (
    copying,
    frechet_distance,
    good_share,
    log_density_ratio,
    mmd,
    mmd_test,
    mode_counts,
    modes_covered,
)
from .trajectories import straightness, transport_cost

__all__ = [
    "AggregatePosterior",
    "AnnealingPath",
    "Classifier",
    "DecoderPath",
    "RBMPath",
    "Sandwich",
    "active_units",
    "aggregate_posterior",
    "ais",
    "bits_per_dimension",
    "copying",
    "encode",
    "frechet_distance",
    "good_share",
    "grid_kl",
    "hutchinson",
    "importance_weighted",
    "knn",
    "linear_probe",
    "log_density_ratio",
    "mean_and_error",
    "mean_log_prob",
    "mmd",
    "mmd_test",
    "mode_counts",
    "modes_covered",
    "nearest_distance",
    "nearest_neighbours",
    "ode_log_prob",
    "principal_angles",
    "rate_distortion",
    "reconstruction_error",
    "reverse_ais",
    "sandwich",
    "straightness",
    "train_classifier",
    "transport_cost",
]
