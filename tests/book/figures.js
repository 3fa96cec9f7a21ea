// Runs in a page and returns what is wrong with its figures, at this width and in this theme. See
// test_site.py.
() => {
  const visible = (el) => el.checkVisibility({ checkVisibilityCSS: true, contentVisibilityAuto: true });
  const article = document.querySelector("article.bd-article, main");
  const name = (el) => el.closest("[id]")?.id ?? el.tagName;
  const pictures = [...article.querySelectorAll("svg.plot, img, canvas")].filter(visible);

  // ---- wider than the nearest block around
  const column = (el) => {
    let block = el.parentElement;
    while (getComputedStyle(block).display === "inline") block = block.parentElement;
    return block;
  };
  const wide = pictures.filter((el) => el.getBoundingClientRect().right > column(el).getBoundingClientRect().right + 1);

  // ---- white plates in the dark: a light ground behind a picture, or as a shape in it
  const luminance = (colour) => {
    const numbers = (colour.match(/-?[\d.]+/g) ?? []).map(Number);
    const scale = colour.startsWith("rgb") ? 255 : 1; // color(srgb r g b / a)
    const [r, g, b, a = 1] = numbers;
    return numbers.length < 3 || a < 0.5 ? 0 : (0.2126 * r + 0.7152 * g + 0.0722 * b) / scale;
  };
  const area = (el) => { const { width, height } = el.getBoundingClientRect(); return width * height; };
  const isPlate = (plot) => (shape) => {
    const { fill, fillOpacity } = getComputedStyle(shape);
    return fillOpacity > 0.5 && luminance(fill) > 0.5 && !shape.closest("defs") && area(shape) > 0.2 * area(plot);
  };
  const plates = pictures.filter((el) => {
    for (let node = el; node !== article; node = node.parentElement)
      if (luminance(getComputedStyle(node).backgroundColor) > 0.5 && !el.matches("canvas")) return true;
    return [...el.querySelectorAll("path, rect, circle")].some(isPlate(el));
  });
  return { wide: wide.map(name), plates: plates.map(name) };
}
