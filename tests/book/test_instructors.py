"""The instructors' pages agree with the chapters: exercises, questions, rubrics, plans, times."""

from __future__ import annotations

import doctest
import re
from io import StringIO
from pathlib import Path

import pytest
import reading_time
import small_book
import source_checks as checks
import teaching
from bs4 import BeautifulSoup
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from places import BOOK
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace, patch_docutils

from dgm.assignment.chapter import chapters, read_chapter

PAGES = BOOK / "instructors"
CHAPTERS = {int(name[:2]): read_chapter(name, BOOK) for name in chapters(BOOK)}
every_chapter = pytest.mark.parametrize("number", CHAPTERS)

REFERENCE = re.compile(r"\{ref\}`([\w-]+)`( ✎)?")


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text(encoding="utf-8")


def part(text: str, number: int, level: str = "##") -> str:
    """What stands under the heading of a chapter."""
    found = re.search(
        rf"^{level} Chapter {number}\b.*?(?=^#{{2,{len(level)}}} |\Z)", text, re.M | re.S
    )
    return found[0] if found else ""


def exercises(number: int, tested: bool) -> list[str]:
    return [e.label for e in CHAPTERS[number].exercises if bool(e.points) == tested]


# ---------------------------------------------------------------- objectives


def mapped(number: int) -> tuple[list[str], list[str]]:
    """The exercises that the objectives of a chapter name: with tests, and marked as without."""
    found = REFERENCE.findall(part(page("objectives"), number))
    return [k for k, mark in found if not mark], [k for k, mark in found if mark]


@every_chapter
def test_every_exercise_serves_an_objective_and_every_reference_is_one(number):
    coded, written = mapped(number)
    assert sorted(coded) == sorted(exercises(number, tested=True))
    assert sorted(written) == sorted(exercises(number, tested=False))


@every_chapter
def test_every_objective_can_be_tested(number):
    rows = re.findall(r"^\| (?!A student|---)(.*)\|$", part(page("objectives"), number), re.M)
    empty = [row for row in rows if not REFERENCE.search(row) and not re.search(r"\d\.\d", row)]
    assert rows and empty == []


@every_chapter
def test_every_question_serves_an_objective(number):
    listed = re.findall(rf"\b({number}\.\d+)\b", part(page("objectives"), number))
    assert sorted(listed) == sorted(question for question, _ in questions(number))


# ---------------------------------------------------------------- questions


def questions(number: int) -> list[tuple[str, str]]:
    """The questions of a chapter: number and text, with the answer."""
    text = part(page("questions"), number)
    return re.findall(
        r"^\*\*(\d+\.\d+)\*\* (.*?)(?=^\*\*\d+\.\d+\*\*|^\(questions-|\Z)", text, re.M | re.S
    )


@every_chapter
def test_each_chapter_has_about_ten_questions_each_with_one_answer(number):
    found = questions(number)
    assert 8 <= len(found) <= 12
    assert [k for k, _ in found] == [f"{number}.{i + 1}" for i in range(len(found))]
    assert [k for k, text in found if text.count(":::{instructor}") != 1] == []


def test_questions_without_their_answers_give_nothing_away():
    """The public page drops the answers; nothing of them may stand outside."""
    outside = re.sub(r"^:::\{instructor\}.*?^:::$", "", page("questions"), flags=re.M | re.S)
    assert "Answer" not in outside and ":::" not in outside


# ---------------------------------------------------------------- rubrics


@every_chapter
def test_each_chapter_lists_the_mistakes_in_its_coded_exercises(number):
    section = part(page("rubrics").split("## Mistakes to expect")[1], number, "###")
    assert f"{{mistakes}} {CHAPTERS[number].name}\n" in section


@every_chapter
def test_every_written_exercise_has_a_rubric_of_four_points(number):
    section = part(page("rubrics").split("## Written exercises")[1], number, "###")
    found = re.findall(r"^\{ref\}`([\w-]+)`$(.*?)(?=^\{ref\}|\Z)", section, re.M | re.S)
    points = {k: sum(map(int, re.findall(r"^\| (\d) \|", table, re.M))) for k, table in found}
    assert points == dict.fromkeys(exercises(number, tested=False), 4)


# ---------------------------------------------------------------- plans


def rows_with_exercises() -> list[list[str]]:
    rows = [line.strip("| ").split(" | ") for line in page("plans").splitlines()]
    return [row for row in rows if any("{exercise-time}" in cell for cell in row)]


def test_the_time_at_home_is_that_of_what_is_assigned():
    rows, known = rows_with_exercises(), {e.label for c in CHAPTERS.values() for e in c.exercises}
    assert rows
    for row in rows:
        assigned = re.findall(r"`([\w-]+)`", row[-2])
        counted = re.findall(r"`(.*)`", row[-1])[0].split(", ")
        assert assigned == counted and set(counted) <= known


def test_a_row_shows_the_times_of_the_chapter_that_it_names():
    for _, chapter, times, *_ in rows_with_exercises():
        name = re.search(r"\{doc\}`/([\w-]+)`", chapter)[1]
        assert times == f"{{reading-of}}`{name}`, {{running-of}}`{name}`"


def edges() -> set[tuple[str, str]]:
    graph = (BOOK / "_assets" / "prerequisites.svg").read_text(encoding="utf-8")
    return {tuple(edge.split()) for edge in re.findall(r'data-edge="([^"]+)"', graph)}


def before(chapter: str) -> set[str]:
    """All that the graph of prerequisites has ahead of a chapter."""
    direct = {a for a, b in edges() if b == chapter}
    return direct.union(*(before(earlier) for earlier in direct))


@every_chapter
def test_the_graph_has_what_a_chapter_says_it_needs(number):
    texts = checks.markdown_texts(BOOK / f"{CHAPTERS[number].name}.ipynb")
    box = next(text for text in texts if "before-you-start" in text)
    needs = re.search(r"\*\*You need\*\*(.*?)\n\n", box, re.S)[1]
    named = set(re.findall(r"\((?:(\d\d)-[\w-]+|preliminaries)\.ipynb", needs)) - {""}
    assert "preliminaries" in before(f"{number:02}")
    assert named <= before(f"{number:02}")


def test_the_graph_shows_every_chapter():
    assert {b for _, b in edges()} == {f"{number:02}" for number in CHAPTERS}


# ---------------------------------------------------------------- the extension


def build(folder: Path, text: str, extensions: tuple[str, ...] = ("teaching", "reading_time")):
    """Build a book of two pages; return its warnings and the first page."""
    source, out = folder / "book", folder / "out"
    source.mkdir()
    (source / "index.md").write_text(f"# Plan\n\n{text}\n")
    words = "word " * 800
    (source / "long.md").write_text(f"# Long\n\n{words}\n\nTakes {{reading-time}}`long`.\n")
    settings = {"extensions": ["myst_nb", *extensions], "nb_execution_mode": "off"}
    warnings = StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            source, None, out, folder / "trees", "html", settings, status=None, warning=warnings
        )
        app.build()
    return warnings.getvalue(), *((out / f"{p}.html").read_text() for p in ("index", "long"))


def test_a_total_is_the_sum_of_what_the_pages_say(tmp_path):
    warnings, plan, long = build(tmp_path, "{reading-of}`long, long` and {running-of}`long`")
    assert "Takes 4 minutes." in long
    assert "8 min and 0 s" in plan.replace(teaching.NBSP, " ")
    assert "long.md: WARNING: document isn't included in any toctree" in warnings


WORK = """\
# Long

{words}

$$ a = b $$ (eq-a)

:::{{prf:proof}}
{words}

$$ a = b $$
:::

## Check yourself

:::{{admonition}} Why?
:class: dropdown, check

{words}
:::

## Exercises

:::{{exercise}} One (★)
:label: ex-one

{words}
:::

:::{{exercise}} Two (★★★)
:label: ex-two

$$ a = b $$
:::

Read in {{reading-time}}`long`, worked in {{working-time}}`longer`.
"""


def test_reading_and_working_are_counted_apart(tmp_path):
    """200 words, with 15 s for the equation; the proof at half the pace; 2 + 15 + 60 of work.

    That is 3:45 of reading."""
    files = {"index.md": WORK.format(words="word " * 200)}
    extensions = ("sphinx_exercise", "sphinx_proof", "reading_time")
    warnings, pages = small_book.build(tmp_path, files, *extensions, parser="myst_nb")
    assert warnings == ""
    said = BeautifulSoup(pages["index"], "html.parser").get_text().replace(teaching.NBSP, " ")
    assert re.findall("Read in .*", said) == ["Read in 4 minutes, worked in 1 h 17 min."]


def test_numbers_of_a_table_are_not_read(tmp_path):
    """Of 800 words in a table 400 are numbers, so that two minutes are left."""
    table = "| a | b |\n|---|---|\n" + "| word | 1.5 |\n" * 398
    text = f"# Numbers\n\n{table}\nRead in {{reading-time}}`long`.\n"
    _, pages = small_book.build(tmp_path, {"index.md": text}, "reading_time", parser="myst_nb")
    assert "Read in 2 minutes." in BeautifulSoup(pages["index"], "html.parser").get_text()


def cell(tag: str) -> NotebookNode:
    """Forty lines of code, two minutes, that printed eighty, four."""
    output = new_output("stream", text="a line\n" * 80)
    code = "\n".join(["pass"] * 40)
    return new_code_cell(code, metadata={"tags": [tag] if tag else []}, outputs=[output])


@pytest.mark.parametrize(
    ("tag", "minutes"),
    [("", 7), ("hide-input", 5), ("hide-output", 3), ("hide-cell", 1), ("remove-input", 5)],
)
def test_what_is_folded_away_is_not_read(tag, minutes, tmp_path):
    """Besides the cell there are 200 words, and the few of the sentence that counts."""
    cells = [new_markdown_cell("# Long\n\n" + "word " * 200), cell(tag)]
    cells.append(new_markdown_cell("Read in {reading-time}`long`."))
    files = {"index.ipynb": new_notebook(cells=cells)}
    _, pages = small_book.build(tmp_path, files, "reading_time", parser="myst_nb")
    said = BeautifulSoup(pages["index"], "html.parser").get_text()
    assert re.findall("Read in .*", said) == [f"Read in {minutes} minutes."]


def test_what_does_not_exist_is_a_warning(tmp_path):
    text = "{reading-of}`nowhere`, {exercise-time}`none`\n\n```{mistakes} 99-none\n```"
    warnings, *_ = build(tmp_path, text)
    for said in ("there is no page nowhere", "no exercise none", "no chapter 99-none"):
        assert said in warnings


def test_the_order_of_the_extensions_is_checked(tmp_path):
    with pytest.raises(ExtensionError, match="before `reading_time`"):
        build(tmp_path, "", ("reading_time", "teaching"))


def test_hours_are_written_out():
    result = doctest.testmod(reading_time)
    assert result.attempted and not result.failed
