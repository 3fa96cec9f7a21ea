"""Two processes train as one would, know what is theirs and what is shared, and end together."""

import contextlib
import dataclasses
import io
import json
import multiprocessing
import os
import pickle
import re
import runpy
import signal
import subprocess
import sys
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from dgm import _device, data, models, objectives
from dgm.reproduce import EXPERIMENTS, RECIPES, Schedule
from dgm.reproduce.__main__ import main
from dgm.train import adversarial_step, distributed, em_step, fit, gradient_step, rank
from dgm.train.distributed import Ranks

LIBRARY = Path(_device.__file__).parents[1]
# each process is a fork of one that has imported torch, not a new interpreter: 0.1 s against 3 s
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["pytest", "dgm.reproduce.__main__", "torch._dynamo"])
PATIENCE = 600  # seconds, where all is over in two: only a process that waits in vain needs them


# In float64 sums in another order differ by 1e-15, and a wrong weight still by far more.
pytestmark = pytest.mark.usefixtures("cpu", "float64")


def in_two(act, folder, *arguments):
    """What act(*arguments) returns in each of two processes, or raises; None of one killed."""
    meeting = len(list(folder.glob("meeting*")))
    processes = [
        PROCESSES.Process(target=_one, args=(r, folder, meeting, act, arguments)) for r in (0, 1)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    waiting = [process for process in processes if process.exitcode is None]
    for process in waiting:
        process.kill()
    assert waiting == []
    files = [folder / f"result{meeting}-{r}" for r in (0, 1)]
    return [pickle.loads(file.read_bytes()) if file.exists() else None for file in files]


def _one(rank, folder, meeting, act, arguments):
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", DGM_DEVICE="cpu")
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    file = f"file://{folder}/meeting{meeting}"
    limit = timedelta(seconds=10 * PATIENCE)  # so that who waits for it is found waiting
    dist.init_process_group("gloo", init_method=file, rank=rank, world_size=2, timeout=limit)
    try:
        result = act(*arguments)
    except (Exception, SystemExit) as error:
        result = f"{type(error).__name__}: {error}"
    (folder / f"result{meeting}-{rank}").write_bytes(pickle.dumps(result))


def parameters(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()


def close(got, expected):
    """Up to rounding, which Adam's division by small gradients makes larger."""
    torch.testing.assert_close(torch.tensor(got), torch.tensor(expected), rtol=1e-8, atol=1e-9)


# ---------------------------------------------------------------- equal to one process


def ring(batch_size):
    return data.load("ring").train.batches(batch_size)


def binary(batch_size):
    """Grey images of 3x3 pixels, binarised anew each time; their labels are numbers of images."""
    x = torch.arange(9 * 31, dtype=torch.uint8).reshape(31, 1, 3, 3) % 5
    return data.Split(x, torch.arange(31), levels=5).batches(batch_size, binarize="dynamic")


class WithNoise:
    """Batches (x, noise): the noise is drawn for the whole batch, and shared out with it."""

    def __init__(self, batches, k):
        self.batches, self.k = batches, k

    def __iter__(self):
        for x, _ in self.batches:
            yield x, torch.randn(len(x), self.k, 2)


def with_noise(bound, model, x, noise):
    """A bound whose draws of the code are made of the noise (B, k, latent)."""

    def estimator(f, q, k, reduce=lambda values: values.mean(0)):
        normal = q.base_dist
        return reduce(f(normal.loc + normal.scale * noise.transpose(0, 1)))  # (k, B, latent)

    return bound(model, x, k=noise.shape[1], estimator=estimator)


def autoencoder():
    return models.Autoencoder.mlp((2,), latent=1, hidden=(8,))


def vae():
    return models.VAE.mlp((1, 3, 3), hidden=(8,))


class TwoSides(nn.Module):
    """One network for points on the left, another for those on the right."""

    shape = (2,)

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(2, 1), nn.Linear(2, 1)


def own_side(model, x):
    """Of points from left to right, so that each of two shares reaches one network only."""
    sides = (model.left, x[x[:, 0] < 0]), (model.right, x[x[:, 0] >= 0])
    return torch.cat([-(1 - side(part)[:, 0]).square() for side, part in sides if len(part)])


def left_to_right():
    return [(torch.linspace(-2, 2, 16).view(8, 2),)] * 3


# 1333 leaves a last batch of one example: one of two ranks has none
CASES = {
    "reconstruction": (autoencoder, objectives.reconstruction, partial(ring, 1333), {}),
    "clipped, averaged": (
        autoencoder,
        objectives.reconstruction,
        partial(ring, 801),
        {"clip": 0.1, "ema": 0.9},
    ),
    "made": (
        partial(models.MADE, (1, 3, 3), hidden=(16,)),
        objectives.log_likelihood,
        partial(binary, 7),
        {},
    ),
    "each share reaches half": (TwoSides, own_side, left_to_right, {"clip": 1.0}),
    "elbo": (vae, partial(with_noise, objectives.elbo), lambda: WithNoise(binary(8), k=1), {}),
    "iwae": (vae, partial(with_noise, objectives.iwae), lambda: WithNoise(binary(8), k=3), {}),
}


def train(case, seed, distributed):
    """Parameters, history and more of three epochs.

    Rank 1 neither starts where one process does, nor draws nothing between epochs.
    """
    build, objective, batches, options = CASES[case]
    torch.manual_seed(seed + rank())
    step = gradient_step(build(), objective, lr=0.01, **options)

    def validate():
        return {"draws": torch.rand(rank()).sum()}

    history = fit(step, batches(), 3, validate, distributed=distributed, progress=False)
    average = parameters(step.average) if step.average else None
    return parameters(step.model), history.metrics, average, step.t


@pytest.mark.parametrize("case", CASES)
def test_two_processes_are_one(tmp_path, case):
    expected, metrics, average, t = train(case, seed=1, distributed=False)
    for got, got_metrics, got_average, got_t in in_two(train, tmp_path, case, 1, True):
        close(got, expected)
        assert list(got_metrics) == list(metrics)
        for name in metrics:
            close(got_metrics[name], metrics[name])
        assert (average is None) == (got_average is None)
        if average is not None:
            close(got_average, average)
        assert got_t == t


# ---------------------------------------------------------------- what is shared, what is not


def watched():
    """What each rank saw and drew in two epochs without shuffling: images' numbers, and noise."""
    seen = []

    def objective(model, x, y):
        seen.append((y.tolist(), torch.rand(()).item()))
        return objectives.reconstruction(model, x)

    step = gradient_step(models.Autoencoder.linear((1, 3, 3)), objective)
    x = torch.zeros(9, 1, 3, 3)
    fit(step, [(x, torch.arange(9)), (x[:4], torch.arange(4))], 2, distributed=True, progress=False)
    return seen


def test_data_are_shared_out_and_noise_is_each_ranks_own(tmp_path):
    first, second = in_two(watched, tmp_path)
    epoch = [[0, 1, 2, 3, 4], [0, 1]]
    assert [numbers for numbers, _ in first] == epoch * 2
    assert [numbers for numbers, _ in second] == [[5, 6, 7, 8], [2, 3]] * 2
    draws = [draw for _, draw in first + second]
    assert len(set(draws)) == len(draws)  # nor does noise come again in the next epoch


def validated():
    step = gradient_step(autoencoder(), objectives.reconstruction)
    values = iter([3.0, 5.0, 4.0, 4.0, 9.0])

    def validate():
        # a rank that waits for another in the middle of an update must be stoppable
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        return {"test": next(values) if rank() == 0 else -step.t}  # rank 1 would stop earlier

    history = fit(step, ring(2000), 9, validate, patience=2, distributed=True, progress=False)
    return history["test"], history.best_epoch, step.t, parameters(step.model).tolist()


def test_the_validation_of_rank_0_counts(tmp_path):
    first, second = in_two(validated, tmp_path)
    assert first == second
    assert first[:3] == ([3.0, 5.0, 4.0, 4.0], 2, 4)  # two updates an epoch, back to the second


def written(folder):
    """Every rank names a file of its own."""
    step = gradient_step(autoencoder(), objectives.reconstruction)
    file = folder / f"run-{rank()}.pt"
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        fit(step, ring(2000), 1, checkpoint=file, distributed=True)
    there = (folder / "run-0.pt").exists()  # on return, not some time later
    alone = step((torch.ones(3, 2),))["objective"].item() if rank() == 0 else 0.0
    return there, "epoch" in shown.getvalue(), type(step.model).__name__, alone


def test_one_writes_and_shows_and_the_step_is_free_again(tmp_path):
    first, second = in_two(written, tmp_path, tmp_path)
    assert first[:2] == (True, True)
    assert second[:2] == (True, False)
    assert first[2] == "Autoencoder"  # the model itself, not what wrapped it
    assert first[3] < 0  # a step of rank 0 alone, which would wait for rank 1 otherwise
    assert [file.name for file in tmp_path.glob("*.pt*")] == ["run-0.pt"]


def stochastic(folder, seed, epochs, name):
    """A VAE whose noise is the ranks' own; only rank 0 has the file."""
    torch.manual_seed(seed + rank())
    step = gradient_step(vae(), objectives.elbo, lr=0.01, ema=0.9)
    file = folder / f"{name}-{rank()}.pt"
    history = fit(step, binary(8), epochs, checkpoint=file, distributed=True, progress=False)
    return parameters(step.model).tolist(), parameters(step.average).tolist(), history.metrics


def test_interrupted_and_resumed_equals_uninterrupted(tmp_path):
    whole = in_two(stochastic, tmp_path, tmp_path, 1, 4, "whole")
    half = in_two(stochastic, tmp_path, tmp_path, 1, 2, "half")
    rest = in_two(stochastic, tmp_path, tmp_path, 50, 4, "half")
    assert rest == whole
    assert whole[0] == whole[1] != half[0]


def test_one_process_goes_on_from_the_checkpoint_of_two(tmp_path):
    build, objective, batches, _ = CASES["made"]

    def new_step():
        torch.manual_seed(1)
        return gradient_step(build(), objective, lr=0.01)

    whole, rest = new_step(), new_step()
    fit(whole, batches(), 5, progress=False)
    in_two(deterministic, tmp_path, tmp_path)
    history = fit(rest, batches(), 5, checkpoint=tmp_path / "made.pt", progress=False)
    assert history.epochs == 5
    close(parameters(rest.model), parameters(whole.model))


def deterministic(folder):
    build, objective, batches, _ = CASES["made"]
    torch.manual_seed(1)
    step = gradient_step(build(), objective, lr=0.01)
    fit(step, batches(), 3, checkpoint=folder / "made.pt", distributed=True, progress=False)


# ---------------------------------------------------------------- how it ends


def trouble(folder, act):
    """Two epochs of four steps that go well; in the second step of the third, `act` on rank 1."""
    torch.manual_seed(1)

    def objective(model, x, y):
        value = objectives.reconstruction(model, x)
        return act(value) if rank() == 1 and step.t == 9 else value

    step = gradient_step(autoencoder(), objective)
    fit(step, ring(1000), 5, checkpoint=folder / "run.pt", distributed=True, progress=False)


def die(value):
    os.kill(os.getpid(), signal.SIGKILL)


def be_told_to_end(value):
    os.kill(os.getpid(), signal.SIGTERM)  # Python looks after signals at the next line
    return value


def press_ctrl_c(value):
    os.kill(os.getpid(), signal.SIGINT)
    return value


def fail(value):
    raise RuntimeError("shapes do not match")


def nonsense(value):
    return value * float("nan")


LOST = "RuntimeError: rank 0 of 2: another process ended or is silent; to go on from {}/run.pt, "
TOLD = "SystemExit: rank 1 of 2 was told to end; to go on from {}/run.pt, start all again"
NAN = "FloatingPointError: objective is nan at step 2 of epoch 3"


@pytest.mark.parametrize(
    ("act", "first", "second"),
    [
        (die, LOST, None),
        (be_told_to_end, LOST, TOLD),
        (press_ctrl_c, LOST, TOLD),
        (fail, LOST, "RuntimeError: shapes do not match"),
        (nonsense, NAN, NAN),
    ],
    ids=lambda act: getattr(act, "__name__", ""),
)
def test_one_in_trouble_stops_all_and_leaves_the_checkpoint(tmp_path, act, first, second):
    for said, expected in zip(
        in_two(trouble, tmp_path, tmp_path, act), (first, second), strict=True
    ):
        if expected is None:
            assert said is None
        else:
            assert said.startswith(expected.format(tmp_path))
    step = gradient_step(autoencoder(), objectives.reconstruction)
    history = fit(step, ring(1000), 3, checkpoint=tmp_path / "run.pt", progress=False)
    assert (history.epochs, step.t) == (3, 12)


@pytest.fixture
def heard():
    """What SIGTERM does to the program around a run: it is noted."""
    heard = []
    before = signal.signal(signal.SIGTERM, lambda *_: heard.append("SIGTERM"))
    yield heard
    signal.signal(signal.SIGTERM, before)


def be_lost():
    with Ranks(0, world=2).together("run.pt"):
        raise RuntimeError("Connection closed by peer")


def test_torchruns_signal_does_not_take_the_last_word(heard):
    """torchrun ends the others as soon as one has died, often before they could say why."""
    with pytest.raises(RuntimeError, match="rank 0 of 2: another process ended .* from run.pt"):
        be_lost()
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == []


def test_torchruns_signal_may_come_while_a_loss_is_noticed(heard, monkeypatch):
    def slowly(error):
        os.kill(os.getpid(), signal.SIGTERM)
        return True

    monkeypatch.setattr(distributed, "_lost", slowly)
    with pytest.raises(BaseException, match="rank 0 of 2 was told to end; to go on") as ended:
        be_lost()
    assert ended.type is SystemExit


def test_a_run_that_went_well_or_wrong_leaves_the_signal_as_it_was(heard, monkeypatch):
    monkeypatch.setattr(dist, "barrier", lambda: None)
    with Ranks(0, world=2).together("run.pt"):
        pass
    with pytest.raises(FloatingPointError), Ranks(0, world=2).together("run.pt"):
        raise FloatingPointError
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == ["SIGTERM"]


# ---------------------------------------------------------------- torchrun itself

SCRIPT = """
import os, signal, sys, torch
import dgm
from dgm.train import fit, gradient_step, rank

torch.manual_seed(0)
model = dgm.models.Autoencoder.linear((2,), latent=1)
def objective(model, x, y):
    if rank() == 1 and step.t == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
    return dgm.objectives.reconstruction(model, x)
step = gradient_step(model, objective)
batches = dgm.data.load("ring").train.batches(1000)
history = fit(step, batches, 3, checkpoint="run.pt", distributed=True, progress=False)
if rank() == 0:
    print(history)
"""


def test_the_same_script_alone_and_under_torchrun(tmp_path, monkeypatch, capsys):
    """Under torchrun, rank 1 is killed at the start of the second epoch; alone, it goes on."""
    torch.set_default_dtype(torch.float32)
    (tmp_path / "train.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    killed = subprocess.run(
        [*command, "--nproc-per-node", "2", "train.py", "4"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(LIBRARY), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert killed.returncode != 0
    # torchrun tells rank 0 to end, perhaps before it has noticed
    found = "(: another process ended or is silent| was told to end)"
    assert re.search(f"rank 0 of 2{found}; to go on from run.pt, start all again", killed.stderr)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "4"])
    variables = runpy.run_path("train.py")
    assert capsys.readouterr().out.startswith("History of 3 epochs: objective -")
    assert variables["step"].t == 12


def reproduced(folder):
    """A recipe for a small data set, as `torchrun -m dgm.reproduce tiny --distributed` runs it."""
    os.chdir(folder)
    torch.set_default_dtype(torch.float32)
    small = binary(8).split
    data.load = lambda name: data.Dataset("small", (1, 3, 3), 5, tuple("01"), small, small)
    EXPERIMENTS["tiny"] = dataclasses.replace(
        RECIPES["vae-1"],
        score=lambda model, dataset, images: {"figure": 7.0, "standard_error": 0.5},
        full=Schedule(8, lambda t, steps: 1e-3, epochs=2),
    )
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(io.StringIO()):
        code = main(["tiny", "--distributed"])
    return code, shown.getvalue()


def test_one_process_writes_the_record(tmp_path):
    first, second = in_two(reproduced, tmp_path, tmp_path)
    assert first == (0, "tiny: 7.00 ± 0.50 nats\n")
    assert second == (0, "")
    (file,) = tmp_path.glob("book/records/*.json")
    record = json.loads(file.read_text())
    assert (record["processes"], record["epochs"]) == (2, 2.0)


@pytest.mark.parametrize(
    ("arguments", "world", "message"),
    [
        (["vae-1"], 2, "add --distributed"),
        (["vae-1", "vae-5", "--distributed"], 2, "--distributed: expected one of vae-1"),
        (
            ["few-labels-mnist-mlp", "--distributed"],
            1,
            "distributed: got few-labels-mnist-mlp, exp",
        ),
        (["ring-game", "--distributed"], 1, "distributed: got ring-game, expected one of vae-1"),
        (["vae-1", "--budget", "1", "--distributed"], 1, "budget: got 1, expected none"),
    ],
)
def test_runs_that_cannot_be_shared_are_refused(monkeypatch, capsys, arguments, world, message):
    monkeypatch.setenv("WORLD_SIZE", str(world))
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


# ---------------------------------------------------------------- bad use, and alone


def test_a_step_that_cannot_be_shared_is_refused():
    gan = adversarial_step(models.Generator.mlp((2,)), models.Critic.mlp((2,)))
    x = torch.randn(50, 2)
    em = em_step(models.GaussianMixture((2,), components=2))
    for step, name in ((gan, "adversarial_step"), (em, "em_step")):
        with pytest.raises(ValueError, match=f"distributed: got {name}, expected a gradient_step"):
            fit(step, [(x,)], 1, distributed=True, progress=False)
        assert step.t == 0


def test_without_torchrun_the_flag_changes_nothing():
    expected, metrics, *_ = train("elbo", seed=1, distributed=False)
    got, got_metrics, *_ = train("elbo", seed=1, distributed=True)
    assert (got == expected).all()
    assert got_metrics == metrics


def test_each_process_of_a_machine_has_its_gpu(monkeypatch):
    monkeypatch.delenv("DGM_DEVICE")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert _device.device() == torch.device("cuda")
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert _device.device() == torch.device("cuda:3")
    assert _device._own("cuda") == "cuda:3"
