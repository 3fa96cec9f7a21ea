"""The final comparison: every family of the course on the same images, with equally many updates,
judged by the same measures.

A line of the table is a `Family`. What it cannot say it leaves out: a GAN has no likelihood.
Three yardsticks stand beside the families, which take no updates: they are fitted in closed form or
by EM; and so do training images in the place of draws.
"""

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from torch import Tensor, nn
from tqdm import tqdm

from .. import data, heads
from .._device import device
from ..data import Dataset
from ..evaluate import by_masked, importance_weighted, mean_and_error, paired, sum_codes, two_way
from ..models import (
    MADE,
    PPCA,
    VAE,
    VQVAE,
    Codebook,
    Critic,
    Dequantised,
    Diffusion,
    Flow,
    GatedPixelCNN,
    GaussianMixture,
    Generator,
    MaskedDiffusion,
    ScoreNetwork,
)
from ..objectives import (
    critic_logistic,
    denoising,
    diffusion_bound,
    elbo,
    flow_matching,
    log_likelihood,
    masked_bound,
    vq,
)
from ..paths import linear
from ..samplers import heun
from ..train import (
    History,
    Step,
    adversarial_step,
    codebook_step,
    em_step,
    gradient_step,
    own_random_state,
    rising_average,
)
from .energies import drawn as by_annealed_langevin
from .energies import matched as score_matched
from .gans import features_of
from .grey_levels import IndependentPixels, Rounded, RoundedPixels
from .judging import BITS, SECONDS, Nats, bits, judged
from .parts import at_rate, falling_rate
from .records import packed, read_model, round_weights, write, write_model
from .runs import mean_and_deviation, stopwatch, train_rounds

ROUNDS = 20  # that the updates are divided into: points of a curve, one of which is chosen
HELD_BACK = "held back"  # the objective of images that no step sees
PROCESSOR = "processor seconds"  # of a round, which a busy machine does not lengthen
NEAREST = f"{BITS}, nearest code"
TRAINING = "training images"
SHOWN = 12  # images of each family that the record keeps
AT_ONCE = 6_000_000  # pixels that are decoded
FITTED = 10_000  # images, at most, that a yardstick is fitted to
AVERAGE = partial(rising_average, ema=0.995)

# ---------------------------------------------------------------- how a model is trained


class Course:
    """The training of one model: steps in rounds, each from its checkpoint, and what they took.

    Attributes:
        updates, batch_size: of all steps together.
        held_back: training images that no step sees, (N, *shape), to choose a round by.
        histories: of each step.
        seconds: of the processor, for training alone.
    """

    def __init__(
        self,
        updates: int,
        batch_size: int,
        held_back: Tensor,
        file: Path | None = None,
        rounds: int = ROUNDS,
    ):
        self.updates, self.batch_size, self.held_back = updates, batch_size, held_back
        self.file, self.rounds = file, rounds
        self.histories: list[History] = []
        self.seconds = 0.0

    def train(
        self,
        step: Step,
        batches: Iterable[Sequence[Tensor]],
        updates: int,
        score: Callable[[], Tensor] | None = None,
    ) -> None:
        """So many updates; then the step goes back to the end of the round with the best score."""
        number, checkpoint = len(self.histories), None
        if self.file is not None:
            checkpoint = self.file.with_name(f"{self.file.name}, step {number}.pt")
        lap = stopwatch(time.process_time)

        def measure() -> dict[str, float]:
            seconds = lap()
            scored = {} if score is None else {HELD_BACK: score().item()}
            lap()
            return scored | {PROCESSOR: seconds}

        options = {"checkpoint": checkpoint, "progress": False}
        options |= {} if score is None else {"patience": ROUNDS}
        history = train_rounds(step, batches, updates // ROUNDS, self.rounds, measure, **options)
        self.histories.append(history)
        self.seconds += sum(history[PROCESSOR])

    def fit(self, fit: Callable[[], nn.Module]) -> nn.Module:
        """A model that needs no updates."""
        lap = stopwatch(time.process_time)
        model = fit()
        self.seconds += lap()
        return model


Build = Callable[[tuple[int, ...]], nn.Module]
Learn = Callable[[Dataset, Course], nn.Module]


def by_gradient(
    build: Build,
    objective: Callable[..., Tensor],
    highest: float,
    dataset: Dataset,
    course: Course,
    updates: int | None = None,
    make: Callable[..., Step] = gradient_step,
) -> nn.Module:
    """Gradient steps of Adam, at a rate that falls to zero: the average of the model, at the end of
    the round in which its objective was best for images that were held back.

    Args:
        highest: the rate at the start.
        updates: None for all of the course.
    """
    model = build(dataset.shape).to(device())
    if hasattr(model, "standardise"):
        model.standardise(dataset.train.images)
    batches = dataset.train.batches(course.batch_size, drop_last=True)
    updates, clip = updates or course.updates, float(math.prod(dataset.shape))
    step = make(model, objective, **falling(updates, highest), clip=clip, ema=AVERAGE)
    course.train(step, batches, updates, partial(held_back, step, course.held_back))
    return step.average


@torch.no_grad()
def held_back(step: gradient_step, x: Tensor) -> Tensor:
    """The mean objective of the average; if it draws, the same random numbers each time."""
    draws = 1 if step.objective is log_likelihood else 4
    with own_random_state(0):
        return torch.stack([step.objective(step.average, x).mean() for _ in range(draws)]).mean()


def falling(updates: int, highest: float) -> dict:
    """Optimiser and learning rate of a step."""
    rate = partial(falling_rate, steps=updates, highest=highest)
    optimizer, lr_schedule = at_rate(partial(torch.optim.Adam, fused=True), rate)
    return {"optimizer": optimizer, "lr_schedule": lr_schedule}


def with_learned_prior(
    build: Build, prior: Callable[[], nn.Module], dataset: Dataset, course: Course
) -> nn.Module:
    """An autoencoder in two thirds of the updates, then a model of its codes in the others."""
    updates = course.updates // 3
    model = by_gradient(build, vq, 3e-3, dataset, course, course.updates - updates, codebook_step)
    codes = model.codes(dataset.train.images)  # (N, M)
    step = gradient_step(
        prior().to(device()), log_likelihood, **falling(updates, 1e-2), ema=AVERAGE
    )
    score = partial(held_back, step, model.codes(course.held_back))
    course.train(step, InBatches(codes, course.batch_size), updates, score)
    return model.with_prior(step.average)


class InBatches:
    """Codes (N, M) in batches, in another order each time."""

    def __init__(self, codes: Tensor, size: int):
        self.codes, self.size = codes, size

    def __iter__(self):
        order = torch.randperm(len(self.codes), device=self.codes.device)
        return ((self.codes[i],) for i in order.split(self.size))


def by_game(build: Build, critic: Build, dataset: Dataset, course: Course) -> nn.Module:
    """A generator, against a critic with the gradient penalty R1, as it is at the end."""
    rate = partial(falling_rate, steps=course.updates, highest=2e-3)
    adam, lr_schedule = at_rate(partial(torch.optim.Adam, betas=(0.0, 0.99), fused=True), rate)
    step = adversarial_step(
        build(dataset.shape).to(device()),
        critic(dataset.shape).to(device()),
        partial(critic_logistic, r1=1.0),
        generator_optimizer=adam,
        critic_optimizer=adam,
        lr_schedule=lr_schedule,
        ema=0.995,
    )
    course.train(step, dataset.train.batches(course.batch_size, drop_last=True), course.updates)
    return step.average


def by_em(build: Build, iterations: int, dataset: Dataset, course: Course) -> nn.Module:
    """A mixture under rounded draws: EM on all images at once, or every so many."""
    model, x = build(dataset.shape).to(device()), some_images(dataset)
    course.train(em_step(model.model.initialize(x)), [(x,)], iterations)
    return model


def fitted(build: Build, dataset: Dataset, course: Course) -> nn.Module:
    """A model whose maximum is known."""
    model = build(dataset.shape).to(device())
    inner = model.model if isinstance(model, Rounded) else model
    course.fit(lambda: inner.fit(some_images(dataset)))
    return model


def some_images(dataset: Dataset) -> Tensor:
    """All training images, or as many as `FITTED` evenly from all of them."""
    images = dataset.train.images
    return images[:: max(1, len(images) // FITTED)]


class Remembered(nn.Module):
    """Training images in the place of a model: none of them twice."""

    def __init__(self, images: Tensor):
        super().__init__()
        self.images = images

    def sample(self, n: int) -> Tensor:
        return self.images[torch.randperm(len(self.images), device=self.images.device)[:n]]


def remembered(dataset: Dataset, course: Course) -> nn.Module:
    return Remembered(dataset.train.images)


# ---------------------------------------------------------------- what it says of an image


def exact(model: nn.Module, x: Tensor) -> Tensor:
    return torch.cat([model.log_prob(part) for part in x.split(100)])


def all_codes(model: nn.Module, x: Tensor) -> Tensor:
    """As many codes at a time as leave room for all images of each."""
    return sum_codes(model, x, chunk=max(1, AT_ONCE // x.numel())).log_prob


def one_code(model: VQVAE, x: Tensor) -> Tensor:
    """A bound: the code that the encoder chooses, alone."""
    z = model.posterior(x).sample()
    return model.likelihood(z).log_prob(x) + model.prior().log_prob(z)


def of_noise(model: Diffusion, x: Tensor, levels: int, end: float, k: int) -> Tensor:
    """A bound, up to the log SNR `end`, k draws for each image."""
    at = {"levels": levels, "log_snr": (-8.0, end), "k": k}
    return torch.cat([diffusion_bound(model, part, **at) for part in x.split(250)])


def of_orders(model: MaskedDiffusion, x: Tensor) -> Tensor:
    """A bound: every number of hidden pixels once."""
    return -by_masked(model, x).sum(1)


def of_masks(model: MaskedDiffusion, x: Tensor, k: int) -> Tensor:
    """The same bound, k masks for each image."""
    parts = x.split(100)
    return torch.cat(
        [torch.stack([masked_bound(model, p) for _ in range(k)]).mean(0) for p in parts]
    )


# ---------------------------------------------------------------- the lines of the table


@dataclass(frozen=True)
class Family:
    """A line of the table.

    Attributes:
        about: the model, in words.
        build: build(shape), untrained.
        learn: learn(data, course), trained.
        kind: whether its bits are "exact", an "estimate" or a "bound"; None where it has none.
        nats: nats(model, x) -> log p(x) (N,), as exact as the kind says.
        more: by name other nats, of a bound that is looser.
        draw: draw(model, n); None for `model.sample`.
        trained: whether it takes updates.
    """

    about: str
    build: Build
    learn: Learn
    kind: str | None = None
    nats: Nats | None = None
    more: dict[str, Nats] = field(default_factory=dict)
    draw: Callable[[nn.Module, int], Tensor] | None = None
    trained: bool = True


def gradient(about: str, build: Build, objective, highest: float, *said, **more) -> Family:
    """A family of one network that follows a gradient."""
    return Family(about, build, partial(by_gradient, build, objective, highest), *said, **more)


def game(about: str, latent: int, hidden: tuple[int, ...]) -> Family:
    build = partial(Generator.mlp, latent=latent, hidden=hidden)
    return Family(about, build, partial(by_game, build, partial(Critic.mlp, hidden=hidden)))


def quantised(
    about: str, symbols: int, codes: int, hidden: tuple[int, ...], likelihood: Callable
) -> Family:
    """A VQ-VAE with a MADE of its symbols, few enough to sum out all codes."""

    def autoencoder(shape: tuple[int, ...]) -> VQVAE:
        book = Codebook(codes)
        return VQVAE.mlp(
            shape, symbols=symbols, quantiser=book, hidden=hidden, likelihood=likelihood
        )

    prior = partial(MADE, (symbols,), levels=codes, hidden=(100,))
    return Family(
        about,
        lambda shape: autoencoder(shape).with_prior(prior()),
        partial(with_learned_prior, autoencoder, prior),
        "exact",
        all_codes,
        {NEAREST: one_code},
    )


def yardsticks(levels: int, latent: int, floor: float, iterations: int) -> dict[str, Family]:
    def rounded(model: Build, shape: tuple[int, ...]) -> Rounded:
        return Rounded(model(shape), levels)

    one = partial(IndependentPixels, levels=levels)
    lines = partial(rounded, partial(PPCA, latent=latent))
    ten = partial(rounded, partial(GaussianMixture, covariance="diagonal", floor=floor**2))
    weighted = partial(importance_weighted, k=100)
    fit = {"trained": False}
    return {
        "independent pixels": Family(
            "levels counted pixel by pixel", one, partial(fitted, one), "exact", exact, **fit
        ),
        "PPCA": Family(
            f"{latent} directions, draws rounded to levels",
            lines,
            partial(fitted, lines),
            "estimate",
            weighted,
            **fit,
        ),
        "mixture": Family(
            f"10 diagonal Gaussians, deviations of at least {floor}, draws rounded to levels",
            ten,
            partial(by_em, ten, iterations),
            "exact",
            all_codes,
            **fit,
        ),
        TRAINING: Family("as many of them as there are draws", None, remembered, **fit),
    }


def by_heun(model: Diffusion, n: int, steps: int = 20) -> Tensor:
    return model.sample(n, steps=steps, sampler=heun)


def of_digits(levels: int = 17) -> dict[str, Family]:
    noise = partial(of_noise, levels=levels, end=6.0, k=20)
    pixels = partial(heads.Categorical, levels=levels)
    weighted = partial(importance_weighted, k=100)
    return {
        "PixelCNN": gradient(
            "gated, 5 layers of width 24",
            partial(GatedPixelCNN, levels=levels, width=24, layers=5),
            log_likelihood,
            5e-3,
            "exact",
            exact,
        ),
        "MADE": gradient(
            "200 units",
            partial(MADE, levels=levels, hidden=(200,)),
            log_likelihood,
            5e-3,
            "exact",
            exact,
        ),
        "VAE": gradient(
            "8 numbers, perceptrons of 200 units",
            partial(VAE.mlp, latent=8, hidden=(200,), likelihood=pixels),
            elbo,
            3e-3,
            "estimate",
            weighted,
        ),
        "VQ-VAE": quantised("4 symbols of 16, 200 units; then MADE", 4, 16, (200,), pixels),
        "flow": gradient(
            "convolutional splines of width 16, uniform dequantisation",
            lambda shape: Dequantised(Flow.conv(shape, width=16), levels),
            elbo,
            5e-3,
            "estimate",
            weighted,
        ),
        "diffusion": gradient(
            "U-Net of width 16, cosine path, v",
            Diffusion.conv,
            denoising,
            3e-3,
            "bound",
            noise,
            draw=by_heun,
        ),
        "flow matching": gradient(
            "U-Net of width 16, straight path, velocity",
            partial(Diffusion.conv, path=linear(), predict="velocity"),
            flow_matching,
            3e-3,
            "bound",
            noise,
            draw=by_heun,
        ),
        "masked diffusion": gradient(
            "perceptron of 300-300 units",
            partial(MaskedDiffusion.mlp, levels=levels),
            masked_bound,
            3e-3,
            "bound",
            of_orders,
        ),
        "GAN": game("perceptrons of 128-128 units, 16 numbers, R1", 16, (128, 128)),
        "score network": gradient(
            "convolutions of width 24, annealed Langevin",
            partial(ScoreNetwork.conv, width=24),
            score_matched,
            2e-3,
            draw=by_annealed_langevin,
        ),
        **yardsticks(levels, latent=16, floor=0.05, iterations=50),
    }


def of_mnist(levels: int = 256) -> dict[str, Family]:
    """Smaller for their images than those of the digits: what minutes on one core can train."""
    noise = partial(of_noise, levels=levels, end=10.0, k=4)
    pixels = partial(RoundedPixels, levels=levels)
    return {
        "PixelCNN": gradient(
            "gated, 4 layers of width 16",
            partial(GatedPixelCNN, levels=levels, width=16, layers=4),
            log_likelihood,
            5e-3,
            "exact",
            exact,
        ),
        "MADE": gradient(
            "16 units",
            partial(MADE, levels=levels, hidden=(16,)),
            log_likelihood,
            5e-3,
            "exact",
            exact,
        ),
        "VAE": gradient(
            "16 numbers, perceptrons of 400 units, rounded normal pixels",
            partial(VAE.mlp, latent=16, hidden=(400,), likelihood=pixels),
            elbo,
            2e-3,
            "estimate",
            partial(importance_weighted, k=50),
        ),
        "VQ-VAE": quantised(
            "3 symbols of 10, 400 units, rounded normal pixels; then MADE", 3, 10, (400,), pixels
        ),
        "flow": gradient(
            "convolutional splines of width 12, uniform dequantisation",
            lambda shape: Dequantised(Flow.conv(shape, layers=1, width=12), levels),
            elbo,
            5e-3,
            "estimate",
            partial(importance_weighted, k=10),
        ),
        "diffusion": gradient(
            "U-Net of width 8, cosine path, v",
            partial(Diffusion.conv, width=8),
            denoising,
            3e-3,
            "bound",
            noise,
            draw=by_heun,
        ),
        "flow matching": gradient(
            "U-Net of width 8, straight path, velocity",
            partial(Diffusion.conv, width=8, path=linear(), predict="velocity"),
            flow_matching,
            3e-3,
            "bound",
            noise,
            draw=by_heun,
        ),
        "masked diffusion": gradient(
            "convolutions of width 16, 28 pixels at a time when it draws",
            partial(MaskedDiffusion.conv, levels=levels, width=16),
            masked_bound,
            3e-3,
            "bound",
            partial(of_masks, k=10),
            draw=lambda model, n: model.sample(n, steps=28),
        ),
        "GAN": game("perceptrons of 200-200 units, 32 numbers, R1", 32, (200, 200)),
        "score network": gradient(
            "convolutions of width 16, annealed Langevin",
            partial(ScoreNetwork.conv, width=16),
            score_matched,
            2e-3,
            draw=by_annealed_langevin,
        ),
        **yardsticks(levels, latent=32, floor=0.05, iterations=20),
    }


# ---------------------------------------------------------------- the experiment


@dataclass(frozen=True)
class Families:
    """The final comparison on one data set.

    Attributes:
        dataset: a name for `dgm.data.load`.
        families: by name.
        updates, batch_size: of every family that takes updates.
        images: how many are drawn, and compared with as many test images.
        held_back: so many training images no family learns from; they choose when to stop.
        seeds: how many; they are 0, 1, ...
        keeps: families whose weights of seed 0 are kept.
        shown: draws of each family that the record keeps.
    """

    dataset: str
    families: dict[str, Family]
    updates: int
    batch_size: int
    images: int
    held_back: int
    seeds: int = 3
    keeps: tuple[str, ...] = ()
    shown: int = SHOWN
    folder: ClassVar[str] = ""

    def plan(self, budget: float | None) -> dict:
        """The updates.

        Raises:
            ValueError: there is a budget of minutes, with which families would get unequal shares.
        """
        if budget is not None:
            raise ValueError(f"budget: got {budget:g}, expected none: it is {self.updates} updates")
        return {"updates": self.updates}

    def run(self, plan: dict, folder: Path) -> tuple[dict, dict[str, nn.Module]]:
        dataset, found, models = data.load(self.dataset), {}, {}
        _, classifier = features_of(dataset)
        with tqdm(total=len(self.families) * self.seeds, unit="run") as bar:
            for name in self.families:
                found[name] = []
                for seed in range(self.seeds):
                    bar.set_postfix_str(f"{name}, seed {seed}")
                    outcome, model = self.outcome(name, seed, dataset, folder)
                    found[name].append(outcome)
                    if seed == 0 and name in self.keeps:
                        models[f"{name}, seed 0"] = model
                    bar.update()
        every = [outcome for outcomes in found.values() for outcome in outcomes]
        record = {
            "model": "one network of each family, Adam at a falling rate, its average",
            "dataset": self.dataset,
            "shape": [*dataset.shape],
            "levels": dataset.levels,
            "measured": f"{self.images} draws and as many test images, features: {classifier}",
            "images": self.images,
            "held_back": self.held_back,
            "batch_size": self.batch_size,
            "updates": [self.updates // ROUNDS * (i + 1) for i in range(ROUNDS)],
            "seconds": sum(o["measures"][SECONDS][0] for o in every),
            "load": round(sum(o["load"] for o in every) / len(every), 2),
            "settings": self.lines(found),
        }
        return record, models

    def outcome(
        self, name: str, seed: int, dataset: Dataset, folder: Path
    ) -> tuple[dict, nn.Module | None]:
        """What one model is and says, trained and measured now or in a run before this one."""
        file, weights = (folder / f"{name}, seed {seed}.{end}" for end in ("json", "pt"))
        kept = seed == 0 and name in self.keeps
        if file.exists():
            model = self.untrained(dataset.shape, name) if kept else None
            if kept:
                read_model(weights, model)
            return json.loads(file.read_text(encoding="utf-8")), model
        model, course = self.train(name, seed, dataset, folder / f"{name}, seed {seed}")
        outcome = self.measure(name, seed, model, dataset)
        outcome["measures"][SECONDS] = (course.seconds, 0.0)
        best = course.histories[0].best_epoch if course.histories else None
        outcome |= {"load": os.getloadavg()[0], "curves": curves(course), "round": best}
        if kept:
            write_model(weights, model)
        write(file, outcome)
        return outcome, model

    def train(
        self, name: str, seed: int, dataset: Dataset, file: Path | None = None, rounds: int = ROUNDS
    ) -> tuple[nn.Module, Course]:
        """One model, with its weights rounded to what is kept of them."""
        dataset, held_back = self.divided(dataset)
        torch.manual_seed(seed)
        course = Course(self.updates, self.batch_size, held_back, file, rounds)
        model = self.families[name].learn(dataset, course).requires_grad_(False).eval()
        round_weights(model)
        return model, course

    def divided(self, dataset: Dataset) -> tuple[Dataset, Tensor]:
        """The data without the last training images, and these."""
        train = dataset.train
        here = torch.arange(len(train) - self.held_back, device=train.y.device)
        return replace(dataset, train=train.select(here)), train.images[-self.held_back :]

    def measure(self, name: str, seed: int, model: nn.Module, dataset: Dataset) -> dict:
        """All of it, from draws that another seed has otherwise; those of training stay its own."""
        family, each = self.families[name], None
        draw = partial(family.draw, model) if family.draw else model.sample
        dataset, _ = self.divided(dataset)
        with own_random_state(seed):
            found, fake = judged(draw, dataset, self.images)
            if family.nats is not None:
                each = bits(family.nats, model, dataset, self.images)
                found = {BITS: mean_and_error(each)} | found
            for other, nats in family.more.items():
                found[other] = mean_and_error(bits(nats, model, dataset, self.images))
        return {
            "parameters": sum(p.numel() for p in model.parameters()),
            "measures": found,
            "bits": None if each is None else [round(v, 4) for v in each.tolist()],
            "drawn": packed(fake[: self.shown]),
        }

    def untrained(self, shape: tuple[int, ...], setting: str) -> nn.Module:
        """A model of the form that is kept."""
        return self.families[setting].build(shape)

    def lines(self, found: dict[str, list[dict]]) -> dict[str, dict]:
        """What the record says of each family, from the outcomes of its seeds."""
        scored = {name: torch.tensor([o["bits"] for o in outcomes])  # (S, N)
                  for name, outcomes in found.items() if outcomes[0]["bits"]}  # fmt: skip
        best = min(scored, key=lambda name: scored[name].mean().item())
        lines = {}
        for name, outcomes in found.items():
            family, first = self.families[name], outcomes[0]
            line = {
                "model": family.about,
                "kind": family.kind,
                "parameters": first["parameters"],
                "updates": self.updates if family.trained else 0,
                "seeds": [*range(self.seeds)],
                "measures": {
                    metric: over_seeds([o["measures"][metric] for o in outcomes])
                    for metric in first["measures"]
                },
                "curves": {k: [o["curves"][k] for o in outcomes] for k in first["curves"]},
                "rounds": [o["round"] for o in outcomes],
                "drawn": first["drawn"],
            }
            if name in scored:
                line["spread"] = six_digits(two_way(scored[name])._asdict())
                line["bits by image"] = first["bits"]
                line["paired"] = {"to": best} | against(scored[name], scored[best])
            lines[name] = line
        return lines

    def summary(self, record: dict) -> str:
        """The table, as text."""
        rows = [f"{record['name']}: after {self.updates:,} updates, mean and error"]
        for name, line in record["settings"].items():
            for metric, found in line["measures"].items():
                rows.append(f"{name:20}{metric:34}{found['mean']:9.3f} ± {found['error']:.3f}")
        return "\n".join(rows)


def curves(course: Course) -> dict[str, list[float]]:
    """What the first step reported, a value for each round."""
    metrics = course.histories[0].metrics if course.histories else {}
    return {
        name: [float(f"{v:.6g}") for v in values]
        for name, values in metrics.items()
        if name not in ("seconds", "load", PROCESSOR)
    }


def six_digits(found: dict[str, float]) -> dict[str, float]:
    return {name: float(f"{value:.6g}") for name, value in found.items()}


def over_seeds(found: list[tuple[float, float]]) -> dict:
    """Values and errors of each seed, their mean, and how far that may be off.

    The seeds are judged by the same test images: what these bring in does not average out.

    >>> over_seeds([(1.0, 0.3), (2.0, 0.3), (3.0, 0.3)])["error"], (0.3**2 + 1 / 3) ** 0.5
    (0.650641, 0.6506407098647712)
    """
    values, errors = ([float(f"{v:.6g}") for v in column] for column in zip(*found, strict=True))
    mean, deviation = mean_and_deviation(values)
    square = sum(e**2 for e in errors) / len(errors)
    error = (square + deviation**2 / len(values)) ** 0.5
    return {"values": values, "errors": errors} | six_digits({"mean": mean, "error": error})


def against(each: Tensor, best: Tensor) -> dict:
    """The mean difference of bits to those of another family, image by image, and its error.

    An image's bits are means over the seeds, (S, N) of both.
    """
    with own_random_state(0):
        return six_digits(paired(each.mean(0), best.mean(0))._asdict())


FAMILIES = {
    "families-digits": Families(
        dataset="digits",
        families=of_digits(),
        updates=1200,
        batch_size=64,
        images=360,
        held_back=144,
        keeps=("PixelCNN", "independent pixels", "PPCA", "mixture", "GAN"),
    ),
    "families-mnist": Families(
        dataset="mnist",
        families=of_mnist(),
        updates=1200,
        batch_size=32,
        images=500,
        held_back=250,
        shown=8,
    ),
}
