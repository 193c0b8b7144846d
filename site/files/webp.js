/** WebP: RIFF chunks (RFC 9649); lossy and lossless pictures are read. */

import { LARGEST_BLOCK, checkLength, exactly, latin1, startsWith, viewOf, without } from './bytes.js';
import { codec, run } from './codecs.js';
import { DamageError, TooLongError, refuse, refuseCutShort } from './errors.js';
import { MARK as EXIF_MARK } from './exif.js';
import { CREDENTIALS } from './metadata.js';

const NAMES = { ICCP: 'icc', EXIF: 'exif', 'XMP ': 'xmp' };

function readHeader(file) {
  const kind = latin1(exactly(file, 12, 4));
  const body = exactly(file, 20, 10);
  const view = viewOf(body);
  const header = (width, height, hasAlpha) =>
    ({ format: 'WebP', width, height, channels: hasAlpha ? 4 : 3, depth: 8, notes: [] });
  if (kind === 'VP8X') {
    if (body[0] & 2) refuse(file, 'is an animation; give a still picture');
    const side = (at) => (body[at] | (body[at + 1] << 8) | (body[at + 2] << 16)) + 1;
    return header(side(4), side(7), body[0] & 0x10);
  }
  if (kind === 'VP8L' && body[0] === 0x2f) {
    const bits = view.getUint32(1, true);
    return header((bits & 0x3fff) + 1, ((bits >>> 14) & 0x3fff) + 1, (bits >>> 28) & 1);
  }
  if (kind === 'VP8 ' && startsWith(body, '\x9d\x01\x2a', 3)) {
    return header(view.getUint16(6, true) & 0x3fff, view.getUint16(8, true) & 0x3fff, false);
  }
  return refuse(file, 'has a damaged WebP header; copy it again');
}

async function decode(file, header) {
  checkLength(file, header);
  if (file.bytes.length < 8 + viewOf(file.bytes).getUint32(4, true)) refuseCutShort(file);
  const decoder = await codec('webp_dec');
  const { data, width, height } = run(() => decoder.decode(file.bytes));
  if (width !== header.width || height !== header.height) throw new DamageError('it has another size than it declares');
  const levels = new Uint8Array(data.buffer, data.byteOffset, data.length);
  return { levels, channels: 4, hasAlpha: header.channels === 4 };
}

function* readBlocks({ bytes }) {
  const view = viewOf(bytes);
  for (let at = 12; at + 8 <= bytes.length; ) {
    const kind = latin1(bytes.subarray(at, at + 4));
    const length = view.getUint32(at + 4, true);
    const data = bytes.subarray(at + 8, at + 8 + length);
    if (NAMES[kind] && length > LARGEST_BLOCK) yield new TooLongError('a long chunk');
    else if (NAMES[kind]) yield [NAMES[kind], kind === 'EXIF' ? without(data, EXIF_MARK) : data];
    else yield kind === 'C2PA' ? CREDENTIALS : null;
    at += 8 + length + (length % 2);
  }
}

export const WEBP = {
  name: 'WebP',
  endings: ['.webp'],
  mime: 'image/webp',
  recognises: (bytes) => startsWith(bytes, 'RIFF') && startsWith(bytes, 'WEBP', 8),
  readHeader,
  decode,
  readBlocks,
};
