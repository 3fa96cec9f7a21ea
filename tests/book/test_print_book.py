"""`make pdf`: a small site becomes one file for paper."""

from __future__ import annotations

import re
import shutil
import zlib

import numpy as np
import pytest
from formulas import typeset
from pikepdf import Name, Pdf, PdfImage, Stream
from places import BOOK
from print_book import compress_images, print_book
from pypdf import PdfReader

HEAD = """<!DOCTYPE html><html lang="en" data-theme="light"><head><meta charset="utf-8">
<title>{title} &#8212; A small book</title>
<link rel="canonical" href="https://example.org/small/{name}.html" />
<link rel="stylesheet" type="text/css" href="{up}_static/course.css" />
<link rel="stylesheet" type="text/css" href="{up}_static/print.css" media="print" />
<script defer="defer" src="{up}_static/print.js"></script></head>
<body><aside>beside the article</aside><article class="bd-article">{body}</article></body></html>"""
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWj"
    "R9awAAAABJRU5ErkJggg=="
)
INDEX = """<section id="small"><h1>A small book<a class="headerlink" href="#small">#</a></h1>
<p class="opening">Of two chapters.</p><p>The preface.</p></section>"""
FIRST = f"""<section id="first"><h1>1. First</h1><p>To <a href="deep/second.html#same">there</a>,
to <a href="deep/second.html">its page</a>, to <a href="_sources/first.ipynb">a file</a>.</p>
<section id="same"><h2>Of <span class="math">{typeset("q", False)}</span></h2>
<p id="p0">{"word " * 1500}</p>
<section id="fig-a"><div class="dgm-figure"><div class="dgm-still"><img src="{PIXEL}" alt="a"
width="300" height="200"><p>A still picture.</p></div><div class="dgm-live">alive</div>
<script type="application/json">"data"</script></div></section></section></section>"""
SECOND = f"""<section id="second"><h1>2. Second</h1><details class="hide"><summary>
<p class="collapsed">Show the solution</p><p class="expanded">Hide the solution</p></summary>
<p>Folded away.</p></details> <div class="math">{typeset("1 + " * 80 + "x", True)}</div>
<section id="same"><h2>The same name</h2><svg width="9" height="9"><defs><path id="d" d="M0 0H9"/>
</defs><use href="#d"/></svg></section></section>"""
TOC = """root: index
parts:
  - caption: The part
    chapters:
      - file: first
      - file: deep/second
"""


@pytest.fixture(scope="module")
def printed(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("small book")
    site, toc, target = folder / "html", folder / "_toc.yml", folder / "made" / "book.pdf"
    pages = {
        "index": ("A preface", INDEX),
        "first": ("1. First", FIRST),
        "deep/second": ("2. Second", SECOND),
    }
    for name, (title, body) in pages.items():
        path = site / f"{name}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        up = "../" * name.count("/")
        path.write_text(HEAD.format(title=title, name=name, up=up, body=body), encoding="utf-8")
    (site / "_static").mkdir()
    for name in ("course.css", "print.css", "print.js"):
        shutil.copy(BOOK / "_assets" / name, site / "_static")
    toc.write_text(TOC, encoding="utf-8")
    print_book(browser, site, toc, ["Edition of a test."], target)
    return PdfReader(target)


@pytest.fixture(scope="module")
def texts(printed):
    return [page.extract_text() for page in printed.pages]


def page_with(texts: list[str], words: str) -> int:
    """The only page after the contents that has these words, from 1."""
    (page,) = (i for i, text in enumerate(texts, 1) if i > 2 and words in text)
    return page


def test_the_first_page_is_the_title(texts):
    title = texts[0]
    assert title.splitlines()[0] == "A small book"
    assert "Of two chapters." in title and "Edition of a test." in title
    assert "https://example.org/small/" in title


def test_the_contents_tell_the_right_pages(texts):
    numbers = re.findall(r"^(.+?) ?(\d+)$", texts[1], re.MULTILINE)
    first, second = page_with(texts, "there, to its page"), page_with(texts, "The same name")
    told = {name.strip(): int(page) for name, page in numbers}
    assert (told["A preface"], told["1. First"], told["2. Second"]) == (3, first, second)
    assert second - first == 3 and told["The same name"] == second


def test_every_chapter_begins_a_page_that_bears_its_name(texts):
    for heading in ("A preface", "1. First", "2. Second"):
        page = next(text for text in texts[2:] if heading in text)
        assert page.startswith(f"{heading} A small book\n") and f"\n{heading}\n" in page
    assert [text.startswith("1. First A small book\n") for text in texts[2:]] == [
        False,
        *3 * [True],
        False,
    ]


def titles(outline: list) -> list:
    return [titles(item) if isinstance(item, list) else item.title for item in outline]


def test_bookmarks_have_parts_chapters_and_sections(printed, texts):
    chapters = ["1. First", ["Of q"], "2. Second", ["The same name"]]
    assert titles(printed.outline) == ["A preface", "The part", chapters]
    last = printed.outline[-1][-1][0]
    assert printed.get_destination_page_number(last) + 1 == page_with(texts, "The same name")


def links(reader: PdfReader, page: int) -> list:
    """Where the links of a page lead: to a page of the file, from 1, or to an address."""
    found = []
    for each in reader.pages[page - 1].get("/Annots", []):
        note = each.get_object()
        if "/Dest" in note:
            place = reader.named_destinations[note["/Dest"]]
            found.append(reader.get_destination_page_number(place) + 1)
        else:
            found.append(note["/A"]["/URI"])
    return found


def test_links_between_pages_stay_in_the_file(printed, texts):
    first, second = page_with(texts, "there, to its page"), page_with(texts, "The same name")
    file = "https://example.org/small/_sources/first.ipynb"
    assert links(printed, first) == [second, second, file]


def test_an_interactive_figure_is_a_still_and_says_where_it_lives(printed, texts):
    page = page_with(texts, "To play with it:")
    assert links(printed, page) == ["https://example.org/small/first.html#fig-a"]
    assert len(printed.pages[page - 1].images) == 1
    assert not re.search("A still picture|alive|data|beside", "".join(texts))


def test_nothing_is_folded_away(texts):
    page = texts[page_with(texts, "Folded away.") - 1]
    assert "The solution" in page and not re.search("Hide|Show", page)


CODE = f"<pre><i>short</i> = 1\n\n<b>long</b> = {'1234567 + ' * 6}<u>{'last' * 15}</u>\n</pre>"
PLACES = """() => ["pre", "i", "b", "u"].map((tag) => {
  const { left, top, width } = document.querySelector(tag).getBoundingClientRect();
  return [left, top, width];
})"""


def test_a_long_line_of_code_goes_on_further_in(browser):
    tab = browser.new_page(viewport={"width": 650, "height": 900})
    tab.set_content(f'<article class="bd-article">{CODE}</article>')
    tab.add_style_tag(path=BOOK / "_assets" / "print.css")
    tab.add_script_tag(path=BOOK / "_assets" / "print.js")
    tab.emulate_media(media="print")
    for _ in range(2):  # printed twice
        tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("pre").text_content() == re.sub("<.*?>", "", CODE)
    (edge, *_), (short, first, width), (long, third, _), (last, fourth, _) = tab.evaluate(PLACES)
    assert edge == short == long and last - long == pytest.approx(4 / 5 * width, abs=0.5)
    assert third - first == pytest.approx(2 * (fourth - third), abs=0.5)  # the empty line is kept
    tab.close()


def image_in(pixels: np.ndarray) -> tuple[Pdf, Stream]:
    """A PDF with an image as Chromium packs it."""
    pdf, (height, width, _) = Pdf.new(), pixels.shape
    size = {"Width": width, "Height": height, "BitsPerComponent": 8}
    kind = {"Subtype": Name.Image, "ColorSpace": Name.DeviceRGB, "Filter": Name.FlateDecode}
    return pdf, pdf.make_stream(zlib.compress(pixels.tobytes()), **size, **kind)


def compressed(pixels: np.ndarray) -> tuple[str, str, np.ndarray]:
    """How the image is packed then, in which colours, and its pixels."""
    pdf, image = image_in(pixels)
    before = len(image.read_raw_bytes())
    compress_images(pdf)
    assert len(image.read_raw_bytes()) < before
    now = np.asarray(PdfImage(image).as_pil_image().convert("RGB"))
    return str(image.Filter), str(image.ColorSpace), now


@pytest.mark.parametrize(("colours", "space"), [(1, "/DeviceGray"), (3, "/DeviceRGB")])
def test_images_keep_their_pixels_and_grey_ones_take_one_channel(colours, space):
    rows, columns, channel = np.ogrid[:80, :30, :colours]
    slope = (3 * rows + (5 + channel) * columns).astype(np.uint8)  # at most 2,400 colours
    pixels = np.broadcast_to(slope, (80, 30, 3))
    packed, colour_space, now = compressed(pixels)
    assert (packed, colour_space) == ("/FlateDecode", space)
    assert (now == pixels).all()


def test_an_image_of_many_colours_hardly_changes():
    rows, columns, channel = np.ogrid[:160, :160, :3]
    pixels = (rows + channel * (columns - rows) / 2 + 90 * (channel == 1)).astype(np.uint8)
    packed, _, now = compressed(pixels)
    assert packed == "/DCTDecode"
    assert np.abs(now.astype(float) - pixels).mean() < 2
