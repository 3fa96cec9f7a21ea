"""How submissions are graded: two steps that nbgrader's own lack. They need nbgrader.

`nbgrader_config.py` puts them in the place of nbgrader's, so that `nbgrader autograde` uses them.
"""

import ast
import secrets
from pathlib import Path

import nbformat
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from nbformat import NotebookNode
from nbformat.v4 import new_output
from nbgrader import preprocessors
from traitlets import Bool, Dict, List, Unicode

from .cells import kind

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
        fresh = [c for c in nbformat.read(path, as_version=4).cells if grade_id(c)]
        wanted = [grade_id(cell) for cell in fresh]
        nb = nbformat.v4.upgrade(nb)  # older notebooks, such as Colab's, have no ids of cells
        handed_in, added, own = {}, {}, []
        for cell in nb.cells:
            name = grade_id(cell)
            if name in wanted and name not in handed_in:
                handed_in[name] = cell
                added[name] = own
                own = []
            else:
                cell.metadata.pop("nbgrader", None)
                own.append(cell)
        nb.cells = []
        for cell in fresh:
            name = grade_id(cell)
            nb.cells += added.get(name, [])
            if kind(cell.metadata) != "solution":
                nb.cells.append(cell)
            elif name in handed_in:
                cell.source = handed_in[name].source
                nb.cells.append(cell)
        nb.cells += own
        return nb, resources


def grade_id(cell: NotebookNode) -> str | None:
    """What nbgrader knows a cell by; None for one that is not its own."""
    metadata = cell.metadata.get("nbgrader")
    return metadata.get("grade_id") if isinstance(metadata, dict) else None


class Execute(preprocessors.Execute):
    """Runs a submission so that a cell that hangs or kills its kernel costs its own exercise only.

    nbgrader would interrupt a cell that runs too long, which a program can ignore, and lose the
    whole submission with its kernel. Here the notebook runs once more in a new kernel, without that
    cell. `c.Execute.timeout` in nbgrader_config.py is the limit in seconds for a cell; the set-up
    has none.

    A cell of tests passes if it comes to its end and shows that by an error that only the grader
    knows. nbgrader asks for no error, which an answer has that lets no test run, and takes a value
    that is shown before an error for marks.
    """

    interrupt_on_timeout = Bool(False)
    error_on_timeout = Dict(None, allow_none=True)
    shutdown_kernel = Unicode("immediate")
    extra_arguments = List(
        [
            "--IPKernelApp.ignore_cwd=True",  # a handed-in torch.py is not torch
            # before any cell; `exit` would end the kernel after the cell, and the next exercise
            # with it: Python's own raises
            f"--IPKernelApp.exec_lines=del exit, quit; import {TRUSTED}; del dgm",
        ]
    )

    def preprocess(self, nb: NotebookNode, resources: dict, km=None) -> tuple[NotebookNode, dict]:
        self.broken = {}  # by index, what went wrong
        self.timeout_func = lambda cell: None if grade_id(cell) == "setup" else self.timeout
        while True:
            try:
                return super().preprocess(nb, resources, km)
            except (CellTimeoutError, DeadKernelError):
                continue  # without the cell that did it

    def preprocess_cell(self, cell: NotebookNode, resources: dict, index: int):
        if index in self.broken:
            cell.outputs = [self.broken[index]]
            return cell, resources
        tests, source, secret = kind(cell.metadata) == "tests", cell.source, secrets.token_hex()
        if tests:
            cell.source = guarded(source, secret)
        try:
            cell, resources = super().preprocess_cell(cell, resources, index)
        except CellTimeoutError:
            self.broken[index] = failure("TimeLimit", f"stopped after {self.timeout} seconds")
            raise
        except DeadKernelError:
            self.broken[index] = failure("Crash", "Python itself ended while this cell ran")
            raise
        finally:
            cell.source = source
        if tests:
            cell.outputs = verdict(cell.outputs, secret)
        return cell, resources


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
