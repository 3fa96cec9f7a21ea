"""The course's prose in every order at once, and in one: bits per character, and what is drawn.

The text, its windows of 40 characters and the tenth that is held out are those of the chapter on
autoregressive models, whose LSTM is trained here beside the masked model for as many updates.
"""

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from .._device import device
from ..data import Dataset, Split
from ..evaluate import by_masked
from ..models import LSTM, MaskedDiffusion
from ..objectives import log_likelihood, masked_bound
from ..train import Step, own_random_state
from .parts import falling_rate, scheduled_step
from .prose import prose
from .study import MEASURING_SEED, Study

ALPHABET = " ',-.:;?abcdefghijklmnopqrstuvwxyz"
LENGTH, UPDATES, EVERY = 40, 2400, 300
PER_STEP = (1, 2, 4, 8, 20, 40)  # characters that are drawn together
MASKS = 8  # of each held-out window
LINES, JUDGED = 6, 300  # lines that the record keeps, and lines whose words are looked up
MASKED, ORDERED = "masked convolutions", "LSTM"


def of_prose() -> Dataset:
    """Windows of 40 characters, grey levels as it were: all of the first nine tenths of the text,
    and of the last one every fortieth."""
    place = device()
    tokens = torch.tensor([ALPHABET.index(c) for c in prose()], dtype=torch.uint8, device=place)
    cut = len(tokens) * 9 // 10
    windows = tokens[:cut].unfold(0, LENGTH, 1), tokens[cut:].unfold(0, LENGTH, LENGTH)
    unlabelled = [torch.full((len(x),), -1, device=place) for x in windows]
    train, test = (Split(x, y, len(ALPHABET)) for x, y in zip(windows, unlabelled, strict=True))
    return Dataset("prose", (LENGTH,), len(ALPHABET), (), train, test)


# ---------------------------------------------------------------- what is trained and measured


def per_character(objective: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The same in bits for each character: (B,)."""

    def bits(model: nn.Module, x: Tensor, y: None = None) -> Tensor:
        return objective(model, x) / (LENGTH * math.log(2))

    return bits


def learner(
    shape: tuple[int, ...], build: Callable[..., nn.Module], objective: Callable, highest: float
) -> Step:
    rate = partial(falling_rate, steps=UPDATES, highest=highest)
    adam = partial(torch.optim.Adam, fused=True)
    model = build(shape, levels=len(ALPHABET))
    return scheduled_step(model, per_character(objective), rate, adam)


@torch.no_grad()
def bits(model: nn.Module, dataset: Dataset) -> dict[str, float]:
    """Bits per character of held-out text: exact in one order; in all, a bound from masks."""
    x = dataset.test.images
    if isinstance(model, MaskedDiffusion):
        each = torch.stack([masked_bound(model, x) for _ in range(MASKS)]).mean(0)
    else:
        each = model.log_prob(x)
    return {"bits": -each.mean().item() / (LENGTH * math.log(2))}


# ---------------------------------------------------------------- what is drawn


def by_hidden(model: MaskedDiffusion, dataset: Dataset) -> list[float]:
    """Bits of a hidden character of held-out text if m are hidden, m = 1, ..., 40."""
    with own_random_state(MEASURING_SEED):
        nats = by_masked(model, dataset.test.images).mean(0)
    return [round(value / math.log(2), 4) for value in nats.tolist()]


def of_groups(by_hidden: list[float], size: int) -> float:
    r"""The bound in bits per character of a model that draws so many at a time:

    $$\frac1D \sum_t \lvert G_t \rvert \, c_{m_t},$$

    $m_t$ the number of those hidden before step t, $c_m$ the bits of a hidden one if m are.

    >>> of_groups([1.0, 2.0, 3.0, 4.0], 1), of_groups([1.0, 2.0, 3.0, 4.0], 2)
    (2.5, 3.0)
    """
    before = range(len(by_hidden), 0, -size)
    return sum(size * by_hidden[m - 1] for m in before) / len(by_hidden)


def lines_of(model: nn.Module, x: Tensor) -> list[str]:
    """(n, 40) on the grid, as text."""
    return ["".join(ALPHABET[i] for i in row) for row in model.indices(x).tolist()]


def known_words(lines: list[str], vocabulary: set[str]) -> float:
    """The share of the words in lines, their cut ends left out, that are in the vocabulary.

    >>> known_words(["the bound iz here", "a low"], {"bound", "low"})
    0.5
    """
    whole = [word for line in lines for word in words(line)[1:-1]]
    return sum(word in vocabulary for word in whole) / max(1, len(whole))


def words(line: str) -> list[str]:
    """What stands between spaces, without the signs around it."""
    return [word.strip("',-.:;?") for word in line.split()]


@torch.no_grad()
def drawn(models: dict[str, nn.Module], dataset: Dataset) -> dict:
    """Some lines of each sampler, and how many of its words occur in the training text."""
    text = "".join(ALPHABET[i] for i in dataset.train.x[::LENGTH].flatten().tolist())
    vocabulary = set(words(text))
    samplers = {ORDERED: models[ORDERED].sample}
    for size in PER_STEP:
        samplers[f"{size} at a time"] = partial(models[MASKED].sample, steps=LENGTH // size)
    found = {}
    for name, sample in samplers.items():
        with own_random_state(MEASURING_SEED):
            lines = lines_of(models[ORDERED], sample(JUDGED))
        found[name] = {"known_words": known_words(lines, vocabulary), "lines": lines[:LINES]}
    held_out = lines_of(models[ORDERED], dataset.test.images[:JUDGED])
    return found | {"held out": {"known_words": known_words(held_out, vocabulary)}}


class OfText(Study):
    """A study of the prose, whose record also has what the first seed's models draw."""

    def load(self) -> Dataset:
        return of_prose()

    def run(self, plan: dict, folder: Path) -> tuple[dict, dict[str, nn.Module]]:
        record, models = super().run(plan, folder)
        dataset, rounds = self.load(), plan["rounds"]

        def ended(setting: str, seed: int) -> nn.Module:  # from its checkpoint
            file = folder / f"{setting}, seed {seed}.pt"
            return self.kept(self.train(setting, seed, dataset, rounds, file)[0]).eval()

        curves = [by_hidden(ended(MASKED, seed), dataset) for seed in range(self.seeds)]
        first = {setting: ended(setting, 0) for setting in self.settings}
        return record | {"by_hidden": curves, "drawn": drawn(first, dataset)}, models


MASKED_TEXT = OfText(
    model="MaskedDiffusion.conv of width 96 and 5 blocks, LSTM of 128 units, Adam at 0.004, "
    "falling",
    dataset="prose",
    settings={
        ORDERED: partial(
            learner, build=partial(LSTM, hidden=128), objective=log_likelihood, highest=4e-3
        ),
        MASKED: partial(
            learner,
            build=partial(MaskedDiffusion.conv, width=96, blocks=5),
            objective=masked_bound,
            highest=4e-3,
        ),
    },
    watched=("model",),
    measure=bits,
    measured="bits per character of the last tenth of the text, in windows of 40: of the LSTM "
    "exact, of the masked model a bound, from 8 masks for each window; the mean objective since "
    "the last point, in the same unit",
    batch_size=32,
    updates=UPDATES,
    every=EVERY,
    seeds=3,
    weights=False,
)
