/** Strips and tiles of a TIFF file: unpacked no further than they declare, predictors undone, bytes become samples. */

import { inflated, viewOf } from './bytes.js';
import { DamageError } from './errors.js';

export const [PLAIN, LZW, DEFLATE, OLD_DEFLATE, PACKBITS] = [1, 5, 8, 32946, 32773];
export const [NO_PREDICTOR, HORIZONTAL, FLOATING] = [1, 2, 3];
const SLACK = 2 ** 16;

// How many bytes one byte can unpack to, at the most: a segment that declares more is damaged, before it gets memory.
const MOST_FROM_ONE = { [PLAIN]: 1, [LZW]: 4096, [DEFLATE]: 1032, [OLD_DEFLATE]: 1032, [PACKBITS]: 64 };
export const COMPRESSIONS = Object.keys(MOST_FROM_ONE).map(Number);

/** Throws DamageError where a segment of so many bytes cannot hold `size` bytes. */
export function checkRoom(compression, length, size) {
  if (length * MOST_FROM_ONE[compression] < size) throw new DamageError('its strips are too short for its pixels');
}

/** The first `size` bytes of a segment, of which a whole one has `most`. */
export async function unpacked(data, compression, size, most) {
  if (compression === PLAIN) return data.slice(0, size);
  const bytes = await {
    [LZW]: () => unpackLzw(data, size),
    [PACKBITS]: () => unpackBits(data, size),
    [DEFLATE]: () => inflated([data], size, most - size + SLACK),
    [OLD_DEFLATE]: () => inflated([data], size, most - size + SLACK),
  }[compression]();
  if (bytes.length < size) throw new DamageError('its strips are too short for its pixels');
  return bytes;
}

function unpackBits(data, size) {
  const out = new Uint8Array(size);
  let [at, from] = [0, 0];
  while (at < size && from < data.length) {
    const head = data[from++];
    if (head < 128) {
      const part = data.subarray(from, Math.min(from + head + 1, from + size - at));
      out.set(part, at);
      from += head + 1;
      at += part.length;
      if (!part.length) break;
    } else if (head > 128 && from < data.length) {
      out.fill(data[from++], at, at + 257 - head);
      at += 257 - head;
    }
  }
  return out.subarray(0, Math.min(at, size));
}

const [CLEAR, STOP, FIRST] = [256, 257, 258];

function unpackLzw(data, size) {
  const out = new Uint8Array(size);
  const [starts, lengths] = [new Uint32Array(4097), new Uint16Array(4097)]; // where in `out` each word stands
  let [at, next, width, bits, held, from, before] = [0, FIRST, 9, 0, 0, 0, -1];
  const put = (begin, length) => {
    for (let i = 0; i < length && at < size; i++) out[at++] = out[begin + i];
  };
  while (at < size) {
    while (held < width && from < data.length) {
      bits = ((bits << 8) | data[from++]) & 0xffffff;
      held += 8;
    }
    if (held < width) break;
    const code = (bits >> (held - width)) & ((1 << width) - 1);
    held -= width;
    if (code === STOP) break;
    if (code === CLEAR) {
      [next, width, before] = [FIRST, 9, -1];
      continue;
    }
    if (code > next || (code === next && before < 0)) throw new DamageError('a damaged LZW stream');
    const begin = at;
    if (code < CLEAR) out[at++] = code;
    else if (code < next) put(starts[code], lengths[code]);
    if (before >= 0 && next < 4096) {
      // The word before, longer by the first byte of this one: both stand there one behind the other.
      starts[next] = before;
      lengths[next] = begin - before + 1;
      if (code === next) put(before, lengths[next]);
      next++;
    } else if (code === next) {
      throw new DamageError('a damaged LZW stream');
    }
    before = begin;
    if (next >= (1 << width) - 1 && width < 12) width++;
  }
  return out.subarray(0, at);
}

/**
 * @param {Uint8Array} bytes rows of `columns` x `samples` numbers
 * @param {{bits: number, isFloat: boolean, little: boolean, predictor: number}} how
 * @returns {Uint8Array | Uint16Array | Float32Array}
 */
export function samplesOf(bytes, columns, samples, { bits, isFloat, little, predictor }) {
  const row = columns * samples;
  const size = bits / 8;
  let isLittle = little;
  if (predictor === FLOATING) {
    const whole = row * size;
    for (let at = 0; at < bytes.length; at += whole) undoFloating(bytes.subarray(at, at + whole), samples, size);
    isLittle = false;
  }
  const numbers = isFloat ? floatsOf(bytes, bits, isLittle) : bits === 16 ? shortsOf(bytes, isLittle) : bytes;
  if (predictor === HORIZONTAL) {
    for (let at = 0; at < numbers.length; at += row) {
      for (let i = at + samples; i < at + row; i++) numbers[i] += numbers[i - samples];
    }
  }
  return numbers;
}

/** Bytes of floats lie in planes, the highest first, and each is the difference to the one before. */
function undoFloating(row, samples, size) {
  for (let i = samples; i < row.length; i++) row[i] += row[i - samples];
  const planes = row.slice();
  const count = row.length / size;
  for (let i = 0; i < count; i++) {
    for (let plane = 0; plane < size; plane++) row[i * size + plane] = planes[plane * count + i];
  }
}

function shortsOf(bytes, little) {
  const numbers = new Uint16Array(bytes.length / 2);
  const [low, high] = little ? [0, 1] : [1, 0];
  for (let i = 0; i < numbers.length; i++) numbers[i] = bytes[2 * i + low] | (bytes[2 * i + high] << 8);
  return numbers;
}

function floatsOf(bytes, bits, little) {
  const view = viewOf(bytes);
  const read = {
    16: (at) => halfOf(view.getUint16(at, little)),
    32: (at) => view.getFloat32(at, little),
    64: (at) => view.getFloat64(at, little),
  }[bits];
  return Float32Array.from({ length: (bytes.length * 8) / bits }, (_, i) => read((i * bits) / 8));
}

function halfOf(number) {
  const [sign, exponent, rest] = [number >> 15 ? -1 : 1, (number >> 10) & 31, number & 1023];
  if (exponent === 31) return rest ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + rest / 1024) : 2 ** -14 * (rest / 1024));
}
