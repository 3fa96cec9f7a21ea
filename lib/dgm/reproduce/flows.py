"""Flows: three kinds in the plane, where the divergence is a sum; on the digits, two kinds of noise
in the cells of grey levels and two priors of a VAE; and one of MNIST's grey levels, for a chapter
to draw from and a line of the scoreboard."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal

from .. import data, heads, nets
from ..evaluate import bits_per_dimension, importance_weighted, mean_and_error
from ..models import VAE, Dequantised, Flow
from ..objectives import elbo, log_likelihood
from ..train import Step
from .at_scale import EXAMPLES
from .parts import falling_rate, scheduled_step
from .recipe import Recipe, Schedule
from .records import packed
from .study import Study

TRAINING, WEIGHTED, DRAWS = 2000, 500, 16  # images, test images of a tighter bound, its draws
WEIGHTS, DRAWS_OF_CODES = 32, 500  # of importance-weighted bounds on the digits
UPDATES = 1500  # in the plane
STEP, NEAR = 0.04, 4  # side of a square; standard deviations within which a point is near a mode

# ---------------------------------------------------------------- in the plane


def in_the_plane(toy: str, splines: int) -> Study:
    """Affine couplings, masked autoregressive layers and spline couplings, on points drawn once."""
    kinds = {
        "8 affine couplings": partial(Flow.coupling, layers=8),
        "5 autoregressive": partial(Flow.autoregressive, layers=5),
        f"{splines} spline couplings": partial(Flow.spline, layers=splines),
    }

    def start(kind: Callable[..., Flow], shape: tuple[int, ...]) -> Step:
        rate = partial(falling_rate, steps=UPDATES, highest=5e-3)
        return scheduled_step(kind(shape), log_likelihood, rate, torch.optim.Adam)

    return Study(
        model="flows with networks of 64-64 units, maximum likelihood, Adam at 0.005, falling",
        dataset=toy,
        settings={name: partial(start, kind) for name, kind in kinds.items()},
        watched=("model",),
        measure=divergence,
        measured="KL(data || model) in nats and mass far from all modes, sums over squares of 0.04",
        batch_size=200,
        updates=UPDATES,
        every=150,
        seeds=3,
        weights=toy == "ring",  # from which the chapter draws
    )


@torch.no_grad()
def divergence(model: Flow, dataset: data.Dataset) -> dict[str, float]:
    """KL(p_data || p_theta), and the mass that p_theta has far from all modes of the data."""
    side = torch.arange(-1.8, 1.8 + STEP / 2, STEP, device=dataset.train.x.device)
    x = torch.cartesian_prod(side, side)
    modes = dataset.density.component_distribution
    distance = (x[:, None] - modes.mean).norm(dim=2).min(1).values
    near = distance < NEAR * modes.stddev.max()
    log_p, log_q = dataset.density.log_prob(x[near]), model.log_prob(x[near])
    ratio = log_p.exp() * (log_p - log_q)
    return {
        "KL": STEP**2 * ratio.sum().item(),
        "mass far from modes": 1 - STEP**2 * log_q.exp().sum().item(),
    }


# ---------------------------------------------------------------- noise in the cells of grey levels


class CellNoise(nn.Module):
    """Noise that is learned: Gaussian for each pixel, from its neighbourhood, then a sigmoid."""

    def __init__(self, channels: int, width: int = 16):
        super().__init__()
        self.network = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),  # (B, C, H, W) -> (B, width, H, W)
            nn.SiLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 2 * channels, 3, padding=1),  # -> (B, 2 C, H, W)
        )
        for parameter in self.network[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Independent:
        mean, log_scale = self.network(x).chunk(2, dim=1)  # (B, C, H, W) each
        scale = (0.5 + log_scale).exp()  # of about 1.6 at first: the sigmoid is nearly uniform
        return Independent(Normal(mean.flatten(1), scale.flatten(1)), 1)


def dequantisation(updates: int = 600) -> Study:
    """The chapter's convolutional spline flow, under uniform noise and under learned noise."""

    def start(shape: tuple[int, ...], noise: Callable[[int], nn.Module | None]) -> Step:
        flow = Flow.conv(shape, layers=2, scales=1, width=16)
        model = Dequantised(flow, 17, noise(shape[0]))
        rate = partial(falling_rate, steps=updates, highest=1e-2)
        return scheduled_step(model, elbo, rate, torch.optim.Adam)

    return Study(
        model="convolutional spline flow of width 16, Adam at 0.01, falling",
        dataset="digits",
        settings={
            "uniform noise": partial(start, noise=lambda channels: None),
            "learned noise": partial(start, noise=CellNoise),
        },
        watched=("model",),
        measure=bits_of_levels,
        measured="bits per dimension of 360 test images: the bound from 4 draws each, also of the "
        f"first 100 alone, and of these with importance weights of {WEIGHTS} draws",
        batch_size=128,
        updates=updates,
        every=30,
        seeds=3,
        weights=False,
    )


@torch.no_grad()
def bits_of_levels(model: Dequantised, dataset: data.Dataset) -> dict[str, float]:
    x, shape = dataset.test.images[:360], dataset.shape
    bits = partial(bits_per_dimension, shape=shape)
    each = torch.stack([elbo(model, x) for _ in range(4)])  # (4, B)
    weighted = importance_weighted(model, x[:100], k=WEIGHTS)
    return {
        "bound": bits(each.mean()).item(),
        "bound of 100": bits(each[:, :100].mean()).item(),
        f"{WEIGHTS} draws": bits(weighted.mean()).item(),
    }


# ---------------------------------------------------------------- the prior of a VAE


def priors(updates: int = 1500) -> Study:
    """A VAE with codes of two numbers; its prior is Gaussian, or a flow that is trained with it."""

    def start(shape: tuple[int, ...], prior: Callable[[], nn.Module]) -> Step:
        encoder = nn.Sequential(nets.mlp(shape, 200), heads.DiagonalNormal(200, 2))
        decoder = nn.Sequential(nets.mlp(2, 200), heads.Bernoulli(200, shape))
        rate = partial(falling_rate, steps=updates, highest=2e-3)
        return scheduled_step(VAE(encoder, decoder, prior(), shape), elbo, rate, torch.optim.Adam)

    return Study(
        model="VAE, perceptrons 64-200-2-200-64, Adam at 0.002, falling",
        dataset="digits",
        settings={
            "N(0, I)": partial(start, prior=partial(heads.StandardNormal, 2)),
            "a flow": partial(start, prior=partial(Flow.coupling, 2, layers=4)),
        },
        watched=("model",),
        measure=nats_of_codes,
        measured="of the binary test images, in nats: ELBO from 10 draws, log p(x) by importance "
        f"weighting with {DRAWS_OF_CODES}",
        batch_size=128,
        updates=updates,
        every=50,
        seeds=3,
        binarize="dynamic",
        weights=False,
    )


@torch.no_grad()
def nats_of_codes(model: VAE, dataset: data.Dataset) -> dict[str, float]:
    test = dataset.test
    x = next(iter(test.batches(len(test), shuffle=False, binarize="fixed")))[0]
    return {
        "ELBO": elbo(model, x, k=10).mean().item(),
        "log p(x)": importance_weighted(model, x, k=DRAWS_OF_CODES).mean().item(),
    }


# ---------------------------------------------------------------- MNIST's grey levels


def spline_flow(levels: int = 256, width: int = 24, bins: int = 10, epochs: int = 1) -> Recipe:
    """Convolutional spline couplings at two scales, eight in all, under uniform dequantisation.

    Source: Durkan et al. (2019), arXiv:1906.04032, with the scales of Dinh et al. (2017),
    arXiv:1605.08803; far smaller, so that its weights can be kept.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        flow = Flow.conv(shape, layers=2, scales=2, width=width, bins=bins)
        adam = partial(torch.optim.Adam, fused=True)
        return scheduled_step(Dequantised(flow, levels), elbo, rate, adam)

    schedule = Schedule(24, partial(falling_rate, highest=1e-2), epochs, parts=10)
    return Recipe(
        model=f"spline flow, 8 convolutional couplings of width {width}",
        dataset="mnist",
        binarization=None,
        estimator="uniform dequantisation, one draw",
        unit="bits per dimension",
        step=step,
        score=bits_and_images,
        full=schedule,
        short=schedule,
    )


@torch.no_grad()
def bits_and_images(model: Dequantised, dataset: data.Dataset, images: int) -> dict:
    """The bound of test images in bits per dimension, and of training images; some test images.

    The bound with several draws, which is nearer to the truth, is measured on fewer test images,
    and beside it the first one on the same.
    """
    bits = partial(bits_per_dimension, shape=dataset.shape)
    each = bounds(model, dataset.test.images[:images])
    some = dataset.test.images[:WEIGHTED]
    figure, standard_error = mean_and_error(bits(each))
    return {
        "figure": figure,
        "standard_error": standard_error,
        "training": bits(bounds(model, dataset.train.images[:TRAINING]).mean()).item(),
        "one_draw": bits(each[:WEIGHTED].mean()).item(),
        "draws": DRAWS,
        "several_draws": bits(importance_weighted(model, some, k=DRAWS).mean()).item(),
        "examples": packed(dataset.test.images[:EXAMPLES]),
    }


def bounds(model: Dequantised, x: Tensor) -> Tensor:
    """The ELBO of each image, in nats, from one draw: (N, *shape) -> (N,)."""
    return torch.cat([elbo(model, part) for part in x.split(100)])


FLOWS = {
    "spline-flow": spline_flow(),
    "flows-moons": in_the_plane("moons", splines=2),
    "flows-ring": in_the_plane("ring", splines=4),
    "flow-noise": dequantisation(),
    "flow-prior": priors(),
}
