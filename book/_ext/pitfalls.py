"""Sphinx extension: `{pitfalls}` lists the pitfall boxes of the book, by page, in the book's order.

A pitfall box is an admonition of class `pitfall`. Its title names the wrong claim.
"""

from __future__ import annotations

from dataclasses import dataclass

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

CLASS, PREFIX = "pitfall", "Pitfall: "


@dataclass(frozen=True)
class Pitfall:
    """A box: the anchor of its admonition, and its title without the prefix."""

    anchor: str
    title: list[nodes.Node]


def found(env: BuildEnvironment) -> dict[str, list[Pitfall]]:
    """The boxes by page; kept with the pickled environment."""
    if not hasattr(env, "pitfalls"):
        env.pitfalls = {}
    return env.pitfalls


class pitfall_index(nodes.General, nodes.Element):
    """Where the list will stand, once all pages have been read."""


class PitfallIndex(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        return [pitfall_index()]


def collect(app: Sphinx, doctree: nodes.document) -> None:
    """Remember the boxes of a page that was just read, and give each an anchor."""
    boxes = [box for box in doctree.findall(nodes.admonition) if CLASS in box["classes"]]
    for number, box in enumerate(boxes, start=1):
        box["ids"].append(f"{CLASS}-{number}")
    found(app.env)[app.env.docname] = [Pitfall(box["ids"][-1], title_of(box)) for box in boxes]


def title_of(box: nodes.admonition) -> list[nodes.Node]:
    """Text and formulas of the title. A link would stand within a link: only its text is kept."""
    parts = [part.deepcopy() for part in box.next_node(nodes.title).children]
    first = parts[0].astext().removeprefix(PREFIX)
    return [nodes.Text(first[:1].upper() + first[1:]), *parts[1:]]


def forget_page(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    found(env).pop(docname, None)


def fill(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Put the list in its place: a heading and a bullet list for each page with boxes."""
    for place in list(doctree.findall(pitfall_index)):
        pages = [name for name in in_order(app.env) if found(app.env).get(name)]
        place.replace_self([part for name in pages for part in listed(app, page, name)])


def in_order(env: BuildEnvironment) -> list[str]:
    """All pages as the table of contents has them."""
    order, waiting = [], [env.config.root_doc]
    while waiting:
        order.append(waiting.pop(0))
        waiting[:0] = env.toctree_includes.get(order[-1], [])
    return order


def listed(app: Sphinx, page: str, name: str) -> list[nodes.Node]:
    heading = nodes.rubric("", app.env.titles[name].astext())
    lines = nodes.bullet_list()
    for pitfall in found(app.env)[name]:
        link = make_refnode(app.builder, page, name, pitfall.anchor, pitfall.title)
        lines += nodes.list_item("", nodes.paragraph("", "", link))
    return [heading, lines]


def setup(app: Sphinx) -> dict:
    app.add_node(pitfall_index)
    app.add_directive("pitfalls", PitfallIndex)
    app.connect("env-purge-doc", forget_page)
    app.connect("doctree-read", collect)
    app.connect("doctree-resolved", fill)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
