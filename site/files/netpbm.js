/** PGM and PPM, binary (P5, P6) and plain text (P2, P3): a short text header, then the samples, and no metadata. */

import { checkLength, latin1, startsWith } from './bytes.js';
import { DamageError, refuse, refuseCutShort } from './errors.js';

const GAP = '(?:\\s|#[^\\n]*\\n)+';
const START = new RegExp(`^P([2356])${`${GAP}(\\d{1,10})`.repeat(3)}(?:#[^\\n]*\\n)*\\s`);
const LONGEST_START = 65536; // comments included
const LONGEST_TEXT = 24; // bytes of a pixel of text: about eight for each sample
const NO_END = 'ends directly after a digit: it may have been cut short, and its last sample may be wrong.';

function startOf(file) {
  const found = START.exec(latin1(file.bytes.subarray(0, LONGEST_START)));
  if (!found) refuse(file, 'has a damaged PGM or PPM header; copy it again');
  const [kind, width, height, top] = found.slice(1).map(Number);
  if (top < 1 || top > 65535) {
    refuse(file, `declares ${top} as its white, but PGM and PPM allow 65535 at most; copy it again`);
  }
  const channels = kind === 2 || kind === 5 ? 1 : 3;
  const size = width * height * channels * (top < 256 ? 1 : 2);
  const isText = kind < 4;
  let begin = found[0].length;
  if (found[0].endsWith('\r') && !isText && file.bytes.length === begin + 1 + size) begin++; // lines that end in \r\n
  return { width, height, top, channels, begin, isText, end: begin + size };
}

function readHeader(file) {
  const { width, height, top, channels, isText, end } = startOf(file);
  const header = { format: 'Netpbm', width, height, channels, depth: top < 256 ? 8 : 16, notes: [] };
  if (isText) return { ...header, notes: /\d/.test(latin1(file.bytes.subarray(-1))) ? [NO_END] : [] };
  const behind = file.bytes.length - end;
  const isOdd = behind > 0 && !['P2', 'P3', 'P5', 'P6'].some((mark) => startsWith(file.bytes, mark, end));
  return { ...header, notes: isOdd ? [`holds ${behind} bytes after its samples: they are ignored.`] : [] };
}

function decode(file, header) {
  checkLength(file, header, LONGEST_TEXT);
  const { width, height, top, channels, begin, isText, end } = startOf(file);
  const count = width * height * channels;
  if (isText ? file.bytes.length - begin < 2 * count - 1 : file.bytes.length < end) refuseCutShort(file);
  const levels = new (top > 255 ? Uint16Array : Uint8Array)(count);
  const highest = isText ? readText(file, begin, levels) : readBinary(file.bytes, begin, levels);
  if (highest > top) refuse(file, `holds samples above its declared white (${top}); copy or export it again`);
  if (top === 255 || top === 65535) return { levels, channels };
  return { levels: Float32Array.from(levels, (level) => level / top), channels };
}

function readBinary(bytes, begin, levels) {
  let highest = 0;
  const isDeep = levels.BYTES_PER_ELEMENT === 2;
  for (let i = 0; i < levels.length; i++) {
    levels[i] = isDeep ? (bytes[begin + 2 * i] << 8) | bytes[begin + 2 * i + 1] : bytes[begin + i];
    if (levels[i] > highest) highest = levels[i];
  }
  return highest;
}

function readText(file, begin, levels) {
  const { bytes } = file;
  let [at, highest] = [begin, 0];
  const isGap = (byte) => byte === 32 || (byte >= 9 && byte <= 13);
  for (let i = 0; i < levels.length; i++) {
    while (at < bytes.length && (isGap(bytes[at]) || bytes[at] === 35)) {
      if (bytes[at] === 35) while (at < bytes.length && bytes[at] !== 10) at++;
      else at++;
    }
    if (at >= bytes.length) refuseCutShort(file);
    let value = 0;
    for (; at < bytes.length && !isGap(bytes[at]) && bytes[at] !== 35; at++) {
      if (bytes[at] < 48 || bytes[at] > 57) throw new DamageError('a sample that is not a number');
      value = Math.min(10 * value + bytes[at] - 48, 2 ** 31);
    }
    levels[i] = Math.min(value, 65535);
    highest = Math.max(highest, value);
  }
  return highest;
}

/** What follows binary samples, if it looks like another picture. */
function* further(file) {
  let part = file;
  for (;;) {
    const { end, isText } = startOf(part);
    if (isText || end >= part.bytes.length) return;
    part = { name: file.name, bytes: part.bytes.subarray(end) };
    if (!NETPBM.recognises(part.bytes)) return;
    yield part;
  }
}

export const NETPBM = {
  name: 'Netpbm',
  names: ['PGM', 'PPM'],
  endings: ['.pgm', '.ppm', '.pnm'],
  mime: 'image/x-portable-anymap',
  // A text file may begin with the same two letters, so what follows them must also look like a header.
  recognises: (bytes) => /^P[2356](?:\s+\d|\s*#)/.test(latin1(bytes.subarray(0, 64))),
  readHeader,
  decode,
  further,
};
