"""M1+M2 with a hundred labels, for the chapter on few labels: what images without labels are worth.

M1 is the convolutional VAE of `at_scale`, as it was recorded: it has seen all training images and
no label. An M2 learns from its codes, fresh draws at each update. A seed is that of the networks
and that of the choice of labels, ten of each class, the same choices as in the comparison of all
methods. The weight alpha is the publication's, and ten times that; neither is chosen by results.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import heads
from .._device import device
from ..data import Dataset, Split
from ..labels import MixedBatches, few
from ..models import M2
from ..objectives import m2
from ..objectives.semi_supervised import of_labelled
from ..train import own_random_state
from .at_scale import AT_SCALE
from .parts import falling_rate, scheduled_step
from .records import read_models
from .study import Study

LABELS, LABELLED, UPDATES = 100, 10, 1000  # labels, how many of them in a batch, updates
CODE, STYLE = 16, 8  # sizes: the code of M1, and of M2
M1_WEIGHTS = Path(__file__).resolve().parents[3] / "book" / "records" / "models" / "conv-vae.pt"


@cache
def first_stage() -> nn.Module:
    """The recorded VAE, on `dgm.device()`."""
    with own_random_state(0):
        vae = AT_SCALE["conv-vae"].untrained((1, 28, 28))
    vae.load_state_dict(read_models(M1_WEIGHTS)["model"])
    return vae.requires_grad_(False).eval()


@cache
def posteriors(split: Split) -> Split:
    """For each image mean and standard deviation of its code, side by side: x is (N, 2 CODE)."""
    qs = [first_stage().posterior(part) for part in split.images.split(1000)]
    return Split(torch.cat([torch.cat([q.mean, q.stddev], 1) for q in qs]), split.y, None)


@dataclass(frozen=True)
class Draws:
    """Batches of posteriors, with a fresh draw in the place of each."""

    batches: MixedBatches

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for q, y in self.batches:
            mean, stddev = q.chunk(2, 1)  # (B, CODE) each
            yield mean + stddev * torch.randn_like(mean), y


# ---------------------------------------------------------------- what is trained and measured


def labels_alone(model: M2, z: Tensor, y: Tensor) -> Tensor:
    """The classifier's log-probability of the labels; codes without one are left out: (B,)."""
    return of_labelled(z, y) * model.classify(z).log_prob(y.clamp(min=0))


def second_stage(shape: tuple[int, ...], objective):
    """An M2 of codes, in training."""
    model = M2.mlp(shape, latent=STYLE, hidden=(128,), likelihood=heads.Normal).to(device())
    rate = partial(falling_rate, steps=UPDATES, highest=5e-3)
    return scheduled_step(model, objective, rate, partial(torch.optim.Adam, fused=True))


def weighted(alpha: float) -> partial:
    objective = partial(m2, alpha=alpha, labelled_share=LABELS / 60_000)
    return partial(second_stage, objective=objective)


@torch.no_grad()
def errors(model: M2, dataset: Dataset) -> dict[str, float]:
    """Percentage of the test images whose label is not the most probable one at their code."""
    codes = posteriors(dataset.test).x[:, :CODE]  # means
    wrong = model.classify(codes).logits.argmax(-1) != dataset.test.y
    return {"error": 100 * wrong.double().mean().item()}


@dataclass(frozen=True)
class OfCodes(Study):
    """A study of what is learned from codes of which a hundred have labels."""

    def shape(self, dataset: Dataset) -> tuple[int, ...]:
        return (CODE,)

    def batches(self, dataset: Dataset, seed: int = 0) -> Draws:
        split = few(posteriors(dataset.train), LABELS, seed)
        return Draws(MixedBatches(split, self.batch_size, LABELLED))


HUNDRED_LABELS = OfCodes(
    model="M2 of the codes of conv-vae (16 numbers, a style of 8, perceptrons with 128 units), "
    "Adam, a rate that falls from 0.005 to zero, 100 codes and 10 with labels in each batch",
    dataset="mnist",
    settings={
        "labels alone": partial(second_stage, objective=labels_alone),
        "α = 0.1": weighted(0.1),
        "α = 1": weighted(1.0),
    },
    watched=("model",),
    measure=errors,
    measured="errors of q(y | z) at the means of the codes of all 10,000 test images, in percent; "
    "the mean objective since the last point",
    batch_size=100,
    updates=UPDATES,
    every=100,
    seeds=5,
)
