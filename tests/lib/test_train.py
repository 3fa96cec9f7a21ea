"""The loop: it learns, stops on nonsense, survives Ctrl-C, and resumes bit for bit."""

import os
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from dgm import heads, models, nets, objectives, plots
from dgm.checks import check_data
from dgm.train import (
    Step,
    fit,
    gradient_step,
    linear_warmup,
    load_checkpoint,
)

pytestmark = pytest.mark.usefixtures("cpu")


def new_step(seed=1, lr=1e-2):
    torch.manual_seed(seed)
    model = models.Autoencoder.mlp((2,), latent=1, hidden=(8,))
    return gradient_step(model, objectives.reconstruction, lr=lr)


def parameters(step):
    return torch.cat([p.detach().flatten() for p in step.model.parameters()])


class InterruptAt(Step):
    """A step that is interrupted by Ctrl-C at its n-th call."""

    def __init__(self, step, n):
        self.step, self.n = step, n
        self.state_dict, self.load_state_dict = step.state_dict, step.load_state_dict

    def __call__(self, batch):
        self.n -= 1
        if self.n == 0:
            raise KeyboardInterrupt
        return self.step(batch)


def test_training_raises_the_objective(batches):
    history = fit(new_step(), batches, epochs=5, progress=False)
    assert history.epochs == 5
    assert history["objective"][-1] > history["objective"][0] + 0.1


def test_a_step_is_adam_on_minus_the_mean_objective(batches):
    x, y = next(iter(batches))
    step, by_hand = new_step(), new_step().model
    step((x, y))
    adam = torch.optim.Adam(by_hand.parameters(), lr=1e-2)
    ((x - by_hand(x)) ** 2).sum(1).mean().backward()
    adam.step()
    hand = torch.cat([p.detach().flatten() for p in by_hand.parameters()])
    torch.testing.assert_close(parameters(step), hand)


def test_another_optimizer(batches):
    model = models.Autoencoder.linear((2,), latent=1)
    step = gradient_step(
        model, objectives.reconstruction, optimizer=lambda p: torch.optim.SGD(p, lr=0.1)
    )
    assert isinstance(step.learner.optimizer, torch.optim.SGD)
    fit(step, batches, epochs=1, progress=False)


@pytest.mark.parametrize("stop_at", [1, 6, 11])  # at once, within and at the end of an epoch
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path, batches, stop_at):
    whole = new_step()
    expected = fit(whole, batches, epochs=5, progress=False)

    file = tmp_path / "run.pt"
    first = InterruptAt(new_step(), stop_at)
    partial = fit(first, batches, epochs=5, checkpoint=file, progress=False)
    assert partial.interrupted

    again = new_step()
    torch.manual_seed(1234 if file.exists() else 1)  # a fresh process has another random state
    if not file.exists():
        again = new_step()
    history = fit(again, batches, epochs=5, checkpoint=file, progress=False)
    assert torch.equal(parameters(again), parameters(whole))
    assert history.metrics == expected.metrics
    assert again.t == whole.t


def test_a_finished_checkpoint_is_not_trained_further(tmp_path, batches):
    file = tmp_path / "run.pt"
    fit(new_step(), batches, epochs=2, checkpoint=file, progress=False)
    step = new_step(seed=5)
    history = fit(step, batches, epochs=2, checkpoint=file, progress=False)
    assert history.epochs == 2
    assert step.t == 8


def test_interrupt_returns_what_is_there(batches, capsys):
    step = new_step()
    history = fit(InterruptAt(step, 7), batches, epochs=9, progress=False)
    assert history.interrupted
    assert history.epochs == 2
    assert step.t == 6
    assert "interrupted in epoch 2" in capsys.readouterr().out


def test_validation_metrics_join_the_history(batches):
    history = fit(new_step(), batches, 3, validate=lambda: {"test": 7.0}, progress=False)
    assert history["test"] == [7.0] * 3
    assert list(history.metrics) == ["objective", "test"]


def test_a_loss_that_is_not_finite_stops_with_step_and_metric(tmp_path, batches):
    file = tmp_path / "run.pt"
    good = new_step()
    fit(good, batches, epochs=1, checkpoint=file, progress=False)
    before = file.read_bytes()

    def explodes(model, x, y=None):
        value = objectives.reconstruction(model, x)
        return value / 0 if step.t >= 6 else value

    step = new_step()
    step.objective = explodes
    with pytest.raises(FloatingPointError, match="objective is -inf at step 3 of epoch 2"):
        fit(step, batches, epochs=5, checkpoint=file, progress=False)
    assert file.read_bytes() == before


def test_a_failed_write_leaves_the_last_checkpoint(tmp_path, batches, monkeypatch):
    file = tmp_path / "run.pt"
    fit(new_step(), batches, epochs=1, checkpoint=file, progress=False)
    before = file.read_bytes()

    def full_disk(state, file):
        file.write(b"half of it")
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        fit(new_step(), batches, epochs=2, checkpoint=file, progress=False)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.pt"]


def test_bad_checkpoints(tmp_path, batches):
    junk = tmp_path / "junk.pt"
    junk.write_bytes(b"not a checkpoint")
    with pytest.raises(ValueError, match="checkpoint: .*junk.pt is not a checkpoint"):
        fit(new_step(), batches, epochs=1, checkpoint=junk)
    other = tmp_path / "other.pt"
    fit(new_step(), batches, epochs=1, checkpoint=other, progress=False)
    conv = gradient_step(models.Autoencoder.linear((2,)), objectives.reconstruction)
    with pytest.raises(ValueError, match="belongs to another model"):
        load_checkpoint(other, conv)
    with pytest.raises(FileNotFoundError):
        load_checkpoint(tmp_path / "none.pt", conv)


def test_checkpoints_hold_no_code(tmp_path, batches):
    """Readable with weights_only=True, so that opening a stranger's file runs nothing."""
    file = tmp_path / "run.pt"
    fit(new_step(), batches, epochs=1, checkpoint=file, progress=False)
    state = torch.load(file, weights_only=True)
    assert set(state) == {"step", "history", "best", "random"}


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda b: fit(new_step(), b, epochs=0), "epochs: got 0"),
        (lambda b: fit(new_step(), b, epochs=1.5), "epochs: got 1.5"),
        (lambda b: fit(new_step(), [], epochs=1), "batches: nothing"),
        (
            lambda b: fit(new_step(), [(torch.ones(2, 2),), (torch.ones(0, 2),)], epochs=1),
            r"batches: got a tuple of Tensor \(0, 2\), expected .* N >= 1 examples",
        ),
        (lambda b: new_step(lr=0), "lr: got 0"),
    ],
)
def test_bad_arguments(batches, act, message):
    with pytest.raises(ValueError, match=message):
        act(batches)


class TinyVAE(nn.Module):
    """The least model with a likelihood."""

    def __init__(self, likelihood):
        super().__init__()
        self.encoder = nn.Sequential(nets.mlp((1, 8, 8), 4), heads.DiagonalNormal(4, 2))
        self.decoder = nn.Sequential(nets.mlp(2, 4), likelihood)

    def prior(self):
        return Independent(Normal(torch.zeros(2), torch.ones(2)), 1)

    def posterior(self, x):
        return self.encoder(x)

    def likelihood(self, z):
        return self.decoder(z)

    def sample(self, n):
        return self.likelihood(self.prior().sample((n,))).sample()


GREY = torch.rand(3, 1, 8, 8)


@pytest.mark.parametrize(
    ("head", "x", "fits"),
    [
        (heads.Bernoulli(4, (1, 8, 8)), GREY, False),
        (heads.Bernoulli(4, (1, 8, 8)), GREY.round(), True),
        (heads.Categorical(4, (1, 8, 8), levels=17), GREY, False),
        (heads.Categorical(4, (1, 8, 8), levels=17), (GREY * 16).round() / 16, True),
        (heads.Normal(4, (1, 8, 8)), GREY, True),
        (heads.Normal(4, (1, 8, 8)), GREY / 0, False),
    ],
)
def test_data_outside_the_support_is_refused(head, x, fits):
    model = TinyVAE(head)
    if fits:
        check_data(model, x)
    else:
        with pytest.raises(ValueError, match="x: got values (outside|that are not finite)"):
            check_data(model, x)


def test_fit_checks_the_first_batch_and_draws_nothing_for_it(batches):
    step = gradient_step(TinyVAE(heads.Bernoulli(4, (1, 8, 8))), objectives.elbo)
    with pytest.raises(ValueError, match="outside the support"):
        fit(step, [(GREY,)], epochs=1, progress=False)
    assert step.t == 0

    seen = []

    class Watcher(gradient_step):
        def check(self, batch):
            super().check(batch)
            seen.append((batch[0], torch.get_rng_state()))

        def __call__(self, batch):
            seen.append((batch[0], torch.get_rng_state()))
            return {"objective": torch.zeros(())}

    watcher = Watcher(new_step().model, objectives.reconstruction)
    fit(watcher, batches, epochs=2, progress=False)
    assert len(seen) == 9  # the first one twice, then the others
    assert seen[0][0] is seen[1][0]
    assert torch.equal(seen[0][1], seen[1][1])


def test_what_can_be_gone_through_once_loses_no_batch():
    step, batch = new_step(), (torch.ones(4, 2),)
    fit(step, iter([batch] * 6), epochs=1, progress=False)
    assert step.t == 6
    with pytest.raises(ValueError, match="batches: got a list_iterator, which .* once, for 2"):
        fit(step, iter([batch] * 6), epochs=2, progress=False)
    assert step.t == 6
    with pytest.raises(ValueError, match="batches: nothing to iterate over in epoch 1"):
        fit(step, iter([]), epochs=1, progress=False)


def test_an_iterator_serves_the_last_epoch_of_a_resumed_run(tmp_path):
    file, batch = tmp_path / "run.pt", (torch.ones(4, 2),)
    fit(new_step(), [batch], 1, checkpoint=file, progress=False)
    step = new_step()
    assert fit(step, iter([batch]), 2, checkpoint=file, progress=False).epochs == 2
    assert step.t == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": torch.optim.LBFGS}, "optimizer: got LBFGS, whose step needs closure"),
        (
            {"lr_schedule": torch.optim.lr_scheduler.ReduceLROnPlateau},
            "lr_schedule: got ReduceLROnPlateau, whose step needs metrics",
        ),
    ],
)
def test_what_a_step_cannot_serve_is_refused_when_it_is_made(options, message):
    model = models.Autoencoder.linear((2,), latent=1)
    with pytest.raises(ValueError, match=message):
        gradient_step(model, objectives.reconstruction, **options)


@pytest.mark.parametrize("name", ["Adadelta", "AdamW", "RMSprop", "SGD", "NAdam", "Rprop"])
def test_torchs_other_optimisers_serve(name):
    model = models.Autoencoder.linear((2,), latent=1)
    step = gradient_step(model, objectives.reconstruction, optimizer=getattr(torch.optim, name))
    step((torch.ones(4, 2),))


def test_only_free_parameters_move():
    step = new_step()
    frozen, *free = step.model.parameters()
    frozen.requires_grad_(False)
    before = [p.clone() for p in (frozen, *free)]
    step((torch.randn(4, 2),))
    assert torch.equal(frozen, before[0])
    assert not any(torch.equal(p, b) for p, b in zip(free, before[1:], strict=True))
    with pytest.raises(ValueError, match="model: got a Autoencoder with nothing to learn"):
        gradient_step(step.model.requires_grad_(False), objectives.reconstruction)


def test_numpys_numbers_are_numbers(tmp_path):
    """Everywhere; and what they leave in a checkpoint can be read again."""
    file, batch = tmp_path / "run.pt", (torch.ones(4, 2),)

    def step():
        model = models.Autoencoder.linear((2,), latent=1)
        return gradient_step(
            model,
            objectives.reconstruction,
            optimizer=partial(torch.optim.Adam, lr=np.float64(1e-3), eps=np.float32(1e-8)),
            lr_schedule=partial(torch.optim.lr_scheduler.StepLR, step_size=np.int64(3)),
            clip=np.float64(1.0),
            ema=np.float32(0.5),
        )

    for epochs in (1, 2):
        validate = {"test": np.float64(epochs)}.copy
        fit(step(), [batch], np.int64(epochs), validate, np.int64(5), file, progress=False)
    fit(new_step(lr=np.logspace(-4, -2, 3)[1]), [batch], 1, checkpoint=tmp_path / "2.pt")
    load_checkpoint(tmp_path / "2.pt", new_step(lr=1e-3))


# ---------------------------------------------------------------- what is said after a nan


def after_nan(batches, lr=1e-3, objective=objectives.reconstruction):
    model = models.Autoencoder.linear((2,), latent=1)
    with pytest.raises(FloatingPointError) as caught:
        fit(gradient_step(model, objective, lr=lr), batches, 9, progress=False)
    return str(caught.value)


def test_a_nan_in_the_data_is_named():
    good, bad = torch.ones(4, 2), torch.ones(4, 2)
    bad[2, 1] = torch.nan
    message = after_nan([(good,), (bad,)])
    assert "objective is nan at step 2 of epoch 1; the data hold values that are not" in message
    assert "learning rate" not in message


def test_a_nan_before_the_first_update_is_not_the_learning_rates():
    message = after_nan([(torch.ones(4, 2),)], objective=lambda m, x: m(x).sum(1) / 0 * 0)
    assert "step 1 of epoch 1; no update had been made yet" in message
    assert "learning rate" not in message


def test_a_second_run_has_been_learned_before_it():
    step, batch = new_step(), (torch.ones(4, 2), None)
    fit(step, [batch], 1, progress=False)
    step.objective = lambda model, x: model(x).sum(1) * torch.nan
    with pytest.raises(FloatingPointError, match="step 1 of epoch 1; the learning rate is 0.01"):
        fit(step, [batch], 1, progress=False)


@pytest.mark.parametrize("lr", [1e-12, 1e30])
def test_otherwise_the_learning_rate_is_said(lr):
    steps = iter([1.0, 1.0, torch.nan])

    def objective(model, x):
        return model(x).sum(1) * next(steps, torch.nan) * 0

    message = after_nan([(torch.ones(4, 2),)] * 3, lr, objective)
    assert f"the learning rate is {lr:g}: is it too large?" in message


def test_looking_for_the_cause_draws_nothing(batches):
    step = new_step()
    step.objective = lambda model, x, y: model(x).sum(1) * torch.nan
    torch.manual_seed(0)
    torch.randperm(4000)  # the order of the first epoch
    expected = torch.get_rng_state()
    torch.manual_seed(0)
    with pytest.raises(FloatingPointError):
        fit(step, batches, 1, progress=False)
    assert torch.equal(torch.get_rng_state(), expected)


@pytest.mark.parametrize("steps", [0, -5, float("nan")])
def test_a_warmup_of_no_steps(steps):
    with pytest.raises(ValueError, match=f"steps: got {steps}"):
        linear_warmup(0, steps)


def test_a_picture_of_a_history(batches):
    history = fit(new_step(), batches, 3, validate=lambda: {"test": 1.0}, progress=False)
    ax = plots.history(history)
    assert [line.get_label() for line in ax.lines] == ["objective", "test"]
    with pytest.raises(KeyError, match="no metric 'loss'; there are objective, test"):
        history["loss"]
