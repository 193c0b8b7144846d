/** The rows of a PNG file: passes of an interlaced one, filters, and samples of 1 to 16 bits. */

import { DamageError } from './errors.js';

// Of each pass of an interlaced picture: first column, first row, column step, row step.
const WHOLE = [[0, 0, 1, 1]];
const ADAM7 = [[0, 0, 8, 8], [4, 0, 8, 8], [0, 4, 4, 8], [2, 0, 4, 4], [0, 2, 2, 4], [1, 0, 2, 2], [0, 1, 1, 2]];
const SUB = 1;
const STRIP_BYTES = 2 ** 20;

/** The passes that hold pixels: where they begin, how far they step, and how long their rows are. */
export function passesOf({ width, height }, bitsEach, interlaced) {
  const passes = (interlaced ? ADAM7 : WHOLE).map(([left, top, across, down]) => {
    const columns = Math.max(0, Math.ceil((width - left) / across));
    const rows = Math.max(0, Math.ceil((height - top) / down));
    return { left, top, across, down, columns, rows, rowBytes: Math.ceil((columns * bitsEach) / 8) };
  });
  return passes.filter((pass) => pass.columns && pass.rows);
}

/**
 * @param {Uint8Array} raw unpacked rows, each behind the number of its filter; the filters are undone in place
 * @returns {{levels: Uint8Array | Uint16Array, channels: number, highest?: number}} H x W x channels; of a picture with
 *   a palette the highest number of a colour, which may not be there
 */
export function pixelsOf(raw, { width, height }, { passes, samples, bits, palette }) {
  const levels = new (bits === 16 ? Uint16Array : Uint8Array)(width * height * samples);
  const step = Math.max(1, (samples * bits) / 8);
  let at = 0;
  for (const pass of passes) {
    for (let y = 0; y < pass.rows; y++) {
      unfilter(raw, at, pass.rowBytes, step, y > 0);
      const row = (pass.top + y * pass.down) * width + pass.left;
      spread(raw, at + 1, bits, levels, { row, samples, ...pass });
      at += 1 + pass.rowBytes;
    }
  }
  if (palette) return coloured(levels, palette);
  if (bits < 8) for (let i = 0; i < levels.length; i++) levels[i] = (levels[i] * 255) / (2 ** bits - 1);
  return { levels, channels: samples };
}

function unfilter(raw, at, length, step, hasAbove) {
  const begin = at + 1;
  const above = hasAbove ? -(length + 1) : 0;
  const left = (i) => (i - step >= begin ? raw[i - step] : 0);
  const kind = raw[at];
  if (kind > 4) throw new DamageError('an unknown filter of a row');
  if (kind === 1) for (let i = begin + step; i < begin + length; i++) raw[i] += raw[i - step];
  if (kind === 2 && above) for (let i = begin; i < begin + length; i++) raw[i] += raw[i + above];
  if (kind === 3) {
    for (let i = begin; i < begin + length; i++) raw[i] += (left(i) + (above ? raw[i + above] : 0)) >> 1;
  }
  if (kind === 4 && !above) for (let i = begin + step; i < begin + length; i++) raw[i] += raw[i - step];
  if (kind === 4 && above) paeth(raw, begin, length, step, above);
}

function paeth(raw, begin, length, step, above) {
  for (let i = begin; i < begin + Math.min(step, length); i++) raw[i] += raw[i + above];
  for (let i = begin + step; i < begin + length; i++) {
    const [a, b, c] = [raw[i - step], raw[i + above], raw[i + above - step]];
    const [toA, toB, toC] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
    raw[i] += toA <= toB && toA <= toC ? a : toB <= toC ? b : c;
  }
}

/** Puts the samples of one row where they belong. */
function spread(raw, begin, bits, levels, { row, samples, columns, across }) {
  const count = columns * samples;
  const isWhole = across === 1;
  const apart = (i) => (row + Math.floor(i / samples) * across) * samples + (i % samples);
  const place = isWhole ? (i) => row * samples + i : apart;
  if (bits === 8 && isWhole) {
    levels.set(raw.subarray(begin, begin + count), row * samples);
  } else if (bits === 8) {
    for (let i = 0; i < count; i++) levels[place(i)] = raw[begin + i];
  } else if (bits === 16) {
    for (let i = 0; i < count; i++) levels[place(i)] = (raw[begin + 2 * i] << 8) | raw[begin + 2 * i + 1];
  } else {
    const each = 8 / bits;
    for (let i = 0; i < count; i++) {
      levels[place(i)] = (raw[begin + Math.floor(i / each)] >> (8 - bits * ((i % each) + 1))) & (2 ** bits - 1);
    }
  }
}

function coloured(indices, palette) {
  let highest = 0;
  const levels = new Uint8Array(indices.length * 3);
  for (let i = 0; i < indices.length; i++) {
    highest = Math.max(highest, indices[i]);
    for (let c = 0; c < 3; c++) levels[3 * i + c] = palette[3 * indices[i] + c];
  }
  return { levels, channels: 3, highest };
}

/** Stretches of rows, big-endian, each the difference to the pixel before: fast, and small for photographs. */
export function* filteredRows(levels, count, height, channels) {
  const size = levels.BYTES_PER_ELEMENT;
  const rowBytes = count * size;
  const rowsEach = Math.max(1, Math.floor(STRIP_BYTES / rowBytes));
  for (let first = 0; first < height; first += rowsEach) {
    const rows = Math.min(rowsEach, height - first);
    const strip = new Uint8Array(rows * (1 + rowBytes));
    for (let y = 0; y < rows; y++) filtered(levels, (first + y) * count, count, strip, y * (1 + rowBytes), channels);
    yield strip;
  }
}

function filtered(levels, from, count, strip, at, channels) {
  strip[at] = SUB;
  const isDeep = levels.BYTES_PER_ELEMENT === 2;
  for (let i = 0; i < count; i++) {
    const here = levels[from + i];
    const before = i < channels ? 0 : levels[from + i - channels];
    if (isDeep) {
      strip[at + 1 + 2 * i] = (here >> 8) - (before >> 8);
      strip[at + 2 + 2 * i] = here - before;
    } else {
      strip[at + 1 + i] = here - before;
    }
  }
}
