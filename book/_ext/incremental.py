"""Sphinx extension: a build that makes only what changed gives the book that a whole build gives.

Sphinx makes a page again when its source changed. What else a page depends on stands here:

- The extensions, the library, the versions, the bibliography: all pages are read again.
- Titles, numbers, labels and the parts' names, which other pages show: all are written again.
- A build that was interrupted, failed or warned: the next one begins from nothing, so that it says
  again what is wrong. Of the chapters' runs, those that came to their end are kept.
- Two builds at once: the second waits.
"""

from __future__ import annotations

import fcntl
import hashlib
import sys
from pathlib import Path
from typing import TextIO

from chapter_runs import contents, digest, packages
from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx.environment import BuildEnvironment
from sphinx.util import logging

import dgm

logger = logging.getLogger(__name__)

# ---------------------------------------------------------------- one build after the other


LOCKS: dict[Path, TextIO] = {}  # of this process; a build that is interrupted leaves its own


def wait_for_others(app: Sphinx, config: Config) -> None:
    path = Path(app.outdir).parent / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = LOCKS[path] = LOCKS.get(path) or path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.info("another build is at work here: waiting for its end")
        fcntl.flock(lock, fcntl.LOCK_EX)


def let_others(app: Sphinx, exception: Exception | None) -> None:
    LOCKS.pop(Path(app.outdir).parent / "lock").close()


def clean(app: Sphinx) -> Path:
    """This file is there if the last build came to its end without a warning."""
    return Path(app.doctreedir, "clean")


def begin(app: Sphinx, config: Config) -> None:
    if not clean(app).exists():
        Path(app.doctreedir, "environment.pickle").unlink(missing_ok=True)
    clean(app).unlink(missing_ok=True)


def end(app: Sphinx, exception: Exception | None) -> None:
    if exception is None and app._warncount == 0:
        clean(app).touch()


# ---------------------------------------------------------------- what all pages depend on


def note_makers(app: Sphinx, config: Config) -> None:
    """A changed setting makes Sphinx read everything again."""
    book = Path(app.srcdir)
    made_by = [contents(book / folder) for folder in ("_ext", "_templates", "_assets")]
    made_by += [contents(book, "*.bib"), contents(Path(dgm.__file__).parent)]
    config.made_by = digest([made_by, sys.version, packages()])


def shared(env: BuildEnvironment) -> str:
    """The digest of what pages show of other pages."""
    std, math = env.domaindata["std"], env.domaindata["math"]
    titles = {page: title.astext() for page, title in env.titles.items()}
    numbers = [env.toc_secnumbers, env.toc_fignumbers, env.toctree_includes]
    parts = [titles, *numbers, std["labels"], std["anonlabels"], math["objects"]]
    ordered = [sorted(part.items()) for part in parts]
    parts_named = env.tocs[env.config.root_doc].pformat()  # what the parts are called
    return hashlib.sha256(repr([ordered, parts_named]).encode()).hexdigest()


def pages_to_write(app: Sphinx, env: BuildEnvironment) -> set[str]:
    before, env.shared_digest = getattr(env, "shared_digest", None), shared(env)
    return set() if before == env.shared_digest else set(env.found_docs)


def setup(app: Sphinx) -> dict:
    app.add_config_value("made_by", "", "env", str)
    app.connect("config-inited", wait_for_others, priority=100)
    app.connect("config-inited", begin)
    app.connect("config-inited", note_makers)
    app.connect("env-get-updated", pages_to_write, priority=900)  # when numbers are known
    app.connect("build-finished", end, priority=900)
    app.connect("build-finished", let_others, priority=950)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
