"""Recipes for models that are judged by their samples: GANs, and a VAE beside them.

There is no likelihood to compare. What is compared is the Fréchet distance between samples and test
images in the features of one classifier, which was trained here and is kept with the records:
figures in the features of another one, such as the published FID in those of Inception, are on
another scale.
"""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from .. import heads
from .._device import device
from ..architectures import Architecture, Perceptron
from ..data import Dataset, Split
from ..evaluate import Classifier, frechet_distance, train_classifier
from ..models import VAE, Critic, Generator
from ..objectives import elbo
from ..train import Step, adversarial_step
from .parts import at_rate, constant_rate, falling_rate, scheduled_step
from .recipe import Recipe, Schedule
from .records import RECORDS, read_model, surroundings, write, write_model

CLASSIFIER_UPDATES = 1000
LIKE_VAES = Perceptron((200, 200))  # the sizes of the scoreboard's VAEs


def gan(
    game: str,
    critic_objective: Callable,
    generator_objective: Callable,
    critic_steps: int = 1,
    betas: tuple[float, float] = (0.5, 0.999),
    architecture: Architecture = LIKE_VAES,
) -> Recipe:
    """A GAN, by default of multilayer perceptrons, 50-200-200-784 and 784-200-200-1.

    What is measured is the average of the generators on the way (`adversarial_step`).

    Args:
        game: in words.
        critic_objective, generator_objective, critic_steps: as in `adversarial_step`.
        betas: Adam's, of both players.
        architecture: of both players.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        adam, lr_schedule = at_rate(partial(torch.optim.Adam, betas=betas, fused=True), rate)
        return adversarial_step(
            Generator.of(architecture, shape, latent=50).to(device()),
            Critic.of(architecture, shape).to(device()),
            critic_objective,
            generator_objective,
            generator_optimizer=adam,
            critic_optimizer=adam,
            lr_schedule=lr_schedule,
            critic_steps=critic_steps,
        )

    return judged_by_samples(f"GAN, {game}", step, 64 * critic_steps, generated)


def vae_means() -> Recipe:
    """A VAE with a decoder of the generators' sizes, sigma = 0.2 at every pixel.

    Its draws of x have noise on every pixel, which no image has: what is measured are the means of
    p(x | z), for z from the prior.
    """

    def step(shape: tuple[int, ...], rate: Callable[[int], float]) -> Step:
        likelihood = partial(heads.Normal, sigma=0.2)
        model = VAE.mlp(shape, latent=50, hidden=(200, 200), likelihood=likelihood)
        return scheduled_step(model, elbo, rate, partial(torch.optim.Adam, fused=True))

    return judged_by_samples("VAE, means of p(x | z)", step, 64, means)


def judged_by_samples(model: str, step: Callable, batch_size: int, draw: Callable) -> Recipe:
    return Recipe(
        model=model,
        dataset="mnist",
        binarization=None,
        estimator="Fréchet distance to the test images",
        unit="percent of the variance of the test images' features",
        step=step,
        score=partial(distance_of_samples, draw=draw),
        full=Schedule(batch_size, constant_rate, 100),
        short=Schedule(batch_size, partial(falling_rate, highest=1e-3)),
        few=None,
    )


# ---------------------------------------------------------------- the figure


def generated(model: Generator, n: int) -> Tensor:
    return model.sample(n)  # (n, C, H, W)


@torch.no_grad()
def means(model: VAE, n: int) -> Tensor:
    return model.likelihood(model.prior().sample((n,))).mean  # (n, C, H, W)


def distance_of_samples(
    model: nn.Module, dataset: Dataset, images: int, draw: Callable[[nn.Module, int], Tensor]
) -> dict:
    r"""The squared Fréchet distance of as many samples as test images, in our own features.

    It is given in percent of $\operatorname{tr} \Sigma$, the variance of the test images' features:
    at 100 stands a model that always draws one image, whose features are the mean. Beside it stands
    the distance of as many training images that the classifier has not seen: less than that cannot
    be expected, as the estimate is too large in finite samples.
    """
    classifier, name = features_of(dataset)
    test = classifier.features(dataset.test.images[:images])  # (N, F)
    real = classifier.features(held_out(dataset)[0].images[:images])
    samples = torch.cat([classifier.features(draw(model, len(part))) for part in test.split(1000)])
    percent = 100 / test.T.cov().trace().item()

    def measured(x: Tensor) -> dict:
        distance, standard_error = frechet_distance(x, test)
        return {"figure": percent * distance, "standard_error": percent * standard_error}

    return measured(samples) | {"features": name, "real_images": measured(real)}


def held_out(dataset: Dataset) -> tuple[Split, Split]:
    """As many training images as there are test images, and the others."""
    order = torch.randperm(len(dataset.train), generator=torch.Generator().manual_seed(0))
    parts = order.to(dataset.train.x.device).tensor_split([len(dataset.test)])
    own = dataset.train
    return tuple(own.select(part) for part in parts)


def features_of(dataset: Dataset) -> tuple[Classifier, str]:
    """The classifier that is kept for a data set, trained if there is none, and its name.

    The name is the beginning of a hash of its parameters, with its test error: figures can be
    compared where the name is the same.
    """
    file = RECORDS / "classifiers" / f"{dataset.name}.json"
    if not file.exists():
        rest = dataclasses.replace(dataset, train=held_out(dataset)[1])
        trained = train_classifier(rest, CLASSIFIER_UPDATES)
        about = {"dataset": dataset.name, "updates": CLASSIFIER_UPDATES, "seed": 0}
        about["test_error"] = error(trained, dataset.test)
        write_model(file.with_suffix(".pt"), trained)
        write(file, about | surroundings())
    classifier = Classifier(dataset.shape, len(dataset.classes)).requires_grad_(False)
    read_model(file.with_suffix(".pt"), classifier)
    values = b"".join(v.numpy().tobytes() for v in classifier.state_dict().values())
    mistakes = json.loads(file.read_text(encoding="utf-8"))["test_error"]
    name = f"classifier {hashlib.sha256(values).hexdigest()[:8]}, {mistakes:.2f} % errors"
    return classifier.to(device()), name


def error(classifier: Classifier, split: Split) -> float:
    """Percentage of wrong labels."""
    guess = classifier.logits(classifier.features(split.images)).argmax(1)  # (N,)
    return 100 * int((guess != split.y).sum()) / len(split)
