"""A class hands in, and the commands that the instructors' page names grade it.

Whatever a submission does, it is graded as what it is, within a time limit, and costs nobody else
a mark.
"""

import csv
import os
import socket
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import nbformat
import psutil
import pytest

from dgm.assignment import grade as program
from dgm.assignment import make_assignment, read_chapter, sandbox
from dgm.assignment.cells import grade_id
from dgm.assignment.chapter import alternatives, mistakes, select
from dgm.assignment.course import open_course

HERE = Path(__file__).parent
BOOK = HERE.parents[1] / "book"
NAME = "01-generative-models"
LABELS = ["in-inverse-cdf", "in-uniform"]  # two points each
QUANTILE, UNIFORM = select(read_chapter(NAME, BOOK), LABELS)
LIMIT = 10  # seconds for a cell of a submission

pytestmark = pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader's use of SQLAlchemy

HANGS = """
def laplace(u, mu, b):
    import time
    while True:
        try:
            while True:
                time.sleep(1)
        except BaseException:  # also what an interrupt raises
            pass
"""


def function(line):
    return f"def laplace(u, mu, b):\n    import os, sys\n    {line}\n    return mu + 0 * u\n"


def hand_in(folder, student, quantile=None, uniform=None, change=lambda cells: None):
    """The student's notebook with these answers in it."""
    notebook = nbformat.read(folder / "release" / NAME / f"{NAME}.ipynb", as_version=4)
    for cell in notebook.cells:
        grade_id = cell.metadata.get("nbgrader", {}).get("grade_id")
        if grade_id == "in-inverse-cdf-solution" and quantile:
            cell.source = quantile
        if grade_id == "in-uniform-solution" and uniform:
            cell.source = uniform
    change(notebook.cells)
    path = folder / "submitted" / student / NAME / f"{NAME}.ipynb"
    path.parent.mkdir(parents=True)
    nbformat.write(notebook, path)
    return path


def edit_tests(cells):
    for cell in cells:
        if cell.metadata.get("nbgrader", {}).get("grade"):
            cell.source = "assert True"
            cell.metadata.nbgrader.points = 100


def delete_tests_and_setup(cells):
    locked = [c for c in cells if c.metadata.get("nbgrader", {}).get("locked")]
    for cell in locked:
        cells.remove(cell)


def use_own_helper(cells):
    k = next(k for k, c in enumerate(cells) if "laplace" in c.source and c.cell_type == "code")
    cells.insert(k, nbformat.v4.new_code_cell("def sign_of(x):\n    return x.sign()"))
    cells[k + 1].source = cells[k + 1].source.replace("centred.sign()", "sign_of(centred)")


DROPS = """
import ast
class Drop(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
get_ipython().ast_transformers.append(Drop())
"""
CUTS = """
get_ipython().input_transformers_cleanup.append(
    lambda lines: [line for line in lines if not line.lstrip().startswith("assert")] or ["pass"]
)
"""


def merge_answers(cells):
    """Both answers in one cell, and the other cell deleted."""
    first, second = answer(cells), answer(cells, "in-uniform")
    cells[first].source += "\n\n" + cells[second].source
    del cells[second]


def first_run(attack):
    """A cell of the student's own before everything else."""
    return lambda cells: cells.insert(0, nbformat.v4.new_code_cell(attack))


# What a program tries that knows where everything is. It says what it could do.
ATTACK = """
import os, socket, subprocess, sys
from pathlib import Path

def attempt(what, how):
    try:
        how()
        print("could", what)
    except Exception:
        pass

attempt("read the solutions", Path({source!r}).read_bytes)
attempt("read the book", Path({book!r}).read_bytes)
attempt("read known answers", lambda: list(Path({answers!r}).iterdir())[0])
attempt("read the gradebook", Path({gradebook!r}).read_bytes)
attempt("read another's submission", lambda: list(Path({submitted!r}).iterdir())[0])
attempt("write into a home", lambda: Path({home!r}, "startup.py").write_text("1"))
attempt("change the library", lambda: open({library!r}, "a"))
attempt("write beside what was handed in", lambda: Path("torch.py").write_text("1"))
attempt("see another process", lambda: os.kill({pid}, 0))
attempt("reach the network", lambda: socket.create_connection(("127.0.0.1", {port})))
Path("/tmp/{mark}").write_text("1")  # in its own
print("tried everything")
"""
SURVIVES = """
import os, subprocess, sys
if os.fork() == 0:
    os.setsid()
    sleep = "import time; time.sleep(600)  # {mark}"
    subprocess.Popen([sys.executable, "-c", sleep], start_new_session=True)
    os._exit(0)
os.wait()
"""


def alive(mark):
    """The processes that an attack left."""
    return [p for p in psutil.process_iter(["cmdline"]) if mark in str(p.info["cmdline"])]


def warn(answer):
    noise = "    import warnings; warnings.warn('old function'); print('here')\n"
    head, body = answer.split("\n", 1)
    return f"{head}\n{noise}{body}"


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "my course"
    make_assignment(NAME, LABELS, folder, book=BOOK, answers=HERE)
    with open(folder / "nbgrader_config.py", "a") as config:
        config.write(f"c.Execute.timeout = {LIMIT}\n")
    right = QUANTILE.answer.source
    (also_right,) = alternatives(NAME, "in-inverse-cdf", HERE)
    wrong = mistakes(NAME, "in-inverse-cdf", HERE)[0].read_text()
    uniform = UNIFORM.answer.source
    hand_in(folder, "right", right, uniform)
    hand_in(folder, "otherwise", also_right.read_text(), uniform, use_own_helper)
    hand_in(folder, "noisy", warn(right), uniform)
    hand_in(folder, "half", wrong, uniform)
    hand_in(folder, "empty")
    hand_in(folder, "hangs", HANGS, uniform)
    hand_in(folder, "crashes", function("os._exit(1)"), uniform)
    hand_in(folder, "leaves", function("sys.exit(0)"), uniform)
    hand_in(folder, "quits", function("quit()"), uniform)
    hand_in(folder, "edits", wrong, None, edit_tests)
    hand_in(folder, "deletes", right, None, delete_tests_and_setup)
    hand_in(folder, "shows", function("sys.displayhook('full marks')"), uniform)
    hand_in(folder, "drops", DROPS + function("pass"), DROPS + uniform)
    hand_in(folder, "cuts", CUTS + function("pass"), uniform)
    hand_in(folder, "replaces", function("torch.allclose = torch.isclose = lambda *_, **__: True"))
    hand_in(folder, "brings", right, uniform).with_name("torch.py").write_text("raise SystemExit")
    hand_in(folder, "no-notebook").write_text("I could not open the file, sorry.")
    hand_in(folder, "script").rename(folder / "submitted" / "script" / NAME / "answers.py")
    solved = hand_in(folder, "links")
    solved.unlink()
    solved.symlink_to(folder / "source" / NAME / f"{NAME}.ipynb")
    hand_in(folder, "copies", right, None, copy_answer)
    hand_in(folder, "merges", right, uniform, merge_answers)
    hand_in(folder, "hogs", function("x = bytearray(10**11)"), uniform)
    hand_in(folder, "floods", function("print('x' * 2 * 10**7)"), uniform)
    return folder


MARKS = {
    "right": 4,
    "otherwise": 4,
    "noisy": 4,
    "half": 2,
    "empty": 0,
    "hangs": 2,
    "crashes": 2,
    "leaves": 2,
    "quits": 2,
    "edits": 0,
    "deletes": 2,
    "shows": 2,
    "drops": 0,
    "cuts": 0,
    "replaces": 0,
    "brings": 4,
    "no-notebook": 0,
    "script": 0,
    "links": 0,
    "copies": 2,
    "merges": 4,
    "hogs": 2,
    "floods": 2,
    "attacks": 4,
}
REMARKS = {
    "no-notebook": f"not graded: {NAME}.ipynb is no notebook (NotJSONError)",
    "script": f"not graded: {NAME}.ipynb is not there; handed in: answers.py",
    "links": f"not graded: {NAME}.ipynb is a link, not a file",
    "merges": "the cell in-uniform-solution is gone; cell 4 seems to hold its answer",
}


def nbgrader(folder, *arguments):
    """Run nbgrader as in an activated environment."""
    scripts = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    command = [str(scripts / "nbgrader"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def outputs(folder, student):
    path = folder / "autograded" / student / NAME / f"{NAME}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    return [output for cell in cells for output in cell.get("outputs", [])]


def errors(folder, student):
    """What a student reads below the tests."""
    found = [o for o in outputs(folder, student) if o.output_type == "error"]
    return " ".join(f"{o.ename}: {o.evalue}" for o in found)


def shown(folder, student):
    return "".join(o.text for o in outputs(folder, student) if o.output_type == "stream")


# One test, because its parts share what takes a minute: tests of one file may run in two processes.
def test_a_class_is_graded(course, tmp_path, capsys, monkeypatch):
    (tmp_path / "home").mkdir()
    sandboxed, mark = sandbox.refused() is None, f"dgm-left-{os.getpid()}"
    with socket.create_server(("127.0.0.1", 0)) as server:
        known = {
            "source": str(course / "source" / NAME / f"{NAME}.ipynb"),
            "book": str(BOOK / f"{NAME}.ipynb"),
            "answers": str(HERE / NAME),
            "gradebook": str(course / "gradebook.db"),
            "submitted": str(course / "submitted" / "right"),
            "home": str(tmp_path / "home"),
            "library": sandbox.__file__,
            "pid": os.getpid(),
            "port": server.getsockname()[1],
            "mark": mark,
        }
        attack = ATTACK.format(**known) if sandboxed else "print('tried everything')"
        change = first_run(attack + SURVIVES.format(mark=mark))
        hand_in(course, "attacks", QUANTILE.answer.source, UNIFORM.answer.source, change)
        assert program.main([NAME, "--output", str(course)]) == 0
    said = capsys.readouterr().out
    with open(course / "marks" / f"{NAME}.csv", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert {who: float(row["score"]) for who, row in rows.items()} == MARKS, said
    assert {float(row["max_score"]) for row in rows.values()} == {4.0}
    assert {who: row["remark"] for who, row in rows.items() if row["remark"]} == REMARKS
    assert shown(course, "attacks") == "tried everything\n"
    assert not alive(mark) and not Path("/tmp", mark).exists()
    assert (course / "autograded" / "brings" / NAME / "torch.py").exists()

    # without bubblewrap: what ends with a submission all the same, and that the attack is one
    if sandboxed:
        monkeypatch.setattr(sandbox, "refused", lambda: "it is not installed")
        program.grade(NAME, course, "attacks")
        with open(course / "marks" / f"{NAME}.csv", newline="") as file:
            assert {row["student"]: row for row in csv.DictReader(file)} == rows
        assert "could read the solutions" in shown(course, "attacks")
        assert not alive(mark)
        Path("/tmp", mark).unlink()

    # what fails says why
    assert "and so must its inverse" in errors(course, "half")
    assert "not solved yet" in errors(course, "empty")
    assert f"stopped after {LIMIT} seconds" in errors(course, "hangs")
    assert "Python itself ended" in errors(course, "crashes")
    assert "did not run to their end" in errors(course, "drops")
    assert "MemoryError" in errors(course, "hogs")
    assert "more than 10,000,000 characters are shown" in errors(course, "floods")
    export = nbgrader(course, "export", "--to", "marks.csv")
    assert export.returncode == 0, export.stderr
    feedback = nbgrader(course, "generate_feedback", NAME, "--student", "hangs")
    assert feedback.returncode == 0, feedback.stderr
    page = course / "feedback" / "hangs" / NAME / f"{NAME}.html"
    assert "stopped after" in page.read_text(encoding="utf-8")

    # marks are safe from another choice of exercises
    source = course / "source" / NAME / f"{NAME}.ipynb"
    before = source.read_bytes()
    with pytest.raises(RuntimeError, match="other exercises"):
        make_assignment(NAME, ["in-uniform"], course, True, BOOK, HERE)
    assert source.read_bytes() == before


# ---------------------------------------------------------------- copies, and other metadata


def answer(cells, label="in-inverse-cdf"):
    return next(k for k, c in enumerate(cells) if grade_id(c.metadata) == f"{label}-solution")


def copied(cell, source=None, **metadata):
    """A copy as an editor makes it, with the metadata of the original."""
    copy = deepcopy(cell)
    copy.id = nbformat.v4.nbbase.random_cell_id()
    copy.source = cell.source if source is None else source
    copy.metadata.nbgrader |= metadata
    return copy


def copy_answer(cells):
    """An answer copied to the end, to try something that does not work."""
    cells.append(copied(cells[answer(cells)], function("raise ValueError")))


def split_answer(cells):
    """An editor that splits a cell gives both parts its metadata."""
    k = answer(cells)
    cells.insert(k, copied(cells[k], "half = 0.5"))


def copy_with_its_id(cells):
    cells.insert(0, deepcopy(cells[answer(cells)]))


def copy_tests(cells):
    k = answer(cells) + 1
    cells.insert(k, copied(cells[k]))


def from_another_course(**metadata):
    """A cell that nbgrader knows from elsewhere."""

    def change(cells):
        cells.insert(1, copied(cells[answer(cells)], "x = 1", grade_id="another", **metadata))

    return change


def metadata_is(value):
    def change(cells):
        cells.append(nbformat.v4.new_code_cell("x = 1", metadata={"nbgrader": value}))

    return change


def answer_as_text(cells):
    k = answer(cells)
    text = nbformat.v4.new_markdown_cell(cells[k].source, metadata=cells[k].metadata)
    cells[k] = text


def without_points(cells):
    for cell in cells:
        if "nbgrader" in cell.metadata:
            cell.metadata.nbgrader.pop("points", None)
            cell.metadata.nbgrader.schema_version = 1


ODD = {
    "split": split_answer,
    "same-id": copy_with_its_id,
    "tests": copy_tests,
    "old": from_another_course(schema_version=0),
    "new": from_another_course(schema_version=99),
    "empty": metadata_is({}),
    "null": metadata_is(None),
    "text": metadata_is("solution"),
    "list": metadata_is({"grade_id": [1], "solution": True, "schema_version": 3}),
    "prose": answer_as_text,
    "points": without_points,
    "none": lambda cells: cells.clear(),
}


def test_no_metadata_stops_the_grading_of_a_class(tmp_path):
    """All but the run itself: whatever stands in a submission, what is run is the assignment."""
    make_assignment(NAME, LABELS, tmp_path, book=BOOK, answers=HERE)
    for student, change in ODD.items():
        hand_in(tmp_path, student, "laplace = 1", "uniform = 2", change)
    old = hand_in(tmp_path, "colab")  # its notebooks have no ids of cells
    notebook = nbformat.read(old, as_version=4)
    for cell in notebook.cells:
        del cell["id"]
    notebook.nbformat_minor = 0
    nbformat.write(notebook, old)
    nbgrader = open_course(tmp_path)
    nbgrader.config.Autograde.autograde_preprocessors = ["nbgrader.preprocessors.SaveAutoGrades"]
    outcome = nbgrader.autograde(NAME, "*")
    assert outcome["success"], outcome["log"]
    fresh = nbformat.read(tmp_path / "source" / NAME / f"{NAME}.ipynb", as_version=4).cells
    wanted = [grade_id(c.metadata) for c in fresh if grade_id(c.metadata)]
    for student in [*ODD, "colab"]:
        path = tmp_path / "autograded" / student / NAME / f"{NAME}.ipynb"
        cells = nbformat.read(path, as_version=4).cells
        ids = [grade_id(cell.metadata) for cell in cells if "nbgrader" in cell.metadata]
        assert ids == [name for name in wanted if student != "none" or "solution" not in name]
        assert len({cell.id for cell in cells}) == len(cells)
