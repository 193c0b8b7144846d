// The network in onnxruntime-web: WebGPU where there is one, else WebAssembly, with threads where they are allowed.

import { around, planBands } from "./bands.js";
import { blank, rowsOf } from "./picture.js";

const MB = 1e6,
  GB = 1e9;
// Of memory, in bytes: what should suffice, and what is used where it does not.
export const LIMITS = { desktop: [1 * GB, 2 * GB, 3 * GB], phone: [400 * MB, 1 * GB, 1.5 * GB] };
const ENGINE_BYTES = 90 * MB; // the engine with the weights

export class Network {
  // `session` of onnxruntime-web; `Tensor`, its class; `told`, what computes, in words.
  constructor(session, Tensor, manifest, told) {
    Object.assign(this, { session, Tensor, manifest, told });
  }

  // The greatest difference from what the network gave for a small pair where it was exported.
  async error() {
    const { width, height, left, right, sharp } = this.manifest.check;
    const view = (data) => ({ width, height, data: Float32Array.from(data) });
    const found = await this.compute(view(left), view(right));
    return found.reduce((most, value, i) => Math.max(most, Math.abs(value - sharp[i])), 0);
  }

  // The sharp picture of two views, not clipped. `tell(done, total)` is called between bands, and may throw to stop.
  async run(left, right, limits, tell = async () => {}) {
    const { width, height } = left,
      { size_multiple: multiple, receptive_radius_px: reach } = this.manifest;
    const held = 4 * (left.data.byteLength + 6 * MB);
    const bands = planBands(width, height, this.manifest, ENGINE_BYTES + held, limits);
    const picture = blank(width, height);
    for (const [number, [first, last]] of bands.entries()) {
      await tell(number, bands.length);
      const [top, bottom] = around([first, last], height, multiple, reach);
      const output = await this.compute(rowsOf(left, top, bottom), rowsOf(right, top, bottom));
      for (let channel = 0; channel < 3; channel++) {
        const start = (channel * (bottom - top) + first - top) * width;
        picture.data.set(output.subarray(start, start + (last - first) * width), (channel * height + first) * width);
      }
    }
    await tell(bands.length, bands.length);
    return { picture, bands };
  }

  async compute(left, right) {
    const tensor = ({ width, height, data }) => new this.Tensor("float32", data, [1, 3, height, width]);
    const given = { left: tensor(left), right: tensor(right) };
    const { sharp } = await this.session.run(given);
    const values = sharp.data;
    sharp.dispose?.();
    return values;
  }
}
