/**
 * The two files that Google's dual-pixel app for Pixel phones writes: TIME_left.pgm and TIME_right.pgm.
 *
 * Each holds the green channel alone in linear light, scaled to white 65535 (github.com/google-research/google-research,
 * dual_pixels). The sensor splits its pixels along its long side, and the app keeps every fourth row but every second
 * column, so that the picture looks flattened: 2016 x 756 of a 4:3 scene.
 */

import { latin1 } from './bytes.js';
import { encodeSrgb } from './icc.js';

const NAME = /^.+_(?:left|right)\.pgm$/i;
const START = /^P5 \d+ \d+ 65535 /; // the app writes its header as one line that ends in a blank
const [WHITE, BLACK] = [65535, 4096];
const FLAT_ASPECT = 8 / 3;
const LINEAR =
  'The views of a Pixel phone are one green plane in linear light: black was set to 4096 and the sRGB curve applied; a ' +
  'colour picture cannot be made from it, and the weights were trained on colour, so treat the result as an experiment.';
const FLAT = 'The app keeps half as many rows as columns: rows were interpolated, so that shapes are right.';

/** Whether an open file is one of the app's two, by its name and its header. */
export const isPixel = ({ name, bytes }) => NAME.test(name) && START.test(latin1(bytes.subarray(0, 64)));

/** A pair of the app's files, as sRGB-encoded grey: floats in [0, 1], with the rows that were left out interpolated. */
export function developed(pair) {
  const { width, height } = pair;
  const isFlat = Math.abs(Math.max(width, height) / Math.min(width, height) - FLAT_ASPECT) < 0.02;
  const isUpright = height > width;
  const shape = isFlat ? (isUpright ? [2 * width, height] : [width, 2 * height]) : [width, height];
  const view = (levels) => encoded(isFlat ? doubled(levels, width, height, isUpright) : levels, pair.white);
  return {
    ...pair,
    left: view(pair.left),
    right: view(pair.right),
    white: 1,
    width: shape[0],
    height: shape[1],
    grey: true,
    notes: isFlat ? [LINEAR, FLAT] : [LINEAR],
  };
}

function encoded(levels, white) {
  const scale = (level) => ((level / white) * WHITE - BLACK) / (WHITE - BLACK);
  return Float32Array.from(levels, (level) => encodeSrgb(scale(level)));
}

/** Twice as many rows, or columns if `across`, by linear interpolation between the middles of the pixels. */
function doubled(levels, width, height, across) {
  const [count, others] = across ? [width, height] : [height, width];
  const [step, aside] = across ? [3, 3 * width] : [3 * width, 3];
  const [newStep, newAside] = across ? [3, 6 * width] : [3 * width, 3];
  const made = new Float32Array(2 * levels.length);
  for (let i = 0; i < 2 * count; i++) {
    const at = Math.max(0, (i - 0.5) / 2);
    const below = Math.min(count - 1, Math.floor(at));
    const above = Math.min(count - 1, below + 1);
    const share = at - below;
    for (let j = 0; j < others; j++) {
      for (let c = 0; c < 3; c++) {
        const [low, high] = [below, above].map((k) => levels[k * step + j * aside + c]);
        made[i * newStep + j * newAside + c] = low + share * (high - low);
      }
    }
  }
  return made;
}
