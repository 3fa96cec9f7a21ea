"""The graders, graded: tests accept right answers and reject wrong ones, with a reason.

Answers whose verdict is known lie in `<chapter>/<grade_id of the solution cell>__<what it is>.py`:
`__correct...` goes another way than the chapter's solution, all others are plausible mistakes. An
answer and its tests may use nothing of the chapter but its set-up, and a cell of tests nothing of
another one.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from dgm.assignment.cells import BEGIN_HIDDEN, strip, unsolved
from dgm.assignment.chapter import (
    Exercise,
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


# ---------------------------------------------------------------- grading


def whole(tests: str) -> str:
    return tests


def hidden(tests: str) -> str:
    """A cell of tests without its visible asserts, with all that the hidden ones may need."""
    marks = {k: s.strip() for k, s in enumerate(tests.split("\n"), 1) if s.strip()[:3] == "###"}

    class WithoutVisible(ast.NodeTransformer):
        def visit_Assert(self, node: ast.Assert) -> ast.stmt:
            before = [mark for k, mark in marks.items() if k < node.lineno]
            return node if before[-1:] == [BEGIN_HIDDEN] else ast.Pass()

    return ast.unparse(WithoutVisible().visit(ast.parse(tests)))


def grade(setup: str, answer: str, tests: str) -> None:
    """Run one cell of tests on an answer. Raises AssertionError if it rejects the answer."""
    space = {"__name__": "exercise"}
    for source in (setup, answer, tests):
        exec(compile(source, "<exercise>", "exec"), space)


def rejection(setup: str, exercise: Exercise, answer: str, which=whole) -> str | None:
    """What the tests say of an answer, each cell by itself; None if all of them accept it.

    Args:
        which: what is run of a cell of tests: `whole`, `strip` (the visible tests) or `hidden`.
    """
    for cell in exercise.tests:
        try:
            grade(setup, answer, which(cell.source))
        except AssertionError as error:
            return str(error)
    return None


def judge(path: Path, which=whole) -> str | None:
    """What the tests say of an answer in a file."""
    name, label = path.parent.name, path.stem.split("-solution__")[0]
    answer = path.read_text(encoding="utf-8")
    return rejection(read(name).setup, exercise(name, label), answer, which)


@every_exercise
def test_the_solution_passes(name, label):
    own = exercise(name, label)
    assert rejection(read(name).setup, own, own.answer.source) is None


@pytest.mark.parametrize("path", answers_of(alternatives))
def test_another_correct_answer_passes(path):
    assert judge(path) is None


@pytest.mark.parametrize("path", answers_of(mistakes))
def test_a_wrong_answer_is_rejected_with_a_reason(path):
    said = judge(path)
    assert said is not None, "the tests accept it"
    assert len(said) > 20, "the message must tell the student what is wrong"


@every_exercise
def test_the_empty_answer_says_that_it_is_empty(name, label):
    own = exercise(name, label)
    for cell in own.tests:
        with pytest.raises(NotImplementedError, match="not solved yet"):
            grade(read(name).setup, unsolved(own.answer.source), cell.source)


@every_exercise
def test_every_assert_says_what_is_wrong(name, label):
    trees = [ast.parse(cell.source) for cell in exercise(name, label).tests]
    asserts = [n for tree in trees for n in ast.walk(tree) if isinstance(n, ast.Assert)]
    assert [ast.unparse(node) for node in asserts if node.msg is None] == []


# ---------------------------------------------------------------- the rule for exercises


def survivors(setup: str, exercise: Exercise, wrong: list[Path]) -> Iterator[str]:
    """Wrong answers that the visible tests, or the hidden ones, let pass or reject for no reason.

    A reader at a desk has the visible tests only, and trusts them. The hidden ones ask the same of
    other inputs, of an answer that was made to fit the visible ones.
    """
    for path in wrong:
        for which, name in ((strip, "visible"), (hidden, "hidden")):
            try:
                said = rejection(setup, exercise, path.read_text(encoding="utf-8"), which)
            except Exception as error:  # a test that trips over the answer says nothing about it
                yield f"{exercise.label}, {in_words(path)}: {name} tests raise {error!r}"
                continue
            if said is None or len(said) <= 20:
                fault = "accept it" if said is None else f"say only {said!r}"
                yield f"{exercise.label}, {in_words(path)}: {name} tests {fault}"


def disorder(exercises: list[Exercise]) -> Iterator[str]:
    """Exercises stand in the order of their stars, and one of three stars has tests."""
    stars = [e.stars for e in exercises]
    if stars != sorted(stars):
        yield f"the exercises are not sorted by their stars, which are {stars}"
    if not any(e.stars == 3 and e.tests for e in exercises):
        yield "no coded exercise has three stars"


def breaches(name: str) -> Iterator[str]:
    """All that a chapter's exercises lack."""
    yield from disorder(read(name).exercises)
    coded = [(e, mistakes(name, e.label, HERE)) for e in select(read(name))]
    for e, wrong in coded:
        if len(wrong) < 4:
            yield f"{e.label}: {len(wrong)} wrong answers are known, expected at least four"
    for e, wrong in coded:
        yield from survivors(read(name).setup, e, wrong)


@pytest.mark.parametrize("name", chapters(BOOK))
def test_the_exercises_of_a_chapter_follow_the_rule(name):
    assert list(breaches(name)) == []


@every_exercise
def test_another_correct_answer_is_known(name, label):
    assert len(alternatives(name, label, HERE)) >= 1


def test_every_known_answer_belongs_to_an_exercise():
    known = {f"{name}/{label}-solution" for name, label in EXERCISES}
    assert {f"{f.parent.name}/{f.stem.split('__')[0]}" for f in HERE.glob("*/*.py")} <= known


# ---------------------------------------------------------------- the rule itself


def cell(visible: str, unseen: str) -> NotebookNode:
    hidden_tests = f"### BEGIN HIDDEN TESTS\n{unseen}\n### END HIDDEN TESTS"
    return new_code_cell(f"x = 3\n{visible}\n{hidden_tests}\nassert x, 'no more is asked for'")


def squares(*tests: NotebookNode, stars: int = 1) -> Exercise:
    return Exercise("ex-square", "exercise-1", "Square", stars, "", "", None, tests)


VISIBLE = "assert square(x) == 9, 'the square of three is nine'"
UNSEEN = "assert square(4) == 16, 'not the square of another number'"


def test_what_is_hidden_can_run_by_itself():
    assert hidden(cell(VISIBLE, UNSEEN).source) == f"x = 3\npass\n{UNSEEN}\npass"


@pytest.mark.parametrize(
    "tests, says",
    [
        ([(VISIBLE, UNSEEN)], None),
        ([("assert square(2) == 4, 'the square of two is four'", UNSEEN)], "visible tests accept"),
        ([(VISIBLE, "assert square(2) == 4, 'two times two is four'")], "hidden tests accept"),
        ([("assert square(x) == 9, 'wrong'", UNSEEN)], "visible tests say only 'wrong'"),
        ([(VISIBLE, "assert square(4).real.x, 'not the real part'")], "hidden tests raise Attr"),
        ([("assert square(2) == 4, 'two'", "assert square(2)"), (VISIBLE, UNSEEN)], None),
    ],
)
def test_a_wrong_answer_that_survives_is_found(tests, says, tmp_path):
    """The double, which is right at 2. It is enough that one part rejects it."""
    path = tmp_path / "ex-square-solution__doubled.py"
    path.write_text("def square(x):\n    return 2 * x")
    found = list(survivors("", squares(*(cell(*pair) for pair in tests)), [path]))
    assert found == [] if says is None else f"ex-square, doubled: {says}" in found[0]


def test_a_part_that_needs_the_tests_before_it_is_found():
    first, second = new_code_cell("four = square(2)"), new_code_cell("assert four == 4, 'is four'")
    with pytest.raises(NameError, match="four"):
        rejection("", squares(first, second), "def square(x):\n    return x * x")


def test_exercises_without_order_are_found():
    tests = cell(VISIBLE, UNSEEN)
    good = [squares(stars=1), squares(tests, stars=2), squares(tests, stars=3)]
    assert list(disorder(good)) == []
    assert "which are [3, 2, 1]" in next(disorder(good[::-1]))
    assert list(disorder([squares(tests), squares(stars=3)])) == [
        "no coded exercise has three stars"
    ]
