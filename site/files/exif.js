/**
 * EXIF blocks: small TIFF streams, read and changed without moving anything inside them.
 *
 * Camera makers' notes hold offsets that count from the start of the block. So nothing in a block is ever moved: a
 * changed main directory is appended at the end, and the header's pointer (the first eight bytes) is set to it. Layout:
 * TIFF 6.0, section 2; tags: CIPA DC-008 (EXIF 2.32). A directory is a Map from tag to {kind, value, at}: the TIFF type
 * by number, its values as bytes in the order of the block, and the offset where they were found (0 inside the entry).
 */

import { joined, ofLatin1, packed, startsWith, viewOf } from './bytes.js';
import { DamageError } from './errors.js';

export const MARK = 'Exif\0\0'; // stands before the block in JPEG, and, though wrongly, in some files of other formats
export const ORIENTATION = 274;
export const SOFTWARE = 305;
const [X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT] = [282, 283, 296];
export { X_RESOLUTION };
export const [EXIF_DIRECTORY, GPS_DIRECTORY, INTEROP_DIRECTORY, MAKER_NOTE] = [34665, 34853, 40965, 37500];
const SUBDIRECTORIES = [EXIF_DIRECTORY, GPS_DIRECTORY, INTEROP_DIRECTORY];
export const SIZES = { 1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8,
  18: 8 };
export const [ASCII, SHORT, LONG, RATIONAL] = [2, 3, 4, 5];
const LARGEST_VALUE = 2 ** 23;
const LARGEST_DIRECTORY = 2 ** 25; // bytes of all its values; many entries may point to the same bytes
export const MOST_ENTRIES = 4096;
const FARTHEST_NOTE = 32768;

const range = (from, to) => Array.from({ length: to - from }, (_, i) => from + i);
// Tags of the main directory that describe how pixels are stored, and so the file and not the photograph; among them
// what is carried over separately (XMP, colour profile, IPTC, Photoshop's resources), layers, C2PA and DNG's tags.
export const STORAGE = new Set([
  ...range(254, 269), 273, ...range(277, 282), 284, ...range(288, 294), 297, 301, 317, ...range(320, 348),
  ...range(512, 521), ...range(529, 533), 700, ...range(32995, 32999), 33723, 34377, 34675, 37724,
  ...range(50706, 50900), 52545,
]);

/** The TIFF stream that begins `bytes`: {bytes, view, little, big, first}, `first` being that of its main directory. */
export function openBlock(bytes) {
  const big = startsWith(bytes, 'II+\0') || startsWith(bytes, 'MM\0+');
  if (bytes.length < (big ? 16 : 8) || !(big || startsWith(bytes, 'II*\0') || startsWith(bytes, 'MM\0*'))) {
    throw new DamageError('not a TIFF stream');
  }
  const little = bytes[0] === 0x49;
  const view = viewOf(bytes);
  return { bytes, view, little, big, first: big ? Number(view.getBigUint64(8, little)) : view.getUint32(4, little) };
}

/** Checks that a stream can be read and changed as an EXIF block. */
export function checkBlock(bytes) {
  const block = openBlock(bytes);
  if (block.big) throw new DamageError('it is a BigTIFF, which an EXIF block cannot be');
  readDirectory(block, block.first);
}

export function slice(block, offset, count) {
  if (offset > block.bytes.length) throw new DamageError('a damaged offset');
  if (offset + count > block.bytes.length) throw new DamageError('cut short');
  return block.bytes.subarray(offset, offset + count);
}

/** How long the parts of a directory are, which BigTIFF has longer. */
export const measures = ({ big }) =>
  big ? { counter: 8, entry: 20, field: 12 } : { counter: 2, entry: 12, field: 8 };

/** How many entries the directory at `offset` has. */
export function countEntries(block, offset) {
  slice(block, offset, measures(block).counter);
  const count = block.big
    ? Number(block.view.getBigUint64(offset, block.little))
    : block.view.getUint16(offset, block.little);
  if (count > MOST_ENTRIES) throw new DamageError('a damaged directory');
  return count;
}

/** Each entry of a directory as it stands there: {at, tag, kind, count}. */
export function* fieldsOf(block, offset) {
  const { counter, entry } = measures(block);
  const { view, little, big } = block;
  const count = countEntries(block, offset);
  slice(block, offset + counter, count * entry);
  for (let i = 0; i < count; i++) {
    const at = offset + counter + i * entry;
    const values = big ? Number(view.getBigUint64(at + 4, little)) : view.getUint32(at + 4, little);
    yield { at, tag: view.getUint16(at, little), kind: view.getUint16(at + 2, little), count: values };
  }
}

/** Reads a directory; entries of unknown type or of absurd length are skipped. Throws DamageError. */
export function readDirectory(block, offset) {
  const { field } = measures(block);
  const room = block.big ? 8 : 4;
  const directory = new Map();
  let budget = LARGEST_DIRECTORY;
  for (const { at, tag, kind, count } of fieldsOf(block, offset)) {
    const length = (SIZES[kind] ?? 0) * count;
    if (length > 0 && length <= room) {
      directory.set(tag, { kind, value: slice(block, at + field, length), at: 0 });
    } else if (length > 0 && length <= Math.min(LARGEST_VALUE, budget)) {
      budget -= length;
      const there = pointerAt(block, at + field);
      directory.set(tag, { kind, value: slice(block, there, length), at: there });
    }
  }
  return directory;
}

export function pointerAt(block, at) {
  slice(block, at, block.big ? 8 : 4);
  return block.big ? Number(block.view.getBigUint64(at, block.little)) : block.view.getUint32(at, block.little);
}

/** Offset of the directory behind the one at `offset`, 0 if it is the last. */
export function nextDirectory(block, offset) {
  const { counter, entry } = measures(block);
  return pointerAt(block, offset + counter + countEntries(block, offset) * entry);
}

/** The values of an entry of unsigned integers. Throws DamageError for an entry of another type. */
export function integers(entry, little) {
  const view = viewOf(entry.value);
  const size = SIZES[entry.kind];
  const read = {
    1: (at) => view.getUint8(at),
    3: (at) => view.getUint16(at, little),
    4: (at) => view.getUint32(at, little),
    13: (at) => view.getUint32(at, little),
    16: (at) => Number(view.getBigUint64(at, little)),
    18: (at) => Number(view.getBigUint64(at, little)),
  }[entry.kind];
  if (!read) throw new DamageError('not an integer');
  return Array.from({ length: Math.floor(entry.value.length / size) }, (_, i) => read(i * size));
}

export const integer = (entry, little) => integers(entry, little)[0];

/** Resolution in pixels per inch, horizontal and vertical; 0 where it is not stated. */
export function densityOf(directory, little) {
  const perInch = { 2: 1, 3: 2.54 }[Math.trunc(number(directory.get(RESOLUTION_UNIT), little, 2))] ?? 0;
  return [X_RESOLUTION, Y_RESOLUTION].map((tag) => number(directory.get(tag), little, 0) * perInch);
}

function number(entry, little, otherwise) {
  if (!entry) return otherwise;
  if (entry.kind !== RATIONAL) return [1, 3, 4, 13, 16, 18].includes(entry.kind) ? integer(entry, little) : otherwise;
  const view = viewOf(entry.value);
  const below = view.getUint32(4, little);
  return below ? view.getUint32(0, little) / below : otherwise;
}

/** The entries that state a resolution of so many pixels per inch. */
export function densityEntries([across, down], little) {
  const ratio = (value) => ({ kind: RATIONAL, value: packed(little, 'II', roundHalfEven(value * 1000), 1000), at: 0 });
  return [[X_RESOLUTION, ratio(across)], [Y_RESOLUTION, ratio(down)], [RESOLUTION_UNIT, short(2, little)]];
}

export function roundHalfEven(value) {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 === 1) ? below + 1 : below;
}

/** The EXIF orientation, 1 to 8; 1 where it is missing or invalid. */
export function orientationOf(directory, little) {
  const entry = directory.get(ORIENTATION);
  const value = entry && [1, 3, 4, 13, 16, 18].includes(entry.kind) ? integer(entry, little) : 1;
  return value >= 1 && value <= 8 ? value : 1;
}

export const short = (value, little) => ({ kind: SHORT, value: packed(little, 'H', value), at: 0 });

/** An entry of ASCII text; other characters become question marks. */
export function text(words) {
  return { kind: ASCII, value: ofLatin1(`${words.replace(/[^\x00-\x7f]/gu, '?')}\0`), at: 0 };
}

/** Lays out a directory at the even offset `base`; values in `placed` (offsets by tag) are in the block already. */
export function pack(directory, little, base, placed = new Map()) {
  const behind = [];
  const fields = [];
  let at = base + 2 + 12 * directory.size + 4;
  for (const [tag, { kind, value }] of [...directory].sort(([a], [b]) => a - b)) {
    const head = packed(little, 'HHI', tag, kind, Math.floor(value.length / SIZES[kind]));
    if (placed.has(tag)) {
      fields.push(head, packed(little, 'I', placed.get(tag)));
    } else if (value.length <= 4) {
      fields.push(head, value, new Uint8Array(4 - value.length));
    } else {
      fields.push(head, packed(little, 'I', at));
      behind.push(value, new Uint8Array(value.length % 2));
      at += value.length + (value.length % 2);
    }
  }
  return joined(packed(little, 'H', directory.size), ...fields, new Uint8Array(4), ...behind);
}

export const EMPTY = Uint8Array.of(0x49, 0x49, 0x2a, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0);

/**
 * Replaces, adds and removes entries of the main directory of a classic TIFF stream. All other bytes keep their values
 * and their places, apart from the header's pointer; the new directory is appended at the end.
 *
 * @param {Map} changes entries to be replaced or added
 * @param {Set<number>} leftOut tags to be removed; if there are any, the chain of directories ends at the new one
 */
export function amend(stream, changes, leftOut = new Set()) {
  const block = openBlock(stream);
  if (block.big) throw new DamageError('a BigTIFF');
  const { little } = block;
  const fields = new Map();
  let link = block.first + 2;
  for (const { at, tag } of fieldsOf(block, block.first)) {
    if (!leftOut.has(tag) && !changes.has(tag)) fields.set(tag, stream.subarray(at, at + 12));
    link = at + 12;
  }
  const next = new Uint8Array(4); // the link is missing in files of some programs
  if (!leftOut.size) next.set(stream.subarray(link, link + 4));
  const padding = new Uint8Array(stream.length % 2);
  const begin = stream.length + padding.length;
  const behindAt = begin + 2 + 12 * (fields.size + changes.size) + 4;
  const made = pack(changes, little, behindAt - 2 - 12 * changes.size - 4);
  const added = [...changes.keys()].sort((a, b) => a - b);
  added.forEach((tag, i) => fields.set(tag, made.subarray(2 + 12 * i, 14 + 12 * i)));
  const sorted = [...fields].sort(([a], [b]) => a - b).map(([, field]) => field);
  const rest = made.subarray(2 + 12 * changes.size + 4);
  const head = joined(stream.subarray(0, 4), packed(little, 'I', begin));
  return joined(head, stream.subarray(8), padding, packed(little, 'H', fields.size), ...sorted, next, rest);
}

/**
 * Collects what the main directory of a TIFF stream states about the photograph as an EXIF block; empty if nothing.
 * The Exif, GPS and interoperability directories are taken along, the thumbnail is not. Maker notes keep their offset
 * if it is small, as it is in what cameras and raw developers write.
 */
export function gather(block, leftOut = STORAGE) {
  const { little } = block;
  const first = portable(readDirectory(block, block.first), leftOut);
  if (!first.size) return new Uint8Array();
  const inner = takeSubdirectories(block, first, [EXIF_DIRECTORY, GPS_DIRECTORY]);
  const exposure = inner.get(EXIF_DIRECTORY) ?? new Map();
  const all = new Map([...takeSubdirectories(block, exposure, [INTEROP_DIRECTORY]), ...inner]);
  const placed = new Map();
  let room = new Uint8Array(8);
  const note = exposure.get(MAKER_NOTE);
  if (note && note.at >= 8 && note.at <= FARTHEST_NOTE) {
    room = joined(room, new Uint8Array(note.at - 8), note.value);
    placed.set(MAKER_NOTE, note.at);
  }
  for (const [tag, directory] of all) {
    room = joined(room, new Uint8Array(room.length % 2));
    const pointer = { kind: LONG, value: packed(little, 'I', room.length), at: 0 };
    (tag === INTEROP_DIRECTORY ? exposure : first).set(tag, pointer);
    room = joined(room, pack(directory, little, room.length, directory === exposure ? placed : undefined));
  }
  room = joined(room, new Uint8Array(room.length % 2));
  room.set(ofLatin1(little ? 'II*\0' : 'MM\0*'));
  room.set(packed(little, 'I', room.length), 4);
  return joined(room, pack(first, little, room.length));
}

/** Without entries of types that only BigTIFF has, except pointers to directories. */
function portable(directory, leftOut = new Set()) {
  return new Map([...directory].filter(
    ([tag, entry]) => !leftOut.has(tag) && (entry.kind < 16 || SUBDIRECTORIES.includes(tag))));
}

/** The directories that `directory` points to; their pointers are removed from it. */
function takeSubdirectories(block, directory, tags) {
  const found = new Map();
  for (const tag of tags) {
    const pointer = directory.get(tag);
    if (!pointer) continue;
    directory.delete(tag);
    try {
      found.set(tag, portable(readDirectory(block, integer(pointer, block.little))));
    } catch (error) {
      if (!(error instanceof DamageError)) throw error; // if one is damaged, the others are still kept
    }
  }
  return found;
}
