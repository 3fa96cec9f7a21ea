// Runs in a page that is being printed and returns what is wrong with it: what is cut at the edge of
// the paper, buttons, colours of the dark theme. See test_site.py.
() => {
  const article = document.querySelector("article.bd-article, main");
  const edge = article.getBoundingClientRect().right + 1;
  const name = (el) => `${el.closest("[id]")?.id} ${el.tagName.toLowerCase()}`;
  const shown = (selector) => [...article.querySelectorAll(selector)].filter((el) => el.checkVisibility());
  const cut = shown("mjx-container > svg, pre, table, img, svg.plot").filter((el) =>
    el.getBoundingClientRect().right > edge || (el.matches("pre") && el.scrollWidth > el.clientWidth + 1));
  const dark = document.documentElement.dataset.theme === "dark" && document.querySelector(".bd-article");
  return [...cut, ...shown("button.copybtn, button.toggle-button")].map(name).concat(dark ? ["dark"] : []);
}
