"""The map of the course against what each chapter says it needs, in its box "Before you start"."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import source_checks as checks
from places import BOOK

CHAPTERS = {path.name[:2]: path for path in sorted(BOOK.glob("[0-9]*.ipynb"))}
PAGES = {"preliminaries": BOOK / "preliminaries.ipynb", **CHAPTERS}
every_chapter = pytest.mark.parametrize("chapter", CHAPTERS)
Edge = tuple[str, str]


# ---------------------------------------------------------------- what the map draws


def edges(svg: str, part: bool | None = None) -> set[Edge]:
    """The arrows (from, to); with `part`, only the dashed ones, or only the others."""
    drawn = re.findall(r'data-edge="(\S+) (\S+)"><path class="edge( part)?"', svg)
    return {(a, b) for a, b, dashed in drawn if part is None or bool(dashed) == part}


def ahead(chapter: str, solid: set[Edge]) -> set[str]:
    """All that has to be read before it: the arrows that are not dashed, followed backwards."""
    direct = {a for a, b in solid if b == chapter}
    return direct.union(*(ahead(earlier, solid) for earlier in direct))


def ends(svg: str) -> dict[Edge, tuple[str, str]]:
    """Between which boxes each arrow runs in the drawing: those its line and its tip touch."""
    boxes = {
        name: tuple(map(int, numbers))
        for name, *numbers in re.findall(
            r'id="map-(\S+)"><a href="\S+"><rect x="(\d+)" y="(\d+)" width="(\d+)" height="(\d+)"',
            svg,
        )
    }

    def box(x: float, y: float) -> str:
        at = [n for n, (a, b, w, h) in boxes.items() if a <= x <= a + w and b <= y <= b + h]
        return at[0] if len(at) == 1 else "nothing"

    arrow = r'data-edge="(\S+) (\S+)"><path class="[\w ]+" d="M(\S+) (\S+) .*?(\S+) (\S+)"/></g>'
    return {
        (a, b): (box(float(x), float(y)), box(float(tip_x), float(tip_y)))
        for a, b, x, y, tip_x, tip_y in re.findall(arrow, svg)
    }


MAP = (BOOK / "_assets" / "course-map.svg").read_text(encoding="utf-8")
SOLID = edges(MAP, part=False)


# ---------------------------------------------------------------- what the chapters say


def stated(path: Path) -> set[str]:
    """The pages to which "You need" links, and those that define the equations it names."""
    box = next(text for text in checks.markdown_texts(path) if "before-you-start" in text)
    needs = re.search(r"\*\*You need\*\*(.*?)\n\n", box, re.S)[1]
    files = re.findall(r"\(([\w-]+\.ipynb)", needs)
    equations = re.findall(r"\{eq\}`([\w-]+)`", needs)
    linked = {name for name, page in PAGES.items() if page.name in files}
    return linked | {n for n, page in PAGES.items() if any(e in labels(page) for e in equations)}


def labels(path: Path) -> set[str]:
    texts = checks.markdown_texts(path)
    return {display.label for text in texts for display in checks.displays(text)}


# ---------------------------------------------------------------- one against the other


@every_chapter
def test_the_map_has_all_that_a_chapter_says_it_needs(chapter):
    beside = {a for a, b in edges(MAP, part=True) if b == chapter}  # one section of it
    assert stated(CHAPTERS[chapter]) <= ahead(chapter, SOLID) | beside | {"preliminaries"}


@every_chapter
def test_every_arrow_is_a_need_that_the_chapter_states(chapter):
    """Where it names no chapter, only the preliminaries come before it."""
    drawn = {a for a, b in edges(MAP) if b == chapter}
    needs = stated(CHAPTERS[chapter]) - {"preliminaries"}
    assert drawn
    assert drawn <= needs or (not needs and drawn == {"preliminaries"})


def test_no_arrow_repeats_what_others_say():
    for a, b in edges(MAP):
        assert a not in ahead(b, SOLID - {(a, b)}), f"{a} comes before {b} without this arrow"


def test_every_arrow_runs_between_its_boxes():
    assert ends(MAP) == {edge: edge for edge in edges(MAP)}


def test_the_instructors_graph_has_the_same_arrows():
    theirs = (BOOK / "_assets" / "prerequisites.svg").read_text(encoding="utf-8")
    for part in (True, False):
        assert edges(theirs, part) == edges(MAP, part)


# ---------------------------------------------------------------- the description in words


def spoken(text: str) -> set[Edge]:
    """The arrows of sentences such as "From 1 to 3, The ELBO; and 8, Adversarial networks."."""
    pairs = set()
    for a, after in re.findall(r"From (\d+|the preliminaries) ([^.]*)\.", text):
        name = f"{int(a):02}" if a.isdigit() else "preliminaries"
        pairs |= {(name, f"{int(b):02}") for b in re.findall(r"\d+", after)}
    return pairs


def test_who_cannot_see_the_map_is_told_the_same_arrows():
    assert spoken(re.search(r"<desc.*?>(.*)</desc>", MAP)[1]) == edges(MAP)


@pytest.mark.parametrize("name", ["course-map", "prerequisites"])
def test_the_links_of_a_map_are_links_for_everybody(name):
    """What lies in a picture (`role="img"`) is hidden from who does not see it."""
    svg = (BOOK / "_assets" / f"{name}.svg").read_text(encoding="utf-8")
    assert "<a href=" in svg and 'role="img"' not in svg
    head = svg.split("\n")[0]
    named = dict(re.findall(r'(aria-labelledby|aria-describedby)="([\w-]+)"', head))
    assert named.keys() == {"aria-labelledby", "aria-describedby"}
    assert all(f'id="{label}"' in svg for label in named.values())


def test_the_names_are_the_pages():
    linked = dict(re.findall(r'id="map-(\S+)"><a href="(\S+)\.html"', MAP))
    assert linked == {name: path.stem for name, path in PAGES.items()}
