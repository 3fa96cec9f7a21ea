"""Evaluation: what a trained model is worth, in numbers.

`representation` asks a model about given examples: codes, reconstructions, log-likelihoods.
`likelihood` estimates what a latent-variable model says about data, and takes its bound apart.
`partition` counts: log Z of an energy, and log p(x) of a decoder without its encoder, by annealed
importance sampling along a path of `paths`. `ode` is the likelihood of a denoiser as a flow.
`codes` sums discrete codes out and says what they carry; `masked` asks for hidden coordinates.
`plane` compares densities of the plane on a grid.
`samples` needs draws alone, as there are of every generative model, implicit ones included,
if need be in the features of a `classifier` of our own. So do `neighbours` (precision, recall,
density, coverage), `two_sample` (tests), `memory` (copies) and `diversity`.
`compare` says whether a difference of two models is one, `resampling` how far a number is off.
`trajectories` asks a flow how straight its ways are.
"""

from ..models.codes import encode
from .classifier import (
    Classifier,
    ConditionalAccuracy,
    conditional_accuracy,
    train_classifier,
)
from .codes import CodeSum, Usage, level_rates, search_codes, sum_codes, usage
from .compare import Paired, Spread, holm, paired, seed_interval, sign_flip, two_way
from .diversity import class_score, vendi
from .likelihood import (
    AggregatePosterior,
    active_units,
    aggregate_posterior,
    importance_weighted,
    rate_distortion,
)
from .masked import by_masked
from .memory import Birthday, CellCopying, birthday, copying_by_cell
from .neighbours import PRDC, expected_coverage, prdc
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
from .resampling import by_halves
from .samples import (
    copying,
    expected_frechet,
    frechet_distance,
    frechet_limit,
    good_share,
    kid,
    log_density_ratio,
    mmd,
    mmd_test,
    mode_counts,
    modes_covered,
)
from .trajectories import straightness, transport_cost
from .two_sample import TwoSample, classifier_test, neighbour_test

__all__ = [
    "AggregatePosterior",
    "AnnealingPath",
    "Birthday",
    "CellCopying",
    "Classifier",
    "CodeSum",
    "ConditionalAccuracy",
    "DecoderPath",
    "PRDC",
    "Paired",
    "RBMPath",
    "Sandwich",
    "Spread",
    "TwoSample",
    "Usage",
    "active_units",
    "aggregate_posterior",
    "ais",
    "birthday",
    "bits_per_dimension",
    "by_halves",
    "by_masked",
    "class_score",
    "classifier_test",
    "conditional_accuracy",
    "copying",
    "copying_by_cell",
    "encode",
    "expected_coverage",
    "expected_frechet",
    "frechet_distance",
    "frechet_limit",
    "good_share",
    "grid_kl",
    "holm",
    "hutchinson",
    "importance_weighted",
    "kid",
    "knn",
    "level_rates",
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
    "neighbour_test",
    "ode_log_prob",
    "paired",
    "prdc",
    "principal_angles",
    "rate_distortion",
    "reconstruction_error",
    "reverse_ais",
    "sandwich",
    "search_codes",
    "seed_interval",
    "sign_flip",
    "straightness",
    "sum_codes",
    "train_classifier",
    "transport_cost",
    "two_way",
    "usage",
    "vendi",
]
