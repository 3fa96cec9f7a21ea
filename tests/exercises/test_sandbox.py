"""A submission's process: what it may use, what it sees, and what ends with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nbclient.exceptions import CellTimeoutError
from nbformat.v4 import new_code_cell, new_notebook

from dgm.assignment import grading, sandbox, supervise
from dgm.assignment.cells import grade_id
from dgm.assignment.supervise import Failed, supervised

GIB = 2**30
in_bubblewrap = pytest.mark.skipif(
    sandbox.refused() is not None, reason=f"no bubblewrap: {sandbox.refused()}"
)

# ---------------------------------------------------------------- limits


def raises():
    raise ValueError("no")


def kills_itself():
    os.kill(os.getpid(), signal.SIGKILL)


def allocates():
    return len(bytearray(3 * GIB))


def writes(path):
    with open(path, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, supervise.FILE + 1)


@pytest.mark.parametrize(
    ("work", "says"),
    [
        (raises, "ValueError: no"),
        (kills_itself, "the process that graded it was ended"),
        (allocates, "MemoryError"),
    ],
)
def test_whatever_a_process_does_is_a_reason(work, says):
    with pytest.raises(Failed, match=says):
        supervised(work, seconds=60, memory=2 * GIB)


def test_a_process_has_so_much_time():
    began = time.monotonic()
    with pytest.raises(Failed, match=r"stopped after 0\.1 seconds"):
        supervised(time.sleep, 600, seconds=0.1, memory=2 * GIB)
    assert time.monotonic() - began < 300


def test_no_file_grows_without_end(tmp_path):
    with pytest.raises(Failed, match="OSError|was ended"):
        supervised(writes, tmp_path / "large", seconds=60, memory=2 * GIB)


SHARE = "x = b'1' * 2**28; import time; time.sleep(600)"  # 256 MiB


def starts_many():
    """Each stays below the limit."""
    for _ in range(4):
        subprocess.Popen([sys.executable, "-c", SHARE])
    time.sleep(600)


def test_the_memory_of_all_processes_counts():
    """The first of them is a copy of this one, but for what is mapped from files."""
    own = supervise.psutil.Process().memory_info().rss
    with pytest.raises(Failed, match="GiB of memory"):
        supervised(starts_many, seconds=120, memory=own + 2**28)


def hides(sender):
    """A daemon as they are made: its parent has gone, its session is its own."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(sender, str(os.getpid()).encode())
            time.sleep(600)
        os._exit(0)
    os.wait()
    return "done"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere such a process is nobody's child")
def test_a_daemon_ends_with_its_submission():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    receiver, sender = os.pipe()
    # The three processes are copies of this one, which other tests may have made large. What they
    # use together counts shared memory three times, and each may allocate what this one has.
    own = supervise.psutil.Process().memory_info()
    memory = max(3 * own.rss, own.data) + GIB
    try:
        assert supervised(hides, sender, seconds=60, memory=memory) == "done"
        daemon = int(os.read(receiver, 20))
        assert not supervise.psutil.pid_exists(daemon)
        assert child.poll() is None, "what else this process has started goes on"
    finally:
        child.kill()
        child.wait()


# ---------------------------------------------------------------- the time of a submission

CELLS = ("setup", "a-solution", "a-tests", "b-solution", "b-tests", "c-solution", "c-tests")


class Clock:
    """What `grading` takes for the time, and a kernel that needs some for each cell."""

    def __init__(self, needs):
        self.now, self.needs, self.runs = 0.0, needs, 0

    def run(self, execute, nb, resources, km):
        self.runs += 1
        for index, cell in enumerate(nb.cells):
            execute.preprocess_cell(cell, resources, index)
        return nb, resources

    def cell(self, execute, cell, resources, index):
        limit = execute.time_for(cell)
        seconds = self.needs.get(grade_id(cell.metadata), 1)
        self.now += min(seconds, limit)
        if seconds > limit:
            raise CellTimeoutError("too long")
        end = [line for line in cell.source.split("\n") if line.startswith("assert False, ")]
        secret = end[0].split("'")[1] if end else None
        cell.outputs = [grading.failure("AssertionError", secret)] if end else []
        return cell, resources


def graded(needs, monkeypatch, **limits):
    """The errors of a submission's cells, and how often it ran."""
    clock, parent = Clock(needs), grading.preprocessors.Execute
    monkeypatch.setattr(grading, "monotonic", lambda: clock.now)
    monkeypatch.setattr(parent, "preprocess", lambda *given: clock.run(*given))
    monkeypatch.setattr(parent, "preprocess_cell", lambda *given: clock.cell(*given))
    cells = [
        new_code_cell(
            "pass", metadata={"nbgrader": {"grade_id": name, "grade": name.endswith("tests")}}
        )
        for name in CELLS
    ]
    resources = {"nbgrader": {"student": "ada", "assignment": "01", "notebook": "01"}}
    execute = grading.Execute(**limits)
    execute.shown = 0
    nb, _ = execute.preprocess(new_notebook(cells=cells), resources)
    errors = {n: c.outputs[0].evalue for n, c in zip(CELLS, nb.cells, strict=True) if c.outputs}
    return errors, clock


def test_what_passed_before_the_time_was_over_counts(monkeypatch):
    """b hangs; without it the submission would be run again, for which there is no time."""
    errors, clock = graded({"setup": 8, "b-tests": 99}, monkeypatch, timeout=10, total=25)
    assert clock.runs == 1 and clock.now <= 25
    stopped = "the whole submission was stopped after 25 seconds"
    assert errors == dict.fromkeys(("b-tests", "c-solution", "c-tests"), stopped)


def test_a_cell_that_hangs_costs_itself_while_there_is_time(monkeypatch):
    errors, clock = graded({"setup": 8, "b-tests": 99}, monkeypatch, timeout=10, total=100)
    assert clock.runs == 2 and errors == {"b-tests": "stopped after 10 seconds"}


@pytest.mark.parametrize("needs", [{"setup": 999}, {"a-solution": 999}, {"setup": 60}])
def test_nothing_passes_where_nothing_has_run(monkeypatch, needs):
    """Whoever makes the set-up hang has no time left, and no points."""
    errors, clock = graded(needs, monkeypatch, timeout=60, total=60)
    assert clock.now <= 60 and set(errors) >= {"a-tests", "b-tests", "c-tests"}


# ---------------------------------------------------------------- what is seen

PLACE = sandbox.Place(Path("/t/in"), Path("/t/home"), Path("/t/sockets"))


def bound(line, option):
    """The paths that a command line mounts by an option."""
    return [line[k + 1] for k, word in enumerate(line) if word == option]


def test_a_submission_sees_what_it_needs_and_writes_nowhere_that_stays():
    variables = sandbox.environment(PLACE, {})
    line = sandbox.command(["python", "x.py"], PLACE, variables)
    assert {"--unshare-all", "--clearenv", "--die-with-parent", "--new-session"} <= set(line)
    assert bound(line, "--bind") == ["/t/sockets"] and "--share-net" not in line
    needed = {"/t/in", str(sandbox.LIBRARY), str(sandbox.RECORDS), sys.prefix}
    assert needed <= set(bound(line, "--ro-bind")) and sandbox.RECORDS.is_dir()
    assert {"/tmp", "/t/home"} <= set(bound(line, "--tmpfs"))
    assert line[line.index("--") :] == ["--", "python", "x.py"]
    root = Path(__file__).parents[2]
    shown = [Path(path) for path in bound(line, "--ro-bind")]
    for secret in (root / "book", root / "tests", Path.home(), Path("/etc/passwd")):
        assert not any(secret.is_relative_to(path) for path in shown), secret


def test_the_data_of_a_chapter_may_be_read(tmp_path):
    given = {"DGM_DATA": "/elsewhere", "DGM_DATASET": "own.npz", "SECRET": "1", "LANG": "C"}
    variables = sandbox.environment(PLACE, given)
    assert variables["DGM_DATASET"] == str(Path("own.npz").absolute())
    assert "SECRET" not in variables and variables["LANG"] == "C"
    assert variables["HOME"] == "/t/home" and variables["PYTHONSAFEPATH"] == "1"
    line = sandbox.command([], PLACE, variables | {"DGM_DATA": str(tmp_path)})
    assert str(tmp_path) in bound(line, "--ro-bind")


def test_where_there_is_no_bubblewrap_it_is_said_that_marks_can_be_forged(monkeypatch):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    sandbox.refused.cache_clear()
    try:
        assert "FORGE THE MARKS" in sandbox.said() and "not installed" in sandbox.said()
    finally:
        sandbox.refused.cache_clear()


def test_bubblewrap_that_does_not_work_says_why(monkeypatch, tmp_path):
    broken = tmp_path / "bwrap"
    broken.write_text("#!/bin/sh\necho bwrap: no permission to make a namespace >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    sandbox.refused.cache_clear()
    try:
        assert sandbox.refused() == "bwrap: no permission to make a namespace"
    finally:
        sandbox.refused.cache_clear()


FILL = "open('{}/large', 'wb').write(bytes(2**29))"  # twice what there is


@in_bubblewrap
def test_a_submission_has_little_room(tmp_path):
    with sandbox.place(tmp_path) as where:
        variables = sandbox.environment(where)
        for folder in ("/tmp", where.home, "/dev/shm"):
            program = [sys.executable, "-c", FILL.format(folder)]
            run = subprocess.run(
                sandbox.command(program, where, variables), capture_output=True, text=True
            )
            assert "No space left" in run.stderr


def test_what_was_handed_in_is_beside_the_program(tmp_path):
    (tmp_path / "points.csv").write_text("1")
    (tmp_path / "05.ipynb").write_text("{}")
    (tmp_path / "out.txt").symlink_to("/etc/passwd")
    with sandbox.place(tmp_path) as where:
        assert sorted(path.name for path in where.submission.iterdir()) == ["out.txt", "points.csv"]
        assert (where.submission / "out.txt").is_symlink(), "not a copy of what it leads to"
    assert not where.home.exists()
