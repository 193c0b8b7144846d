// The views mixed into a result where it has what cannot come from them: inference/guard.py, number for number.

import { BLOCK_PX, compare, pixelsOf } from "./comparison.js";
import { ComputeError } from "./errors.js";
import { clamp } from "./statistics.js";

const NEAR = 3,
  REACH = 5,
  WIDE = 15,
  LEVEL = 1 / 255,
  FULLY = 1.3,
  MUCH = 0.25;
// How large a difference may be: without contrast, for each unit of contrast, and of contrast of colours alone.
const BRIGHTNESS = [10 * LEVEL, 2, 0],
  COLOUR = [5 * LEVEL, 0.08, 1.2];
const WIDE_BRIGHTNESS = [7 * LEVEL, 0.7, 0],
  WIDE_COLOUR = [3 * LEVEL, 0.03, 0.4];
const PATTERN = [6 * LEVEL, 6, 0],
  COLOURED_PATTERN = [4 * LEVEL, 0.2, 3];

// Clips the result to [0, 1] and mixes the mean of `views`, left and right, in, in place; gives the comparison, the
// share of the picture in which that was so, and notes. `reduction`: at which the widest blur was undone. Throws
// where nothing in it is a number.
export function watch(picture, views, reduction = 1) {
  const side = BLOCK_PX * reduction;
  const lost = heal(picture, views, side);
  if (lost.every((share) => share === 1))
    throw new ComputeError("The network gives no numbers for this pair; try another browser.");
  for (let i = 0; i < picture.data.length; i++) picture.data[i] = clamp(picture.data[i], 0, 1);
  const found = compare(picture, views, side),
    { width, height } = found;
  const strange = shareOfViews(found);
  const healed = spread({ width, height, data: lost.map((share) => (share > 0 ? 1 : 0)) });
  const share = strange.map((value, i) => Math.max(value, healed[i]));
  if (share.some((value) => value > 0)) {
    mix(picture, views, { width, height, data: share }, side);
    found.shift = found.shift.map((plane) => plane.map((value, i) => value * (1 - share[i])));
    found.change = found.change.map((plane) => plane.map((value, i) => value * (1 - share[i]) ** 2));
  }
  return { comparison: found, mixedIn: shareAbove(share), notes: [...toldLost(lost), ...toldStrange(strange)] };
}

const shareAbove = (values) => values.reduce((count, value) => count + (value > 0), 0) / values.length;

// The largest share that a difference takes of what is allowed: above 1 it cannot come from the views.
function excess({ width, height, shift, level, change, texture }) {
  const grid = (data) => ({ width, height, data });
  const map = (act) => Float32Array.from({ length: width * height }, (_, i) => act(i));
  const near = (data) => boxMean(grid(data), NEAR),
    wide = (data) => boxMean(grid(data), WIDE);
  const grey = (planes) => map((i) => (planes[0][i] + planes[1][i] + planes[2][i]) / 3);
  const greyShift = grey(shift),
    greyLevel = grey(level);
  const colourShift = shift.map((plane) => map((i) => plane[i] - greyShift[i]));
  const contrast = contrastOf(grid, level, texture[0]);
  const colours = contrastOf(
    grid,
    level.map((plane) => map((i) => plane[i] - greyLevel[i])),
    map((i) => texture[0][i] - texture[1][i]),
  );
  const wideContrast = wide(contrast),
    wideColours = wide(colours);
  const most = new Float32Array(width * height);
  const ask = ([flat, more, coloured], difference, each, eachColour) =>
    difference.forEach((value, i) => {
      most[i] = Math.max(most[i], value / (flat + more * each[i] + coloured * eachColour[i]));
    });
  const size = (data) => data.map(Math.abs),
    root = (data) => data.map((value) => Math.sqrt(Math.max(value, 0)));
  ask(BRIGHTNESS, size(near(greyShift)), contrast, colours);
  for (const plane of colourShift) ask(COLOUR, size(near(plane)), contrast, colours);
  ask(WIDE_BRIGHTNESS, size(wide(greyShift)), wideContrast, wideColours);
  for (const plane of colourShift) ask(WIDE_COLOUR, size(wide(plane)), wideContrast, wideColours);
  ask(PATTERN, root(near(change[0])), contrast, colours);
  ask(COLOURED_PATTERN, root(near(map((i) => change[0][i] - change[1][i]))), contrast, colours);
  return most;
}

function shareOfViews(found) {
  const { width, height } = found;
  const beyond = excess(found).map((value) => smooth(clamp((value - 1) / (FULLY - 1), 0, 1)));
  return spread({ width, height, data: beyond });
}

const smooth = (share) => share * share * (3 - 2 * share);

// The largest standard deviation near by.
function contrastOf(grid, level, texture) {
  const between = level.map((plane) => {
    const squares = boxMean(grid(plane.map((value) => value * value)), NEAR),
      means = boxMean(grid(plane), NEAR);
    return squares.map((value, i) => value - means[i] ** 2);
  });
  const within = boxMean(grid(texture), NEAR);
  const variance = within.map((value, i) => Math.max(0, value + (between[0][i] + between[1][i] + between[2][i]) / 3));
  return boxMost(grid(variance), REACH).map(Math.sqrt);
}

// Over squares of so many blocks a side, of those that exist.
function boxed({ width, height, data }, blocks, start, join, finish) {
  const reach = blocks >> 1,
    result = new Float32Array(width * height);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let value = start,
        count = 0;
      for (let r = Math.max(0, y - reach); r <= Math.min(height - 1, y + reach); r++) {
        for (let c = Math.max(0, x - reach); c <= Math.min(width - 1, x + reach); c++, count++) {
          value = join(value, data[r * width + c]);
        }
      }
      result[y * width + x] = finish(value, count);
    }
  }
  return result;
}

const boxMean = (grid, blocks) =>
  boxed(
    grid,
    blocks,
    0,
    (sum, value) => sum + value,
    (sum, count) => sum / count,
  );
const boxMost = (grid, blocks) =>
  boxed(
    grid,
    blocks,
    -Infinity,
    (most, value) => (value > most ? value : most),
    (most) => most,
  );

// The same or more, falling off over two blocks around.
const spread = (grid) => boxMean({ ...grid, data: boxMost(grid, NEAR) }, NEAR);

// The mean of the views where the result is no number; the share of each block where that was.
function heal({ width, height, data }, views, side) {
  const size = width * height,
    w = Math.ceil(width / side),
    lost = new Float32Array(w * Math.ceil(height / side));
  for (let i = 0; i < size; i++) {
    if (Number.isFinite(data[i] + data[size + i] + data[2 * size + i])) continue;
    for (const at of [i, size + i, 2 * size + i]) data[at] = meanAt(views, at);
    lost[Math.floor(i / width / side) * w + Math.floor((i % width) / side)] += 1;
  }
  return lost.map((count, i) => count / pixelsOf(i, w, width, height, side));
}

const meanAt = ({ left, right }, at) => (left.data[at] + right.data[at]) / 2;

function mix({ width, height, data }, views, share, side) {
  const size = width * height,
    weights = enlarged(share, width, height, side);
  for (let i = 0; i < size; i++) {
    if (!weights[i]) continue;
    for (const at of [i, size + i, 2 * size + i]) data[at] += weights[i] * (meanAt(views, at) - data[at]);
  }
}

// A grid of blocks as a map of pixels, linear between the blocks' middles.
function enlarged({ width: w, height: h, data }, width, height, side) {
  const weights = new Float32Array(width * height);
  const between = (at, count) => {
    const place = Math.max(0, (at + 0.5) / side - 0.5),
      low = Math.min(Math.floor(place), count - 1);
    return [low, Math.min(low + 1, count - 1), place - low];
  };
  for (let y = 0; y < height; y++) {
    const [top, bottom, down] = between(y, h);
    for (let x = 0; x < width; x++) {
      const [left, right, across] = between(x, w);
      const above = data[top * w + left] * (1 - across) + data[top * w + right] * across;
      const below = data[bottom * w + left] * (1 - across) + data[bottom * w + right] * across;
      weights[y * width + x] = above * (1 - down) + below * down;
    }
  }
  return weights;
}

function toldLost(lost) {
  const share = lost.reduce((sum, value) => sum + value, 0) / lost.length;
  return share
    ? [`The network gave NaN or infinity in ${percent(share)} of the picture, where the views stand now.`]
    : [];
}

function toldStrange(share) {
  const mixedIn = shareAbove(share);
  if (!mixedIn) return [];
  return [
    `In ${percent(mixedIn)} of the picture the network's result had colours, brightness or patterns that cannot come` +
      ` from the views, so these were mixed in there${mixedIn > MUCH ? "; try other weights" : ""}.`,
  ];
}

// A share as people read it.
export function percent(share) {
  if (share > 0 && share < 0.001) return "less than 0.1 %";
  return share < 0.1 && Math.round(1000 * share) % 10
    ? `${(100 * share).toFixed(1)} %`
    : `${(100 * share).toFixed(0)} %`;
}
