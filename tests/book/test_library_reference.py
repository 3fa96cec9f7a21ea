"""The page made of docstrings, on a small module and on the library itself."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import sys

import docstrings
import pytest
from bs4 import BeautifulSoup
from places import BOOK, PAGES
from small_book import build
from source_checks import all_labels

MODULE = '''
"""Sums. What else the docstring says."""

from functools import partial

__all__ = ["LIMITS", "Adder", "add", "_hidden"]
LIMITS = (0, 9)


def _hidden():
    pass


def add(x: int, y=2, *, how=partial(len)):
    r"""The sum $x + y$ of (n, *event). Not in place: see `_hidden`.

    $$\\sum_i x_i
      + y$$

    A [0, 1] is no link, {add}`this` no role, and x < y.

        columns   stay
        as        they are

    Args:
        x, y: the terms,
            both of them.
        how: counts.

    Raises:
        ValueError: too large.

    Source: nobody.

    >>> add(1)
    3
    """
    if x > 9:
        raise ValueError("x")


class Adder:
    """Adds."""

    def __init__(self, start=0):
        self.start = start

    def plus(self, x):
        """The next sum."""

    def undocumented(self):
        pass
'''


@pytest.fixture
def reference(tmp_path, monkeypatch):
    """Build a reference of a module with this source: the warnings and the page."""

    def make(source, formulas=""):
        (tmp_path / "sums.py").write_text(source, encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        sys.modules.pop("sums", None)
        page = f"# Library\n\n{formulas}\n\n```{{library-reference}}\nsums\n```\n"
        warnings, pages = build(tmp_path, {"index.md": page}, "library_reference")
        return warnings, BeautifulSoup(pages["index"], "html.parser")

    yield make
    sys.modules.pop("sums", None)


def text(tag):
    return re.sub(r"\s+", " ", tag.get_text()).strip()


def test_a_name_is_shown_with_signature_sentence_and_the_rest_folded(reference):
    warnings, page = reference(MODULE)
    assert warnings == ""
    entry = page.find(id="sums.add")
    assert text(entry.find(class_="reference-signature")) == "add(x, y=2, *, how=len)"
    folded = entry.details.extract()
    assert r"The sum \(x + y\) of (n, *event)." in text(entry)
    assert text(folded.summary) == "More about add"
    assert "Not in place" in text(folded) and "The sum" not in text(folded)


def test_sections_formulas_and_examples_become_what_they_are(reference):
    folded = reference(MODULE)[1].find(id="sums.add").details
    assert r"\[\sum_i x_i + y\]" in text(folded.find("div", class_="math"))
    assert [text(item) for item in folded.find_all("li")] == [
        "x, y: the terms, both of them.",
        "how: counts.",
        "ValueError: too large.",
    ]
    assert [text(title) for title in folded.find_all("strong")] == ["Args", "Raises", "Source"]
    assert folded.find(class_="highlight-pycon").get_text().strip() == ">>> add(1)\n3"
    assert folded.find(class_="highlight-text").get_text().strip() == (
        "columns   stay\nas        they are"
    )
    assert "A [0, 1] is no link, {add}this no role, and x < y." in text(folded)


def test_classes_constants_and_private_names(reference):
    page = reference(MODULE)[1]
    assert text(page.find(id="sums").p) == "Sums."
    assert text(page.find(id="sums.LIMITS")) == "LIMITS = (0, 9)"
    adder = page.find(id="sums.Adder")
    assert "Adder(start=0)" in text(adder)
    assert "The next sum." in text(adder.find(id="sums.Adder.plus"))
    assert page.find(id="sums.Adder.undocumented") is None
    assert page.find(id="sums._hidden") is None


@pytest.mark.parametrize(
    ("docstring", "path"),
    [('"""Sums. What else the docstring says."""', "sums"), ('"""Adds."""', "sums.Adder")],
)
def test_a_missing_docstring_is_a_warning(reference, docstring, path):
    warnings, _ = reference(MODULE.replace(docstring, "", 1))
    assert f"{path} has no docstring" in warnings


COMPUTES = '''
"""Sums."""

import math


class Base:
    def total(self):
        """The sum.

        Equation: def-sum
        """
        return math.fsum(self.terms)


Base.__module__ = "sums._base"


class Sum(Base):
    """A sum."""


def add(x, y):
    """The sum of two.

    Equation: eq-sum,
    def-sum

    Source: Pearson (1901), doi:10.1016/0893-6080(89)90014-2; Kingma (2014), arXiv:1312.6114.
    """
    # the shorter one first
    return x + y
'''
FORMULAS = "$$ 1 + 1 = 2 $$ (eq-sum)\n\n$$ x + y $$ (def-sum)"


def test_an_entry_leads_to_its_equations_and_shows_its_source(reference):
    warnings, page = reference(COMPUTES, FORMULAS)
    assert warnings == ""
    entry = page.find(id="sums.add")
    line = entry.find(class_="reference-equations")
    assert text(line) == "Equation (1), (2); also sums.Sum.total"
    assert [link["href"] for link in line.find_all("a")] == [
        "#equation-eq-sum",
        "#equation-def-sum",
        "#sums.Sum.total",
    ]
    more, source = entry.find_all("details")
    assert "Equation" not in text(more)
    assert text(source.summary) == "Source of add"
    assert source.find(class_="highlight-python").get_text().strip() == (
        "def add(x, y):\n    # the shorter one first\n    return x + y"
    )


def test_a_method_of_a_private_base_is_the_classes_own(reference):
    page = reference(COMPUTES, FORMULAS)[1]
    assert page.find(id="sums.Base") is None
    method = page.find(id="sums.Sum").find(id="sums.Sum.total")
    assert text(method.find(class_="reference-equations")) == "Equation (2); also sums.add"
    assert "math.fsum" in text(method.details) and "The sum" not in text(method.details)


def test_what_names_no_equation_shows_no_source(reference):
    page = reference(MODULE)[1]
    assert page.find(class_="highlight-python") is None
    assert page.find(class_="reference-equations") is None


def test_a_label_that_stands_nowhere_is_a_warning(reference):
    warnings, _ = reference(COMPUTES, FORMULAS.replace("eq-sum", "eq-other"))
    assert "sums.add computes eq-sum, which stands nowhere in the book" in warnings
    assert "def-sum" not in warnings


def test_works_are_linked_by_their_ids(reference):
    more = reference(COMPUTES, FORMULAS)[1].find(id="sums.add").details
    assert {link.get_text(): link["href"] for link in more.find_all("a")} == {
        "doi:10.1016/0893-6080(89)90014-2": "https://doi.org/10.1016/0893-6080(89)90014-2",
        "arXiv:1312.6114": "https://arxiv.org/abs/1312.6114",
    }


def test_the_examples_in_docstrings_hold():
    result = doctest.testmod(docstrings)
    assert result.attempted and not result.failed


def test_every_name_of_the_library_is_on_the_page(tmp_path):
    source = (BOOK / "library.md").read_text(encoding="utf-8")
    # the labels of the whole book, so that the links to equations have somewhere to go
    formulas = "\n\n".join(f"$$ x $$ ({label})" for label in all_labels(PAGES))
    files = {
        "index.md": source,
        "formulas.md": f"---\norphan: true\n---\n\n# Formulas\n\n{formulas}\n",
    }
    warnings, pages = build(tmp_path, files, "library_reference")
    assert warnings == ""
    page = BeautifulSoup(pages["index"], "html.parser")
    there = {tag["id"].rpartition(".")[2] for tag in page.find_all(class_="reference-entry")}
    assert len(pages["index"]) < 50_000 + 6_000 * len(there)  # the theme adds some 50 kB
    modules = re.findall(r"^dgm\S*$", source, re.MULTILINE)
    for module in map(importlib.import_module, modules):
        own = [
            name
            for name, value in vars(module).items()
            if inspect.isroutine(value) and value.__module__ == module.__name__
        ]
        for name in getattr(module, "__all__", own):
            value = getattr(module, name)
            if not inspect.ismodule(value) and not name.startswith("_"):
                assert name in there, f"{module.__name__}.{name} is not on the page"


def test_every_module_of_the_library_is_listed():
    import dgm

    listed = re.findall(r"^dgm\S*$", (BOOK / "library.md").read_text(encoding="utf-8"), re.M)
    assert {f"dgm.{n}" for n in dgm.__all__ if inspect.ismodule(getattr(dgm, n))} <= set(listed)
