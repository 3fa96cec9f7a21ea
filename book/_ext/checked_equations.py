"""Sphinx extension: a tick beside every equation that a test checks, and an index of the checks.

An equation labelled `eq-...` makes a claim. A test in tests/equations/ that carries the marker
`@pytest.mark.equation("eq-...")` computes both sides of it. The tests are read, never imported:
the build needs neither pytest nor a working library to place the ticks.

The directive `{checked-equations}` lists all checks; the page that holds it is the ticks' target.
An `eq-` label without a test is a warning, so that a build under `-W` fails.
"""

from __future__ import annotations

import ast
import hashlib
from dataclasses import dataclass
from html import escape
from pathlib import Path

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import make_refnode

logger = logging.getLogger(__name__)

CLAIM = "eq-"


# ---------------------------------------------------------------- reading the tests


@dataclass(frozen=True)
class Check:
    """One test of one equation."""

    label: str
    test: str
    path: Path
    line: int
    summary: str
    source: str


def marked_labels(function: ast.FunctionDef) -> list[str]:
    """The labels in the function's `@pytest.mark.equation("eq-a", ...)` decorators."""
    calls = [d for d in function.decorator_list if isinstance(d, ast.Call)]
    marks = [c for c in calls if ast.unparse(c.func) == "pytest.mark.equation"]
    return [ast.literal_eval(argument) for mark in marks for argument in mark.args]


def first_line(node: ast.stmt) -> int:
    """Where a definition begins, its decorators included."""
    return min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])


def source_of(node: ast.stmt, text: str) -> str:
    return "\n".join(text.splitlines()[first_line(node) - 1 : node.end_lineno])


def definitions(module: ast.Module) -> dict[str, ast.stmt]:
    """A test file's own functions, fixtures and constants, by name."""
    found = {}
    for node in module.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found |= {n.id: node for t in node.targets for n in ast.walk(t) if hasattr(n, "id")}
    return found


def with_helpers(test: ast.FunctionDef, module: ast.Module, text: str) -> str:
    """The test's source after that of everything in its file that it uses."""
    known, needed, waiting = definitions(module), {test}, [test]
    while waiting:
        parts = list(ast.walk(waiting.pop()))
        names = {n.id for n in parts if isinstance(n, ast.Name)}
        names |= {n.arg for n in parts if isinstance(n, ast.arg)}  # fixtures
        found = {known[name] for name in names & set(known)} - needed
        needed |= found
        waiting += found
    helpers = sorted(needed - {test}, key=first_line)
    return "\n\n\n".join(source_of(node, text) for node in [*helpers, test])


def read_checks(folder: Path) -> list[Check]:
    """All checks in the folder's test_*.py, in the order of the files."""
    checks = []
    for path in sorted(Path(folder).glob("test_*.py")):
        text = path.read_text(encoding="utf-8")
        module = ast.parse(text)
        for test in [node for node in module.body if isinstance(node, ast.FunctionDef)]:
            summary = (ast.get_docstring(test) or "").strip().split("\n")[0]
            for label in marked_labels(test):
                source = with_helpers(test, module, text)
                checks.append(Check(label, test.name, path, first_line(test), summary, source))
    return checks


# ---------------------------------------------------------------- the state of a build


@dataclass(frozen=True)
class Equation:
    """A labelled claim as it stands on a page."""

    docname: str
    latex: str


def equations(env: BuildEnvironment) -> dict[str, Equation]:
    """The claims found so far, by label; kept with the pickled environment."""
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
    app.env.checks_folder = folder
    app.env.checks = {check.label: check for check in read_checks(folder)}


def forget_page(app: Sphinx, env: BuildEnvironment, docname: str) -> None:
    """A page is about to be read again: drop what it held."""
    index_pages(env).discard(docname)
    for label in [k for k, equation in equations(env).items() if equation.docname == docname]:
        del equations(env)[label]


def collect_equations(app: Sphinx, doctree: nodes.document) -> None:
    """Remember every labelled claim of a page that was just read."""
    for node in doctree.findall(nodes.math_block):
        if (node.get("label") or "").startswith(CLAIM):
            equations(app.env)[node["label"]] = Equation(app.env.docname, node.astext())


def warn_unchecked(app: Sphinx, env: BuildEnvironment) -> None:
    """A claim without a test fails the build under -W."""
    for label, equation in equations(env).items():
        if label not in env.checks:
            logger.warning(
                "the equation %s has no test: mark one with @pytest.mark.equation(%r)",
                label,
                label,
                location=equation.docname,
                type="checked_equations",
            )


def pages_to_rewrite(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Changed tests change pages whose sources did not change. The notebooks do not run again."""
    digest = hashlib.sha256(repr(sorted(env.checks.items())).encode()).hexdigest()
    if digest == getattr(env, "checks_digest", None):
        return sorted(index_pages(env))  # an equation may have moved
    env.checks_digest = digest
    return sorted(index_pages(env) | {equation.docname for equation in equations(env).values()})


# ---------------------------------------------------------------- the ticks


class checked_equation(nodes.General, nodes.Element):
    """Wraps a display equation together with its tick."""


def visit_checked_equation(translator, node: checked_equation) -> None:
    translator.body.append('<div class="checked-equation">')


def depart_checked_equation(translator, node: checked_equation) -> None:
    says = escape(f"Checked by {node['test']}", quote=True)
    translator.body.append(
        f'<a class="equation-tick" href="{escape(node["target"], quote=True)}" '
        f'aria-label="{says}" title="{says}"><span aria-hidden="true">✓</span></a></div>\n'
    )


def anchor(label: str) -> str:
    """Where a check stands on the index page."""
    return f"check-{label}"


def add_ticks(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the tick beside each claim that has a test."""
    pages = index_pages(app.env)
    if app.builder.format != "html" or not pages:
        return
    index = app.builder.get_relative_uri(docname, min(pages))
    for node in list(doctree.findall(nodes.math_block)):
        check = app.env.checks.get(node.get("label"))
        if check and check.label in equations(app.env):
            target = f"{index}#{anchor(check.label)}"
            wrapper = checked_equation(test=check.test, target=target)
            node.replace_self(wrapper)
            wrapper += node


# ---------------------------------------------------------------- the index of checks


class checks_index(nodes.General, nodes.Element):
    """Stands for the index until all pages have been read."""


class CheckedEquations(SphinxDirective):
    """`{checked-equations}`: every checked equation of the book with its test."""

    def run(self) -> list[nodes.Node]:
        index_pages(self.env).add(self.env.docname)
        return [checks_index()]


def load_mathjax(app: Sphinx, doctree: nodes.document) -> None:
    """The index shows equations that are not yet there when Sphinx looks for some."""
    if next(doctree.findall(checks_index), None):
        app.env.get_domain("math").data["has_equations"][app.env.docname] = True


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
    """The checked claims of one page, in the order of their numbers."""
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
        section += check_entry(app, docname, app.env.checks[label])
    return section


def check_entry(app: Sphinx, docname: str, check: Check) -> nodes.container:
    """One equation: its number, what the test does, the formula, the test's source."""
    entry = nodes.container(ids=[anchor(check.label)], classes=["check-entry"])
    head = nodes.paragraph(classes=["check-head"])
    head += [equation_link(app, docname, check.label), nodes.Text(" "), *prose(check.summary)]
    latex = equations(app.env)[check.label].latex
    entry += [head, nodes.math_block(latex, latex, nowrap=False, number=None), source(app, check)]
    return entry


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
    app.add_directive("checked-equations", CheckedEquations)
    app.connect("builder-inited", load_checks)
    app.connect("env-purge-doc", forget_page)
    app.connect("doctree-read", collect_equations)
    app.connect("doctree-read", load_mathjax)
    app.connect("env-updated", pages_to_rewrite)
    app.connect("env-check-consistency", warn_unchecked)
    app.connect("doctree-resolved", add_ticks)
    app.connect("doctree-resolved", fill_index)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": False}
