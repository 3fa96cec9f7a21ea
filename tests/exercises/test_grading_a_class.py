"""A class of twelve hands in, and the commands that the instructors' page names grade it.

Whatever a submission does, it is graded as what it is, within a time limit, and costs nobody else
a mark.
"""

import csv
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from dgm.assignment import make_assignment, read_chapter
from dgm.assignment.chapter import alternatives, mistakes, select

HERE = Path(__file__).parent
BOOK = HERE.parents[1] / "book"
NAME = "01-generative-models"
LABELS = ["in-inverse-cdf", "in-uniform"]  # two points each
QUANTILE, UNIFORM = select(read_chapter(NAME, BOOK), LABELS)
LIMIT = 10  # seconds for a cell of a submission

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


def warn(answer):
    noise = "    import warnings; warnings.warn('old function'); print('here')\n"
    head, body = answer.split("\n", 1)
    return f"{head}\n{noise}{body}"


@pytest.fixture
def course(tmp_path):
    folder = tmp_path / "course"
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
    "no-notebook": 0,
}


def nbgrader(folder, *arguments):
    """Run nbgrader as in an activated environment."""
    scripts = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
    command = [str(scripts / "nbgrader"), *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


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
    assert "F inverse must rise with u" in errors(course, "half")
    assert "not solved yet" in errors(course, "empty")
    assert f"stopped after {LIMIT} seconds" in errors(course, "hangs")
    assert "Python itself ended" in errors(course, "crashes")
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
