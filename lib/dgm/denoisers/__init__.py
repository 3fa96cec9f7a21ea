"""Denoisers: what is known of data behind noise, whoever knows it.

    base        `Denoising`: score, velocity and samples, for whoever can denoise
    exact       `NoisedMixture`, a known density; `IdealDenoiser`, a finite data set
    guidance    denoisers made of denoisers: of a class, of known pixels, of a measurement
    likelihood  `flow_likelihood`, log p(x) of a denoiser as a flow
    prior       `FlowPrior`, such a flow over the codes of another model

A network that learns to denoise is `dgm.models.Diffusion`. All have the same methods, so that
samplers, objectives and evaluations take any of them: the truth can stand in for a network.
"""

from .base import Denoising
from .exact import IdealDenoiser, NoisedMixture
from .guidance import classifier_guided, guided, inpainting, observed
from .likelihood import flow_likelihood
from .prior import FlowPrior

__all__ = [
    "Denoising",
    "FlowPrior",
    "IdealDenoiser",
    "NoisedMixture",
    "classifier_guided",
    "flow_likelihood",
    "guided",
    "inpainting",
    "observed",
]
