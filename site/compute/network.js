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

export class Network {
  // `sessions` of onnxruntime-web, by the names of files; `Tensor`, its class; `told`, what computes, in words.
  constructor(sessions, Tensor, manifest, told) {
    Object.assign(this, { sessions, Tensor, manifest, told });
  }

  // The greatest difference from what the network gave for a small pair where it was exported.
  async error() {
    const { width, height, left, right, sharp } = this.manifest.check;
    const view = (data) => ({ width, height, data: Float32Array.from(data) });
    const { picture } = await this.run(view(left), view(right), [GB]);
    return picture.data.reduce((most, value, i) => Math.max(most, Math.abs(value - sharp[i])), 0);
  }

  // The sharp picture of two views, not clipped, and the rows that are held at once. `tell(done, total)` is called
  // between strips, and may throw to stop; `held`: bytes of other pictures.
  run(left, right, limits, tell, held = 0) {
    return this.#flow(this.manifest.stages, 3, left, right, limits, tell, held);
  }

  // Disparity in pixels and confidence, 0 to 1, as two planes: `Finder` in inference/finder.py.
  async find(left, right, limits, tell, held = 0) {
    return (await this.#flow([this.manifest.find], 2, left, right, limits, tell, held)).picture;
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
