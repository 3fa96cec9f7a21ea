"""Codes of bits, for the chapter on estimators: where five gradients lead in the long run."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Independent
from torch.nn import functional as F

from .. import estimators, heads
from .._device import device
from ..data import Dataset
from ..models import VAE
from ..objectives import elbo
from ..train import gradient_step
from .study import Study


def both(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """ELBO and log p(x) in nats, (B,) each, by summing over all codes, each decoded once."""
    z = estimators.support(model.prior())  # (256, 8)
    log_p_x = of_bits(model.likelihood(z), x)  # (256, B)
    log_joint = log_p_x + model.prior().log_prob(z)[:, None]
    log_q = of_bits(model.posterior(x), z).T  # (256, B)
    return (log_q.exp() * (log_joint - log_q)).sum(0), log_joint.logsumexp(0)


def of_bits(d: Independent, x: Tensor) -> Tensor:
    """Log-probability of each x (n, *event) under each of m products of Bernoullis: (m, n)."""
    logits = d.base_dist.logits.flatten(1)  # (m, D)
    return logits @ x.flatten(1).T - F.softplus(logits).sum(1, keepdim=True)


def exact(model: nn.Module, x: Tensor, y: Tensor | None = None) -> Tensor:
    """The ELBO without a draw: `elbo(..., estimator=estimators.exact)`, in a tenth of its time."""
    return both(model, x)[0]


def eight_bits(shape: tuple[int, ...], objective: Callable) -> gradient_step:
    """An autoencoder whose code is eight bits."""
    model = VAE.mlp(shape, latent=8, hidden=(100,), posterior=heads.Bernoulli).to(device())
    return gradient_step(model, objective, lr=5e-3)


def drawn(estimator: Callable, **options) -> Callable[[tuple[int, ...]], gradient_step]:
    objective = partial(elbo, k=4, estimator=partial(estimator, **options))
    return partial(eight_bits, objective=objective)


@torch.no_grad()
def on_train_and_test(model: nn.Module, dataset: Dataset) -> dict[str, float]:
    figures = {}
    for name, split in (("train", dataset.train), ("test", dataset.test)):
        bound, log_p_x = both(model, torch.bernoulli(split.images))
        figures[f"{name} ELBO"] = bound.mean().item()
        figures[f"{name} log p(x)"] = log_p_x.mean().item()
    return figures


BITS = Study(
    model="VAE 64-100-8-100-64 with codes of eight bits, four draws, Adam with rate 0.005",
    dataset="digits",
    settings={
        "exact": partial(eight_bits, objective=exact),
        "score function": drawn(estimators.score_function),
        "leave-one-out": drawn(estimators.score_function, baseline="leave-one-out"),
        "Gumbel-softmax": drawn(estimators.gumbel_softmax, temperature=0.5),
        "straight-through": drawn(estimators.straight_through),
    },
    watched=("model",),
    measure=on_train_and_test,
    measured="mean ELBO and log p(x) in nats of training and test images, pixels drawn 0 or 1, by "
    "summing over all 256 codes; the mean objective since the last point",
    batch_size=128,
    updates=4000,
    every=160,
    seeds=4,
    binarize="dynamic",
)
