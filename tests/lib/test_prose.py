"""The course's prose as a text: what is taken from a chapter, and the file that was written."""

import json

from dgm.reproduce import prose

CELLS = [
    ("markdown", "# A title that is long enough to be a paragraph, but is a title all the same\n"),
    (
        "markdown",
        "A *model* has a density $p(x)$, see [the chapter](03-elbo.ipynb), and {eval}`n` nats.\n",
    ),
    ("markdown", "Too short.\n"),
    (
        "code",
        "A = 1  # a line of code that begins with a capital and is rather long, longer than 60",
    ),
]


def write(folder, name, cells=CELLS):
    cells = [{"cell_type": kind, "source": [source]} for kind, source in cells]
    (folder / name).write_text(json.dumps({"cells": cells}), encoding="utf-8")


def test_paragraphs_are_plain_words(tmp_path):
    for name in ("01-a.ipynb", "09-b.ipynb"):  # the second one is not read
        write(tmp_path, name)
    assert prose.collect(tmp_path) == "a model has a density , see the chapter , and nats.\n"


def test_the_text_is_there_for_whoever_has_the_book():
    text = prose.prose()
    assert 80_000 < len(text) < 300_000 and "\n" not in text
    assert set(text) <= set("abcdefghijklmnopqrstuvwxyz .,;:?'-")
