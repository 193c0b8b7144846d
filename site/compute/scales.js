// At which scales a pair is deblurred, and how the results are joined: inference/scales.py, number for number.

import { less, smoothed, widestPx } from "./matching.js";
import { blank } from "./picture.js";
import { clamp } from "./statistics.js";

const HOME_PX = 8.5,
  COARSE_PX = 7,
  NEAR_PX = 5,
  FAR_PX = 8,
  UNSURE = 0.4,
  SURE = 0.8,
  FOCUS_PX = 0.5,
  BLURRED_PX = 1,
  MARGIN_PX = 4,
  LEAST_KEPT = 0.25,
  SHARP_KEPT = 0.9,
  CALM = 0.002,
  NOISY = 0.006,
  SOFT = 0.2,
  SHARP = 0.5,
  LARGE_PIXELS = 4e6,
  NARROW = 3,
  WIDE = 9,
  TOGETHER = 5,
  FLAT = 0.002,
  ROWS = 64,
  LEAST_BLOCKS = 12,
  LEAST_SIDE_PX = 96,
  BEND = -0.75; // of the bicubic filter
const CHAINS = { 1: [1], 3: [3, 1], 4: [4, 1], 6: [6, 3, 1], 8: [8, 4, 1], 12: [12, 4, 1] };
const CHEAP = [3, 4, 6, 8, 12];

// The reductions at which a pair is deblurred, the coarsest first.
export function chooseScales(matches, width, height) {
  const widest = widestPx(matches);
  if (matches.across.length < LEAST_BLOCKS || (widest <= HOME_PX && width * height < LARGE_PIXELS)) return CHAINS[1];
  const fitting = CHEAP.filter((most) => Math.min(width, height) >= LEAST_SIDE_PX * most);
  const wished = CHEAP.find((most) => widest <= most * COARSE_PX) ?? CHEAP.at(-1);
  return CHAINS[Math.min(fitting.at(-1) ?? 1, wished)];
}

// The means of `by` x `by` pixels; at the lower and right edge, of those that exist.
export function reduced(picture, by) {
  if (by === 1) return picture;
  const { width, height, data } = picture,
    small = blank(Math.ceil(width / by), Math.ceil(height / by));
  let place = 0;
  for (let channel = 0; channel < 3; channel++) {
    for (let row = 0; row < height; row += by) {
      for (let column = 0; column < width; column += by, place++) {
        const bottom = Math.min(row + by, height),
          right = Math.min(column + by, width);
        let sum = 0;
        for (let y = row; y < bottom; y++) {
          const start = (channel * height + y) * width;
          for (let x = column; x < right; x++) sum += data[start + x];
        }
        small.data[place] = sum / ((bottom - row) * (right - column));
      }
    }
  }
  return small;
}

// Of `found`, disparity and confidence, with disparities `times` as large as there.
export function shareOfFiner(found, times) {
  const share = (px, sure) => (1 - step(Math.abs(px * times), NEAR_PX, FAR_PX)) * step(sure, UNSURE, SURE);
  return lowest(planeOf(found, share), MARGIN_PX);
}

// The least of the squares that reach `reach` pixels each way.
function lowest({ width, height, data }, reach) {
  const least = (plane, lines, length, apart, step) => {
    const result = new Float32Array(plane.length);
    for (let line = 0; line < lines; line++) {
      for (let i = 0; i < length; i++) {
        let found = Infinity;
        const last = Math.min(length - 1, i + reach);
        for (let k = Math.max(0, i - reach); k <= last; k++) {
          const value = plane[line * apart + k * step];
          if (value < found) found = value;
        }
        result[line * apart + i * step] = found;
      }
    }
    return result;
  };
  return { width, height, data: least(least(data, height, width, width, 1), width, height, 1, width) };
}

// The weight of the mean of the views at full size; `noise`: standard deviation of a view's; `fineness`: see there.
export function shareOfViews(found, times, noise, fineness) {
  const noisy = step(noise, CALM, NOISY);
  return planeOf(found, (px, sure, i) => {
    const calm = LEAST_KEPT + (SHARP_KEPT - LEAST_KEPT) * step(fineness.data[i], SOFT, SHARP),
      most = calm + (1 - calm) * noisy;
    return most * (1 - step(Math.abs(px * times), FOCUS_PX, BLURRED_PX)) * step(sure, UNSURE, SURE);
  });
}

// How sharp the mean of the views is, for squares of `by` pixels: the energy of its finest detail over that of the
// next.
export function finenessOf({ left, right }, by, noise) {
  const { width, height } = left,
    halo = (NARROW >> 1) + (WIDE >> 1),
    rows = by * Math.max(1, Math.floor(ROWS / by)),
    size = { width: Math.ceil(width / by), height: Math.ceil(height / by) },
    fine = new Float32Array(size.width * size.height),
    coarse = new Float32Array(fine.length);
  for (let first = 0; first < height; first += rows) {
    const last = Math.min(height, first + rows),
      top = Math.max(0, first - halo),
      grey = greyOf(left, right, top, Math.min(height, last + halo)),
      narrow = smoothed(grey, NARROW),
      details = [less(grey, narrow), less(narrow, smoothed(narrow, WIDE))];
    [fine, coarse].forEach((energy, kind) => addEnergy(energy, details[kind], by, first, last, top));
  }
  const [a, b] = [fine, coarse].map((data) => smoothed({ ...size, data }, TOGETHER).data);
  const share = (value, i) => Math.max(0, value - noise ** 2 / 2) / Math.max(b[i], FLAT ** 2);
  return { ...size, data: a.map(share) };
}

// The mean of views and colours, of the rows `top` to `bottom` - 1.
function greyOf(left, right, top, bottom) {
  const { width, height } = left,
    grey = { width, height: bottom - top, data: new Float32Array(width * (bottom - top)) };
  for (let i = 0; i < grey.data.length; i++) {
    const at = top * width + i,
      size = width * height;
    let sum = 0;
    for (let place = at; place < 3 * size; place += size) sum += left.data[place] + right.data[place];
    grey.data[i] = sum / 6;
  }
  return grey;
}

// Puts the mean squares of the rows `first` to `last` - 1 in their places of `energy`; `detail` begins with row `top`.
function addEnergy(energy, { width, data }, by, first, last, top) {
  const wide = Math.ceil(width / by);
  for (let row = first; row < last; row += by) {
    for (let column = 0; column < width; column += by) {
      const bottom = Math.min(row + by, last),
        right = Math.min(column + by, width);
      let sum = 0;
      for (let y = row; y < bottom; y++) {
        for (let x = column; x < right; x++) sum += data[(y - top) * width + x] ** 2;
      }
      energy[(row / by) * wide + column / by] = sum / ((bottom - row) * (right - column));
    }
  }
}

function planeOf({ width, height, data }, act) {
  const size = width * height,
    plane = new Float32Array(size);
  for (let i = 0; i < size; i++) plane[i] = act(data[i], data[size + i], i);
  return { width, height, data: plane };
}

// 0 up to `low`, 1 from `high` on, and smooth between.
function step(value, low, high) {
  const share = clamp((value - low) / (high - low), 0, 1);
  return share * share * (3 - 2 * share);
}

// Joins, in place, the result `fine` of one scale with that of the coarser one: where `share` is below 1, the picture
// is the mean of the views plus `correction`, which is `ratio` times smaller; and where `kept` is above 0, more of
// that mean. Both shares are `by` times smaller.
export function join(fine, { left, right }, correction, ratio, share, by, kept = null) {
  const { width, height, data } = fine;
  const weights = enlarger(share, 1, by, width, LINEAR),
    coarse = enlarger(correction, 3, ratio, width, CUBIC),
    keeping = kept && enlarger(kept, 1, by, width, LINEAR);
  for (let row = 0; row < height; row++) {
    const [weight] = weights(row),
      more = coarse(row),
      [keep] = keeping ? keeping(row) : [];
    for (let channel = 0; channel < 3; channel++) {
      const start = (channel * height + row) * width;
      for (let x = 0, i = start; x < width; x++, i++) {
        const mean = (left.data[i] + right.data[i]) / 2,
          far = more[channel][x] + mean,
          joined = far + weight[x] * (data[i] - far);
        data[i] = keep ? joined + keep[x] * (mean - joined) : joined;
      }
    }
  }
}

const LINEAR = { taps: 2, weights: (t) => [1 - t, t] };
const CUBIC = {
  taps: 4,
  weights: (t) => [outer(t + 1), inner(t), inner(1 - t), outer(2 - t)],
};
const inner = (t) => ((BEND + 2) * t - (BEND + 3)) * t * t + 1;
const outer = (t) => ((BEND * t - 5 * BEND) * t + 8 * BEND) * t - 4 * BEND;

// Gives rows of planes enlarged `by` times, as one array for each plane, which the next call overwrites.
function enlarger({ width, height, data }, planes, by, wide, filter) {
  const rows = Array.from({ length: planes }, () => new Float32Array(wide)),
    column = new Float32Array(width),
    across = Array.from({ length: wide }, (_, x) => placesOf(x, by, width, filter));
  return (row) => {
    const [from, weights] = placesOf(row, by, height, filter);
    rows.forEach((result, plane) => {
      column.fill(0);
      from.forEach((y, tap) => {
        const start = (plane * height + y) * width;
        for (let x = 0; x < width; x++) column[x] += weights[tap] * data[start + x];
      });
      for (let x = 0; x < wide; x++) {
        const [columns, shares] = across[x];
        let sum = 0;
        for (let tap = 0; tap < columns.length; tap++) sum += shares[tap] * column[columns[tap]];
        result[x] = sum;
      }
    });
    return rows;
  };
}

// From which of `count` small pixels a large one is made, and their weights; beyond the edge lies the edge.
function placesOf(at, by, count, { taps, weights }) {
  const place = (at + 0.5) / by - 0.5,
    low = Math.floor(place),
    first = low - taps / 2 + 1;
  return [Array.from({ length: taps }, (_, tap) => clamp(first + tap, 0, count - 1)), weights(place - low)];
}
