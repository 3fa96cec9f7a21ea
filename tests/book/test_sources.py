"""The book's sources, without building it. Each check is also shown an example that is wrong."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
import source_checks as checks
import yaml
from equation_checks import read_checks
from places import BOOK, EQUATIONS, NOTEBOOKS, PAGES


def by_name(path: Path) -> str:
    return path.name


# ---------------------------------------------------------------- the book


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_notebook(path):
    assert checks.notebook_problems(checks.read_notebook(path)) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_prose_is_bound_to_its_numbers(path):
    notebook = checks.read_notebook(path)
    assert checks.unused_values(notebook) + checks.unbound_ranks(notebook) == []
    assert checks.named_twice(notebook) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_cells_are_short(path):
    cells = checks.code_cells(checks.read_notebook(path))
    assert [problem for cell in cells for problem in checks.long_to_read(cell)] == []


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_a_distribution_is_called_one(path):
    assert [p for text in checks.markdown_texts(path) for p in checks.called_law(text)] == []


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_display_equations_have_labels(path):
    assert [p for text in checks.markdown_texts(path) for p in checks.unlabelled(text)] == []


@pytest.mark.parametrize("path", PAGES, ids=by_name)
def test_citations_exist(path):
    bibliography = (BOOK / "references.bib").read_text(encoding="utf-8")
    texts = checks.markdown_texts(path)
    assert [p for text in texts for p in checks.unknown_citations(text, bibliography)] == []


def test_labels_are_distinct():
    assert checks.duplicates(checks.all_labels(PAGES)) == []


def test_every_claim_has_a_test_and_every_test_a_claim():
    tested = [check.label for check in read_checks(EQUATIONS)]
    assert checks.unmatched(checks.all_labels(PAGES), tested) == []


def test_checks_say_what_they_compute():
    """The index of checks prints the first line of each docstring."""
    silent = [c.test for c in read_checks(EQUATIONS) if not c.summary]
    assert silent == []


def toc_files(entry: dict | list) -> list[str]:
    """All `root` and `file` entries of a table of contents."""
    if isinstance(entry, list):
        return [name for item in entry for name in toc_files(item)]
    own = [entry[key] for key in ("root", "file") if key in entry]
    below = [value for value in entry.values() if isinstance(value, list)]
    return own + [name for value in below for name in toc_files(value)]


def test_toc_lists_exactly_the_pages_there_are():
    """Only pages of the table of contents are built: one that is missing there is lost."""
    listed = toc_files(yaml.safe_load((BOOK / "_toc.yml").read_text(encoding="utf-8")))
    there = [path.relative_to(BOOK).with_suffix("").as_posix() for path in PAGES]
    assert sorted(listed) == sorted(there)


# ---------------------------------------------------------------- the checks themselves


def code(source: str = "x = 1", outputs=(), count=None, **metadata) -> dict:
    cell = nbformat.v4.new_code_cell(source, execution_count=count, outputs=list(outputs))
    cell["metadata"].update(metadata)
    return cell


def book(*cells: dict) -> dict:
    return nbformat.v4.new_notebook(cells=list(cells))


def graded(grade_id: str, tests: bool, **changes) -> dict:
    """nbgrader's metadata for a solution cell or a test cell."""
    nbgrader = {"grade": tests, "grade_id": grade_id, "locked": tests, "schema_version": 3}
    nbgrader |= {"solution": not tests, "task": False} | ({"points": 1} if tests else {})
    return {"nbgrader": nbgrader | changes}


def without(metadata: dict, key: str) -> dict:
    return {"nbgrader": {k: v for k, v in metadata["nbgrader"].items() if k != key}}


SOLUTION = "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION"
TESTS = "assert f(1) == 1\n### BEGIN HIDDEN TESTS\nassert f(2) == 2\n### END HIDDEN TESTS"
STREAM = nbformat.v4.new_output("stream", text="1\n")
BOTH_TAGS = ["nbval-check-output", "keep_output"]
FIGURE = {"figure": {"caption": "A line falls.", "name": "fig-line"}, "image": {"alt": "A line."}}


def test_a_good_notebook_has_no_problems():
    good = book(
        code("plot(x)", mystnb=FIGURE),
        code("print(1)", [STREAM], 1, tags=BOTH_TAGS),
        code(SOLUTION, **graded("f", tests=False)),
        code(TESTS, **graded("f-tests", tests=True)),
        code(TESTS, **graded("f-tests-again", tests=True)),
    )
    assert checks.notebook_problems(good) == []


WRONG_CELLS = [
    (checks.stray_outputs, code(outputs=[STREAM]), "stored output"),
    (checks.stray_outputs, code(outputs=[STREAM], count=1, tags=BOTH_TAGS[:1]), "keep_output"),
    (checks.stray_outputs, code(outputs=[STREAM], tags=BOTH_TAGS), "execution count"),
    (checks.stray_outputs, code(count=1, tags=BOTH_TAGS), "lacks its output"),
    (checks.long_source, code("x\n" * 31), "31 lines"),
    (checks.long_to_read, code("x\n" * 16), "shows 16 lines"),
    (checks.dead_widgets, code("ipywidgets.interact(f, x=3)"), "interact("),
    (checks.dead_widgets, code("@interact\ndef f(): pass"), "@interact"),
    (checks.not_a_script, code("%matplotlib inline"), "not plain Python"),
    (checks.not_a_script, code("await step()"), "not plain Python"),
    (checks.not_a_script, code("if x:\n    display(x)"), "uses display"),
    (checks.absolute_paths, code("open('/home/ada/x.npz')"), "/home/"),
    (checks.absolute_paths, code("open('C:\\\\data\\\\x.npz')"), "C:"),
    (checks.bare_figures, code(mystnb={"figure": {"name": "fig-a"}}), "caption"),
    (checks.bare_figures, code(mystnb={"figure": {"caption": "A."}}), "alt"),
    (checks.unbalanced_markers, code(SOLUTION), "markers"),
    (checks.unbalanced_markers, code(TESTS[:-20], **graded("f", tests=True)), "markers"),
    (checks.unbalanced_markers, code("return x", **graded("f", tests=False)), "lacks ### BEGIN"),
    (checks.incomplete_metadata, code(**without(graded("f", True), "points")), "points"),
    (checks.incomplete_metadata, code(**graded("f", True, schema_version=2)), "version 3"),
    (checks.silent_tests, code(TESTS.split("\n", 1)[1], **graded("f", True)), "visible assert"),
    (
        checks.silent_tests,
        code(TESTS.replace("assert f(2) == 2", "f(2)"), **graded("f", True)),
        "hidden assert",
    ),
]


@pytest.mark.parametrize("check, cell, says", WRONG_CELLS)
def test_a_wrong_cell_is_found(check, cell, says):
    assert says in "; ".join(check(cell))


def test_wrong_notebooks_are_found():
    solution, tests = code(SOLUTION, **graded("f", False)), code(TESTS, **graded("f", True))
    assert "grade_id f occurs 2 times" in checks.unpaired_exercises(book(solution, tests))
    assert "has no tests" in checks.unpaired_exercises(book(solution))[0]
    assert "no solution before" in checks.unpaired_exercises(book(tests))[0]
    first, others = code(TESTS, **graded("f-tests", True)), code(TESTS, **graded("g-tests", True))
    misnamed = [
        (book(solution, others), "g-tests should be called f-tests"),
        (book(solution, first, others), "g-tests should be called f-tests-<part>"),
    ]
    for notebook, says in misnamed:
        assert checks.unpaired_exercises(notebook) == [f"the tests {says}"]
    twins = book(code(), code())
    twins["cells"][1]["id"] = twins["cells"][0]["id"]
    assert "occurs 2 times" in checks.invalid_format(twins)[0]
    del twins["cells"][1]["id"]
    assert checks.invalid_format(twins) == ["a cell has no id"]
    assert checks.invalid_format(book(code()) | {"nbformat_minor": 4}) != []
    assert "not valid" in checks.invalid_format(book(code()) | {"metadata": 1})[0]


def test_prose_without_its_numbers_is_found():
    def text(source):
        return nbformat.v4.new_markdown_cell(source)

    cell = code("say(a=1, b=2)\nclaim(c=b > a)\nfor i in (1, 2): say(d=i)")
    said = "{eval}`a` is below {eval}`b` and {eval}`d`. It is lower {claim}`c`."
    assert checks.unused_values(book(cell, text(said))) == []
    assert len(checks.unused_values(book(cell, text("{eval}`a`, and `b`")))) == 3
    loses = "Then {eval}`a` is better. {claim}`c`"
    assert checks.unbound_ranks(book(text(loses))) == []  # the tick may stand behind the stop
    found = checks.unbound_ranks(book(text("All is {claim}`c`.\n\nThe best is {eval}`a`.")))
    assert len(found) == 1 and "says 'best'" in found[0]


def test_a_value_that_shares_its_name_is_found():
    found = checks.named_twice(book(code('say(half=f"{half:,}", few=few, more=half, all=f"{n}")')))
    assert found == ["say(half=...) shows another thing than the variable half"]


def test_long_cells_that_nobody_reads_are_fine():
    long = "x = 1\n" * 20
    unseen = (code(long, tags=["remove-cell"]), code(long, **graded("f", tests=True)))
    assert [problem for cell in unseen for problem in checks.long_to_read(cell)] == []


def test_the_word_law_is_found():
    assert len(checks.called_law("The law of $x$, and two laws.")) == 2
    assert checks.called_law("By the law of total variance: it is unlawful.") == []


def test_reading_a_notebook_does_not_mend_it(tmp_path):
    path = tmp_path / "old.ipynb"
    cell = '{"cell_type": "markdown", "metadata": {}, "source": ["a\\n", "b"]}'
    path.write_text(f'{{"cells": [{cell}], "metadata": {{}}, "nbformat": 4, "nbformat_minor": 5}}')
    assert checks.markdown_texts(path) == ["a\nb"]
    assert checks.invalid_format(checks.read_notebook(path)) == ["a cell has no id"]


UNLABELLED = [
    "$$ a = b $$",
    "$$ a = b $$ (pca)",
    "```{math}\na = b\n```",
    "\\begin{align}\na = b\n\\end{align}",
    "::::{exercise}\n:label: ex\n\n$$ a = b $$\n::::",
    "- a list\n\n  $$ a = b $$\n",
]
LABELLED = [
    "$$ a = b $$ (eq-a)",
    "$$\na = b\n$$ (def-a)",
    "```{math}\n:label: eq-a\na = b\n```",
    ":::{prf:proof}\n$$ a = b $$\n:::",
    "```{admonition} Derivation\n---\nclass: derivation\n---\n$$ a = b $$\n```",
    "````{note}\n```{dropdown} Steps\n$$ a = b $$\n```\n````",
    "```python\n$$ not mathematics $$\n```",
    "inline $a = b$ needs none",
]


@pytest.mark.parametrize("text", UNLABELLED)
def test_an_unlabelled_equation_is_found(text):
    assert len(checks.unlabelled(text)) == 1


@pytest.mark.parametrize("text", LABELLED)
def test_a_labelled_equation_is_accepted(text):
    assert checks.unlabelled(text) == []


def test_labels_and_tests_are_matched():
    assert checks.unmatched(["eq-a", "def-b"], ["eq-a"]) == []
    assert checks.unmatched(["eq-a"], []) == ["eq-a has no test"]
    assert checks.unmatched([], ["eq-a"]) == ["a test is marked eq-a, no equation is"]
    assert checks.unmatched(["eq-a"], ["eq-a", "eq-a"]) == ["tests of eq-a occurs 2 times"]
    assert checks.duplicates(["eq-a", "eq-a"]) == ["eq-a occurs 2 times"]


def test_unknown_citations_are_found():
    text = "See {cite:p}`pearson1901, nobody1900` and {cite}`ada1843`."
    assert checks.unknown_citations(text, "@book{pearson1901,\n}\n@misc{ada1843,}") == [
        "nobody1900 is not in references.bib"
    ]
