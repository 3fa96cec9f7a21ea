// What pages do on narrow screens: a figure that had to shrink can be enlarged, and a box that
// scrolls sideways says so. Without this script both stay readable.

// ---------------------------------------------------------------- enlarging a figure

const LARGE_ENOUGH = 0.95; // of its own size

function element(tag, attributes) {
  return Object.assign(document.createElement(tag), attributes);
}

function enlarge(picture) {
  const copy = picture.cloneNode(true); // it goes on using what the first one defines
  for (const named of [copy, ...copy.querySelectorAll("[id]")]) named.removeAttribute("id");
  const width = Number(picture.getAttribute("width")), height = Number(picture.getAttribute("height"));
  const fitting = Math.min(0.94 * innerWidth, (0.85 * innerHeight * width) / height);
  copy.style.width = `${Math.max(width, fitting)}px`;
  const dialog = element("dialog", { className: "plot-large" });
  dialog.setAttribute("aria-label", "Figure, enlarged");
  const close = element("button", { type: "button", textContent: "Close" });
  const box = element("div", { tabIndex: 0 });
  box.append(copy);
  dialog.append(close, box);
  document.body.append(dialog);
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("click", ({ target }) => { if (!copy.contains(target) && target !== close) dialog.close(); });
  dialog.addEventListener("close", () => dialog.remove());
  dialog.showModal(); // which closes on Escape and gives the focus back
}

// A figure is a button while it is shown smaller than it is.
function offer(picture) {
  const shown = picture.getBoundingClientRect().width;
  if (shown === 0) return; // folded away
  const small = shown < LARGE_ENOUGH * Number(picture.getAttribute("width"));
  const around = picture.closest("button.plot-enlarge");
  if (small && !around) {
    const button = element("button", { type: "button", className: "plot-enlarge" });
    button.setAttribute("aria-label", `Enlarge the figure: ${picture.getAttribute("aria-label")}`);
    button.addEventListener("click", () => enlarge(picture));
    picture.replaceWith(button);
    button.append(picture);
  } else if (!small && around) {
    around.replaceWith(picture);
  }
}

// ---------------------------------------------------------------- boxes that scroll

const BOXES = [
  "mjx-container[display='true']", "span.math", ".pst-scrollable-table-container",
  ".highlight pre", ".cell_output pre", ".cell_output .text_html", ".dgm-scroll", ".reference-entry",
];

const SLACK = 8; // pixels that nobody misses: letters lean out of most formulas a little

// The end that has more fades out; the keyboard can scroll the box.
function tell(box) {
  const room = box.scrollWidth - box.clientWidth, style = getComputedStyle(box);
  const scrolls = room > SLACK && style.display !== "inline" && style.overflowX !== "visible";
  box.classList.toggle("more-before", scrolls && box.scrollLeft > 1);
  box.classList.toggle("more-after", scrolls && room - box.scrollLeft > 1);
  if (scrolls) box.tabIndex = 0;
  else box.removeAttribute("tabindex");
}

// ---------------------------------------------------------------- on this page

const seen = new Set();

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) (target.matches("svg.plot") ? offer : tell)(target);
});

function watch() {
  for (const each of document.querySelectorAll(`.bd-article :is(svg.plot, ${BOXES})`)) {
    if (seen.has(each)) continue;
    seen.add(each);
    sizes.observe(each);
    if (!each.matches("svg.plot")) each.addEventListener("scroll", () => tell(each), { passive: true });
  }
}

watch();
addEventListener("figure-drawn", watch); // an interactive figure has come to life: later.js
