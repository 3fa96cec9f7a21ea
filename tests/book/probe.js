// Runs in a page and returns what the browser tests look at. See test_site.py.
() => {
  const visible = (el) =>
    el.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true, contentVisibilityAuto: true });
  const describe = (el) => `${el.tagName.toLowerCase()}.${el.getAttribute("class")} "${el.textContent.trim().slice(0, 40)}"`;
  const article = document.querySelector("article.bd-article, main");

  // ---- contrast, as WCAG 2 defines it, of text against the grounds it is drawn on
  const parse = (colour) => {
    const [r, g, b, a = 1] = colour.match(/[\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const luminance = ([r, g, b]) => {
    const linear = [r, g, b].map((v) => ((v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const ground = (el) => {
    const layers = [];
    for (let node = el; node; node = node.parentElement) layers.push(parse(getComputedStyle(node).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const contrast = (el) => {
    const below = ground(el);
    const [light, dark] = [over(parse(getComputedStyle(el).color), below), below].map(luminance).sort((a, b) => b - a);
    return (light + 0.05) / (dark + 0.05);
  };
  const hasText = (el) => [...el.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
  const texts = [...document.body.querySelectorAll("*")].filter(
    (el) => (hasText(el) || el.tagName === "MJX-CONTAINER") && !el.closest("script, style, mjx-container mjx-assistive-mml") && visible(el)
  );
  const faint = new Set();
  for (const el of texts) {
    const value = contrast(el);
    if (value < 4.5) faint.add(`${value.toFixed(2)} ${describe(el)}`);
  }

  // ---- mathematics and images
  const formulas = [...document.querySelectorAll(".math")].filter((el) => !el.parentElement.closest(".math"));
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  const raw = [];
  while (walker.nextNode()) {
    const { data, parentElement } = walker.currentNode;
    if (/\$\$|\\\(|\\\[/.test(data) && !parentElement.closest("pre, code, script, style, mjx-container")) raw.push(data.trim().slice(0, 60));
  }
  const plots = [...article.querySelectorAll("svg.plot")].filter(visible);
  const images = [...article.querySelectorAll("img")].filter(visible);
  const stretched = images.filter((el) => {
    if (!el.naturalWidth || getComputedStyle(el).objectFit !== "fill") return false;
    const style = getComputedStyle(el), inner = (side, a, b) => el[side] - parseFloat(style[a]) - parseFloat(style[b]);
    const shown = inner("clientWidth", "paddingLeft", "paddingRight") / inner("clientHeight", "paddingTop", "paddingBottom");
    return Math.abs(shown / (el.naturalWidth / el.naturalHeight) - 1) > 0.03;
  });

  // ---- boxes that scroll sideways: the keyboard scrolls what has the focus
  const controls = "a[href], button, input, select, textarea, summary, [tabindex='0']";
  const scrolls = (el) =>
    el.scrollWidth > el.clientWidth + 13 && visible(el) && // as much as axe allows
    /auto|scroll/.test(getComputedStyle(el).overflowX) && getComputedStyle(el).display !== "inline";
  const stuck = [...article.querySelectorAll("*:not(svg *, pre *, mjx-container *)")].filter(
    (el) => scrolls(el) && el.tabIndex < 0 && !el.querySelector(controls)
  );
  return {
    stuck: stuck.map(describe),
    stretched: stretched.map((el) => el.getAttribute("src")),
    formulas: formulas.length,
    untypeset: formulas.filter((el) => !el.querySelector("mjx-container")).map(describe),
    errors: [...document.querySelectorAll("mjx-container [data-mjx-error], mjx-container merror")].map(describe),
    raw,
    images: images.map((el) => ({ src: el.getAttribute("src"), width: el.naturalWidth, alt: el.getAttribute("alt") ?? "" })),
    unnamed: plots.filter((el) => !el.getAttribute("aria-label")?.trim()).map(describe),
    faint: [...faint],
    width: document.documentElement.scrollWidth,
  };
}
