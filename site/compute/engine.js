// Starts onnxruntime-web with the network: on the GPU where the browser has WebGPU, else in WebAssembly, with threads
// where the page is isolated. Whatever starts is compared with what the network gave where it was exported.

import { ComputeError, isOutOfMemory } from "./errors.js";
import { Network } from "./network.js";

const MOST_THREADS = 8,
  MOST_OFF = 2e-3;
const ENGINES = {
  webgpu: { script: "ort.webgpu.min.mjs", binary: "ort-wasm-simd-threaded.asyncify" },
  wasm: { script: "ort.wasm.min.mjs", binary: "ort-wasm-simd-threaded" },
};
// Strips come in a few sizes, so that little is gained by keeping memory for later, and much memory lost.
const SETTINGS = { logSeverityLevel: 3, enableCpuMemArena: false, enableMemPattern: false };
// A function of one instruction of 128 bits, which is valid only where the browser has those.
const SIMD = [
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11,
];

// `engine`: "webgpu" or "wasm", and `threads`; null to choose. Throws a ComputeError where nothing computes here.
export async function startNetwork({ engine, threads }) {
  requireSimd();
  const base = new URL("../network/", import.meta.url);
  const manifest = await (await get(new URL("network.json", base))).json();
  const parts = await Promise.all([...manifest.stages, manifest.find].map((part) => loaded(part, base)));
  const notes = [],
    failures = [];
  for (const kind of engine ? [engine] : await kinds()) {
    try {
      const network = await start(kind, threads ?? MOST_THREADS, parts, manifest);
      const off = await network.error();
      if (off < MOST_OFF) return Object.assign(network, { notes, addresses: addressesOf(kind, manifest, base) });
      notes.push(`${network.told} computes wrongly in this browser (off by ${off.toFixed(3)}), so it was not used.`);
    } catch (error) {
      failures.push(error);
      notes.push(`${kind === "webgpu" ? "WebGPU" : "WebAssembly"} could not be started (${error.message ?? error}).`);
    }
  }
  if (failures.length === notes.length && failures.every(isOutOfMemory)) {
    throw new ComputeError(
      "The memory of this tab does not suffice to start computing; close other tabs, and try again.",
    );
  }
  throw new ComputeError(
    `Nothing in this browser can compute the picture: ${notes.join(" ")} Use a current browser, or dualpix on` +
      " the command line.",
  );
}

// Of all that a later visit needs besides the page's own scripts.
function addressesOf(kind, { stages, find }, base) {
  const parts = [...stages, find].map(({ file }) => new URL(`${file}.gz`, base));
  const { script, binary } = ENGINES[kind];
  const names = [script, `${binary}.mjs`, `${binary}.wasm.gz`],
    engine = names.map((name) => new URL(`../engine/${name}`, import.meta.url));
  return [new URL("../index.html", base), ...parts, ...engine].map(({ href }) => href);
}

async function kinds() {
  const adapter = await navigator.gpu?.requestAdapter().catch(() => null);
  return adapter && !(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter) ? ["webgpu", "wasm"] : ["wasm"];
}

function requireSimd() {
  if (!WebAssembly.validate(new Uint8Array(SIMD))) {
    throw new ComputeError(
      "This browser's WebAssembly has no 128-bit instructions (SIMD), which computing needs; use a current one.",
    );
  }
}

async function start(kind, most, parts, manifest) {
  const { script, binary } = ENGINES[kind];
  const engines = new URL("../engine/", import.meta.url);
  const ort = await import(new URL(script, engines));
  const threads = self.crossOriginIsolated ? Math.min(navigator.hardwareConcurrency || 1, most) : 1;
  ort.env.wasm.numThreads = kind === "webgpu" ? 1 : threads;
  ort.env.wasm.wasmPaths = { mjs: new URL(`${binary}.mjs`, engines).href };
  ort.env.wasm.wasmBinary = await fetched(new URL(`${binary}.wasm.gz`, engines));
  ort.env.logLevel = "error"; // not which small operations stay on the processor
  const sessions = {};
  for (const { file, content } of parts) {
    sessions[file] = await ort.InferenceSession.create(content, { ...SETTINGS, executionProviders: [kind] });
  }
  const words = threads > 1 ? `WebAssembly with ${threads} threads` : "WebAssembly with one thread";
  return new Network(sessions, ort.Tensor, manifest, kind === "webgpu" ? "WebGPU" : words);
}

async function get(address) {
  let answer;
  try {
    answer = await fetch(address);
  } catch {
    throw new ComputeError(
      "The page's own files cannot be loaded; connect to the network once, and load the page again.",
    );
  }
  if (!answer.ok)
    throw new ComputeError(`The page's file ${address.pathname} is missing (${answer.status}); build the site again.`);
  return answer;
}

// The bytes of a file, unpacked whether or not the server has done so already.
async function fetched(address) {
  const blob = await (await get(address)).blob(),
    start = new Uint8Array(await blob.slice(0, 2).arrayBuffer());
  const isPacked = start[0] === 0x1f && start[1] === 0x8b;
  const stream = isPacked ? blob.stream().pipeThrough(new DecompressionStream("gzip")) : blob.stream();
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

async function loaded({ file, bytes, sha256 }, base) {
  const content = await fetched(new URL(`${file}.gz`, base));
  const digest = self.crypto?.subtle && (await crypto.subtle.digest("SHA-256", content));
  const found = digest && [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (content.length !== bytes || (found && found !== sha256)) {
    throw new ComputeError("The network was damaged on its way here; load the page again.");
  }
  return { file, content };
}
