"""Clipping, averages, learning rates, precision, early stopping, random states, full disks."""

import resource
import statistics
import warnings
from functools import partial

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR

from dgm import data, models, objectives
from dgm.train import fit, gradient_step, load_checkpoint

pytestmark = pytest.mark.usefixtures("cpu")


def new_step(seed=1, lr=1e-2, **more):
    torch.manual_seed(seed)
    model = models.Autoencoder.mlp((2,), latent=1, hidden=(8,))
    return gradient_step(model, objectives.reconstruction, lr=lr, **more)


def new_vae(seed=1, **more):
    torch.manual_seed(seed)
    return gradient_step(models.VAE.mlp((1, 8, 8), hidden=(16,)), objectives.elbo, **more)


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


EVERYTHING = {
    "lr_schedule": partial(CosineAnnealingLR, T_max=20),
    "clip": 0.5,
    "ema": 0.9,
}


# --- clipping, averages, learning rates ---


def test_a_long_gradient_is_shortened_and_a_short_one_left_alone(batches):
    x = next(iter(batches))[0]
    sgd = partial(torch.optim.SGD, lr=1.0)
    free = new_step(optimizer=sgd)
    start = parameters(free.model)
    free((x,))
    gradient = start - parameters(free.model)  # of the loss: SGD with learning rate 1
    for clip, expected in ((0.1, 0.1), (1e9, gradient.norm().item())):
        step = new_step(optimizer=sgd, clip=clip)
        metrics = step((x,))
        taken = start - parameters(step.model)
        assert taken.norm().item() == pytest.approx(expected, rel=1e-4)
        assert torch.cosine_similarity(taken, gradient, dim=0) == pytest.approx(1, abs=1e-5)
        assert metrics["gradient_norm"].item() == pytest.approx(gradient.norm().item(), rel=1e-4)


def test_the_average_is_the_weighted_sum_of_the_path(batches):
    step, ema, path = new_step(ema=0.8), 0.8, []
    path.append(parameters(step.model))
    for x, _ in batches:
        step((x,))
        path.append(parameters(step.model))
    t = len(path) - 1
    weights = [ema**t] + [ema ** (t - s) * (1 - ema) for s in range(1, t + 1)]
    assert sum(weights) == pytest.approx(1)
    expected = sum(w * theta for w, theta in zip(weights, path, strict=True))
    torch.testing.assert_close(parameters(step.average), expected)
    assert not any(p.requires_grad for p in step.average.parameters())


def test_torchs_schedules_set_the_learning_rate_of_each_update(batches):
    x = next(iter(batches))[0]
    step = new_step(
        optimizer=partial(torch.optim.SGD, lr=1.0), lr_schedule=partial(ExponentialLR, gamma=0.5)
    )
    for t in range(3):
        before = parameters(step.model)
        by_hand = objectives.reconstruction(step.model, x).mean()
        gradient = torch.autograd.grad(by_hand, list(step.model.parameters()))
        step((x,))
        expected = before + 0.5**t * torch.cat([g.flatten() for g in gradient])
        torch.testing.assert_close(parameters(step.model), expected)


@pytest.mark.parametrize("stop", [1, 3])
def test_resuming_is_exact_with_all_of_them(tmp_path, batches, stop):
    file = tmp_path / "run.pt"
    whole, first, second = (new_step(seed, **EVERYTHING) for seed in (1, 1, 7))
    torch.manual_seed(5)
    expected = fit(whole, batches, 5, progress=False)
    torch.manual_seed(5)
    fit(first, batches, stop, checkpoint=file, progress=False)
    torch.manual_seed(99)  # another process
    history = fit(second, batches, 5, checkpoint=file, progress=False)
    assert history.metrics == expected.metrics
    for part in ("model", "average"):
        assert torch.equal(parameters(getattr(second, part)), parameters(getattr(whole, part)))
    assert second.learner.scheduler.get_last_lr() == whole.learner.scheduler.get_last_lr()


# --- precision ---


def test_bf16_computes_nearly_the_same_and_keeps_float32_parameters():
    x = torch.rand(64, 1, 8, 8).round()
    exact, coarse = new_vae(lr=1e-4), new_vae(lr=1e-4, precision="bf16")
    values = []
    for step in (exact, coarse):
        torch.manual_seed(2)
        values.append(step((x,))["objective"])
    # products of numbers rounded to 8 bits, one part in 256; errors of a sum average out
    torch.testing.assert_close(values[1], values[0], rtol=1 / 256, atol=0)
    assert values[0] != values[1]
    assert values[1].dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in coarse.model.parameters())
    assert all(s["exp_avg"].dtype == torch.float32 for s in coarse.learner.optimizer.state.values())


def test_bf16_learns_as_much():
    """The mean ELBO after 75 updates of one run and another that differ in the precision alone,
    averaged over seeds: they are no farther apart than two standard errors."""
    digits = data.load("digits", "cpu")
    (x, _), *_ = digits.test.batches(360, shuffle=False, binarize="fixed")

    def end(seed, precision):
        torch.manual_seed(seed)
        model = models.VAE.mlp((1, 8, 8), latent=8, hidden=(100,))
        step = gradient_step(model, objectives.elbo, precision=precision)
        fit(step, digits.train.batches(100, binarize="dynamic"), 5, seed=seed, progress=False)
        torch.manual_seed(0)
        with torch.no_grad():
            return objectives.elbo(step.model, x, k=20).mean().item()

    seeds = range(4)
    exact, coarse = ([end(seed, p) for seed in seeds] for p in ("float32", "bf16"))
    apart = statistics.mean(coarse) - statistics.mean(exact)
    assert abs(apart) < 2 * statistics.stdev(exact) / len(seeds) ** 0.5, (exact, coarse)
    assert exact != coarse


def test_emulated_bf16_is_said(monkeypatch):
    cpu = torch.cpu.get_capabilities()
    for able in ({}, {"avx512_bf16": False, "amx_bf16": True}, {"bf16": True}):  # old, Intel, Arm
        without = {k: v for k, v in cpu.items() if not k.endswith("bf16")}
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda c=without | able: c)
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            new_vae(precision="bf16")
            new_vae()
        assert [str(w.message) for w in said] == [
            "precision: this cpu emulates bf16, more slowly than it computes in float32"
        ] * (not able)


# --- early stopping ---


class Validation:
    """Returns what it is told to, epoch by epoch, and keeps the parameters it met."""

    def __init__(self, step, *values):
        self.step, self.values, self.met = step, list(values), []

    def __call__(self):
        self.met.append(parameters(self.step.model))
        return {"validation": self.values[len(self.met) - 1], "other": 9.0}


def test_training_stops_after_patience_and_goes_back_to_the_best(batches):
    step = new_step()
    validate = Validation(step, -3.0, -1.0, -2.0, -1.0, -5.0)
    history = fit(step, batches, 10, validate, patience=3, progress=False)
    assert history.epochs == 5  # an equal value is no improvement
    assert history.best_epoch == 2
    assert history["validation"] == validate.values
    assert torch.equal(parameters(step.model), validate.met[1])
    assert step.t == 2 * len(batches)


def test_the_best_is_restored_when_the_epochs_are_over_first(batches):
    step = new_step()
    validate = Validation(step, -1.0, -2.0)
    history = fit(step, batches, 2, validate, patience=5, progress=False)
    assert (history.epochs, history.best_epoch) == (2, 1)
    assert torch.equal(parameters(step.model), validate.met[0])


@pytest.mark.parametrize("epochs", [1, 3, 4])
def test_early_stopping_is_resumed_exactly(tmp_path, batches, epochs):
    """Stopped before, after and well after the best epoch, and as if by a crash: the file holds
    the last epoch, not the best."""
    values, file = (-3.0, -1.0, -2.0, -1.5, -4.0), tmp_path / "run.pt"
    whole, first, second = new_step(1), new_step(1), new_step(7)
    torch.manual_seed(5)
    expected = fit(whole, batches, 9, Validation(whole, *values), patience=3, progress=False)
    torch.manual_seed(5)
    more = {"patience": 3, "checkpoint": file, "progress": False}
    fit(first, batches, epochs, Validation(first, *values), **more)
    rest = Validation(second, *values[epochs:])
    history = fit(second, batches, 9, rest, **more)
    assert history.metrics == expected.metrics
    assert history.best_epoch == expected.best_epoch == 2
    assert torch.equal(parameters(second.model), parameters(whole.model))


def test_a_validation_that_is_not_finite_stops(tmp_path, batches):
    step, file = new_step(), tmp_path / "run.pt"
    with pytest.raises(FloatingPointError, match="validation is nan after epoch 2"):
        fit(step, batches, 5, Validation(step, 1.0, float("nan")), patience=2, checkpoint=file)
    fresh = new_step()
    load_checkpoint(file, fresh)
    assert fresh.t == len(batches)  # that of the first epoch


# --- random states ---


def test_two_fits_do_not_disturb_each_others_random_state():
    """One within the other, one after the other, or alone: the same."""
    batches = data.load("digits").train.batches(400, binarize="dynamic")

    def run(step, seed, validate=None):
        fit(step, batches, 3, validate, seed=seed, progress=False)
        return parameters(step.model)

    alone = {seed: run(new_vae(seed), seed) for seed in (1, 2)}
    others, inner = [new_vae(2) for _ in range(3)], []

    def train_another():
        inner.append(run(others.pop(), 2))
        return {}

    outer = new_vae(1)
    torch.manual_seed(1234)
    assert torch.equal(run(outer, 1, train_another), alone[1])
    assert all(torch.equal(other, alone[2]) for other in inner)
    assert not others


def test_a_fit_with_a_seed_leaves_the_random_state_alone(batches):
    step, before = new_step(), torch.get_rng_state()
    fit(step, batches, 1, seed=3, progress=False)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(FloatingPointError):
        step.objective = lambda model, x, y=None: objectives.reconstruction(model, x) / 0
        fit(step, batches, 1, seed=3, progress=False)
    assert torch.equal(torch.get_rng_state(), before)


# --- full disks ---


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path, batches):
    """The limit is real: the system refuses to write a file beyond half of the checkpoint."""
    file = tmp_path / "run.pt"
    fit(new_step(), batches, 1, checkpoint=file, progress=False)
    before, (soft, hard) = file.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        step = new_step()
        with pytest.raises(OSError, match=f"checkpoint: {file} cannot be written: File too"):
            fit(step, batches, 3, checkpoint=file, progress=False)
        assert step.t == len(batches)  # that of the file: it was found before anything was learned
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["run.pt"]
    assert fit(new_step(), batches, 2, checkpoint=file, progress=False).epochs == 2


# --- bad arguments ---


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda b: new_step(clip=0), "clip: got 0, expected a positive norm"),
        (lambda b: new_step(ema=1), "ema: got 1, expected at least 0"),
        (lambda b: new_step(precision="fp8"), "precision: got 'fp8', expected 'float32' or 'bf16'"),
        (lambda b: fit(new_step(), b, 2, dict, patience=0), "patience: got 0"),
        (lambda b: fit(new_step(), b, 2, patience=3), "validate: got None"),
        (lambda b: fit(new_step(), b, 2, dict, patience=3), "validate: got no metrics"),
    ],
)
def test_bad_arguments(batches, act, message):
    with pytest.raises(ValueError, match=message):
        act(batches)
