// Evaluates dgm.figures' JavaScript outside a browser, for test_figures.py.
//
//     node figures_node_test.mjs figures.js < cases.json > results.json
//
// Each case names a function and its arguments; the results come in the same order.
import { readFileSync } from "node:fs";

const source = readFileSync(process.argv[2]);
// as a data: address, because node takes a .js file for CommonJS
const js = await import(`data:text/javascript;base64,${source.toString("base64")}`);

const RUN = {
  prdc({ real, fake, k }) {
    const { reach, balls, holds, ...numbers } = js.prdc(real, fake, k);
    return numbers;
  },
  ranks({ spec, left, right }) {
    const { shown, orders, pairs, spearman, crossings, sure } = js.rankNumbers(spec, left, right);
    const lines = Object.fromEntries(shown.map(({ name, line }) => [name, line]));
    return { spearman, families: shown.length, crossings, sure, pairs, lines, orders: orders.map((o) => o.map((f) => f.name)) };
  },
  coder({ spec, way }) { // numbers as text, which has room for all of their digits
    const interval = () => js.intervals(spec).map(({ out, ...numbers }) => [...Object.values(numbers).slice(0, 3).map(String), out]);
    return { ideal: js.idealLengths(spec, way), states: way === "interval" ? interval() : js.stacks(spec).map(String) };
  },
  network: ({ network, codes }) => codes.map((z) => Array.from(js.network(network)(z))),
  bound({ low, step, log_joint, log_prior, mean, scale }) {
    const floats = (text) => new Float32Array(js.fromBase64(text).buffer);
    const data = { low, step, logJoint: floats(log_joint), logPrior: log_prior && floats(log_prior) };
    const { q, posterior, ...numbers } = js.gaussianBound(data, mean, scale);
    return { ...numbers, q: Array.from(q), posterior: Array.from(posterior) };
  },
  energies({ spec, points, sigmas, noises }) {
    const energies = js.energiesOf(spec), at = ([x, y], sigma) => js.mixture(spec, sigma)(x, y);
    return {
      values: sigmas.map((sigma) => points.map((point) => at(point, sigma))),
      energies: noises.map((noise) => js.meanEnergy(energies, noise)),
      told: sigmas.map((sigma) => js.told(spec, sigma)),
    };
  },
  acceptance: ({ moves, step, noise }) =>
    moves.map(([here, there]) => js.logAcceptance(here, there, step, noise)),
  crowd({ spec, step, noise, adjusted, steps }) {
    const crowd = js.crowd(spec);
    let accepted = 0;
    for (let i = 0; i < steps; i++) accepted += crowd.advance(step, noise, adjusted) / steps;
    return { accepted, x: crowd.places().map(({ x }) => x) };
  },
  flow: ({ spec, knots, z }) => ({ ...js.flowNumbers(spec, knots), curve: z.map((v) => js.flowCurve(knots, v)) }),
  denoise({ kind, spec, path, calls }) {
    const denoise = js[kind](spec, path);
    return calls.map(({ x, t, y, w }) => {
      const at = Float64Array.from(x);
      return Array.from(w === undefined ? denoise(at, t, y) : js.guided(denoise, y, w)(at, t));
    });
  },
  sample({ spec, path, x, times, eta, noise }) {
    const denoise = js.exactDenoiser(spec, path), start = Float64Array.from(x);
    const ends = {
      ddim: [...js.ddim(path, denoise, start, times, eta, () => noise.shift())].at(-1).x,
      heun: js.heun(js.velocity(path, denoise), start, times).at(-1),
    };
    return { ddim: Array.from(ends.ddim), heun: Array.from(ends.heun) };
  },
  normals({ seed, n }) {
    const normal = js.normalNumbers(seed);
    return Array.from({ length: n }, normal);
  },
  times: ({ path, steps }) => js.falling(path, steps),
  ideal({ spec, seed }) {
    const way = [...js.perfectWay(spec, js.sixteenLevels(spec.images), seed)];
    return way.map(({ t, x, x0, weights }) => ({ t, x: Array.from(x), x0: Array.from(x0), weights }));
  },
  images: ({ spec, values }) => Array.from([...js.imageSteps(spec, values).way].at(-1).x),
  particles({ spec, values, learned }) {
    const end = [...js.particleSteps(spec, values, learned).way].at(-1).x;
    return { x: Array.from(end), energy: js.particleEnergy(spec, end) };
  },
  guidance({ spec, w }) {
    const { tv, mean_ode, mean_tilted, ode, tilted } = js.guidanceMasses(spec, w);
    return { tv, mean_ode, mean_tilted, ode, tilted };
  },
  crossing({ spec, values }) {
    const { pairs, way, straightness } = js.crossingWays(spec, values);
    return { pairs: pairs.map((x) => Array.from(x)), end: Array.from(way.at(-1)), straightness };
  },
};

const cases = JSON.parse(readFileSync(0));
process.stdout.write(JSON.stringify(cases.map(({ run, ...rest }) => RUN[run](rest))));
