// How a picture is cut into bands of full width, so that each equals the same rows of the whole: inference/planning.py.

import { ComputeError } from "./errors.js";

const MOST_EXTRA = 0.25;
const MOST_ROWS = 3; // times the picture's: where bands are so low that more are computed, more memory is better
const roundUp = (number, multiple) => Math.ceil(number / multiple) * multiple;

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

// Bands for a picture within the first of `limits`, in bytes, that suffices without computing most rows many times; a ComputeError if none does.
export function planBands(width, height, manifest, fixed, limits) {
  const { size_multiple: multiple, receptive_radius_px: reach, bytes_per_px: each } = manifest;
  const cost = { fixed, row: each * roundUp(width, multiple) };
  const found = limits.map((limit) => chooseBands(height, multiple, reach, cost, limit, limit)).filter(Boolean);
  const computed = (bands) =>
    bands.map((band) => around(band, height, multiple, reach)).reduce((rows, [first, last]) => rows + last - first, 0);
  const chosen = found.find((bands) => computed(bands) <= MOST_ROWS * height) ?? found.at(-1);
  if (chosen) return chosen;
  const most = (Math.max(...limits) / 1e9).toFixed(1);
  throw new ComputeError(
    `This picture of ${width} × ${height} pixels needs more than the ${most} GB of memory that a page may` +
      " use here; make both views smaller, or use dualpix on the command line.",
  );
}
