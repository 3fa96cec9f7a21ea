"""A course folder as nbgrader wants it, and the assignments in it."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .cells import UNSOLVED
from .chapter import ANSWERS, BOOK, read_chapter, select
from .notebooks import assignment, on_paper, with_rubrics

CONFIG = f'''\
"""How nbgrader makes and grades the assignments of this course. Yours to change."""

c = get_config()  # noqa: F821

c.ClearSolutions.code_stub = {{"python": {UNSOLVED!r}}}

# A cell of a submission that runs longer is stopped, and its exercise gets no points.
c.Execute.timeout = 60  # seconds
c.Execute.total = 600  # seconds for a whole submission; what has not run by then has failed

c.Autograde.sanitize_preprocessors = [
    "nbgrader.preprocessors.ClearOutput",
    "nbgrader.preprocessors.OverwriteKernelspec",
    "dgm.assignment.grading.Restore",  # set-up and tests as they were, each cell once
    "nbgrader.preprocessors.OverwriteCells",
    "nbgrader.preprocessors.CheckCellMetadata",
]
c.Autograde.autograde_preprocessors = [
    "dgm.assignment.grading.Execute",  # an exercise that hangs or crashes costs no other
    "nbgrader.preprocessors.LimitOutput",
    "nbgrader.preprocessors.SaveAutoGrades",
    "nbgrader.preprocessors.AssignLatePenalties",
    "nbgrader.preprocessors.CheckCellMetadata",
]
'''


def make_assignment(
    name: str,
    exercises: list[str] | None = None,
    output: Path = Path("assignments"),
    force: bool = False,
    book: Path = BOOK,
    answers: Path = ANSWERS,
) -> tuple[Path, Path]:
    """Make the assignment of a chapter in the course folder `output`.

    Args:
        name: the chapter, such as "05-vae"; it becomes the name of the assignment.
        exercises: labels or aliases, those on paper too; None takes all that have tests.
        force: make it again where it is there already. Submissions and marks are never touched.

    Returns:
        The student's notebook and the instructor's.

    Raises:
        ValueError: the chapter or an exercise is unknown.
        FileExistsError: the assignment is there already.
        RuntimeError: nbgrader is missing, or refuses; the message says why.
    """
    chapter = read_chapter(name, book)
    chosen = [e if e.tests else on_paper(e, book) for e in select(chapter, exercises)]
    folders = [Path(output, folder, name) for folder in ("source", "release", "instructor")]
    source, release, instructor = (folder / f"{name}.ipynb" for folder in folders)
    there = [str(folder) for folder in folders if folder.exists()]
    if there and not force:
        raise FileExistsError(
            f"{', '.join(there)} is already there, and nothing is overwritten. FORCE=1 makes the "
            "assignment again (submissions and marks stay); OUTPUT=... names another folder"
        )
    nbgrader = open_course(Path(output))
    notebook = assignment(chapter, chosen, book)
    refuse_other_exercises(nbgrader, name, notebook)
    write(source, notebook)
    outcome = nbgrader.generate_assignment(name)
    if not outcome["success"]:
        raise RuntimeError(f"nbgrader could not make the assignment:\n{outcome['log']}")
    write(instructor, with_rubrics(notebook, chapter, chosen, answers, book))
    return release, instructor


def open_course(folder: Path):
    """nbgrader's Python interface for a course folder, which is made if it is not there."""
    if find_spec("nbgrader") is None:
        raise RuntimeError(
            "nbgrader is not installed. `make assignment` installs it where it can; by hand: "
            "pip install 'nbgrader>=0.9.5'"
        )
    from nbgrader.apps import NbGraderAPI
    from traitlets.config import PyFileConfigLoader

    # nbgrader calls the program `alembic`, which lies beside this Python
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "nbgrader_config.py"
    if not config.exists():
        config.write_text(CONFIG, encoding="utf-8")
    settings = PyFileConfigLoader(config.name, str(folder)).load_config()
    settings.CourseDirectory.root = str(folder.resolve())
    return NbGraderAPI(config=settings)


def refuse_other_exercises(nbgrader, name: str, notebook: NotebookNode) -> None:
    """nbgrader keeps no marks for exercises that come or go: say so before anything is written."""
    from nbgrader.api import MissingEntry

    with nbgrader.gradebook as gradebook:
        try:
            known = gradebook.find_notebook(name, name)
        except MissingEntry:
            return
        new = {c.metadata.nbgrader.grade_id for c in notebook.cells if "nbgrader" in c.metadata}
        if known.submissions and new != {cell.name for cell in known.source_cells}:
            raise RuntimeError(
                f"there are marks for {name} with other exercises; choose the same as then, or "
                "another folder by OUTPUT=..."
            )


def write(path: Path, notebook: NotebookNode) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
