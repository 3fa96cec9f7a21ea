"""Variants of the VAE in the long run: what a full covariance and free bits come to."""

from functools import partial

import torch
from torch import nn

from .. import heads
from .._device import device
from ..data import Dataset
from ..evaluate import importance_weighted, rate_distortion
from ..models import VAE
from ..objectives import elbo, free_bits
from ..train import gradient_step
from .study import Study


def learner(shape: tuple[int, ...], objective=elbo, **sizes) -> gradient_step:
    return gradient_step(VAE.mlp(shape, **sizes).to(device()), objective, lr=2e-3)


@torch.no_grad()
def on_test(model: nn.Module, dataset: Dataset) -> dict[str, float]:
    """Rate, ELBO and log p(x) in nats, of images that are binarised once."""
    test = dataset.test
    x = next(iter(test.batches(len(test), shuffle=False, binarize="fixed")))[0]
    rate, distortion = rate_distortion(model, x, k=10)
    log_p_x = importance_weighted(model, x, k=50).mean().item()
    return {"rate": rate, "ELBO": -rate - distortion, "log p(x)": log_p_x}


four = partial(learner, latent=4, hidden=(100,))
sixteen = partial(learner, latent=16, hidden=(100, 100))

VARIANTS = Study(
    model="VAE, perceptrons 64-100-4-100-64, for free bits 64-100-100-16-100-100-64, Adam with "
    "rate 0.002",
    dataset="digits",
    settings={
        "diagonal": four,
        "full covariance": partial(four, posterior=heads.FullNormal),
        "ELBO": sixteen,
        "free bits": partial(sixteen, objective=partial(free_bits, free=0.25)),
    },
    watched=("model",),
    measure=on_test,
    measured="of the binary test images, in nats: rate and ELBO from 10 draws, log p(x) by "
    "importance weighting with 50; the mean objective since the last point",
    batch_size=128,
    updates=4400,
    every=220,  # twenty passes over 11 batches
    seeds=3,
    binarize="dynamic",
    weights=False,
)
