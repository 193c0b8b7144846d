// How a picture is cut into bands of full width, so that each equals the same rows of the whole: inference/planning.py;
// and into strips for each stage of a network.

import { ComputeError } from "./errors.js";

const MOST_EXTRA = 0.25;
const MOST_ROWS = 3; // times the picture's: where bands are so low that more are computed, more memory is better
const STRIP_ROWS = 256,
  STRIP_SHARE = 1 / 4, // of the memory that is left for computing
  STRIP_BYTES = 200e6; // more makes nothing faster
const FLOAT_BYTES = 4;
export const roundUp = (number, multiple) => Math.ceil(number / multiple) * multiple;

// `height` rows in bands [first, last + 1] of `rows` rows, rounded up to a multiple of `multiple`.
export function split(height, rows, multiple) {
  const step = roundUp(rows, multiple),
    bands = [];
  for (let first = 0; first < height; first += step) bands.push([first, Math.min(first + step, height)]);
  return bands;
}

// The rows to compute for a band: `overlap` more on both sides, where the picture has them.
export function around([first, last], height, multiple, overlap) {
  const more = roundUp(overlap, multiple);
  return [Math.max(0, first - more), Math.min(height, roundUp(last, multiple) + more)];
}

// The fewest bands that need at most `comfort` bytes, or the most that compute little twice; null where none keeps
// within `limit`. `cost` has the bytes of a row, and those that are needed anyway.
export function chooseBands(height, multiple, reach, cost, limit, comfort) {
  const steps = Math.ceil(height / multiple);
  let chosen = null,
    before = 0;
  for (let count = 1; count <= steps; count++) {
    const step = Math.ceil(steps / count) * multiple;
    if (step === before) continue;
    before = step;
    const bands = split(height, step, multiple);
    const rows = bands.map((band) => around(band, height, multiple, reach)).map(([first, last]) => last - first);
    const need = cost.fixed + cost.row * roundUp(Math.max(...rows), multiple);
    if (need > limit) continue;
    if (chosen && rows.reduce((sum, one) => sum + one) > (1 + MOST_EXTRA) * height) break;
    chosen = bands;
    if (need <= comfort) break;
  }
  return chosen;
}

// How many rows each stage computes at once, by its place among `stages`, for a picture whose sides are multiples of
// `multiple`, within the first of `limits`, in bytes, that suffices without computing most rows many times; `held`
// bytes are occupied anyway. Throws a ComputeError where none does.
export function planStages(width, height, stages, multiple, held, limits) {
  const plans = limits.map((limit) => planWithin(width, height, stages, multiple, held, limit)).filter(Boolean);
  const chosen = plans.find(({ computed }) => computed <= MOST_ROWS * height) ?? plans.at(-1);
  if (chosen) return chosen.rows;
  const most = (Math.max(...limits) / 1e9).toFixed(1);
  throw new ComputeError(
    `This picture of ${width} × ${height} pixels needs more than the ${most} GB of memory that a page may` +
      " use here; make both views smaller, or use dualpix on the command line.",
  );
}

// The stage that sees farthest decides for how many rows features are held; all others are computed in low strips.
function planWithin(width, height, stages, multiple, held, limit) {
  const far = stages.reduce((one, other) => (other.reach_px > one.reach_px ? other : one));
  const near = stages.filter((stage) => stage !== far);
  const strip = Math.min(STRIP_BYTES, STRIP_SHARE * (limit - held));
  const rows = stages.map((stage) => stripRows(stage, width, height, multiple, strip));
  const inStrips = Math.max(0, ...near.map((stage) => bytesOf(stage, width, rows[stages.indexOf(stage)])));
  const kept = near.length ? featureBytes(stages) * width : 0; // of a row of the picture
  const waiting = kept * Math.max(...rows);
  const cost = { fixed: held + waiting + inStrips, row: width * far.bytes_per_px + kept };
  const bands = chooseBands(height, multiple, far.reach_px, cost, limit, limit);
  if (!bands) return null;
  rows[stages.indexOf(far)] = bands[0][1] - bands[0][0];
  const computed = bands.map((band) => around(band, height, multiple, far.reach_px));
  return { rows, computed: computed.reduce((sum, [first, last]) => sum + last - first, 0) };
}

const bytesOf = ({ bytes_per_px, reach_px }, width, rows) => bytes_per_px * width * (rows + 2 * reach_px);

function stripRows({ bytes_per_px, reach_px }, width, height, multiple, bytes) {
  const most = bytes / (bytes_per_px * width) - 2 * reach_px;
  return Math.max(multiple, Math.min(STRIP_ROWS, height, Math.floor(most / multiple) * multiple));
}

// Of all features that pass between stages, for each pixel of the picture.
function featureBytes(stages) {
  const inner = stages.slice(0, -1).flatMap(({ outputs }) => Object.values(outputs));
  return inner.reduce((sum, [batch, channels, step]) => sum + (FLOAT_BYTES * batch * channels) / step ** 2, 0);
}
