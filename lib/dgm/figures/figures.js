// The interactive figures of dgm.figures: one module, two ways in.
//
//   - In a live notebook, anywidget calls render({ model, el }).
//   - On a static page, this text stands in a <script type="module"> that ends with mount(), which
//     brings every figure of the page to life. Each figure carries the whole module, so each works
//     alone; whichever runs first serves all, and the others find nothing left to do.
//
// Either way a drawing (latentPlane, frames, flow1d, walkers, ...) gets a model with get, set,
// save_changes, on and off, and an empty element. No framework, no build step, no request.

// ---------------------------------------------------------------- numbers

export function fromBase64(text) {
  const raw = atob(text), bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return bytes;
}

const float32 = (text) => new Float32Array(fromBase64(text).buffer);

// A packed network (see _network.py) as a function from a code to the numbers of an image.
export function network({ layers, weights }) {
  const reader = weightReader(fromBase64(weights).buffer);
  const steps = layers.map((layer) => LAYERS[layer.type](layer, reader));
  return (z) => steps.reduce((x, step) => step(x), z);
}

// Weights lie one after another, per layer: [scales, if int8] weights biases.
function weightReader(buffer) {
  let at = 0;
  const take = (size) => buffer.slice(at, (at += size));
  const floats = (n) => new Float32Array(take(4 * n));
  const matrix = ({ rows, columns, precision }) => {
    const n = rows * columns;
    if (precision === "float32") return floats(n);
    if (precision === "float16") return Float32Array.from(new Uint16Array(take(2 * n)), fromHalf);
    const scale = floats(rows);
    return Float32Array.from(new Int8Array(take(n)), (q, i) => q * scale[Math.floor(i / columns)]);
  };
  return { floats, matrix };
}

// The number that 16 bits stand for: sign, five bits of exponent, ten of fraction. (Weights are
// finite, so the codes of infinities do not occur.)
function fromHalf(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
}

const pointwise = (f) => () => (x) => Float32Array.from(x, f);

const LAYERS = {
  same: () => (x) => x, // only the shape changes
  relu: pointwise((v) => Math.max(v, 0)),
  leaky: ({ slope }) => (x) => Float32Array.from(x, (v) => (v > 0 ? v : slope * v)),
  tanh: pointwise(Math.tanh),
  sigmoid: pointwise((v) => 1 / (1 + Math.exp(-v))),
  softplus: ({ beta }) => (x) => Float32Array.from(x, (v) => softplus(beta * v) / beta),
  linear,
  convolution,
};

// log(1 + e^u), without overflow
const softplus = (u) => Math.max(u, 0) + Math.log1p(Math.exp(-Math.abs(u)));

function linear(layer, { matrix, floats }) {
  const { rows, columns } = layer, weight = matrix(layer), bias = floats(rows);
  return (x) => {
    const y = new Float32Array(rows);
    for (let i = 0, k = 0; i < rows; i++) {
      let sum = bias[i];
      for (let j = 0; j < columns; j++, k++) sum += weight[k] * x[j];
      y[i] = sum;
    }
    return y;
  };
}

// A convolution links position p of its small side (the output) with position
// stride p + i - padding of its large side (the input), for every i of the kernel. A transposed one
// is the same table of links, read from the small side to the large. So one loop serves both.
function convolution(layer, { matrix, floats }) {
  const { rows, transposed } = layer;
  const [kh, kw] = layer.kernel, [sh, sw] = layer.stride, [ph, pw] = layer.padding;
  const [channels, H, W] = layer.in, [, P, Q] = layer.out;
  const [sH, sW, lH, lW] = transposed ? [H, W, P, Q] : [P, Q, H, W]; // small side, large side
  const weight = matrix(layer), bias = floats(rows); // weight: (rows, channels, kh, kw)
  return (x) => {
    const y = new Float32Array(rows * P * Q);
    for (let o = 0, k = 0; o < rows; o++) {
      y.fill(bias[o], o * P * Q, (o + 1) * P * Q);
      for (let c = 0; c < channels; c++)
        for (let i = 0; i < kh; i++)
          for (let j = 0; j < kw; j++, k++) {
            const w = weight[k];
            const first = Math.max(0, Math.ceil((pw - j) / sw));
            const last = Math.min(sW - 1, Math.floor((lW - 1 + pw - j) / sw));
            for (let p = 0; p < sH; p++) {
              const r = sh * p + i - ph;
              if (r < 0 || r >= lH) continue;
              if (transposed) {
                const from = (c * H + p) * W, to = (o * P + r) * Q + j - pw;
                for (let q = first; q <= last; q++) y[to + sw * q] += w * x[from + q];
              } else {
                const from = (c * H + r) * W + j - pw, to = (o * P + p) * Q;
                for (let q = first; q <= last; q++) y[to + q] += w * x[from + sw * q];
              }
            }
          }
    }
    return y;
  };
}

// ELBO, KL(q || posterior) and log p(x) by sums over the grid (see _distribution_1d.py), and with a
// prior the reconstruction and KL(q || prior). Each is computed apart, so that ELBO + KL = log p(x)
// and ELBO = reconstruction - KL(q || prior) are findings and not definitions.
export function gaussianBound({ low, step, logJoint, logPrior }, mean, scale) {
  const n = logJoint.length, q = new Float64Array(n), posterior = new Float64Array(n);
  let top = -Infinity;
  for (const v of logJoint) top = Math.max(top, v);
  let sum = 0;
  for (const v of logJoint) sum += Math.exp(v - top);
  const log_p = top + Math.log(sum * step);
  const logNormaliser = Math.log(scale) + 0.5 * Math.log(2 * Math.PI);
  let elbo = 0, kl = 0, reconstruction = 0, kl_prior = 0;
  for (let i = 0; i < n; i++) {
    const logQ = -0.5 * ((low + step * i - mean) / scale) ** 2 - logNormaliser;
    const logPosterior = logJoint[i] - log_p;
    q[i] = Math.exp(logQ);
    posterior[i] = Math.exp(logPosterior);
    if (q[i] === 0) continue; // 0 log 0 = 0
    elbo += step * q[i] * (logJoint[i] - logQ);
    kl += step * q[i] * (logQ - logPosterior);
    if (!logPrior) continue;
    reconstruction += step * q[i] * (logJoint[i] - logPrior[i]);
    kl_prior += step * q[i] * (logQ - logPrior[i]);
  }
  const bound = { elbo, kl, log_p, q, posterior };
  return logPrior ? { ...bound, reconstruction, kl_prior } : bound;
}

// ---------------------------------------------------------------- elements

const set = (element, attributes) => {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};

function h(tag, attributes = {}, ...children) {
  const element = set(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

const svg = (tag, attributes, text = "") => {
  const element = set(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes);
  element.textContent = text;
  return element;
};

const number = (value, digits = 2) => {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "undefined" : value > 0 ? "∞" : "−∞";
  const text = value.toFixed(digits);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
};

// For what takes arrow keys: without it JupyterLab takes them, to move between cells.
const KEEPS_KEYS = { "data-lm-suppress-shortcuts": "true" };

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

// At most one drawing per frame of the screen, however many events ask for one.
function oncePerFrame(draw) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; draw(); });
  };
}

// Tells screen readers what there is to see: not at first, and only once the reader rests.
function announcer(parent) {
  const region = h("p", { class: "dgm-spoken", role: "status", "aria-live": "polite" });
  parent.append(region);
  let timer, latest;
  return (text) => {
    if (latest !== undefined && text !== latest) {
      clearTimeout(timer);
      timer = setTimeout(() => { region.textContent = text; }, 700);
    }
    latest = text;
  };
}

function details(parent, lines) {
  const box = h("details", { class: "dgm-details" }, h("summary", {}, "About this figure"));
  box.append(...lines.map((line) => h("p", {}, line)));
  parent.append(box);
}

// A labelled range input; show(value, text) moves it without telling onInput.
function slider(label, low, high, step, onInput) {
  const input = h("input", { type: "range", min: low, max: high, step, ...KEEPS_KEYS });
  const value = h("span", { class: "dgm-value", "aria-hidden": "true" });
  input.addEventListener("input", () => onInput(Number(input.value)));
  const show = (position, text) => {
    input.value = position;
    input.setAttribute("aria-valuetext", text);
    value.textContent = text;
  };
  return { row: h("label", { class: "dgm-slider" }, h("span", {}, label), input, value), show };
}

// Call back when the theme changes, which the page marks on its root or its body.
function onTheme(callback) {
  const observer = new MutationObserver(callback);
  const options = { attributeFilter: ["data-theme", "data-jp-theme-light", "class"] };
  for (const node of [document.documentElement, document.body]) observer.observe(node, options);
  return () => observer.disconnect();
}

// Call back when the width of an element changes.
function onResize(element, callback) {
  let width = element.clientWidth; // observers report once at the start, too
  const observer = new ResizeObserver(() => {
    if (element.clientWidth === width) return;
    width = element.clientWidth;
    callback();
  });
  observer.observe(element);
  return () => observer.disconnect();
}

// ---------------------------------------------------------------- the latent plane

const DIRECTIONS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };

function latentPlane(model, el) {
  const spec = model.get("spec"), decode = network(spec.network);
  const points = latentPoints(spec), start = model.get("z");
  const plane = h("canvas", {
    ...KEEPS_KEYS, tabindex: 0, role: "application", "aria-roledescription": "latent plane",
    "aria-label": "Latent plane. Drag, or press the arrow keys, to move the code z; " +
      "with Shift in larger steps; Home returns to the start.",
  });
  const picture = imageView(spec.shape);
  const readout = h("p", { class: "dgm-readout" });
  const side = h("div", { class: "dgm-side" }, picture.canvas, readout);
  el.append(h("div", { class: "dgm-plane" }, plane, side));
  if (spec.classes.some((c) => c.name !== c.glyph)) el.append(legend(spec.classes));
  details(el, spec.details);
  const say = announcer(el);
  const map = planeMap(plane, spec);
  const ground = h("canvas"); // codes and dead zone, drawn once per size and theme

  function draw() {
    const z = model.get("z"), near = nearest(points, z);
    picture.show(decode(z));
    const context = plane.getContext("2d");
    if (ground.width) {
      context.clearRect(0, 0, plane.width, plane.height);
      context.drawImage(ground, 0, 0);
      drawCursor(context, map, z, getComputedStyle(el));
    }
    const words = describe(spec, z, near);
    readout.replaceChildren(...words.map(([text, style = ""]) => h("span", { class: style }, text)));
    const text = words.map(([word]) => word).join(" ");
    picture.canvas.setAttribute("aria-label", `Decoded image. ${text}`);
    say(text);
  }

  function repaint() {
    if (!plane.clientWidth) return; // not on the page yet
    map.resize();
    set(ground, { width: plane.width, height: plane.height });
    drawGround(ground.getContext("2d"), map, spec, points, getComputedStyle(el));
    draw();
  }

  const drawSoon = oncePerFrame(draw);
  function move(z) {
    model.set("z", z.map((v, i) => clamp(v, spec.low[i], spec.low[i] + spec.side)));
    model.save_changes();
    drawSoon();
  }
  const follow = (event) => move(map.code(event));
  plane.addEventListener("pointerdown", (event) => {
    plane.setPointerCapture(event.pointerId);
    follow(event);
  });
  plane.addEventListener("pointermove", (event) => event.buttons && follow(event));
  plane.addEventListener("keydown", (event) => {
    const direction = DIRECTIONS[event.key];
    if (!direction && event.key !== "Home") return;
    event.preventDefault(); // do not scroll the page
    const [a, b] = model.get("z"), step = (spec.side / 60) * (event.shiftKey ? 5 : 1);
    move(direction ? [a + step * direction[0], b + step * direction[1]] : start);
  });
  model.on("change:z", drawSoon);
  const stopSizes = onResize(plane, repaint);
  const stopTheme = onTheme(repaint);
  repaint();
  return () => { model.off("change:z", drawSoon); stopSizes(); stopTheme(); };
}

// Codes travel as pairs of uint16, fractions of the plane's side.
function latentPoints({ codes, labels, low, side }) {
  const pairs = new Uint16Array(fromBase64(codes).buffer), n = pairs.length / 2;
  const x = new Float32Array(n), y = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    x[i] = low[0] + (side * pairs[2 * i]) / 65535;
    y[i] = low[1] + (side * pairs[2 * i + 1]) / 65535;
  }
  return { x, y, label: fromBase64(labels) };
}

function nearest({ x, y, label }, [a, b]) {
  let best = Infinity, at = 0;
  for (let i = 0; i < x.length; i++) {
    const d = (x[i] - a) ** 2 + (y[i] - b) ** 2;
    if (d < best) { best = d; at = i; }
  }
  return { distance: Math.sqrt(best), label: label[at] };
}

// The sentences beside the picture, each with the class it is styled with.
function describe({ classes, reach }, [a, b], { distance, label }) {
  const words = [
    [`z = (${number(a)}, ${number(b)})`],
    [`Nearest training code: ${classes[label].name}, at distance ${number(distance)}.`],
  ];
  const dead = ["Dead zone: no training code within reach.", "dgm-dead"];
  return reach && distance > reach ? [...words, dead] : words;
}

// Between codes and positions on the canvas, in CSS pixels; the drawing area is a square.
function planeMap(canvas, { low, side }) {
  const map = {
    left: 34, // room for the axes' numbers, as much below as on the left
    top: 8,
    resize() {
      map.scale = window.devicePixelRatio || 1;
      map.size = canvas.clientWidth - map.left - map.top;
      const pixels = Math.round(canvas.clientWidth * map.scale);
      set(canvas, { width: pixels, height: pixels });
    },
    x: (a) => map.left + ((a - low[0]) / side) * map.size,
    y: (b) => map.top + (1 - (b - low[1]) / side) * map.size,
    code(event) {
      const box = canvas.getBoundingClientRect(), toCss = canvas.clientWidth / box.width;
      const u = ((event.clientX - box.left) * toCss - map.left) / map.size;
      const v = ((event.clientY - box.top) * toCss - map.top) / map.size;
      return [low[0] + side * u, low[1] + side * (1 - v)];
    },
  };
  return map;
}

function drawGround(context, map, spec, points, style) {
  const colour = (name) => style.getPropertyValue(`--dgm-${name}`).trim();
  const { left, top, size, scale } = map;
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.fillStyle = colour("ground");
  context.fillRect(left, top, size, size);
  if (spec.reach) context.drawImage(deadZone(map, spec, points, colour), left, top, size, size);
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.font = "600 10px system-ui, sans-serif";
  for (let i = 0; i < Math.min(points.x.length, spec.drawn); i++) {
    const kind = spec.classes[points.label[i]];
    context.fillStyle = kind[colour("theme")];
    context.fillText(kind.glyph, map.x(points.x[i]), map.y(points.y[i]));
  }
  drawAxes(context, map, spec, colour);
}

// Shade everything, then take out a disc of radius reach around every code.
function deadZone({ size, scale }, { low, side, reach }, points, colour) {
  const canvas = document.createElement("canvas"), pixels = Math.round(size * scale);
  set(canvas, { width: pixels, height: pixels });
  const context = canvas.getContext("2d"), unit = pixels / side;
  context.fillStyle = colour("shade");
  context.fillRect(0, 0, pixels, pixels);
  context.strokeStyle = colour("hatch"); // hatched, so that it does not depend on a shade of colour
  context.lineWidth = scale;
  context.beginPath();
  for (let d = 0; d < 2 * pixels; d += 9 * scale) {
    context.moveTo(d, 0);
    context.lineTo(d - pixels, pixels);
  }
  context.stroke();
  context.globalCompositeOperation = "destination-out";
  context.beginPath();
  for (let i = 0; i < points.x.length; i++) {
    const x = (points.x[i] - low[0]) * unit, y = pixels - (points.y[i] - low[1]) * unit;
    context.moveTo(x + reach * unit, y);
    context.arc(x, y, reach * unit, 0, 7);
  }
  context.fill();
  return canvas;
}

function drawAxes(context, map, { low, side }, colour, names = ["z₁", "z₂"]) {
  const { left, top, size } = map;
  context.strokeStyle = colour("line");
  context.strokeRect(left + 0.5, top + 0.5, size - 1, size - 1);
  context.fillStyle = colour("quiet");
  context.font = "11px system-ui, sans-serif";
  const along = (i) => ticks(low[i], low[i] + side);
  for (const [t, text] of along(0)) context.fillText(text, map.x(t), top + size + 9);
  context.textAlign = "right";
  for (const [t, text] of along(1)) context.fillText(text, left - 4, map.y(t));
  context.textAlign = "center";
  context.font = "italic 12px system-ui, sans-serif";
  context.fillText(names[0], left + size / 2, top + size + 25);
  context.fillText(names[1], 9, top + size / 2);
}

// Round numbers between low and high, about four of them, each with its text.
function ticks(low, high) {
  const power = 10 ** Math.floor(Math.log10((high - low) / 4));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= (high - low) / 6);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9)), found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++)
    found.push([i * step, number(i * step, digits)]);
  return found;
}

function drawCursor(context, map, [a, b], style) {
  const colour = (name) => style.getPropertyValue(`--dgm-${name}`).trim();
  const x = map.x(a), y = map.y(b);
  context.setTransform(map.scale, 0, 0, map.scale, 0, 0);
  for (const [width, name] of [[6, "ground"], [2.5, "ink"]]) { // a light edge around a dark ring
    context.lineWidth = width;
    context.strokeStyle = colour(name);
    context.beginPath();
    context.arc(x, y, 9, 0, 7);
    context.stroke();
  }
  context.fillStyle = colour("ink");
  context.fillRect(x - 1, y - 1, 2, 2);
}

function legend(classes) {
  const items = classes.map(({ glyph, name, light, dark }) =>
    h("li", {}, h("span", { style: `--light: ${light}; --dark: ${dark}` }, glyph), ` ${name}`));
  return h("ul", { class: "dgm-legend", "aria-label": "Classes" }, ...items);
}

// A canvas of one pixel per pixel. Grey is dark ink on white paper, as in dgm.plots.
function imageView([channels, height, width]) {
  const canvas = h("canvas", { width, height, role: "img", "aria-label": "Decoded image" });
  const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  const n = width * height;
  const show = (x) => {
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < 3; c++) // storing clips and rounds
        pixels.data[4 * i + c] = channels === 1 ? 255 * (1 - x[i]) : 255 * x[c * n + i];
      pixels.data[4 * i + 3] = 255;
    }
    context.putImageData(pixels, 0, 0);
  };
  return { canvas, show };
}

// ---------------------------------------------------------------- frames

function frames(model, el) {
  const spec = model.get("spec"), parameters = spec.parameters;
  // with a kernel the sliders also stop where no picture has been made yet
  const choices = parameters.map((p) => (model.isStatic ? p.stops : p.finer));
  const style = ["dgm-frame", spec.pixels && "dgm-pixels", spec.paper && "dgm-ink"];
  const image = h("img", { class: style.filter(Boolean).join(" "), width: spec.width });
  image.style.aspectRatio = spec.aspect.join(" / ");
  const papers = (spec.paper ?? []).map(([left, top, width, height]) => h("span", {
    class: "dgm-paper", style: `left: ${left}%; top: ${top}%; width: ${width}%; height: ${height}%` }));
  const sheet = h("div", { class: "dgm-sheet", style: `--width: ${spec.width}px` }, image, ...papers);
  const sliders = parameters.map((p, i) =>
    slider(p.label, 0, choices[i].length - 1, 1, (at) => { pause(); choose(i, at); }));
  const play = h("button", { type: "button", class: "dgm-button" });
  const say = announcer(el);
  const controls = h("div", { class: "dgm-controls" }, play, ...sliders.map((s) => s.row));
  el.append(h("div", { class: "dgm-scroll" }, sheet), controls);
  details(el, spec.details);

  // Where the values are among the choices: the same, or the closest number.
  const position = (i) => {
    const value = model.get("values")[parameters[i].name], at = choices[i].indexOf(value);
    if (at >= 0 || typeof value !== "number") return Math.max(at, 0);
    const off = choices[i].map((v) => Math.abs(v - value));
    return off.indexOf(Math.min(...off));
  };

  function madeBefore(values) {
    const index = parameters.reduce((at, p) => {
      const stop = p.stops.indexOf(values[p.name]);
      return stop < 0 ? NaN : at * p.stops.length + stop;
    }, 0);
    return Number.isNaN(index) ? null : { image: spec.pictures[index], alt: spec.alts[index] };
  }

  function madeNow(values) {
    const picture = model.get("picture");
    const fits = (p) => picture.values?.[p.name] === values[p.name];
    return parameters.every(fits) ? picture : null;
  }

  function draw() {
    const values = model.get("values");
    parameters.forEach((p, i) => sliders[i].show(position(i), String(values[p.name])));
    const picture = madeBefore(values) ?? madeNow(values);
    if (!picture) return; // asked for: change:picture will tell
    image.src = `data:image/webp;base64,${picture.image}`;
    image.alt = picture.alt;
    if (!playing) say(picture.alt);
  }

  function choose(i, at) {
    model.set("values", { ...model.get("values"), [parameters[i].name]: choices[i][at] });
    model.save_changes();
    draw();
  }

  // Play runs once through the values of the first parameter that were given.
  const played = parameters.length > 1 ? ` ${parameters[0].label}` : "";
  let playing = null;
  function pause() {
    clearInterval(playing);
    playing = null;
    play.textContent = `▶\uFE0E Play${played}`;
  }
  function advance() {
    const ahead = parameters[0].stops.map((v) => choices[0].indexOf(v)).find((at) => at > position(0));
    if (ahead === undefined) { pause(); draw(); } else choose(0, ahead);
  }
  play.addEventListener("click", () => {
    if (playing) { pause(); draw(); return; }
    if (position(0) === choices[0].length - 1) choose(0, 0); // from the end, start again
    playing = setInterval(advance, 600);
    play.textContent = `❚❚ Pause${played}`;
  });
  pause();
  model.on("change:values", draw);
  model.on("change:picture", draw);
  draw();
  return () => { pause(); model.off("change:values", draw); model.off("change:picture", draw); };
}

// ---------------------------------------------------------------- a distribution and its bound

// As many digits as a step of a slider is worth, two at least.
const digitsOf = (step) => Math.max(2, -Math.floor(Math.log10(step)));

function distribution1d(model, el) {
  const spec = model.get("spec");
  const data = { low: spec.low, step: spec.step, logJoint: float32(spec.log_joint) };
  if (spec.log_prior) data.logPrior = float32(spec.log_prior);
  const [lowest, highest] = spec.mean, [narrowest, widest] = spec.scale.map(Math.log);
  const meanStep = (highest - lowest) / 200, scaleStep = (widest - narrowest) / 200;
  const sums = h("div", { class: "dgm-sum" }), say = announcer(el);

  function move(name, value) {
    model.set(name, value);
    model.save_changes();
    drawSoon();
  }
  const drag = (z) => move("mean", clamp(z, lowest, highest));
  const mean = slider("mean of q", lowest, highest, meanStep, (value) => move("mean", value));
  const scale = slider("σ of q", narrowest, widest, scaleStep, // in equal ratios
    (value) => move("scale", clamp(Math.exp(value), ...spec.scale)));
  let plot = boundPlot(spec, data, el.clientWidth, drag);
  el.append(plot.element, sums, h("div", { class: "dgm-controls" }, mean.row, scale.row));
  details(el, spec.details);

  function draw() {
    const bound = gaussianBound(data, model.get("mean"), model.get("scale"));
    plot.show(bound);
    mean.show(model.get("mean"), number(model.get("mean"), digitsOf(meanStep)));
    scale.show(Math.log(model.get("scale")),
      number(model.get("scale"), digitsOf(spec.scale[0] / 10)));
    const lines = sentences(bound);
    const term = ([sign, quantity]) => h("span", {}, sign, h("b", {}, quantity));
    sums.replaceChildren(...lines.map((terms) => h("p", {}, ...terms.map(term))));
    say(lines.map((terms) => `${terms.flat().join("")} nats.`).join(" "));
  }
  const drawSoon = oncePerFrame(draw);
  model.on("change:mean", drawSoon);
  model.on("change:scale", drawSoon);
  const stopSizes = onResize(el, () => {
    const old = plot.element;
    plot = boundPlot(spec, data, el.clientWidth, drag);
    old.replaceWith(plot.element);
    draw();
  });
  draw();
  return () => {
    model.off("change:mean", drawSoon);
    model.off("change:scale", drawSoon);
    stopSizes();
  };
}

// The sums in words; each term is a sign and a quantity.
function sentences({ elbo, kl, log_p, reconstruction, kl_prior }) {
  const term = (sign, name, value) => [sign, `${name} ${number(value, 3)}`];
  const first = [
    term("", "ELBO", elbo), term(" + ", "KL(q ‖ posterior)", kl), term(" = ", "log p(x)", log_p),
  ];
  if (kl_prior === undefined) return [first];
  return [first, [
    term("", "reconstruction", reconstruction), term(" − ", "KL(q ‖ prior)", kl_prior),
    term(" = ", "ELBO", elbo),
  ]];
}

// Above, posterior, q and prior over z, where a pointer drags q; below, bars on one axis in nats.
// All bars stand on the same floor, some nats below log p(x), because there is no zero to stand on:
// log-densities may well be negative. ELBO and KL(q || posterior) fill up to log p(x) together;
// KL(q || prior) goes back from the reconstruction to the ELBO. One unit is one CSS pixel.
function boundPlot({ low, step, axis: [floor, top] }, { logJoint, logPrior }, available, drag) {
  const width = clamp(available || 620, 280, 620), left = 14, right = width - 14;
  const base = 222, height = 185; // where densities stand, how high they may be
  const row = 296, pitch = 34, thick = 24; // of bars: the top of the first, the next one, the bar
  const foot = row + (logPrior ? 3 : 1) * pitch; // the axis
  const n = logJoint.length, high = low + step * (n - 1);
  const element = svg("svg", {
    viewBox: `0 0 ${width} ${foot + 24}`, width, class: "dgm-plot", role: "img",
    "aria-label": "Densities over z; below, bars that show the sums.",
  });
  const add = (tag, attributes, text) => element.appendChild(svg(tag, attributes, text));
  const middle = { "text-anchor": "middle" }, end = { "text-anchor": "end" };

  // ---- the densities
  const x = (z) => left + ((z - low) / (high - low)) * (right - left);
  const prior = add("path", { class: "prior" });
  const posterior = add("path", { class: "posterior" }), q = add("path", { class: "q" });
  add("path", { class: "axis", d: `M${left} ${base}H${right}` });
  for (const [t, text] of ticks(low, high))
    add("text", { x: clamp(x(t), 22, right - 8), y: base + 17, ...middle }, text);
  add("text", { x: right, y: base - 6, ...end, "font-style": "italic" }, "z");
  const keys = [["posterior", "posterior", 0], ["q", "q(z)", 108], ["prior", "prior", 184]];
  for (const [name, text, at] of keys.slice(0, logPrior ? 3 : 2)) {
    add("path", { class: name, d: `M${left + at} 13h26` });
    add("text", { x: left + at + 32, y: 17 }, text);
  }
  const ground = add("rect", { class: "drag", x: 0, y: 0, width, height: base });
  const follow = (event) => {
    const box = element.getBoundingClientRect();
    const u = ((event.clientX - box.left) / box.width) * width;
    drag(low + ((u - left) / (right - left)) * (high - low));
  };
  ground.addEventListener("pointerdown", (event) => {
    ground.setPointerCapture(event.pointerId);
    follow(event);
  });
  ground.addEventListener("pointermove", (event) => event.buttons && follow(event));

  // ---- the bars
  const zero = left + 4; // the floor
  const nat = (value) => zero + ((clamp(value, floor, top) - floor) / (top - floor)) * (right - 40 - zero);
  const bar = (name, i) => {
    const y = row + i * pitch, box = { class: name, y, height: thick };
    return { rect: add("rect", box), text: add("text", { class: `on-${name}`, y: y + 17 }), name };
  };
  const elbo = bar("elbo", 0), kl = bar("kl", 0);
  const reconstruction = logPrior && bar("reconstruction", 1), klPrior = logPrior && bar("kl-prior", 2);
  const drop = logPrior && add("path", { class: "drop" }), evidence = add("path", { class: "evidence" });
  const evidenceText = add("text", { y: row - 11 });
  add("path", { class: "axis", d: `M${left} ${foot}H${right}` });
  for (const [t, text] of ticks(floor, top))
    add("text", { x: Math.max(nat(t), 22), y: foot + 17, ...middle }, text);
  add("text", { x: right, y: foot + 17, ...end }, "nats");

  // Draw a bar, with its title before it, inside or after it, wherever there is room: as `places`
  // allow, in that order.
  function span({ rect, text, name }, from, to, title, places) {
    const a = nat(from), b = nat(to), room = 7 * title.length + 12;
    set(rect, { x: a, width: b - a });
    const free = { before: a - zero > room, inside: b - a > room, after: true };
    const place = places.find((p) => free[p]);
    const at = { before: { x: a - 6, ...end }, inside: { x: a + 6 }, after: { x: b + 6 } }[place];
    text.textContent = place ? title : "";
    set(text, { "text-anchor": "start", class: place === "inside" ? `on-${name}` : "", ...at });
  }
  const beyond = (title, value) => (value < floor ? `${title}: beyond the left end` : title);

  function curve(density, peak) {
    const y = (value) => (base - (height * value) / peak).toFixed(1);
    const point = (value, i) => `${x(low + step * i).toFixed(1)} ${y(value)}`;
    return `M${Array.from(density, point).join("L")}`;
  }
  const priorDensity = logPrior?.map(Math.exp) ?? [];

  function show(bound) {
    const tallest = Math.max(...bound.posterior, ...priorDensity);
    const peak = Math.max(1.25 * tallest, 1.02 * Math.max(...bound.q));
    set(posterior, { d: curve(bound.posterior, peak) });
    set(q, { d: curve(bound.q, peak) });
    if (logPrior) set(prior, { d: curve(priorDensity, peak) });
    const at = nat(bound.log_p), near = at > width / 2;
    span(elbo, floor, bound.elbo, "ELBO", ["inside"]);
    const gap = nat(bound.log_p) - nat(bound.elbo) > 140 ? "KL(q ‖ posterior)" : "KL";
    span(kl, bound.elbo, bound.log_p, bound.elbo < floor ? beyond("ELBO", bound.elbo) : gap, ["inside"]);
    set(evidence, { d: `M${at} ${row - 6}V${foot}` });
    set(evidenceText, { x: near ? at + 28 : at - 28, ...(near ? end : {}) });
    evidenceText.textContent = `log p(x) = ${number(bound.log_p)}`;
    if (!logPrior) return;
    const title = beyond("reconstruction", bound.reconstruction);
    span(reconstruction, floor, bound.reconstruction, title, ["inside", "after"]);
    span(klPrior, bound.elbo, bound.reconstruction, "− KL(q ‖ prior)", ["before", "inside", "after"]);
    set(drop, { d: `M${nat(bound.elbo)} ${row}V${foot}` });
  }
  return { element, show };
}

// ---------------------------------------------------------------- a flow on the line

// f(z) and f'(z) of the spline through the knots (see _flow_1d.py).
export function flowCurve(knots, z) {
  const secants = knots.slice(1).map(([a, b], k) => (b - knots[k][1]) / (a - knots[k][0]));
  const last = secants.length - 1;
  const slope = (k) => k === 0 ? secants[0] : k > last ? secants[last] : (secants[k - 1] + secants[k]) / 2;
  const inner = clamp(z, knots[0][0], knots[last + 1][0]);
  let k = 0;
  while (k < last && inner >= knots[k + 1][0]) k++;
  const [[a, b], [c, d]] = [knots[k], knots[k + 1]], r = secants[k], u = (inner - a) / (c - a);
  const across = u * (1 - u), d0 = slope(k), d1 = slope(k + 1);
  const under = r + (d0 + d1 - 2 * r) * across;
  const x = b + ((d - b) * (r * u * u + d0 * across)) / under;
  const steep = (r * r * (d1 * u * u + 2 * r * across + d0 * (1 - u) ** 2)) / (under * under);
  return [x + (z - inner) * steep, steep];
}

const normalDensity = (v, mean = 0, sigma = 1) =>
  Math.exp(-0.5 * ((v - mean) / sigma) ** 2) / (sigma * Math.sqrt(2 * Math.PI));

// Mass, KL(target || p) and steepest slope, by trapezoids over x = f(z), z on a grid.
export function flowNumbers({ reach, cells, modes, sigma }, knots) {
  let mass = 0, kl = 0, steepest = 0, before;
  for (let i = 0; i <= cells; i++) {
    const z = -reach + (2 * reach * i) / cells, [x, slope] = flowCurve(knots, z);
    const logP = -0.5 * z * z - 0.5 * Math.log(2 * Math.PI) - Math.log(slope);
    const nearer = -0.5 * ((Math.abs(x) - modes) / sigma) ** 2; // of two exponents the larger
    const other = -0.5 * ((Math.abs(x) + modes) / sigma) ** 2;
    const logT = nearer + Math.log1p(Math.exp(other - nearer)) - Math.log(2 * sigma * Math.sqrt(2 * Math.PI));
    const now = { x, p: Math.exp(logP), g: Math.exp(logT) * (logT - logP) };
    if (before) {
      mass += 0.5 * (now.x - before.x) * (now.p + before.p);
      kl += 0.5 * (now.x - before.x) * (now.g + before.g);
    }
    steepest = Math.max(steepest, slope);
    before = now;
  }
  return { mass, kl, steepest };
}

function flow1d(model, el) {
  const spec = model.get("spec"), start = model.get("knots");
  const sums = h("div", { class: "dgm-sum" });
  let plot = flowPlot(spec, start.length, el.clientWidth, moveTo, nudge);
  el.append(plot.element, sums);
  details(el, spec.details);
  const say = announcer(el);

  // A knot may go anywhere between its neighbours.
  function moveTo(k, to) {
    const knots = model.get("knots").map((knot) => [...knot]);
    to.forEach((value, i) => {
      const low = k > 0 ? knots[k - 1][i] + spec.least : -spec.axis;
      const high = k < knots.length - 1 ? knots[k + 1][i] - spec.least : spec.axis;
      knots[k][i] = clamp(value, low, high);
    });
    model.set("knots", knots);
    model.save_changes();
    drawSoon();
  }
  function nudge(k, key, far) {
    const step = far ? 0.25 : 0.05, direction = DIRECTIONS[key], knots = model.get("knots");
    moveTo(k, direction ? knots[k].map((v, i) => v + step * direction[i]) : start[k]);
  }

  function draw() {
    const knots = model.get("knots"), { mass, kl, steepest } = flowNumbers(spec, knots);
    plot.show(knots);
    const parts = [["total mass ", number(mass, 3)], ["; steepest slope ", number(steepest, 1)],
      ["; KL(target ‖ p) ", `${number(kl, 3)} nats`]];
    sums.replaceChildren(h("p", {}, ...parts.map(([name, value]) => h("span", {}, name, h("b", {}, value)))));
    say(parts.flat().join(""));
  }
  const drawSoon = oncePerFrame(draw);
  model.on("change:knots", drawSoon);
  const stopSizes = onResize(el, () => {
    const old = plot.element;
    plot = flowPlot(spec, start.length, el.clientWidth, moveTo, nudge);
    old.replaceWith(plot.element);
    draw();
  });
  draw();
  return () => { model.off("change:knots", drawSoon); stopSizes(); };
}

// The curve, below it the base, beside it the density of x with the target. One unit is one CSS pixel.
function flowPlot({ axis, edges, modes, sigma }, count, available, moveTo, nudge) {
  const width = clamp(available || 560, 280, 560), left = 30, top = 8;
  const beside = width * 0.25, size = width - left - beside - 8, under = 0.3 * size;
  const bottom = top + size, right = left + size, foot = bottom + 26 + under, total = foot + 24;
  const element = svg("svg", {
    viewBox: `0 0 ${width} ${total}`, width, class: "dgm-plot dgm-flow", role: "group",
    "aria-label": "An increasing curve with knots to drag, and the densities of z and x.",
  });
  const add = (tag, attributes, text) => element.appendChild(svg(tag, attributes, text));
  const at = (z) => left + ((z + axis) / (2 * axis)) * size;
  const up = (x) => bottom - ((x + axis) / (2 * axis)) * size;
  const shown = size + 4 + beside; // what leaves the axes is cut off by an element of its own
  const cut = svg("svg", { x: left, y: top, width: shown, height: size,
    viewBox: `${left} ${top} ${shown} ${size}` });
  const within = (attributes) => cut.appendChild(svg("path", attributes));
  const bandsBelow = edges.concat(axis).map((_, k) => add("path", { class: `band band-${k % 2}` }));
  const bandsBeside = bandsBelow.map((_, k) =>
    within({ class: `band band-${k % 2}` }));
  element.append(cut);
  add("path", { class: "axis", d: `M${left} ${top}V${bottom}H${right}M${left} ${foot}H${right}M${right + 4} ${top}V${bottom}` });
  const base = add("path", { class: "curve" }), pushed = within({ class: "curve" });
  const target = within({ class: "q" }), line = within({ class: "curve" });
  for (const [t, text] of ticks(-axis, axis)) {
    add("text", { x: at(t), y: foot + 17, "text-anchor": "middle" }, text);
    add("text", { x: left - 5, y: up(t) + 4, "text-anchor": "end" }, text);
  }
  const italic = { "font-style": "italic" };
  add("text", { x: right - 4, y: foot - 6, "text-anchor": "end", ...italic }, "z");
  add("text", { x: left + 6, y: top + 12, ...italic }, "x = f(z)");
  add("text", { x: right + beside, y: top + 12, "text-anchor": "end", ...italic }, "p(x)");
  add("text", { x: right + beside, y: bottom + 16, "text-anchor": "end", class: "target" }, "- - target");

  const handles = Array.from({ length: count }, (_, k) => {
    const handle = add("circle", { class: "knot", r: 8, tabindex: 0, role: "slider", ...KEEPS_KEYS,
      "aria-label": `Knot ${k + 1} of ${count}. Arrow keys move it, with Shift farther; Home returns.`,
      "aria-valuemin": -axis, "aria-valuemax": axis });
    handle.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      handle.focus();
      handle.setPointerCapture(event.pointerId);
    });
    handle.addEventListener("pointermove", (event) => {
      if (!event.buttons) return;
      const box = element.getBoundingClientRect(), scale = width / box.width;
      const u = (event.clientX - box.left) * scale, v = (event.clientY - box.top) * scale;
      moveTo(k, [((u - left) / size) * 2 * axis - axis, ((bottom - v) / size) * 2 * axis - axis]);
    });
    handle.addEventListener("keydown", (event) => {
      if (!DIRECTIONS[event.key] && event.key !== "Home") return;
      event.preventDefault();
      nudge(k, event.key, event.shiftKey);
    });
    return handle;
  });

  const grid = Array.from({ length: 321 }, (_, i) => -4 + i / 40);
  const path = (points) => `M${points.map(([a, b]) => `${a.toFixed(1)} ${b.toFixed(1)}`).join("L")}`;
  const lower = (z) => [at(z), foot - normalDensity(z) * under * 2.2];
  set(base, { d: path(grid.filter((z) => Math.abs(z) <= axis).map(lower)) });
  const targetAt = (x) => (normalDensity(x, -modes, sigma) + normalDensity(x, modes, sigma)) / 2;
  const bounds = [-4, ...edges, 4];
  bandsBelow.forEach((band, k) => {
    const zs = grid.filter((z) => z > bounds[k] && z < bounds[k + 1] && Math.abs(z) < axis);
    const ends = [Math.max(bounds[k], -axis), ...zs, Math.min(bounds[k + 1], axis)];
    set(band, { d: path([[at(ends[0]), foot], ...ends.map(lower), [at(ends.at(-1)), foot]]) + "Z" });
  });

  function show(knots) {
    const pushedAt = (z) => {
      const [x, slope] = flowCurve(knots, z);
      return [right + 4 + Math.min(normalDensity(z) / slope, 1.6) * (beside - 8) / 1.1, up(x)];
    };
    set(line, { d: path(grid.map((z) => [at(z), up(flowCurve(knots, z)[0])])) });
    set(pushed, { d: path(grid.map(pushedAt)) });
    set(target, { d: path(grid.map((x) => [right + 4 + (targetAt(x) * (beside - 8)) / 1.1, up(x)])) });
    bandsBeside.forEach((band, k) => {
      const zs = [bounds[k], ...grid.filter((z) => z > bounds[k] && z < bounds[k + 1]), bounds[k + 1]];
      const y = (z) => up(flowCurve(knots, z)[0]);
      set(band, { d: path([[right + 4, y(zs[0])], ...zs.map(pushedAt), [right + 4, y(zs.at(-1))]]) + "Z" });
    });
    knots.forEach(([z, x], k) => set(handles[k], { cx: at(z), cy: up(x), "aria-valuenow": x,
      "aria-valuetext": `z ${number(z)}, x ${number(x)}` }));
  }
  return { element, show };
}

// ---------------------------------------------------------------- energies and scores in the plane

// x, y -> [E, s_1, s_2] of a mixture behind noise (see _energies.py).
export function mixture({ means, variances, logWeights }, sigma = 0) {
  const wide = variances.map((v) => v + sigma * sigma);
  const constants = wide.map((v, k) => logWeights[k] - Math.log(2 * Math.PI * v));
  const logs = new Float64Array(means.length);
  return (x, y) => {
    let top = -Infinity, sum = 0, u = 0, v = 0;
    for (let k = 0; k < logs.length; k++) {
      logs[k] = constants[k] - ((means[k][0] - x) ** 2 + (means[k][1] - y) ** 2) / (2 * wide[k]);
      top = Math.max(top, logs[k]);
    }
    for (let k = 0; k < logs.length; k++) {
      const weight = Math.exp(logs[k] - top);
      sum += weight;
      u += (weight * (means[k][0] - x)) / wide[k];
      v += (weight * (means[k][1] - y)) / wide[k];
    }
    return [-top - Math.log(sum), u / sum, v / sum];
  };
}

// The values at the midpoints of [-box, box]^2, row by row, y up.
function onGrid(f, box, cells) {
  const side = (2 * box) / cells, values = [];
  for (let i = 0; i < cells; i++)
    for (let j = 0; j < cells; j++) values.push(f(-box + side * (j + 0.5), -box + side * (i + 0.5)));
  return values;
}

// The mean of E under p^(1 / noise^2), from energies on a grid; without noise the least.
export function meanEnergy(energies, noise) {
  let least = Infinity, sum = 0, total = 0;
  for (const e of energies) least = Math.min(least, e);
  if (noise === 0) return least;
  for (const e of energies) {
    const weight = Math.exp((least - e) / (noise * noise));
    sum += weight;
    total += weight * e;
  }
  return total / sum;
}

export function energiesOf(spec) {
  const f = mixture(spec);
  return onGrid((x, y) => f(x, y)[0], spec.box, spec.cells);
}

// log of the ratio that decides whether a step may be taken, at temperature T = noise^2.
export function logAcceptance(here, there, step, noise) {
  const T = noise * noise, back = [0, 1].map((i) => here.x[i] - there.x[i]);
  if (T === 0) return there.energy <= here.energy ? 0 : -Infinity;
  const missed = (d, s) => d.reduce((sum, v, i) => sum + (v - (step / 2) * s[i]) ** 2, 0);
  const proposals = missed(back.map((v) => -v), here.score) - missed(back, there.score);
  return (here.energy - there.energy) / T + proposals / (2 * step * T);
}

// Numbers in (0, 1), the same at every visit (mulberry32), and pairs of normal ones.
function randomNumbers(seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
  const normals = () => {
    const r = Math.sqrt(-2 * Math.log(uniform())), angle = 2 * Math.PI * uniform();
    return [r * Math.cos(angle), r * Math.sin(angle)];
  };
  return { uniform, normals };
}

// Walkers on a mixture; advance takes one step with each and tells the share of accepted steps.
export function crowd(spec, seed = 1) {
  const f = mixture(spec), random = randomNumbers(seed);
  const place = (x) => {
    const [energy, ...score] = f(...x);
    return { x, energy, score };
  };
  let places = spec.start.map(place);
  function advance(step, noise, adjusted) {
    let accepted = 0;
    places = places.map((here) => {
      const xi = random.normals(), chance = random.uniform();
      const move = (v, i) => v + (step / 2) * here.score[i] + noise * Math.sqrt(step) * xi[i];
      const there = place(here.x.map(move));
      if (adjusted && !(Math.log(chance) < logAcceptance(here, there, step, noise))) return here;
      accepted++;
      return there;
    });
    return accepted / places.length;
  }
  const energy = () => places.reduce((sum, p) => sum + p.energy, 0) / places.length;
  return { advance, energy, places: () => places };
}

// A square of the plane with a density, as a picture behind what moves.
function groundOf(canvas, spec) {
  const square = { low: [-spec.box, -spec.box], side: 2 * spec.box };
  const map = planeMap(canvas, square), ground = h("canvas");
  function paint(energies, cells, style) {
    map.resize();
    set(ground, { width: canvas.width, height: canvas.height });
    const colour = (name) => style.getPropertyValue(`--dgm-${name}`).trim();
    const small = h("canvas", { width: cells, height: cells }), ink = small.getContext("2d");
    const pixels = ink.createImageData(cells, cells), top = Math.min(...rowMinima(energies, cells));
    const rgb = [1, 3, 5].map((i) => parseInt(colour("accent").slice(i, i + 2), 16));
    energies.forEach((e, at) => {
      const row = cells - 1 - Math.floor(at / cells), to = 4 * (row * cells + (at % cells));
      pixels.data.set([...rgb, 190 * Math.exp((top - e) / 2)], to);
    });
    ink.putImageData(pixels, 0, 0);
    const context = ground.getContext("2d");
    context.setTransform(map.scale, 0, 0, map.scale, 0, 0);
    context.fillStyle = colour("ground");
    context.fillRect(map.left, map.top, map.size, map.size);
    context.drawImage(small, map.left, map.top, map.size, map.size);
    context.textAlign = "center";
    context.textBaseline = "middle";
    drawAxes(context, map, square, colour, ["x₁", "x₂"]);
  }
  // A context that begins with the ground and draws inside the axes only.
  function begin() {
    const context = canvas.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    if (ground.width) context.drawImage(ground, 0, 0);
    context.setTransform(map.scale, 0, 0, map.scale, 0, 0);
    return context;
  }
  return { map, paint, begin };
}

const rowMinima = (values, cells) => // an argument list holds fewer than all of them
  Array.from({ length: cells }, (_, i) => Math.min(...values.slice(i * cells, (i + 1) * cells)));

const KEPT_STEPS = 100; // over which means are taken
const AT_ONCE = 200; // steps of a run that is not shown moving

function walkers(model, el) {
  const spec = model.get("spec"), energies = energiesOf(spec), [low, high] = spec.steps;
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const canvas = h("canvas", { role: "img" }), readout = h("p", { class: "dgm-readout" });
  const button = (text, action) => {
    const made = h("button", { type: "button", class: "dgm-button" }, text);
    made.addEventListener("click", action);
    return made;
  };
  const run = button("", () => {
    if (!still && !running) { play(); return; }
    if (still) for (let i = 0; i < AT_ONCE; i++) advance();
    pause();
    draw();
  });
  const buttons = h("div", { class: "dgm-controls" }, run,
    button("One step", () => { pause(); advance(); draw(); }), button("Start again", () => { begin(); draw(); }));
  const length = slider("step η", Math.log(low), Math.log(high), Math.log(high / low) / 40,
    (v) => change("step", Math.exp(v)));
  const noise = slider("noise ×", 0, 2, 0.25, (v) => change("noise", v));
  const box = h("input", { type: "checkbox", ...KEEPS_KEYS });
  box.addEventListener("change", () => change("adjusted", box.checked));
  const label = h("label", { class: "dgm-check" }, box, " accept or refuse each step (MALA)");
  el.append(h("div", { class: "dgm-plane dgm-fixed" }, canvas, h("div", { class: "dgm-side" }, buttons, readout)),
    h("div", { class: "dgm-controls" }, length.row, noise.row, label));
  details(el, spec.details);
  const say = announcer(el), ground = groundOf(canvas, spec);
  let walking, recent, steps, running = false;

  function begin() {
    walking = crowd(spec);
    recent = [];
    steps = 0;
  }
  function advance() {
    const [step, factor, adjusted] = ["step", "noise", "adjusted"].map((name) => model.get(name));
    const accepted = walking.advance(step, factor, adjusted);
    recent.push({ accepted, energy: walking.energy() });
    if (recent.length > KEPT_STEPS) recent.shift();
    steps++;
  }
  function pause() {
    running = false;
    run.textContent = still ? `${AT_ONCE} steps` : "▶\uFE0E Run";
  }
  function play() {
    running = true;
    run.textContent = "❚❚ Pause";
    const turn = () => {
      if (!running || !canvas.isConnected) return;
      advance();
      draw();
      requestAnimationFrame(turn);
    };
    requestAnimationFrame(turn);
  }
  function change(name, value) {
    model.set(name, value);
    model.save_changes();
    changed();
  }
  function changed() {
    recent = []; // means are those of the present rule
    drawSoon();
  }

  function draw() {
    const [step, factor, adjusted] = ["step", "noise", "adjusted"].map((name) => model.get(name));
    length.show(Math.log(step), step.toPrecision(2));
    noise.show(factor, number(factor));
    box.checked = adjusted;
    const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
    const energy = recent.length ? mean(recent.map((r) => r.energy)) : walking.energy();
    const places = walking.places(), inside = ({ x }) => x.every((v) => Math.abs(v) <= spec.box);
    const gone = places.length - places.filter(inside).length;
    const words = [`After ${steps} steps: mean energy ${energy < 1e4 ? number(energy) : "over 10,000"}`,
      `exact mean energy ${number(meanEnergy(energies, factor))}`,
      recent.length ? `accepted ${number(100 * mean(recent.map((r) => r.accepted)), 0)} %` : "",
      gone ? `outside of the picture: ${gone} of ${places.length}` : ""].filter(Boolean);
    readout.replaceChildren(...words.map((text) => h("span", {}, text)));
    canvas.setAttribute("aria-label", `${places.length} walkers on a density. ${words.join(", ")}.`);
    if (!running) say(words.join(", "));
    if (!canvas.width) return;
    const context = ground.begin(), style = getComputedStyle(el), { map } = ground;
    context.fillStyle = style.getPropertyValue("--dgm-warm").trim();
    context.strokeStyle = style.getPropertyValue("--dgm-ground").trim();
    for (const { x } of places.filter(inside)) {
      context.beginPath();
      context.arc(map.x(x[0]), map.y(x[1]), 3, 0, 7);
      context.fill();
      context.stroke();
    }
  }
  const drawSoon = oncePerFrame(draw);
  function repaint() {
    if (!canvas.clientWidth) return; // not on the page yet
    ground.paint(energies, spec.cells, getComputedStyle(el));
    draw();
  }
  begin();
  pause();
  for (const name of ["step", "noise", "adjusted"]) model.on(`change:${name}`, changed);
  const stopSizes = onResize(canvas, repaint), stopTheme = onTheme(repaint);
  repaint();
  return () => {
    running = false;
    for (const name of ["step", "noise", "adjusted"]) model.off(`change:${name}`, changed);
    stopSizes();
    stopTheme();
  };
}

// E |sigma s|^2 under the noised density, by a sum over squares.
export function told(spec, sigma) {
  const reach = Math.max(...spec.means.flat().map(Math.abs)), f = mixture(spec, sigma);
  const box = reach + 5 * Math.sqrt(Math.max(...spec.variances) + sigma * sigma);
  const terms = onGrid((x, y) => {
    const [energy, u, v] = f(x, y);
    return Math.exp(-energy) * sigma * sigma * (u * u + v * v);
  }, box, spec.cells);
  return ((2 * box) / spec.cells) ** 2 * terms.reduce((a, b) => a + b, 0);
}

function scoreField(model, el) {
  const spec = model.get("spec"), [low, high] = spec.sigmas.map(Math.log);
  const canvas = h("canvas", { role: "img" }), readout = h("p", { class: "dgm-readout" });
  const level = slider("noise σ", low, high, (high - low) / 60, (v) => {
    model.set("sigma", Math.exp(v));
    model.save_changes();
    repaintSoon();
  });
  el.append(h("div", { class: "dgm-plane dgm-fixed" }, canvas, h("div", { class: "dgm-side" }, readout)),
    h("div", { class: "dgm-controls" }, level.row));
  details(el, spec.details);
  const say = announcer(el), ground = groundOf(canvas, spec);

  function repaint() {
    const sigma = model.get("sigma"), found = told(spec, sigma), f = mixture(spec, sigma);
    level.show(Math.log(sigma), number(sigma));
    const words = [`σ = ${number(sigma)}`, `E‖σ s‖² = ${number(found)}`,
      `least E‖σ s_θ + ε‖² = 2 − ${number(found)} = ${number(2 - found)}`];
    readout.replaceChildren(...words.map((text) => h("span", {}, text)));
    canvas.setAttribute("aria-label", `Density behind noise, with arrows along its score. ${words.join(", ")}.`);
    say(words.join(", "));
    if (!canvas.clientWidth) return; // not on the page yet
    const style = getComputedStyle(el), { map } = ground;
    ground.paint(onGrid((x, y) => f(x, y)[0], spec.box, spec.cells), spec.cells, style);
    const context = ground.begin(), cell = map.size / spec.arrows;
    context.strokeStyle = style.getPropertyValue("--dgm-ink").trim();
    context.lineWidth = 1.3;
    context.beginPath();
    onGrid((x, y) => {
      const [, u, v] = f(x, y), long = sigma * Math.hypot(u, v), part = (sigma * cell) / (1 + long);
      const from = [map.x(x), map.y(y)], tip = [from[0] + part * u, from[1] - part * v];
      const head = 0.3 * Math.hypot(part * u, part * v), angle = Math.atan2(-v, u);
      context.moveTo(...from);
      context.lineTo(...tip);
      for (const turn of [2.6, -2.6]) {
        context.moveTo(...tip);
        context.lineTo(tip[0] + head * Math.cos(angle + turn), tip[1] + head * Math.sin(angle + turn));
      }
    }, spec.box, spec.arrows);
    context.stroke();
  }
  const repaintSoon = oncePerFrame(repaint);
  model.on("change:sigma", repaintSoon);
  const stopSizes = onResize(canvas, repaint), stopTheme = onTheme(repaint);
  repaint();
  return () => { model.off("change:sigma", repaintSoon); stopSizes(); stopTheme(); };
}

// ---------------------------------------------------------------- two ways in

const DRAWINGS = {
  latent_plane: latentPlane, frames, distribution_1d: distribution1d, flow_1d: flow1d,
  walkers, score_field: scoreField,
};

function render({ model, el }) {
  const live = h("div", { class: "dgm-live" }), root = h("div", { class: "dgm-figure" }, live);
  if (model.get("caption")) root.append(h("p", { class: "dgm-caption" }, model.get("caption")));
  el.append(root);
  return DRAWINGS[model.get("kind")](model, live);
}

export default { render };

// The state in the page, with the interface of a widget's model.
function pageModel(state) {
  const write = (name, value) => { state[name] = value; };
  const nothing = () => {};
  const get = (name) => state[name];
  return { isStatic: true, get, set: write, save_changes: nothing, on: nothing, off: nothing };
}

export function mount() {
  for (const root of document.querySelectorAll(".dgm-figure:not([data-live])")) {
    const data = root.querySelector('script[type="application/json"]');
    if (!data) continue; // a widget's, or not yet complete
    const began = performance.now(), state = JSON.parse(data.textContent);
    root.dataset.live = ""; // shows the live part, which drawings measure
    try {
      DRAWINGS[state.kind](pageModel(state), root.querySelector(".dgm-live"));
    } catch (error) {
      delete root.dataset.live; // the still picture stays
      root.querySelector(".dgm-live").replaceChildren();
      console.error(error);
    }
    performance.measure("dgm.figures", { start: began });
  }
}
