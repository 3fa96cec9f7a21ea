"""The course's own prose, a text for the chapter on autoregressive models to learn from.

It is a file among the records, so that a changed word in a chapter changes no other chapter's
numbers. `python -m dgm.reproduce.prose` collects it anew.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from .records import COMMITTED

FILE = COMMITTED / "text" / "prose.txt"
CHAPTERS = "0[1-8]-*.ipynb"
MARKUP = r"\$[^$]*\$|\{[^}]*\}`[^`]*`|`[^`]*`|\]\([^)]*\)"  # formulas, roles, code, links


def prose() -> str:
    """The text: lower case, without formulas, on one line.

    >>> set(prose()) <= set("abcdefghijklmnopqrstuvwxyz .,;:?'-")
    True
    """
    return " ".join(FILE.read_text(encoding="utf-8").split())


def collect(book: Path) -> str:
    """The same from the chapters as they are, a line for each of their paragraphs."""
    return "".join(f"{line}\n" for path in sorted(book.glob(CHAPTERS)) for line in paragraphs(path))


def paragraphs(chapter: Path) -> Iterator[str]:
    """The paragraphs of a notebook's Markdown, as plain words."""
    for cell in json.loads(chapter.read_text(encoding="utf-8"))["cells"]:
        for line in "".join(cell["source"]).splitlines():
            if cell["cell_type"] == "markdown" and re.match("[A-Z*].{60}", line):
                line = re.sub(MARKUP, " ", line).lower()
                yield " ".join(re.sub(r"[^a-z .,;:?'-]", "", line).split())


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(collect(COMMITTED.parent), encoding="utf-8")
    print(f"{FILE}: {len(prose()):,} characters")
