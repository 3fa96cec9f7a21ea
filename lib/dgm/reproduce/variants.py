"""Variants of the VAE in the long run: what a full covariance comes to."""

from functools import partial

import torch
from torch import nn

from .. import heads
from .._device import device
from ..data import Dataset
from ..evaluate import importance_weighted, rate_distortion
from ..models import VAE
from ..objectives import elbo
from ..train import gradient_step
from .study import Study


def learner(shape: tuple[int, ...], posterior=heads.DiagonalNormal) -> gradient_step:
    model = VAE.mlp(shape, latent=4, hidden=(100,), posterior=posterior)
    return gradient_step(model.to(device()), elbo, lr=2e-3)


@torch.no_grad()
def on_test(model: nn.Module, dataset: Dataset) -> dict[str, float]:
    """Rate, ELBO and log p(x) in nats, of images that are binarised once."""
    test = dataset.test
    x = next(iter(test.batches(len(test), shuffle=False, binarize="fixed")))[0]
    rate, distortion = rate_distortion(model, x, k=10)
    log_p_x = importance_weighted(model, x, k=50).mean().item()
    return {"rate": rate, "ELBO": -rate - distortion, "log p(x)": log_p_x}


VARIANTS = Study(
    model="VAE, perceptrons 64-100-4-100-64, Adam with rate 0.002",
    dataset="digits",
    settings={
        "diagonal": learner,
        "full covariance": partial(learner, posterior=heads.FullNormal),
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
