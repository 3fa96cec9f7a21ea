"""The graders, graded: every exercise's tests accept its solution and reject wrong ones.

A coded exercise is a solution cell and a test cell (nbgrader's metadata say which). Wrong solutions
lie in `<chapter>/<grade_id of the solution cell>__<what is wrong>.py`. The tests of an exercise may
use nothing of the chapter but its cell tagged `setup`.
"""

from functools import cache
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent


@cache
def chapter_cells(chapter):
    """(setup source, {grade_id: (solution source, test source)}) of a chapter."""
    cells = nbformat.read(ROOT / "book" / f"{chapter}.ipynb", as_version=4).cells
    setup = "\n".join(c.source for c in cells if "setup" in c.metadata.get("tags", []))
    graded = [c for c in cells if "nbgrader" in c.metadata]
    solutions = [c for c in graded if c.metadata.nbgrader.solution]
    tests = [c for c in graded if c.metadata.nbgrader.grade]
    pairs = zip(solutions, tests, strict=True)
    return setup, {s.metadata.nbgrader.grade_id: (s.source, t.source) for s, t in pairs}


def exercises():
    chapters = sorted(p.stem for p in (ROOT / "book").glob("*.ipynb"))
    return [(chapter, name) for chapter in chapters for name in chapter_cells(chapter)[1]]


def wrong_solutions():
    files = sorted(HERE.glob("*/*.py"))
    return [pytest.param(f, id=f"{f.parent.name}/{f.stem}") for f in files]


def grade(chapter, name, solution):
    """Run the exercise's tests on a solution. Raises AssertionError if they reject it."""
    setup, pairs = chapter_cells(chapter)
    space = {"__name__": "exercise"}
    for source in (setup, solution, pairs[name][1]):
        exec(compile(source, f"<{chapter}: {name}>", "exec"), space)


@pytest.mark.parametrize(("chapter", "name"), exercises())
def test_the_solution_passes(chapter, name):
    grade(chapter, name, chapter_cells(chapter)[1][name][0])


@pytest.mark.parametrize("file", wrong_solutions())
def test_a_wrong_solution_is_rejected_with_a_reason(file):
    name = file.stem.split("__")[0]
    with pytest.raises(AssertionError) as rejection:
        grade(file.parent.name, name, file.read_text())
    assert len(str(rejection.value)) > 20, "the message must tell the student what is wrong"


@pytest.mark.parametrize(("chapter", "name"), exercises())
def test_the_hidden_tests_have_work_to_do(chapter, name):
    """At least two wrong solutions each, and at least one of them survives the visible tests."""
    files = sorted((HERE / chapter).glob(f"{name}__*.py"))
    assert len(files) >= 2, f"{chapter}: exercise {name} has {len(files)} wrong solutions"
    setup, pairs = chapter_cells(chapter)
    visible = pairs[name][1].split("### BEGIN HIDDEN TESTS")[0]
    survivors = 0
    for file in files:
        space = {"__name__": "exercise"}
        try:
            for source in (setup, file.read_text(), visible):
                exec(compile(source, str(file), "exec"), space)
            survivors += 1
        except AssertionError:
            pass
    assert survivors, "the visible tests catch everything: the hidden ones test nothing"


@pytest.mark.parametrize(("chapter", "name"), exercises())
def test_an_empty_answer_is_rejected(chapter, name):
    with pytest.raises((AssertionError, NameError, TypeError)):
        grade(chapter, name, "")


def test_every_wrong_solution_belongs_to_an_exercise():
    known = {(chapter, name) for chapter, name in exercises()}
    assert {(f.parent.name, f.stem.split("__")[0]) for f in HERE.glob("*/*.py")} <= known
