"""The study of the course's prose: windows, bits, groups of characters, and what is drawn."""

import dataclasses
import math
from functools import partial
from itertools import combinations, permutations, product
from pathlib import Path

import pytest
import torch

from dgm.models import LSTM, MaskedDiffusion
from dgm.objectives import log_likelihood, masked_bound
from dgm.reproduce import EXPERIMENTS, masked_text, reproduce
from dgm.reproduce.masked_text import MASKED, ORDERED
from dgm.reproduce.prose import prose

STUDY = EXPERIMENTS["masked-text"]


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DGM_DEVICE", "cpu")


def test_windows_are_those_of_the_text():
    text, dataset = prose(), STUDY.load()
    assert set(text) == set(masked_text.ALPHABET) and dataset.shape == (40,)
    cut = len(text) * 9 // 10
    assert len(dataset.train) == cut - 39 and len(dataset.test) == (len(text) - cut) // 40
    model = LSTM((40,), levels=34)
    for split, first, step in ((dataset.train, 0, 1), (dataset.test, cut, 40)):
        lines = masked_text.lines_of(model, split.images[:50])
        assert lines == [text[first + step * i :][:40] for i in range(50)]


@pytest.mark.parametrize(
    ("build", "objective"), [(LSTM, log_likelihood), (MaskedDiffusion.conv, masked_bound)]
)
def test_bits_are_those_of_a_model_that_knows_nothing(build, objective):
    """All logits zero: log2 of the number of characters, whatever is hidden."""
    model, dataset = build((40,), levels=34), STUDY.load()
    for p in model.parameters():
        p.data.zero_()
    expected = math.log2(34)
    assert masked_text.bits(model, dataset)["bits"] == pytest.approx(expected, rel=1e-4)
    value = masked_text.per_character(objective)(model, dataset.test.images[:5])
    torch.testing.assert_close(value, torch.full((5,), -expected), rtol=1e-4, atol=1e-4)


def test_the_bound_of_groups_is_that_of_all_orders_of_drawing():
    """Entropies of a table of four bits: by the number of hidden ones, and order by order."""
    torch.manual_seed(0)
    cells = list(product((0, 1), repeat=4))
    table = dict(zip(cells, torch.randn(16).double().softmax(0).tolist(), strict=True))

    def entropy(places):
        marginal = {}
        for x, p in table.items():
            key = tuple(x[i] for i in places)
            marginal[key] = marginal.get(key, 0.0) + p
        return -sum(p * math.log(p) for p in marginal.values())

    def given(i, known):  # H(x_i | x_known)
        return entropy((*known, i)) - entropy(known)

    curve = []
    for m in range(1, 5):
        hidden = [set(s) for s in combinations(range(4), m)]
        each = [given(i, tuple(set(range(4)) - s)) for s in hidden for i in s]
        curve.append(sum(each) / len(each))
    for size in (1, 2, 4):
        costs = []
        for order in permutations(range(4)):
            groups = [order[i : i + size] for i in range(0, 4, size)]
            known = [order[:i] for i in range(0, 4, size)]
            costs.append(sum(given(i, k) for g, k in zip(groups, known, strict=True) for i in g))
        mean = sum(costs) / len(costs) / 4
        assert masked_text.of_groups(curve, size) == pytest.approx(mean, rel=1e-9)


def test_words_of_real_text_are_known_and_those_of_noise_are_not():
    text = prose()
    vocabulary = set(masked_text.words(text))
    lines = [text[i : i + 40] for i in range(0, 4000, 40)]
    assert masked_text.known_words(lines, vocabulary) == 1
    noise = ["".join(reversed(line)) for line in lines]
    assert masked_text.known_words(noise, vocabulary) < 0.5


def test_groups_are_drawn_in_as_many_steps_as_there_are_of_them(monkeypatch):
    asked, sample = [], MaskedDiffusion.sample

    def watched(model, n, steps):
        asked.append(steps)
        return sample(model, n, steps)

    monkeypatch.setattr(MaskedDiffusion, "sample", watched)
    monkeypatch.setattr(masked_text, "JUDGED", 2)
    ordered = LSTM((40,), levels=34, hidden=4)
    masked = MaskedDiffusion.conv((40,), levels=34, width=4, blocks=1)
    masked_text.drawn({ORDERED: ordered, MASKED: masked}, STUDY.load())
    assert [40 / steps for steps in asked] == [*masked_text.PER_STEP]


def test_a_study_keeps_what_its_models_draw(monkeypatch):
    monkeypatch.setattr(masked_text, "JUDGED", 8)
    monkeypatch.setattr(masked_text, "MASKS", 1)
    builds = {
        ORDERED: (partial(LSTM, hidden=4), log_likelihood),
        MASKED: (partial(MaskedDiffusion.conv, width=4, blocks=1), masked_bound),
    }
    settings = {
        name: partial(masked_text.learner, build=build, objective=objective, highest=1e-3)
        for name, (build, objective) in builds.items()
    }
    tiny = dataclasses.replace(STUDY, settings=settings, updates=2, every=1, seeds=2)
    monkeypatch.setitem(EXPERIMENTS, "tiny", tiny)
    record = reproduce("tiny")
    assert len(record["by_hidden"]) == 2 and {len(c) for c in record["by_hidden"]} == {40}
    samplers = [ORDERED, *(f"{size} at a time" for size in masked_text.PER_STEP)]
    assert [*record["drawn"]] == [*samplers, "held out"]
    for name in samplers:
        lines = record["drawn"][name]["lines"]
        assert {len(line) for line in lines} == {40} and len({*lines}) == len(lines)
        assert set("".join(lines)) <= set(masked_text.ALPHABET)
    assert record["drawn"]["held out"]["known_words"] > record["drawn"][ORDERED]["known_words"]
    assert not Path("book/records/models").exists()
    again = reproduce("tiny")  # from the checkpoints
    assert again["drawn"] == record["drawn"] and again["by_hidden"] == record["by_hidden"]
