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
  flow: ({ spec, knots, z }) => ({ ...js.flowNumbers(spec, knots), curve: z.map((v) => js.flowCurve(knots, v)) }),
};

const cases = JSON.parse(readFileSync(0));
process.stdout.write(JSON.stringify(cases.map(({ run, ...rest }) => RUN[run](rest))));
