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
};

const cases = JSON.parse(readFileSync(0));
process.stdout.write(JSON.stringify(cases.map(({ run, ...rest }) => RUN[run](rest))));
