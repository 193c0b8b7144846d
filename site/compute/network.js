// The network in onnxruntime-web: WebGPU where there is one, else WebAssembly, with threads where they are allowed.

import { planStages, roundUp } from "./bands.js";
import { Flow } from "./flow.js";
import { blank } from "./picture.js";

const MB = 1e6,
  GB = 1e9;
// Of memory, in bytes: what should suffice, and what is used where it does not.
export const LIMITS = { desktop: [1 * GB, 2 * GB, 3 * GB], phone: [400 * MB, 1 * GB, 1.5 * GB] };
const ENGINE_BYTES = 90 * MB; // the engine with the weights
const HELD_PICTURES = 3; // both views and the result
// A browser compiles what has run often enough: so many runs of so small a pair take 1.3 to 2 s from the first picture.
const WARM_RUNS = 8,
  WARM_SIZE = [128, 96];

export class Network {
  // `sessions` of onnxruntime-web, by the names of files; `Tensor`, its class; `told`, what computes, in words.
  constructor(sessions, Tensor, manifest, told) {
    Object.assign(this, { sessions, Tensor, manifest, told, isWanted: false, warming: null });
  }

  // The greatest difference from what the network gave for a small pair where it was exported.
  async error() {
    const { width, height, left, right, sharp } = this.manifest.check;
    const view = (data) => ({ width, height, data: Float32Array.from(data) });
    const { picture } = await this.#flow(this.manifest.stages, 3, view(left), view(right), [GB]);
    return picture.data.reduce((most, value, i) => Math.max(most, Math.abs(value - sharp[i])), 0);
  }

  // Small runs one after another, until something else is to be computed. Other messages are heard between them.
  async warmUp(runs = WARM_RUNS) {
    const view = blank(...WARM_SIZE);
    view.data.forEach((_, i) => (view.data[i] = (i % 7) / 7));
    for (; runs && !this.isWanted; runs--) {
      const run = this.#flow(this.manifest.stages, 3, view, view, [GB]);
      this.warming = run.catch(() => (this.isWanted = true)); // told when a picture meets it
      await this.warming;
      await new Promise((go) => setTimeout(go));
    }
  }

  // The sharp picture of two views, not clipped, and the rows that are held at once. `tell(done, total)` is called
  // between strips, and may throw to stop; `held`: bytes of other pictures.
  async run(left, right, limits, tell, held = 0) {
    await this.#alone();
    return this.#flow(this.manifest.stages, 3, left, right, limits, tell, held);
  }

  // Disparity in pixels and confidence, 0 to 1, as two planes: `Finder` in inference/finder.py.
  async find(left, right, limits, tell, held = 0) {
    await this.#alone();
    return (await this.#flow([this.manifest.find], 2, left, right, limits, tell, held)).picture;
  }

  // An engine may refuse two runs at once.
  async #alone() {
    this.isWanted = true;
    await this.warming;
  }

  async #flow(stages, channels, left, right, limits, tell = async () => {}, held = 0) {
    const { width, height } = left,
      { size_multiple: multiple } = this.manifest,
      picture = blank(width, height, channels),
      occupied = ENGINE_BYTES + held + HELD_PICTURES * (left.data.byteLength + 6 * MB);
    const sides = [width, height].map((side) => roundUp(side, multiple));
    const rows = planStages(...sides, stages, multiple, occupied, limits);
    const take = (first, last, strip) => put(picture, first, Math.min(last, height), strip);
    const compute = (stage, given, columns) => this.#compute(stage, given, columns);
    await new Flow({ stages, rows, multiple, views: { left, right }, compute, take, tell }).run();
    return { picture, rows: Math.min(height, Math.max(...rows)) };
  }

  async #compute({ file, takes_width: takesWidth }, given, width) {
    const feeds = Object.fromEntries(
      Object.entries(given).map(([name, { data, dims }]) => [name, new this.Tensor("float32", data, dims)]),
    );
    if (takesWidth) feeds.width = new this.Tensor("int64", BigInt64Array.of(BigInt(width)), [1]);
    const made = await this.sessions[file].run(feeds);
    const outputs = Object.entries(made).map(([name, { data, dims }]) => [name, { data, dims }]);
    for (const tensor of Object.values(made)) tensor.dispose?.();
    return Object.fromEntries(outputs);
  }
}

// Rows of a picture, without the columns that were filled up.
function put({ width, height, data }, first, last, strip) {
  const [, channels, rows, columns] = strip.dims;
  for (let channel = 0; channel < channels; channel++) {
    for (let row = first; row < last; row++) {
      const start = (channel * rows + row - first) * columns;
      data.set(strip.data.subarray(start, start + width), (channel * height + row) * width);
    }
  }
}
