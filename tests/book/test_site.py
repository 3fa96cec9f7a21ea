"""The built site, as files and in a browser. Every page is opened once and looked at in many ways.

The site must be built before (see conftest.py); `make test` does both.
"""

from __future__ import annotations

import functools
import gzip
import itertools
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from loud import NO_AXE
from places import BOOK, SITE
from playwright.sync_api import expect

from dgm.assignment.cells import BEGIN_HIDDEN, END_HIDDEN, MARKERS, blocks

FILES = [path.relative_to(SITE) for path in SITE.rglob("*.html")]
PAGES = sorted(path.as_posix() for path in FILES if path.parts[0][0] != "_") or ["index.html"]
CONTENT = [page for page in PAGES if page not in ("404.html", "search.html")]
every_page = pytest.mark.parametrize("page", PAGES)
every_content_page = pytest.mark.parametrize("page", CONTENT)

PROBE = (Path(__file__).parent / "probe.js").read_text(encoding="utf-8")
FIGURES = (Path(__file__).parent / "figures.js").read_text(encoding="utf-8")
ON_PAPER = (Path(__file__).parent / "paper.js").read_text(encoding="utf-8")
PHONE = {"width": 390, "height": 844}
NARROW = {"width": 320, "height": 700}
TABLET = {"width": 768, "height": 1024}
DESK = {"width": 1280, "height": 900}
PAPER = {"width": 650, "height": 900}  # between the margins of A4
THEIRS = {  # what axe finds that docutils and the theme make
    "aria-required-children: .citation-list",  # its entries are said to be works, not items
}

try:  # pip's package of axe-core
    from axe_playwright_python.base import AXE_SCRIPT as AXE
except ImportError:
    AXE = ""


# ---------------------------------------------------------------- as files


@functools.cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")


@functools.cache
def anchors(path: Path) -> set[str]:
    return {tag["id"] for tag in soup(path).find_all(id=True)}


def addresses(path: Path) -> list[tuple[str, bool]]:
    """All addresses of a page, each with whether the browser loads it."""
    found = [(a["href"], False) for a in soup(path).find_all("a", href=True)]
    found += [(tag["src"], True) for tag in soup(path).find_all(src=True)]
    loaded = ("stylesheet", "icon", "preload", "modulepreload", "manifest")
    for link in soup(path).find_all("link", href=True):
        found.append((link["href"], bool(set(link.get("rel", [])) & set(loaded))))
    return found


@every_page
def test_formulas_are_there_before_any_script_runs(site, page):
    formulas = soup(site / page).select(".math")
    assert [formula for formula in formulas if not formula.select_one("mjx-container > svg")] == []


@every_page
def test_a_page_is_light(site, page):
    """With all that it loads but pictures, which wait until they are looked at: compressed."""
    loads = {unquote(urlsplit(a).path) for a, loaded in addresses(site / page) if loaded}
    files = {(site / page).parent / path for path in loads if path.endswith((".css", ".js"))}
    weight = sum(len(gzip.compress(path.read_bytes())) for path in {site / page, *files})
    assert weight < 0.65e6, f"{weight / 1e6:.2f} MB"


@every_page
def test_the_next_page_is_lighter(site, page):
    """What no other page has brought along already; data of figures come when they are in sight."""
    weight = len(gzip.compress((site / page).read_bytes()))
    assert weight < 0.5e6, f"{weight / 1e6:.2f} MB"


@every_page
def test_links_and_anchors_resolve(site, page):
    broken = []
    for address, _ in addresses(site / page):
        parts = urlsplit(address)
        if parts.scheme or parts.netloc:
            continue
        target = (site / page).parent / unquote(parts.path) if parts.path else site / page
        fragment = unquote(parts.fragment)
        if not target.is_file() or (fragment and fragment not in anchors(target)):
            broken.append(address)
    assert broken == []


@every_page
def test_nothing_is_loaded_from_another_host(site, page):
    loads = [address for address, loaded in addresses(site / page) if loaded]
    assert [address for address in loads if urlsplit(address).netloc] == []


def test_style_sheets_load_nothing_from_another_host(site):
    foreign = re.compile(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//", re.IGNORECASE)
    sheets = site.rglob("*.css")
    assert [sheet.name for sheet in sheets if foreign.search(sheet.read_text("utf-8"))] == []


@every_content_page
def test_every_claim_has_a_tick_that_leads_to_its_check(site, page):
    claims = [tag["id"] for tag in soup(site / page).select("div.math[id^=equation-eq-]")]
    ticks = [tag["href"] for tag in soup(site / page).select("a.equation-tick")]
    assert [tick.split("#")[1] for tick in ticks] == [
        claim.replace("equation-", "check-") for claim in claims
    ]
    assert {tick.split("#")[1] for tick in ticks} <= anchors(site / "checks.html")


@every_content_page
def test_what_computes_an_equation_leads_back_to_it(site, page):
    reference = soup(site / "library.html")
    for link in soup(site / page).select("a.equation-code"):
        equation = link.parent.parent.select_one("div.math")["id"]
        entry = reference.find(id=link["href"].split("#")[1])
        back = entry.select(f'.reference-equations a[href$="#{equation}"]')
        assert back and entry.find(class_="highlight-python"), link["aria-label"]


@every_page
def test_no_header_of_a_table_is_empty_and_no_link_is_in_a_picture(site, page):
    empty = [th for th in soup(site / page).select("th") if not th.text.strip() and not th.img]
    assert (empty, soup(site / page).select("[role=img] :is(a, button)")) == ([], [])


@every_content_page
def test_a_page_says_what_it_is_about(site, page):
    head = soup(site / page).head
    assert head.title.text.strip()
    assert head.find("meta", attrs={"name": "description"})["content"].strip()
    assert head.find("meta", property="og:image")["content"].startswith("https://")


def hidden_tests(path: Path) -> list[str]:
    """The hidden parts of a notebook's tests."""
    cells = nbformat.v4.reads(path.read_text(encoding="utf-8"))["cells"]
    pattern = re.compile(f"{BEGIN_HIDDEN}\n(.*?)\n *{END_HIDDEN}", re.DOTALL)
    return [block for cell in cells for block in pattern.findall(cell["source"])]


def test_no_marker_is_anywhere_in_the_site(site):
    found = []
    for path in site.rglob("*"):
        if path.suffix in (".html", ".ipynb", ".js", ".json", ".md", ".txt"):
            text = path.read_text(encoding="utf-8")
            found += [(path.name, marker) for marker in MARKERS if marker in text]
    assert found == []


@pytest.mark.parametrize("notebook", sorted(BOOK.glob("*.ipynb")), ids=lambda path: path.name)
def test_hidden_tests_are_hidden(site, notebook):
    page = soup(site / f"{notebook.stem}.html").get_text()
    download = nbformat.v4.reads((site / "_sources" / notebook.name).read_text("utf-8"))
    shown = page + "\n".join(cell["source"] for cell in download["cells"])
    assert [block for block in hidden_tests(notebook) if block in shown] == []


def test_what_is_for_instructors_only_is_nowhere(site):
    assert [page for page in PAGES if soup(site / page).select(".admonition.instructor")] == []
    texts = [path.read_text("utf-8") for path in (site / "_sources").rglob("*.md")]
    assert [block for text in texts for block in blocks(text, "instructor")] == []


def test_the_page_for_lost_readers_stands_alone(site):
    """GitHub Pages serves it at any depth, where relative addresses would break."""
    assert [a for a, _ in addresses(site / "404.html") if not urlsplit(a).scheme] == []


# ---------------------------------------------------------------- in a browser


@dataclass
class Visit:
    """What one look at a page found."""

    messages: list[str]
    failed: list[str]
    foreign: list[str]
    desk: dict
    dark: dict
    phone: dict
    focus: dict
    figures: dict
    paper: list
    rules: dict


@functools.cache
def visit(browser, url: str, look: bool = True) -> Visit:
    """Open a page and look at it: in the light, in the dark, on a phone, with the keyboard."""
    messages, failed, foreign = [], [], []
    # without motion: colours that are still fading would be measured half-way
    context = browser.new_context(viewport=DESK, color_scheme="light", reduced_motion="reduce")
    tab = context.new_page()
    tab.on("console", lambda m: messages.append(m.text) if m.type == "error" else None)
    tab.on("pageerror", lambda error: messages.append(str(error)))
    tab.on("requestfailed", lambda request: failed.append(request.url))
    tab.on("response", lambda r: failed.append(r.url) if r.status >= 400 else None)
    tab.on("request", lambda r: foreign.append(r.url) if is_foreign(r.url, url) else None)
    tab.goto(url, wait_until="load")
    tab.evaluate(SHOW_FIGURES)
    desk = tab.evaluate(PROBE)
    focus, dark, phone, figures, paper, rules = {}, {}, {}, {}, [], {}
    if look:
        open_everything(tab)
        focus = tab_through(tab)
        tab.evaluate("document.documentElement.dataset.theme = 'dark'")
        dark = tab.evaluate(PROBE)
        tab.set_viewport_size(PHONE)
        tab.evaluate(SETTLED)
        phone = tab.evaluate(PROBE)
        tab.set_viewport_size(NARROW)
        phone["narrow"] = tab.evaluate("document.documentElement.scrollWidth")
        figures = look_at_figures(tab)
        paper = look_at_paper(tab)
        rules = look_at_rules(tab)
    context.close()
    return Visit(messages, failed, foreign, desk, dark, phone, focus, figures, paper, rules)


# the data of a figure are loaded when it is nearly in sight
SHOW_FIGURES = """async () => {
  for (const figure of document.querySelectorAll(".dgm-figure")) {
    if (!figure.checkVisibility()) continue;
    figure.scrollIntoView({ behavior: "instant" });
    for (let wait = 0; wait < 1000 && !("live" in figure.dataset); wait++)
      await new Promise((done) => setTimeout(done, 20));
  }
  window.scrollTo({ top: 0, behavior: "instant" });
}"""


def look_at_figures(tab) -> dict:
    """What is wrong with the figures, per theme and width."""
    found = {}
    for theme, size in itertools.product(("light", "dark"), (PHONE, TABLET, DESK)):
        tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        tab.set_viewport_size(size)
        found[theme, size["width"]] = tab.evaluate(FIGURES)
    return found


def look_at_paper(tab) -> list:
    """What is wrong with the printed page, from the dark theme and a phone's width."""
    tab.evaluate("document.documentElement.dataset.theme = 'dark'")
    tab.set_viewport_size(PHONE)
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    tab.emulate_media(media="print")
    tab.set_viewport_size(PAPER)
    return tab.evaluate(ON_PAPER)


# boxes have been told of their new size
SETTLED = """() => new Promise((done) =>
  setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(done)), 200))"""

# What is within is MathJax's, Pygments' or a curve; a tenth of the nodes is left, and of the time
LESS = """() => {
  for (const formula of document.querySelectorAll("mjx-container")) {
    const { width, height } = formula.firstElementChild.getBoundingClientRect();
    const box = document.createElement("span");
    box.style.cssText = `display: inline-block; width: ${width}px; height: ${height}px`;
    formula.replaceChildren(box);
  }
  for (const code of document.querySelectorAll("pre")) code.textContent = code.textContent;
  for (const plot of document.querySelectorAll("svg.plot")) plot.replaceChildren();
}"""

# Contrast is measured by our own probe, in both themes.
RULES = """async () => {
  const options = { resultTypes: ["violations"], rules: { "color-contrast": { enabled: false } } };
  options.preload = false; // it would ask for style sheets that others import, at wrong addresses
  const { violations } = await axe.run(document, options);
  return violations.filter(({ impact }) => ["serious", "critical"].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map(({ target }) => `${id}: ${target.join(" ")}`));
}"""


def look_at_rules(tab) -> dict:
    """What axe calls serious, per theme and width; nothing where axe is not installed."""
    found = {}
    if not AXE:
        return found
    tab.emulate_media(media="screen")
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    tab.evaluate(LESS)
    tab.evaluate(AXE)
    for theme, size in (("light", DESK), ("dark", PHONE)):
        tab.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        tab.set_viewport_size(size)
        tab.evaluate(SETTLED)
        for _ in range(3):  # on a busy machine boxes may hear of their new size a moment later
            found[theme, size["width"]] = tab.evaluate(RULES)
            if not found[theme, size["width"]]:
                break
            tab.wait_for_timeout(500)
    return found


def is_foreign(requested: str, page: str) -> bool:
    """Whether a request leaves the host of the page."""
    there, here = urlsplit(requested), urlsplit(page)
    return there.scheme not in ("data", "blob") and there[:2] != here[:2]


def open_everything(tab) -> None:
    """Open every drop-down: what is folded away must be legible and reachable too."""
    tab.evaluate(
        """() => {
          document.querySelectorAll("article details").forEach((el) => (el.open = true));
          document.querySelectorAll("article .toggle-hidden > .admonition-title .toggle-button")
            .forEach((el) => el.click());
          document.getAnimations().forEach((moving) => moving.finish());
        }"""
    )


WATCH = """() => {
  const article = document.querySelector("article.bd-article, main");
  const controls = "a[href], button, summary, input, select, textarea, [tabindex='0']";
  const shown = { checkOpacity: true, checkVisibilityCSS: true };
  window.wanted = [...article.querySelectorAll(controls)].filter((el) =>
    el.checkVisibility(shown) && !el.disabled && el.tabIndex >= 0 && el.type !== "hidden");
  window.reached = new Map();
  window.left = false;
  document.addEventListener("focusin", ({ target: el }) => {
    if (!article.contains(el)) { window.left = true; return; }
    const style = getComputedStyle(el);
    const outline = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
    window.reached.set(el, outline || style.boxShadow !== "none");
  });
  // the next Tab goes to the first control of the article
  article.setAttribute("tabindex", "-1");
  article.focus({ preventScroll: true });
  window.left = false;
  return window.wanted.length;
}"""

REPORT = """() => {
  const say = (el) => `${el.tagName}.${el.className} "${el.textContent.trim().slice(0, 40)}"`;
  return {
    unreached: window.wanted.filter((el) => !window.reached.has(el)).map(say),
    unseen: [...window.reached].filter(([, seen]) => !seen).map(([el]) => say(el)),
  };
}"""


def tab_through(tab) -> dict:
    """Press Tab until the focus leaves the article; report what it missed."""
    wanted = tab.evaluate(WATCH)
    for pressed in range(2 * wanted + 50):  # boxes that scroll take the focus too
        tab.keyboard.press("Tab")
        if pressed % 20 == 19 and tab.evaluate("window.left"):
            break
    return tab.evaluate(REPORT)


@every_page
def test_page_loads_without_errors(browser, address, page):
    seen = visit(browser, f"{address}/{page}")
    assert (seen.messages, seen.failed, seen.foreign) == ([], [], [])


@every_page
def test_page_works_from_disk(browser, site, page):
    seen = visit(browser, (site / page).as_uri(), look=False)
    assert (seen.messages, seen.failed, seen.foreign) == ([], [], [])
    assert (seen.desk["untypeset"], seen.desk["errors"]) == ([], [])


@every_content_page
def test_mathematics_is_typeset(browser, address, page):
    desk = visit(browser, f"{address}/{page}").desk
    assert (desk["untypeset"], desk["errors"], desk["raw"]) == ([], [], [])


@every_content_page
def test_images_load_and_have_alternative_text(browser, address, page):
    images = visit(browser, f"{address}/{page}").desk["images"]
    assert [image for image in images if image["width"] == 0] == []
    assert [image for image in images if not image["alt"].strip()] == []
    assert visit(browser, f"{address}/{page}").desk["unnamed"] == []


@every_content_page
def test_figures_fit_their_column(browser, address, page):
    figures = visit(browser, f"{address}/{page}").figures
    assert {where: found["wide"] for where, found in figures.items() if found["wide"]} == {}


@every_content_page
def test_on_paper_nothing_is_cut(browser, address, page):
    assert visit(browser, f"{address}/{page}").paper == []


@every_content_page
def test_figures_bring_no_white_plate_into_the_dark(browser, address, page):
    figures = visit(browser, f"{address}/{page}").figures
    assert [found["plates"] for (theme, _), found in figures.items() if theme == "dark"] == [[]] * 3


@every_content_page
def test_images_keep_their_shape(browser, address, page):
    seen = visit(browser, f"{address}/{page}")
    assert (seen.desk["stretched"], seen.phone["stretched"]) == ([], [])


@every_page
def test_no_sideways_scrolling_on_a_phone(browser, address, page):
    phone = visit(browser, f"{address}/{page}").phone
    assert phone["width"] <= PHONE["width"]
    assert phone["narrow"] <= NARROW["width"]


@every_page
def test_the_keyboard_scrolls_what_is_too_wide(browser, address, page):
    seen = visit(browser, f"{address}/{page}")
    assert (seen.desk["stuck"], seen.phone["stuck"]) == ([], [])


@every_page
def test_no_rule_of_accessibility_is_broken(browser, address, page):
    """By axe, with everything open. What is the theme's own stands in `THEIRS`."""
    if not AXE:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_AXE)
    rules = visit(browser, f"{address}/{page}").rules
    ours = {where: [said for said in found if said not in THEIRS] for where, found in rules.items()}
    assert len(ours) == 2 and not any(ours.values()), ours


@every_page
@pytest.mark.parametrize("theme", ["desk", "dark"])
def test_text_stands_out(browser, address, page, theme):
    """`desk` is the light theme with the drop-downs closed, `dark` the dark one with all open."""
    assert getattr(visit(browser, f"{address}/{page}"), theme)["faint"] == []


@every_page
def test_keyboard_reaches_every_control_and_shows_where_it_is(browser, address, page):
    assert visit(browser, f"{address}/{page}").focus == {"unreached": [], "unseen": []}


FAULTY = """<!DOCTYPE html><html><body><main>
<p style="color: #aaa">faint</p> <p>raw $$ x $$</p> <div class="math">\\(x\\)</div>
<img src="none.png"> <img src="http://127.0.0.2:9/x.png" alt="foreign">
<div style="width: 900px">wide</div> <pre id="cut" style="width: 100px">a wide line of code</pre>
<figure id="wide" style="width: 100px"><canvas width="200"></canvas></figure>
<div id="stuck" style="width: 90px; overflow: auto"><p style="width: 200px">far</p></div>
<svg class="plot" role="img" id="plate" width="99" height="99">
  <rect width="99" height="60" fill="#fff"/></svg>
<a href="#" style="outline: none">unseen</a> <span inert><a href="#">unreached</a></span>
<script>console.error("an error")</script></main></body></html>"""


def test_the_looks_find_what_is_wrong(browser, tmp_path):
    """So that all of the above can fail."""
    page = tmp_path / "faulty.html"
    page.write_text(FAULTY)
    seen = visit(browser, page.as_uri())
    assert "an error" in seen.messages
    assert [url.rsplit("/")[-1] for url in sorted(seen.failed)] == ["none.png", "x.png"]
    assert seen.foreign == ["http://127.0.0.2:9/x.png"]
    assert "faint" in seen.desk["faint"][0] and len(seen.desk["untypeset"]) == 1
    assert "raw $$ x $$" in seen.desk["raw"]
    assert [(image["width"], image["alt"]) for image in seen.desk["images"]][0] == (0, "")
    assert seen.phone["width"] > PHONE["width"]
    assert [box.split()[-1] for box in seen.phone["stuck"]] == ['"far"']
    assert all(any("image-alt" in said for said in found) for found in seen.rules.values())
    assert "plot" in seen.desk["unnamed"][0]
    assert len(seen.figures) == 6
    assert all("wide" in found["wide"] for found in seen.figures.values())
    assert all("plate" in found["plates"] for found in seen.figures.values())
    assert seen.paper == ["cut pre"]
    assert "unseen" in seen.focus["unseen"][0] and "unreached" in seen.focus["unreached"][0]


def test_search_finds_a_page(browser, address):
    tab = browser.new_page()
    tab.goto(f"{address}/search.html?q=autoencoder")
    tab.wait_for_selector("#search-results li a")
    tab.close()


def test_search_works_from_disk(browser, site):
    tab, messages = browser.new_page(), []
    tab.on("console", lambda m: messages.append(m.text) if m.type == "error" else None)
    tab.goto(f"{(site / 'search.html').as_uri()}?q=flow")
    tab.wait_for_selector(".search-summary:has-text('found')")
    assert tab.locator("#search-results li").count() > 5
    assert messages == []
    tab.close()


def test_search_finds_an_equation_by_its_name(browser, address):
    tab = browser.new_page()
    tab.goto(f"{address}/search.html?q=empirical+mle")
    tab.wait_for_selector("#search-results li a[href*='#equation-eq-empirical-mle']")
    tab.close()


@pytest.mark.parametrize("javascript", [True, False])
def test_figures_come_when_they_are_in_sight_also_from_disk(browser, site, javascript):
    context = browser.new_context(viewport=DESK, java_script_enabled=javascript)
    tab, messages = context.new_page(), []
    tab.on("console", lambda m: messages.append(m.text) if m.type == "error" else None)
    tab.goto((site / "05-vae.html").as_uri())
    figures = tab.locator("article .dgm-figure")
    still, live = (figures.last.locator(f".dgm-{part}") for part in ("still", "live"))
    expect(still).to_be_visible()
    assert figures.last.locator("template[data-state]").count() == 1
    figures.last.scroll_into_view_if_needed()
    expect(live if javascript else still).to_be_visible()
    expect(still if javascript else live).not_to_be_visible()
    assert messages == []
    context.close()


def test_figures_of_the_built_book_answer(browser, address):
    """Drag, keys and touch change the decoded image; the slider changes the picture."""
    tab = browser.new_page(has_touch=True, viewport=DESK)
    tab.goto(f"{address}/02-autoencoders.html")
    tab.evaluate(SHOW_FIGURES)
    plane, image = (tab.locator("#fig-dead-map canvas").nth(i) for i in (0, 1))
    plane.scroll_into_view_if_needed()
    box = plane.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    pictures = [image.evaluate("canvas => canvas.toDataURL()")]
    new = "([canvas, seen]) => !seen.includes(canvas.toDataURL())"

    def drag():
        tab.mouse.move(x, y)
        tab.mouse.down()
        tab.mouse.move(x + 60, y - 60, steps=4)
        tab.mouse.up()

    for act in (
        drag,
        lambda: plane.press("ArrowLeft"),
        lambda: tab.touchscreen.tap(x - 70, y + 40),
    ):
        act()
        tab.wait_for_function(new, arg=[image.element_handle(), pictures])
        tab.evaluate("() => new Promise(requestAnimationFrame)")  # the last of the events is drawn
        pictures.append(image.evaluate("canvas => canvas.toDataURL()"))
    assert len(set(pictures)) == len(pictures)

    frame = tab.locator("#fig-pca-components .dgm-live img").first
    first = frame.get_attribute("src")
    tab.locator("#fig-pca-components input[type=range]").press("ArrowRight")
    expect(frame).not_to_have_attribute("src", first)
    tab.close()
