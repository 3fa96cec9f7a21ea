"""Sphinx extension: exercises as readers see them.

The notebooks hold what an instructor needs: solutions between `### BEGIN SOLUTION` and
`### END SOLUTION`, hidden tests between `### BEGIN HIDDEN TESTS` and `### END HIDDEN TESTS`. The
build runs all of it. The page, and the notebook that the page offers for download, show neither
marker lines nor hidden tests; solutions and visible tests stand behind a drop-down. What a cell is
follows from its nbgrader metadata, so that authors set no tags.
"""

from __future__ import annotations

import json
from html import escape
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx

BEGIN_HIDDEN, END_HIDDEN = "### BEGIN HIDDEN TESTS", "### END HIDDEN TESTS"
BEGIN_SOLUTION, END_SOLUTION = "### BEGIN SOLUTION", "### END SOLUTION"
MARKERS = (BEGIN_HIDDEN, END_HIDDEN, BEGIN_SOLUTION, END_SOLUTION)


def strip(source: str) -> str:
    """A cell's source without hidden tests and without marker lines.

    >>> strip("assert f(1) == 1\\n### BEGIN HIDDEN TESTS\\nassert f(2) == 4\\n### END HIDDEN TESTS")
    'assert f(1) == 1'
    """
    kept, hidden = [], False
    for line in source.split("\n"):
        mark = line.strip()
        if mark in (BEGIN_HIDDEN, END_HIDDEN):
            hidden = mark == BEGIN_HIDDEN
        elif not hidden and mark not in MARKERS:
            kept.append(line)
    return "\n".join(kept).strip("\n")


def kind(metadata: dict) -> str | None:
    """ "solution" or "tests" for a cell with nbgrader metadata, None for any other."""
    nbgrader = metadata.get("nbgrader", {})
    if nbgrader.get("solution"):
        return "solution"
    return "tests" if nbgrader.get("grade") else None


def strip_page(app: Sphinx, doctree: nodes.document) -> None:
    """Strip the exercise cells of a page after they ran, and put them behind a drop-down."""
    for cell in doctree.findall(nodes.container):
        what = kind(cell.get("cell_metadata", {}))
        if what:
            strip_source(cell)
            cell["hide_mode"] = "all"
            cell["prompt_show"] = f"Show the {what}"
            cell["prompt_hide"] = f"Hide the {what}"


def strip_source(cell: nodes.container) -> None:
    """Strip a cell's source in place; its outputs stay as they are."""
    code = next(cell.findall(nodes.literal_block))  # a cell begins with its source
    shown = strip(code.astext())
    code.rawsource = shown  # what Sphinx highlights
    code.children = []
    code += nodes.Text(shown)


def strip_downloads(app: Sphinx, exception: Exception | None) -> None:
    """Strip the notebooks that the pages offer for download."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir, "_sources").rglob("*.ipynb"):
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if kind(cell["metadata"]):
                cell["source"] = strip("".join(cell["source"])).splitlines(keepends=True)
        text = json.dumps(notebook, indent=1, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8")


def visit_hidden(translator, node: HideCodeCellNode) -> None:
    """As myst-nb's, but the drop-down is named by its prompt and not "Toggle hidden content"."""
    show, hide = escape(node["prompt_show"]), escape(node["prompt_hide"])
    translator.body.append(
        f'<details class="admonition hide {" ".join(node["classes"])}"><summary>'
        f'<p class="collapsed admonition-title">{show}</p>'
        f'<p class="expanded admonition-title">{hide}</p></summary>\n'
    )


def depart_hidden(translator, node: HideCodeCellNode) -> None:
    translator.body.append("</details>\n")


def setup(app: Sphinx) -> dict:
    app.setup_extension("myst_nb")
    app.add_node(HideCodeCellNode, override=True, html=(visit_hidden, depart_hidden))
    app.connect("doctree-read", strip_page)
    app.connect("build-finished", strip_downloads)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
