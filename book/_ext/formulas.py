r"""Sphinx extension: formulas are set while the book is built, not in the reader's browser.

MathJax (from the pip package sphinx-mathjax-offline) runs once here, in V8 (mini-racer). What a
page keeps of it is an SVG for each formula, with MathML beside it for screen readers: formulas are
there with the text, before any script runs, and no page loads the two megabytes of MathJax. The
letters are drawn once per page, and the formulas refer to them. A formula that MathJax cannot read
is a warning, which fails a strict build.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from html import unescape
from importlib import util
from pathlib import Path

from docutils import nodes
from py_mini_racer import MiniRacer
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.ext.mathjax import html_visit_displaymath, html_visit_math
from sphinx.util.logging import getLogger

logger = getLogger(__name__)

PACKAGE = "sphinx-mathjax-offline"
SCRIPTS = (
    "startup.js",
    "core.js",
    "adaptors/liteDOM.js",  # in place of a browser's document
    "input/tex-full.js",
    "output/svg.js",
    "output/svg/fonts/tex.js",
    "a11y/assistive-mml.js",
)
# an unknown macro must be an error, not red letters that nobody sees
SETTINGS = """globalThis.MathJax = {
  startup: { typeset: false },
  svg: { fontCache: "global" },
  tex: { packages: { "[-]": ["noerrors", "noundefined"] } },
};"""
START = """MathJax.startup.getComponents();
MathJax.startup.makeMethods();
globalThis.typeset = (tex, display) =>
  MathJax.startup.adaptor.outerHTML(MathJax.tex2svg(tex, { display }));
globalThis.letters = () => MathJax.startup.adaptor.innerHTML(MathJax.startup.output.fontCache.defs);
globalThis.style = () => MathJax.startup.adaptor.textContent(MathJax.svgStylesheet());
0"""

# As Sphinx marks formulas for MathJax: in the text, displayed, or an environment that stands alone.
FORMULA = re.compile(r"\\\((.*)\\\)|\\\[(.*)\\\]|(\\begin\{.*\})", re.DOTALL)
LETTER = re.compile(r'<path id="([^"]*)"[^>]*></path>')
USED = re.compile(r'href="#(MJX-[^"]*)"')
# what only MathJax's own scripts would read in a picture; tables keep theirs, for the style sheet
UNUSED = re.compile(
    r' (?:data-(?:c|mjx-texclass|mml-node)|xmlns(?::xlink)?|focusable)="(?!mtable)[^"]*"'
)
ALONE = re.compile(r"<g>(<use [^>]*></use>)</g>")


@cache
def mathjax() -> MiniRacer:
    """MathJax, ready to set formulas."""
    engine = MiniRacer()
    engine.eval(SETTINGS)
    folder = Path(*util.find_spec(PACKAGE).submodule_search_locations, "static", "mathjax")
    for script in SCRIPTS:
        engine.eval((folder / script).read_text(encoding="utf-8") + ";0")
    engine.eval(START)
    return engine


@cache
def typeset(tex: str, display: bool) -> str:
    r"""A formula as HTML.

    >>> "<svg" in typeset(r"x^2", False) and "<mi>x</mi>" in typeset(r"x^2", False)
    True
    >>> "merror" in typeset(r"\nosuchmacro", False)
    True
    """
    html = mathjax().eval(f"typeset({json.dumps(tex)}, {json.dumps(display)})")
    picture, spoken, mathml = html.partition("<mjx-assistive-mml")
    picture = UNUSED.sub("", picture).replace("xlink:href", "href")
    return ALONE.sub(r"\1", picture) + spoken + mathml


def letters(used: set[str]) -> str:
    """The shapes of the letters with these ids, for formulas to refer to; "" for none."""
    if not used:
        return ""
    shapes = [path[0] for path in LETTER.finditer(mathjax().eval("letters()")) if path[1] in used]
    return f'<svg class="letters" aria-hidden="true"><defs>{"".join(shapes)}</defs></svg>'


# ---------------------------------------------------------------- in Sphinx


def instead_of(sphinx_visits: Callable) -> Callable:
    """What Sphinx writes for a formula (number, anchor, alignment), with the formula set."""

    def visit(translator, node: nodes.Element) -> None:
        before, translator.body = translator.body, []
        with suppress(nodes.SkipNode):
            sphinx_visits(translator, node)
        written, translator.body = "".join(translator.body), before

        def set_formula(match: re.Match) -> str:
            inline, *displayed = match.groups()
            tex = unescape(inline or "".join(filter(None, displayed)))
            html = typeset(tex, display=inline is None)
            if "merror" in html:
                logger.warning("MathJax cannot read the formula %s", tex, location=node)
            return html

        translator.body.append(FORMULA.sub(set_formula, written))
        raise nodes.SkipNode

    return visit


def choose(app: Sphinx, config: Config) -> None:
    config.html_math_renderer = "at_build"


def add_letters(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The letters of a page's formulas stand before them."""
    used = set(USED.findall(context.get("body", "") + context.get("toc", "")))
    if used:
        context["body"] = letters(used) + context["body"]


def write_style(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app.builder.format == "html":
        style = mathjax().eval("style()").replace("[data-c]", "")  # see UNUSED
        Path(app.outdir, "_static", "formulas.css").write_text(style, encoding="utf-8")


def setup(app: Sphinx) -> dict:
    app.add_html_math_renderer(
        "at_build",
        (instead_of(html_visit_math), None),
        (instead_of(html_visit_displaymath), None),
    )
    app.add_css_file("formulas.css")
    app.connect("config-inited", choose)
    app.connect("html-page-context", add_letters)
    app.connect("build-finished", write_style)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
