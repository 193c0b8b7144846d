// What may be wrong with two views, judged by where their blocks moved: pairs/checks.py, number for number.

import { BLOCK_PX, MOVED_PX } from "./matching.js";
import { clamp, deviation, mean, median, quantile } from "./statistics.js";

export const MIN_BLOCKS = 12,
  MOVED_SHARE = 0.85,
  LIKELY_SHARE = 0.65;
const MISALIGNED_PX = 0.75,
  BRIGHTNESS_RATIO = 2.5,
  LEANING_PX = 0.15,
  LEANING_RATIO = 2.5;
const SHARP_FROM = [
    [1, 2, 0.2],
    [2, 99, 0.1],
  ],
  STILL_SHARE = 0.25,
  SHARP_SHARE = 0.25;
const EVEN_SPREAD = 0.2,
  EVEN_FINENESS = 0.15,
  EVEN_PX = 1.2,
  COPIED_PX = 0.03,
  COPIED_SHARE = 0.04;
const CHANCE = 3,
  ALIKE_CHANCE = 3;

// How many blocks moved mostly along one axis, and how many of those along columns moved downwards.
export function leaning(across, down) {
  const count = { across: 0, down: 0, downwards: 0 };
  across.forEach((x, i) => {
    const y = down[i];
    if (Math.abs(x) > LEANING_PX && Math.abs(x) > 2 * Math.abs(y)) count.across += 1;
    if (!(Math.abs(y) > LEANING_PX && Math.abs(y) > 2 * Math.abs(x))) return;
    count.down += 1;
    if (y > 0) count.downwards += 1;
  });
  return count;
}

const centred = (values) => {
  const middle = median(values);
  return values.map((value) => value - middle);
};
const quartiles = (values) => quantile(values, 0.75) - quantile(values, 0.25);

function isUpright(matches) {
  const { across, down } = matches,
    raw = leaning(across, down);
  if (raw.down < Math.max(MIN_BLOCKS, LEANING_RATIO * raw.across) || !isOfOnePiece(down, matches)) return false;
  const around = leaning(across, centred(down));
  const lies = around.across >= Math.max(MIN_BLOCKS, LEANING_RATIO * around.down);
  const movedApart = isEven(matches) && Math.abs(median(down)) < EVEN_PX;
  return !(lies || movedApart || isSharpWhereMoved(across, down, matches));
}

function isSharpWhereMoved(across, down, { fineness }) {
  let sharp = 0,
    moved = 0,
    still = 0;
  across.forEach((x, i) => {
    const far = Math.hypot(x, down[i]);
    if (far < MOVED_PX) still += 1;
    const band = SHARP_FROM.find(([low, high]) => far > low && far <= high);
    if (!band) return;
    moved += 1;
    if (fineness[i] > band[2]) sharp += 1;
  });
  return still < STILL_SHARE * across.length && sharp >= Math.max(MIN_BLOCKS, SHARP_SHARE * moved);
}

function isEven({ across, down }) {
  const shift = Math.hypot(median(across), median(down));
  return shift > MOVED_PX && Math.max(quartiles(across), quartiles(down)) < EVEN_SPREAD * shift;
}

const isEvenlyMoved = (matches) => isEven(matches) && median(matches.fineness) > EVEN_FINENESS;

function isCopied(matches) {
  const { across, down } = matches,
    moved = leaning(across, down);
  return (
    Math.max(median(across.map(Math.abs)), median(down.map(Math.abs))) < COPIED_PX &&
    moved.across + moved.down <= COPIED_SHARE * across.length &&
    ![across, down].some((values) => isOfOnePiece(values, matches))
  );
}

// Sentences of advice, by keys of VERDICTS.
export function checkDirections(matches, behind, inFront) {
  const { across, down, reduction } = matches,
    odd = {};
  if (isCopied(matches)) {
    return {
      still:
        "The views show no disparity, not even a hundredth of a pixel: they are one photograph saved twice;" +
        " give the left and the right view.",
    };
  }
  if (isUpright(matches)) {
    return { vertical: "The disparity runs along columns, not rows; have the views turned before processing." };
  }
  const shift = Math.abs(median(down));
  if (shift > Math.max(MISALIGNED_PX, 0.5 * median(across.map(Math.abs)))) {
    odd.misaligned =
      `The views are misaligned by about ${(shift * reduction).toFixed(0)} pixels vertically; use views` +
      " that were neither cropped, stabilised nor rotated apart.";
  } else if (isEvenlyMoved(matches) || isSharpWhereMoved(across, centred(down), matches)) {
    return {
      stereo:
        "Detail that is displaced between the two views is too sharp to be out of focus: they are no " +
        "dual-pixel pair but were taken from two positions, or one is a shifted copy; give the two views of one " +
        "photograph, unaltered.",
    };
  }
  if (behind + inFront >= MIN_BLOCKS && inFront >= MOVED_SHARE * (behind + inFront)) {
    odd.swapped =
      "The views look swapped, or nearly everything out of focus is nearer than the focus; if the focus is" +
      " on the foreground, exchange left and right.";
  }
  return odd;
}

// A sentence if one view is too much brighter to be matched, from the means of both.
export function checkBrightness(a, b) {
  const most = Math.max(a, b),
    least = Math.min(a, b);
  if (most <= BRIGHTNESS_RATIO * least + 1e-3) return {};
  const [darker, brighter] = a < b ? ["left", "right"] : ["right", "left"];
  return {
    brightness:
      `The ${brighter} view is ${(most / Math.max(least, 1e-3)).toFixed(2)} times as bright as the` +
      ` ${darker} one; develop both views with the same settings.`,
  };
}

// Whether displacements exceed chance: their mean is not 0, or neighbouring blocks agree.
function isOfOnePiece(values, matches) {
  const low = quantile(values, 0.05),
    high = quantile(values, 0.95);
  const steady = values.map((value) => clamp(value, low, high));
  const spread = deviation(steady) + 1e-9,
    apart = steady.length / 4;
  if (Math.abs(mean(steady)) > (CHANCE * spread) / Math.sqrt(apart)) return true;
  const [alike, pairs] = likeness(steady, matches);
  return alike * Math.sqrt(pairs) > ALIKE_CHANCE * spread ** 2;
}

// The mean product of neighbouring, non-overlapping blocks, and how many such pairs there are.
function likeness(values, { rows, columns }) {
  const places = new Map();
  rows.forEach((row, i) => places.set(`${row} ${columns[i]}`, i));
  let total = 0,
    pairs = 0;
  rows.forEach((row, i) => {
    for (const beside of [`${row + BLOCK_PX} ${columns[i]}`, `${row} ${columns[i] + BLOCK_PX}`]) {
      if (!places.has(beside)) continue;
      total += values[i] * values[places.get(beside)];
      pairs += 1;
    }
  });
  return pairs ? [total / pairs, pairs] : [0, 0];
}
