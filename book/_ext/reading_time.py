"""Sphinx extension: the role {reading-time}`minutes`, counted from the page it stands on.

Prose is read at 200 words a minute; a display equation, or five lines of code, takes as long as
fifty words. Answers and solutions behind drop-downs count: a reader opens them.
"""

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxRole

WORDS_A_MINUTE = 200
WORDS_AN_EQUATION = 50
WORDS_A_CODE_LINE = 10


class reading_time(nodes.Inline, nodes.TextElement):
    """Stands where the number goes until the whole page is known."""


class ReadingTime(SphinxRole):
    def run(self):
        return [reading_time(self.rawtext, unit=self.text)], []


def minutes(doctree: nodes.document) -> int:
    """How long the page takes to read."""
    prose = sum(len(p.astext().split()) for p in doctree.findall(nodes.paragraph))
    equations = sum(1 for _ in doctree.findall(nodes.math_block))
    code = sum(block.astext().count("\n") + 1 for block in doctree.findall(nodes.literal_block))
    words = prose + WORDS_AN_EQUATION * equations + WORDS_A_CODE_LINE * code
    return max(1, round(words / WORDS_A_MINUTE))


def fill_in(app: Sphinx, doctree: nodes.document) -> None:
    for node in list(doctree.findall(reading_time)):
        node.replace_self(nodes.Text(f"{minutes(doctree)} {node['unit']}"))


def setup(app: Sphinx) -> dict:
    app.add_node(reading_time)
    app.add_role("reading-time", ReadingTime())
    app.connect("doctree-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
