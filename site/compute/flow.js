// A network's stages over a picture from top to bottom, each in strips of rows: a strip is computed when the next stage
// needs it, and features are let go when no stage needs them any more. So little is computed twice, and held at once.

import { around, roundUp } from "./bands.js";

// Rows of features: `planes` planes of `width` numbers a row, a row for each `step` rows of the picture.
class Rows {
  #parts = [];

  constructor([batch, channels, step], width) {
    Object.assign(this, { dims: [batch, channels], planes: batch * channels, step, width: width / step });
  }

  add(first, last, data) {
    this.#parts.push({ first: first / this.step, last: last / this.step, data });
  }

  // Those of the picture's rows `first` to `last` - 1.
  read(first, last) {
    const { planes, width, step } = this,
      top = first / step,
      bottom = last / step,
      size = width * (bottom - top);
    const data = new Float32Array(planes * size);
    for (const part of this.#parts) {
      const from = Math.max(top, part.first),
        to = Math.min(bottom, part.last),
        rows = part.last - part.first;
      for (let plane = 0; from < to && plane < planes; plane++) {
        const start = width * (plane * rows + from - part.first);
        data.set(part.data.subarray(start, start + width * (to - from)), plane * size + width * (from - top));
      }
    }
    return { data, dims: [...this.dims, bottom - top, width] };
  }

  forget(before) {
    const isNeeded = ({ last }) => last > before / this.step;
    this.#parts.filter((part) => !isNeeded(part)).forEach(release);
    this.#parts = this.#parts.filter(isNeeded);
  }
}

// A picture as such rows, filled up to whole multiples by repeating its edges.
class Padded {
  constructor(picture, width) {
    Object.assign(this, { picture, width });
  }

  read(first, last) {
    const { width, height, data } = this.picture,
      result = new Float32Array(3 * this.width * (last - first));
    let place = 0;
    for (let channel = 0; channel < 3; channel++) {
      for (let row = first; row < last; row++, place += this.width) {
        const start = (channel * height + Math.min(row, height - 1)) * width;
        result.set(data.subarray(start, start + width), place);
        result.fill(result[place + width - 1], place + width, place + this.width);
      }
    }
    return { data: result, dims: [1, 3, last - first, this.width] };
  }

  forget() {}
}

export class Flow {
  // `stages` as network.json has them, and how many `rows` of the picture each computes at once; `views`: left and
  // right, of one size; `compute(stage, given, width)` gives features by name; `take(first, last, { data, dims })` is
  // given the rows of the last stage's output, and `tell(done, total)` what is done between strips.
  constructor({ stages, rows, multiple, views, compute, take, tell }) {
    const { width, height } = views.left;
    Object.assign(this, { compute, take, tell, width, done: 0 });
    this.paddedWidth = roundUp(width, multiple);
    this.height = roundUp(height, multiple);
    this.stages = stages.map((stage, i) => ({ ...stage, rows: rows[i], done: 0 }));
    this.total = this.stages.reduce((sum, stage) => sum + Math.ceil(this.height / stage.rows), 0);
    this.features = {
      left: new Padded(views.left, this.paddedWidth),
      right: new Padded(views.right, this.paddedWidth),
    };
    for (const { outputs } of this.stages) {
      for (const [name, kind] of Object.entries(outputs)) this.features[name] = new Rows(kind, this.paddedWidth);
    }
  }

  async run() {
    await this.#advance(this.stages.at(-1), this.height);
    await this.tell(this.total, this.total);
  }

  async #advance(stage, until) {
    while (stage.done < until) {
      const band = [stage.done, Math.min(stage.done + stage.rows, this.height)];
      const [top, bottom] = around(band, this.height, stage.multiple_px, stage.reach_px);
      for (const before of this.#before(stage)) await this.#advance(before, bottom);
      await this.tell(this.done, this.total);
      const names = Object.keys(stage.inputs);
      const given = Object.fromEntries(names.map((name) => [name, this.features[name].read(top, bottom)]));
      const made = await this.compute(stage, given, this.width);
      Object.values(given).forEach(release);
      for (const name of Object.keys(stage.outputs)) this.#keep(stage, name, cut(made[name], band, top, bottom), band);
      Object.values(made).forEach(release);
      stage.done = band[1];
      this.done += 1;
      names.forEach((name) => this.#forget(name));
    }
  }

  #before({ inputs }) {
    return this.stages.filter(({ outputs }) => Object.keys(outputs).some((name) => name in inputs));
  }

  #keep(stage, name, strip, [first, last]) {
    if (stage !== this.stages.at(-1)) return this.features[name].add(first, last, strip.data);
    this.take(first, last, strip);
    release(strip);
  }

  #forget(name) {
    const needed = this.stages.filter(({ inputs }) => name in inputs);
    const first = needed.map(({ done, reach_px, multiple_px }) => done - roundUp(reach_px, multiple_px));
    this.features[name].forget(Math.min(...first));
  }
}

// The rows of a band, of what was computed with rows around it.
function cut({ data, dims }, [first, last], top, bottom) {
  const [batch, channels, rows, width] = dims,
    step = (bottom - top) / rows,
    skipped = (first - top) / step,
    kept = (last - first) / step,
    part = new Float32Array(batch * channels * kept * width);
  for (let plane = 0; plane < batch * channels; plane++) {
    const start = width * (plane * rows + skipped);
    part.set(data.subarray(start, start + kept * width), plane * kept * width);
  }
  return { data: part, dims: [batch, channels, kept, width] };
}

// Gives memory back at once, in browsers that can; otherwise some hundred megabytes wait to be collected.
function release({ data }) {
  data.buffer.transfer?.(0);
}
