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
export function network(packed) {
  const steps = unpacked(packed);
  return (z) => through(steps, z, {});
}

// One that is told the log signal-to-noise ratio and a label (see _conditioned.py): what it makes of
// an event, once it was told.
export function conditioned(packed) {
  const steps = unpacked(packed), at = packed.layers.findIndex(({ type }) => type === "event");
  const [before, after] = [steps.slice(0, at), steps.slice(at + 1)];
  return (logSnr, y) => {
    const features = through(before, [logSnr], { y });
    return (x) => through(after, x, { features });
  };
}

function unpacked({ layers, weights }) {
  const reader = weightReader(fromBase64(weights).buffer);
  return layers.map((layer) => LAYERS[layer.type](layer, reader));
}

// `kept` holds what later layers read besides the output of the one before.
const through = (steps, x, kept) => steps.reduce((value, step) => step(value, kept), x);

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

const pointwise = (f) => () => (x) => {
  const y = new Float32Array(x.length); // a loop, as Float32Array.from takes ten times as long
  for (let i = 0; i < x.length; i++) y[i] = f(x[i]);
  return y;
};

// Numbers at these places of x.
const taken = (places) => {
  const from = Int32Array.from(places);
  return (x) => {
    const y = new Float32Array(from.length);
    for (let i = 0; i < y.length; i++) y[i] = x[from[i]];
    return y;
  };
};

const LAYERS = {
  same: () => (x) => x, // only the shape changes
  relu: pointwise((v) => Math.max(v, 0)),
  leaky: ({ slope }) => pointwise((v) => (v > 0 ? v : slope * v))(),
  tanh: pointwise(Math.tanh),
  sigmoid: pointwise((v) => 1 / (1 + Math.exp(-v))),
  softplus: ({ beta }) => pointwise((v) => softplus(beta * v) / beta)(),
  silu: pointwise((v) => v / (1 + Math.exp(-v))),
  linear,
  convolution,
  norm,
  film,
  waves: ({ frequencies }) => ([logSnr]) => {
    const phases = frequencies.map((f) => f * clamp(logSnr, -20, 20));
    return Float32Array.from([...phases.map(Math.sin), ...phases.map(Math.cos)]);
  },
  class: (layer, { matrix }) => { // a vector for each label, the first for none
    const vectors = matrix(layer);
    return (x, { y }) => x.map((v, i) => v + vectors[(y + 1) * layer.columns + i]);
  },
  event: () => (x) => x, // parts a list in two
  save: ({ slot }) => (x, kept) => (kept[slot] = x),
  load: ({ slot }) => (_, kept) => kept[slot],
  add: ({ slot }) => (x, kept) => {
    const y = x.slice(), other = kept[slot];
    for (let i = 0; i < y.length; i++) y[i] += other[i];
    return y;
  },
  concat: ({ slot }) => (x, kept) => {
    const y = new Float32Array(x.length + kept[slot].length);
    y.set(x);
    y.set(kept[slot], x.length);
    return y;
  },
  upsample({ in: [channels, H, W], out: [, P, Q] }) {
    const row = (p) => Math.floor((p * H) / P), column = (q) => Math.floor((q * W) / Q);
    return taken(Array.from({ length: channels * P * Q }, (_, at) => {
      const [c, p, q] = [Math.floor(at / (P * Q)), Math.floor(at / Q) % P, at % Q];
      return (c * H + row(p)) * W + column(q);
    }));
  },
  unshuffle: ({ fold, in: [channels, H, W] }) => taken(folded(fold, channels, H / fold, W / fold)),
  shuffle({ fold, in: [channels, H, W] }) {
    const places = folded(fold, channels / fold ** 2, H, W), back = places.slice();
    places.forEach((k, at) => { back[k] = at; });
    return taken(back);
  },
};

// Squares of fold x fold pixels as one place with as many channels: where its numbers come from. P x Q
// are the places.
function folded(fold, channels, P, Q) {
  return Array.from({ length: channels * fold * fold * P * Q }, (_, at) => {
    const q = at % Q, p = Math.floor(at / Q) % P, channel = Math.floor(at / (P * Q));
    const j = channel % fold, i = Math.floor(channel / fold) % fold, c = Math.floor(channel / fold ** 2);
    return (c * P * fold + p * fold + i) * Q * fold + q * fold + j;
  });
}

// Every group of channels with mean 0 and variance 1, then a scale and a shift for each channel.
function norm({ channels, groups, eps }, { floats }) {
  const scale = floats(channels), shift = floats(channels), each = channels / groups;
  return (x) => {
    const y = new Float32Array(x.length), size = x.length / channels, n = each * size;
    for (let first = 0; first < x.length; first += n) {
      let mean = 0, variance = 0;
      for (let i = first; i < first + n; i++) mean += x[i] / n;
      for (let i = first; i < first + n; i++) variance += (x[i] - mean) ** 2 / n;
      const factor = 1 / Math.sqrt(variance + eps);
      for (let i = first, c = first / size; i < first + n; c++)
        for (const end = i + size; i < end; i++) y[i] = (x[i] - mean) * factor * scale[c] + shift[c];
    }
    return y;
  };
}

// A scale and a shift for each channel, as the features say. They stay the same from event to event.
function film(layer, reader) {
  const told = linear(layer, reader), channels = layer.rows / 2;
  let heard, factors;
  return (x, { features }) => {
    if (heard !== features) [heard, factors] = [features, told(features)];
    const size = x.length / channels, y = new Float32Array(x.length);
    for (let c = 0, i = 0; c < channels; c++)
      for (const end = i + size; i < end; i++) y[i] = x[i] * (1 + factors[c]) + factors[channels + c];
    return y;
  };
}

// log(1 + e^u), without overflow
const softplus = (u) => Math.max(u, 0) + Math.log1p(Math.exp(-Math.abs(u)));

function linear(layer, { matrix, floats }) {
  const { rows, columns } = layer, weight = matrix(layer), bias = floats(rows), fours = columns - (columns % 4);
  return (x) => {
    const y = new Float32Array(rows);
    for (let i = 0, k = 0; i < rows; i++) {
      let sum = bias[i], b = 0, c = 0, d = 0, j = 0; // sums that need not wait for each other
      for (; j < fours; j += 4, k += 4) {
        sum += weight[k] * x[j];
        b += weight[k + 1] * x[j + 1];
        c += weight[k + 2] * x[j + 2];
        d += weight[k + 3] * x[j + 3];
      }
      for (; j < columns; j++, k++) sum += weight[k] * x[j];
      y[i] = sum + b + c + d;
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
  if (kh === 3 && kw === 3 && !transposed) return nineAtOnce(layer, weight, bias);
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

// The same with kernels of 3 x 3, the nine products of a place at once: several times as fast.
function nineAtOnce(layer, weight, bias) {
  const { rows, stride: [sh, sw], padding: [ph, pw], in: [channels, H, W], out: [, P, Q] } = layer;
  const high = H + 2 * ph, wide = W + 2 * pw, x = new Float32Array(channels * high * wide);
  return (given) => {
    for (let c = 0; c < channels; c++) // the margin stays zero
      for (let p = 0; p < H; p++)
        for (let q = 0, to = (c * high + p + ph) * wide + pw, from = (c * H + p) * W; q < W; q++)
          x[to + q] = given[from + q];
    const y = new Float32Array(rows * P * Q);
    for (let o = 0, k = 0; o < rows; o++) {
      y.fill(bias[o], o * P * Q, (o + 1) * P * Q);
      for (let c = 0; c < channels; c++, k += 9) {
        const w0 = weight[k], w1 = weight[k + 1], w2 = weight[k + 2], w3 = weight[k + 3], w4 = weight[k + 4];
        const w5 = weight[k + 5], w6 = weight[k + 6], w7 = weight[k + 7], w8 = weight[k + 8];
        for (let p = 0; p < P; p++) {
          let i = (c * high + p * sh) * wide, j = i + wide, l = j + wide, to = (o * P + p) * Q;
          for (const end = to + Q; to < end; to++, i += sw, j += sw, l += sw)
            y[to] += w0 * x[i] + w1 * x[i + 1] + w2 * x[i + 2] + w3 * x[j] + w4 * x[j + 1] + w5 * x[j + 2] +
              w6 * x[l] + w7 * x[l + 1] + w8 * x[l + 2];
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

// ---------------------------------------------------------------- from noise to data

// alpha, sigma and their slopes at time t, 0 for data and 1 for noise (dgm.paths).
export const PATHS = {
  cosine(t) {
    const quarter = Math.PI / 2, data = Math.sin(quarter * (1 - t)), noise = Math.sin(quarter * t);
    return { alpha: data, sigma: noise, dAlpha: -quarter * noise, dSigma: quarter * data };
  },
  linear: (t) => ({ alpha: 1 - t, sigma: t, dAlpha: -1, dSigma: 1 }),
  vp(t) {
    const rate = 0.1 + 19.9 * t, total = 0.1 * t + 9.95 * t * t;
    const alpha = Math.exp(-total / 2), sigma = Math.sqrt(-Math.expm1(-total));
    return { alpha, sigma, dAlpha: (-rate / 2) * alpha, dSigma: ((rate / 2) * alpha * alpha) / sigma };
  },
};

const logSnrAt = ({ alpha, sigma }) => 2 * Math.log(alpha / sigma);

// As many steps and one more time, falling from the first to 0 (dgm.paths.grid).
export const falling = ({ late }, steps) =>
  Array.from({ length: steps + 1 }, (_, i) => late * (1 - i / steps));

// The sampler: at every time yields { t, x, x0 }, x_t and the data that `denoise(x, t)` sees in it,
// and goes on with less noise, of which eta says how much is new (dgm.samplers.ddim). On the linear
// path with eta = 0 these are Euler's steps.
export function* ddim(path, denoise, x, times, eta = 0, normal = null) {
  for (let i = 0; i + 1 < times.length; i++) {
    const x0 = denoise(x, times[i]);
    yield { t: times[i], x, x0 };
    const { alpha, sigma } = PATHS[path](times[i]), next = PATHS[path](times[i + 1]);
    const variance = next.sigma ** 2 * (1 - ((alpha * next.sigma) / (next.alpha * sigma)) ** 2);
    const kept = Math.sqrt(next.sigma ** 2 - eta * eta * variance), fresh = eta * Math.sqrt(variance);
    x = x.map((v, j) => next.alpha * x0[j] + (kept * (v - alpha * x0[j])) / sigma +
      (eta ? fresh * normal() : 0));
  }
  yield { t: times.at(-1), x, x0: x };
}

// Away from what is seen without a label: w times the difference (dgm.denoisers.guided).
export const guided = (denoise, y, w) => (x, t) => {
  const given = denoise(x, t, y);
  if (w === 0) return given;
  const free = denoise(x, t, -1);
  return given.map((v, i) => v + w * (v - free[i]));
};

// Where a denoiser moves x_t: from E[x_0 | x_t] to the slope of the probability-flow equation.
export const velocity = (path, denoise) => (x, t) => {
  const { alpha, sigma, dAlpha, dSigma } = PATHS[path](t), x0 = denoise(x, t);
  return x.map((v, i) => dAlpha * x0[i] + (dSigma * (v - alpha * x0[i])) / sigma);
};

// Heun's steps along a field, the last one to time 0 Euler's; all x on the way (dgm.samplers.heun).
export function heun(field, x, times) {
  const way = [x];
  for (let i = 0; i + 1 < times.length; i++) {
    const [t, s] = [times[i], times[i + 1]], here = way[i], slope = field(here, t);
    const there = here.map((v, j) => v + (s - t) * slope[j]);
    const end = s > 0 ? field(there, s) : slope;
    way.push(here.map((v, j) => v + ((s - t) / 2) * (slope[j] + end[j])));
  }
  return way;
}

// What a prediction means, a x_0 + b epsilon, as pairs a, b (dgm.predictions).
const MEANINGS = {
  x0: () => [1, 0],
  eps: () => [0, 1],
  v: ({ alpha, sigma }) => [-sigma, alpha],
  score: ({ sigma }) => [0, -1 / sigma],
  velocity: ({ dAlpha, dSigma }) => [dAlpha, dSigma],
};

// A network as a denoiser of one event after the other (dgm.models.Diffusion): (x, t, y) -> x0.
export function networkDenoiser({ network, predict, shape }, path) {
  const told = conditioned(network), d = shape.reduce((a, b) => a * b);
  return (x, t, y = -1) => {
    const at = PATHS[path](t), { alpha, sigma } = at, size = Math.hypot(alpha, sigma);
    const [a, b] = MEANINGS[predict](at), factor = predict === "v" ? size : 1;
    const net = told(logSnrAt(at), y), x0 = x.slice();
    for (let first = 0; first < x.length; first += d) {
      const event = x.subarray(first, first + d), out = net(event.map((v) => v / size));
      for (let i = 0; i < d; i++)
        x0[first + i] = (b * event[i] - sigma * factor * out[i]) / (alpha * b - sigma * a);
    }
    return x0;
  };
}

// The truth about points on the line or in the plane whose density is a mixture of round Gaussians
// (dgm.denoisers.NoisedMixture): (x, t, y) -> x0, y = -1 for points of any class.
export function exactDenoiser({ means, variances, logWeights, labels }, path) {
  const D = means[0].length, K = means.length, logs = new Float64Array(K);
  return (x, t, y = -1) => {
    const { alpha, sigma } = PATHS[path](t), x0 = x.slice();
    const wide = variances.map((v) => alpha * alpha * v + sigma * sigma);
    const constants = wide.map((v, k) =>
      y < 0 || labels[k] === y ? logWeights[k] - (D / 2) * Math.log(v) : -Infinity);
    for (let first = 0; first < x.length; first += D) {
      let top = -Infinity, total = 0;
      for (let k = 0; k < K; k++) {
        let square = 0;
        for (let i = 0; i < D; i++) square += (x[first + i] - alpha * means[k][i]) ** 2;
        logs[k] = constants[k] - square / (2 * wide[k]);
        top = Math.max(top, logs[k]);
      }
      for (let i = 0; i < D; i++) x0[first + i] = 0;
      for (let k = 0; k < K; k++) {
        const weight = Math.exp(logs[k] - top); // of the component, given x_t
        if (weight === 0) continue;
        total += weight;
        for (let i = 0; i < D; i++) {
          const mean = sigma * sigma * means[k][i] + alpha * variances[k] * x[first + i];
          x0[first + i] += (weight * mean) / wide[k];
        }
      }
      for (let i = 0; i < D; i++) x0[first + i] /= total;
    }
    return x0;
  };
}

// The denoiser that none can beat on these examples (dgm.denoisers.IdealDenoiser): of one x_t, how
// much each example counts, and their mean.
export function idealDenoiser(examples, path) {
  const d = examples[0].length, norms = examples.map((e) => e.reduce((sum, v) => sum + v * v, 0));
  const weights = (x, t) => {
    const { alpha, sigma } = PATHS[path](t), logs = new Float64Array(examples.length);
    for (let n = 0; n < logs.length; n++) {
      const e = examples[n];
      let product = 0;
      for (let i = 0; i < d; i++) product += x[i] * e[i];
      logs[n] = (alpha * product - (alpha * alpha * norms[n]) / 2) / (sigma * sigma);
    }
    const total = logSum(logs);
    return Array.from(logs, (v) => Math.exp(v - total));
  };
  const denoise = (x, t) => {
    const x0 = x.map(() => 0);
    weights(x, t).forEach((w, n) => {
      if (w > 0) for (let i = 0; i < d; i++) x0[i] += w * examples[n][i];
    });
    return x0;
  };
  return { weights, denoise };
}

// Images of 16 levels, two pixels to a byte: the values of each, low + step times its level.
export function sixteenLevels({ pixels, count, size, low, step }) {
  const bytes = fromBase64(pixels);
  const level = (at) => (at % 2 ? bytes[at >> 1] >> 4 : bytes[at >> 1] & 15);
  return Array.from({ length: count }, (_, n) =>
    Float64Array.from({ length: size }, (_, i) => low + step * level(n * size + i)));
}

// One number from N(0, 1) after the other, the same at every visit (_sampling.py makes them, too).
export function normalNumbers(seed) {
  const { normals } = randomNumbers(seed), waiting = [];
  return () => {
    if (!waiting.length) waiting.push(...normals().reverse());
    return waiting.pop();
  };
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

function button(text, action) {
  const made = h("button", { type: "button", class: "dgm-button" }, text);
  made.addEventListener("click", action);
  return made;
}

// A labelled choice among names; show(index) makes it without telling onChange.
function choice(label, names, onChange) {
  const select = h("select", KEEPS_KEYS, ...names.map((name, i) => h("option", { value: i }, name)));
  select.addEventListener("change", () => onChange(Number(select.value)));
  const row = h("label", { class: "dgm-choice" }, h("span", {}, label), select);
  return { row, show: (index) => { select.value = index; } };
}

// What is done once per frame of the screen, until it returns false or the figure is gone.
function perFrame(el, act) {
  let turns = 0, running = false; // whoever stops and starts again starts another row of turns
  const stop = () => { turns++; running = false; };
  const start = () => {
    const mine = ++turns;
    running = true;
    const turn = () => {
      if (mine !== turns) return;
      if (!el.isConnected || act() === false) stop(); else requestAnimationFrame(turn);
    };
    requestAnimationFrame(turn);
  };
  return { start, stop, running: () => running };
}

const motionless = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// The traits with these names, and a way to change one.
const valuesOf = (model, names) => Object.fromEntries(names.map((name) => [name, model.get(name)]));
function assign(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
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
    assign(model, { z: inSquare(spec, z) });
    drawSoon();
  }
  steered(plane, map, { where: () => model.get("z"), start, step: spec.side / 60, move });
  model.on("change:z", drawSoon);
  const stopSizes = onResize(plane, repaint);
  const stopTheme = onTheme(repaint);
  repaint();
  return () => { model.off("change:z", drawSoon); stopSizes(); stopTheme(); };
}

const inSquare = ({ low, side }, point) => point.map((v, i) => clamp(v, low[i], low[i] + side));

// A canvas in which one point is moved: to where the pointer is, by a step with an arrow key, by five
// with Shift, back to the start with Home.
function steered(canvas, map, { where, start, step, move }) {
  const follow = (event) => move(map.code(event));
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    follow(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && follow(event));
  canvas.addEventListener("keydown", (event) => {
    const direction = DIRECTIONS[event.key];
    if (!direction && event.key !== "Home") return;
    event.preventDefault(); // do not scroll the page
    const [a, b] = where(), far = step * (event.shiftKey ? 5 : 1);
    move(direction ? [a + far * direction[0], b + far * direction[1]] : start);
  });
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

// Between codes and positions on the canvas, in CSS pixels; the drawing area is a square, `side` one
// number, or two for axes that measure different things.
const sidesOf = (side) => (Array.isArray(side) ? side : [side, side]);

function planeMap(canvas, { low, side }) {
  const [wide, high] = sidesOf(side);
  const map = {
    left: 34, // room for the axes' numbers, as much below as on the left
    top: 8,
    resize() {
      map.scale = window.devicePixelRatio || 1;
      map.size = canvas.clientWidth - map.left - map.top;
      const pixels = Math.round(canvas.clientWidth * map.scale);
      set(canvas, { width: pixels, height: pixels });
    },
    x: (a) => map.left + ((a - low[0]) / wide) * map.size,
    y: (b) => map.top + (1 - (b - low[1]) / high) * map.size,
    code(event) {
      const box = canvas.getBoundingClientRect(), toCss = canvas.clientWidth / box.width;
      const u = ((event.clientX - box.left) * toCss - map.left) / map.size;
      const v = ((event.clientY - box.top) * toCss - map.top) / map.size;
      return [low[0] + wide * u, low[1] + high * (1 - v)];
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
  const along = (i) => ticks(low[i], low[i] + sidesOf(side)[i]);
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

function legend(classes, what = "Classes") {
  const items = classes.map(({ glyph, name, light, dark }) =>
    h("li", {}, h("span", { style: `--light: ${light}; --dark: ${dark}` }, glyph), ` ${name}`));
  return h("ul", { class: "dgm-legend", "aria-label": what }, ...items);
}

// A canvas of one pixel per pixel. Grey is dark ink on white paper, as in dgm.plots.
function imageView(shape) {
  const { canvas, show, clear } = imageStrip(shape, 1, 1);
  return { canvas: set(canvas, { "aria-label": "Decoded image" }), show: (x) => show(0, 0, x), clear };
}

// Rows of such images in one canvas, a pixel apart.
function imageStrip([channels, height, width], columns, rows) {
  const canvas = h("canvas", { role: "img", width: columns * (width + 1) - 1, height: rows * (height + 1) - 1 });
  const context = canvas.getContext("2d"), pixels = context.createImageData(width, height);
  const n = width * height;
  const show = (row, column, x) => {
    for (let i = 0; i < n; i++) {
      for (let c = 0; c < 3; c++) // storing clips and rounds
        pixels.data[4 * i + c] = channels === 1 ? 255 * (1 - x[i]) : 255 * x[c * n + i];
      pixels.data[4 * i + 3] = 255;
    }
    context.putImageData(pixels, column * (width + 1), row * (height + 1));
  };
  return { canvas, show, clear: () => context.clearRect(0, 0, canvas.width, canvas.height) };
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

// A picture behind what moves, inside axes with these names; `inside` draws it.
function layered(canvas, square, names) {
  const map = planeMap(canvas, square), ground = h("canvas");
  function paint(style, inside) {
    map.resize();
    set(ground, { width: canvas.width, height: canvas.height });
    const colour = (name) => style.getPropertyValue(`--dgm-${name}`).trim();
    const context = ground.getContext("2d");
    context.setTransform(map.scale, 0, 0, map.scale, 0, 0);
    context.fillStyle = colour("ground");
    context.fillRect(map.left, map.top, map.size, map.size);
    context.save();
    context.beginPath();
    context.rect(map.left, map.top, map.size, map.size);
    context.clip();
    inside(context, colour);
    context.restore();
    context.textAlign = "center";
    context.textBaseline = "middle";
    drawAxes(context, map, square, colour, names);
  }
  // A context that begins with the ground.
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

// A square of the plane with a density.
function groundOf(canvas, spec) {
  const square = { low: [-spec.box, -spec.box], side: 2 * spec.box };
  const layers = layered(canvas, square, ["x₁", "x₂"]), { map } = layers;
  const paint = (energies, cells, style) => layers.paint(style, (context, colour) => {
    const small = h("canvas", { width: cells, height: cells }), ink = small.getContext("2d");
    const pixels = ink.createImageData(cells, cells), top = Math.min(...rowMinima(energies, cells));
    const rgb = [1, 3, 5].map((i) => parseInt(colour("accent").slice(i, i + 2), 16));
    energies.forEach((e, at) => {
      const row = cells - 1 - Math.floor(at / cells), to = 4 * (row * cells + (at % cells));
      pixels.data.set([...rgb, 190 * Math.exp((top - e) / 2)], to);
    });
    ink.putImageData(pixels, 0, 0);
    context.drawImage(small, map.left, map.top, map.size, map.size);
  });
  return { ...layers, paint };
}

const rowMinima = (values, cells) => // an argument list holds fewer than all of them
  Array.from({ length: cells }, (_, i) => Math.min(...values.slice(i * cells, (i + 1) * cells)));

const KEPT_STEPS = 100; // over which means are taken
const AT_ONCE = 200; // steps of a run that is not shown moving

function walkers(model, el) {
  const spec = model.get("spec"), energies = energiesOf(spec), [low, high] = spec.steps;
  const still = motionless();
  const canvas = h("canvas", { role: "img" }), readout = h("p", { class: "dgm-readout" });
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

// ---------------------------------------------------------------- images from noise

// The sampler of a figure from the noise of a seed (see _from_noise.py).
export function imageSteps(spec, { y, seed, steps, eta = 0, w = 0 }) {
  const { path, shape } = spec, normal = normalNumbers(seed), { alpha, sigma } = PATHS[path.name](path.late);
  const size = Math.hypot(alpha, sigma), d = shape.reduce((a, b) => a * b);
  const noise = Float32Array.from({ length: d }, () => size * normal());
  const denoise = guided(networkDenoiser(spec, path.name), spec.classes.length ? y : -1, w);
  return { noise, way: ddim(path.name, denoise, noise, falling(path, steps), eta, normal) };
}

// Both figures of a network that draws: from_noise, and euler_steps with its two numbers of steps.
function images(model, el) {
  const spec = model.get("spec"), { classes, columns } = spec, [fewest, most] = spec.steps;
  const euler = model.get("kind") === "euler_steps";
  const names = ["y", "seed", "steps", ...(euler ? [] : ["eta", "w"])], values = () => valuesOf(model, names);
  const shot = (title) => {
    const view = imageView(spec.shape), words = h("figcaption", {}, title);
    return { ...view, words, box: h("figure", { class: "dgm-shot" }, view.canvas, words) };
  };
  const [left, right] = euler ? [shot(""), shot(`${most} steps`)] : [shot("xₜ"), shot("x̂, seen in it")];
  const strip = imageStrip(spec.shape, columns, euler ? 2 : 1);
  const readout = h("p", { class: "dgm-readout" });
  const draw = button("", () => { if (frames.running()) pause(); else if (finished()) begin(true); else play(); });
  const buttons = h("div", { class: "dgm-controls" }, draw,
    button("New noise", () => change({ seed: model.get("seed") + 1 }, true)));
  const kind = choice("class", classes, (y) => change({ y }, true));
  const steps = slider(euler ? "Euler steps" : "steps", fewest, most, 1, (v) => change({ steps: v }));
  const eta = slider("new noise η", 0, 1, 0.05, (v) => change({ eta: v }));
  const w = slider("guidance w", 0, 8, 0.25, (v) => change({ w: v }));
  const rows = [classes.length && kind.row, steps.row, !euler && eta.row, !euler && classes.length && w.row];
  el.append(h("div", { class: "dgm-plane" }, left.box, right.box, h("div", { class: "dgm-side" }, buttons, readout)),
    h("div", { class: "dgm-strip" }, strip.canvas), h("div", { class: "dgm-controls" }, ...rows.filter(Boolean)));
  details(el, spec.details);
  const say = announcer(el), restored = (x) => x.map((v) => spec.mean + spec.scale * v);
  let drawing, stop, k, reference = null, started = false;

  const finished = () => stop && k === model.get("steps") && (!euler || reference.end);

  function begin(run) {
    drawing = imageSteps(spec, values());
    [stop, k] = [null, -1];
    strip.clear();
    right.clear();
    const { y, seed } = values();
    if (euler && (reference?.y !== y || reference.seed !== seed))
      reference = { y, seed, k: 0, ...imageSteps(spec, { y, seed, steps: most }) };
    pause();
    show();
    if (run) play();
  }

  // One step; false when there is none left. The most steps come after those that were asked for.
  function advance() {
    const { value, done } = drawing.way.next();
    if (!done) {
      [stop, k] = [value, k + 1];
      const { steps: n } = values();
      for (let column = 0; column < columns; column++) {
        if (Math.round((column * n) / (columns - 1)) !== k) continue;
        strip.show(0, column, restored(stop.x));
        if (euler) strip.show(1, column, restored(stop.x0));
      }
      return true;
    }
    if (!euler || reference.end) return false;
    const { value: far } = reference.way.next();
    if (far.t === 0) reference.end = far.x; else reference.k++;
    return true;
  }
  const frames = perFrame(el, () => {
    const more = advance() && !finished();
    if (!more) pause();
    if (!more || !motionless()) show();
    return more;
  });
  function play() {
    started = true;
    draw.textContent = "❚❚ Pause";
    frames.start();
  }
  function pause() {
    frames.stop();
    draw.textContent = `▶\uFE0E ${stop && !finished() ? "Go on" : "Draw"}`;
  }
  function change(assigned, run = false) {
    assign(model, assigned);
    begin(run || started);
  }

  function words() {
    const { y, seed, steps: n, w: pull } = values(), kindOf = classes.length ? `, class ${classes[y]}` : "";
    const about = `Noise ${seed}${kindOf}.`;
    if (!stop) return [about, `Press Draw for ${n} ${n === 1 ? "step" : "steps"}.`];
    const at = stop.t ? `t = ${number(stop.t)}, λ = ${number(logSnrAt(PATHS[spec.path.name](stop.t)), 1)}` : "t = 0";
    const found = [about, `Step ${k} of ${n}: ${at}`];
    if (!euler) return [...found, stop.t ? "" : `${n * (pull ? 2 : 1)} evaluations of the network`].filter(Boolean);
    if (k < n) return found;
    if (!reference.end) return [...found, `Step ${reference.k} of ${most}`];
    const end = restored(reference.end), off = restored(stop.x).map((v, i) => (v - end[i]) ** 2);
    const root = Math.sqrt(off.reduce((a, b) => a + b) / off.length);
    return [...found, `Root mean square difference to ${most} steps: ${number(root, 3)}`];
  }
  function show() {
    const { y, steps: n, eta: fresh = 0, w: pull = 0 } = values();
    left.show(restored(stop ? stop.x : drawing.noise));
    if (stop && !euler) right.show(restored(stop.x0));
    if (euler && reference.end) right.show(restored(reference.end));
    if (euler) left.words.textContent = `${n} ${n === 1 ? "step" : "steps"}`;
    kind.show(y);
    steps.show(n, String(n));
    eta.show(fresh, number(fresh));
    w.show(pull, number(pull));
    const said = words();
    readout.replaceChildren(...said.map((text) => h("span", {}, text)));
    const what = euler ? "Images on the way, below them what the network sees in each." : "Images on the way from noise.";
    for (const [canvas, title] of [[left.canvas, left.words.textContent], [right.canvas, right.words.textContent],
      [strip.canvas, what]]) set(canvas, { "aria-label": `${title}. ${said.join(" ")}` });
    if (!frames.running()) say(said.join(" "));
  }
  const changed = () => begin(started);
  for (const name of names) model.on(`change:${name}`, changed);
  begin(false);
  return () => { frames.stop(); for (const name of names) model.off(`change:${name}`, changed); };
}

// ---------------------------------------------------------------- the perfect network

// From the noise of a seed: yields { t, x, x0 } at every level, and the weights of the images there
// (see _ideal_denoiser.py).
export function* perfectWay(spec, examples, seed) {
  const normal = normalNumbers(seed), { weights, denoise } = idealDenoiser(examples, spec.path);
  const noise = Float64Array.from({ length: spec.images.size }, () => spec.size * normal());
  for (const { t, x, x0 } of ddim(spec.path, denoise, noise, spec.times)) // which stops at the last x
    yield { t, x, x0: x0 === x ? denoise(x, t) : x0, weights: weights(x, t) };
}

function perfectNetwork(model, el) {
  const spec = model.get("spec"), { levels } = spec, examples = sixteenLevels(spec.images);
  const [low, high] = spec.paper, toInk = (x) => x.map((v) => (v - low) / (high - low || 1));
  const shot = (title) => {
    const view = imageView(spec.shape), words = h("figcaption", {}, title);
    return { ...view, words, box: h("figure", { class: "dgm-shot" }, view.canvas, words) };
  };
  const noisy = shot("xₜ"), mean = shot("x̂"), readout = h("p", { class: "dgm-readout" });
  const heavy = Array.from({ length: Math.min(spec.heaviest, examples.length) }, () => shot(""));
  const again = button("New noise", () => { assign(model, { seed: model.get("seed") + 1 }); draw(); });
  const level = slider("log SNR λ", 0, levels.length - 1, 1, (k) => { assign(model, { log_snr: levels[k] }); drawSoon(); });
  el.append(h("div", { class: "dgm-plane" }, noisy.box, mean.box,
    h("div", { class: "dgm-side" }, h("div", { class: "dgm-controls" }, again), readout)),
  h("div", { class: "dgm-heavy", role: "group", "aria-label": "The images that count most" }, ...heavy.map((s) => s.box)),
  h("div", { class: "dgm-controls" }, level.row));
  details(el, spec.details);
  const say = announcer(el);
  let way, stops, seed;

  function draw() {
    if (seed !== model.get("seed")) {
      seed = model.get("seed");
      [way, stops] = [perfectWay(spec, examples, seed), []];
    }
    const off = levels.map((v) => Math.abs(v - model.get("log_snr"))), k = off.indexOf(Math.min(...off));
    while (stops.length <= k) stops.push(way.next().value);
    const { t, x, x0, weights: shares } = stops[k];
    const order = shares.map((_, i) => i).sort((i, j) => shares[j] - shares[i]).slice(0, heavy.length);
    noisy.show(toInk(x));
    mean.show(toInk(x0));
    order.forEach((i, place) => {
      const percent = `${number(100 * shares[i], shares[i] < 0.1 ? 1 : 0)} %`;
      heavy[place].show(toInk(examples[i]));
      heavy[place].words.textContent = percent;
      set(heavy[place].canvas, { "aria-label": `Training image with the weight ${percent}` });
    });
    level.show(k, number(levels[k]));
    const effective = 1 / shares.reduce((sum, w) => sum + w * w, 0);
    const words = [`Noise ${seed}.`, `λ = ${number(levels[k])}, t = ${number(t)}`,
      `heaviest image ${number(shares[order[0]], 3)} of the weight`, `1 / Σ w² = ${number(effective, 1)} images`];
    readout.replaceChildren(...words.map((text) => h("span", {}, text)));
    set(noisy.canvas, { "aria-label": `Noisy image xₜ. ${words.join(" ")}` });
    set(mean.canvas, { "aria-label": `Mean of the training images, given xₜ. ${words.join(" ")}` });
    say(words.join(" "));
  }
  const drawSoon = oncePerFrame(draw);
  for (const name of ["seed", "log_snr"]) model.on(`change:${name}`, drawSoon);
  draw();
  return () => { for (const name of ["seed", "log_snr"]) model.off(`change:${name}`, drawSoon); };
}

// ---------------------------------------------------------------- particles

// Noise and the steps from it, by the exact score or by the network (see _particles.py).
export function particleSteps(spec, { eta, steps, seed }, learned = false) {
  const { path } = spec, normal = normalNumbers(seed), { alpha, sigma } = PATHS[path.name](path.late);
  const size = Math.hypot(alpha, sigma);
  const noise = Float64Array.from({ length: 2 * spec.n }, () => size * normal());
  const denoise = learned ? networkDenoiser(spec.learned, path.name) : exactDenoiser(spec.mixture, path.name);
  return { noise, way: ddim(path.name, denoise, noise, falling(path, steps), eta, normal) };
}

// Mean of -log p_0 over particles in the network's space, in nats of the data's units.
export function particleEnergy(spec, x) {
  const energy = mixture(spec.mixture);
  let sum = 0;
  for (let i = 0; i < x.length; i += 2) sum += energy(x[i], x[i + 1])[0];
  return (2 * sum) / x.length + 2 * Math.log(spec.scale);
}

const BUDGET = 12; // milliseconds of steps between two frames

function particles(model, el) {
  const spec = model.get("spec"), [fewest, most] = spec.steps, names = ["eta", "steps", "seed"];
  const titles = spec.learned ? ["exact score", "network"] : ["exact score"];
  const panels = titles.map((title, i) => {
    const canvas = h("canvas", { role: "img" }), words = h("figcaption", {}, title);
    const box = spec.learned ? h("figure", { class: "dgm-panel" }, canvas, words) : canvas;
    return { canvas, box, title, learned: i === 1, ground: groundOf(canvas, spec) };
  });
  const readout = h("p", { class: "dgm-readout" });
  const play = button("", () => {
    if (frames.running()) { pause(); draw(); return; }
    if (stop() === model.get("steps")) goTo(0);
    if (motionless()) { goTo(model.get("steps")); draw(); return; }
    play.textContent = "❚❚ Pause";
    frames.start();
  });
  const buttons = h("div", { class: "dgm-controls" }, play,
    button("New noise", () => change({ seed: model.get("seed") + 1 })));
  const time = slider("time", 0, 1, 1, (k) => { pause(); goTo(k); drawSoon(); });
  const steps = slider("steps", fewest, most, 1, (v) => change({ steps: v }));
  const eta = slider("new noise η", 0, 1, 0.05, (v) => change({ eta: v }));
  const side = h("div", { class: spec.learned ? "dgm-controls" : "dgm-side" }, buttons, readout);
  el.append(h("div", { class: "dgm-plane dgm-fixed" }, ...panels.map((p) => p.box), spec.learned ? "" : side),
    spec.learned ? side : "", h("div", { class: "dgm-controls" }, time.row, steps.row, eta.row));
  details(el, spec.details);
  const say = announcer(el);
  let films, times, painted = null, timer = null;

  const stop = () => clamp(Math.round((1 - model.get("t") / spec.path.late) * model.get("steps")), 0, model.get("steps"));
  const goTo = (k) => assign(model, { t: times[k] });

  function begin() {
    times = falling(spec.path, model.get("steps"));
    films = panels.map(({ learned }) => {
      const { noise, way } = particleSteps(spec, valuesOf(model, names), learned);
      return { states: [noise], way, known: 0 }; // the first stop is known without a step
    });
    painted = null;
  }
  // Go on with the films until all have a stop, but not for long: whether they have.
  function reach(k) {
    const began = performance.now(), short = () => films.find(({ states }) => states.length <= k);
    for (let film = short(); film; film = short()) {
      if (performance.now() - began > BUDGET) return false;
      const { value } = film.way.next();
      if (film.known++ > 0) film.states.push(value.x);
    }
    return true;
  }
  function change(assigned) {
    const { t } = valuesOf(model, ["t"]);
    assign(model, assigned);
    begin();
    assign(model, { t: times[clamp(Math.round((1 - t / spec.path.late) * model.get("steps")), 0, model.get("steps"))] });
    drawSoon();
  }
  function pause() {
    frames.stop();
    play.textContent = "▶\uFE0E Play";
  }
  const frames = perFrame(el, () => {
    const k = stop();
    if (reach(k) && k < model.get("steps")) goTo(k + 1);
    const last = stop() === model.get("steps") && reach(model.get("steps"));
    if (last) pause();
    draw();
    return !last;
  });

  function paint(t) {
    const { alpha, sigma } = PATHS[spec.path.name](t), { means, variances, logWeights } = spec.mixture;
    const f = mixture({ means: means.map((m) => m.map((v) => alpha * v)),
      variances: variances.map((v) => alpha * alpha * v), logWeights }, sigma);
    const own = (v) => (v - spec.mean) / spec.scale;
    const energies = onGrid((x, y) => f(own(x), own(y))[0], spec.box, spec.cells);
    for (const { ground } of panels) ground.paint(energies, spec.cells, getComputedStyle(el));
    painted = t;
  }

  function draw() {
    const wanted = stop(), there = reach(wanted);
    if (!there) drawSoon();
    const k = Math.min(wanted, ...films.map(({ states }) => states.length - 1)), n = model.get("steps");
    set(time.row.querySelector("input"), { max: n });
    time.show(wanted, `t = ${number(times[wanted])}`);
    steps.show(n, String(n));
    eta.show(model.get("eta"), number(model.get("eta")));
    const words = [`Step ${k} of ${n}: t = ${number(times[k])}`];
    if (k === n) {
      words.push(`exact mean energy ${number(spec.entropy)} nats`);
      films.forEach(({ states }, i) =>
        words.push(`${panels.length > 1 ? titles[i] : "particles"}: ${number(particleEnergy(spec, states[k]))}`));
    }
    readout.replaceChildren(...words.map((text) => h("span", {}, text)));
    for (const { canvas, title } of panels)
      set(canvas, { "aria-label": `${spec.n} particles, ${title}, on the density at the time. ${words.join(", ")}.` });
    if (there && !frames.running()) say(words.join(", "));
    if (!panels[0].canvas.clientWidth) return; // not on the page yet
    if (painted !== times[k]) paint(times[k]);
    const style = getComputedStyle(el);
    panels.forEach(({ ground }, i) => {
      const context = ground.begin(), { map } = ground, x = films[i].states[k];
      context.fillStyle = style.getPropertyValue("--dgm-warm").trim();
      for (let j = 0; j < x.length; j += 2) {
        const [a, b] = [spec.mean + spec.scale * x[j], spec.mean + spec.scale * x[j + 1]];
        if (Math.abs(a) < spec.box && Math.abs(b) < spec.box) context.fillRect(map.x(a) - 1.25, map.y(b) - 1.25, 2.5, 2.5);
      }
    });
  }
  const drawSoon = oncePerFrame(draw);
  const repaint = () => { painted = null; draw(); };
  const changed = () => { begin(); drawSoon(); };
  begin();
  pause();
  for (const name of names) model.on(`change:${name}`, changed);
  model.on("change:t", drawSoon);
  const stopSizes = onResize(panels[0].canvas, repaint), stopTheme = onTheme(repaint);
  repaint();
  return () => {
    frames.stop();
    for (const name of names) model.off(`change:${name}`, changed);
    model.off("change:t", drawSoon);
    stopSizes();
    stopTheme();
  };
}

// ---------------------------------------------------------------- guidance on the line

// What the ODE and the tilted density have in each cell, and what is said of them (see _guidance.py).
export function guidanceMasses(spec, w) {
  const { path, noise, below, steps, span: [low, high], cells, y, labels } = spec;
  const denoise = exactDenoiser(spec, path.name);
  const way = heun(velocity(path.name, guided(denoise, y, w)), Float64Array.from(noise), falling(path, steps));
  const points = way.at(-1), cell = (high - low) / cells;
  let right = 1;
  const under = (x) => { // the mass, for x that rises
    while (right < points.length - 1 && points[right] < x) right++;
    const share = clamp((x - points[right - 1]) / (points[right] - points[right - 1]), 0, 1);
    return below[right - 1] + share * (below[right] - below[right - 1]);
  };
  const edges = Array.from({ length: cells + 1 }, (_, i) => under(low + cell * i));
  const x = Array.from({ length: cells }, (_, i) => low + cell * (i + 0.5));
  const logs = (of, v) => logSum(spec.means.flatMap(([mean], k) => of(labels[k])
    ? [spec.logWeights[k] - 0.5 * Math.log(spec.variances[k]) - (v - mean) ** 2 / (2 * spec.variances[k])] : []));
  const tilt = (power) => {
    const log = x.map((v) => {
      const mine = logs((c) => c === y, v);
      return mine + power * (mine - logs(() => true, v));
    });
    const total = logSum(log);
    return log.map((v) => Math.exp(v - total));
  };
  const ode = x.map((_, i) => edges[i + 1] - edges[i]), tilted = tilt(w);
  const mean = (masses) => masses.reduce((sum, m, i) => sum + m * x[i], 0);
  const tv = 0.5 * ode.reduce((sum, m, i) => sum + Math.abs(m - tilted[i]), 0);
  return { x, cell, ode, tilted, plain: tilt(0), tv, mean_ode: mean(ode), mean_tilted: mean(tilted) };
}

function logSum(values) {
  const top = values.reduce((a, b) => Math.max(a, b));
  return top + Math.log(values.reduce((sum, v) => sum + Math.exp(v - top), 0));
}

function guidance(model, el) {
  const spec = model.get("spec"), sums = h("div", { class: "dgm-sum" });
  const w = slider("guidance w", 0, spec.most, spec.most / 100, (v) => { assign(model, { w: v }); drawSoon(); });
  let plot = guidancePlot(spec, el.clientWidth);
  el.append(plot.element, sums, h("div", { class: "dgm-controls" }, w.row));
  details(el, spec.details);
  const say = announcer(el);

  function draw() {
    const found = guidanceMasses(spec, model.get("w"));
    plot.show(found);
    w.show(model.get("w"), number(model.get("w")));
    const parts = [["total variation ", number(found.tv, 3), "; "], ["mean of the ODE's ", number(found.mean_ode), "; "],
      ["mean of the tilted ", number(found.mean_tilted), ""]];
    sums.replaceChildren(h("p", {}, ...parts.map(([name, value, end]) => h("span", {}, name, h("b", {}, value), end))));
    const words = `w = ${number(model.get("w"))}: ${parts.flat().join("")}`;
    set(plot.element, { "aria-label": `Densities on the line. ${words}` });
    say(words);
  }
  const drawSoon = oncePerFrame(draw);
  model.on("change:w", drawSoon);
  const stopSizes = onResize(el, () => {
    const old = plot.element;
    plot = guidancePlot(spec, el.clientWidth);
    old.replaceWith(plot.element);
    draw();
  });
  draw();
  return () => { model.off("change:w", drawSoon); stopSizes(); };
}

// Three densities over x. One unit is one CSS pixel.
function guidancePlot({ span: [low, high] }, available) {
  const width = clamp(available || 620, 280, 620), left = 14, right = width - 14, base = 260, height = 180;
  const element = svg("svg", { viewBox: `0 0 ${width} ${base + 24}`, width, class: "dgm-plot", role: "img" });
  const add = (tag, attributes, text) => element.appendChild(svg(tag, attributes, text));
  const at = (v) => left + ((v - low) / (high - low)) * (right - left);
  const curves = [["prior", "p(x | y)"], ["posterior", "what the ODE draws"], ["q", "p(x | y) p(y | x)ʷ, normalised"]]
    .map(([name, text], i) => {
      add("path", { class: name, d: `M${left} ${12 + 20 * i}h26` });
      add("text", { x: left + 32, y: 16 + 20 * i }, text);
      return add("path", { class: name });
    });
  add("path", { class: "axis", d: `M${left} ${base}H${right}` });
  for (const [t, text] of ticks(low, high))
    add("text", { x: clamp(at(t), 22, right - 8), y: base + 17, "text-anchor": "middle" }, text);
  add("text", { x: right, y: base - 6, "text-anchor": "end", "font-style": "italic" }, "x");
  function show({ x, ode, tilted, plain }) {
    const peak = Math.max(...plain, ...tilted, ...ode);
    [plain, ode, tilted].forEach((masses, i) => {
      const points = masses.map((m, j) => `${at(x[j]).toFixed(1)} ${(base - (height * m) / peak).toFixed(1)}`);
      set(curves[i], { d: `M${points.join("L")}` });
    });
  }
  return { element, show };
}

// ---------------------------------------------------------------- balls to the k-th neighbour

const apart = (p, q) => Math.sqrt((p[0] - q[0]) ** 2 + (p[1] - q[1]) ** 2);

// The distance of each point to its k-th neighbour; number 0 is the point itself.
function reaches(points, k) {
  const near = new Float64Array(k + 1);
  return points.map((p) => {
    near.fill(Infinity);
    for (const q of points) {
      const d = apart(p, q);
      if (d >= near[k]) continue;
      let i = k;
      for (; i > 0 && near[i - 1] > d; i--) near[i] = near[i - 1];
      near[i] = d;
    }
    return near[k];
  });
}

// Precision, recall, density and coverage (dgm.evaluate.prdc), and what each point adds to them: in
// how many balls of the data a sample lies, how many samples the ball of a real point holds.
export function prdc(real, fake, k) {
  const reach = { real: reaches(real, k), fake: reaches(fake, k) };
  const balls = fake.map(() => 0), holds = real.map(() => 0), recalled = real.map(() => 0);
  real.forEach((x, i) => fake.forEach((y, j) => {
    const d = apart(x, y);
    if (d <= reach.real[i]) { balls[j]++; holds[i]++; }
    if (d <= reach.fake[j]) recalled[i]++;
  }));
  const share = (counts) => counts.filter((n) => n > 0).length / counts.length;
  let missed = 1;
  for (let i = 1; i <= k; i++) missed *= (real.length - i) / (real.length + fake.length - i);
  return {
    precision: share(balls), recall: share(recalled), coverage: share(holds), expected: 1 - missed,
    density: balls.reduce((a, b) => a + b) / (k * fake.length), reach, balls, holds,
  };
}

const BALLS = { outlier: "outlier and neighbours", real: "all data", generated: "all samples", none: "none" };

function balls(model, el) {
  const spec = model.get("spec"), start = model.get("outlier"), kinds = Object.keys(BALLS);
  const canvas = h("canvas", { ...KEEPS_KEYS, tabindex: 0, role: "application", "aria-roledescription": "plane" });
  const readout = h("p", { class: "dgm-readout" });
  const k = slider("k", 1, spec.most, 1, (v) => { assign(model, { k: v }); drawSoon(); });
  const around = choice("balls of", Object.values(BALLS), (i) => { assign(model, { around: kinds[i] }); drawSoon(); });
  el.append(h("div", { class: "dgm-plane" }, canvas, h("div", { class: "dgm-side" }, readout)),
    legend([["●", "data (filled: its ball holds a sample)", "#0b5c9e", "#86c5ff"], ["◆", "the outlier, of the data", "#1d2733", "#d6dde6"],
      ["▲", "samples (filled: in a ball of the data)", "#a8480a", "#ffb580"]]
      .map(([glyph, name, light, dark]) => ({ glyph, name, light, dark })), "Marks"),
    h("div", { class: "dgm-controls" }, k.row, around.row));
  details(el, spec.details);
  const say = announcer(el), layers = layered(canvas, spec, ["x₁", "x₂"]), { map } = layers;

  function draw() {
    const [where, n, kind] = ["outlier", "k", "around"].map((name) => model.get(name));
    const real = [...spec.real, where], found = prdc(real, spec.fake, n);
    k.show(n, String(n));
    around.show(kinds.indexOf(kind));
    const parts = ["precision", "recall", "density", "coverage"].map((name) => [name, number(found[name])]);
    const words = [`coverage of a perfect model ${number(found.expected)}`,
      `The outlier at (${where.map((v) => number(v)).join(", ")}) has a ball with ${found.holds.at(-1)} of ${spec.fake.length} samples.`];
    readout.replaceChildren(...parts.map(([name, value]) => h("span", {}, `${name} `, h("b", {}, value))),
      ...words.map((text) => h("span", {}, text)));
    const text = `k = ${n}: ${parts.map((part) => part.join(" ")).join(", ")}, ${words.join(". ")}`;
    set(canvas, { "aria-label": "Data and samples in the plane. Drag, or press the arrow keys, to move the outlier; " +
      `with Shift in larger steps; Home returns to the start. ${text}` });
    say(text);
    if (!canvas.clientWidth) return; // not on the page yet
    const context = layers.begin(), style = getComputedStyle(el);
    const [blue, warm, ink, ground] = ["accent", "warm", "ink", "ground"].map((name) => style.getPropertyValue(`--dgm-${name}`).trim());
    context.save();
    context.beginPath();
    context.rect(map.left, map.top, map.size, map.size);
    context.clip();
    context.strokeStyle = context.fillStyle = kind === "generated" ? warm : blue;
    const [points, reach] = kind === "generated" ? [spec.fake, found.reach.fake] : [real, found.reach.real];
    const order = points.map((_, i) => i), off = points.map((p) => apart(p, where));
    if (kind === "outlier") order.sort((i, j) => off[i] - off[j]).splice(spec.near + 1);
    if (kind === "none") order.length = 0;
    for (const i of order) {
      const mine = kind !== "generated" && i === real.length - 1;
      context.beginPath();
      context.arc(map.x(points[i][0]), map.y(points[i][1]), (reach[i] / spec.side) * map.size, 0, 7);
      context.globalAlpha = 0.07;
      context.fill();
      context.globalAlpha = mine ? 1 : 0.55;
      context.lineWidth = mine ? 2 : 1;
      context.stroke();
    }
    context.globalAlpha = 1;
    context.lineWidth = 1.2;
    // a mark with so many corners, or round; filled if it counts
    const mark = ([a, b], corners, size, counts, colour) => {
      context.beginPath();
      if (!corners) context.arc(map.x(a), map.y(b), size, 0, 7);
      for (let i = 0; i < corners; i++) {
        const angle = ((i / corners) * 2 - 0.5) * Math.PI;
        context.lineTo(map.x(a) + size * Math.cos(angle), map.y(b) + size * Math.sin(angle));
      }
      context.closePath();
      context.fillStyle = counts ? colour : ground;
      context.strokeStyle = colour;
      context.fill();
      context.stroke();
    };
    spec.fake.forEach((p, j) => mark(p, 3, 4.2, found.balls[j], warm));
    spec.real.forEach((p, i) => mark(p, 0, 2.9, found.holds[i], blue));
    mark(where, 4, 8, found.holds.at(-1), ink);
    context.restore();
  }
  const drawSoon = oncePerFrame(draw);
  const repaint = () => {
    if (canvas.clientWidth) layers.paint(getComputedStyle(el), () => {});
    draw();
  };
  steered(canvas, map, { where: () => model.get("outlier"), start, step: spec.side / 60, move(to) {
    assign(model, { outlier: inSquare(spec, to) });
    drawSoon();
  } });
  const names = ["k", "outlier", "around"];
  for (const name of names) model.on(`change:${name}`, drawSoon);
  const stopSizes = onResize(canvas, repaint), stopTheme = onTheme(repaint);
  repaint();
  return () => {
    for (const name of names) model.off(`change:${name}`, drawSoon);
    stopSizes();
    stopTheme();
  };
}

// ---------------------------------------------------------------- ranks that cross

// The families that have both measures, their orders by each, and how far these agree (see _ranks.py).
export function rankNumbers({ families, measures, errors }, left, right) {
  const [a, b] = [left, right].map((name) => {
    const { good, values } = measures.find((m) => m.name === name), sign = good === "small" ? 1 : -1;
    return values.map((pair) => pair && [sign * pair[0], pair[1]]);
  });
  const shown = families.map((name, i) => ({ i, name, ends: [a[i], b[i]] })).filter(({ ends }) => ends.every(Boolean));
  const kind = (one, other) => {
    const off = [0, 1].map((s) => one.ends[s][0] - other.ends[s][0]);
    if (off[0] * off[1] >= 0) return "none";
    return off.every((d, s) => Math.abs(d) > errors * Math.hypot(one.ends[s][1], other.ends[s][1])) ? "sure" : "unsure";
  };
  const pairs = shown.flatMap((one, n) => shown.slice(0, n).map((other) => kind(one, other)));
  for (const one of shown) {
    const kinds = shown.map((other) => kind(one, other));
    one.line = ["sure", "unsure", "none"].find((name) => kinds.includes(name));
  }
  const averageRanks = (s) => shown.map(({ ends }) => {
    const values = shown.map((other) => other.ends[s][0]), mine = ends[s][0];
    return values.filter((v) => v < mine).length + (values.filter((v) => v === mine).length - 1) / 2;
  });
  const centred = [0, 1].map(averageRanks).map((r) => r.map((v) => v - (r.length - 1) / 2));
  const product = (x, y) => x.reduce((sum, v, i) => sum + v * y[i], 0);
  const size = Math.sqrt(product(centred[0], centred[0]) * product(centred[1], centred[1]));
  // of equal values first the one that is better on the other side
  const orders = [0, 1].map((s) => [...shown].sort((f, g) => f.ends[s][0] - g.ends[s][0] || f.ends[1 - s][0] - g.ends[1 - s][0]));
  return {
    shown, orders, spearman: shown.length > 2 && size > 0 ? product(...centred) / size : NaN, pairs: pairs.length,
    crossings: pairs.filter((p) => p !== "none").length, sure: pairs.filter((p) => p === "sure").length,
  };
}

const LINES = { sure: "crosses another for sure", unsure: "crossings within the errors", none: "crosses none" };

function ranks(model, el) {
  const spec = model.get("spec"), names = spec.measures.map((m) => m.name), sides = ["left", "right"];
  const pick = sides.map((side) => choice(side, names, (i) => { assign(model, { [side]: names[i] }); draw(); }));
  const sums = h("div", { class: "dgm-sum" }), absent = h("p", { class: "dgm-readout dgm-absent" });
  const keys = Object.entries(LINES).map(([kind, text]) => {
    const sample = svg("svg", { width: 34, height: 10, class: "dgm-plot dgm-ranks", "aria-hidden": "true" });
    sample.append(svg("path", { class: kind, d: "M1 5h32" }));
    return h("li", {}, sample, ` ${text}`);
  });
  let plot = h("div");
  el.append(h("div", { class: "dgm-controls" }, ...pick.map((p) => p.row)), plot, sums, absent,
    h("ul", { class: "dgm-legend", "aria-label": "Lines" }, ...keys));
  details(el, spec.details);
  const say = announcer(el);

  function draw() {
    const chosen = sides.map((side) => model.get(side)), found = rankNumbers(spec, ...chosen);
    pick.forEach((p, s) => p.show(names.indexOf(chosen[s])));
    const measures = chosen.map((name) => spec.measures[names.indexOf(name)]);
    const old = plot;
    plot = ranksPlot(found, measures, el.clientWidth);
    old.replaceWith(plot);
    const parts = [["Spearman's correlation ", number(found.spearman), ` of ${found.shown.length} families; `],
      ["", String(found.crossings), ` of ${found.pairs} pairs change their order, `], ["", String(found.sure), " for sure"]];
    sums.replaceChildren(h("p", {}, ...parts.map(([name, value, end]) => h("span", {}, name, h("b", {}, value), end))));
    const missing = spec.families.filter((name) => !found.shown.some((f) => f.name === name));
    absent.textContent = missing.length ? `Not measured by both: ${missing.join(", ")}.` : "";
    const words = `${chosen.join(" and ")}: ${parts.flat().join("")}.`;
    const lists = found.orders.map((order, s) => `By ${chosen[s]}: ${order.map((f) => `${f.name} ${measures[s].texts[f.i]}`).join(", ")}.`);
    set(plot, { "aria-label": `Ranks by two measures. ${lists.join(" ")} ${words}` });
    say(words);
  }
  for (const side of sides) model.on(`change:${side}`, draw);
  const stopSizes = onResize(el, draw);
  draw();
  return () => { for (const side of sides) model.off(`change:${side}`, draw); stopSizes(); };
}

// Two columns of ranks with lines between them. One unit is one CSS pixel.
function ranksPlot({ shown, orders }, measures, available) {
  const width = clamp(available || 620, 280, 620), pitch = 42, top = 46;
  const texts = shown.flatMap(({ i, name }) => [name, ...measures.map((m) => m.texts[i])]);
  const room = Math.min(0.36 * width, 14 + 7.2 * Math.max(0, ...texts.map((t) => t.length)));
  const letters = Math.floor(room / 7.2), short = (t) => (t.length > letters ? `${t.slice(0, letters - 1)}…` : t);
  const element = svg("svg", { viewBox: `0 0 ${width} ${top + pitch * shown.length}`, width, class: "dgm-plot dgm-ranks", role: "img" });
  const add = (parent, tag, attributes, text) => parent.appendChild(svg(tag, attributes, text));
  const at = [room + 14, width - room - 14], outer = ["end", "start"], y = (rank) => top + pitch * rank;
  [0, 1].forEach((s) => add(element, "text", { x: at[s] + (s ? -10 : 10), y: 16, "text-anchor": outer[s], class: "quiet" }, `${measures[s].good} is good`));
  for (const family of shown) {
    const group = add(element, "g", {}), ranks = orders.map((order) => order.indexOf(family)), [from, to] = ranks.map(y);
    add(group, "path", { class: family.line, d: `M${at[0]} ${from}L${at[1]} ${to}` });
    ranks.forEach((rank, s) => {
      const x = at[s] + (s ? 16 : -16), anchor = { "text-anchor": outer[s] };
      add(group, "circle", { cx: at[s], cy: y(rank), r: 11 });
      add(group, "text", { x: at[s], y: y(rank) + 4.5, "text-anchor": "middle" }, String(rank + 1));
      add(group, "text", { x, y: y(rank) - 3, ...anchor, class: "name" }, short(family.name));
      add(group, "text", { x, y: y(rank) + 13, ...anchor, class: "quiet" }, short(measures[s].texts[family.i]));
    });
  }
  return element;
}

// ---------------------------------------------------------------- the coder at work

const [POP_CODE, PUSH_PIXEL] = [0, 1]; // and 2: push a code

// The steps in the order in which they are taken: a stack of pixels begins with the last.
export const operations = ({ steps, codes }, way) => (way === "interval" || codes ? steps : [...steps].reverse());

// Minus the logarithm of the probabilities after each step, in bits; what was popped counts back.
export function idealLengths(spec, way) {
  const sums = [0];
  for (const [kind, , , , f] of operations(spec, way))
    sums.push(sums.at(-1) + (kind === POP_CODE ? -1 : 1) * (spec.bits - Math.log2(f)));
  return way === "interval" ? [...sums, sums.at(-1)] : sums;
}

// After each step of interval halving: low and width in units of 2^-scale of what the bits leave, and
// these bits. The last step closes the code.
export function intervals({ steps, bits }) {
  let low = 0n, width = 1n, scale = 0n, out = "";
  const states = [{ low, width, scale, out }], each = BigInt(bits);
  for (const [, , , c, f] of steps) {
    low = (low << each) + width * BigInt(c);
    width *= BigInt(f);
    scale += each;
    for (let half; scale && (low + width <= (half = 1n << (scale - 1n)) || low >= half); scale--) {
      out += low >= half ? "1" : "0";
      if (low >= half) low -= half;
    }
    states.push({ low, width, scale, out });
  }
  for (let digits = 0n; ; digits++) {
    const first = ((low << digits) + (1n << scale) - 1n) >> scale; // rounded up
    if ((first + 1n) << scale > (low + width) << digits) continue;
    const closing = digits ? first.toString(2).padStart(Number(digits), "0") : "";
    return [...states, { low, width, scale, out: out + closing, closing }];
  }
}

// The integer after each step.
export function stacks(spec) {
  const states = [BigInt(spec.start)], total = 1n << BigInt(spec.bits);
  for (const [kind, , , ...share] of operations(spec, "stack")) {
    const [c, f] = share.map(BigInt), s = states.at(-1);
    states.push(kind === POP_CODE ? (s / total) * f + (s % total) - c : (s / f) * total + c + (s % f));
  }
  return states;
}

function coder(model, el) {
  const spec = model.get("spec"), ways = spec.codes ? ["stack"] : ["interval", "stack"], [, rows, columns] = spec.shape;
  const cut = intervals(spec.codes ? { ...spec, steps: [] } : spec), piled = stacks(spec);
  const size = (s) => s.toString(2).length;
  const lengths = { interval: cut.map(({ out }) => out.length), stack: piled.map((s) => size(s) - size(piled[0])) };
  const picture = imageView([3, rows, columns]), readout = h("p", { class: "dgm-readout" });
  const wide = h("div", { class: "dgm-wide" }), digits = h("p", { class: "dgm-bits" });
  const last = () => lengths[model.get("way")].length - 1, at = () => Math.min(model.get("step"), last());
  const goTo = (step) => { assign(model, { step }); drawSoon(); };
  const play = button("", () => {
    if (frames.running()) { pause(); draw(); return; }
    if (at() === last()) goTo(0);
    if (motionless()) { goTo(last()); return; }
    play.textContent = "❚❚ Pause";
    frames.start();
  });
  const step = slider("step", 0, last(), 1, (v) => { pause(); goTo(v); });
  const way = choice("code", ways.map((name) => ({ interval: "interval halving", stack: "a stack (ANS)" })[name]),
    (i) => { pause(); assign(model, { way: ways[i] }); drawSoon(); });
  el.append(h("div", { class: "dgm-plane dgm-fixed" }, h("div", { class: "dgm-side" }, picture.canvas, readout), wide), digits,
    h("div", { class: "dgm-controls" }, play, step.row, ...(spec.codes ? [] : [way.row])));
  details(el, spec.details);
  const say = announcer(el);
  let turns = 0;
  function pause() {
    frames.stop();
    play.textContent = "▶\uFE0E Play";
  }
  const frames = perFrame(el, () => {
    if (++turns % 8) return true; // seven or eight steps in a second
    assign(model, { step: at() + 1 });
    const ended = at() === last();
    if (ended) pause();
    draw();
    return !ended;
  });

  // What the latest step did.
  function told(k, how) {
    const [kind, place, symbol, , f] = operations(spec, how)[k - 1] ?? [], cost = number(spec.bits - Math.log2(f));
    if (k === 0) return how === "interval" ? "Nothing is coded: any number from 0 to 1 may be it." : "Nothing is coded.";
    if (f === undefined) return `${cut[k].closing.length} digits more close the code: however they go on, the number is in the interval.`;
    const chance = `p = ${number(f / 2 ** spec.bits, 3)}`;
    const value = spec.levels === 2 && kind === PUSH_PIXEL ? ["paper", "ink"][symbol] : `level ${symbol}`;
    if (kind === PUSH_PIXEL) return `${how === "stack" ? "Push pixel" : "Pixel"} ${place + 1} (${value}), ${chance}: ${cost} bits.`;
    const name = `number ${place + 1} of the code (${symbol})`;
    return kind === POP_CODE ? `Pop ${name} by q, ${chance}: ${cost} bits are taken.` : `Push ${name} by the prior, ${chance}: ${cost} bits.`;
  }

  function draw() {
    const how = model.get("way"), k = at(), ideal = idealLengths(spec, how), found = lengths[how];
    set(step.row.querySelector("input"), { max: last() });
    step.show(k, String(k));
    way.show(ways.indexOf(how));
    const words = [told(k, how), `−log₂ p so far: ${number(ideal[k])} bits`, how === "interval"
      ? `bits out: ${found[k]}` : `the stack: ${size(piled[k])} bits, ${found[k] < 0 ? "−" : "+"}${Math.abs(found[k])}`];
    readout.replaceChildren(...words.map((text) => h("span", {}, text)));
    showImage(k, how);
    const plot = coderPlot(spec, { how, k, ideal, found, cut, piled: piled.map(size) }, wide.clientWidth);
    set(plot, { "aria-label": `Bits beside what they should be. Step ${k} of ${last()}. ${words.join("; ")}` });
    wide.replaceChildren(plot);
    const text = how === "interval" ? cut[k].out : piled[k].toString(2), before = how === "interval" && k ? cut[k - 1].out.length : text.length;
    digits.replaceChildren(how === "interval" ? "0." : "", text.slice(0, before), h("b", {}, text.slice(before)));
    if (!frames.running()) say(words.join("; "));
  }

  // Pixels that are coded, the others faint, the latest one in colour.
  function showImage(k, how) {
    const style = getComputedStyle(el), taken = operations(spec, how).slice(0, k).filter(([kind]) => kind === PUSH_PIXEL);
    const coded = new Set(taken.map(([, place]) => place)), n = rows * columns, x = new Float32Array(3 * n);
    const [kind, latest] = operations(spec, how)[k - 1] ?? [], colour = style.getPropertyValue("--dgm-warm").trim();
    for (let i = 0; i < n; i++)
      for (let c = 0; c < 3; c++) {
        const marked = parseInt(colour.slice(1 + 2 * c, 3 + 2 * c), 16) / 255;
        x[c * n + i] = kind === PUSH_PIXEL && i === latest ? marked : coded.has(i) ? 1 - spec.image[i] : 0.82 - 0.18 * spec.image[i];
      }
    picture.show(x);
    set(picture.canvas, { "aria-label": `The image, ${coded.size} of ${n} pixels coded` });
  }

  const drawSoon = oncePerFrame(draw);
  pause();
  for (const name of ["step", "way"]) model.on(`change:${name}`, drawSoon);
  const stopSizes = onResize(wide, draw), stopTheme = onTheme(draw);
  draw();
  return () => {
    frames.stop();
    for (const name of ["step", "way"]) model.off(`change:${name}`, drawSoon);
    stopSizes();
    stopTheme();
  };
}

// Above the interval, in what the bits so far leave of [0, 1) and enlarged, cut as the next pixel cuts
// it; or the stack. Below, bits against steps. One unit is one CSS pixel.
function coderPlot(spec, { how, k, ideal, found, cut, piled }, available) {
  const width = clamp(available || 420, 260, 560), left = 34, right = width - 10, thick = 26;
  const upper = how === "interval" ? 154 : 84, base = upper + 150, total = base + 40;
  const element = svg("svg", { viewBox: `0 0 ${width} ${total}`, width, class: "dgm-plot dgm-coder", role: "img" });
  const add = (tag, attributes, text) => element.appendChild(svg(tag, attributes, text));
  const middle = { "text-anchor": "middle" };
  const bar = (name, from, to, y) => add("rect", { class: name, x: from, y, width: Math.max(to - from, 1.5), height: thick });
  const across = (share) => left + share * (right - left);
  if (how === "interval") {
    const { low, width: wide, scale, out } = cut[k];
    const share = (n) => (scale > 60n ? Number(n >> (scale - 60n)) / 2 ** 60 : Number(n) / 2 ** Number(scale));
    const [a, b] = [share(low), share(low + wide)].map(across), next = spec.steps[k];
    const ended = "closing" in cut[k];
    add("text", { x: left, y: 13 }, ended ? "the interval, and the number" : out ? "what the bits so far leave of it" : "numbers from 0 to 1");
    bar("frame", left, right, 20);
    bar("inside", a, b, 20);
    if (ended) {
      const shift = 2 ** -cut[k].closing.length, first = parseInt(cut[k].closing || "0", 2) * shift;
      bar("own", across(first), across(first + shift), 20);
    }
    add("path", { class: "half", d: `M${across(0.5)} 16v${thick + 8}` });
    for (const [t, digit] of [[0.25, "0"], [0.75, "1"]]) add("text", { x: across(t), y: 38, ...middle }, digit);
    if (next) {
      const [, place, symbol, c, f] = next, M = 2 ** spec.bits, [from, to] = [c / M, (c + f) / M].map(across);
      add("path", { class: "half", d: `M${a} ${20 + thick}L${left} 88M${b} ${20 + thick}L${right} 88` });
      bar("frame", left, right, 88);
      bar("own", from, to, 88);
      const name = spec.levels === 2 ? ["paper", "ink"][symbol] : `level ${symbol}`;
      add("text", { x: left, y: 131 }, `enlarged: pixel ${place + 1} is ${name}, ${number((100 * f) / M, 1)} % of it`);
    }
  } else {
    const longest = Math.max(...piled), at = (bits) => across(bits / longest);
    add("text", { x: left, y: 13 }, `the stack: ${piled[k]} bits`);
    bar("frame", left, right, 20);
    bar("inside", left, at(Math.min(piled[0], piled[k])), 20);
    if (piled[k] > piled[0]) bar("own", at(piled[0]), at(piled[k]), 20);
    add("path", { class: "half", d: `M${at(piled[0])} 16v${thick + 8}` });
    add("text", { x: clamp(at(piled[0]), left + 30, right - 30), y: 64, ...middle, class: "quiet" }, `${piled[0]} at first`);
  }
  const lowest = Math.min(0, ...ideal, ...found), highest = Math.max(1, ...ideal, ...found);
  const x = (i) => across(i / (found.length - 1)), y = (bits) => base - ((bits - lowest) / (highest - lowest)) * 118;
  add("path", { class: "axis", d: `M${left} ${base - 118}V${base}H${right}` });
  for (const [t, text] of ticks(lowest, highest)) add("text", { x: left - 5, y: y(t) + 4, "text-anchor": "end" }, text);
  for (const [t, text] of ticks(0, found.length - 1)) add("text", { x: x(t), y: base + 17, ...middle }, text);
  add("text", { x: right, y: base + 34, "text-anchor": "end", "font-style": "italic" }, "step");
  add("text", { x: left, y: base + 34, "font-style": "italic" }, "bits: ");
  const line = (values) => `M${values.map((v, i) => `${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("L")}`;
  const stairs = (values) => values.map((v, i) => `${i ? "H" : "M"}${x(i).toFixed(1)}${i ? "V" : " "}${y(v).toFixed(1)}`).join("");
  for (const [name, draw, values] of [["ideal", line, ideal], ["found", stairs, found]]) {
    add("path", { class: `${name} ahead`, d: draw(values) });
    add("path", { class: name, d: draw(values.slice(0, k + 1)) });
  }
  add("path", { class: "half", d: `M${x(k)} ${base}V${base - 118}` });
  [["ideal", "−log₂ p"], ["found", how === "interval" ? "out" : "growth"]].forEach(([name, text], i) => {
    add("path", { class: name, d: `M${left + 40 + 96 * i} ${base + 30}h22` });
    add("text", { x: left + 68 + 96 * i, y: base + 34 }, text);
  });
  return element;
}

// ---------------------------------------------------------------- paths that cross

// Times from noise to data; where pairs and trajectories are at each; how straight these are (see
// _crossing.py).
export function crossingWays(spec, { path: name, seed }) {
  const { means, variances, logWeights } = spec.mixture, D = means[0].length, { late } = spec.paths[name];
  const at = PATHS[name], times = falling({ late }, spec.steps), normal = normalNumbers(seed);
  const eps = Float64Array.from({ length: spec.many * D }, normal);
  const other = normalNumbers(seed + 1000003), cuts = [];
  logWeights.reduce((sum, v) => (cuts.push(sum + Math.exp(v)), sum + Math.exp(v)), 0);
  const x0 = Float64Array.from({ length: spec.shown * D });
  for (let n = 0; n < spec.shown; n++) {
    const turn = (0.5 + n * 0.618033988749895) % 1, last = means.length - 1;
    const k = cuts.findIndex((cut, i) => i === last || turn < cut);
    for (let i = 0; i < D; i++) x0[n * D + i] = means[k][i] + Math.sqrt(variances[k]) * other();
  }
  const pairs = times.map((t) => x0.map((v, j) => at(t).alpha * v + at(t).sigma * eps[j]));
  const size = Math.hypot(at(late).alpha, at(late).sigma);
  const way = heun(velocity(name, exactDenoiser(spec.mixture, name)), eps.map((v) => size * v), times);
  const whole = way[0].map((v, j) => (v - way.at(-1)[j]) / late); // x_1 - x_0
  let off = 0;
  for (let i = 0; i < spec.steps; i++) {
    const step = times[i] - times[i + 1];
    for (let j = 0; j < whole.length; j++)
      off += (step * ((way[i][j] - way[i + 1][j]) / step - whole[j]) ** 2) / (spec.many * late);
  }
  return { times, pairs, way, straightness: off };
}

function crossing(model, el) {
  const spec = model.get("spec"), D = spec.mixture.means[0].length, names = Object.keys(spec.paths);
  const square = D === 1 ? { low: [0, -spec.box], side: [1, 2 * spec.box] }
    : { low: [-spec.box, -spec.box], side: 2 * spec.box };
  const panels = ["paths of pairs", "trajectories of the field"].map((title) => {
    const canvas = h("canvas", { role: "img" }), words = h("figcaption", {}, title);
    const layers = layered(canvas, square, D === 1 ? ["t", "x"] : ["x₁", "x₂"]);
    return { canvas, title, layers, box: h("figure", { class: "dgm-panel" }, canvas, words) };
  });
  const play = button("", () => {
    if (frames.running()) { pause(); draw(); return; }
    if (stop() === spec.steps) goTo(0);
    if (motionless()) { goTo(spec.steps); draw(); return; }
    play.textContent = "❚❚ Pause";
    frames.start();
  });
  const again = button("New pairs", () => { assign(model, { seed: model.get("seed") + 1 }); changed(); });
  const kind = choice("path", names, (i) => { assign(model, { path: names[i] }); changed(); });
  const time = slider("time", 0, spec.steps, 1, (k) => { pause(); goTo(k); drawSoon(); });
  const sums = h("div", { class: "dgm-sum" });
  el.append(h("div", { class: "dgm-plane dgm-fixed" }, ...panels.map((p) => p.box)), sums,
    h("div", { class: "dgm-controls" }, play, again, kind.row, time.row));
  details(el, spec.details);
  const say = announcer(el);
  let ways;

  const stop = () => {
    const off = ways.times.map((t) => Math.abs(t - model.get("t")));
    return off.indexOf(Math.min(...off));
  };
  const goTo = (k) => assign(model, { t: ways.times[k] });
  const begin = () => { ways = crossingWays(spec, valuesOf(model, ["path", "seed"])); };
  function pause() {
    frames.stop();
    play.textContent = "▶\uFE0E Play";
  }
  const frames = perFrame(el, () => {
    if (stop() < spec.steps) goTo(stop() + 1);
    const last = stop() === spec.steps;
    if (last) pause();
    draw();
    return !last;
  });

  // Where a point is in the picture: over time on the line, from above in the plane.
  const place = (states, k, n) => (D === 1 ? [ways.times[k], states[k][n]] : [states[k][2 * n], states[k][2 * n + 1]]);
  const statesOf = (i) => (i ? ways.way : ways.pairs);
  function paint() {
    const style = getComputedStyle(el);
    panels.forEach(({ layers }, i) => layers.paint(style, (context, colour) => {
      const { map } = layers;
      context.strokeStyle = colour("accent");
      context.lineWidth = 1;
      context.beginPath();
      for (let n = 0; n < spec.shown; n++)
        for (let k = 0; k <= spec.steps; k++) {
          const [a, b] = place(statesOf(i), k, n);
          context[k ? "lineTo" : "moveTo"](map.x(a), map.y(b));
        }
      context.stroke();
    }));
  }
  function draw() {
    const k = stop(), t = ways.times[k];
    kind.show(names.indexOf(model.get("path")));
    time.show(k, `t = ${number(t)}`);
    const parts = [["straightness of the trajectories S = ", number(ways.straightness, 3)]];
    sums.replaceChildren(h("p", {}, ...parts.map(([name, value]) => h("span", {}, name, h("b", {}, value)))));
    const words = `${model.get("path")} path, t = ${number(t)}, ${parts.flat().join("")}.`;
    for (const { canvas, title } of panels) set(canvas, { "aria-label": `${spec.shown} ${title}. ${words}` });
    if (!frames.running()) say(words);
    if (!panels[0].canvas.width) return;
    const style = getComputedStyle(el), colour = (name) => style.getPropertyValue(`--dgm-${name}`).trim();
    panels.forEach(({ layers: { map, begin: context } }, i) => {
      const ink = context();
      ink.fillStyle = colour("warm");
      ink.strokeStyle = colour("ground");
      for (let n = 0; n < spec.shown; n++) {
        const [a, b] = place(statesOf(i), k, n);
        if (Math.abs(b) > spec.box || (D === 2 && Math.abs(a) > spec.box)) continue;
        ink.beginPath();
        ink.arc(map.x(a), map.y(b), 3.5, 0, 7);
        ink.fill();
        ink.stroke();
      }
    });
  }
  const drawSoon = oncePerFrame(draw);
  const repaint = () => {
    if (panels[0].canvas.clientWidth) paint(); // on the page
    draw();
  };
  const changed = () => { begin(); repaint(); };
  begin();
  pause();
  for (const name of ["path", "seed"]) model.on(`change:${name}`, changed);
  model.on("change:t", drawSoon);
  const stopSizes = onResize(panels[0].canvas, repaint), stopTheme = onTheme(repaint);
  repaint();
  return () => {
    frames.stop();
    for (const name of ["path", "seed"]) model.off(`change:${name}`, changed);
    model.off("change:t", drawSoon);
    stopSizes();
    stopTheme();
  };
}

// ---------------------------------------------------------------- two ways in

const DRAWINGS = {
  balls, ranks, coder,
  latent_plane: latentPlane, frames, distribution_1d: distribution1d, flow_1d: flow1d,
  walkers, score_field: scoreField, from_noise: images, euler_steps: images,
  ideal_denoiser: perfectNetwork, particles, guidance, crossing,
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
