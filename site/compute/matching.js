// Displacements between the two views, block by block: pairs/matching.py, by the same arithmetic.

import { BLOCK_PX, REACH_PX, SPAN, correlate } from "./correlation.js";
import { pooled } from "./picture.js";
import { median, quantile, roundEven } from "./statistics.js";

export { BLOCK_PX };
export const MOVED_PX = 0.3;
const WORKING_SIDE_PX = 800;
const MIN_TEXTURE = 0.004,
  MIN_OF_NOISE = 1,
  MIN_CORRELATION = 0.7,
  MIN_BEND = 0.005,
  MIN_EVENNESS = 0.05;
const NOISE_STRIPS = 16,
  CHANCE = 3,
  NORMAL_MEDIAN = 0.6745,
  CROSS_GAIN = 6;
const HALF = BLOCK_PX / 2;

const WINDOW = new Float64Array(BLOCK_PX * BLOCK_PX).map((_, i) => hann(i % BLOCK_PX) * hann(Math.floor(i / BLOCK_PX)));
function hann(i) {
  return 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (BLOCK_PX - 1));
}

// Both views { width, height, data } -> arrays of numbers for each trusted block, and counts; see `Matches` there.
export function matchBlocks(left, right, coarser = 1) {
  const reduction = coarser * Math.max(1, roundEven(Math.max(left.width, left.height) / WORKING_SIDE_PX));
  const greys = [left, right].map((view) => luminance(view, reduction));
  const bands = greys.map((grey) => less(blurred(grey, 3), blurred(grey, 11)));
  const crosses = greys.map(secondDifferences);
  const gain = noiseGain();
  const places = placesOf(greys[0]),
    matched = [];
  let textured = 0,
    found = 0;
  for (const place of places) {
    const blocks = bands.map((band) => windowed(band, place));
    const energy = blocks.map(squares);
    if (!isTextured(energy)) continue;
    const common = correlate(...blocks);
    const height = Math.max(...common);
    const apart = Math.max(0, energy[0] + energy[1] - 2 * height);
    const noise = crosses.map((cross) => Math.min(gain * noiseAt(cross, place) ** 2, apart));
    const clean = energy.map((value, i) => value - noise[i]);
    if (!isTextured(clean) || clean.some((value, i) => value <= MIN_OF_NOISE * noise[i])) continue;
    textured += 1;
    const peak = peakOf(common, 1 / Math.sqrt(clean[0] * clean[1]));
    if (!peak.isFound) continue;
    found += 1;
    const weak = Math.min(...peak.bends),
      strong = Math.max(...peak.bends);
    if (weak > MIN_BEND && weak > MIN_EVENNESS * strong) matched.push({ ...place, ...peak, common: height });
  }
  const fines = greys.map((grey) => less(grey, blurred(grey, 3)));
  const list = (pick) => Float32Array.from(matched, pick);
  return {
    across: list(({ across }) => across),
    down: list(({ down }) => down),
    rows: list(({ row }) => row),
    columns: list(({ column }) => column),
    fineness: list((match) => finenessOf(match, fines)),
    textured,
    found,
    reduction,
  };
}

// The displacement along rows, in pixels of the views, that 98 % of the blocks stay within, either way; `fartherPx`:
// what larger blocks see beyond their reach.
export const widestPx = ({ across, reduction, fartherPx = 0 }) =>
  Math.max(across.length ? quantile(across.map(Math.abs), 0.98) * reduction : 0, fartherPx);

// Standard deviation of the noise of a view's luminance, from the blocks of some strips of it.
export function noiseOf(view) {
  const all = [];
  for (let number = 0; number < NOISE_STRIPS; number++) {
    const top = Math.trunc(Math.fround((number * Math.max(view.height - BLOCK_PX, 0)) / (NOISE_STRIPS - 1)));
    const strip = luminance(view, 1, top, Math.min(top + BLOCK_PX, view.height));
    const cross = secondDifferences(strip);
    for (const place of placesOf(strip)) all.push(noiseAt(cross, place));
  }
  return all.length ? median(all) : 0;
}

function luminance({ width, height, data }, reduction, first = 0, last = height) {
  const grey = new Float32Array(width * (last - first)),
    size = width * height,
    start = width * first;
  for (let i = 0; i < grey.length; i++) {
    const at = start + i;
    grey[i] = 0.299 * data[at] + 0.587 * data[size + at] + 0.114 * data[2 * size + at];
  }
  return pooled(grey, width, last - first, reduction);
}

export function less(a, b) {
  return { ...a, data: a.data.map((value, i) => value - b.data[i]) };
}

// Twice the mean over a square.
const blurred = (plane, side) => smoothed(smoothed(plane, side), side);

// The mean over a square, of those pixels that exist.
export function smoothed({ width, height, data }, side) {
  const across = boxed(data, width, height, side, 1, width);
  return { width, height, data: boxed(across, height, width, side, width, 1) };
}

// The mean along lines of `length` pixels that lie `step` apart; the lines lie `apart`.
function boxed(plane, length, lines, side, step, apart) {
  const result = new Float32Array(plane.length),
    reach = side >> 1;
  for (let line = 0; line < lines; line++) {
    const start = line * apart;
    let total = 0,
      count = 0;
    for (let i = -reach; i < length; i++) {
      if (i + reach < length) {
        total += plane[start + (i + reach) * step];
        count += 1;
      }
      if (i - reach - 1 >= 0) {
        total -= plane[start + (i - reach - 1) * step];
        count -= 1;
      }
      if (i >= 0) result[start + i * step] = total / count;
    }
  }
  return result;
}

// The centres of half-overlapping blocks.
function placesOf({ width, height }) {
  const places = [];
  if (Math.min(width, height) < BLOCK_PX) return places;
  for (let row = HALF; row + HALF <= height; row += HALF) {
    for (let column = HALF; column + HALF <= width; column += HALF) places.push({ row, column });
  }
  return places;
}

function cut({ width, data }, { row, column }) {
  const block = new Float32Array(BLOCK_PX * BLOCK_PX);
  for (let y = 0; y < BLOCK_PX; y++) {
    const start = (row - HALF + y) * width + column - HALF;
    block.set(data.subarray(start, start + BLOCK_PX), y * BLOCK_PX);
  }
  return block;
}

const windowed = (plane, place) => cut(plane, place).map((value, i) => value * WINDOW[i]);

function squares(block) {
  let total = 0;
  for (let i = 0; i < block.length; i++) total += block[i] * block[i];
  return total;
}

const isTextured = (energy) => Math.sqrt(Math.max(0, Math.min(...energy)) / BLOCK_PX ** 2) > MIN_TEXTURE;

// What white noise adds to the energy of a windowed, band-passed block, for each unit of its variance.
function noiseGain() {
  const point = { width: BLOCK_PX, height: BLOCK_PX, data: new Float32Array(BLOCK_PX * BLOCK_PX) };
  point.data[HALF * BLOCK_PX + HALF] = 1;
  return squares(less(blurred(point, 3), blurred(point, 11)).data) * squares(WINDOW);
}

// (1, -2, 1) across both axes, without a sign; beyond the edge lies the edge.
function secondDifferences({ width, height, data }) {
  const rows = new Float32Array(data.length),
    cross = new Float32Array(data.length);
  for (let y = 0; y < height; y++) {
    const above = Math.max(y - 1, 0) * width,
      here = y * width,
      below = Math.min(y + 1, height - 1) * width;
    for (let x = 0; x < width; x++)
      rows[here + x] = data[below + x] - data[here + x] - (data[here + x] - data[above + x]);
  }
  for (let y = 0; y < height; y++) {
    for (let x = 0, i = y * width; x < width; x++, i++) {
      const before = rows[x ? i - 1 : i],
        after = rows[x < width - 1 ? i + 1 : i];
      cross[i] = Math.abs(after - rows[i] - (rows[i] - before));
    }
  }
  return { width, height, data: cross };
}

const noiseAt = (cross, place) => median(cut(cross, place)) / (NORMAL_MEDIAN * CROSS_GAIN);

// The peak of a surface to a fraction of a pixel, by a parabola along either axis.
function peakOf(surface, scale) {
  let index = 0;
  for (let i = 1; i < surface.length; i++) if (surface[i] > surface[index]) index = i;
  const top = Math.floor(index / SPAN),
    side = index % SPAN;
  const isInside = top > 0 && top < SPAN - 1 && side > 0 && side < SPAN - 1;
  const row = Math.min(Math.max(top, 1), SPAN - 2),
    column = Math.min(Math.max(side, 1), SPAN - 2);
  const at = (y, x) => scale * surface[(row + y) * SPAN + column + x];
  const middle = at(0, 0),
    above = at(-1, 0),
    below = at(1, 0),
    before = at(0, -1),
    after = at(0, 1);
  const bends = [2 * middle - above - below, 2 * middle - before - after];
  return {
    across: column - REACH_PX + (0.5 * (after - before)) / Math.max(bends[1], 1e-6),
    down: row - REACH_PX + (0.5 * (below - above)) / Math.max(bends[0], 1e-6),
    bends,
    isFound: isInside && scale * surface[index] > MIN_CORRELATION,
  };
}

// `Matches.fineness` of a block.
function finenessOf({ across, down, row, column, common }, fines) {
  if (Math.hypot(across, down) <= MOVED_PX) return 0;
  const surface = correlate(...fines.map((fine) => windowed(fine, { row, column })));
  const y = roundEven(down) + REACH_PX,
    x = roundEven(across) + REACH_PX;
  let peak = -Infinity;
  for (let r = Math.max(0, y - 1); r <= Math.min(SPAN - 1, y + 1); r++) {
    for (let c = Math.max(0, x - 1); c <= Math.min(SPAN - 1, x + 1); c++) peak = Math.max(peak, surface[r * SPAN + c]);
  }
  const chance = median(surface.map(Math.abs)) / NORMAL_MEDIAN;
  return Math.max(0, (peak - CHANCE * chance) / common);
}
