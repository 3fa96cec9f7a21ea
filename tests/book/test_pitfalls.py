"""The index of pitfalls, on a book of four pages."""

from __future__ import annotations

import re

from bs4 import BeautifulSoup
from small_book import build, plain

BOX = """:::{admonition} Pitfall: %s
:class: pitfall

Why not.
:::
"""
PAGES = {
    "index.md": "# Index\n\n```{toctree}\nb\na\nlist\n```\n",
    "list.md": "# List\n\n```{pitfalls}\n```\n",
    "a.md": "# Page A\n\n" + BOX % "the $D$ of it" + "\n" + BOX % '"we call it $q$"',
    "b.md": "# Page B\n\n:::{admonition} No such box\n\nBut a note.\n:::\n\n" + BOX % "a sum",
}


def test_every_box_is_listed_in_the_order_of_the_book(tmp_path):
    warnings, pages = build(tmp_path, PAGES, "pitfalls")
    assert warnings == ""
    links = re.findall(
        r'<a class="reference internal" href="(\w+\.html#.*?)">(.*?)</a>', pages["list"]
    )
    boxes = [(where, plain(text)) for where, text in links if "pitfall" in where]
    assert boxes == [
        ("b.html#pitfall-1", "A sum"),
        ("a.html#pitfall-1", r"The \(D\) of it"),
        ("a.html#pitfall-2", "“we call it \\(q\\)”"),
    ]
    for where, _ in boxes:
        name, _, anchor = where.partition(".html#")
        assert f'id="{anchor}"' in pages[name]
    assert pages["list"].index("Page B</p>") < pages["list"].index("Page A</p>")


def test_formulas_of_the_boxes_are_pictures_in_the_list_too(tmp_path):
    """The list stands on a page that has no formula of its own."""
    warnings, pages = build(tmp_path, PAGES, "pitfalls", "formulas")
    assert warnings == ""
    page = BeautifulSoup(pages["list"], "html.parser")
    links = page.select('a[href*="#pitfall-"]')
    assert [len(link.select(".math svg")) for link in links] == [0, 1, 1]
    used = {use["href"] for link in links for use in link.select("use")}
    drawn = {"#" + path["id"] for path in page.select("path[id]")}
    assert used and used <= drawn  # the letters are on this page


def test_a_page_without_boxes_is_left_out(tmp_path):
    _, pages = build(tmp_path, PAGES | {"b.md": "# Page B\n\nNothing."}, "pitfalls")
    assert "Page B</p>" not in pages["list"] and "Page A</p>" in pages["list"]
