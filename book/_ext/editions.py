"""Sphinx extension: the notebooks that the site offers for download and opens in Colab.

Each is the reader's edition of its chapter (`dgm.assignment.edition`) in plain Markdown
(`dgm.assignment.plain`), with the values, numbers and citations of this build, behind a first cell
that fetches the library where it is missing, at the commit that was built. They lie in `_sources/`;
the workflow that publishes the site puts them on the branch `notebooks`, where Colab finds them.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import nbformat
from computed_text import computed_values
from nbformat.v4 import new_code_cell, new_markdown_cell
from pybtex.database import BibliographyData, Entry, parse_file
from sphinx.application import Sphinx
from static_site import facts

from dgm.assignment.edition import edition
from dgm.assignment.plain import Page, plain

BRANCH = "notebooks"
COLAB = "https://colab.research.google.com/github"
INTRODUCTION = """\
This notebook is a chapter of a book: [read it there]({page}), with its figures to play with. Here \
you can run it and change it. Numbers in the text are the page's, computed on {data}; the code \
takes the data set that the variable `DGM_DATASET` names, or else the digits. Where the library of \
the course is missing, as on Colab and Kaggle, the next cell fetches it: a minute, once per \
session."""
INSTALL = """\
# Fetch the course's library where it is missing (on Colab, on Kaggle).
import importlib.util
import subprocess
import sys

if importlib.util.find_spec("dgm") is None:
    for command in (
        ["git", "init", "--quiet", "course"],
        ["git", "-C", "course", "fetch", "--quiet", "--depth=1", "{repository}", "{commit}"],
        ["git", "-C", "course", "checkout", "--quiet", "FETCH_HEAD"],
        [sys.executable, "-m", "pip", "install", "--quiet", "--editable", "course[notebooks]"],
    ):
        subprocess.run(command, check=True)
    sys.path.insert(0, "course/lib")"""


def write_editions(app: Sphinx, exception: Exception | None) -> None:
    """Put a chapter's edition in the place of the source that its page offers."""
    if exception or app.builder.format != "html":
        return
    numbers = numbered(app)
    for name in sorted(app.env.found_docs):
        source = Path(app.env.doc2path(name))
        if source.suffix == ".ipynb":
            page = Page(
                address=app.config.html_baseurl,
                name=name,
                values=computed_values(app.env).get(name, {}),
                numbers=numbers,
                cite=citer(app),
                sections=sections(app, name),
            )
            made = for_anywhere(source, page, app)
            target = Path(app.outdir, "_sources", f"{name}.ipynb")
            target.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(made, target)


def for_anywhere(source: Path, page: Page, app: Sphinx) -> nbformat.NotebookNode:
    """The edition of one notebook that needs neither the book nor the repository beside it."""
    chapter = nbformat.read(source, as_version=4)
    made = edition(chapter, solutions=not app.config.hide_solutions)
    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source, page)
    introduction = INTRODUCTION.format(
        page=f"{page.address}{page.name}.html", data=facts()["Data set"]
    )
    install = INSTALL.format(repository=repository(app), commit=commit(source.parent) or "HEAD")
    made.cells[1:1] = [
        new_markdown_cell(introduction, id="where"),
        new_code_cell(install, id="install"),
    ]
    return made


# ---------------------------------------------------------------- what the build knows


def numbered(app: Sphinx) -> dict[str, str]:
    """The numbers of equations and figures, by label."""
    return {
        label.removeprefix("equation-"): ".".join(map(str, number))
        for kinds in app.env.toc_fignumbers.values()
        for labels in kinds.values()
        for label, number in labels.items()
    }


def sections(app: Sphinx, page: str) -> dict[str, str]:
    """The titles of a page's sections, by their part of its address."""
    slugs = app.env.metadata[page].get("myst_slugs", {})
    return {slug: title for slug, (_, _, title) in slugs.items()}


def citer(app: Sphinx) -> Callable[[str, bool], str]:
    """How a work is cited, with a link to it."""

    def cite(key: str, named: bool) -> str:
        (file,) = app.config.bibtex_bibfiles
        work = bibliography(Path(app.srcdir, file)).entries[key]
        year = work.fields["year"]
        text = f"{authors(work)} ({year})" if named else f"{authors(work)}, {year}"
        return f"[{text}]({address})" if (address := link(work)) else text

    return cite


@cache
def bibliography(file: Path) -> BibliographyData:
    return parse_file(file)


def authors(work: Entry) -> str:
    """Kingma; Kingma and Welling; Kingma et al.; of a collection its editors."""
    people = work.persons.get("author") or work.persons["editor"]
    names = [" ".join(p.prelast_names + p.last_names) for p in people]
    names = [name.strip("{}") for name in names]
    return " and ".join(names) if len(names) < 3 else f"{names[0]} et al."


def link(work: Entry) -> str:
    """Where a work is to be found: its DOI, its number in the arXiv, or the address it gives."""
    if "doi" in work.fields:
        return f"https://doi.org/{work.fields['doi']}"
    if "eprint" in work.fields:
        return f"https://arxiv.org/abs/{work.fields['eprint']}"
    return work.fields.get("url", "")


def repository(app: Sphinx) -> str:
    return app.config.html_theme_options.get("repository_url", "").rstrip("/")


@cache
def commit(folder: Path) -> str:
    """The commit that is built; "" where there is no repository."""
    command = ["git", "rev-parse", "HEAD"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.stdout.strip() if done.returncode == 0 else ""


# ---------------------------------------------------------------- the button


def point_to_edition(app: Sphinx, page: str, template: str, context: dict, doctree) -> None:
    """The theme's button would open the source; this one opens the edition."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("text") == "Colab":
                place = urlsplit(repository(app)).path.strip("/")
                button["url"] = f"{COLAB}/{place}/blob/{BRANCH}/{page}.ipynb"


def setup(app: Sphinx) -> dict:
    app.setup_extension("computed_text")
    app.setup_extension("exercise_cells")  # which has its say about `_sources` first
    app.connect("html-page-context", point_to_edition, priority=900)  # after the theme
    app.connect("build-finished", write_editions)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
