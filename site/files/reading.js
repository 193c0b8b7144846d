/** Read a picture file at its full bit depth, or say in one sentence why that is not possible. */

import { tellColours } from './colours.js';
import { DamageError, PictureError, refuse } from './errors.js';
import { formatOf } from './formats.js';
import { readMetadata } from './metadata.js';

export const MIN_SIDE_PX = 16;
export const LIMIT_MEGAPIXELS = 200;
const LARGEST_FILE = 2 ** 31 - 1;
const MOST_PICTURES = 64; // looked for in one file
const SURE_BITS = 12;

/** {name, bytes} of a File, a Blob or what is that already. */
export async function opened(thing) {
  const name = thing.name ?? 'the picture';
  if (thing.bytes instanceof Uint8Array) return { name, bytes: thing.bytes };
  if (thing.size > LARGEST_FILE) refuse({ name }, 'is larger than 2 GB; export it again');
  try {
    return { name, bytes: new Uint8Array(await thing.arrayBuffer()) };
  } catch (error) {
    const what = 'cannot be read: it was moved or changed, or does not fit into memory; choose it again';
    return refuse({ name }, what, error);
  }
}

/** Reads one picture, of a file with many the first; what it gives is told in index.js. */
export async function readPicture(thing, { limitMegapixels = LIMIT_MEGAPIXELS } = {}) {
  const file = await opened(thing);
  const picture = await read(file, limitMegapixels);
  const [alike, others] = picturesIn(file);
  const notes = [];
  if (alike.length > 1) {
    notes.push(`${file.name} holds ${countInWords(alike.length)} pictures of one size: the first is used.`);
  }
  if (others.length) {
    const sizes = others.slice(0, 4).map((other) => `${other.width} x ${other.height}`);
    notes.push(`${file.name} holds further pictures, which are left out: ${sizes.join(', ')} pixels.`);
  }
  return { ...picture, notes: [...picture.notes, ...notes] };
}

export const countInWords = (pictures) => (pictures > MOST_PICTURES ? `more than ${MOST_PICTURES}` : `${pictures}`);

/** The pictures of an open file that are as large as its first, as open files; and headers of all others. */
export function picturesIn(file) {
  const [kind, first] = quietly(() => [formatOf(file), formatOf(file).readHeader(file)]) ?? [];
  if (!kind) return [[], []];
  const [alike, others] = [[file], []];
  let count = 0;
  for (const part of kind.further?.(file, first) ?? []) {
    if (count++ >= MOST_PICTURES) break;
    const other = quietly(() => formatOf(part).readHeader(part));
    if (!other) continue;
    const isAlike = ['width', 'height', 'channels'].every((what) => other[what] === first[what]);
    if (isAlike) alike.push(part);
    else others.push(other);
  }
  return [alike, others];
}

function quietly(look) {
  try {
    return look();
  } catch (error) {
    if (error instanceof PictureError || error instanceof DamageError) return null;
    throw error;
  }
}

/** One picture of an open file. */
export async function read(file, limitMegapixels) {
  const kind = formatOf(file);
  const header = kind.readHeader(file);
  checkSize(file, header, limitMegapixels);
  const decoded = await decodeSafely(kind, file, header);
  const [metadata, told] = tellColours(header, await readMetadata(kind, file, header), kind, file);
  const grey = decoded.channels < 3;
  const levels = asColour(decoded, header.width * header.height);
  checkFloats(file, levels);
  const notes = [...header.notes, ...(decoded.notes ?? []), ...told, ...oddities(decoded, levels, metadata, header)];
  return {
    name: file.name,
    levels,
    white: levels instanceof Float32Array ? 1 : levels instanceof Uint16Array ? 65535 : 255,
    width: header.width,
    height: header.height,
    depth: header.depth,
    grey,
    format: header.format,
    metadata,
    notes: [...notes.map((note) => `${file.name} ${note}`), ...metadata.leftOut.map((note) => `${file.name}: ${note}`)],
  };
}

function checkSize(file, { width, height }, limitMegapixels) {
  const size = `${width} x ${height} pixels`;
  if (width * height > limitMegapixels * 1e6) {
    refuse(file, `declares ${size}, more than the limit of ${limitMegapixels} megapixels; export it smaller`);
  }
  if (Math.min(width, height) < MIN_SIDE_PX) refuse(file, `has ${size}; both sides must have at least ${MIN_SIDE_PX}`);
}

/** Files may be malicious: whatever a decoder meets becomes one sentence. */
async function decodeSafely(kind, file, header) {
  let decoded;
  try {
    decoded = await kind.decode(file, header);
  } catch (error) {
    if (error instanceof PictureError) throw error;
    if (isMemory(error)) refuse(file, `(${header.width} x ${header.height} pixels) does not fit into memory`);
    const reason = error instanceof DamageError ? error.message : 'its decoder fails';
    return refuse(file, `is damaged or cut short (${reason}); copy or export it again`, error);
  }
  if (decoded.levels.length !== header.width * header.height * decoded.channels) {
    refuse(file, 'is damaged: its pixels are not what its header declares; copy or export it again');
  }
  return decoded;
}

const isMemory = (error) => error instanceof RangeError && /alloc|length|memory/i.test(error.message);

/** H x W x 3 of what was decoded: grey is repeated, alpha dropped. */
function asColour({ levels, channels }, count) {
  if (channels === 3) return levels;
  const colour = new levels.constructor(3 * count);
  const offsets = channels < 3 ? [0, 0, 0] : [0, 1, 2];
  for (let i = 0; i < count; i++) for (let c = 0; c < 3; c++) colour[3 * i + c] = levels[channels * i + offsets[c]];
  return colour;
}

function checkFloats(file, levels) {
  if (!(levels instanceof Float32Array)) return;
  let isInside = true;
  for (let i = 0; i < levels.length; i++) {
    if (!Number.isFinite(levels[i])) refuse(file, 'holds values that are not finite (NaN or Inf); export it again');
    isInside &&= levels[i] >= 0 && levels[i] <= 1;
  }
  if (!isInside) refuse(file, 'is a floating-point file with values outside [0, 1]; scale it to [0, 1] first');
}

/** What was changed on reading, or looks odd: half sentences, to follow the name of the file. */
function oddities({ channels, hasAlpha }, levels, metadata, header) {
  const notes = [];
  if (channels < 3) notes.push('is grey: its one channel stands for red, green and blue.');
  if (hasAlpha ?? channels % 2 === 0) notes.push('has an alpha channel (transparency): it is ignored.');
  if (metadata.orientation !== 1) {
    const tag = `orientation tag ${metadata.orientation}`;
    notes.push(`has ${tag}: it is not rotated on reading, so that rows stay sensor rows.`);
  }
  if (header.isFloat && !metadata.icc) {
    notes.push('holds floating-point numbers without a colour profile: they are taken as sRGB, not linear light.');
  }
  return [...notes, ...lowBits(levels)];
}

/** Half a sentence if 16-bit integers use only their low bits, as unscaled sensor values do. */
function lowBits(levels) {
  if (!(levels instanceof Uint16Array)) return [];
  let highest = 0;
  for (let i = 0; i < levels.length; i++) if (levels[i] > highest) highest = levels[i];
  const bits = highest ? Math.floor(Math.log2(highest)) + 1 : 0;
  // Dark photographs also stay below 13 or 14 bits, but their maximum is seldom just below.
  if (!(bits > 0 && (bits <= SURE_BITS || (bits < 15 && highest > 0.95 * 2 ** bits)))) return [];
  const what = `uses only the lowest ${bits} of its 16 bits (no value is above ${highest})`;
  return [`${what}, so it is very dark; if white is ${2 ** bits - 1}, scale it to 65535 first.`];
}
