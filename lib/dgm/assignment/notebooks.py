"""The notebooks of an assignment: the one nbgrader starts from, and the one with rubrics."""

import ast
import re
from dataclasses import replace
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from .cells import BEGIN_SOLUTION, END_SOLUTION, parts, strip
from .chapter import Chapter, Exercise, alternatives, in_words, mistakes
from .statements import standing_alone, statement

WRITTEN = """\
An exercise without tests has a cell for an answer in words and formulas: put yours in the place \
of `YOUR ANSWER HERE`. A person marks it.

"""
PAPER = 4  # points of an exercise without tests, whose rubric is in instructors/rubrics.md
LOCKED = {"grade": False, "locked": True, "schema_version": 3, "solution": False, "task": False}
HEADER = """\
# {title}: exercises

{count}, {points} points, about {minutes} minutes.

| exercise | points | minutes, estimated |
|---|---|---|
{rows}

Run the cells from the top. Where a cell says `not solved yet`, put your answer in place of that \
line; the tests below it then tell whether you are on the way. What you hand in also meets tests \
that you do not see; when one fails, it says why. Each cell of tests counts as a whole: the answer \
passes all tests in it, or gets none of its points. An exercise with several such cells is marked \
in parts, and the table has the points of each.

{written}Your answers may use what the set-up imports, and functions of your own in new cells. The \
set-up and the tests are put back as they were before grading. Hand in this file under its name, \
`{name}.ipynb`. To run, it needs `dgm`, the library of the course."""


def assignment(chapter: Chapter, exercises: list[Exercise], book: Path) -> NotebookNode:
    """Set-up and exercises with their solutions and all tests: what nbgrader starts from."""
    header = HEADER.format(
        title=chapter.title,
        name=chapter.name,
        count=f"{len(exercises)} exercises" if len(exercises) > 1 else "One exercise",
        points=sum(e.points for e in exercises),
        minutes=sum(e.minutes for e in exercises),
        written=WRITTEN if any(not e.tests for e in exercises) else "",
        rows="\n".join(f"| {e.title} | {e.worth} | {e.minutes} |" for e in exercises),
    )
    setup = new_code_cell(chapter.setup, id="setup")
    setup.metadata["nbgrader"] = LOCKED | {"grade_id": "setup"}
    cells = [new_markdown_cell(header, id="header"), setup]
    for e in exercises:
        cells += [new_markdown_cell(statement(e, book), id=e.label), e.answer, *e.tests]
    return new_notebook(cells=cells, metadata=chapter.metadata)


def on_paper(exercise: Exercise, book: Path) -> Exercise:
    """An exercise without tests, with a cell for an answer in words that a person marks."""
    solution = standing_alone(exercise.solution, book)
    name = f"{exercise.label}-solution"
    cell = new_markdown_cell(f"{BEGIN_SOLUTION}\n{solution}\n{END_SOLUTION}", id=name)
    marked = {"grade": True, "grade_id": name, "locked": False, "points": PAPER, "solution": True}
    cell.metadata["nbgrader"] = LOCKED | marked
    return replace(exercise, answer=cell)


def with_rubrics(
    source: NotebookNode, chapter: Chapter, exercises: list[Exercise], answers: Path, book: Path
) -> NotebookNode:
    """The same with a rubric after the last cell of each exercise."""
    after = {
        (e.answer, *e.tests)[-1].id: rubric(chapter, e, answers) if e.tests else by_hand(e, book)
        for e in exercises
    }
    cells = []
    for cell in source.cells:
        cells.append(cell)
        if cell.id in after:
            cells.append(new_markdown_cell(after[cell.id], id=f"{cell.id}-rubric"))
    return new_notebook(cells=cells, metadata=source.metadata)


def rubric(chapter: Chapter, exercise: Exercise, answers: Path) -> str:
    """What an answer is marked by, and the answers whose verdict is known."""
    lines = [
        *(line for cell in exercise.tests for line in marked_by(cell, exercise)),
        "**Common mistakes**, all of which the tests reject:\n",
        *map(example, mistakes(chapter.name, exercise.label, answers)),
        "**Other correct answers**, which they accept:\n",
        *map(example, alternatives(chapter.name, exercise.label, answers)),
    ]
    return "\n".join(lines)


def by_hand(exercise: Exercise, book: Path) -> str:
    """What an exercise on paper is marked by, as instructors/rubrics.md has it."""
    page = Path(book, "instructors", "rubrics.md")
    text = page.read_text(encoding="utf-8") if page.exists() else ""
    section = rf"^\{{ref\}}`{exercise.label}`$\n(.*?)(?=^\{{ref\}}|^#|\Z)"
    found = re.search(section, text, re.M | re.S)
    said = found[1].strip() if found else "None is written."
    return f"**Rubric.** {exercise.points} points, given by hand.\n\n{said}"


def marked_by(tests: NotebookNode, exercise: Exercise) -> list[str]:
    """What one cell of tests gives its points for."""
    seen = messages(strip(tests.source))
    hidden = [m for m in messages(tests.source) if m not in seen]
    name, points = tests.metadata.nbgrader.grade_id, tests.metadata.nbgrader.points
    part = parts(cell.metadata for cell in exercise.tests)[name]
    return [
        f"**Rubric{part}.** {points} points if all tests pass, none otherwise. "
        "What students read when one fails:\n",
        *(f"- {m} (visible)" for m in seen),
        *(f"- {m}" for m in hidden),
        "",
    ]


def example(answer: Path) -> str:
    """An answer behind a disclosure that says what it is."""
    code = answer.read_text(encoding="utf-8").strip()
    summary = f"<details><summary>{in_words(answer)}</summary>"
    return f"{summary}\n\n```python\n{code}\n```\n\n</details>\n"


def messages(tests: str) -> list[str]:
    """What the asserts of a test cell say, with … for what only a run knows.

    >>> messages('assert f(2) == 4, f"f(2) is 4, not {f(2)}"')
    ['f(2) is 4, not …']
    """
    asserts = [node for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Assert)]
    found = []
    for node in sorted(asserts, key=lambda node: node.lineno):
        parts = node.msg.values if isinstance(node.msg, ast.JoinedStr) else [node.msg]
        found.append("".join(p.value if isinstance(p, ast.Constant) else "…" for p in parts))
    return found
