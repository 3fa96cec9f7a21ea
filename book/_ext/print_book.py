"""`make pdf`: the built site as one file for paper, made by Chromium.

The pages, in the order of the table of contents, become one document (print_book.js). MathJax sets
their formulas once more, in fonts: drawn as shapes, as on the site, they would make the file
several times as large. It is printed twice, as browsers do not know on which page a heading will
be: the first print tells. Bookmarks are added to the second; Chromium itself makes them only
together with a description of every word for screen readers, three times the size of all the rest.
"""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import util
from io import BytesIO
from pathlib import Path
from urllib.parse import urlsplit

import chromium
import numpy as np
import yaml
from pikepdf import Dictionary, Name, ObjectStreamMode, OutlineItem, Page, Pdf, Stream, settings
from PIL import Image
from playwright.sync_api import Browser, Route, sync_playwright
from playwright.sync_api import Page as Tab

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
ADDRESS = "http://book.invalid/"  # never asked: `serve` answers
MATHJAX = "mml-chtml.js"
LEVELS = ("part", "chapter", "section")
MANY_COLOURS = 4096  # no plot or drawing has so many
COLUMN = 650  # pixels between the margins of A4, as in print.js

HEAD = re.compile(
    r'<link [^>]*rel="stylesheet"[^>]*>'
    r'|<script [^>]*src="[^"]*print\.js[^>]*></script>',
    re.DOTALL,
)
EMPTY = """<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<title>{title}</title>{head}<style>{style}</style></head><body><div class="bd-main">
<div class="bd-content"><div class="bd-article-container"><article class="bd-article"></article>
</div></div></div></body></html>"""

# The site's pictures of formulas make room for the MathML beside them, which MathJax reads.
FORMULAS = """() => {
  for (const each of document.querySelectorAll("mjx-container"))
    each.replaceWith(each.querySelector("math"));
  window.MathJax = { options: { enableMenu: false } };
}"""
# MathML for screen readers tells the letters of formulas in headings; on paper it only takes space.
ENTRIES = """() => {
  const lines = [...document.querySelectorAll(".book-contents p")];
  const entries = lines.map((line) => {
    const link = line.querySelector("a");
    return [line.className, link.textContent, link.getAttribute("href").slice(1)];
  });
  document.querySelectorAll("mjx-assistive-mml").forEach((each) => each.remove());
  dispatchEvent(new Event("beforeprint"));
  return entries;
}"""
WIDTH = "document.documentElement.scrollWidth"
NUMBER = """(numbers) => document.querySelectorAll(".book-contents .page")
  .forEach((place, i) => (place.textContent = numbers[i]))"""


def parts_of(toc: Path) -> list[tuple[str, list[str]]]:
    """The parts of the book, each with its caption and the names of its pages."""
    contents = yaml.safe_load(toc.read_text(encoding="utf-8"))
    parts = [("", [contents["root"]])]
    for part in contents["parts"]:
        parts.append((part["caption"], [chapter["file"] for chapter in part["chapters"]]))
    return parts


def empty_page(site: Path) -> str:
    """A page of the site without content, with the style sheets of the others."""
    index = (site / "index.html").read_text(encoding="utf-8")
    title = re.search(r"<title>(?:.*&#8212; )?(.*?)</title>", index)[1]
    style = (HERE / "print_book.css").read_text(encoding="utf-8")
    return EMPTY.format(title=title, head="".join(HEAD.findall(index)), style=style)


def serve(site: Path, route: Route) -> None:
    """Answer the browser with a file of the site, or one of MathJax."""
    mathjax = Path(*util.find_spec("sphinx-mathjax-offline").submodule_search_locations)
    path = urlsplit(route.request.url).path.lstrip("/")
    if path == "":
        route.fulfill(body=empty_page(site), content_type="text/html")
    elif path.startswith("mathjax/"):
        route.fulfill(path=mathjax / "static" / path)
    elif (site / path).is_file():
        route.fulfill(path=site / path)
    else:
        route.fulfill(status=404)


def as_pdf(tab: Tab) -> Pdf:
    return Pdf.open(BytesIO(tab.pdf(format="A4", print_background=True)))


def pages_of(pdf: Pdf, anchors: list[str]) -> list[int]:
    """On which page each anchor is, from 0."""
    return [Page(pdf.Root.Dests[f"/{anchor}"][0]).index for anchor in anchors]


def add_bookmarks(pdf: Pdf, entries: list[tuple[str, str]], pages: list[int]) -> None:
    latest = {}  # of each level, below which the next ones hang
    with pdf.open_outline() as outline:
        for (level, title), page in zip(entries, pages, strict=True):
            depth = LEVELS.index(level)
            item = OutlineItem(title, page)
            item.is_closed = depth > 0
            latest = {d: above for d, above in latest.items() if d < depth}
            siblings = latest[max(latest)].children if latest else outline.root
            siblings.append(item)
            latest[depth] = item


def compress_images(pdf: Pdf) -> None:
    """Store each image as PNG would: a grey one in one channel, rows as differences to the last;
    one of many colours as JPEG, since on the site it has lost some of its pixels, too.

    Chromium writes three channels for every image and packs them as they are.
    """
    for image in pdf.objects:
        if (
            isinstance(image, Stream)
            and image.get("/Subtype") == Name.Image
            and image.get("/Filter") == Name.FlateDecode  # and not a photograph
        ):
            compress_image(image)


def compress_image(image: Stream) -> None:
    """One image of 8 bits a channel."""
    size = int(image.Height), int(image.Width)
    pixels = np.frombuffer(image.read_bytes(), np.uint8).reshape(*size, -1)  # (H, W, channels)
    if (pixels == pixels[:, :, :1]).all():
        pixels = pixels[:, :, :1]
        image.ColorSpace = Name.DeviceGray
    channels = pixels.shape[2]
    picture, file = Image.fromarray(pixels.squeeze(2) if channels == 1 else pixels), BytesIO()
    if picture.getcolors(MANY_COLOURS) is None:
        picture.save(file, "JPEG", quality=90, subsampling=0)
        image.write(file.getvalue(), filter=Name.DCTDecode)
    else:
        picture.save(file, "PNG", optimize=True)
        rows = Dictionary(Predictor=15, Colors=channels, Columns=size[1])
        image.write(packed_rows(file.getvalue()), filter=Name.FlateDecode, decode_parms=rows)


def packed_rows(png: bytes) -> bytes:
    """What the IDAT chunks of a PNG file hold, which is what a PDF calls FlateDecode."""
    place, data = 8, b""  # after the signature
    while place < len(png):
        length, kind = int.from_bytes(png[place : place + 4], "big"), png[place + 4 : place + 8]
        data += png[place + 8 : place + 8 + length] if kind == b"IDAT" else b""
        place += 12 + length  # length, kind and check sum have four bytes each
    return data


def print_book(browser: Browser, site: Path, toc: Path, edition: list[str], target: Path) -> None:
    """Write the site's pages to `target`, a PDF; `edition` are lines for its title page.

    Raises:
        RuntimeError: a page or a script failed, or headings moved between the two prints.
    """
    tab = browser.new_page(viewport={"width": COLUMN, "height": 900})
    tab.set_default_timeout(0)  # machines are slow and shared
    failures = []
    tab.on("pageerror", lambda error: failures.append(str(error)))
    tab.on("response", lambda r: failures.append(r.url) if r.status >= 400 else None)
    tab.route("**/*", lambda route: serve(site, route))
    tab.emulate_media(media="print")
    tab.goto(ADDRESS)
    script = (HERE / "print_book.js").read_text(encoding="utf-8")
    tab.evaluate(script, [parts_of(toc), edition])
    tab.evaluate(FORMULAS)
    tab.add_script_tag(url=f"mathjax/{MATHJAX}")
    tab.evaluate("MathJax.startup.promise.then(() => document.fonts.ready).then(() => null)")
    entries = tab.evaluate(ENTRIES)
    if tab.evaluate(WIDTH) > COLUMN:
        failures.append("something is wider than the paper")
    anchors = [anchor for _, _, anchor in entries]
    pages = pages_of(as_pdf(tab), anchors)
    tab.evaluate(NUMBER, [page + 1 for page in pages])
    printed = as_pdf(tab)
    tab.close()
    if failures or pages_of(printed, anchors) != pages:
        raise RuntimeError(f"the PDF is not right: {failures or 'headings moved between prints'}")
    add_bookmarks(printed, [(level, title) for level, title, _ in entries], pages)
    printed.Root.PageMode = Name.UseOutlines
    target.parent.mkdir(parents=True, exist_ok=True)
    compress_images(printed)
    settings.set_flate_compression_level(9)
    # links and destinations are thousands of small objects, which Chromium does not compress
    pack = {"object_stream_mode": ObjectStreamMode.generate, "recompress_flate": True}
    printed.save(target, **pack)


def edition_of(root: Path) -> list[str]:
    """Which state of the repository this is; nothing where git does not know."""
    command = ["git", "-C", str(root), "log", "-1", "--format=%h of %cd", "--date=format:%-d %B %Y"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return [f"Edition: commit {said.stdout.strip()}."] if said.returncode == 0 else []


if __name__ == "__main__":
    output = Path(sys.argv[1])
    with sync_playwright() as playwright:
        browser = chromium.launch(playwright)
        toc = ROOT / "book" / "_toc.yml"
        print_book(browser, ROOT / "_build" / "html", toc, edition_of(ROOT), output)
    print(f"open {output} ({output.stat().st_size / 1e6:.1f} MB)")
