"""Sphinx extension: exercises as readers see them.

The notebooks hold what an instructor needs: solutions and hidden tests between markers (see
dgm.assignment.cells). The build runs all of it. The page shows neither marker lines nor hidden
tests; solutions and visible tests stand behind a drop-down. What a cell is follows from its
nbgrader metadata, so that authors set no tags. (The notebook that a page offers for download is
another one: the extension `editions`.)

Two variables of the environment make other builds. SOLUTIONS=0 leaves solutions out: the directive
`{solution}`, and all of an answer but what its function is called. INSTRUCTOR=1 shows what stands
in the directive `{instructor}`, of which the public build keeps nothing.
"""

from __future__ import annotations

import os
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst.directives.admonitions import Admonition
from myst_nb.sphinx_ import HideCodeCellNode
from sphinx.application import Sphinx
from sphinx.config import Config

from dgm.assignment.cells import kind, parts, strip, unsolved, without_blocks

# ---------------------------------------------------------------- whom the build is for


def choose(app: Sphinx, config: Config) -> None:
    """sphinx-exercise has a setting of its own for solutions."""
    config.hide_solutions |= os.environ.get("SOLUTIONS") == "0"
    config.show_instructor |= os.environ.get("INSTRUCTOR") == "1"


class Instructor(Admonition):
    """`{instructor} Title`: for instructors only."""

    required_arguments = 0
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        if not self.state.document.settings.env.config.show_instructor:
            return []
        self.arguments = self.arguments or ["For instructors"]
        self.options["class"] = ["instructor", *self.options.get("class", [])]
        return super().run()


def dropped(config: Config) -> list[str]:
    """The directives of which this build keeps nothing."""
    hidden = {"solution": config.hide_solutions, "instructor": not config.show_instructor}
    return [name for name, hide in hidden.items() if hide]


# ---------------------------------------------------------------- cells


def for_readers(source: str, what: str, config: Config) -> str:
    """The source of a solution cell or a test cell as this build shows it."""
    hide = what == "solution" and config.hide_solutions
    return strip(unsolved(source) if hide else source)


def strip_page(app: Sphinx, doctree: nodes.document) -> None:
    """Strip the exercise cells of a page after they ran, and put them behind a drop-down."""
    cells = list(doctree.findall(nodes.container))
    part = parts(cell.get("cell_metadata", {}) for cell in cells)
    for cell in cells:
        metadata = cell.get("cell_metadata", {})
        what = kind(metadata)
        if what:
            strip_source(cell, what, app.config)
        if what == "tests" or (what == "solution" and not app.config.hide_solutions):
            cell["hide_mode"] = "all"
            which = part.get(metadata["nbgrader"]["grade_id"], "")
            cell["prompt_show"] = f"Show the {what}{which}"
            cell["prompt_hide"] = f"Hide the {what}{which}"


def strip_source(cell: nodes.container, what: str, config: Config) -> None:
    """Strip a cell's source in place; its outputs stay as they are."""
    code = next(cell.findall(nodes.literal_block))  # a cell begins with its source
    shown = for_readers(code.astext(), what, config)
    code.rawsource = shown  # what Sphinx highlights
    code.children = []
    code += nodes.Text(shown)


def strip_downloads(app: Sphinx, exception: Exception | None) -> None:
    """Strip the Markdown that the pages offer for download."""
    if exception or app.builder.format != "html" or not dropped(app.config):
        return
    for path in Path(app.outdir, "_sources").rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        path.write_text(without_blocks(text, dropped(app.config)), encoding="utf-8")


# ---------------------------------------------------------------- drop-downs


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
    app.setup_extension("sphinx_exercise")
    app.add_config_value("show_instructor", False, "env", bool)
    app.add_directive("instructor", Instructor)
    app.add_node(HideCodeCellNode, override=True, html=(visit_hidden, depart_hidden))
    app.connect("config-inited", choose)
    app.connect("doctree-read", strip_page)
    app.connect("build-finished", strip_downloads)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
