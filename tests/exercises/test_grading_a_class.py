"""A class hands in, and the commands that the instructors' page names grade it.

Whatever a submission does, it is graded as what it is, within a time limit, and costs nobody else
a mark.
"""

import csv
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest

from dgm.assignment import make_assignment, read_chapter
from dgm.assignment.chapter import alternatives, mistakes, select
from dgm.assignment.course import open_course
from dgm.assignment.grading import grade_id

HERE = Path(__file__).parent
BOOK = HERE.parents[1] / "book"
NAME = "01-generative-models"
LABELS = ["in-inverse-cdf", "in-uniform"]  # two points each
QUANTILE, UNIFORM = select(read_chapter(NAME, BOOK), LABELS)
LIMIT = 10  # seconds for a cell of a submission

pytestmark = pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader's use of SQLAlchemy

HANGS = """
def laplace(u, mu, b):
    while True:
        try:
            while True:
                pass
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


def warn(answer):
    noise = "    import warnings; warnings.warn('old function'); print('here')\n"
    head, body = answer.split("\n", 1)
    return f"{head}\n{noise}{body}"


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "my course"
    make_assignment(NAME, LABELS, folder, book=BOOK, answers=HERE)
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
}


def nbgrader(folder, *arguments):
    """Run nbgrader as in an activated environment."""
    scripts = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    command = [str(scripts / "nbgrader"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def marks(folder):
    with open_course(folder).gradebook as gradebook:
        return {s.student.id: s.score for s in gradebook.find_assignment(NAME).submissions}


def errors(folder, student):
    """What a student reads below the tests."""
    path = folder / "autograded" / student / NAME / f"{NAME}.ipynb"
    cells = nbformat.read(path, as_version=4).cells
    outputs = [o for c in cells for o in c.get("outputs", []) if o.output_type == "error"]
    return " ".join(output.evalue for output in outputs)


# One test, because its parts share what takes a minute: tests of one file may run in two processes.
def test_a_class_is_graded(course):
    grading = nbgrader(course, "autograde", NAME, f"--Execute.timeout={LIMIT}")
    export = nbgrader(course, "export", "--to", "marks.csv")
    assert export.returncode == 0, export.stderr
    with open(course / "marks.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["student_id"]: float(row["score"]) for row in rows} == MARKS, grading.stderr
    assert {float(row["max_score"]) for row in rows} == {4.0}

    # nbgrader names the one that it could not read, at the end
    failures = [line for line in grading.stderr.splitlines() if "for student" in line]
    assert len(failures) == 1 and "no-notebook" in failures[0] and grading.returncode == 1

    # what fails says why
    assert "and so must its inverse" in errors(course, "half")
    assert "not solved yet" in errors(course, "empty")
    assert f"stopped after {LIMIT} seconds" in errors(course, "hangs")
    assert "Python itself ended" in errors(course, "crashes")
    assert "did not run to their end" in errors(course, "drops")
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
    return next(k for k, c in enumerate(cells) if grade_id(c) == f"{label}-solution")


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


def test_a_copied_answer_costs_nobody_a_mark(tmp_path):
    make_assignment(NAME, LABELS, tmp_path, book=BOOK, answers=HERE)
    hand_in(tmp_path, "ada", QUANTILE.answer.source, UNIFORM.answer.source)
    hand_in(tmp_path, "ben", QUANTILE.answer.source, None, copy_answer)
    hand_in(tmp_path, "cleo", None, UNIFORM.answer.source)
    outcome = open_course(tmp_path).autograde(NAME, "*")
    assert outcome["success"], outcome["log"]
    assert marks(tmp_path) == {"ada": 4, "ben": 2, "cleo": 2}


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
    wanted = [grade_id(cell) for cell in fresh if grade_id(cell)]
    for student in [*ODD, "colab"]:
        path = tmp_path / "autograded" / student / NAME / f"{NAME}.ipynb"
        cells = nbformat.read(path, as_version=4).cells
        ids = [grade_id(cell) for cell in cells if "nbgrader" in cell.metadata]
        assert ids == [name for name in wanted if student != "none" or "solution" not in name]
        assert len({cell.id for cell in cells}) == len(cells)
