"""Sphinx extension: beside an equation, links to its check and to the library's function for it.

An equation labelled `eq-...` makes a claim, one labelled `def-...` defines. What checks a claim,
`equation_checks` reads from the tests: a tick leads to it. What computes an equation, docstrings
say, which `library_reference` shows: a second link leads there.

The directive `{checked-equations}` lists all checks; the page that holds it is the ticks' target.
An `eq-` label without a test is a warning, and so is a test of a label that stands nowhere in the
book, so that a build under `-W` fails.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from html import escape
from pathlib import Path

from docutils import nodes
from equation_checks import Check, read_checks
from library_reference import functions
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.domains import Domain, ObjType
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

logger = logging.getLogger(__name__)

CLAIM, DEFINITION = "eq-", "def-"


# ---------------------------------------------------------------- the state of a build


@dataclass(frozen=True)
class Equation:
    """A labelled equation as it stands on a page."""

    docname: str
    latex: str


def equations(env: BuildEnvironment) -> dict[str, Equation]:
    """The equations found so far, by label; kept with the pickled environment."""
    if not hasattr(env, "checked_equations"):
        env.checked_equations = {}
    return env.checked_equations


def index_pages(env: BuildEnvironment) -> set[str]:
    """The pages that hold the index of checks (one, in a sane book)."""
    if not hasattr(env, "checked_equations_pages"):
        env.checked_equations_pages = set()
    return env.checked_equations_pages


def load_checks(app: Sphinx) -> None:
    """Read the tests once per build."""
    folder = Path(app.srcdir, app.config.checked_equations_tests).resolve()
    app.env.checks = {}
    for check in read_checks(folder):
        app.env.checks.setdefault(check.label, []).append(check)


def forget_page(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """A page is about to be read again: drop what it held."""
    index_pages(env).discard(docname)
    for label in [k for k, equation in equations(env).items() if equation.docname == docname]:
        del equations(env)[label]


def collect_equations(app: Sphinx, doctree: nodes.document) -> None:
    """Remember every labelled equation of a page that was just read."""
    for node in doctree.findall(nodes.math_block):
        if (node.get("label") or "").startswith((CLAIM, DEFINITION)):
            equations(app.env)[node["label"]] = Equation(app.env.docname, node.astext())


def warn_unmatched(app: Sphinx, env: BuildEnvironment) -> None:
    """A claim without a test fails the build under -W, and so does a test without an equation."""
    for label, equation in equations(env).items():
        if label.startswith(CLAIM) and label not in env.checks:
            warn(f"the equation {label} has no test: mark one with it", equation.docname)
    for label, checks in env.checks.items():
        if label not in equations(env):
            for check in checks:
                warn(f"{check.test} checks {label}, which stands nowhere in the book", check.place)


def warn(message: str, location: str) -> None:
    logger.warning(message, location=location, type="checked_equations")


def pages_to_rewrite(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Changed tests, or functions, change pages whose sources did not change.

    The notebooks do not run again.
    """
    moved = index_pages(env) | {page for places in functions(env).values() for page, _ in places}
    state = sorted(env.checks.items()), sorted(functions(env).items())
    digest = hashlib.sha256(repr(state).encode()).hexdigest()
    if digest == getattr(env, "checks_digest", None):
        return sorted(moved)  # an equation's number may have changed
    env.checks_digest = digest
    return sorted(moved | {equation.docname for equation in equations(env).values()})


# ---------------------------------------------------------------- the search


class Equations(Domain):
    """Tells the site's search which equations there are: "iwae" finds the equation eq-iwae."""

    name = "equation"
    label = "equations"
    object_types = {"equation": ObjType("equation")}

    def get_objects(self):
        for label, equation in equations(self.env).items():
            words = label.removeprefix(CLAIM).removeprefix(DEFINITION).replace("-", " ")
            yield words, words, "equation", equation.docname, f"equation-{label}", 1


# ---------------------------------------------------------------- the ticks


class checked_equation(nodes.General, nodes.Element):
    """Wraps a display equation together with its links: (class, address, sign, what it says)."""


def visit_checked_equation(translator, node: checked_equation) -> None:
    translator.body.append('<div class="checked-equation">')


def depart_checked_equation(translator, node: checked_equation) -> None:
    links = [
        f'<a class="{name}" href="{escape(address)}" aria-label="{escape(says)}" '
        f'title="{escape(says)}"><span aria-hidden="true">{sign}</span></a>'
        for name, address, sign, says in node["links"]
    ]
    translator.body.append(f'<span class="equation-links">{"".join(links)}</span></div>\n')


def anchor(label: str) -> str:
    """Where a check stands on the index page."""
    return f"check-{label}"


def add_links(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the tick beside each equation that has a test, and the link to its code."""
    if app.builder.format != "html":
        return
    for node in list(doctree.findall(nodes.math_block)):
        label = node.get("label")
        if label in equations(app.env):
            links = [*tick(app, docname, label), *code(app, docname, label)]
            if links:
                wrapper = checked_equation(links=links)
                node.replace_self(wrapper)
                wrapper += node


def tick(app: Sphinx, docname: str, label: str) -> list[tuple[str, str, str, str]]:
    """The link to the equation's checks, if it has any."""
    checks, pages = app.env.checks.get(label), index_pages(app.env)
    if not (checks and pages):
        return []
    address = app.builder.get_relative_uri(docname, min(pages)) + f"#{anchor(label)}"
    says = "Checked by " + ", ".join(check.test for check in checks)
    return [("equation-tick", address, "✓", says)]


def code(app: Sphinx, docname: str, label: str) -> list[tuple[str, str, str, str]]:
    """The link to the first function that computes the equation: its entry names the others."""
    places = functions(app.env).get(label)
    if not places:
        return []
    page, path = places[0]
    address = app.builder.get_relative_uri(docname, page) + f"#{path}"
    return [("equation-code", address, "‹›", f"Code: {', '.join(p for _, p in places)}")]


# ---------------------------------------------------------------- the index of checks


class checks_index(nodes.General, nodes.Element):
    """Stands for the index until all pages have been read."""


class CheckedEquations(SphinxDirective):
    """`{checked-equations}`: every checked equation of the book with its test."""

    def run(self) -> list[nodes.Node]:
        index_pages(self.env).add(self.env.docname)
        return [checks_index()]


def fill_index(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Replace the placeholder by one section per page of the book."""
    for node in list(doctree.findall(checks_index)):
        pages = [page for page in pages_in_order(app.env) if page_labels(app.env, page)]
        sections = [page_section(app, docname, page) for page in pages]
        node.replace_self([count_line(app.env), *sections])


def pages_in_order(env: BuildEnvironment) -> list[str]:
    """The book's pages in the order of the table of contents."""
    ordered, waiting = [], [env.config.root_doc]
    while waiting:
        page = waiting.pop(0)
        ordered.append(page)
        waiting = env.toctree_includes.get(page, []) + waiting
    return ordered


def page_labels(env: BuildEnvironment, page: str) -> list[str]:
    """The checked equations of one page, in the order of their numbers."""
    numbers = env.get_domain("math").equations
    labels = [k for k, equation in equations(env).items() if equation.docname == page]
    return sorted((k for k in labels if k in env.checks), key=lambda k: numbers[k][1])


def count_line(env: BuildEnvironment) -> nodes.paragraph:
    """How many claims there are, so that nobody types the number."""
    checked = sum(label in env.checks for label in equations(env))
    noun = "equation" if checked == 1 else "equations"
    return nodes.paragraph("", f"{checked} checked {noun}.", classes=["checks-count"])


def page_section(app: Sphinx, docname: str, page: str) -> nodes.section:
    """The checks of one page under its title."""
    section = nodes.section(ids=[f"checks-{page}"])
    heading = nodes.title()
    heading += make_refnode(app.builder, docname, page, "", app.env.titles[page].deepcopy()[:])
    section += heading
    for label in page_labels(app.env, page):
        section += check_entry(app, docname, label)
    return section


def check_entry(app: Sphinx, docname: str, label: str) -> nodes.container:
    """One equation: its number, what its tests do, the formula, their source, and the library's."""
    first, *others = app.env.checks[label]
    entry = nodes.container(ids=[anchor(label)], classes=["check-entry"])
    head = nodes.paragraph(classes=["check-head"])
    head += [equation_link(app, docname, label), nodes.Text(" "), *prose(first.summary)]
    latex = equations(app.env)[label].latex
    entry += [head, nodes.math_block(latex, latex, nowrap=False, number=None), source(app, first)]
    for check in others:
        entry += [nodes.paragraph("", "", *prose(check.summary)), source(app, check)]
    entry += library_line(app, docname, label)
    return entry


def library_line(app: Sphinx, docname: str, label: str) -> list[nodes.paragraph]:
    """Links to the functions of the library that compute the equation."""
    line = nodes.paragraph("", "In the library: ", classes=["check-library"])
    for k, (page, path) in enumerate(functions(app.env).get(label, [])):
        line += nodes.Text(", " if k else "")
        line += make_refnode(app.builder, docname, page, path, nodes.literal("", path))
    return [line] if len(line) > 1 else []


def prose(text: str) -> list[nodes.Node]:
    """A line of a docstring, what stands in backticks as code."""
    parts = enumerate(text.split("`"))
    return [nodes.literal("", part) if k % 2 else nodes.Text(part) for k, part in parts]


def equation_link(app: Sphinx, docname: str, label: str) -> nodes.Node:
    """A link to the equation whose text is its number."""
    math = app.env.get_domain("math")
    xref = addnodes.pending_xref("", refdoc=docname)
    link = math.resolve_xref(app.env, docname, app.builder, "eq", label, xref, nodes.inline())
    link["classes"].append("check-number")
    return link


def source(app: Sphinx, check: Check) -> nodes.container:
    """The test's source behind a native disclosure, and a link to it in the repository."""
    summary = f"<details><summary>Source of <code>{escape(check.test)}</code></summary>"
    code = nodes.literal_block(check.source, check.source, language="python")
    box = nodes.container(classes=["check-source"])
    box += [nodes.raw("", summary, format="html"), code]
    url = repository_url(app, check)
    if url:
        place = nodes.paragraph()
        place += nodes.reference("", "This test in the repository", refuri=url, internal=False)
        box += place
    box += nodes.raw("", "</details>", format="html")
    return box


def repository_url(app: Sphinx, check: Check) -> str:
    """The test's address in the repository that the book's settings name, or ""."""
    options = app.config.html_theme_options
    repository = options.get("repository_url", "").rstrip("/")
    root = Path(app.srcdir, *[".."] * len(Path(options.get("path_to_docs", "")).parts)).resolve()
    if not repository or not check.path.is_relative_to(root):
        return ""
    path = check.path.relative_to(root).as_posix()
    return f"{repository}/blob/{options.get('repository_branch', 'main')}/{path}#L{check.line}"


def setup(app: Sphinx) -> dict:
    app.add_config_value("checked_equations_tests", "../tests/equations", "env", str)
    app.add_node(checked_equation, html=(visit_checked_equation, depart_checked_equation))
    app.add_node(checks_index)
    app.add_domain(Equations)
    app.add_directive("checked-equations", CheckedEquations)
    app.connect("builder-inited", load_checks)
    app.connect("env-purge-doc", forget_page)
    app.connect("doctree-read", collect_equations)
    app.connect("env-updated", pages_to_rewrite)
    app.connect("env-check-consistency", warn_unmatched)
    app.connect("doctree-resolved", add_links)
    app.connect("doctree-resolved", fill_index)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
