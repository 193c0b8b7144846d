/** Changes inside an EXIF block that move no byte: sizes are overwritten, a thumbnail is blanked. */

import { packed, same } from './bytes.js';
import { DamageError } from './errors.js';
import { EXIF_DIRECTORY, INTEROP_DIRECTORY, LONG, SHORT, SIZES, fieldsOf, gather, integer, integers, openBlock,
  readDirectory } from './exif.js';

// The tags of width and height in the three directories that may have them.
const [FIRST_SIZES, EXPOSURE_SIZES, INTEROP_SIZES] = [[256, 257], [40962, 40963], [4097, 4098]];
// The tags of a thumbnail's offset and length: as one JPEG, or in strips.
const THUMBNAIL_PARTS = [[513, 514], [273, 279]];
const MOST_DIRECTORIES = 16;

/** What `look` gives; undefined where the bytes are damaged. */
function quietly(look) {
  try {
    return look();
  } catch (error) {
    if (error instanceof DamageError) return undefined;
    throw error;
  }
}

/** The block with `width` and `height` (pixels) wherever it states the size of the picture. */
export function withSize(stream, width, height) {
  const block = openBlock(stream);
  const changed = Uint8Array.from(stream);
  for (const [offset, tags] of sized(block)) {
    for (const { at, tag, kind, count } of quietly(() => [...fieldsOf(block, offset)]) ?? []) {
      const value = [width, height][tags.indexOf(tag)];
      if (value === undefined || (kind !== SHORT && kind !== LONG) || count !== 1) continue;
      if (integer(readDirectory(block, offset).get(tag), block.little) === value) continue;
      changed.set(packed(block.little, 'HII', LONG, 1, value), at + 2);
    }
  }
  return changed;
}

/** The directories that may state a size, by offset, with their tags of width and height. */
function sized(block) {
  const found = [[block.first, FIRST_SIZES]];
  for (const [pointer, tags] of [[EXIF_DIRECTORY, EXPOSURE_SIZES], [INTEROP_DIRECTORY, INTEROP_SIZES]]) {
    const isRead = quietly(() => {
      const directory = readDirectory(block, found.at(-1)[0]);
      if (!directory.has(pointer)) return true;
      const at = integer(directory.get(pointer), block.little);
      readDirectory(block, at);
      found.push([at, tags]);
      return true;
    });
    if (!isRead) break; // a damaged one cannot be read for further pointers
  }
  return found;
}

/**
 * The block without the directories behind its main one, and with zeros in place of the thumbnails they hold. Zeros at
 * the end of the block are cut off.
 */
export function withoutThumbnail(stream) {
  const block = openBlock(stream);
  const link = block.first + 2 + 12 * [...fieldsOf(block, block.first)].length;
  if (link + 4 > stream.length || !block.view.getUint32(link, block.little)) return stream;
  const kept = Uint8Array.from(stream);
  kept.fill(0, link, link + 4);
  const blank = Uint8Array.from(kept);
  let end = blank.length;
  for (const [begin, length] of behind(block, link)) {
    blank.fill(0, begin, begin + length);
    if (begin + length >= end && begin < end) end = begin;
  }
  const cut = blank.slice(0, end);
  // In a damaged block the thumbnail may overlap other entries.
  return same(says(cut), says(stream)) ? cut : kept;
}

/** The content of a block besides its thumbnail, to be compared; undefined where it cannot be read. */
const says = (stream) => quietly(() => gather(openBlock(stream), new Set()));

/** Offset and length of everything that belongs to the directories behind the main one, highest offset first. */
function behind(block, link) {
  const spans = new Map();
  const add = (begin, length) => spans.set(`${begin} ${length}`, [begin, length]);
  for (let count = 0; count < MOST_DIRECTORIES; count++) {
    const offset = link + 4 <= block.bytes.length ? block.view.getUint32(link, block.little) : 0;
    const fields = offset ? (quietly(() => [...fieldsOf(block, offset)]) ?? []) : [];
    const length = 2 + 12 * fields.length + 4;
    if (!fields.length || spans.has(`${offset} ${length}`)) break;
    link = offset + 2 + 12 * fields.length;
    add(offset, length);
    for (const field of fields) {
      const bytes = (SIZES[field.kind] ?? 0) * field.count;
      if (bytes > 4) add(block.view.getUint32(field.at + 8, block.little), bytes);
    }
    for (const [begin, bytes] of pictures(block, offset)) add(begin, bytes);
  }
  return [...spans.values()].filter(([, length]) => length > 0).sort(([a, b], [c, d]) => c - a || d - b);
}

function pictures(block, offset) {
  return quietly(() => {
    const directory = readDirectory(block, offset);
    return THUMBNAIL_PARTS.filter((tags) => tags.every((tag) => directory.has(tag))).flatMap((tags) => {
      const [begins, lengths] = tags.map((tag) => integers(directory.get(tag), block.little));
      return begins.slice(0, lengths.length).map((begin, i) => [begin, lengths[i]]);
    });
  }) ?? [];
}
