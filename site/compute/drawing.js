// Where the content of the left view moved in the right one, in colours: pairs/inspect.py, `disparity_picture`.

import { widestPx } from "./matching.js";
import { blank, pooled } from "./picture.js";
import { clamp } from "./statistics.js";

const REACH = (1.5 * 32) / 2,
  LEAST_SCALE_PX = 0.5;
const FARTHEST = 5.5 * REACH; // beyond it, the weight is below what float32 tells from 0
const BEHIND = [0.9, 0.25, 0.1],
  IN_FRONT = [0.1, 0.35, 0.95];

// The disparity that is shown in full colour.
export const scalePx = (found) => Math.max(widestPx(found.matches), LEAST_SCALE_PX);

// The left view in grey, reduced; red is behind the plane in focus, blue in front of it.
export function disparityPicture(left, found) {
  const { matches } = found,
    size = left.width * left.height;
  const mean = new Float32Array(size);
  for (let i = 0; i < size; i++) mean[i] = (left.data[i] + left.data[size + i] + left.data[2 * size + i]) / 3;
  const grey = pooled(mean, left.width, left.height, matches.reduction);
  const signed = spreadOut(matches, grey.height, grey.width),
    full = matches.reduction / scalePx(found);
  const picture = blank(grey.width, grey.height),
    area = grey.data.length;
  for (let i = 0; i < area; i++) {
    const share = clamp(signed[i] * full, -1, 1),
      colour = share > 0 ? BEHIND : IN_FRONT;
    for (let channel = 0; channel < 3; channel++) {
      const shown = 0.25 + 0.5 * grey.data[i];
      const aim = colour[channel] * (0.4 + 0.6 * grey.data[i]);
      picture.data[channel * area + i] = clamp(shown + 0.85 * Math.abs(share) * (aim - shown), 0, 1);
    }
  }
  return picture;
}

// Values at scattered places as a map: their mean weighted by nearness, fading to 0 far from all of them.
function spreadOut({ rows, columns, across }, height, width) {
  const total = new Float32Array(height * width),
    sum = new Float32Array(height * width);
  const near = (at, middle) => Math.exp(-(((at + 0.5 - middle) / REACH) ** 2));
  rows.forEach((row, block) => {
    const left = Math.max(0, Math.floor(columns[block] - FARTHEST));
    const right = Math.min(width, Math.ceil(columns[block] + FARTHEST));
    const weights = Float32Array.from({ length: Math.max(0, right - left) }, (_, i) => near(left + i, columns[block]));
    const last = Math.min(height, Math.ceil(row + FARTHEST));
    for (let y = Math.max(0, Math.floor(row - FARTHEST)); y < last; y++) {
      const down = near(y, row);
      for (let x = left, i = y * width + left; x < right; x++, i++) {
        const weight = down * weights[x - left];
        total[i] += weight;
        sum[i] += weight * across[block];
      }
    }
  });
  return sum.map((value, i) => value / Math.max(total[i], 0.3));
}
