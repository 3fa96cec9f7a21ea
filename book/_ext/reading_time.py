"""Sphinx extension: how long a page takes to read, and how long it took to run.

The roles {reading-time}`text` and {run-time}`text` show minutes and seconds on the built page; the
text stands in for them where the roles are unknown, as in JupyterLab.

Prose is read at 200 words a minute; a display equation, or five lines of code, takes as long as
fifty words. Answers and solutions behind drop-downs count: a reader opens them.
"""

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

WORDS_A_MINUTE = 200
WORDS_AN_EQUATION = 50
WORDS_A_CODE_LINE = 10


class duration(nodes.Inline, nodes.TextElement):
    """Stands where the number goes until the whole page is known."""


class DurationRole(SphinxRole):
    def run(self):
        return [duration(self.rawtext, of=self.name)], []


def reading_time(app: Sphinx, doctree: nodes.document) -> str:
    prose = sum(len(p.astext().split()) for p in doctree.findall(nodes.paragraph))
    equations = sum(1 for _ in doctree.findall(nodes.math_block))
    code = sum(block.astext().count("\n") + 1 for block in doctree.findall(nodes.literal_block))
    words = prose + WORDS_AN_EQUATION * equations + WORDS_A_CODE_LINE * code
    return f"{max(1, round(words / WORDS_A_MINUTE))} minutes"


def run_time(app: Sphinx, doctree: nodes.document) -> str:
    execution = NbMetadataCollector.get_exec_data(app.env, app.env.docname)
    return f"{execution['runtime']:.0f} s"


def fill_in(app: Sphinx, doctree: nodes.document) -> None:
    for node in list(doctree.findall(duration)):
        measure = {"reading-time": reading_time, "run-time": run_time}[node["of"]]
        node.replace_self(nodes.Text(measure(app, doctree)))


def setup(app: Sphinx) -> dict:
    app.add_node(duration)
    app.add_role("reading-time", DurationRole())
    app.add_role("run-time", DurationRole())
    app.connect("doctree-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
