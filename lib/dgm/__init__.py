"""The library of *Deep Generative Models: an executable course*.

    data = dgm.data.load()                                      # images, on the device
    model = dgm.models.Autoencoder.mlp(data.shape, latent=2).to(dgm.device())
    step = dgm.train.gradient_step(model, dgm.objectives.reconstruction)
    history = dgm.train.fit(step, data.train.batches(128), epochs=20)

Models stay where you put them; `.to(dgm.device())` puts them where the data are.
"""

from . import (
    architectures,
    checks,
    coding,
    conditioned,
    data,
    denoisers,
    energies,
    estimators,
    evaluate,
    figures,
    heads,
    labels,
    models,
    nets,
    objectives,
    paths,
    plots,
    predictions,
    protocols,
    samplers,
    symbols,
    toys,
    train,
)
from ._device import device

__all__ = [
    "architectures",
    "checks",
    "coding",
    "conditioned",
    "data",
    "denoisers",
    "device",
    "energies",
    "estimators",
    "evaluate",
    "figures",
    "heads",
    "labels",
    "models",
    "nets",
    "objectives",
    "paths",
    "plots",
    "predictions",
    "protocols",
    "samplers",
    "symbols",
    "toys",
    "train",
]
