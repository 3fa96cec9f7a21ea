"""Sphinx extension: plots stand in the page, as SVG in the colours of the reader's theme.

Every SVG that a page shows as an image, a figure of matplotlib or a drawing, becomes part of the
page's HTML, where the style sheet reaches it. Of a figure of matplotlib (`dgm.plots.use_style`)

- the white paper goes, of the figure and of its axes; images keep theirs, which is in their pixels;
- black becomes the colour of the text around, a grey as much of it as there is black in the grey,
  and white the ground; `dgm.plots.COLORS` become var(--plot-1), var(--plot-2), ... of course.css;
- digits that no screen shows and names that nothing refers to go, a cloud of dots becomes a few
  paths and pixels become WebP, so that a page stays light.

plots.js lets readers enlarge what a narrow screen shrinks.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from io import BytesIO
from itertools import groupby
from pathlib import Path
from xml.etree import ElementTree as ET

from docutils import nodes
from PIL import Image
from sphinx.application import Sphinx

from dgm.plots import COLORS

PIXELS = 4 / 3  # in a point
LEAST_DOTS, DOTS_A_PATH = 30, 40  # dots of one path do not darken one another where they overlap
PAINTS = ("fill", "stroke")

COLOUR = re.compile(r"#[0-9a-f]{6}")
NUMBER = re.compile(r"-?\d+\.\d+(?:e-?\d+)?")
REFERENCE = re.compile(r"#([\w.-]+)")
MOVE = re.compile(r"translate\([^)]*\)")
CIRCLE = re.compile(r"M 0 (\d*\.?\d+) (C [-\d. e]+){8}z")

# ---------------------------------------------------------------- colours


def themed(colour: str) -> str:
    """What stands for a colour in the page; one that is no ink and of no palette stays.

    >>> themed("#000000"), themed("#ffffff"), themed("#332288"), themed("#fde725")
    ('currentColor', 'var(--plot-ground)', 'var(--plot-1)', '#fde725')
    >>> themed("#cccccc")
    'color-mix(in srgb, currentColor 20%, var(--plot-ground))'
    """
    if colour in COLORS:
        return f"var(--plot-{COLORS.index(colour) + 1})"
    red, green, blue = colour[1:3], colour[3:5], colour[5:7]
    if not red == green == blue:
        return colour
    share = round(100 * (1 - int(red, 16) / 255))
    if share in (0, 100):
        return "currentColor" if share else "var(--plot-ground)"
    return f"color-mix(in srgb, currentColor {share}%, var(--plot-ground))"


def style_of(element: ET.Element) -> dict[str, str]:
    pairs = (pair.partition(":") for pair in element.get("style", "").split(";") if pair.strip())
    return {name.strip(): value.strip() for name, _, value in pairs}


def restyle(element: ET.Element, style: dict[str, str]) -> None:
    element.set("style", ";".join(f"{name}:{value}" for name, value in style.items()))


# ---------------------------------------------------------------- what a page can do without


def is_paper(element: ET.Element) -> bool:
    """Whether this is the ground of a figure or of axes."""
    path = element.find("path")
    white = path is not None and style_of(path) == {"fill": "#ffffff"}
    return white and element.get("id", "").startswith("patch_")


def take_paper(root: ET.Element) -> None:
    for group in root.iter("g"):
        grounds = [e for e in group[:1] if is_paper(e)]  # axes that are off may hold nothing
        if grounds and re.fullmatch(r"(figure|axes)_\d+", group.get("id", "")):
            group.remove(grounds[0])


def shorten(numbers: str, digits: int) -> str:
    """Fewer digits after the point, and no trailing zeros.

    >>> shorten("M 0.000001 12.500000 L -0.001 7.126", 2)
    'M 0 12.5 L 0 7.13'
    """

    def short(match: re.Match) -> str:
        text = f"{float(match[0]):.{digits}f}".rstrip("0").rstrip(".")
        return "0" if text in ("-0", "") else text

    return NUMBER.sub(short, numbers)


def shorten_all(root: ET.Element) -> None:
    for element in root.iter():
        for name in ("x", "y", "width", "height"):
            if name in element.attrib:
                element.set(name, shorten(element.get(name), 2))
        if "d" in element.attrib:
            path = shorten(element.get("d"), 2)
            element.set("d", re.sub(r"\s*([A-Za-z])\s*", r"\1", " ".join(path.split())))
        if "transform" in element.attrib:  # scales need their digits
            moved = MOVE.sub(lambda m: shorten(m[0], 2), element.get("transform"))
            element.set("transform", moved)
        for space in ("text", "tail"):
            if element.tag != "text" and not (getattr(element, space) or "").strip():
                setattr(element, space, None)


def rename(root: ET.Element, prefix: str) -> None:
    """Names that are referred to become short and the figure's own; the others go."""
    values = [value for element in root.iter() for value in element.attrib.values()]
    wanted = {name for value in values if "#" in value for name in REFERENCE.findall(value)}
    known = [e.get("id") for e in root.iter() if e.get("id") in wanted]
    short = {name: f"{prefix}{i}" for i, name in enumerate(dict.fromkeys(known))}
    for element in root.iter():
        for name, value in list(element.attrib.items()):
            if name == "id":
                element.attrib.pop(name)
                if value in short:
                    element.set(name, short[value])
            elif name == "href" or "url(#" in value:
                element.set(name, REFERENCE.sub(lambda m: "#" + short.get(m[1], m[1]), value))


def smaller(address: str) -> str:
    """The same pixels as WebP, if that makes a shorter `data:` address."""
    webp = BytesIO()
    png = Image.open(BytesIO(b64decode(address.partition(",")[2])))
    png.save(webp, "WEBP", lossless=True, exact=True)
    as_webp = "data:image/webp;base64," + b64encode(webp.getvalue()).decode()
    return min(address, as_webp, key=len)


# ---------------------------------------------------------------- clouds of dots


def dots(uses: list[ET.Element], radius: float, style: dict[str, str]) -> list[ET.Element]:
    """Paths of lines without length, whose round ends are the dots."""
    look = {"fill": "none", "stroke": style["fill"], "stroke-linecap": "round"}
    if style.get("stroke", "none") != "none":  # an edge of the same colour
        radius += float(style.get("stroke-width", 1)) / 2
    look["stroke-width"] = shorten(f"{2 * radius:f}", 2)
    see_through = style.get("fill-opacity") or style.get("opacity")
    if see_through:
        look["stroke-opacity"] = see_through
    size = DOTS_A_PATH if see_through else len(uses)
    paths = []
    for start in range(0, len(uses), size):
        places = [(float(u.get("x")), float(u.get("y"))) for u in uses[start : start + size]]
        path = ET.Element("path", d="".join(shorten(f"M{x:f} {y:f}h0", 1) for x, y in places))
        restyle(path, look)
        paths.append(path)
    return paths


def gather_dots(root: ET.Element) -> None:
    """In place of many uses of one round marker, dots."""
    circles = {}
    for path in root.iter("path"):
        round_marker = CIRCLE.fullmatch(" ".join(path.get("d", "").split()))
        if round_marker and path.get("id"):
            circles["#" + path.get("id")] = float(round_marker[1])
    for group in root.iter("g"):
        children = []
        for (marker, _), run in groupby(list(group), lambda e: (e.get("href"), e.get("style"))):
            alike = list(run)
            style = style_of(alike[0])
            full = style.get("fill", "none") != "none"
            one_colour = style.get("stroke", "none") in ("none", style.get("fill"))
            if marker in circles and full and one_colour and len(alike) >= LEAST_DOTS:
                alike = dots(alike, circles[marker], style)
            children += alike
        group[:] = children


# ---------------------------------------------------------------- into the page


def parse(svg: str) -> ET.Element:
    """The tree, its names without their name spaces, which HTML knows by itself."""
    root = ET.fromstring(svg)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        for name in list(element.attrib):
            if "}" in name:
                element.set(name.rpartition("}")[2], element.attrib.pop(name))
    return root


def plot(root: ET.Element, prefix: str) -> None:
    """A figure of matplotlib, made ready for the page."""
    for unwanted in ("metadata", "defs/style"):
        parent = root.find(unwanted.rpartition("/")[0] or ".")
        found = root.find(unwanted)
        if found is not None:
            parent.remove(found)
    take_paper(root)
    gather_dots(root)
    for element in root.iter():
        paints = {name: element.attrib.pop(name) for name in PAINTS if name in element.attrib}
        style = paints | style_of(element)  # attributes in hatches, a style elsewhere
        for name in PAINTS:
            if COLOUR.fullmatch(style.get(name, "")):
                style[name] = themed(style[name])
        if style:
            restyle(element, style)
        if element.tag == "image":
            element.set("href", smaller("".join(element.get("href").split())))
    rename(root, prefix)
    shorten_all(root)
    root.set("fill", "currentColor")  # where matplotlib says nothing, which is black
    root.set("stroke-linejoin", "round")  # its style sheet, which would be the whole page's


def inline(svg: str, alt: str, prefix: str) -> str:
    """An SVG file as an element of a page, scaled down where it is too wide."""
    root = parse(svg)
    if "viewBox" not in root.attrib:
        raise ValueError(f"svg: got no viewBox ({alt!r}), expected one, by which it scales")
    _, _, width, height = map(float, root.get("viewBox").split())
    if root.find(".//g[@id='figure_1']") is not None:
        plot(root, prefix)
        width, height = PIXELS * width, PIXELS * height
    for name in ("version", "aria-labelledby"):
        root.attrib.pop(name, None)
    root.attrib.update(
        {"class": f"plot {root.get('class', '')}".strip(), "role": "img", "aria-label": alt}
        | {"width": f"{width:.0f}", "height": f"{height:.0f}"}
    )
    return ET.tostring(root, encoding="unicode")


def put_inline(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    if app.builder.format != "html":
        return
    images = [i for i in doctree.findall(nodes.image) if i["uri"].endswith(".svg")]
    for number, image in enumerate(images, 1):
        svg = Path(app.srcdir, image["uri"]).read_text(encoding="utf-8")
        html = inline(svg, image.get("alt", ""), f"p{number}-")
        image.replace_self(nodes.raw("", html, format="html"))


def setup(app: Sphinx) -> dict:
    app.add_js_file("plots.js", loading_method="defer")
    app.connect("doctree-resolved", put_inline)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
