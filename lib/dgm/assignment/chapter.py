"""Reading a chapter: its set-up and its exercises."""

from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from .cells import blocks, kind, label

BOOK = Path("book")  # commands run in the root of the repository
ANSWERS = Path("tests/exercises")  # answers whose verdict is known
MINUTES = {1: 15, 2: 30, 3: 60}  # what an exercise of so many stars takes: an estimate


@dataclass(frozen=True)
class Exercise:
    """An exercise of a chapter. One on paper has no tests, and an answer cell in an assignment."""

    label: str  # as in references: "va-loss"
    alias: str  # by position, those on paper counted: "vae-1"
    title: str
    stars: int
    text: str  # MyST Markdown
    solution: str  # the book's in words, MyST Markdown, or nothing
    answer: NotebookNode | None
    tests: tuple[NotebookNode, ...]  # one cell, or one for each part

    @property
    def marks(self) -> list[int]:
        """The points of each part."""
        cells = [self.answer, *self.tests] if self.answer else []
        return [c.metadata.nbgrader.points for c in cells if c.metadata.nbgrader.get("points")]

    @property
    def points(self) -> int:
        return sum(self.marks)

    @property
    def worth(self) -> str:
        """The points as a table shows them: "2", or "3 (1 + 2)" for one marked in parts."""
        parts = f" ({' + '.join(map(str, self.marks))})" if len(self.tests) > 1 else ""
        return f"{self.points}{parts}"

    @property
    def minutes(self) -> int:
        return MINUTES[self.stars]


@dataclass(frozen=True)
class Chapter:
    name: str  # "05-vae"
    title: str
    setup: str  # the source of the cells tagged `setup`, all that exercises may use
    exercises: list[Exercise]
    metadata: dict  # of the notebook: its kernel


def chapters(book: Path = BOOK) -> list[str]:
    """The names of the chapters, in the order of reading."""
    return sorted(path.stem for path in Path(book).glob("[0-9][0-9]-*.ipynb"))


def read_chapter(name: str, book: Path = BOOK) -> Chapter:
    """Read a chapter of the book.

    Raises:
        ValueError: there is no such chapter.
    """
    if name not in chapters(book):
        expected = ", ".join(chapters(book)) or f"chapters in {Path(book).resolve()}, none is there"
        raise ValueError(f"chapter: got {name!r}, expected one of {expected}")
    notebook = nbformat.read(Path(book, f"{name}.ipynb"), as_version=4)
    setup = [c.source for c in notebook.cells if "setup" in c.metadata.get("tags", [])]
    texts = [c.source for c in notebook.cells if c.cell_type == "markdown"]
    graded = [c for c in notebook.cells if kind(c.metadata)]
    solutions = {block.title: block.body for text in texts for block in blocks(text, "solution")}
    exercises = []
    for block in (block for text in texts for block in blocks(text, "exercise")):
        title, _, difficulty = block.title.rpartition(" (")
        own, position = block.options["label"], len(exercises) + 1
        cells = [c for c in graded if label(c.metadata) == own]
        exercises.append(
            Exercise(
                label=own,
                alias=f"{name.partition('-')[2]}-{position}",
                title=title,
                stars=difficulty.count("★"),
                text=block.body,
                solution=solutions.get(own, ""),
                answer=next((c for c in cells if kind(c.metadata) == "solution"), None),
                tests=tuple(c for c in cells if kind(c.metadata) == "tests"),
            )
        )
    title = texts[0].split("\n")[0].removeprefix("# ")
    return Chapter(name, title, "\n\n".join(setup), exercises, dict(notebook.metadata))


def select(chapter: Chapter, names: list[str] | None = None) -> list[Exercise]:
    """The exercises of these labels or aliases; without names, all that have tests.

    Raises:
        ValueError: a name is unknown.
    """
    if names is None:
        return [e for e in chapter.exercises if e.answer and e.tests]
    known = {name: e for e in chapter.exercises for name in (e.label, e.alias)}
    for name in names:
        if name not in known:
            table = "".join(f"\n  {e.alias}, {e.label}: {e.title}" for e in chapter.exercises)
            raise ValueError(f"exercises: got {name!r}, expected some of{table}")
    return [e for e in chapter.exercises if e in [known[name] for name in names]]


def mistakes(chapter: str, label: str, answers: Path = ANSWERS) -> list[Path]:
    """Wrong answers to an exercise; a file's name says what is wrong (see `in_words`)."""
    files = sorted(Path(answers, chapter).glob(f"{label}-solution__*.py"))
    return [path for path in files if not in_words(path).startswith("correct")]


def alternatives(chapter: str, label: str, answers: Path = ANSWERS) -> list[Path]:
    """Correct answers to an exercise that go another way than the chapter's."""
    return sorted(Path(answers, chapter).glob(f"{label}-solution__correct*.py"))


def in_words(answer: Path) -> str:
    """
    >>> in_words(Path("va-sigma-solution__mean_over_channels.py"))
    'mean over channels'
    """
    return answer.stem.partition("__")[2].replace("_", " ")
