/** AVIF, still pictures of 8, 10 and 12 bits (AV1 Image File Format 1.1), read by libavif. */

import { LARGEST_BLOCK, checkLength, joined, latin1, packed, startsWith, viewOf, without } from './bytes.js';
import { codedSizes } from './av1.js';
import { codec, run } from './codecs.js';
import { toldByNumbers } from './colours.js';
import { DamageError, PictureError, TooLongError, refuse, refuseCutShort } from './errors.js';
import { MARK as EXIF_MARK } from './exif.js';
import { MOST_TILES, about, alphaOf, indexOf, partsOf, propertyOf, refuseDamaged, sizeOf } from './isobmff.js';
import { CREDENTIALS, GAIN_MAP } from './metadata.js';

const BLOCK = 64; // pixels: the largest blocks that sides are rounded up to when a picture is coded
const SMALL = 4096 * 4096; // pixels that the tiles of any picture may have together
// EXIF orientations, by the axis of mirroring (0 exchanges top and bottom) and the quarter turns before it.
const ORIENTATIONS = { none: [1, 8, 3, 6], 0: [4, 5, 2, 7], 1: [2, 7, 4, 5] };
const [SRGB_NUMBERS, UNSPECIFIED] = [[1, 13], 2];
const DEPTH_MAP = 'a depth map';

function guarded(file, look) {
  try {
    return look();
  } catch (error) {
    if (error instanceof PictureError) throw error;
    if (!(error instanceof DamageError || error instanceof TypeError || error instanceof RangeError)) throw error;
    return refuseDamaged(file);
  }
}

function readHeader(file) {
  const index = indexOf(file);
  return guarded(file, () => {
    const { picture } = index;
    const [width, height] = sizeOf(picture);
    if (propertyOf(picture, 'clap')) {
      refuse(file, 'is a cropped AVIF picture (clap); export it again, or save it as PNG');
    }
    const places = partsOf(index, picture).flatMap((part) => part.extents);
    if (places.some(([at, length]) => at + length > file.bytes.length)) refuseCutShort(file);
    const mirror = propertyOf(picture, 'imir');
    const turns = (propertyOf(picture, 'irot')?.[0] ?? 0) & 3;
    const orientation = ORIENTATIONS[mirror ? mirror[0] & 1 : 'none'][turns];
    const colours = propertyOf(picture, 'pixi')?.[4] === 1 ? 1 : 3;
    const channels = colours + (alphaOf(index) ? 1 : 0);
    return { format: 'AVIF', width, height, channels, depth: bitsOf(index) <= 8 ? 8 : 16, orientation, notes: [] };
  });
}

/** Bits per channel; 8 where the file does not state them. */
function bitsOf({ items, picture }) {
  for (const part of [picture, items.get(picture.uses.get('dimg')?.[0])]) {
    const [pixi, av1] = [propertyOf(part, 'pixi'), propertyOf(part, 'av1C')];
    if (pixi) return Math.max(...pixi.subarray(5, 5 + pixi[4]));
    if (av1) return av1[2] & 0x40 ? (av1[2] & 0x20 ? 12 : 10) : 8;
  }
  return 8;
}

async function decode(file, header) {
  checkLength(file, header);
  const index = indexOf(file);
  guarded(file, () => check(file, header, index));
  const bits = bitsOf(index);
  if (![8, 10, 12].includes(bits)) throw new DamageError(`its levels have ${bits} bits`);
  const decoder = await codec('avif_dec');
  const { data, width, height } = run(() => decoder.decode(file.bytes, bits));
  if (width !== header.width || height !== header.height) throw new DamageError('it has another size than it declares');
  const top = 2 ** bits - 1;
  const whole = bits === 8
    ? new Uint8Array(data.buffer, data.byteOffset, data.length)
    : Float32Array.from(data, (level) => Math.min(1, level / top));
  const hasAlpha = header.channels % 2 === 0;
  if (header.channels > 2) return { levels: whole, channels: 4, hasAlpha };
  const grey = new whole.constructor(width * height);
  for (let i = 0; i < grey.length; i++) grey[i] = whole[4 * i];
  return { levels: grey, channels: 1, hasAlpha };
}

/** Everything to be decoded must have the size that the index states: decoders trust what is coded. */
function check(file, header, index) {
  const area = ([width, height]) => width * height;
  const most = Math.max(4 * (header.width + BLOCK) * (header.height + BLOCK), SMALL);
  let left = 2 * file.bytes.length; // tiles may share their coded data, within reason
  for (const item of [index.picture, alphaOf(index)].filter(Boolean)) {
    const [whole, ...tiles] = partsOf(index, item);
    const isGrid = item.kind === 'grid';
    if (isGrid ? !tiles.length || tiles.length >= MOST_TILES : tiles.length) throw new DamageError('another grid');
    if (tiles.reduce((sum, tile) => sum + area(sizeOf(tile)), 0) > most) throw new DamageError('a larger grid');
    for (const part of isGrid ? tiles : [whole]) {
      left -= part.extents.reduce((sum, [, length]) => sum + length, 0);
      if (part.kind !== 'av01') {
        refuse(file, `stores its picture in a way that cannot be read ('${part.kind}'); save it as PNG or TIFF`);
      }
      if (left < 0 || !isAsTold(file, part)) throw new DamageError('other sizes than in the index');
    }
    if (area(sizeOf(item)) > area(sizeOf(index.picture))) throw new DamageError('an alpha channel that is larger');
  }
}

/** Whether a coded picture is no larger than the index states, up to a block at the right and below. */
function isAsTold(file, part) {
  const [width, height] = sizeOf(part);
  const config = propertyOf(part, 'av1C') ?? new Uint8Array();
  const sizes = [config.subarray(4), contentOf(file, part)].flatMap((data) => [...codedSizes(data)]);
  return sizes.length > 0 && sizes.every(([wide, high]) => wide <= width + BLOCK && high <= height + BLOCK);
}

const contentOf = ({ bytes }, { extents }) => joined(...extents.map(([at, length]) => bytes.subarray(at, at + length)));

function* readBlocks(file) {
  const index = indexOf(file);
  for (const { kind, body } of index.picture.properties) {
    if (kind === 'colr' && (startsWith(body, 'prof') || startsWith(body, 'rICC'))) yield ['icc', body.subarray(4)];
  }
  for (const item of about(index, 'cdsc')) {
    const name = item.kind === 'Exif' ? 'exif' : item.mime === 'application/rdf+xml' ? 'xmp' : '';
    if (!name) continue;
    const length = item.extents.reduce((sum, [, part]) => sum + part, 0);
    if (length > LARGEST_BLOCK) yield new TooLongError('a long item');
    else yield [name, name === 'xmp' ? contentOf(file, item) : exifOf(contentOf(file, item))];
  }
  for (const item of about(index, 'auxl')) {
    const purpose = latin1(propertyOf(item, 'auxC') ?? []).toLowerCase();
    yield purpose.includes('gainmap') ? GAIN_MAP : /depth|:auxid:2/.test(purpose) ? DEPTH_MAP : null;
  }
  const kinds = [...index.items.values()].map((item) => item.kind);
  yield kinds.includes('tmap') ? GAIN_MAP : null;
  yield kinds.includes('jumb') || kinds.includes('c2pa') ? CREDENTIALS : null;
}

function exifOf(data) {
  return data.length < 4 ? data : without(data.subarray(4 + viewOf(data).getUint32(0)), EXIF_MARK);
}

function tellColours(file, header, metadata) {
  if (metadata.icc) return null;
  for (const { kind, body } of indexOf(file).picture.properties) {
    if (kind !== 'colr' || !startsWith(body, 'nclx')) continue;
    const codes = [4, 6].map((at, i) => {
      const code = viewOf(body).getUint16(at);
      return code === UNSPECIFIED ? SRGB_NUMBERS[i] : code;
    });
    return toldByNumbers('its nclx box', ...codes, header);
  }
  return null;
}

/** The file again for each further picture in it that stands by itself, as if that were its primary item. */
function* further(file) {
  const index = indexOf(file);
  const tiles = new Set([...index.items.values()].flatMap((item) => item.uses.get('dimg') ?? []));
  for (const [number, item] of index.items) {
    const isPart = item.uses.has('thmb') || item.uses.has('auxl') || tiles.has(number);
    const isPicture = propertyOf(item, 'ispe') && item.kind !== 'tmap' && !item.hidden && !isPart;
    if (number === index.primary || !isPicture) continue;
    yield { name: file.name, bytes: withPrimary(file.bytes, index.place, number) };
  }
}

function withPrimary(bytes, [at, width], number) {
  const changed = bytes.slice();
  changed.set(packed(false, width === 2 ? 'H' : 'I', number), at);
  return changed;
}

export const AVIF = {
  name: 'AVIF',
  endings: ['.avif'],
  mime: 'image/avif',
  recognises: (bytes) => startsWith(bytes, 'ftyp', 4) && /^(?:....){0,12}?avi[fs]/s.test(latin1(bytes.subarray(8, 64))),
  readHeader,
  decode,
  readBlocks,
  tellColours,
  further,
};
