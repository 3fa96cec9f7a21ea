"""An exercise's text as a notebook anywhere can show it: plain Markdown that stands alone.

In the book references are links. Here an equation that the text refers to is printed below it, a
figure is named by its caption, and citations are left to the book.
"""

import re
from functools import cache
from pathlib import Path

import nbformat

from .chapter import BOOK, Exercise

DISPLAY = re.compile(r"\$\$(.+?)\$\$(?: \(((?:eq|def)-[\w-]+)\))?", re.S)
ROLE = re.compile(r"( ?)\{([\w:]+)\}`([^`<]*?)(?: ?<[^`]*>)?`")
LINK = re.compile(r"\[([^\]]+)\]\([\w./-]+\.(?:ipynb|md)(?:#[\w-]*)?\)")


@cache
def labelled(book: Path) -> dict[str, str]:
    """What labels stand for: an equation's LaTeX, the first sentence of a figure's caption."""
    found = {}
    for path in sorted(book.glob("*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            figure = cell.metadata.get("mystnb", {}).get("figure", {})
            if "name" in figure:
                found[figure["name"]] = figure["caption"].split(". ")[0].rstrip(".")
            if cell.cell_type == "markdown":
                found |= {k: latex.rstrip("\n .,") for latex, k in DISPLAY.findall(cell.source)}
    return found


def tag(label: str) -> str:
    return label.partition("-")[2]


def display(latex: str, label: str) -> str:
    number = rf" \tag{{{tag(label)}}}" if label else ""
    return f"$$\n{latex.strip()}{number}\n$$"


def statement(exercise: Exercise, book: Path = BOOK) -> str:
    """The title and the text of an exercise, with the equations that it refers to."""
    text = standing_alone(exercise.text, book)
    return f"## {exercise.title} ({'★' * exercise.stars})\n\n{text}"


def standing_alone(text: str, book: Path) -> str:
    """A text of the book in plain Markdown, with the equations that it refers to."""
    known, quoted = labelled(Path(book)), []

    def role(match: re.Match) -> str:
        space, name, text = match.groups()
        if name == "eq":
            quoted.append(text)
            return f"{space}({tag(text)})"
        if name == "numref":
            return f"{space}the figure “{known[text]}”"
        return "" if name.startswith("cite") else space + text

    own = {label for _, label in DISPLAY.findall(text)}
    text = DISPLAY.sub(lambda match: display(*match.groups()), text)
    text = LINK.sub(r"\1", ROLE.sub(role, text))
    equations = [
        display(known[label], label) for label in dict.fromkeys(quoted) if label not in own
    ]
    below = ["From the book:", *equations] if equations else []
    return "\n\n".join([text, *below])
