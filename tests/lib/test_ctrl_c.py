"""Ctrl-C at every line of `fit`: the run ends, the program goes on, all is whole."""

import linecache
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch

import dgm.train
from dgm import evaluate, models, objectives
from dgm.data import load
from dgm.train import fit, gradient_step
from dgm.train.ctrl_c import CtrlC

pytestmark = pytest.mark.usefixtures("cpu")


FOLDER = str(Path(dgm.train.__file__).parent)
X = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))


class Lines:
    """The lines of dgm.train that run from `fit` on; at the n-th of them Ctrl-C is pressed."""

    def __init__(self, *press_at):
        self.lines, self.press_at = [], press_at

    def __call__(self, frame, event, arg):
        if not frame.f_code.co_filename.startswith(FOLDER):
            return None
        if event == "line":
            self.lines.append(f"{frame.f_code.co_filename}:{frame.f_lineno}")
            if len(self.lines) - 1 in self.press_at:
                signal.raise_signal(signal.SIGINT)
        return self


def code(line):
    file, _, number = line.rpartition(":")
    return linecache.getline(file, int(number)).strip()


def run(folder, lines):
    """Two epochs of two updates, with all that a run can have."""
    torch.manual_seed(0)
    step = gradient_step(models.Autoencoder.linear((2,), 1), objectives.reconstruction, lr=0.1)
    batches, file = [(X[:3],), (X[3:],)], folder / "run.pt"
    sys.settrace(lines)
    try:
        history = fit(step, batches, 2, lambda: {"test": -step.t}, 1, file, progress=False)
    except KeyboardInterrupt:
        history = None
    finally:
        sys.settrace(None)
    return step, history, file


def weights(step):
    return torch.cat([p.detach().flatten() for p in step.model.parameters()])


def test_at_every_line(tmp_path, capsys):
    whole = Lines()
    last, history, _ = run(tmp_path / "whole", whole)
    assert history["test"] == [-2, -4]
    assert not history.interrupted

    after = {}  # the parameters after so many updates, by hand
    torch.manual_seed(0)
    step = gradient_step(models.Autoencoder.linear((2,), 1), objectives.reconstruction, lr=0.1)
    for t in range(5):
        after[t] = weights(step)
        step(((X[:3], X[3:])[t % 2],))
    assert torch.equal(weights(last), after[2])  # the best epoch was the first

    left, seen = 0, set()
    last_times = {line: n for n, line in enumerate(whole.lines)}  # each line once
    for line, n in last_times.items():
        step, history, file = run(tmp_path / str(n), Lines(n))
        if history is None:
            left += 1
            assert step.t == 0, line  # before anything was learned
            continue
        seen.add(step.t)
        # what was learned is kept, and no update is half made
        assert torch.equal(weights(step), after[step.t]), line
        metrics = len(history.metrics.get("objective", []))
        assert metrics == -(-step.t // 2) or (metrics == 2 and step.t == 2)
        if file.exists():
            torch.load(file, weights_only=True)
        assert not list(file.parent.glob("*.part"))
    assert left < 20  # the lines before Ctrl-C is looked for
    assert seen >= {0, 4}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_press_loses_nothing_either(tmp_path):
    """While the first one is being dealt with, and what was learned is put into the history."""
    whole = Lines()
    run(tmp_path / "whole", whole)
    first = max(n for n, line in enumerate(whole.lines) if code(line) == "return metrics")
    once = Lines(first)
    run(tmp_path / "once", once)
    for second in range(first + 1, len(once.lines)):
        step, history, _ = run(tmp_path / str(second), Lines(first, second))
        if once.lines[second] == once.lines[-1]:
            continue  # Ctrl-C has its usual meaning again
        assert history is not None, once.lines[second]
        assert history.interrupted
        assert len(history["objective"]) == -(-step.t // 2)


def press():
    signal.raise_signal(signal.SIGINT)


def test_what_is_held_off_is_made_whole_and_what_hangs_can_be_stopped():
    seen = []
    with pytest.raises(KeyboardInterrupt), CtrlC() as ctrl_c, ctrl_c.held_off():
        press()
        seen.append("whole")
    with pytest.raises(KeyboardInterrupt), CtrlC() as ctrl_c, ctrl_c.held_off():
        press()
        press()
        seen.append("never")
    with pytest.raises(KeyboardInterrupt), CtrlC() as ctrl_c:
        with ctrl_c.held_off():
            pass
        press()
        seen.append("never")
    assert seen == ["whole"]


def test_a_handler_that_came_later_stays():
    def theirs(*_):
        pass

    with CtrlC():
        signal.signal(signal.SIGINT, theirs)
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is theirs


def test_a_run_inside_a_run_ends_both():
    def inner():
        step = gradient_step(models.Autoencoder.linear((2,), 1), objectives.reconstruction)
        step.objective = lambda model, x: press() or objectives.reconstruction(model, x)
        return {"test": fit(step, [(X,)] * 3, 1, progress=False).interrupted}

    step = gradient_step(models.Autoencoder.linear((2,), 1), objectives.reconstruction)
    history = fit(step, [(X,)], 5, inner, progress=False)
    assert history.interrupted
    assert history.epochs == 1


@pytest.mark.parametrize("where", ["validate", "batches", "step"])
def test_in_what_is_the_users(where):
    def press(*_):
        raise KeyboardInterrupt

    step = gradient_step(models.Autoencoder.linear((2,), 1), objectives.reconstruction)
    if where == "step":
        step.objective = press
    batches = map(press, [0]) if where == "batches" else [(X,)]
    validate = press if where == "validate" else None
    history = fit(step, batches, 1, validate=validate, progress=False)
    assert history.interrupted
    assert history.epochs == (where == "validate")


def test_a_handler_of_the_programs_own_stays():
    pressed = []
    before = signal.signal(signal.SIGINT, lambda *_: pressed.append(1))
    try:
        with CtrlC(), CtrlC().held_off():
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert pressed == [1]


def test_threads_get_no_signals():
    step = gradient_step(models.Autoencoder.linear((2,), 1), objectives.reconstruction)
    thread = threading.Thread(target=fit, args=(step, [(X,)], 1), kwargs={"progress": False})
    thread.start()
    thread.join()
    assert step.t == 1


def test_a_classifier_that_has_not_learned_everything_is_not_returned(monkeypatch):
    """It would be kept, and every distance be measured with it for ever."""
    data = load("digits")
    before = torch.get_rng_state()
    calls = []

    def step(self, batch):
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {"objective": torch.zeros(())}

    monkeypatch.setattr(gradient_step, "__call__", step)
    with pytest.raises(KeyboardInterrupt):
        evaluate.train_classifier(data, updates=20)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_tests_pass_in_the_background():
    """Of what a script starts with `&`, the shell has Ctrl-C ignored."""
    root = Path(__file__).parents[2]
    program = "import signal, sys, pytest; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    program += "sys.exit(pytest.main(sys.argv[1:]))"
    tests = ["--doctest-modules", "lib/dgm/train/ctrl_c.py", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-c", program, *tests], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
