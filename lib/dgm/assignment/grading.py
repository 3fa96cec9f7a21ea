"""How submissions are graded: two steps that nbgrader's own lack. They need nbgrader.

`nbgrader_config.py` puts them in the place of nbgrader's, so that `nbgrader autograde` uses them.
"""

import ast
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import preprocessors
from traitlets import Bool, Dict, Integer, List, Unicode

from . import sandbox
from .cells import grade_id, kind

TRUSTED = "dgm.assignment.trusted"


class Restore(preprocessors.NbGraderPreprocessor):
    """Lays a student's cells into a fresh copy of the assignment.

    What was edited, moved or deleted comes back where it was, but for answers: a deleted one stays
    away. Cells that the student added stay in front of the cell they stood before, and so do copies
    of a cell, of which the first is the one that counts. All run, in the student's order.

    Of the student's nbgrader metadata nothing is kept: an entry of another version, or the empty
    one that nbgrader's own DeduplicateIds leaves, would end the grading of the whole class.
    """

    def preprocess(self, nb: NotebookNode, resources: dict) -> tuple[NotebookNode, dict]:
        task = resources["nbgrader"]
        path = Path("source", task["assignment"], f"{task['notebook']}.ipynb")
        fresh = [c for c in nbformat.read(path, as_version=4).cells if grade_id(c.metadata)]
        wanted = [grade_id(cell.metadata) for cell in fresh]
        nb = nbformat.v4.upgrade(nb)  # older notebooks, such as Colab's, have no ids of cells
        handed_in, added, own = {}, {}, []
        for cell in nb.cells:
            name = grade_id(cell.metadata)
            if name in wanted and name not in handed_in:
                handed_in[name] = cell
                added[name] = own
                own = []
            else:
                cell.metadata.pop("nbgrader", None)
                own.append(cell)
        nb.cells = []
        for cell in fresh:
            name = grade_id(cell.metadata)
            nb.cells += added.get(name, [])
            if kind(cell.metadata) != "solution":
                nb.cells.append(cell)
            elif name in handed_in:
                cell.source = handed_in[name].source
                nb.cells.append(cell)
        nb.cells += own
        return nb, resources


class Kernel(AsyncKernelManager):
    """A kernel in bubblewrap, where that works, that sees one submission.

    It is this Python's, whatever the notebook says, and is spoken to through files: in bubblewrap
    it has no network.
    """

    def __init__(self, where: sandbox.Place, variables: dict[str, str], **kwargs):
        file = str(where.sockets / "kernel.json")
        super().__init__(kernel_name="python3", transport="ipc", connection_file=file, **kwargs)
        self.where, self.variables = where, variables

    def format_kernel_cmd(self, extra_arguments: list[str] | None = None) -> list[str]:
        program = [sys.executable, "-m", "ipykernel_launcher", "-f", self.connection_file]
        program += extra_arguments or []
        if sandbox.refused():
            return program
        return sandbox.command(program, self.where, self.variables)


class Execute(preprocessors.Execute):
    """Runs a submission so that a cell that hangs or kills its kernel costs its own exercise only.

    nbgrader would interrupt a cell that runs too long, which a program can ignore, and lose the
    whole submission with its kernel. Here the notebook runs once more in a new kernel, without that
    cell. In nbgrader_config.py, `c.Execute.timeout` is the limit in seconds for a cell (the set-up
    has none), `c.Execute.total` for all cells of a submission and all its runs: what has not run by
    then has failed.

    A cell of tests passes if it comes to its end and shows that by an error that only the grader
    knows. nbgrader asks for no error, which an answer has that lets no test run, and takes a value
    that is shown before an error for marks.
    """

    total = Integer(600, help="seconds for a submission").tag(config=True)
    most = Integer(10**7, help="characters that a submission may show").tag(config=True)
    interrupt_on_timeout = Bool(False)
    error_on_timeout = Dict(None, allow_none=True)
    shutdown_kernel = Unicode("immediate")
    extra_arguments = List(
        [
            "--IPKernelApp.ignore_cwd=True",  # IPython < 9.7 knows no PYTHONSAFEPATH
            # before any cell; `exit` would end the kernel after the cell, and the next exercise
            # with it: Python's own raises
            f"--IPKernelApp.exec_lines=del exit, quit; import {TRUSTED}; del dgm",
        ]
    )

    def preprocess(self, nb: NotebookNode, resources: dict, km=None) -> tuple[NotebookNode, dict]:
        task = resources["nbgrader"]
        self.handed_in = Path("submitted", task["student"], task["assignment"])
        self.broken = {}  # by index, what went wrong
        self.deadline = monotonic() + self.total
        self.timeout_func = self.time_for
        while True:
            found, began = len(self.broken), monotonic()
            try:
                return super().preprocess(nb, resources, km)
            except (CellTimeoutError, DeadKernelError):
                if len(self.broken) == found:  # no cell did it: no kernel starts here
                    raise
            if self.left() < monotonic() - began:  # no time for all this once more
                self.fail(nb.cells[list(self.broken)[-1] :])
                return nb, resources

    @contextmanager
    def setup_kernel(self, **kwargs) -> Iterator[None]:
        with sandbox.place(self.handed_in) as where:
            variables = sandbox.environment(where)
            self.km = Kernel(where, variables)
            self.shown = 0
            kwargs |= {"cwd": str(where.submission), "env": variables}
            # what goes past the notebook would go to the instructor's terminal
            kwargs |= {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            with super().setup_kernel(**kwargs):
                yield

    def left(self) -> float:
        """Seconds that the submission still has."""
        return self.deadline - monotonic()

    def time_for(self, cell: NotebookNode) -> float:
        left = max(self.left(), 1)  # 0 would be no limit
        return left if grade_id(cell.metadata) == "setup" else min(self.timeout, left)

    def fail(self, cells: list[NotebookNode]) -> None:
        """Nobody has run these."""
        for cell in cells:
            if cell.cell_type == "code":
                said = f"the whole submission was stopped after {self.total} seconds"
                cell.outputs = [failure("TimeLimit", said)]

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int):
        if index in self.broken:
            cell.outputs = [self.broken[index]]
            return cell, resources
        if self.left() <= 0:
            self.fail([cell])
            return cell, resources
        tests, source, secret = kind(cell.metadata) == "tests", cell.source, secrets.token_hex()
        if tests:
            cell.source = guarded(source, secret)
        try:
            cell, resources = super().preprocess_cell(cell, resources, index)
        except (CellTimeoutError, DeadKernelError) as error:
            self.broken[index] = self.what_broke(error)
            raise
        finally:
            cell.source = source
        if tests:
            cell.outputs = verdict(cell.outputs, secret)
            self.clear_display_id_mapping(index)  # nothing changes them from now on
        return cell, resources

    def what_broke(self, error: CellTimeoutError | DeadKernelError) -> NotebookNode:
        if self.shown > self.most:
            return failure("OutputLimit", f"more than {self.most:,} characters are shown")
        if isinstance(error, CellTimeoutError):
            return failure("TimeLimit", f"stopped after {self.timeout} seconds")
        return failure("Crash", "Python itself ended while this cell ran")

    def process_message(self, msg: dict, cell: NotebookNode, cell_index: int):
        """Take what the kernel shows, up to a limit, and end the kernel there."""
        self.shown += len(repr(msg["content"]))
        if self.shown <= self.most:
            return super().process_message(msg, cell, cell_index)
        with suppress(ProcessLookupError):  # more may be on its way when it has ended
            os.killpg(self.km.provisioner.pgid, signal.SIGKILL)
        return None


def guarded(tests: str, secret: str) -> str:
    """Tests that begin with what they rely on as it was, and end in an error with the secret.

    >>> print(guarded("assert abs(f(2) - 4) < 1e-6", "secret"))
    __import__('dgm.assignment.trusted').assignment.trusted.restore(globals(), ['abs', 'f'])
    assert abs(f(2) - 4) < 1e-6
    assert False, 'secret'  # all tests have run: the grader looks for this
    """
    names = sorted({node.id for node in ast.walk(ast.parse(tests)) if isinstance(node, ast.Name)})
    restore = f"__import__({TRUSTED!r}){TRUSTED.removeprefix('dgm')}.restore(globals(), {names})"
    end = f"assert False, {secret!r}  # all tests have run: the grader looks for this"
    return f"{restore}\n{tests}\n{end}"


def verdict(outputs: list[NotebookNode], secret: str) -> list[NotebookNode]:
    """Of what a cell of tests showed, the errors; nothing if it came to its end without one."""
    errors = [output for output in outputs if output.output_type == "error"]
    if [error.evalue for error in errors] == [secret]:
        return []
    told = [error for error in errors if error.evalue != secret]
    return told or [failure("NotRun", "the tests did not run to their end")]


def failure(name: str, message: str) -> NotebookNode:
    return new_output("error", ename=name, evalue=message, traceback=[f"{name}: {message}"])
