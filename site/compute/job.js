// One pair, from files to a file: what `dualpix deblur` and `dualpix inspect` do, in their order.

import { decode, encode, outputOf } from "../files/index.js";
import { BARE } from "../files/metadata.js";
import { matchBrightness } from "./brightness.js";
import { disparityPicture, scalePx } from "./drawing.js";
import { watch } from "./guard.js";
import { noiseOf } from "./matching.js";
import { blank, meanView, packed, pooled, turned, unpacked } from "./picture.js";
import { runScales } from "./pyramid.js";
import { chooseScales } from "./scales.js";
import { summarise } from "./summary.js";
import { layAlongRows } from "./turning.js";

const THUMB_PX = 720;
const ZERO_LEVEL = 32768,
  LEVELS_PER_PX = 512,
  WHITE = 65535;
const MAPS = {
  disparity: {
    levels: { plane: 0, of: (px) => (ZERO_LEVEL + LEVELS_PER_PX * px) / WHITE },
    meaning: `disparity in pixels = (level - ${ZERO_LEVEL}) / ${LEVELS_PER_PX}`,
  },
  confidence: { levels: { plane: 1, of: (share) => share }, meaning: "" },
};
const KINDS = { png: "png", tif: "tiff", jpg: "jpeg" };
const UNSEEN = "so that rows stay sensor rows"; // ends notes that do not matter here, since pictures are shown upright

export class Job {
  // `files`: [left, right], or one that holds both. Throws PictureError or PairError.
  static async open(files, layout, isSwapped) {
    const { left, right, ...about } = await decode(files, { layout: layout ?? null });
    const views = [left, right].map((levels) => planar(levels, about));
    return new Job(views, about, isSwapped);
  }

  constructor(views, about, isSwapped) {
    Object.assign(this, { views, about, isSwapped, result: null, found: null });
    this.inspect();
  }

  // Compares the views, and lays them along the rows.
  inspect() {
    this.laid = layAlongRows(...this.views, this.isSwapped);
    this.result = this.found = null;
    const { found, turns, left, notes } = this.laid;
    this.check = {
      verdict: found.verdict,
      odd: found.odd,
      order: found.order,
      width: left.width,
      height: left.height,
      quarter_turns: turns,
      scale_px: scalePx(found),
      brightness_ratio: found.brightnessRatio,
      disparity: found.across,
      vertical_disparity: found.down,
      blocks: {
        textured: found.matches.textured,
        found: found.matches.found,
        trusted: found.matches.across.length,
        behind: found.behind,
        in_front: found.inFront,
      },
      camera: { focus_m: null, f_number: null, focal_mm: null, sensor_mm: null },
    };
    this.notes = [...this.about.notes, ...notes].filter((note) => !note.includes(UNSEEN));
  }

  swap() {
    this.isSwapped = !this.isSwapped;
    this.inspect();
  }

  // `tell(done, total)` is called between strips and may throw to stop.
  async deblur(network, limits, tell) {
    const { left, right, note } = matchBrightness(this.laid.left, this.laid.right),
      { matches } = this.laid.found,
      steps = chooseScales(matches, left.width, left.height);
    const { picture, rows } = await runScales(network, left, right, steps, limits, tell);
    const { comparison, notes } = watch(picture, { left, right }, steps[0]);
    const changed = summarise(comparison, noiseOf(left), matches, network.manifest.trained_px, steps);
    this.result = packed(turned(picture, -this.laid.turns));
    return {
      plan: `${planOf(rows, left.height, steps)}, fp32, ${network.told}`,
      report: `Computed by ${network.told}. ${changed}`,
      notes: [...network.notes, ...(note ? [note] : []), ...notes],
    };
  }

  // The mean of the views as they lie in their files.
  get before() {
    return meanView(...this.views);
  }

  // A file that a browser shows: "left", "right", "disparity", "before" or "preview".
  async picture(name) {
    const { icc = null, orientation } = { ...this.about.metadata, orientation: this.about.orientation };
    if (name === "disparity") {
      const drawn = turned(disparityPicture(this.laid.left, this.laid.found), -this.laid.turns);
      return encoded(await this.encode(drawn, "png", 8, { orientation }, false));
    }
    const shown = { before: () => this.before, preview: () => unpacked(this.result) };
    const picture = name in shown ? shown[name]() : reduced(turned(this.laid[name], -this.laid.turns));
    return encoded(await this.encode(picture, "jpeg", 8, { icc, orientation }, this.about.grey, true));
  }

  // The result as a file to keep, mixed with the mean of the views if `strength` is below 1.
  async save({ format, depth, strength = 1 }, software) {
    const chosen = strength === 1 ? software : `${software}, strength ${strength.toFixed(2)}`;
    const result = unpacked(this.result);
    const picture = strength === 1 ? result : blend(this.before, result, strength);
    const given = outputOf(this.about, { levels: picture.data, planar: true, depth, software: chosen });
    return { ...encoded(await encode(given, KINDS[format])), ending: `sharp.${format}` };
  }

  // "disparity" or "confidence" of each pixel of the result, grey levels of 16 bits as a file: inference/maps.py.
  async map(kind, { format }, network, limits, software) {
    this.found ??= await this.find(network, limits);
    const { levels, meaning } = MAPS[kind],
      { width, height, data } = this.found,
      plane = data.subarray(width * height * levels.plane, width * height * (levels.plane + 1));
    const grey = blank(width, height);
    for (let channel = 0; channel < 3; channel++) grey.data.set(plane.map(levels.of), channel * plane.length);
    const told = meaning ? `${software}; ${meaning}` : software;
    const metadata = { ...BARE, orientation: this.about.orientation, software: told };
    const lying = turned(grey, -this.laid.turns);
    return { ...encoded(await this.encode(lying, KINDS[format], 16, metadata, true)), ending: `${kind}.${format}` };
  }

  find(network, limits) {
    const { left, right } = matchBrightness(this.laid.left, this.laid.right);
    return network.find(left, right, limits);
  }

  encode({ width, height, data }, format, depth, metadata, grey, shown = false) {
    return encode({ levels: data, planar: true, width, height, depth, grey, metadata, shown }, format);
  }
}

function planOf(rows, height, steps) {
  const how = rows < height ? `at most ${rows} rows at once` : "whole",
    others = steps.slice(0, -1).map((step) => `1/${step}`);
  return others.length ? `${how}, joined with ${others.join(" and ")} of the size` : how;
}

const encoded = ({ bytes, mime }) => ({ bytes, mime });

// H x W x 3 levels as a picture in memory.
function planar(levels, { width, height, white }) {
  const picture = blank(width, height),
    size = width * height;
  for (let i = 0; i < size; i++) {
    for (let channel = 0; channel < 3; channel++) picture.data[channel * size + i] = levels[3 * i + channel] / white;
  }
  return picture;
}

function reduced(picture) {
  const by = Math.max(1, Math.ceil(Math.max(picture.width, picture.height) / THUMB_PX)),
    size = picture.width * picture.height;
  const planes = [0, 1, 2].map((channel) =>
    pooled(picture.data.subarray(channel * size, (channel + 1) * size), picture.width, picture.height, by),
  );
  const small = blank(planes[0].width, planes[0].height);
  planes.forEach((plane, channel) => small.data.set(plane.data, channel * plane.data.length));
  return small;
}

function blend(taken, picture, strength) {
  for (let i = 0; i < taken.data.length; i++) taken.data[i] += strength * (picture.data[i] - taken.data[i]);
  return taken;
}
