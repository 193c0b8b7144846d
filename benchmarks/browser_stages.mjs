// Seconds of the processor that each stage of the page's network takes in WebAssembly, without a browser:
//
//   node benchmarks/browser_stages.mjs THREADS RUNS WIDTHxHEIGHT FOLDER [FOLDER ...]
//
// A folder is one that `export_stages` wrote, such as site/_network after `make site`. Several take turns, so that
// whatever else the machine does meets all of them; each picture is compared with the first one's.

import { readFileSync } from "node:fs";
import { basename } from "node:path";

import { Network } from "../site/compute/network.js";
import * as ort from "../site/node_modules/onnxruntime-web/dist/ort.node.min.mjs";

const LIMITS = [1e9, 2e9, 3e9];
const SETTINGS = {
  executionProviders: ["wasm"],
  logSeverityLevel: 3,
  enableCpuMemArena: false,
  enableMemPattern: false,
};
const [threads, runs, size, ...folders] = process.argv.slice(2);
const [width, height] = size.split("x").map(Number);
ort.env.wasm.numThreads = Number(threads);

function used() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

function noise(seed) {
  const data = new Float32Array(3 * width * height);
  for (let i = 0; i < data.length; i++) {
    seed = (1103515245 * seed + 12345) % 2 ** 31;
    data[i] = seed / 2 ** 31;
  }
  return { width, height, data };
}

async function opened(folder) {
  const manifest = JSON.parse(readFileSync(`${folder}/network.json`, "utf8")),
    seconds = {},
    sessions = {};
  for (const { file } of manifest.stages) {
    const session = await ort.InferenceSession.create(readFileSync(`${folder}/${file}`), SETTINGS);
    const run = async (given) => {
      const before = used(),
        made = await session.run(given);
      seconds[file] = (seconds[file] ?? 0) + used() - before;
      return made;
    };
    sessions[file] = { run };
  }
  return { name: basename(folder), seconds, network: new Network(sessions, ort.Tensor, manifest, "Node") };
}

const views = [noise(1), noise(2)],
  networks = [];
for (const folder of folders) networks.push(await opened(folder));
let first = null;
for (let run = 0; run < Number(runs); run++) {
  for (const { name, seconds, network } of networks) {
    for (const file of Object.keys(seconds)) seconds[file] = 0;
    const [before, start] = [used(), performance.now()];
    const { picture } = await network.run(...views, LIMITS);
    const [all, clock] = [used() - before, (performance.now() - start) / 1000];
    first ??= picture;
    const off = picture.data.reduce((most, value, i) => Math.max(most, Math.abs(value - first.data[i])), 0);
    const stages = Object.entries(seconds).map(([file, one]) => `${file} ${one.toFixed(2)}`);
    console.log(`${name}: ${all.toFixed(1)} s of the processor, ${clock.toFixed(1)} on the clock; ${stages.join(", ")}; off by ${off.toExponential(1)}`);
  }
}
process.exit(0);
