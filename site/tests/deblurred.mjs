// What the page makes of a pair of views: node deblurred.mjs FOLDER, with asked.json, { width, height, limit, threads
// }, and views.bin, float32 planes of left and right after one another. Writes sharp.bin, 16-bit planes, and
// found.bin, float32 planes of disparity and confidence, and prints what is told.

import { readFileSync, writeFileSync } from "node:fs";

import * as ort from "../node_modules/onnxruntime-web/dist/ort.node.min.mjs";
import { Job } from "../compute/job.js";
import { Network } from "../compute/network.js";

const [folder, networkFolder] = process.argv.slice(2);
const { width, height, limit, threads = 1 } = JSON.parse(readFileSync(`${folder}/asked.json`, "utf8"));
const content = readFileSync(`${folder}/views.bin`),
  size = 12 * width * height;
const view = (place) => {
  const bytes = content.buffer.slice(content.byteOffset + place, content.byteOffset + place + size);
  return { width, height, data: new Float32Array(bytes) };
};

ort.env.wasm.numThreads = threads;
const manifest = JSON.parse(readFileSync(`${networkFolder}/network.json`, "utf8")),
  sessions = {},
  settings = { executionProviders: ["wasm"], logSeverityLevel: 3, enableCpuMemArena: false, enableMemPattern: false };
for (const { file } of [...manifest.stages, manifest.find]) {
  sessions[file] = await ort.InferenceSession.create(readFileSync(`${networkFolder}/${file}`), settings);
}
const network = Object.assign(new Network(sessions, ort.Tensor, manifest, "Node"), { notes: [] });
const off = await network.error();
const job = new Job([view(0), view(size)], { notes: [] }, false);
let strips = 0;
const start = process.cpuUsage(),
  told = await job.deblur(network, [limit], async (_, total) => void (strips = total)),
  { user, system } = process.cpuUsage(start);
writeFileSync(`${folder}/sharp.bin`, job.result.levels);
writeFileSync(`${folder}/found.bin`, (await job.find(network, [limit])).data);
const cost = { cpu_s: (user + system) / 1e6, peak_mb: process.resourceUsage().maxRSS / 1e3 };
console.log(JSON.stringify({ ...told, strips, off, ...cost }));
process.exit(0);
