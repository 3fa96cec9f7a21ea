"""nbval, on runs that are kept.

`make book` keeps the run of every chapter under a key of all that it depends on (see
book/_ext/chapter_runs.py). With --kept-runs, nbval takes the outputs of such a run in place of
running the cells once more, and compares them with the checked cells as always. A chapter without
a kept run is run. In CI, and with `make test FORCE=1`, nbval runs all of them.
"""

import functools
import sys
from pathlib import Path

from nbval.plugin import IPyNbFile

BOOK = Path(__file__).resolve().parent
sys.path.insert(0, str(BOOK / "_ext"))

import chapter_runs  # noqa: E402


def pytest_addoption(parser):
    parser.addoption("--kept-runs", action="store_true", help="take kept runs of chapters")


class KeptKernel:
    """In place of a kernel: answers with the outputs that each cell had in a kept run."""

    def __init__(self, run):
        self.cells = iter([cell for cell in run.cells if cell.cell_type == "code"])
        self.messages = iter(())

    def is_alive(self):
        return True

    def stop(self):
        pass

    def execute_cell_input(self, source, allow_stdin=None):
        cell = next(cell for cell in self.cells if cell.source == source)
        outputs = [(output.output_type, output) for output in cell.outputs]
        self.messages = iter([*outputs, ("status", {"execution_state": "idle"})])
        return "kept"

    def await_reply(self, msg_id, timeout=None):
        pass

    def await_idle(self, msg_id, timeout):
        pass

    def get_message(self, stream, timeout=None):
        kind, content = next(self.messages)
        return {"msg_type": kind, "content": content, "parent_header": {"msg_id": "kept"}}


@functools.cache
def surroundings(book):
    return chapter_runs.surroundings(book)


def kept_run(path):
    """Where the run of this notebook, as it is now, is kept; None if there is none."""
    book = path.parent
    key = chapter_runs.key(chapter_runs.read(path), surroundings(book))
    run = chapter_runs.Runs(book.parent / "_build" / "runs").path(path.stem, key)
    return run if run.is_file() else None


def take(file, run):
    """What nbval does when it begins with a notebook, without starting a kernel."""
    file.kernel = KeptKernel(chapter_runs.read_run(run))
    file.setup_sanitize_files()


def pytest_collection_modifyitems(config, items):
    if not config.option.kept_runs:
        return
    config.kept_runs = {}
    for file in dict.fromkeys(item.parent for item in items if isinstance(item.parent, IPyNbFile)):
        run = kept_run(file.path)
        if run:
            file.setup = functools.partial(take, file, run)
            config.kept_runs[file.path.stem] = chapter_runs.read_run(run).metadata.run


def pytest_terminal_summary(terminalreporter, config):
    failed = [report.nodeid for report in terminalreporter.stats.get("failed", [])]
    for name, run in getattr(config, "kept_runs", {}).items():
        if any(f"{name}.ipynb::" in cell for cell in failed):
            continue
        terminalreporter.line(
            f"{name}: passed unchanged, not run again: the outputs compared are those of the run "
            f"that is kept ({run.seconds:.0f} s)"
        )
