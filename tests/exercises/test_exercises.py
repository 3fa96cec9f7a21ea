"""The graders, graded: tests accept right answers and reject wrong ones, with a reason.

Answers whose verdict is known lie in `<chapter>/<grade_id of the solution cell>__<what it is>.py`:
`__correct...` goes another way than the chapter's solution, all others are plausible mistakes. An
answer and its tests may use nothing of the chapter but its set-up.
"""

import ast
from functools import cache
from pathlib import Path

import pytest

from dgm.assignment.cells import strip, unsolved
from dgm.assignment.chapter import (
    alternatives,
    chapters,
    in_words,
    mistakes,
    read_chapter,
    select,
)

HERE = Path(__file__).parent
BOOK = HERE.parents[1] / "book"

read = cache(lambda name: read_chapter(name, BOOK))
EXERCISES = [(name, e.label) for name in chapters(BOOK) for e in select(read(name))]
every_exercise = pytest.mark.parametrize(("name", "label"), EXERCISES)


def answers_of(kind):
    files = [path for name, label in EXERCISES for path in kind(name, label, HERE)]
    return [pytest.param(path, id=f"{path.parent.name}/{path.stem}") for path in files]


def exercise(name, label):
    return next(e for e in read(name).exercises if e.label == label)


def grade(name, label, answer, tests=None):
    """Run the tests of an exercise on an answer. Raises AssertionError if they reject it."""
    tests = tests or exercise(name, label).tests.source
    space = {"__name__": "exercise"}
    for source in (read(name).setup, answer, tests):
        exec(compile(source, f"<{name}: {label}>", "exec"), space)


def grade_file(path, tests=None):
    grade(path.parent.name, path.stem.split("-solution__")[0], path.read_text(), tests)


@every_exercise
def test_the_solution_passes(name, label):
    grade(name, label, exercise(name, label).answer.source)


@pytest.mark.parametrize("path", answers_of(alternatives))
def test_another_correct_answer_passes(path):
    grade_file(path)


@pytest.mark.parametrize("path", answers_of(mistakes))
def test_a_wrong_answer_is_rejected_with_a_reason(path):
    with pytest.raises(AssertionError) as rejection:
        grade_file(path)
    assert len(str(rejection.value)) > 20, "the message must tell the student what is wrong"


@every_exercise
def test_the_hidden_tests_have_work_to_do(name, label):
    """At least one wrong answer survives the visible tests."""
    visible, survivors = strip(exercise(name, label).tests.source), []
    for path in mistakes(name, label, HERE):
        try:
            grade_file(path, visible)
            survivors.append(in_words(path))
        except AssertionError:
            pass
    assert survivors, "the visible tests catch everything: the hidden ones test nothing"


@every_exercise
def test_enough_answers_are_known(name, label):
    assert len(mistakes(name, label, HERE)) >= 2
    assert len(alternatives(name, label, HERE)) >= 1


@every_exercise
def test_the_empty_answer_says_that_it_is_empty(name, label):
    with pytest.raises(NotImplementedError, match="not solved yet"):
        grade(name, label, unsolved(exercise(name, label).answer.source))


@every_exercise
def test_every_assert_says_what_is_wrong(name, label):
    tree = ast.parse(exercise(name, label).tests.source)
    silent = [n for n in ast.walk(tree) if isinstance(n, ast.Assert) and n.msg is None]
    assert [ast.unparse(node) for node in silent] == []


def test_every_known_answer_belongs_to_an_exercise():
    known = {f"{name}/{label}-solution" for name, label in EXERCISES}
    assert {f"{f.parent.name}/{f.stem.split('__')[0]}" for f in HERE.glob("*/*.py")} <= known
