// Runs in an empty page of the site (print_book.py) and makes one document of its pages: title page,
// contents, chapters. Ids get their page's name in front, so that links between pages stay inside.
async ([parts, edition]) => {
  const element = (tag, className = "", text = "") =>
    Object.assign(document.createElement(tag), { className, textContent: text });
  const addressOf = (name) => new URL(`${name}.html`, location);
  const mark = (name) => `${name.replaceAll("/", "-")}.`;
  const titleOf = (page) => page.title.split(" — ")[0];
  const online = (page) => page.querySelector("link[rel=canonical]")?.href; // where the site lives
  const book = document.querySelector("article");

  const names = parts.flatMap(([, inside]) => inside);
  const texts = await Promise.all(names.map(async (name) => (await fetch(addressOf(name))).text()));
  const pages = new Map(names.map((name, i) => [name, new DOMParser().parseFromString(texts[i], "text/html")]));
  const index = pages.get("index"), site = online(index);

  // ---------------------------------------------------------------- addresses and ids

  const nameAt = new Map(names.map((name) => [addressOf(name).pathname, name]));

  // Of a place in the book the anchor there, of a file of the site its address on the web.
  const target = (href, name) => {
    const url = new URL(href, addressOf(name)), other = nameAt.get(url.pathname);
    if (url.origin !== location.origin) return url.href;
    if (other) return `#${mark(other)}${decodeURIComponent(url.hash.slice(1)) || "top"}`;
    return site ? new URL(url.pathname.slice(1), site).href : "";
  };

  const rename = (article, name) => {
    for (const each of article.querySelectorAll("[id]")) each.id = mark(name) + each.id;
    for (const each of article.querySelectorAll("svg, svg *")) {
      for (const { name: key, value } of [...each.attributes]) {
        if (value.includes("url(#")) each.setAttribute(key, value.replaceAll("url(#", `url(#${mark(name)}`));
        else if (key === "href" && !each.matches("a")) each.setAttribute(key, value.replace(/^#/, `#${mark(name)}`));
      }
    }
    for (const style of article.querySelectorAll("svg style")) // selectors, and no colours
      style.textContent = style.textContent.replace(/#(?=[a-z][\w-]* [^{};]*\{)/g, `#${CSS.escape(mark(name))}`);
    for (const link of article.querySelectorAll("a[href]")) link.setAttribute("href", target(link.getAttribute("href"), name));
    for (const image of article.querySelectorAll("img")) place(image, name);
  };

  const place = (image, name) => {
    image.removeAttribute("loading");
    image.src = new URL(image.getAttribute("src"), addressOf(name));
  };

  // ---------------------------------------------------------------- one page

  // An interactive figure is its still picture, and a line that says where the figure itself lives.
  const still = (figure, page) => {
    const line = element("p", "to-play", "To play with it: "), address = online(page);
    const where = element(address ? "a" : "cite", "", titleOf(page));
    if (address) where.href = where.textContent = `${address}#${figure.closest("[id]").id}`;
    line.append(where);
    figure.querySelector(".dgm-still > p").replaceWith(line);
    figure.querySelector(".dgm-live").remove();
  };

  const chapter = (name) => {
    const page = pages.get(name), article = page.querySelector("article");
    for (const figure of article.querySelectorAll(".dgm-figure")) still(figure, page);
    for (const unwanted of article.querySelectorAll("script, .headerlink, .start")) unwanted.remove();
    for (const fold of article.querySelectorAll("details")) fold.open = true;
    for (const words of article.querySelectorAll("summary .expanded")) { // a paper hides nothing
      const hidden = words.textContent.replace(/^Hide (code cell )?/, "");
      words.textContent = hidden[0].toUpperCase() + hidden.slice(1);
    }
    rename(article, name);
    const section = element("div");
    section.id = `${mark(name)}top`;
    section.style.page = `page-${name.replaceAll("/", "-")}`; // another name begins a new page
    section.append(...article.childNodes);
    return section;
  };

  // ---------------------------------------------------------------- the front

  const entry = (className, text, id) => {
    const line = element("p", className), link = element("a", "", text);
    link.href = `#${id}`;
    line.append(link, element("span", "page", "000"));
    contents.append(line);
  };

  const dataSet = [...(pages.get("build")?.querySelectorAll("td") ?? [])].find((cell) => cell.textContent.trim() === "Data set");
  if (dataSet) edition.push(`Computed on the data set ${dataSet.nextElementSibling.textContent.trim()}.`);
  const front = element("div", "title-page"), contents = element("nav", "book-contents");
  const heading = index.querySelector("h1");
  front.append(element("h1", "", heading.firstChild.textContent));
  for (const part of index.querySelectorAll(".opening, img.hero, .picture-note")) front.append(part);
  for (const image of front.querySelectorAll("img")) place(image, "index");
  front.append(...edition.map((line) => element("p", "edition", line)));
  if (site) front.append(element("p", "edition", `To read it with figures that answer: ${site.replace(/index\.html$/, "")}`));
  heading.textContent = titleOf(index);
  contents.append(element("h1", "", "Contents"));
  book.append(front, contents);

  const quoted = (text) => `"${text.replace(/["\\]/g, "\\$&")}"`;
  const headOf = (page, title) =>
    `@page ${page} { @top-left { content: ${quoted(title)}; } @top-right { content: ${quoted(document.title)}; } }\n`;
  const style = element("style", "", headOf("contents", "Contents"));
  for (const [caption, inside] of parts) {
    if (caption) entry("part", caption, `${mark(inside[0])}top`);
    for (const name of inside) {
      const section = chapter(name), title = titleOf(pages.get(name));
      style.append(headOf(section.style.page, title));
      entry("chapter", title, section.id);
      for (const inner of section.querySelectorAll("section section[id]:has(> h2)")) entry("section", inner.querySelector("h2").textContent, inner.id);
      book.append(section);
    }
  }
  document.head.append(style);
}
