"""Sphinx extension: a site that asks no other host for anything, and facts about the build.

- Every interactive figure carries its style, script and data, so that it works alone. The site has
  one script for all; a page has one style, and its data in files that wait until they are wanted.
- Saved widget state is dropped: pages show plain HTML, and no widget manager is loaded.
- The site's address follows from the repository's.
- `{build-facts}` lists the data set and the versions of the build.
"""

from __future__ import annotations

import json
import os
import platform
import re
from base64 import b64decode
from hashlib import sha256
from html import escape
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.util.docutils import SphinxDirective

UNWANTED_TAGS = re.compile(
    r'<link rel="preload" as="font"[^>]*>\s*|<script [^>]*fontawesome[^>]*></script>\s*'
)
STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)
ALONE = re.compile(  # the end of an interactive figure: its data and its script
    r'<script type="application/json">(?P<data>.*?)</script>'
    r'<script type="module">\n(?P<script>.*?)mount\(\);\n</script>',
    re.DOTALL,
)
PICTURE = re.compile(
    r'(?P<start><div class="dgm-still"><img )src="data:image/(?P<kind>\w+);base64,(?P<data>[^"]+)"'
)
EXPORT = re.compile(r"^export (default .*\n)?", re.MULTILINE)
UNWANTED_FILES = ("vendor/fontawesome/*/js/*", "**/*.map", "**/*.ttf")
PACKAGES = ("torch", "numpy", "scikit-learn", "matplotlib", "jupyter-book", "sphinx", "myst-nb")

# ---------------------------------------------------------------- addresses


def pages_address(repository: str) -> str:
    """Where GitHub Pages serves a repository; "" if that cannot be told from its address.

    >>> pages_address("https://github.com/Ada/notes")
    'https://ada.github.io/notes/'
    """
    address = urlsplit(repository)
    parts = address.path.strip("/").split("/")
    if address.netloc != "github.com" or len(parts) != 2:
        return ""
    owner, name = parts[0].lower(), parts[1].removesuffix(".git")
    return f"https://{owner}.github.io/" + ("" if name == f"{owner}.github.io" else f"{name}/")


def set_addresses(app: Sphinx, config: Config) -> None:
    """Derive the site's address; `html: baseurl` in _config.yml takes precedence."""
    repository = config.html_theme_options.get("repository_url", "")
    config.html_baseurl = config.html_baseurl or pages_address(repository)
    config.ogp_site_url = config.html_baseurl
    config.html_context["site_address"] = config.html_baseurl  # for 404.html


def name_data(app: Sphinx, config: Config) -> None:
    """Every page says below which data set its numbers and pictures come from."""
    footer = config.html_theme_options.get("extra_footer", "")
    says = (
        f"<p>These pages were made on the data set <code>{escape(facts()['Data set'])}</code>.</p>"
    )
    config.html_theme_options["extra_footer"] = footer + says


def describe(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """A page's `description` (front matter, or the notebook's metadata) goes into its head."""
    meta = context.get("meta") or {}
    text = meta.get("description")
    if text:
        meta["og:description"] = text
        context["metatags"] += f'<meta name="description" content="{escape(text)}" />\n'


def title_root(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The first page bears the book's title: its tab should not say it twice."""
    if page == app.config.root_doc:
        context["title"] = "An executable course"


EMPTY_HEADER = re.compile(r"<th\b([^>]*)>(?:\s|</?p>)*</th>")


def without_empty_headers(html: str) -> str:
    """The empty corner of a table is a cell: as a header it would be announced, and say nothing.

    >>> without_empty_headers('<tr><th class="head"><p></p></th><th>a</th></tr>')
    '<tr><td class="head"></td><th>a</th></tr>'
    """
    return EMPTY_HEADER.sub(r"<td\1></td>", html)


def mend_tables(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    if "body" in context:
        context["body"] = without_empty_headers(context["body"])


# a page on disk may not read others, from which search takes a few words around what it found
NO_WORDS = 'if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;'


def search_on_disk(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    if page == "search":
        app.add_js_file(None, body=NO_WORDS)


# ---------------------------------------------------------------- assets and widgets


def make_static(app: Sphinx) -> None:
    """The folder `_static`, before anything can fail.

    The theme copies the logo there even after a build that failed; without the folder that makes a
    file of this name, and no later build could write into it.
    """
    if app.builder.format == "html":
        Path(app.outdir, "_static").mkdir(parents=True, exist_ok=True)


def once(page: str) -> str:
    """Keep the first of identical inline styles; it serves the whole page.

    >>> once("<style>p {}</style><p>1</p><style>p {}</style><p>2</p><style>b {}</style>")
    '<style>p {}</style><p>1</p><p>2</p><style>b {}</style>'
    """
    seen = set()

    def keep_first(match: re.Match) -> str:
        known = match[0] in seen
        seen.add(match[0])
        return "" if known else match[0]

    return STYLE.sub(keep_first, page)


def share_figures(page: str, up: str, static: Path) -> str:
    """Put script, data and stills of a page's figures into files; `up` leads to the root.

    Scripts that are no modules may be loaded by a page on disk, too. Data and stills have names
    that follow from what is in them, so that no browser keeps old ones.
    """
    scripts = {EXPORT.sub("", figure["script"]) for figure in ALONE.finditer(page)}
    if not scripts:
        return page
    (own,) = scripts
    folder = static / "figures"
    folder.mkdir(exist_ok=True)
    later = (static / "later.js").read_text(encoding="utf-8")
    body = f"(() => {{\n{own}\n{later}}})();\n"
    (static / "figures.js").write_text(body, encoding="utf-8")

    def hand_over(figure: re.Match) -> str:
        name = digest(figure["data"])
        text = f'dgmState("{name}", {json.dumps(figure["data"])});\n'
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
        return f'<template data-state="{up}_static/figures/{name}.js"></template>'

    def lay_apart(still: re.Match) -> str:
        file = folder / f"{digest(still['data'])}.{still['kind']}"
        file.write_bytes(b64decode(still["data"]))
        with Image.open(file) as picture:  # room for it, before it is there
            size = 'width="{}" height="{}" loading="lazy"'.format(*picture.size)
        return f'{still["start"]}src="{up}_static/figures/{file.name}" {size}'

    tag = f'<script defer src="{up}_static/figures.js?v={digest(body)}"></script>'
    page = PICTURE.sub(lay_apart, ALONE.sub(hand_over, page))
    return page.replace("</head>", f"{tag}\n</head>", 1)


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:8]


def lighten(app: Sphinx, exception: Exception | None) -> None:
    """Share what pages repeat; drop Font Awesome's JavaScript and the early loads of its fonts.

    The icons are drawn from the fonts anyway, without 1.5 MB of script, and an early load of a
    font is refused from file://.
    """
    if exception or app.builder.format != "html":
        return
    root, wanted = Path(app.outdir), ""
    for page in root.rglob("*.html"):
        text = once(UNWANTED_TAGS.sub("", page.read_text(encoding="utf-8")))
        up = "../" * (len(page.relative_to(root).parts) - 1)
        text = share_figures(text, up, root / "_static")
        page.write_text(text, encoding="utf-8")
        wanted += "".join(re.findall(r"_static/figures/\w+\.\w+", text))
    for path in root.glob("_static/figures/*"):
        if path.name not in wanted:  # of an earlier build
            path.unlink()
    for pattern in UNWANTED_FILES:
        for path in (root / "_static").glob(pattern):
            path.unlink()


def drop_widget_state(app: Sphinx, doctree: nodes.document) -> None:
    """Without a widget manager the saved state would only make the page larger."""
    page = getattr(app.env, "nb_metadata", {}).get(app.env.docname, {})
    page.get("js_files", {}).pop("ipywidgets_state", None)


# ---------------------------------------------------------------- facts about the build


def facts() -> dict[str, str]:
    """The data set and the versions that this build used."""
    data = Path(os.environ.get("DGM_DATASET") or "digits").name  # of an .npz: not where it lies
    rows = {"Data set": data, "Processor cores": str(os.cpu_count())}
    rows["Python"] = platform.python_version()
    return rows | {package: metadata.version(package) for package in PACKAGES}


class BuildFacts(SphinxDirective):
    """`{build-facts}`: a table of the facts."""

    def run(self) -> list[nodes.Node]:
        self.env.note_reread()  # the page does not change when the versions do
        table, group, body = nodes.table(), nodes.tgroup(cols=2), nodes.tbody()
        for name, value in facts().items():
            row = nodes.row()
            row += [nodes.entry("", nodes.paragraph("", text)) for text in (name, value)]
            body += row
        group += [nodes.colspec(colwidth=1), nodes.colspec(colwidth=1), body]
        table += group
        return [table]


# ---------------------------------------------------------------- lines of text

CLOSING = re.compile(r"[.,;:!?)\]’”%]+")


def keep_together(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Let no line begin with the full stop after a formula: browsers would break there."""
    for formula in list(doctree.findall(nodes.math)):
        after = formula.next_node(descend=False, siblings=True)
        closing = CLOSING.match(after) if isinstance(after, nodes.Text) else None
        if closing:
            after.parent.replace(after, nodes.Text(after[closing.end() :]))
            pair = nodes.inline(classes=["together"])
            formula.replace_self(pair)
            pair += [formula, nodes.Text(closing[0])]


def setup(app: Sphinx) -> dict:
    # Jupyter Book sets this value for an extension that the book leaves out.
    app.add_config_value("comments_config", {}, "html", dict)
    app.add_directive("build-facts", BuildFacts)
    app.connect("config-inited", set_addresses, priority=100)
    app.connect("config-inited", name_data)
    app.connect("builder-inited", make_static)
    app.connect("doctree-read", drop_widget_state)
    app.connect("doctree-resolved", keep_together)
    app.connect("html-page-context", describe, priority=400)  # before sphinxext.opengraph
    app.connect("html-page-context", title_root, priority=600)  # after it
    app.connect("html-page-context", search_on_disk)
    app.connect("html-page-context", mend_tables)
    app.connect("build-finished", lighten)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
