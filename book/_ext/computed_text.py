"""Sphinx extension: the role {eval}`name` shows a value that the notebook computed, the role
{claim}`name` that a condition held.

`dgm.notebook.say(name=...)` hands the value over. myst-nb has an `eval` role of its own, which
needs another way of running notebooks; this one reads what was glued. JupyterLab with
jupyterlab-myst knows the role too and asks the kernel, so one source reads well in both. What was
shown is kept for the notebooks that the site offers (the extension `editions`).

`dgm.notebook.claim(name=...)` has stopped the run if the condition does not hold. The role shows a
tick whose tooltip is the condition, as it stands in the notebook's source.
"""

import ast
import json
from html import escape
from pathlib import Path

from docutils import nodes
from myst_nb.ext.glue.roles import PasteTextRole
from myst_nb.ext.glue.utils import retrieve_glue_data
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxRole

from dgm.assignment.cells import calls

logger = logging.getLogger(__name__)


class ComputedText(PasteTextRole):
    """{eval}`name`, as it was said: myst-nb would evaluate it, so that "0.80" becomes 0.8."""

    def run(self):
        shown, messages = super().run()
        env = self.document.settings.env
        if shown:
            said = retrieve_glue_data(self.document, self.text).data["text/plain"]
            shown = [nodes.inline(said, said)]
            computed_values(env).setdefault(env.docname, {})[self.text] = said
        return shown, messages


class held(nodes.Inline, nodes.TextElement):
    """The tick behind a sentence that is bound to a condition."""


class Claim(SphinxRole):
    """{claim}`name`."""

    def run(self):
        conditions = claims(Path(self.env.doc2path(self.env.docname)))
        if self.text not in conditions:
            logger.warning("claim: nothing claims %s", self.text, location=self.get_location())
            return [], []
        return [held(self.rawtext, "", condition=conditions[self.text])], []


def claims(path: Path) -> dict[str, str]:
    """The conditions that a notebook claims, by name."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return {
        keyword.arg: ast.unparse(keyword.value)
        for source in sources
        for statement in calls(source, "claim")
        for keyword in statement.value.keywords
    }


def visit_held(translator, node: held) -> None:
    where = node.get("where", "the run of this page")
    says = escape(f"Holds in {where}: {node['condition']}")
    translator.body.append(f'<span class="claim" role="img" title="{says}" aria-label="{says}">✓')


def depart_held(translator, node: held) -> None:
    translator.body.append("</span>")


def computed_values(env: BuildEnvironment) -> dict[str, dict[str, str]]:
    """What the roles of each page showed, by name; kept with the pickled environment."""
    if not hasattr(env, "computed_values"):
        env.computed_values = {}
    return env.computed_values


def forget_page(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    computed_values(env).pop(docname, None)


def setup(app: Sphinx) -> dict:
    app.setup_extension("myst_nb")
    app.add_role("eval", ComputedText(), override=True)
    app.add_node(held, html=(visit_held, depart_held))
    app.add_role("claim", Claim())
    app.connect("env-purge-doc", forget_page)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
