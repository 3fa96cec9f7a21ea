"""A VQ-VAE of MNIST, a Transformer of its codes: what one code says, what all say, and draws."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from .. import data, heads
from .._device import device
from ..architectures.convolution import double, halve, mirrored, pyramid
from ..evaluate import mean_and_error, rate_distortion, search_codes, usage
from ..models import VQVAE, Codebook, Transformer
from ..nets import OverImages
from ..objectives import log_likelihood, vq
from ..train import History, Step, codebook_step
from .at_scale import EXAMPLES
from .gans import distance_of_samples, means
from .parts import at_rate, falling_rate, scheduled_step
from .recipe import SEED, Recipe, Schedule
from .records import packed, round_weights
from .runs import train_rounds

WIDTH, LATENT, CODES = 16, 8, 64  # channels at full size; numbers of a vector; vectors
PRIOR = {"width": 48, "layers": 2, "heads": 4}
PRIOR_UPDATES, PRIOR_ROUNDS = 4000, 20
SEARCHED, DRAWS = 60, 500  # test images whose best code is looked for, and draws around it

# ---------------------------------------------------------------- the networks


class Places(nn.Module):
    """A feature map as rows, a vector for each place: (..., L, h, w) -> (..., h w, L)."""

    def forward(self, maps: Tensor) -> Tensor:
        return maps.flatten(-2).transpose(-1, -2)


class Map(nn.Module):
    """The way back: (..., h w, L) -> (..., L, h, w)."""

    def __init__(self, height: int, width: int):
        super().__init__()
        self.size = height, width

    def forward(self, rows: Tensor) -> Tensor:
        return rows.transpose(-1, -2).unflatten(-1, self.size)


def on_a_grid(shape: Sequence[int]) -> VQVAE:
    """A VQ-VAE whose symbols have places: each sees its part of the image, and draws there first.

    Convolutions halve an image until a side is 4 or less, so that 28 x 28 pixels become 4 x 4
    symbols; transposed ones lead back.
    """
    maps, back = pyramid(shape, WIDTH), mirrored(shape, WIDTH)
    (channels, *size), down, up = maps[-1], [], []
    for large, small in pairwise(maps):
        down += [halve(large[0], small[0]), nn.ReLU()]
    for small, large in pairwise(back):
        up += [double(small, large), nn.ReLU()]
    first = nn.Conv2d(LATENT, channels, 3, padding=1)
    return VQVAE(
        nn.Sequential(OverImages(*down, nn.Conv2d(channels, LATENT, 1)), Places()),
        nn.Sequential(
            Map(*size), OverImages(first, nn.ReLU(), *up), heads.Bernoulli(back[-1], shape)
        ),
        Codebook(CODES, LATENT, decay=0.99),
        heads.UniformOneHot((size[0] * size[1], CODES)),
        shape,
    )


def prior_of(model: VQVAE) -> Transformer:
    """A model of the symbols, untrained."""
    symbols, codes = model.prior().event_shape
    return Transformer((symbols,), levels=codes, **PRIOR).to(device())


# ---------------------------------------------------------------- two stages


class TwoStages(Recipe):
    """An autoencoder, trained as the schedule says; then it stays as it is, and a prior learns the
    codes of training images, binarised anew each time, in as many updates whatever the budget."""

    def untrained(self, shape: tuple[int, ...], setting: None = None) -> VQVAE:
        model = super().untrained(shape)
        return model.with_prior(prior_of(model))

    def train(
        self, plan: dict, checkpoint: Path, seed: int = SEED, distributed: bool = False
    ) -> tuple[Step, History]:
        step, history = super().train(plan, checkpoint, seed, distributed)
        torch.manual_seed(seed)
        rate = partial(falling_rate, steps=PRIOR_UPDATES, highest=3e-3)
        adam = partial(torch.optim.Adam, fused=True)
        second = scheduled_step(prior_of(step.model), log_likelihood, rate, adam)
        codes = OfCodes(step.model, data.load(self.dataset).train)
        file, updates = checkpoint.with_name(f"prior, {checkpoint.name}"), PRIOR_UPDATES
        later = train_rounds(second, codes, updates // PRIOR_ROUNDS, PRIOR_ROUNDS, checkpoint=file)
        for name in ("seconds", "load"):
            history.metrics[name] += later[name]
        step.model = step.model.with_prior(second.model)
        round_weights(step.model)
        return step, history


class OfCodes:
    """Batches of the codes of images (128, M), which are drawn from their grey levels anew."""

    def __init__(self, model: VQVAE, split: data.Split):
        self.model, self.batches = model, split.batches(128, binarize="dynamic", drop_last=True)

    def __iter__(self) -> Iterator[tuple[Tensor]]:
        for x, _ in self.batches:
            yield (self.model.codes(x),)


def vq_vae(epochs: int) -> TwoStages:
    """4 x 4 symbols of 64 codes, whose vectors follow by moving averages.

    Source: van den Oord, Vinyals and Kavukcuoglu (2017), arXiv:1711.00937, with a Transformer in
    the place of their PixelCNN. The sizes and the schedule are our own.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        adam, lr_schedule = at_rate(partial(torch.optim.Adam, fused=True), rate)
        model = on_a_grid(shape).to(device())
        return codebook_step(model, vq, optimizer=adam, lr_schedule=lr_schedule)

    schedule = Schedule(64, partial(falling_rate, highest=3e-3), epochs, parts=10)
    return TwoStages(
        model=f"VQ-VAE, 4 × 4 symbols of {CODES} codes, Transformer for a prior",
        dataset="mnist",
        binarization="dynamic",
        estimator="one code, distortion + rate",
        unit="nats",
        step=step,
        score=codes_and_draws,
        full=schedule,
        short=schedule,
        few=None,
    )


# ---------------------------------------------------------------- what is measured and kept


def codes_and_draws(model: VQVAE, dataset: data.Dataset, images: int) -> dict:
    """What the encoder's code says of test images, binarised once; what the best code and all codes
    say of some of them, by search; which codes are in use; how far draws are from images.
    """
    x = binary(dataset, images)
    rate, distortion = rate_distortion(model, x)
    figure, standard_error = mean_and_error(-by_one_code(model, x))
    return {
        "figure": figure,
        "standard_error": standard_error,
        "rate": rate,
        "distortion": distortion,
        "symbols": [*model.prior().event_shape],
        "usage": usage(model, x)._asdict(),
        "searched": searched(model, x[:SEARCHED]),
        "means_of_draws": distances(model, dataset, images),
        "prior_updates": PRIOR_UPDATES,
        "examples": packed(x[:EXAMPLES]),
    }


def binary(dataset: data.Dataset, images: int) -> Tensor:
    """The first so many test images, binarised once."""
    return next(iter(dataset.test.batches(images, shuffle=False, binarize="fixed")))[0]


@torch.no_grad()
def by_one_code(model: VQVAE, x: Tensor) -> Tensor:
    """log p(x | k(x)) + log p(k(x)) of each image: (N, *shape) -> (N,)."""
    values = []
    for part in x.split(1000):
        z = model.posterior(part).sample()  # (B, M, K), the one code that it can be
        values.append(model.likelihood(z).log_prob(part) + model.prior().log_prob(z))
    return torch.cat(values)


def searched(model: VQVAE, x: Tensor) -> dict:
    """Minus log p(x) of each image in nats: by the nearest code, by the best one that is found, and
    by draws around it, which is above the truth on average."""
    found = [search_codes(model, part, draws=DRAWS) for part in x.split(10)]
    values = {
        "nearest_code": by_one_code(model, x),
        "best_code": torch.cat([part.best for part in found]),
        "all_codes": torch.cat([part.log_prob for part in found]),
    }
    nats = {name: [round(-v, 3) for v in value.tolist()] for name, value in values.items()}
    return {"draws": DRAWS, "nats": nats}


def distances(model: VQVAE, dataset: data.Dataset, images: int) -> dict:
    """Fréchet distances of means of p(x | k), for codes of the prior, codes that are uniform, and
    codes of training images."""
    train = dataset.train
    parts = model.encoder, model.decoder, model.quantiser
    uniform = heads.UniformOneHot(model.prior().event_shape).to(train.x.device)

    @torch.no_grad()
    def reconstructed(model: VQVAE, n: int) -> Tensor:
        i = torch.randint(len(train), (n,), device=train.x.device)
        x = torch.bernoulli(train.select(i).images)
        return model.decoder(model.quantiser.vectors[model.codes(x)]).mean

    return {
        "prior": distance_of_samples(model, dataset, images, means),
        "uniform": distance_of_samples(VQVAE(*parts, uniform, model.shape), dataset, images, means),
        "codes": distance_of_samples(model, dataset, images, reconstructed),
    }


VQ_VAE = {"vq-vae": vq_vae(epochs=4)}
