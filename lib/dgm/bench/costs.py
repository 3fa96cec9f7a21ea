"""How cost grows with the work: what an epoch takes, and what evaluating a likelihood takes."""

import os
from dataclasses import replace
from functools import partial

import torch

from .._device import device
from ..data import Split
from ..evaluate import importance_weighted
from ..models import VAE
from ..objectives import elbo, iwae
from ..train import gradient_step
from .clock import seconds, seconds_per_call
from .measure import peak_memory
from .products import LATENT, Work, product_step

EPOCH_OF = 60_000  # images


CURVES = {  # what grows, and through which values; all else is as in `Work`
    "batch": [16, 64, 256, 1024, 4096],
    "width": [50, 100, 200, 400, 800, 1600],
    "k": [1, 2, 5, 10, 20, 50],
    "side": [7, 14, 28, 56, 84],
}


def cost(curve: str, place: str) -> list[tuple[float, float]]:
    """Seconds an epoch takes at each value of the curve: with dgm, and its matrix products alone.

    Extrapolated from a few steps of `gradient_step` to 60,000 images.
    """
    os.environ["DGM_DEVICE"] = place
    return [epoch_seconds(replace(Work(), **{curve: value})) for value in CURVES[curve]]


def epoch_seconds(work: Work, at_least: float = 0.3) -> tuple[float, float]:
    n = max(2 * work.batch, 512)
    grey = torch.randint(256, (n, 1, work.side, work.side), dtype=torch.uint8, device=device())
    split = Split(grey, torch.zeros(n, dtype=torch.int64, device=device()), levels=256)
    batches = split.batches(work.batch, binarize="dynamic")
    objective = elbo if work.k is None else partial(iwae, k=work.k)
    model = VAE.mlp((1, work.side, work.side), hidden=work.width, latent=LATENT).to(device())
    step, products = gradient_step(model, objective), product_step(work.layers())

    def train() -> None:
        for batch in batches:
            step(batch)

    def multiply() -> None:
        for _ in batches.split.x.split(work.batch):
            products()

    train(), multiply()  # what only the first call pays for
    ours, least = (seconds_per_call(run, at_least) for run in (train, multiply))
    return ours * EPOCH_OF / n, least * EPOCH_OF / n


DRAWS, CHUNK, IMAGES = [500, 5_000, 50_000], 500, 4


def evaluation(at_once: bool, place: str) -> list[tuple[float, float]]:
    """Estimating log p(x) from each number of draws, decoded `CHUNK` at a time or all at once.

    Returns:
        Seconds per image, and the most memory so far in MiB, beyond what `CHUNK` draws take.
    """
    os.environ["DGM_DEVICE"] = place
    model = VAE.mlp((1, 28, 28), latent=LATENT).to(device())
    x = torch.ones(IMAGES, 1, 28, 28, device=device())
    importance_weighted(model, x, k=CHUNK)  # what only the first call pays for
    before, measured = peak_memory(), []
    for k in DRAWS:
        chunk = k if at_once else CHUNK
        elapsed = seconds(lambda k=k, chunk=chunk: importance_weighted(model, x, k=k, chunk=chunk))
        measured.append((elapsed / IMAGES, peak_memory() - before))
    return measured
