"""What is odd about a submission is said, so that a 0 does not look like one."""

import re

import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from dgm.assignment import grade, remarks
from dgm.assignment.course import open_course
from dgm.assignment.supervise import Failed


def cell(source, name=None):
    metadata = {"nbgrader": {"grade_id": name, "solution": "solution" in name}} if name else {}
    return new_code_cell(source, metadata=metadata)


TWICE, HALF = "def twice(x):\n    return 2 * x", "class Half:\n    pass"
ASSIGNMENT = new_notebook(
    cells=[
        new_markdown_cell("# Numbers"),
        cell("import math", "setup"),
        cell(TWICE, "nu-twice-solution"),
        cell("assert twice(1) == 2", "nu-twice-tests"),
        cell(HALF, "nu-half-solution"),
    ]
)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        (ASSIGNMENT.cells, []),
        (ASSIGNMENT.cells[2:3] + ASSIGNMENT.cells[4:], []),  # what is put back is not missed
        ([cell(TWICE), cell(HALF)], ["all metadata are gone"]),
        ([], ["all metadata are gone"]),
        (
            [cell(f"{HALF}\n{TWICE}", "nu-twice-solution")],
            ["nu-half-solution is gone; cell 1 seems to hold its answer"],
        ),
        ([cell(TWICE, "nu-twice-solution"), cell("def f(:")], ["nu-half-solution is gone"]),
        ([cell(TWICE, "nu-twice-solution"), cell("(" * 10**5)], ["nu-half-solution is gone"]),
    ],
)
def test_answers_that_are_not_in_their_cells_are_missed(cells, says):
    found = remarks.remarks(ASSIGNMENT, new_notebook(cells=cells))
    assert len(found) == len(says)
    assert all(part in remark for part, remark in zip(says, found, strict=True))


def only_a_script(folder):
    (folder / "05-vae.py").write_text(TWICE)


def deep(folder):
    (folder / "05-vae.ipynb").write_text("[" * 10**5)


@pytest.mark.parametrize(
    ("hand_in", "says"),
    [
        (only_a_script, "05-vae.ipynb is not there; handed in: 05-vae.py"),
        (lambda folder: None, "handed in: nothing"),
        (lambda folder: (folder / "05-vae.ipynb").mkdir(), "is not there"),
        (lambda folder: (folder / "05-vae.ipynb").symlink_to(__file__), "is a link"),
        (lambda folder: (folder / "05-vae.ipynb").write_bytes(b"\xff\x00"), "is no notebook"),
        (deep, "is no notebook"),
    ],
)
def test_what_is_no_notebook_is_named(tmp_path, hand_in, says):
    hand_in(tmp_path)
    with pytest.raises(Failed, match=says):
        remarks.read(tmp_path, "05-vae")


# ---------------------------------------------------------------- a class


@pytest.fixture
def submissions(tmp_path):
    """An assignment and three that handed something in, as nbgrader knows them."""
    source = tmp_path / "source" / "05-vae" / "05-vae.ipynb"
    source.parent.mkdir(parents=True)
    source.touch()
    for who in ("ada", "ben", "cleo"):
        (tmp_path / "submitted" / who / "05-vae").mkdir(parents=True)
    with open_course(tmp_path).gradebook as gradebook:
        gradebook.add_assignment("05-vae")
        gradebook.add_notebook("05-vae", "05-vae")
        cell = {"max_score": 4, "cell_type": "code"}
        gradebook.add_grade_cell("nu-twice-tests", "05-vae", "05-vae", **cell)
    return tmp_path


def enters(name, course, student):
    """Full marks for all, but one breaks the grader."""
    if student == "ben":
        raise RecursionError("too deep")
    with open_course(course).gradebook as gradebook:
        gradebook.update_or_create_student(student)
        submission = gradebook.update_or_create_submission(name, student)
        submission.notebooks[0].grades[0].auto_score = 4
        submission.notebooks[0].grades[0].needs_manual_grade = student == "cleo"
        gradebook.db.commit()
    return "odd" if student == "ada" else ""


@pytest.mark.filterwarnings("ignore:Object of type")  # nbgrader's use of SQLAlchemy
def test_who_breaks_the_grader_has_no_points_and_a_reason(submissions, monkeypatch, capsys):
    monkeypatch.setattr(grade, "graded", enters)
    broken = "not graded: RecursionError: too deep"
    expected = [
        ("ada", 4, 4, "", "odd"),
        ("ben", 0, 4, "", broken),
        ("cleo", 4, 4, "nu-twice-tests", ""),
    ]
    assert grade.grade("05-vae", submissions) == expected
    assert re.search(rf"^ben: 0 of 4 \(\d+ s\) {broken}$", capsys.readouterr().out, re.M)
    assert grade.grade("05-vae", submissions, "ada") == expected, "the others' remarks are kept"
    with pytest.raises(ValueError, match="student: got 'eve', expected one of"):
        grade.grade("05-vae", submissions, "eve")
    with pytest.raises(ValueError, match="chapter: got '06-x', expected an assignment in"):
        grade.grade("06-x", submissions)
