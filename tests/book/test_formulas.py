"""Formulas are set while the book is built (formulas.py)."""

from __future__ import annotations

import re

import pytest
from bs4 import BeautifulSoup
from formulas import letters, typeset
from small_book import build

PAGE = r"""
# Title with $\alpha$

Inline $a < b$ and $a < b$ again.

$$x^2 \\ y$$ (eq-x)

$$
\begin{aligned} u &= v \end{aligned}
$$
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    settings = {"index.md": PAGE, "conf.py": ""}
    warnings, pages = build(tmp_path_factory.mktemp("formulas"), settings, "formulas")
    assert warnings == ""
    return pages["index"]


def test_every_formula_is_a_picture_and_mathml(page):
    formulas = BeautifulSoup(page, "html.parser").select("article .math, main .math, .body .math")
    assert len(formulas) == 5
    for formula in formulas:
        assert formula.find("svg") and formula.find("math")
    assert r"\(" not in page and r"\[" not in page and "MathJax.js" not in page


def test_what_sphinx_writes_around_a_displayed_formula_stays(page):
    block = page[page.index('id="equation-eq-x"') :]
    assert block.index("eqno") < block.index("(1)") < block.index("<mjx-container")


def test_characters_of_html_are_read_as_tex(page):
    assert "<mo>&lt;</mo>" in page and "&amp;lt;" not in page


def test_a_page_draws_each_letter_once_and_all_that_are_used(page):
    drawn = re.findall(r'<path id="(MJX-[^"]*)"', page)
    assert set(drawn) == set(re.findall(r'<use href="#(MJX-[^"]*)"', page))
    assert len(drawn) == len(set(drawn))
    assert letters(set()) == ""


def test_a_formula_that_cannot_be_read_is_a_warning(tmp_path):
    files = {"index.md": "# Title\n\nA $\\nosuchmacro$.\n"}
    warnings, _ = build(tmp_path, files, "formulas")
    assert "index.md" in warnings and r"MathJax cannot read the formula \nosuchmacro" in warnings


def test_pictures_keep_nothing_that_only_mathjax_reads():
    html = typeset(r"\frac{a}{b} \to \text{words}", True)
    picture = html.partition("<mjx-assistive-mml")[0]
    assert "data-" not in picture and "xmlns" not in picture and "<g><use" not in picture
    table = typeset(r"\begin{array}{c} a \\ \hline b \end{array}", True)
    assert 'data-mml-node="mtable"' in table  # of which the style sheet draws the line
