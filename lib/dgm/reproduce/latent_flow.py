"""A flow over the codes of a VAE of MNIST: what it saves, and what the samples gain."""

from functools import partial

import torch
from torch import Tensor

from .. import heads
from .._device import device
from ..data import Dataset
from ..denoisers import FlowPrior
from ..evaluate import mean_and_error, rate_distortion
from ..models import VAE, Diffusion
from ..objectives import elbo, flow_matching
from ..paths import linear
from ..samplers import heun
from ..train import Step, gradient_step, rising_average
from .gans import distance_of_samples, means
from .parts import at_rate, falling_rate, scheduled_step
from .recipe import Recipe, Schedule

LATENT, UPDATES, RATED = 16, 3000, 2000  # of a code; of the flow; test images for the rate
STEPS = 16  # of Heun's method


def latent_flow(beta: float) -> Recipe:
    """A perceptron VAE, sigma = 0.2 at every pixel, trained with this weight of the rate; then a
    flow of its codes, beside which encoder and decoder stay as they are.

    Sources: Vahdat, Kreis and Kautz (2021), arXiv:2106.05931; Rombach et al. (2022),
    arXiv:2112.10752. The settings are our own.
    """

    def step(shape: tuple[int, ...], rate) -> Step:
        likelihood = partial(heads.Normal, sigma=0.2)
        model = VAE.mlp(shape, latent=LATENT, hidden=(400, 200), likelihood=likelihood)
        adam = partial(torch.optim.Adam, fused=True)
        return scheduled_step(model, partial(elbo, beta=beta), rate, adam)

    schedule = Schedule(128, partial(falling_rate, highest=1e-3), 10)
    return Recipe(
        model=f"flow over the {LATENT} codes of a VAE, β = {beta:g}, means of p(x | z)",
        dataset="mnist",
        binarization=None,
        estimator="Fréchet distance to the test images",
        unit="percent of the variance of the test images' features",
        step=step,
        score=with_flow,
        full=schedule,
        short=schedule,
        few=None,
        kept=False,
    )


def with_flow(vae: VAE, dataset: Dataset, images: int) -> dict:
    """Fréchet distances with codes of the flow, of the prior, and of training images; the rate of
    test images under the prior, and by how many nats the flow lowers it.
    """
    codes = codes_of(vae, dataset.train.images)
    flow = flow_of(codes)
    prior = FlowPrior(flow, STEPS, heun)
    latent = VAE(vae.encoder, vae.decoder, prior, vae.shape)
    distance = partial(distance_of_samples, dataset=dataset, images=images)

    @torch.no_grad()
    def encoded(model: VAE, n: int) -> Tensor:
        i = torch.randint(len(codes), (n,), device=codes.device)
        return model.likelihood(codes[i]).mean

    x = dataset.test.images[:RATED]
    z = codes_of(vae, x)
    with torch.no_grad():
        saved = mean_and_error(prior().log_prob(z) - vae.prior().log_prob(z))
    return {
        **distance(latent, draw=means),
        "prior": distance(vae, draw=means),
        "codes": distance(vae, draw=encoded),
        "rate": rate_distortion(vae, x)[0],
        "saved": saved,
        "deviation_of_codes": codes.std(0).tolist(),
        "flow_updates": UPDATES,
    }


@torch.no_grad()
def codes_of(vae: VAE, x: Tensor) -> Tensor:
    """A draw of q(z | x) for each image: (N, latent)."""
    return torch.cat([vae.posterior(part).sample() for part in x.split(1000)])


def flow_of(codes: Tensor) -> Diffusion:
    """A flow on straight lines, trained on codes (N, latent)."""
    model = Diffusion.mlp(codes.shape[1:], path=linear(), predict="velocity").to(device())
    rate = partial(falling_rate, steps=UPDATES, highest=3e-3)
    adam, lr_schedule = at_rate(partial(torch.optim.Adam, fused=True), rate)
    step = gradient_step(
        model.standardise(codes),
        flow_matching,
        optimizer=adam,
        lr_schedule=lr_schedule,
        ema=partial(rising_average, ema=0.999),
    )
    for _ in range(UPDATES):
        step((codes[torch.randint(len(codes), (256,), device=codes.device)],))
    return step.average


LATENT_FLOW = {"latent-flow": latent_flow(1.0), "latent-flow-sharp": latent_flow(0.1)}
