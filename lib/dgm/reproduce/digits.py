"""The digits of the chapter on autoregressive models: how well each network learns them."""

from functools import partial

import torch
from torch import nn
from torch.optim.lr_scheduler import LinearLR

from .._device import device
from ..data import Dataset, Split
from ..evaluate import importance_weighted
from ..models import FVSBN, LSTM, MADE, NADE, VAE, GatedPixelCNN, PixelCNN, Transformer
from ..objectives import elbo, log_likelihood, order_agnostic
from ..protocols import Tractable
from ..train import gradient_step
from .study import Study

UPDATES, HELD_BACK = 5000, 237  # of 1,437 training images
COLUMNS = [8 * row + column for column in range(8) for row in range(8)]


def learner(shape: tuple[int, ...], build, lr: float, objective=log_likelihood) -> gradient_step:
    """A model in training, with a learning rate that falls from lr to zero."""
    falling = partial(LinearLR, start_factor=1, end_factor=0, total_iters=UPDATES)
    return gradient_step(build(shape).to(device()), objective, lr=lr, lr_schedule=falling)


def made(shape: tuple[int, ...], hidden: int = 200, order: str = "rows") -> MADE:
    """One hidden layer; the order is that of rows, of columns, or shuffled."""
    orders = {"rows": None, "columns": COLUMNS, "shuffled": torch.randperm(64)}
    return MADE(shape, order=orders[order], hidden=(hidden,))


def in_order(order: str, hidden: int) -> partial:
    return partial(learner, build=partial(made, hidden=hidden, order=order), lr=5e-3)


@torch.no_grad()
def nats(model: nn.Module, split: Split) -> float:
    """The mean of -log p(x), of a VAE a bound from 200 draws; images are binarised once."""
    x = next(iter(split.batches(len(split), shuffle=False, binarize="fixed")))[0]
    exact = isinstance(model, Tractable)
    return -(model.log_prob(x) if exact else importance_weighted(model, x, k=200)).mean().item()


def scores(model: nn.Module, dataset: Dataset) -> dict[str, float]:
    last = torch.arange(len(dataset.train))[-HELD_BACK:]
    return {
        "validation": nats(model, dataset.train.select(last)),
        "test": nats(model, dataset.test),
    }


def scores_of_orders(model: MADE, dataset: Dataset) -> dict[str, float]:
    """The same, and the test images in eight random orders: one at a time, and mixed."""
    mixture = model.ensemble(8)
    each = [nats(member, dataset.test) for member in mixture.members()[1:]]
    return scores(model, dataset) | {
        "test, another order": sum(each) / len(each),
        "test, 8 orders mixed": nats(mixture, dataset.test),
    }


MEASURED = "nats per image of the 237 training images that were held back, and of the test images"
study = partial(
    Study,
    dataset="digits",
    binarize="dynamic",
    held_back=HELD_BACK,
    watched=("model",),
    weights=False,
    batch_size=32,
    updates=UPDATES,
    every=250,
)

DIGITS = study(
    model="Adam, a rate that falls to zero; each network in one size",
    settings={
        "FVSBN": partial(learner, build=FVSBN, lr=1e-2),
        "NADE": partial(learner, build=partial(NADE, hidden=64), lr=5e-3),
        "LSTM": partial(learner, build=partial(LSTM, hidden=48), lr=5e-3),
        "PixelCNN": partial(learner, build=partial(PixelCNN, width=16, layers=3), lr=1e-2),
        "GatedPixelCNN": partial(
            learner, build=partial(GatedPixelCNN, width=12, layers=3), lr=1e-2
        ),
        "Transformer": partial(learner, build=partial(Transformer, width=32, layers=2), lr=5e-3),
        "VAE": partial(learner, build=partial(VAE.mlp, latent=8), lr=3e-3, objective=elbo),
        "MADE": partial(learner, build=made, lr=5e-3),
    },
    measure=scores,
    measured=MEASURED,
    seeds=3,
)

ORDERS = study(
    model="MADE, Adam, a rate that falls to zero",
    settings={
        "row by row": in_order("rows", 200),
        "column by column": in_order("columns", 200),
        "shuffled": in_order("shuffled", 200),
        "row by row, 20 units": in_order("rows", 20),
        "shuffled, 20 units": in_order("shuffled", 20),
        "row by row, 800 units": in_order("rows", 800),
        "shuffled, 800 units": in_order("shuffled", 800),
        "all orders": partial(learner, build=made, lr=5e-3, objective=order_agnostic),
    },
    measure=scores_of_orders,
    measured=MEASURED + "; of these also in other orders than that of the model",
    seeds=3,
)
