// What pages do before they are printed: paper is white, formulas and tables that are wider than it
// are scaled down, and long lines of code go on in the next. Without this script the first are cut.

const PAPER = 650; // pixels between the margins of A4 (print.css); Letter has 672
const ROOT = 13; // pixels, the size of letters of the root there

// Every formula and table gets the scale at which all of it fits between the margins, whatever the
// window's width.
function fitToPaper() {
  const article = document.querySelector(".bd-article");
  if (!article) return; // the page of search results has none
  const boxes = [...article.querySelectorAll(".math mjx-container, table")].filter((box) => box.checkVisibility());
  const column = (box) => (box.matches("div.math > *") ? box : box.parentElement.closest("p, li, dd, td, th, figcaption, div"));
  for (const box of boxes) {
    box.style.removeProperty("--fit");
    if (box.matches("table")) box.style.width = "min-content"; // words may go to the next line
  }
  const scale = ROOT / parseFloat(getComputedStyle(document.documentElement).fontSize); // 1 in print
  const rooms = boxes.map((box) => PAPER - scale * (article.clientWidth - column(box).clientWidth));
  const widths = boxes.map((box) => (box.matches("table") ? box : box.firstElementChild).getBoundingClientRect().width);
  boxes.forEach((box, i) => {
    if (box.matches("table")) box.style.removeProperty("width");
    const columns = box.rows?.[0]?.cells.length ?? 0;
    // edges are rounded up, by a pixel on each side and half of one for each column
    const fit = (rooms[i] - 2 - columns / 2) / (scale * widths[i]);
    if (fit < 1) box.style.setProperty("--fit", fit.toFixed(3));
  });
}

const LONG = /.{85}/; // a line of code that may be too wide

// What goes to the next line is set in: each line of such code becomes a box of its own (print.css).
function hangLongLines() {
  for (const code of document.querySelectorAll(".bd-article pre:not(:has(> .code-line))")) {
    if (!LONG.test(code.textContent)) continue;
    const lines = [];
    let ended = true;
    for (const node of [...code.childNodes]) {
      for (const piece of node.nodeType === Node.TEXT_NODE ? node.data.split(/(?<=\n)/) : [node]) {
        if (ended) lines.push(Object.assign(document.createElement("span"), { className: "code-line" }));
        lines.at(-1).append(piece);
        ended = typeof piece === "string" && piece.endsWith("\n");
      }
    }
    code.replaceChildren(...lines);
  }
}

let theme;

addEventListener("beforeprint", () => {
  theme = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  hangLongLines();
  fitToPaper();
});

addEventListener("afterprint", () => {
  document.documentElement.dataset.theme = theme;
});
