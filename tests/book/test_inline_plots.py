"""Plots in the page: their look, their colours, and what a reader can do with them."""

from __future__ import annotations

import io
import re

import inline_plots
import numpy as np
import pytest
import small_book
from places import BOOK
from playwright.sync_api import expect

from dgm.figures import frames
from dgm.plots import COLORS, use_style

ASSETS = BOOK / "_assets"
PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}


def drawn(draw, **size) -> str:
    """The SVG of a figure of the book's style."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context():
        use_style()
        figure = Figure(figsize=(6, 3))
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()


def many_things(ax) -> None:
    points = np.random.default_rng(0).normal(size=(200, 2))
    ax.scatter(*points.T, s=12, alpha=0.5, linewidths=0)
    ax.plot(*points[:60].T, "o", color=COLORS[1], ms=4)
    ax.plot(*points[:60].T + 2, "o", color=COLORS[2], mfc="none")
    ax.plot([-3, 3], [3, -3], "s--", color="0.4", label=r"$\alpha$ = 1")
    ax.bar([-2, 2], [1, 2], hatch="//", color=COLORS[3], edgecolor="white")
    ax.imshow(points[:16, :1] @ points[:1], extent=(3, 4, -2, 2), cmap="gray_r")
    ax.text(0, 2, "text", bbox={"fc": "white", "ec": "0.2"})
    ax.set(xlim=(-4, 5), ylim=(-3, 4), xlabel="a label")
    ax.legend()


def page(svg: str, style: str = "", head: str = "") -> str:
    return (
        f'<!DOCTYPE html><html data-theme="light"><head><meta name="viewport" '
        f'content="width=device-width">{head}<style>{style}</style></head><body>{svg}</body></html>'
    )


# ---------------------------------------------------------------- the picture


def test_a_plot_in_the_light_looks_as_it_was_drawn(browser, tmp_path):
    """Pixel by pixel, for all that the extension rewrites."""
    from PIL import Image

    svg = drawn(many_things)
    (tmp_path / "plot.svg").write_text(svg, encoding="utf-8")
    colours = "".join(f"--plot-{i}: {colour};" for i, colour in enumerate(COLORS, 1))
    style = f"body {{ margin: 0; color: #000; --plot-ground: #fff; {colours} }}"
    shots = []
    for body in ('<img src="plot.svg" alt="">', inline_plots.inline(svg, "a plot", "p-")):
        (tmp_path / "page.html").write_text(page(body, style), encoding="utf-8")
        tab = browser.new_page(viewport={"width": 600, "height": 300})
        tab.goto((tmp_path / "page.html").as_uri())
        pixels = Image.open(io.BytesIO(tab.screenshot())).convert("RGB")
        shots.append(np.asarray(pixels, dtype=float))
        tab.close()
    assert shots[0].min() < 10  # there is something to see
    # rounded places shift what they draw by a hundredth of a pixel, which moves edges a little
    assert np.abs(shots[0] - shots[1]).mean() < 1
    assert np.quantile(np.abs(shots[0] - shots[1]), 0.999) < 64


def test_a_plot_is_ink_and_the_palette(tmp_path):
    html = inline_plots.inline(drawn(many_things), "a plot", "p-")
    assert re.findall(r"#[0-9a-f]{6}\b", html) == []
    assert set(re.findall(r"--plot-\w+", html)) == {f"--plot-{i}" for i in (1, 2, 3, 4)} | {
        "--plot-ground"
    }
    assert "currentColor 60%" in html  # 0.4
    assert html.count("fill:var(--plot-ground)") == 2  # the text's box and the hatch, no paper


def test_axes_that_hold_nothing_are_no_trouble():
    """A place that is left empty in a grid of pictures."""
    html = inline_plots.inline(drawn(lambda ax: ax.axis("off")), "nothing", "p-")
    assert 'aria-label="nothing"' in html and "<path" not in html  # nor is there any paper


def test_a_cloud_takes_little_room():
    points = np.random.default_rng(0).normal(size=(1000, 2))
    svg = drawn(lambda ax: ax.scatter(*points.T, s=3, alpha=0.5, linewidths=0))
    html = inline_plots.inline(svg, "a cloud", "p-")
    assert svg.count("<use") > 1000 and html.count("<use") < 100
    assert html.count("h0") == 1000
    assert len(html) < len(svg) / 4


def test_the_same_figure_is_the_same_file():
    assert drawn(many_things) == drawn(many_things)


def test_figures_of_a_page_do_not_share_names(tmp_path):
    svg = drawn(many_things)
    files = {
        "index.md": "# One\n\n![first](a.svg)\n\n![second](b.svg)\n\n```{toctree}\npage\n```\n",
        "page.md": "# Page\n\n```{figure} a.svg\n:alt: in a figure\n\nWhat to see.\n```\n",
        "a.svg": svg,
        "b.svg": svg,
    }
    warnings, pages = small_book.build(tmp_path, files, "inline_plots")
    assert warnings == ""
    body = pages["index"]
    assert re.findall(r'aria-label="(first|second)"', body) == ["first", "second"]
    assert "<img" not in body and "<metadata" not in body
    names = re.findall(r'\bid="(p\d-\w+)"', body)
    assert len(names) == len(set(names)) > 10
    used = re.findall(r'href="#(p\w+-\w+)"|url\(#([\w-]+)\)', body)
    assert {"".join(each) for each in used} <= set(names)
    assert 'aria-label="in a figure"' in pages["page"]
    assert not list((tmp_path / "out").rglob("a.svg"))  # nothing is loaded beside the page


def test_an_interactive_plot_has_no_paper_in_the_dark(browser, tmp_path):
    """Its pictures are drawn once; in the dark the ground shows through and the ink is light."""
    import matplotlib.pyplot as plt
    from PIL import Image

    def line(slope):
        figure, (left, right) = plt.subplots(1, 2, figsize=(4, 2))
        left.plot([0, slope])
        right.imshow([[0, 0], [0, 0]], cmap="gray_r", vmin=0, vmax=1)
        return figure

    html = frames(line, slope=[1, 2]).html()
    ground = "body { --pst-color-background: #12171e; margin: 0; background: #12171e; }"
    ground += " .dgm-scroll { mask-image: linear-gradient(#000, #000); }"  # as plots.js fades it
    (tmp_path / "page.html").write_text(
        page(html, ground).replace('"light"', '"dark"'), encoding="utf-8"
    )
    tab = browser.new_page(viewport={"width": 600, "height": 400})
    tab.goto((tmp_path / "page.html").as_uri())
    shot = Image.open(io.BytesIO(tab.locator(".dgm-frame").screenshot())).convert("RGB")
    tab.close()
    assert np.abs(np.subtract(shot.getpixel((2, 2)), (0x12, 0x17, 0x1E))).max() <= 2
    left, right = np.asarray(shot)[:, : shot.width // 2], np.asarray(shot)[:, shot.width // 2 :]
    assert left.max() > 220  # ink
    assert left.mean() < 60
    assert right[shot.height // 2, right.shape[1] // 2].min() > 230  # an image has its own ground


# ---------------------------------------------------------------- what a reader can do


@pytest.fixture
def reader(browser, tmp_path):
    """Opens a page with a plot and boxes, of the book's style, at a size."""
    tabs = []
    head = f'<link rel="stylesheet" href="{(ASSETS / "course.css").as_uri()}">'
    head += f'<script defer src="{(ASSETS / "plots.js").as_uri()}"></script>'
    plot = inline_plots.inline(drawn(many_things), "a plot", "p-")
    wide = '<div class="pst-scrollable-table-container"><table><tr>'
    wide += "".join(f"<td>{10**8 + i}</td>" for i in range(9)) + "</tr></table></div>"
    body = f'<main class="bd-article"><figure>{plot}<figcaption>A caption.</figcaption></figure>'
    body += f"{wide}</main>"
    (tmp_path / "page.html").write_text(page(body, head=head), encoding="utf-8")

    def visit(viewport):
        tab = browser.new_page(viewport=viewport, reduced_motion="reduce")
        tab.goto((tmp_path / "page.html").as_uri())
        tabs.append(tab)
        return tab

    yield visit
    for tab in tabs:
        tab.close()


def test_a_shrunken_figure_opens_large_and_closes(reader):
    tab = reader(PHONE)
    button = tab.get_by_role("button", name="Enlarge the figure: a plot")
    dialog = tab.get_by_role("dialog", name="Figure, enlarged")
    small = button.locator("svg").bounding_box()["width"]
    assert small <= PHONE["width"]
    closing = [
        lambda: tab.keyboard.press("Escape"),
        lambda: dialog.get_by_role("button", name="Close").press("Enter"),
        lambda: tab.mouse.click(5, 5),
    ]
    for close in closing:
        button.press("Enter")
        expect(dialog).to_be_visible()
        assert dialog.locator("svg").bounding_box()["width"] > 1.5 * small
        box = dialog.locator("div")  # scrolls
        assert box.evaluate("el => el.scrollWidth > el.clientWidth && el.tabIndex === 0")
        close()
        expect(dialog).to_have_count(0)
        expect(button).to_be_focused()
    button.locator("svg").click()
    expect(dialog).to_be_visible()
    assert tab.evaluate("[...document.querySelectorAll('[id]')].map(el => el.id).sort()"
                        ".every((id, i, all) => id !== all[i + 1])")  # fmt: skip


def test_a_figure_of_its_own_size_is_no_button(reader):
    tab = reader(DESK)
    expect(tab.get_by_role("img", name="a plot")).to_be_visible()
    expect(tab.get_by_role("button")).to_have_count(0)
    tab.set_viewport_size(PHONE)
    expect(tab.get_by_role("button")).to_have_count(1)
    tab.set_viewport_size(DESK)
    expect(tab.get_by_role("button")).to_have_count(0)


def test_a_box_that_scrolls_says_so(reader):
    tab = reader(DESK)
    box = tab.locator(".pst-scrollable-table-container")
    expect(box).not_to_have_class(re.compile("more-"))
    assert box.get_attribute("tabindex") is None
    tab.set_viewport_size(PHONE)
    expect(box).to_have_class(re.compile("more-after"))
    assert "gradient" in box.evaluate("el => getComputedStyle(el).maskImage")
    assert box.get_attribute("tabindex") == "0"
    box.evaluate("el => { el.scrollLeft = el.scrollWidth; }")
    expect(box).to_have_class(re.compile("more-before"))
    expect(box).not_to_have_class(re.compile("more-after"))
