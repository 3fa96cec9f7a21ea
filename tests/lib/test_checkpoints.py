"""Checkpoints under attack: other programs, flipped bits, other settings, full disks, nan."""

import copy
import os
import re
import time
import warnings
from functools import partial

import pytest
import torch
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    OneCycleLR,
    SequentialLR,
)

from dgm import models, objectives
from dgm.train import History, em_step, fit, gradient_step, load_checkpoint, save_checkpoint

pytestmark = pytest.mark.usefixtures("cpu")

X = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))


def new_step(seed=1, hidden=3, **options):
    torch.manual_seed(seed)
    model = models.Autoencoder.mlp((2,), latent=1, hidden=(hidden,))
    return gradient_step(model, objectives.reconstruction, **options)


def run(step, epochs=1, **options):
    return fit(step, [(X,)] * 2, epochs, progress=False, **options)


def everything(step, history):
    """A copy of all that a checkpoint could change."""
    return copy.deepcopy([step.state_dict(), history.metrics, torch.get_rng_state()])


def same(a, b):
    if isinstance(a, dict | list | tuple):
        keys = a if isinstance(a, dict) else range(len(a))
        return len(a) == len(b) and all(same(a[k], b[k]) for k in keys)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


# ---------------------------------------------------------------- a gradient that is nan


def break_gradient_at(step, t):
    """The objective stays finite, its gradient is nan: that of the root of a zero."""

    def objective(model, x, y=None):
        values = objectives.reconstruction(model, x)
        weight = next(model.parameters())
        return values - (0 * weight.sum() ** 2).sqrt() if step.t == t else values

    step.objective = objective


def test_a_nan_from_an_epochs_last_update_gets_into_no_checkpoint(tmp_path):
    file = tmp_path / "run.pt"
    run(new_step(), checkpoint=file)
    before, step = file.read_bytes(), new_step()
    break_gradient_at(step, 3)
    with pytest.raises(
        FloatingPointError, match=r"model\.\S+ is not finite after epoch 2; the lea"
    ):
        run(step, 3, checkpoint=file)
    assert file.read_bytes() == before
    assert run(new_step(), 3, checkpoint=file).epochs == 3


def test_a_nan_from_the_very_last_update_is_no_result():
    step = new_step()
    break_gradient_at(step, 3)
    with pytest.raises(FloatingPointError, match="is not finite after epoch 2"):
        run(step, 2)


def test_what_cannot_learn_may_be_infinite():
    """A mask that someone keeps as a parameter; the logit of a pixel that is always black."""
    step = new_step()
    mask = torch.nn.Parameter(torch.tensor([-torch.inf]), requires_grad=False)
    step.model.mask = mask
    run(step)
    x = (X > 0).float() * torch.tensor([0.0, 1.0])
    em = em_step(models.BernoulliMixture((2,), components=2).initialize(x))
    fit(em, [(x,)], 3, progress=False)


# ---------------------------------------------------------------- other programs, damaged files


def test_two_programs_may_write_one_checkpoint(tmp_path, monkeypatch):
    file, replace = tmp_path / "run.pt", os.replace

    def while_another_does(*paths):
        monkeypatch.setattr(os, "replace", replace)
        save_checkpoint(file, new_step(2), History())
        replace(*paths)

    monkeypatch.setattr(os, "replace", while_another_does)
    save_checkpoint(file, new_step(1), History())
    read = new_step(3)
    load_checkpoint(file, read)
    assert same(read.state_dict(), new_step(1).state_dict())  # the later one counts
    assert os.listdir(tmp_path) == ["run.pt"]


def test_a_checkpoint_is_on_the_disk_before_it_takes_the_others_place(tmp_path, monkeypatch):
    did = []
    for name in ("fsync", "replace"):
        act = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, n=name, act=act: (did.append(n), act(*a)))
    save_checkpoint(tmp_path / "run.pt", new_step(), History())
    assert did == ["fsync", "replace"]


def test_what_killed_programs_left_is_removed(tmp_path):
    hours_ago = time.time() - 2 * 3600
    left = ["run.pt.0123abcd.part", "run.pt.ffffffff.part", "other.pt.01234567.part"]
    for name in left:
        (tmp_path / name).touch()
        if name != left[1]:  # which another program may be writing
            os.utime(tmp_path / name, (hours_ago, hours_ago))
    run(new_step(), checkpoint=tmp_path / "run.pt")
    assert sorted(os.listdir(tmp_path)) == sorted(["run.pt", *left[1:]])


def test_a_flipped_bit_is_not_loaded(tmp_path):
    """Where it changes anything: an archive also has gaps, dates and the like."""
    file, step = tmp_path / "run.pt", new_step()
    run(step, checkpoint=file)
    whole, refused = file.read_bytes(), 0
    for place in range(20, len(whole), len(whole) // 60):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << place % 8
        file.write_bytes(damaged)
        read = new_step(2)
        try:
            load_checkpoint(file, read)
        except ValueError as error:
            assert str(error).startswith(f"checkpoint: {file} is not a checkpoint of dgm")
            refused += 1
        else:
            assert same(read.state_dict(), step.state_dict()), place
    assert refused > 20


# ---------------------------------------------------------------- other settings


def test_another_learning_rate_is_not_silently_dropped(tmp_path):
    file = tmp_path / "run.pt"
    run(new_step(lr=0.5), checkpoint=file)
    step = new_step(lr=0.25)
    with pytest.warns(UserWarning, match="lr: got 0.25, but the saved run goes on with .* 0.5. To"):
        run(step, 2, checkpoint=file)
    assert step.learning_rates() == [0.5]

    # what the warning advises
    step = new_step(lr=0.25)
    with pytest.warns(UserWarning, match="lr: "):
        load_checkpoint(file, step)
    for group in step.learner.optimizer.param_groups:
        group["lr"] = 0.25
    run(step, 2, checkpoint=tmp_path / "slower.pt")
    assert step.learning_rates() == [0.25]
    assert step.t == 4 + 4


def test_a_learning_rate_that_a_schedule_has_changed_is_the_same(tmp_path):
    file, halved = tmp_path / "run.pt", partial(ExponentialLR, gamma=0.5)
    run(new_step(lr_schedule=halved), checkpoint=file)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        step = new_step(lr_schedule=halved)
        run(step, 2, checkpoint=file)
    assert step.learning_rates() == [1e-3 / 16]


def chained(T_max, factor=0.1):
    """A warm-up, then a cosine."""
    return lambda optimizer: SequentialLR(
        optimizer,
        [LinearLR(optimizer, factor, total_iters=2), CosineAnnealingLR(optimizer, T_max)],
        milestones=[2],
    )


def cycle(optimizer):
    return OneCycleLR(optimizer, max_lr=0.1, total_steps=20)


@pytest.mark.parametrize(
    ("saved", "given", "says"),
    [
        (
            {"lr_schedule": partial(CosineAnnealingLR, T_max=9)},
            {"lr_schedule": partial(CosineAnnealingLR, T_max=99)},
            "T_max: got 99, but the saved run goes on with its own, 9. To change",
        ),
        ({"lr_schedule": chained(9)}, {"lr_schedule": chained(99)}, "T_max: got 99, .* own, 9. To"),
        (
            {"lr_schedule": chained(9, 0.1)},
            {"lr_schedule": chained(9, 0.2)},
            "start_factor: got 0.2, .* own, 0.1. To",
        ),
        (
            {"optimizer": partial(Adam, betas=(0.9, 0.999), weight_decay=0.0)},
            {"optimizer": partial(Adam, betas=(0.5, 0.999), weight_decay=0.1)},
            r"betas: got \(0.5, 0.999\), .* \(0.9, 0.999\); weight_decay: got 0.1, .* own, 0. To",
        ),
        (
            {"optimizer": partial(SGD, lr=1e-3, momentum=0.9)},
            {"optimizer": partial(SGD, lr=1e-3, momentum=0.5)},
            "momentum: got 0.5, .* own, 0.9. To",
        ),
        ({"lr_schedule": cycle}, {"lr_schedule": cycle}, None),  # it moves betas
        ({"lr_schedule": chained(9)}, {"lr_schedule": chained(9)}, None),
        ({"optimizer": Adam}, {"optimizer": partial(Adam, foreach=True)}, None),
    ],
)
def test_what_the_saved_run_keeps_for_itself_is_said(tmp_path, saved, given, says):
    file = tmp_path / "run.pt"
    run(new_step(**saved), checkpoint=file)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        run(new_step(**given), 2, checkpoint=file)
    told = [str(warning.message) for warning in warned]
    assert len(told) == (says is not None)
    assert says is None or re.match(says, told[0]), told


ADAM = {}
STOCHASTIC = {"optimizer": partial(SGD, lr=1e-3, momentum=0.9)}
COSINE = {"lr_schedule": partial(CosineAnnealingLR, T_max=9)}
HALVED = {"lr_schedule": partial(ExponentialLR, gamma=0.5)}


@pytest.mark.parametrize(
    ("saved", "given", "message"),
    [
        ({"hidden": 4}, {"hidden": 3}, "size mismatch"),
        (ADAM, STOCHASTIC, "got .*optimizer Adam.*, expected .*optimizer SGD"),
        (STOCHASTIC, ADAM, "got .*optimizer SGD.*, expected .*optimizer Adam"),
        (COSINE, HALVED, "got .*schedule CosineAnnealingLR, expected .*schedule ExponentialLR"),
        (COSINE, {}, "got .*schedule CosineAnnealingLR, expected module, optimizer Adam$"),
        ({}, COSINE, "got module, optimizer Adam, expected .*CosineAnnealingLR"),
        ({"ema": 0.9}, {}, "got .*average, expected"),
    ],
)
def test_a_checkpoint_of_another_step_changes_nothing(tmp_path, saved, given, message):
    file = tmp_path / "run.pt"
    run(new_step(**saved), checkpoint=file)
    refused(file, given, f"run.pt belongs to another model or step: (?s:.*){message}")


def refused(file, given, message):
    step, history = new_step(2, **given), History()
    history.append({"objective": -1.0})
    before = everything(step, history)
    with pytest.raises(ValueError, match=message):
        load_checkpoint(file, step, history)
    assert same(everything(step, history), before)


def put(*where, value):
    def change(state):
        *path, last = where
        for key in path:
            state = state[key]
        state[last] = value

    return change


@pytest.mark.parametrize(
    "change",
    [
        put("step", value=[1, 2]),
        put("step", value=None),
        put("step", "t", value="seven"),
        put("step", "t", value=-1),
        put("step", "model", value={}),
        put("step", "model", "module", value=torch.zeros(3)),
        put("step", "model", "optimizer Adam", value={"state": {}}),
        put("history", value=[1.0]),
        put("history", value={"objective": None}),
        put("history", value={"objective": ["a"]}),
        put("random", value={}),
        put("random", "cpu", value=torch.zeros(5, dtype=torch.uint8)),
        put("random", "cpu", value="state"),
        put("best", value=3),
        put("best", value={"epoch": 1, "value": None, "step": {}}),
        put("best", value={"epoch": 1, "value": 0.0, "step": {"t": 3}}),
    ],
)
def test_a_malformed_checkpoint_changes_nothing(tmp_path, change):
    file = tmp_path / "run.pt"
    run(new_step(), checkpoint=file)
    state = torch.load(file, weights_only=True)
    change(state)
    torch.save(state, file)
    refused(file, {}, "checkpoint: .*run.pt belongs to another model or step: ")


@pytest.mark.parametrize("content", ["text", [1, 2], {"step": 1}, 7])
def test_another_file_of_torchs_is_no_checkpoint(tmp_path, content):
    torch.save(content, tmp_path / "run.pt")
    refused(tmp_path / "run.pt", {}, "run.pt is not a checkpoint of dgm.train.fit, or damaged: ")


# ---------------------------------------------------------------- folders and disks


def test_what_cannot_be_read_is_not_called_another_models(tmp_path):
    with pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path))):
        load_checkpoint(tmp_path, new_step())


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), None])
def test_what_cannot_be_written_is_found_before_the_first_epoch(tmp_path, monkeypatch, error):
    file, step = tmp_path / "run.pt", new_step()
    if error is None:  # a real one
        (tmp_path / "file").touch()
        file, error = tmp_path / "file" / "run.pt", FileExistsError(17, "File exists")
    else:  # root may write anywhere

        def refuse(*_):
            raise error

        monkeypatch.setattr(torch, "save", refuse)
    said = f"checkpoint: {file} cannot be written: {error.strerror}"
    with pytest.raises(type(error), match=re.escape(said)):
        run(step, checkpoint=file)
    assert step.t == 0
    assert not file.exists()


def test_a_finished_run_is_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    file = tmp_path / "run.pt"
    run(new_step(), checkpoint=file)
    monkeypatch.setattr(torch, "save", None)
    step = new_step(2)
    assert run(step, checkpoint=file).epochs == 1
    assert step.t == 2
