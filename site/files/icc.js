/** ICC colour profiles: making new ones, and finding which amount to sRGB or to linear light (ICC.1:2022). */

import { joined, latin1, ofLatin1, packed, viewOf } from './bytes.js';

export const D65 = [0.3127, 0.329];
export const SRGB_PRIMARIES = [0.64, 0.33, 0.3, 0.6, 0.15, 0.06];
const D50 = [0.9642, 1, 0.8249];
const BRADFORD = [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]];
const TOLERANCE = 0.01; // share of white that a profile may differ from sRGB; gamma 2.2 differs by 0.018
const STEPS = 7; // levels of each channel that are compared
const MADE = [2026, 1, 1, 0, 0, 0]; // a fixed date, so that equal profiles have equal bytes
const SRGB_CURVE = [2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045];

export const encodeSrgb = (light) => {
  const clipped = Math.min(1, Math.max(0, light));
  return clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055;
};

const times = (matrix, vector) => matrix.map((row) => row.reduce((sum, value, i) => sum + value * vector[i], 0));
const columnsOf = (matrix) => matrix[0].map((_, i) => matrix.map((row) => row[i]));
const product = (a, b) => columnsOf(columnsOf(b).map((column) => times(a, column)));

function inverse([[a, b, c], [d, e, f], [g, h, i]]) {
  const det = a * (e * i - f * h) - b * (d * i - f * g) + c * (d * h - e * g);
  const adjugate = [
    [e * i - f * h, c * h - b * i, b * f - c * e],
    [f * g - d * i, a * i - c * g, c * d - a * f],
    [d * h - e * g, b * g - a * h, a * e - b * d],
  ];
  return adjugate.map((row) => row.map((value) => value / det));
}

const toXYZ = ([x, y]) => [x / y, 1, (1 - x - y) / y];

/** From the white `from` (XYZ) to D50. */
function adaptation(from) {
  const [before, after] = [from, D50].map((white) => times(BRADFORD, white));
  const scale = [0, 1, 2].map((i) => [0, 1, 2].map((j) => (i === j ? after[i] / before[i] : 0)));
  return product(inverse(BRADFORD), product(scale, BRADFORD));
}

/** From linear red, green, blue to XYZ under D50. */
function matrixOf(white, primaries) {
  const corners = columnsOf([0, 2, 4].map((i) => toXYZ(primaries.slice(i, i + 2))));
  const gains = times(inverse(corners), toXYZ(white));
  return product(adaptation(toXYZ(white)), corners.map((row) => row.map((value, i) => value * gains[i])));
}

/**
 * Makes an ICC profile.
 *
 * @param {number[]} white chromaticity x and y of the white point (CIE 1931)
 * @param {number[]} primaries chromaticities x and y of red, green and blue
 * @param {number | Float64Array | null} curve from an encoded value to linear light: an exponent, or light in [0, 1]
 *   for evenly spaced values; null for the curve of sRGB
 * @param {boolean} grey whether it is for grey pictures rather than RGB
 * @returns {Uint8Array | null} null where the numbers describe no possible colour space
 */
export function makeProfile(white, primaries, curve, grey) {
  const matrix = matrixOf(white, primaries);
  const isPossible = [...matrix.flat(), ...adaptation(toXYZ(white)).flat()].every((value) => Math.abs(value) < 32767);
  if (!isPossible || (typeof curve === 'number' && !(curve > 0 && curve < 100))) return null;
  const colour = columnsOf(matrix).map((column) => joined(ofLatin1('XYZ \0\0\0\0'), fixed(column)));
  const tone = curveTag(curve);
  const tags = [
    ['desc', textTag('carried over by dualpix')],
    ['cprt', textTag('No copyright')],
    ['wtpt', joined(ofLatin1('XYZ \0\0\0\0'), fixed(D50))],
    ['chad', joined(ofLatin1('sf32\0\0\0\0'), fixed(adaptation(toXYZ(white)).flat()))],
    ...(grey ? [['kTRC', tone]] : ['r', 'g', 'b'].map((name, i) => [`${name}XYZ`, colour[i]])),
    ...(grey ? [] : ['r', 'g', 'b'].map((name) => [`${name}TRC`, tone])),
  ];
  return laidOut(tags, grey);
}

function laidOut(tags, grey) {
  const places = new Map();
  const [table, data] = [[packed(false, 'I', tags.length)], []];
  let at = 128 + 4 + 12 * tags.length;
  for (const [name, tag] of tags) {
    if (!places.has(tag)) {
      places.set(tag, at);
      data.push(tag, new Uint8Array(-tag.length & 3));
      at += tag.length + (-tag.length & 3);
    }
    table.push(ofLatin1(name), packed(false, 'II', places.get(tag), tag.length));
  }
  const head = joined(
    packed(false, 'III', at, 0, 0x04300000), ofLatin1('mntr'), ofLatin1(grey ? 'GRAY' : 'RGB '), ofLatin1('XYZ '),
    packed(false, 'HHHHHH', ...MADE), ofLatin1('acsp'), new Uint8Array(24), packed(false, 'I', 1), fixed(D50),
  );
  return joined(head, new Uint8Array(128 - head.length), ...table, ...data);
}

const fixed = (values) => joined(...values.map((value) => packed(false, 'I', Math.round(value * 65536) >>> 0)));

function textTag(words) {
  const letters = [...words].flatMap((letter) => [0, letter.charCodeAt(0)]);
  const head = packed(false, 'IIHHII', 1, 12, 0x656e, 0x5553, letters.length, 28);
  return joined(ofLatin1('mluc\0\0\0\0'), head, Uint8Array.from(letters));
}

function curveTag(curve) {
  if (curve === null || typeof curve === 'number') {
    const kind = packed(false, 'HH', curve === null ? 3 : 0, 0);
    return joined(ofLatin1('para\0\0\0\0'), kind, fixed(curve === null ? SRGB_CURVE : [curve]));
  }
  const values = Array.from(curve, (light) => packed(false, 'H', Math.round(Math.min(1, Math.max(0, light)) * 65535)));
  return joined(ofLatin1('curv\0\0\0\0'), packed(false, 'I', curve.length), ...values);
}

/** Whether bytes begin as every ICC profile does, with a header of 128 bytes and its signature. */
export const isProfile = (icc) => icc.length > 128 && latin1(icc.subarray(36, 40)) === 'acsp';

/** Whether the numbers of a profile mean the same colours as in sRGB; a picture without one is taken as sRGB. */
export function isSrgb(icc) {
  if (!icc) return true;
  const show = converterOf(icc);
  return Boolean(show) && colours().every((colour) => {
    const wanted = latin1(icc.subarray(16, 20)) === 'GRAY' ? [colour[0], colour[0], colour[0]] : colour;
    return show(colour).every((value, i) => Math.abs(value - wanted[i]) < TOLERANCE);
  });
}

/** Whether the greys of a profile are proportional to light (linear), rather than encoded for display. */
export function isLinear(icc) {
  const show = icc && converterOf(icc);
  if (!show) return false;
  const greys = Array.from({ length: STEPS }, (_, i) => i / (STEPS - 1));
  return greys.every((grey) =>
    show([grey, grey, grey]).every((value) => Math.abs(value - encodeSrgb(grey)) < TOLERANCE));
}

function colours() {
  const steps = Array.from({ length: STEPS }, (_, i) => i / (STEPS - 1));
  return steps.flatMap((r) => steps.flatMap((g) => steps.map((b) => [r, g, b])));
}

/** From encoded values to sRGB; null for damaged profiles and those that hold more than a matrix and three curves. */
function converterOf(icc) {
  try {
    const tags = tagsOf(icc);
    const isGrey = latin1(icc.subarray(16, 20)) === 'GRAY';
    if (tags.has('A2B0') || tags.has('A2B1') || latin1(icc.subarray(36, 40)) !== 'acsp') return null;
    if (isGrey) {
      const tone = curveOf(tags.get('kTRC'));
      return ([grey]) => [0, 0, 0].fill(encodeSrgb(tone(grey)));
    }
    const curves = ['rTRC', 'gTRC', 'bTRC'].map((name) => curveOf(tags.get(name)));
    const columns = ['rXYZ', 'gXYZ', 'bXYZ'].map((name) => numbersOf(tags.get(name), 8, 3));
    const matrix = product(inverse(matrixOf(D65, SRGB_PRIMARIES)), columnsOf(columns));
    return (colour) => times(matrix, colour.map((value, i) => curves[i](value))).map(encodeSrgb);
  } catch (error) {
    if (error instanceof RangeError || error instanceof TypeError) return null; // a tag that is missing or cut short
    throw error;
  }
}

function tagsOf(icc) {
  const view = viewOf(icc);
  const tags = new Map();
  for (let i = 0; i < Math.min(view.getUint32(128), 256); i++) {
    const at = 132 + 12 * i;
    const begin = view.getUint32(at + 4);
    tags.set(latin1(icc.subarray(at, at + 4)), icc.subarray(begin, begin + view.getUint32(at + 8)));
  }
  return tags;
}

function numbersOf(tag, at, count) {
  const view = viewOf(tag);
  return Array.from({ length: count }, (_, i) => view.getInt32(at + 4 * i) / 65536);
}

function curveOf(tag) {
  const view = viewOf(tag);
  if (latin1(tag.subarray(0, 4)) === 'para') return parametric(view.getUint16(8), tag);
  const count = view.getUint32(8);
  if (12 + 2 * count > tag.length) throw new RangeError('a curve that is cut short');
  if (count === 0) return (value) => value;
  if (count === 1) return (value) => value ** (view.getUint16(12) / 256);
  return (value) => {
    const at = value * (count - 1);
    const below = Math.min(count - 2, Math.floor(at));
    const [low, high] = [0, 1].map((i) => view.getUint16(12 + 2 * (below + i)) / 65535);
    return low + (at - below) * (high - low);
  };
}

function parametric(kind, tag) {
  if (kind > 4) throw new RangeError('an unknown kind of curve');
  const [g, a = 1, b = 0, c = 0, d = 0, e = 0, f = 0] = numbersOf(tag, 12, [1, 3, 4, 5, 7][kind]);
  return {
    0: (x) => x ** g,
    1: (x) => (x >= -b / a ? (a * x + b) ** g : 0),
    2: (x) => (x >= -b / a ? (a * x + b) ** g + c : c),
    3: (x) => (x >= d ? (a * x + b) ** g : c * x),
    4: (x) => (x >= d ? (a * x + b) ** g + e : c * x + f),
  }[kind];
}
