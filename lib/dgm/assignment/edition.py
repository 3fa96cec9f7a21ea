"""A chapter for readers: exercises to solve in place, their solutions behind a disclosure.

The chapter in book/ is the source, and a tracked file. Its reader's edition has stubs for answers,
the tests that readers may see (they say what they found and stop nothing), captions below figures,
and a last cell that counts the exercises that pass. `make lab` puts one of every chapter into
work/, once, and never over a file that is there; the site's download and Colab serve the same.
"""

import hashlib
import json
import re
import sys
import textwrap
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from .cells import (
    UNSOLVED,
    blocks,
    kind,
    label,
    parts,
    strip,
    unsolved,
    without_blocks,
    without_claims,
)
from .chapter import BOOK

HINT = f"""\
:::{{note}} Your copy
This is the reader's edition of the chapter: change what you like. An exercise is solved where its \
cell says `{UNSOLVED}`. The tests below it say what they find, and the last cell of the notebook \
counts what passes.
:::"""
COUNT = "## Your exercises\n\nRun this cell to see which exercises pass their tests."
IMPORT = "from dgm.notebook import exercise, exercises"
WORK = Path("work")
CLAIM = re.compile(r"\s*\{claim\}`\w+`")  # what is claimed of this very run, readers may change


def edition(chapter: NotebookNode, solutions: bool = True) -> NotebookNode:
    """The reader's edition of a chapter's notebook, without outputs.

    Args:
        chapter: the notebook as it stands in book/.
        solutions: False leaves them out, as in a site that is built with SOLUTIONS=0.
    """
    hidden = ["instructor"] if solutions else ["instructor", "solution"]
    titles = {
        block.options["label"]: block.title
        for cell in chapter.cells
        if cell.cell_type == "markdown"
        for block in blocks(cell.source, "exercise")
    }
    part = parts(cell.metadata for cell in chapter.cells)
    cells = []
    for cell in chapter.cells:
        what, figure = kind(cell.metadata), cell.metadata.get("mystnb", {}).get("figure")
        if cell.cell_type == "markdown":
            text = CLAIM.sub("", without_blocks(cell.source, hidden))
            cells.append(new_markdown_cell(text, id=cell.id))
        elif what == "solution":
            cells.append(new_code_cell(strip(unsolved(cell.source)), id=cell.id))
            if solutions:
                answer = disclosed(strip(cell.source))
                cells.append(new_markdown_cell(answer, id=f"{cell.id}-solution"))
        elif what == "tests":
            title = without_stars(titles[label(cell.metadata)])
            title += part[cell.metadata.nbgrader.grade_id]
            cells.append(new_code_cell(tested(title, strip(cell.source)), id=cell.id))
        else:
            cells.append(new_code_cell(without_claims(cell.source), id=cell.id))
        if figure:
            cells.append(new_markdown_cell(caption(figure), id=f"{cell.id}-caption"))
    if titles:
        cells[1:1] = [new_markdown_cell(HINT, id="hint"), new_code_cell(IMPORT, id="import")]
        cells += [new_markdown_cell(COUNT, id="count"), new_code_cell("exercises()", id="counted")]
    return new_notebook(cells=cells, metadata=dict(chapter.metadata))


def disclosed(solution: str) -> str:
    """A solution that shows when it is asked for, in Markdown that every notebook knows."""
    return f"<details><summary>A solution</summary>\n\n```python\n{solution}\n```\n\n</details>"


def without_stars(title: str) -> str:
    """
    >>> without_stars("Twice (★)")
    'Twice'
    """
    return re.sub(r" \([^()]*\)$", "", title)


def tested(title: str, tests: str) -> str:
    """The tests of an exercise, or of a part, in a block that says what they found.

    >>> print(tested("Twice, part 2", "assert twice(1) == 2"))
    with exercise("Twice, part 2"):
        assert twice(1) == 2
    """
    name = json.dumps(title, ensure_ascii=False)
    return f"with exercise({name}):\n" + textwrap.indent(tests, "    ")


def caption(figure: dict) -> str:
    """A figure's caption, which notebooks keep where no reader sees it, with the figure's label."""
    label = f"({figure['name']})=\n" if "name" in figure else ""
    return f"{label}**Figure.** {figure['caption']}"


# ---------------------------------------------------------------- at a desk


def place(folder: Path = WORK, book: Path = BOOK) -> list[str]:
    """Put the reader's edition of every chapter into a folder; what is there is left as it is.

    A chapter that has changed since its copy was made is put beside the copy.

    Returns:
        What a reader should know, a line for each such chapter.
    """
    folder, said = Path(folder), []
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(Path(book).glob("*.ipynb")):
        made = edition(nbformat.read(source, as_version=4))
        for cell in made.cells:
            cell.source = LOCAL.sub(rf"\g<1>../{Path(book).name}/", cell.source)
        made.metadata["edition"] = name = digest(made)
        mine = folder / source.name
        if not mine.exists():
            nbformat.write(made, mine)
        elif f'"edition": "{name}"' not in mine.read_text(encoding="utf-8"):
            beside = mine.with_suffix(f".{name}.ipynb")
            if not beside.exists():
                nbformat.write(made, beside)
            said.append(f"{source.stem} has changed since {mine} was made: see {beside}")
    return said


# Pages and pictures stay where they are; the other chapters lie beside this one.
LOCAL = re.compile(r"(\]\(|^`{3}\{figure\} )(?=[\w/-]+\.(?:md|svg|png)\b)", re.M)


def digest(notebook: NotebookNode) -> str:
    """What tells two editions apart: a hash of the text of their cells."""
    text = repr([(cell.cell_type, cell.source) for cell in notebook.cells])
    return hashlib.sha256(text.encode()).hexdigest()[:8]


if __name__ == "__main__":
    for line in place():
        print(line, file=sys.stderr)
