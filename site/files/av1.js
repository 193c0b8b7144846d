/** The size that pictures coded by AV1 state in their own bit stream (AV1 Specification, 5.3 to 5.5), which decoders
 * trust more than the file's. */

import { DamageError } from './errors.js';

const MOST_UNITS = 65536;
const SEQUENCE_HEADER = 1;

/** Reads numbers of a given number of bits, one after the other, highest bit first. */
class Bits {
  constructor(data) {
    Object.assign(this, { data, at: 0 });
  }

  take(count) {
    let number = 0;
    for (let i = 0; i < count; i++, this.at++) {
      if (this.at >> 3 >= this.data.length) throw new DamageError('cut short');
      number = number * 2 + ((this.data[this.at >> 3] >> (7 - (this.at & 7))) & 1);
    }
    return number;
  }

  exponential() {
    let zeros = 0;
    while (!this.take(1)) zeros++;
    return 2 ** zeros - 1 + this.take(zeros);
  }
}

/** Width and height in pixels, as often as the data state them. Throws DamageError. */
export function* codedSizes(data) {
  let at = 0;
  for (let count = 0; count < MOST_UNITS; count++) {
    if (at >= data.length) return;
    const head = data[at];
    at += head & 4 ? 2 : 1;
    let length = data.length - at;
    if (head & 2) {
      length = 0;
      for (let shift = 0; ; shift += 7) {
        if (at >= data.length || shift > 28) throw new DamageError('cut short');
        const byte = data[at++];
        length += (byte & 127) * 2 ** shift;
        if (byte < 128) break;
      }
    }
    if (((head >> 3) & 15) === SEQUENCE_HEADER) yield sizeIn(new Bits(data.subarray(at, at + length)));
    at += length;
  }
  throw new DamageError('too many parts');
}

/** From a sequence header, read from its beginning (5.5.1). */
function sizeIn(bits) {
  bits.take(4);
  if (bits.take(1)) bits.take(5); // reduced, for a still picture
  else skipTiming(bits);
  const [wide, high] = [bits.take(4) + 1, bits.take(4) + 1];
  return [bits.take(wide) + 1, bits.take(high) + 1];
}

function skipTiming(bits) {
  let [hasModel, delayBits] = [0, 0];
  if (bits.take(1)) {
    bits.take(64);
    if (bits.take(1)) bits.exponential();
    hasModel = bits.take(1);
    if (hasModel) {
      delayBits = bits.take(5) + 1;
      bits.take(42);
    }
  }
  const hasDelay = bits.take(1);
  for (let left = bits.take(5) + 1; left > 0; left--) {
    bits.take(12);
    if (bits.take(5) > 7) bits.take(1);
    if (hasModel && bits.take(1)) bits.take(2 * delayBits + 1);
    if (hasDelay && bits.take(1)) bits.take(4);
  }
}
