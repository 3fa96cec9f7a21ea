"""What incremental sampling is worth: images of 784 pixels, drawn twice.

Naive sampling takes a whole forward pass per pixel. All 784 are alike, so a few are timed and
counted for all; incremental sampling is timed from the first pixel to the last. A single parallel
pass, which scores the same images, is what drawing could cost if pixels did not have to wait for
each other.
"""

import os
from functools import partial
from itertools import islice

import torch

from .._device import device
from ..models import LSTM, MADE, NADE, GatedPixelCNN, PixelCNN, Transformer
from .clock import seconds, seconds_per_call

SHAPE, PIXELS, PASSES, BATCHES = (1, 28, 28), 784, 2, (1, 64)
MODELS = {  # of a size that MNIST asks for; how many times as fast incremental sampling shall be
    "PixelCNN": (partial(PixelCNN, width=128), 20),
    "GatedPixelCNN": (partial(GatedPixelCNN, width=64), 20),
    "Transformer": (partial(Transformer, width=128), 20),
    "LSTM": (LSTM, None),
    "NADE": (NADE, None),
    "MADE": (MADE, None),
}


def sampling(name: str, place: str) -> list[tuple[float, float, float]]:
    """Seconds to draw each number of images on the device `place`: naively, and incrementally; and
    what one parallel pass over as many takes."""
    os.environ["DGM_DEVICE"] = place
    make, _ = MODELS[name]
    model = make(SHAPE).to(device())
    return [draw(model, n) for n in BATCHES]


@torch.no_grad()
def draw(model: torch.nn.Module, n: int) -> tuple[float, float, float]:
    x = torch.zeros(n, PIXELS, device=device())
    for steps in (model.naive(x), model.incremental(x)):
        next(steps)  # what only the first call pays for: threads, kernels
    naive = seconds(lambda: list(islice(model.naive(x), PASSES))) * PIXELS / PASSES
    images = x.unflatten(1, SHAPE)
    parallel = seconds_per_call(lambda: model.log_prob(images))
    return naive, seconds(lambda: model.sample(n)), parallel
