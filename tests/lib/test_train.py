"""The loop: it learns, stops on nonsense, survives Ctrl-C, and resumes bit for bit."""

import os

import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

from dgm import heads, models, nets, objectives
from dgm.checks import check_data
from dgm.train import fit, gradient_step, load_checkpoint

pytestmark = pytest.mark.usefixtures("cpu")


def new_step(seed=1, lr=1e-2):
    torch.manual_seed(seed)
    model = models.Autoencoder.mlp((2,), latent=1, hidden=(8,))
    return gradient_step(model, objectives.reconstruction, lr=lr)


def parameters(step):
    return torch.cat([p.detach().flatten() for p in step.model.parameters()])


class InterruptAt:
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
    assert isinstance(step.optimizer, torch.optim.SGD)
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

    def full_disk(state, path):
        path.write_bytes(b"half of it")
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
    assert set(state) == {"step", "history", "best"}


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda b: fit(new_step(), b, epochs=0), "epochs: got 0"),
        (lambda b: fit(new_step(), b, epochs=1.5), "epochs: got 1.5"),
        (lambda b: fit(new_step(), [], epochs=1), "batches: nothing"),
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
        with pytest.raises(ValueError, match="batches: x (lies outside|holds values)"):
            check_data(model, x)


def test_fit_checks_the_first_batch_and_draws_nothing_for_it(batches):
    step = gradient_step(TinyVAE(heads.Bernoulli(4, (1, 8, 8))), objectives.reconstruction)
    with pytest.raises(ValueError, match="lies outside the support"):
        fit(step, [(GREY,)], epochs=1, progress=False)
    assert step.t == 0

    seen = []

    class Watcher(gradient_step):
        def check(self, batch):
            seen.append(batch[0])

        def __call__(self, batch):
            seen.append(batch[0])
            raise KeyboardInterrupt

    watcher = Watcher(new_step().model, objectives.reconstruction)
    fit(watcher, batches, epochs=1, progress=False)
    assert torch.equal(seen[0], seen[1])  # training starts from the shuffle that was checked


def test_history_plots_itself(batches):
    history = fit(new_step(), batches, 3, validate=lambda: {"test": 1.0}, progress=False)
    ax = history.plot()
    assert [line.get_label() for line in ax.lines] == ["objective", "test"]
    with pytest.raises(KeyError, match="no metric 'loss'; there are objective, test"):
        history["loss"]
