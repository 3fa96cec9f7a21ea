"""The book's Sphinx extensions, on examples and on a book of one page."""

from __future__ import annotations

import doctest
import json
import re
import sys
from io import StringIO

import inline_plots
import nbformat
import pytest
import small_book
import static_site
from bs4 import BeautifulSoup
from equation_checks import read_checks
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace, patch_docutils
from static_site import pages_address

from dgm.assignment import cells
from dgm.assignment.cells import BEGIN_HIDDEN, BEGIN_SOLUTION, END_HIDDEN, END_SOLUTION, kind, strip

TEST = '''
import pytest

SIZE = 3

@pytest.mark.parametrize("m", [1, 2])
@pytest.mark.equation("eq-a", "eq-b")
def test_sum(m):
    """Both sides, by enumeration.

    And more.
    """
    assert helper(m)

def helper(m):
    return m * SIZE

def unused(): ...
'''


CLAIMING = nbformat.v4.new_notebook(
    cells=[
        nbformat.v4.new_code_cell("claim(\n    tighter=iwae > elbo, long=k < 3\n)"),
        nbformat.v4.new_markdown_cell("# Bounds\n\nIt is tighter {claim}`tighter`, {claim}`no`."),
    ]
)


def test_a_bound_sentence_shows_its_condition(tmp_path):
    warnings, pages = small_book.build(
        tmp_path, {"index.ipynb": CLAIMING}, "computed_text", parser="myst_nb"
    )
    assert warnings.count("claim: nothing claims no") == 1
    [tick] = BeautifulSoup(pages["index"], "html.parser").select(".claim")
    assert (tick.text, tick["title"]) == ("✓", "Holds in the run of this page: iwae > elbo")


@pytest.mark.parametrize("said", ["0.80", "1,000", "007", "0.80 ± 0.01"])
def test_a_value_is_shown_as_it_was_said(tmp_path, said):
    glued = nbformat.v4.new_output(
        "display_data",
        {"application/papermill.record/text/plain": said},
        metadata={"scrapbook": {"mime_prefix": "application/papermill.record/", "name": "x"}},
    )
    cells = [
        nbformat.v4.new_code_cell("say(x=x)", outputs=[glued]),
        nbformat.v4.new_markdown_cell("# Value\n\nIt is [{eval}`x`]."),
    ]
    files = {"index.ipynb": nbformat.v4.new_notebook(cells=cells)}
    _, pages = small_book.build(tmp_path, files, "computed_text", parser="myst_nb")
    text = BeautifulSoup(pages["index"], "html.parser").get_text()
    assert f"It is [{said}]." in text


def test_checks_are_read_without_importing_them(tmp_path):
    (tmp_path / "test_x.py").write_text("import no_such_module\n" + TEST)
    a, b = read_checks(tmp_path)
    assert (a.label, b.label, a.test, a.summary) == (
        "eq-a",
        "eq-b",
        "test_sum",
        "Both sides, by enumeration.",
    )
    assert a.line == 7


def test_a_check_shows_what_the_test_needs(tmp_path):
    (tmp_path / "test_x.py").write_text(TEST)
    source = read_checks(tmp_path)[0].source
    shown = ["SIZE = 3", "def helper", "@pytest.mark.parametrize", "assert helper(m)"]
    assert sorted(source.index(part) for part in shown) == [source.index(part) for part in shown]
    assert "unused" not in source


def test_stripping_keeps_solutions_and_visible_tests():
    solution = "def f(x):\n    ### BEGIN SOLUTION\n    return x\n    ### END SOLUTION"
    assert strip(solution) == "def f(x):\n    return x"
    tests = "### BEGIN HIDDEN TESTS\nassert f(2)\n### END HIDDEN TESTS\nassert f(1)"
    assert strip(tests) == "assert f(1)"
    assert [kind({"nbgrader": {k: True}}) for k in ("solution", "grade")] == ["solution", "tests"]
    assert kind({}) is None


@pytest.mark.parametrize(
    "repository, address",
    [
        ("https://github.com/Ada/notes", "https://ada.github.io/notes/"),
        ("https://github.com/ada/ada.github.io", "https://ada.github.io/"),
        ("https://example.org/ada/notes", ""),
    ],
)
def test_the_address_follows_from_the_repository(repository, address):
    assert pages_address(repository) == address


@pytest.mark.parametrize("module", [cells, inline_plots, static_site])
def test_the_examples_in_docstrings_hold(module):
    result = doctest.testmod(module)
    assert result.attempted and not result.failed


def test_the_data_set_is_named_without_its_folder(monkeypatch):
    for given, shown in (
        ("/home/ada/my own.npz", "my own.npz"),
        ("mnist", "mnist"),
        ("", "digits"),
    ):
        monkeypatch.setenv("DGM_DATASET", given)
        assert static_site.facts()["Data set"] == shown


def test_a_build_that_fails_does_not_spoil_the_next(tmp_path):
    source, out = tmp_path / "book", tmp_path / "out"
    source.mkdir()
    (source / "index.md").write_text("# Page\n")
    (source / "icon.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
    settings = {
        "extensions": ["myst_parser", "static_site"],
        "html_theme": "sphinx_book_theme",
        "html_theme_options": {"logo": {"image_light": "icon.svg", "image_dark": "icon.svg"}},
    }

    def build(fails):
        with patch_docutils(), docutils_namespace():
            app = Sphinx(source, None, out, tmp_path / "trees", "html", settings, status=None)
            if fails:
                app.connect("source-read", lambda *_: 1 / 0)
            app.build(force_all=True)

    with pytest.raises(ExtensionError):
        build(fails=True)
    build(fails=False)
    assert "on the data set <code>digits</code>" in (out / "index.html").read_text("utf-8")
    assert (out / "_static" / "icon.svg").is_file()


def test_the_empty_corner_of_a_table_is_no_header(tmp_path):
    table = "# Page\n\n|  | a |\n|---|---|\n| b | 1 |\n"
    _, pages = small_book.build(tmp_path, {"index.md": table}, "static_site")
    soup = BeautifulSoup(pages["index"], "html.parser")
    assert [cell.get_text() for cell in soup.select("th")] == ["a"]
    assert [len(row.select("th, td")) for row in soup.select("tr")] == [2, 2]


# ---------------------------------------------------------------- whom a build is for

PAGE = """# Page

:::{exercise} Twice (★)
:label: ex-twice

Write `twice`.
:::

:::{solution} ex-twice
:class: dropdown

By thinking: PAPER.
:::

Public.

::::{instructor} Answer
:::{note}
BANK
:::
::::

The end.
"""


def page_and_source(folder, **settings) -> tuple[str, str]:
    """Build a book of one notebook with an exercise: the page, and the notebook it offers."""
    source, out = folder / "book", folder / "out"
    source.mkdir(parents=True)
    graded = {"grade": False, "grade_id": "ex-twice-solution", "solution": True}
    answer = f"def twice(x):\n    {BEGIN_SOLUTION}\n    return CODE * x\n    {END_SOLUTION}"
    solution = nbformat.v4.new_code_cell(answer, metadata={"nbgrader": graded})
    tests = f"assert twice(1) == VISIBLE\n{BEGIN_HIDDEN}\nassert HIDDEN\n{END_HIDDEN}"
    graded = {"grade": True, "grade_id": "ex-twice-tests", "solution": False}
    test = nbformat.v4.new_code_cell(tests, metadata={"nbgrader": graded})
    graded = graded | {"grade_id": "ex-twice-tests-more"}
    more = nbformat.v4.new_code_cell(tests, metadata={"nbgrader": graded})
    text = nbformat.v4.new_markdown_cell(PAGE)
    notebook = nbformat.v4.new_notebook(cells=[text, solution, test, more])
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "python"}
    nbformat.write(notebook, source / "index.ipynb")
    settings |= {
        "extensions": ["myst_nb", "sphinx_exercise", "exercise_cells", "editions"],
        "myst_enable_extensions": ["colon_fence"],
        "nb_execution_mode": "off",
        "html_sourcelink_suffix": "",
    }
    warnings = StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            source, None, out, folder / "trees", "html", settings, status=None, warning=warnings
        )
        app.build()
    assert warnings.getvalue() == ""
    offered = (out / "_sources" / "index.ipynb").read_text(encoding="utf-8")
    return (out / "index.html").read_text(encoding="utf-8"), offered


@pytest.mark.parametrize(
    "environment, shown",
    [
        ({}, {"PAPER", "CODE", "VISIBLE"}),
        ({"SOLUTIONS": "0"}, {"VISIBLE"}),
        ({"INSTRUCTOR": "1"}, {"PAPER", "CODE", "VISIBLE", "BANK"}),
    ],
)
def test_a_build_shows_what_its_readers_may_see(tmp_path, monkeypatch, environment, shown):
    for name in ("SOLUTIONS", "INSTRUCTOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    page, source = page_and_source(tmp_path)
    assert ("not solved yet" in page) == ("SOLUTIONS" in environment)
    assert "not solved yet" in source  # an edition is there to be solved
    words = {"PAPER", "CODE", "VISIBLE", "HIDDEN", "BANK"}
    assert {word for word in words if word in page} == shown
    assert {word for word in words if word in source} == shown - {"BANK"}  # a reader's edition
    summaries = re.findall(r"Show the tests[^<]*", page)
    assert summaries == ["Show the tests, part 1", "Show the tests, part 2"]
    for text in (page, source):
        assert "Public." in text and "The end." in text and "twice" in text
        assert BEGIN_SOLUTION not in text and END_HIDDEN not in text


def build(folder, test: str, library: str = "") -> tuple[str, str]:
    """Build a book of one page and its index of checks; return its warnings and the page."""
    source, tests = folder / "book", folder / "tests"
    for path in (source, tests):
        path.mkdir(parents=True)
    (source / "index.md").write_text(
        "# Page\n\n$$ a = b $$ (eq-a)\n\n$$ b $$ (def-b)\n\n$$ c $$ (def-c)\n\n"
        "See {eq}`eq-a`.\n\n```{checked-equations}\n```\n\n"
        f"```{{library-reference}}\n{library}\n```\n"
    )
    (tests / "test_page.py").write_text(test)
    settings = {
        "extensions": ["myst_parser", "checked_equations", "library_reference"],
        "myst_enable_extensions": ["dollarmath"],
        "checked_equations_tests": "../tests",
    }
    warnings, out = StringIO(), folder / "out"
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            source, None, out, folder / "trees", "html", settings, status=None, warning=warnings
        )
        app.build()
    return warnings.getvalue(), (out / "index.html").read_text(encoding="utf-8")


CHECK_A = TEST.replace(', "eq-b"', "")


def test_a_checked_equation_has_a_tick_and_an_entry(tmp_path):
    warnings, page = build(tmp_path, CHECK_A)
    assert warnings == ""
    assert re.search(r'class="equation-tick" href="[^"]*#check-eq-a"', page)
    assert 'aria-label="Checked by test_sum"' in page
    assert 'id="check-eq-a"' in page and "1 checked equation." in page
    assert "equation-code" not in page and "In the library" not in page


def test_the_search_knows_equations_by_name(tmp_path):
    """Its index has (page, type, priority, anchor, name) for each."""
    build(tmp_path, CHECK_A)
    index = (tmp_path / "out" / "searchindex.js").read_text(encoding="utf-8")
    found = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))
    assert sorted(o[3:] for o in found["objects"][""]) == [
        ["equation-def-b", "b"],
        ["equation-def-c", "c"],
        ["equation-eq-a", "a"],
    ]
    assert found["objtypes"] == {"0": "equation:equation"}


def test_an_unchecked_claim_is_a_warning(tmp_path):
    warnings, page = build(tmp_path, "")
    assert "the equation eq-a has no test" in warnings
    assert "equation-tick" not in page and "0 checked equations." in page


def test_a_check_of_an_equation_that_stands_nowhere_is_a_warning(tmp_path):
    warnings, page = build(tmp_path, TEST)
    assert "test_page.py:6: WARNING: test_sum checks eq-b, which stands nowhere" in warnings
    assert "check-eq-b" not in page


def test_two_checks_of_one_equation_are_both_listed(tmp_path):
    _, page = build(tmp_path, CHECK_A + CHECK_A.replace("test_sum", "test_again"))
    assert page.count('class="equation-tick"') == 1 and "1 checked equation." in page
    assert 'aria-label="Checked by test_sum, test_again"' in page
    sources = re.findall("<summary>Source of <code>(.*?)</code>", page)
    assert sources == ["test_sum", "test_again"]


LIBRARY = '''
"""Sums."""


def add(a, b):
    """The sum.

    Equation: eq-a, def-b
    """
    return a + b


def add_again(a, b):
    """The sum.

    Equation: eq-a
    """
    return b + a
'''


@pytest.fixture
def sums(tmp_path, monkeypatch):
    (tmp_path / "sums.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)
    yield "sums"
    sys.modules.pop("sums", None)


def test_an_equation_leads_to_the_function_that_computes_it(tmp_path, sums):
    warnings, page = build(tmp_path, CHECK_A, sums)
    assert warnings == ""
    page = BeautifulSoup(page, "html.parser")
    links = {
        group.parent.find("div", class_="math")["id"]: [
            (link["class"][0], link["href"].split("#")[1], link["aria-label"])
            for link in group.find_all("a")
        ]
        for group in page.find_all(class_="equation-links")
    }
    assert links == {
        "equation-eq-a": [
            ("equation-tick", "check-eq-a", "Checked by test_sum"),
            ("equation-code", "sums.add", "Code: sums.add, sums.add_again"),
        ],
        "equation-def-b": [("equation-code", "sums.add", "Code: sums.add")],
    }
    line = page.find(id="check-eq-a").find(class_="check-library")
    assert line.get_text() == "In the library: sums.add, sums.add_again"
    assert [a["href"].split("#")[1] for a in line.find_all("a")] == ["sums.add", "sums.add_again"]
