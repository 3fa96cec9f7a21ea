"""The runs of the chapters: side by side, and only where something changed that a run depends on.

A run is kept in `_build/runs/` as an executed notebook whose name carries a key. The key is made of
everything that the outputs depend on: the chapter's code, the library, the records, the data, the
device, Python and all installed packages (`surroundings` and `key` say it exactly). So there is
nothing to expire: what changed has another key. Only a run that came to its end is kept.

As a program, `python chapter_runs.py NOTEBOOK TARGET`, it executes one notebook.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import sysconfig
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

TIMEOUT = 600  # seconds for one cell
KEPT = 4  # runs per chapter: enough to go back to another data set, or to the branch before

# ---------------------------------------------------------------- the key


def digest(value: object) -> str:
    """
    >>> digest({"a": 1}) == digest({"a": 1}), digest("a") == digest(["a"])
    (True, False)
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:20]


def contents(folder: Path, *patterns: str) -> dict[str, str]:
    """The digest of each file's bytes, by its name below the folder."""
    files = {p for pattern in patterns or ("**/*",) for p in folder.glob(pattern) if p.is_file()}
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(files)
        if path.suffix != ".pyc" and ".ipynb_checkpoints" not in path.parts
    }


def packages() -> list[str]:
    """All that is installed. The course's own library counts by its files.

    Not what else lies on `sys.path`: setuptools, once imported, adds what it brings along.
    """
    folders = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    found = metadata.distributions(path=folders)
    return sorted({f"{d.name} {d.version}" for d in found if d.name != "dgm"})


def state(path: Path) -> list[object]:
    """Of a data file, which may be large: not its bytes, but what changes with them."""
    return [path.name, path.stat().st_size, path.stat().st_mtime_ns]


def data_files(book: Path) -> list[list[object]]:
    """The files that a data set may be loaded from. A download brings the same bytes every time."""
    from dgm.data import folder

    # relative to the book, where chapters run
    named = book / Path(os.environ.get("DGM_DATASET") or "digits").expanduser()
    paths = sorted((book / folder()).glob("*.npz"))
    return [state(path) for path in ([named] if named.is_file() else []) + paths]


def surroundings(book: Path) -> dict[str, object]:
    """What every chapter's run depends on."""
    import dgm

    return {
        "this program": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        "library": contents(Path(dgm.__file__).parent),
        "records": contents(book / "records"),
        "data set": os.environ.get("DGM_DATASET") or "digits",
        "data files": data_files(book),
        "device": str(dgm.device()),
        "python": sys.version,
        "packages": packages(),
    }


def key(notebook: NotebookNode, around: dict[str, object]) -> str:
    """What one chapter's run depends on. Neither prose nor a figure's caption belongs to it."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    own = {
        "code": [[cell.source, cell.metadata.get("tags", [])] for cell in cells],
        "kernel": notebook.metadata.get("kernelspec", {}).get("name"),
    }
    return digest([own, around])


# ---------------------------------------------------------------- the runs that are kept


def read(notebook: Path) -> NotebookNode:
    return nbformat.read(notebook, as_version=4)


def read_run(path: Path) -> NotebookNode:
    """A run that is kept. It is large, and was checked when it was written."""
    run = nbformat.from_dict(json.loads(path.read_text(encoding="utf-8")))
    note_use(path)
    return run


def note_use(path: Path) -> None:
    """Used now, made then. The system's own times are coarser, and would mix up what is quick."""
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


@dataclass(frozen=True)
class Runs:
    """A folder of executed notebooks, `<chapter>.<key>.ipynb`."""

    folder: Path

    def path(self, name: str, key: str) -> Path:
        return self.folder / f"{name}.{key}.ipynb"

    def all_of(self, name: str) -> list[Path]:
        """The chapter's runs, the one used last at the end."""
        return sorted(self.folder.glob(f"{name}.*.ipynb"), key=lambda path: path.stat().st_atime)

    def newest(self, name: str) -> Path | None:
        """The run used last, whatever it depended on."""
        return (self.all_of(name) or [None])[-1]

    def prune(self, name: str) -> None:
        for path in self.all_of(name)[:-KEPT]:
            path.unlink(missing_ok=True)

    def seconds(self, notebook: Path) -> float:
        """How long the chapter ran last; of one that never ran, a guess by its length."""
        last = self.newest(notebook.stem)
        if last:
            return read_run(last).metadata.run.seconds
        return sum(len(c.source) for c in read(notebook).cells if c.cell_type == "code") / 100


def with_outputs(notebook: NotebookNode, run: NotebookNode) -> NotebookNode:
    """The notebook as it is now, with the outputs of a run of the same code."""
    old = [cell for cell in run.cells if cell.cell_type == "code"]
    new = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell, executed in zip(new, old, strict=True):
        cell.outputs, cell.execution_count = executed.outputs, executed.execution_count
    notebook.metadata.update(run=run.metadata.run, language_info=run.metadata.language_info)
    return notebook


# ---------------------------------------------------------------- running


class ChapterError(Exception):
    """A chapter did not run to its end; the message has the traceback."""


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_side_by_side(
    chapters: dict[Path, str], runs: Runs, say: Callable[[str], None] = print
) -> dict[Path, str]:
    """Run chapters, given with their keys, as many at a time as there are cores.

    The longest come first, and each has its share of the cores: more threads than cores would wait
    for one another.

    Returns:
        Why chapters failed, by notebook.
    """
    order = sorted(chapters, key=runs.seconds, reverse=True)
    slots = min(cores(), len(order))
    threads = {"OMP_NUM_THREADS": str(cores() // slots)}
    say(f"running {len(order)} of the notebooks, {slots} at a time")
    runs.folder.mkdir(parents=True, exist_ok=True)

    async def everything() -> dict[Path, str]:
        free = asyncio.Semaphore(slots)
        with suppress(NotImplementedError):  # Windows has no such signal
            # what ends make ends chapters, too: Ctrl-C is not the only way
            ended = asyncio.current_task().cancel
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended)

        async def one(path: Path) -> str | None:
            async with free:
                say(f"  {path.stem}: running")
                start, target = time.perf_counter(), runs.path(path.stem, chapters[path])
                error = await in_a_process(path, target, threads)
                seconds = time.perf_counter() - start
                if not error:
                    note_use(target)
                say(f"  {path.stem}: {'FAILED after ' if error else ''}{seconds:.0f} s")
                return error

        errors = await asyncio.gather(*(one(path) for path in order))
        return {path: error for path, error in zip(order, errors, strict=True) if error}

    failures = asyncio.run(everything())
    for path in order:
        runs.prune(path.stem)
    return failures


async def in_a_process(notebook: Path, target: Path, threads: dict[str, str]) -> str | None:
    """Execute a notebook in a process of its own; why it failed, if it did.

    Whoever is interrupted while it waits stops the process, which stops its kernel.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, __file__, str(notebook), str(target)),
        env=threads | os.environ,  # a number of threads that the user chose stays
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        _, said = await process.communicate()
    except asyncio.CancelledError:
        process.terminate()
        await process.wait()
        raise
    return said.decode(errors="replace").strip() or "it ended" if process.returncode else None


def execute(notebook: Path, target: Path) -> None:
    """Run a notebook to its end and keep it, all at once, under the target's name."""
    run = read(notebook)
    start = time.perf_counter()
    where = {"metadata": {"path": str(notebook.parent)}}
    NotebookClient(run, timeout=TIMEOUT, startup_timeout=300, resources=where).execute()
    run.metadata["run"] = {"seconds": time.perf_counter() - start, "finished": time.time()}
    run.metadata.pop("widgets", None)  # pages have no widget manager
    unfinished = target.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(run), encoding="utf-8")
    os.replace(unfinished, target)


def run_missing(
    notebooks: Iterable[Path], book: Path, runs: Runs, say: Callable[[str], None] = print
) -> None:
    """Run the chapters of which no run is kept that is still true, and keep their runs.

    With FORCE=1 they all run again. With CHAPTER=name it is about that one: of the others, any run
    will do.

    Raises:
        ChapterError: a chapter failed, or was changed while it ran.
    """
    around, forced, chosen = surroundings(book), os.environ.get("FORCE") == "1", chapter()
    missing = {}
    for path in notebooks:
        now, asked = key(read(path), around), chosen in ("", path.stem)
        kept = runs.path(path.stem, now).is_file() or (not asked and runs.newest(path.stem))
        if not kept or (forced and asked):
            missing[path] = now
    if not missing:
        return
    failures = run_side_by_side(missing, runs, say)
    around = surroundings(book)
    for path, before in missing.items():
        if path not in failures and key(read(path), around) != before:
            runs.path(path.stem, before).unlink()
            failures[path] = "it, or what it depends on, changed while it ran: build again"
    if failures:
        raise ChapterError("\n\n".join(f"{path.name}: {why}" for path, why in failures.items()))


def chapter() -> str:
    """The one chapter that this build is about; "" if it is about all."""
    return os.environ.get("CHAPTER", "")


if __name__ == "__main__":
    try:
        execute(*map(Path, sys.argv[1:]))
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        sys.exit(str(error))
