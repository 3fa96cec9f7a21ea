"""Sphinx extension: what a course is planned with, taken from the chapters and from the build.

    {reading-of}`05-vae, 06-vae-variants`   what these pages take to read: the sum of what each says
    {running-of}`05-vae, 06-vae-variants`   what they took to run in this build
    {exercise-time}`va-kl, va-loss`         an estimate by the stars of these exercises
    {chapter-facts}                         a table of all chapters: times, exercises, points
    {mistakes} 05-vae                       a table of its coded exercises: points, and the mistakes
                                            that their tests are known to recognise

A page, a chapter or an exercise that does not exist is a warning, so that a build under -W fails.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from reading_time import NBSP, in_hours
from reading_time import reading_minutes as minutes_to_read
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

from dgm.assignment.chapter import Exercise, chapters, in_words, mistakes, read_chapter

logger = logging.getLogger(__name__)


def warn(message: str, *arguments, location=None) -> None:
    logger.warning(message, *arguments, location=location, type="teaching")


def names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


# ---------------------------------------------------------------- times of pages


class total(nodes.Inline, nodes.TextElement):
    """Stands for a sum over pages until all of them have been read."""


class TotalRole(SphinxRole):
    """{reading-of} and {running-of}."""

    def run(self):
        return [total(self.rawtext, of=self.name, pages=names(self.text))], []


def reading_minutes(env: BuildEnvironment) -> dict[str, int]:
    """What each page says it takes to read; kept with the pickled environment."""
    if not hasattr(env, "reading_minutes"):
        env.reading_minutes = {}
    return env.reading_minutes


def pages_with_totals(env: BuildEnvironment) -> set[str]:
    if not hasattr(env, "pages_with_totals"):
        env.pages_with_totals = set()
    return env.pages_with_totals


def remember(app: Sphinx, doctree: nodes.document) -> None:
    reading_minutes(app.env)[app.env.docname] = minutes_to_read(doctree)
    if next(doctree.findall(total), None):
        pages_with_totals(app.env).add(app.env.docname)


def forget_page(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    reading_minutes(env).pop(docname, None)
    pages_with_totals(env).discard(docname)


def pages_to_rewrite(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """These change with the pages that they count."""
    return sorted(pages_with_totals(env))


def seconds(env: BuildEnvironment, page: str) -> float:
    """How long the notebook ran; 0 for a page without code."""
    return (NbMetadataCollector.get_exec_data(env, page) or {"runtime": 0.0})["runtime"]


def fill_in(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    minutes = reading_minutes(app.env)
    for node in list(doctree.findall(total)):
        for page in set(node["pages"]) - set(minutes):
            warn("%s: there is no page %s", node["of"], page, location=docname)
        pages = [page for page in node["pages"] if page in minutes]
        if node["of"] == "reading-of":
            text = in_hours(sum(minutes[page] for page in pages))
        else:
            text = f"{sum(seconds(app.env, page) for page in pages):.0f}{NBSP}s"
        node.replace_self(nodes.Text(text))


# ---------------------------------------------------------------- exercises


@cache
def exercises(book: Path) -> dict[str, list[Exercise]]:
    """The exercises of each chapter, read once per build."""
    return {name: read_chapter(name, book).exercises for name in chapters(book)}


class ExerciseTimeRole(SphinxRole):
    """{exercise-time}."""

    def run(self):
        self.env.note_reread()  # the page does not change when the exercises do
        known = {e.label: e for part in exercises(Path(self.env.srcdir)).values() for e in part}
        for label in set(names(self.text)) - set(known):
            warn("there is no exercise %s", label, location=self.get_location())
        minutes = sum(known[label].minutes for label in names(self.text) if label in known)
        return [nodes.Text(in_hours(minutes))], []


# ---------------------------------------------------------------- tables


class TableDirective(SphinxDirective):
    """A table whose cells are Markdown."""

    @property
    def book(self) -> Path:
        return Path(self.env.srcdir)

    def table(self, headings: list[str], rows: list[list[str]]) -> nodes.table:
        group = nodes.tgroup(cols=len(headings))
        group += [nodes.colspec(colwidth=1) for _ in headings]
        group += [nodes.thead("", self.row(headings)), nodes.tbody("", *map(self.row, rows))]
        return nodes.table("", group)

    def row(self, cells: list[str]) -> nodes.row:
        parsed = [self.parse_inline(cell, lineno=self.lineno)[0] for cell in cells]
        return nodes.row("", *(nodes.entry("", nodes.paragraph("", "", *p)) for p in parsed))


class ChapterFacts(TableDirective):
    """`{chapter-facts}`: what each chapter holds."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the page does not change when the chapters do
        rows = []
        for name, found in exercises(self.book).items():
            coded = [e for e in found if e.points]
            counts = len(coded), sum(e.points for e in coded), len(found) - len(coded)
            times = f"{{reading-of}}`{name}`", f"{{running-of}}`{name}`"
            at_home = f"{{exercise-time}}`{', '.join(e.label for e in found)}`"
            rows.append([f"{{doc}}`/{name}`", *times, *map(str, counts), at_home])
        headings = ["Chapter", "Read", "Run", "Coded", "Points", "Written", "All exercises"]
        return [self.table(headings, rows)]


class Mistakes(TableDirective):
    """`{mistakes} 05-vae`: the coded exercises of a chapter and what goes wrong in them."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()
        name, answers = self.arguments[0], self.book.parent / "tests" / "exercises"
        if name not in exercises(self.book):
            warn("there is no chapter %s", name, location=self.get_location())
            return []
        coded = [e for e in exercises(self.book)[name] if e.points]
        known = {e.label: map(in_words, mistakes(name, e.label, answers)) for e in coded}
        rows = [
            [f"{{ref}}`{e.label}`: {e.title}", e.worth, "; ".join(known[e.label])] for e in coded
        ]
        return [self.table(["Exercise", "Points", "Mistakes that its tests recognise"], rows)]


def setup(app: Sphinx) -> dict:
    if "reading_time" in app.extensions:  # it adds the words of its answer to the page
        raise ExtensionError("list the extension `teaching` before `reading_time`")
    app.setup_extension("exercise_cells")  # so that hidden tests are gone when words are counted
    app.add_node(total)
    app.add_role("reading-of", TotalRole())
    app.add_role("running-of", TotalRole())
    app.add_role("exercise-time", ExerciseTimeRole())
    app.add_directive("chapter-facts", ChapterFacts)
    app.add_directive("mistakes", Mistakes)
    app.connect("doctree-read", remember)
    app.connect("env-purge-doc", forget_page)
    app.connect("env-updated", pages_to_rewrite)
    app.connect("doctree-resolved", fill_in)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
