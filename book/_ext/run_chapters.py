"""Sphinx extension: chapters are run before pages are made of them (see chapter_runs).

A page shows the outputs of the run that is kept under its chapter's key. What is missing is run
before any page is read, side by side, and a page is made again when its run is another than the one
that it shows. A chapter that fails stops the build with its traceback.
"""

from __future__ import annotations

import json
from pathlib import Path

import chapter_runs
import nbformat
from chapter_runs import ChapterError, Runs
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.errors import ExtensionError
from sphinx.util import logging

logger = logging.getLogger(__name__)

NOTEBOOK = ".ipynb"


def runs(app: Sphinx) -> Runs:
    return Runs(Path(app.outdir).parent / "runs")


def shown(env: BuildEnvironment) -> dict[str, tuple[str, int]]:
    """The run that each page shows; kept with the pickled environment."""
    if not hasattr(env, "shown_runs"):
        env.shown_runs = {}
    return env.shown_runs


def identity(run: Path) -> tuple[str, int]:
    """Its name has the key; FORCE=1 makes another run of the same key."""
    return run.name, run.stat().st_mtime_ns


def run(app: Sphinx, env: BuildEnvironment, added: set, changed: set, removed: set) -> list[str]:
    """Run what must be run. Returns the pages whose run is another than the one they show."""
    book = Path(app.srcdir)
    pages = [page for page in sorted(env.found_docs) if env.doc2path(page).endswith(NOTEBOOK)]
    notebooks = {page: Path(env.doc2path(page)) for page in pages}
    try:
        chapter_runs.run_missing(notebooks.values(), book, runs(app), say)
    except ChapterError as error:
        raise ExtensionError(str(error)) from error
    env.surroundings = chapter_runs.surroundings(book)
    now = {page: wanted(app, page, chapter_runs.read(path)) for page, path in notebooks.items()}
    return [page for page in pages if now[page] and identity(now[page]) != shown(env).get(page)]


def say(line: str) -> None:
    logger.info("%s", line)


def wanted(app: Sphinx, page: str, notebook: nbformat.NotebookNode) -> Path | None:
    """The run of the notebook as it is now; there is always one but with CHAPTER=another."""
    key = chapter_runs.key(notebook, app.env.surroundings)
    path = runs(app).path(page, key)
    return path if path.is_file() else None


def put_outputs(app: Sphinx, page: str, source: list[str]) -> None:
    """Give the notebook that is about to be read the outputs of its run."""
    if not app.env.doc2path(page).endswith(NOTEBOOK):
        return
    notebook = nbformat.reads(source[0], as_version=4)
    path = wanted(app, page, notebook)
    if path:
        notebook = chapter_runs.with_outputs(notebook, chapter_runs.read_run(path))
    else:
        path = runs(app).newest(page)
        notebook = chapter_runs.read_run(path)  # code and outputs belong together
    shown(app.env)[page] = identity(path)
    NbMetadataCollector.set_exec_data(app.env, page, execution(**notebook.metadata.pop("run")))
    source[0] = json.dumps(notebook)


def execution(seconds: float, finished: float) -> dict[str, object]:
    """What myst-nb knows of notebooks that it ran itself."""
    ran = {"mtime": finished, "runtime": seconds, "method": "force", "succeeded": True}
    return ran | {"error": None, "traceback": None}


def forget_page(app: Sphinx, env: BuildEnvironment, page: str) -> None:
    shown(env).pop(page, None)


def setup(app: Sphinx) -> dict:
    app.setup_extension("myst_nb")
    app.connect("env-get-outdated", run)
    app.connect("env-purge-doc", forget_page)
    app.connect("source-read", put_outputs)
    return {"version": "1", "parallel_read_safe": False, "parallel_write_safe": True}
