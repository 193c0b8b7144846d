/** The chunks of a PNG file. */

import { crc32, joined, latin1, ofLatin1, packed, viewOf } from './bytes.js';
import { DamageError, refuse } from './errors.js';

export const MARK = '\x89PNG\r\n\x1a\n';
const MOST_CHUNKS = 2 ** 18;
const LARGEST_SMALL = 2 ** 16; // bytes of a chunk that states one property of the picture

/** Every chunk up to the last, as {kind, at, length, data}; `data` may be cut short. */
export function* chunks(file) {
  const view = viewOf(file.bytes);
  let at = MARK.length;
  for (let count = 0; count < MOST_CHUNKS; count++) {
    if (at + 8 > file.bytes.length) return;
    const length = view.getUint32(at);
    const kind = latin1(file.bytes.subarray(at + 4, at + 8));
    yield { kind, at: at + 8, length, data: file.bytes.subarray(at + 8, at + 8 + length) };
    if (kind === 'IEND') return;
    at += length + 12;
  }
  refuse(file, `has more than ${MOST_CHUNKS} chunks; export it again`);
}

/** The content of a chunk. Throws DamageError where its checksum is wrong. */
export function contentOf(file, found) {
  const end = found.at + found.length;
  const isWhole = end + 4 <= file.bytes.length;
  if (!isWhole || viewOf(file.bytes).getUint32(end) !== crc32(file.bytes.subarray(found.at - 4, end))) {
    throw new DamageError(`${found.kind}: the checksum is wrong`);
  }
  return found.data;
}

/** One chunk of a PNG file, with its length and checksum. */
export function chunk(kind, ...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const name = ofLatin1(kind);
  return joined(packed(false, 'I', length), name, ...parts, packed(false, 'I', crc32(name, ...parts)));
}

/** The first short chunk of each type before the pixels; as decoders do, those with a wrong checksum are skipped. */
export function factsOf(file) {
  const found = new Map();
  for (const one of chunks(file)) {
    if (one.kind === 'IDAT' || one.kind === 'IEND') break;
    if (one.length > LARGEST_SMALL || found.has(one.kind)) continue;
    try {
      found.set(one.kind, contentOf(file, one));
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
    }
  }
  return found;
}
