// At which scales a pair is deblurred, and how the results are joined: inference/scales.py, number for number.

import { widestPx } from "./matching.js";
import { blank } from "./picture.js";
import { clamp } from "./statistics.js";

const HOME_PX = 8.5,
  COARSE_PX = 6.5,
  NEAR_PX = 5,
  FAR_PX = 8,
  UNSURE = 0.4,
  SURE = 0.8,
  FOCUS_PX = 0.5,
  BLURRED_PX = 1,
  LEAST_KEPT = 0.5,
  CALM = 0.002,
  NOISY = 0.006,
  LEAST_BLOCKS = 12,
  LEAST_SIDE_PX = 96,
  BEND = -0.75; // of the bicubic filter
const CHAINS = { 1: [1], 3: [3, 1], 4: [4, 1], 6: [6, 3, 1], 8: [8, 4, 1], 12: [12, 4, 1] };
const CHEAP = [3, 4, 6, 8, 12];

// The reductions at which a pair is deblurred, the coarsest first.
export function chooseScales(matches, width, height) {
  const widest = widestPx(matches);
  if (matches.across.length < LEAST_BLOCKS || widest <= HOME_PX) return CHAINS[1];
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
export const shareOfFiner = (found, times) =>
  planeOf(found, (px, sure) => (1 - step(Math.abs(px * times), NEAR_PX, FAR_PX)) * step(sure, UNSURE, SURE));

// The weight of the mean of the views at full size; `noise`: standard deviation of a view's.
export function shareOfViews(found, times, noise) {
  const most = LEAST_KEPT + (1 - LEAST_KEPT) * step(noise, CALM, NOISY);
  const share = (px) => most * (1 - step(Math.abs(px * times), FOCUS_PX, BLURRED_PX));
  return planeOf(found, (px, sure) => share(px) * step(sure, UNSURE, SURE));
}

function planeOf({ width, height, data }, act) {
  const size = width * height,
    plane = new Float32Array(size);
  for (let i = 0; i < size; i++) plane[i] = act(data[i], data[size + i]);
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
