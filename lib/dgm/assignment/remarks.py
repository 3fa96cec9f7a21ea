"""What is odd about a submission, for the file of marks: a 0 should not look like one."""

import ast
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .cells import grade_id, kind
from .supervise import Failed


def read(folder: Path, name: str) -> NotebookNode:
    """The notebook of a submission.

    Raises:
        Failed: it is not there, is a link, or is no notebook.
    """
    path = Path(folder, f"{name}.ipynb")
    if path.is_symlink():  # to another's notebook, or to the solutions
        raise Failed(f"{path.name} is a link, not a file")
    if not path.is_file():
        others = sorted(file.name for file in folder.iterdir())
        raise Failed(f"{path.name} is not there; handed in: {', '.join(others) or 'nothing'}")
    try:
        return nbformat.read(path, as_version=4)
    except Exception as error:  # whatever its JSON holds
        raise Failed(f"{path.name} is no notebook ({type(error).__name__})") from None


def remarks(assignment: NotebookNode, handed_in: NotebookNode) -> list[str]:
    """What keeps answers from being found where the assignment has their cells.

    Args:
        assignment: with all its cells.
        handed_in: a student's.

    >>> from nbformat.v4 import new_code_cell, new_notebook
    >>> answer = {"nbgrader": {"grade_id": "one-solution", "solution": True}}
    >>> cell = new_code_cell("def f(x):\\n    return x", metadata=answer)
    >>> remarks(new_notebook(cells=[cell]), new_notebook(cells=[new_code_cell("f = abs")]))
    ["no cell is the assignment's: all metadata are gone, and no answer counts"]
    """
    there = {grade_id(cell.metadata) for cell in handed_in.cells} - {None}
    wanted = [cell for cell in assignment.cells if grade_id(cell.metadata)]
    if there.isdisjoint(grade_id(cell.metadata) for cell in wanted):
        return ["no cell is the assignment's: all metadata are gone, and no answer counts"]
    missing = [
        cell
        for cell in wanted
        if kind(cell.metadata) == "solution" and grade_id(cell.metadata) not in there
    ]
    return [lost(cell, handed_in) for cell in missing]


def lost(answer: NotebookNode, handed_in: NotebookNode) -> str:
    """Where the answer of a cell that is missing seems to be."""
    wanted, name = defined(answer), grade_id(answer.metadata)
    for k, cell in enumerate(handed_in.cells, 1):
        if wanted & defined(cell):
            return f"the cell {name} is gone; cell {k} seems to hold its answer"
    return f"the cell {name} is gone"


def defined(cell: NotebookNode) -> set[str]:
    """The functions and classes that a cell defines."""
    try:
        body = ast.parse(cell.source).body if cell.cell_type == "code" else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    return {n.name for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
