"""The study of a hundred labels: what its second stage learns from, and how it is measured."""

import pytest
import torch

from dgm.data import Dataset, Split
from dgm.labels import few
from dgm.models import M2
from dgm.objectives import m2
from dgm.reproduce import EXPERIMENTS, load
from dgm.reproduce.stacked import CODE, Draws, errors, first_stage, labels_alone, posteriors

STUDY = EXPERIMENTS["hundred-labels"]


@pytest.fixture(scope="module")
def dataset():
    """Two hundred images of noise, twenty of each class."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(256, (200, 1, 28, 28), generator=generator, dtype=torch.uint8)
    split = Split(x, torch.arange(200) % 10, 256)
    classes = tuple(map(str, range(10)))
    return Dataset("noise", (1, 28, 28), 256, classes, split, split)


def test_the_first_stage_is_the_recorded_vae(dataset):
    x = dataset.test.images
    recorded, q = load("conv-vae").model().posterior(x), first_stage().posterior(x)
    assert torch.equal(q.mean, recorded.mean)
    both = posteriors(dataset.test)
    assert both.y is dataset.test.y
    torch.testing.assert_close(both.x, torch.cat([q.mean, q.stddev], 1))


def test_codes_are_fresh_draws():
    """Of N(3, 0.5^2), ten thousand; both moments within four standard errors."""
    q = torch.cat([torch.full((5000, 1), 3.0), torch.full((5000, 1), 0.5)], 1)
    draws = Draws([(q, torch.zeros(5000))] * 2)
    first, second = (z for z, _ in draws)
    assert first.shape == (5000, 1) and not torch.equal(first, second)
    z = torch.cat([first, second])
    assert z.mean().item() == pytest.approx(3, abs=4 * 0.5 / 100)
    assert z.std().item() == pytest.approx(0.5, abs=4 * 0.5 / 20_000**0.5)


@pytest.mark.parametrize("seed", [0, 3])
def test_a_seed_chooses_the_same_labels_as_everywhere(dataset, seed):
    split = STUDY.batches(dataset, seed).batches.split
    assert torch.equal(split.y, few(dataset.train, 100, seed).y)
    z, y = next(iter(STUDY.batches(dataset, seed)))
    assert z.shape == (110, CODE)
    assert (y[100:] >= 0).all()


def test_without_unlabelled_codes_only_labels_count():
    torch.manual_seed(0)
    model, z = M2.mlp((CODE,)), torch.randn(6, CODE)
    y = torch.tensor([3, -1, 7, -1, -1, -1])
    value = labels_alone(model, z, y).mean()
    log_q = model.classify(z).logits.log_softmax(1)
    torch.testing.assert_close(value, (log_q[0, 3] + log_q[2, 7]) / 2)
    z[1] = 100.0
    torch.testing.assert_close(labels_alone(model, z, y).mean(), value)


def test_errors_are_a_percentage(dataset):
    model = M2.mlp((CODE,))
    with torch.no_grad():
        guess = model.classify(posteriors(dataset.test).x[:, :CODE]).probs.argmax(1)
    right = (guess == dataset.test.y).sum().item()
    assert errors(model, dataset) == {"error": pytest.approx(100 * (1 - right / 200))}


def test_settings_are_what_the_chapter_says():
    alphas = []
    for name, start in STUDY.settings.items():
        step = start((CODE,))
        assert step.model.shape == (CODE,) and step.learning_rates() == [5e-3]
        objective = start.keywords["objective"]
        if name != "labels alone":
            assert objective.func is m2 and objective.keywords["labelled_share"] == 1 / 600
            alphas.append(objective.keywords["alpha"])
    assert alphas == [0.1, 1.0]
    assert (STUDY.updates, STUDY.seeds, STUDY.dataset) == (1000, 5, "mnist")
