"""A book of a few pages, built for one test."""

from __future__ import annotations

import json
import re
from io import StringIO
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils


def build(
    folder: Path, files: dict[str, str | dict], *extensions: str, parser="myst_parser", status=None
) -> tuple[str, dict[str, str]]:
    """Build with some of the book's extensions: the warnings, and the pages by name.

    Files are text, or objects that become JSON, by their path below the book. Those that are there
    already, with this content, stay as they are.
    """
    source, out, warnings = folder / "book", folder / "out", StringIO()
    for name, content in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = content if isinstance(content, str) else json.dumps(content)
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    settings = {
        "extensions": [parser, *extensions],
        "myst_enable_extensions": ["colon_fence", "dollarmath"],
        # Sphinx's default is one dictionary for all builds of a process, which parsers write into
        "source_suffix": {".md": "markdown" if parser == "myst_parser" else "myst-nb"},
    }
    if parser == "myst_nb":
        settings["nb_execution_mode"] = "off"
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            source, None, out, folder / "trees", "html", settings, status=status, warning=warnings
        )
        app.build()
    pages = {path.stem: path.read_text(encoding="utf-8") for path in out.glob("*.html")}
    return warnings.getvalue(), pages


def first_table(page: str) -> list[list[str]]:
    """The texts of its cells, row by row; no rows if there is no table."""
    rows = re.findall(r"<tr.*?</tr>", page.partition("</table>")[0], re.DOTALL)
    return [[plain(cell) for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.S)] for row in rows]


def plain(html: str) -> str:
    return re.sub(r"<.*?>", "", html).strip()
