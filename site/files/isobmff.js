/** The index of an AVIF file (ISO/IEC 14496-12, 23008-12): which items it has and where they lie in the file. */

import { latin1, viewOf } from './bytes.js';
import { DamageError, PictureError, refuse, refuseCutShort } from './errors.js';

const [MOST_BOXES, LARGEST_META, MOST_ITEMS] = [4096, 2 ** 22, 8192];
export const MOST_TILES = 4096;
const ONCE = ['iinf', 'iloc', 'iprp', 'pitm', 'iref', 'idat'];
const [IN_THE_FILE, IN_THE_INDEX] = [0, 1]; // what the offsets in iloc count from (construction_method)

/** Reads whole numbers of a given number of bytes, one after the other. Throws DamageError at the end. */
class Numbers {
  constructor(data, at = 0) {
    Object.assign(this, { data, at });
  }

  take(width) {
    if (this.at + width > this.data.length) throw new DamageError('cut short');
    let number = 0;
    for (let i = 0; i < width; i++) number = number * 256 + this.data[this.at++];
    return number;
  }
}

/** Each box in `data`: {kind, body, begin}, `begin` being where its content begins. */
export function* boxes(data) {
  for (let at = 0, count = 0; at + 8 <= data.length && count < MOST_BOXES; count++) {
    const numbers = new Numbers(data, at);
    let size = numbers.take(4);
    const kind = latin1(data.subarray(at + 4, at + 8));
    numbers.at += 4;
    if (size === 1) size = numbers.take(8);
    const end = size ? at + size : data.length;
    if (numbers.at > end || end > data.length) throw new DamageError('a box extends beyond the one around it');
    yield { kind, body: data.subarray(numbers.at, end), begin: numbers.at };
    at = end;
  }
}

/**
 * The items of a file, by number, that of the picture to be shown, and where that number stands and how many bytes it
 * takes: {items, primary, picture, place}. An item has a `kind`, `mime`, `extents` ([at, length] in the file),
 * `properties` ([{kind, body}]) and `uses` (numbers by kind of reference).
 */
export function indexOf(file) {
  const [begin, meta] = metaOf(file);
  try {
    return parsed(begin, meta);
  } catch (error) {
    if (error instanceof PictureError) throw error;
    if (!(error instanceof DamageError || error instanceof TypeError || error instanceof RangeError)) throw error;
    return refuseDamaged(file);
  }
}

export function refuseDamaged(file) {
  return refuse(file, 'has a damaged index of its pictures; copy or export it again');
}

/** Where the content of the meta box begins, and that content; all boxes of the file must be complete. */
function metaOf(file) {
  const { bytes } = file;
  let [at, found] = [0, null];
  for (let count = 0; count < MOST_BOXES && at + 8 <= bytes.length; count++) {
    const view = viewOf(bytes);
    let [size, begin] = [view.getUint32(at), at + 8];
    if (size === 1 && at + 16 <= bytes.length) [size, begin] = [Number(view.getBigUint64(at + 8)), at + 16];
    const after = size ? at + size : bytes.length;
    const kind = latin1(bytes.subarray(at + 4, at + 8));
    if (after < begin) refuseDamaged(file);
    if (kind === 'moov') refuse(file, 'is an animation; give a still picture');
    if (after > bytes.length) refuseCutShort(file);
    if (kind === 'meta' && !found) {
      if (after - begin > LARGEST_META) refuseDamaged(file);
      found = [begin + 4, bytes.subarray(begin + 4, after)];
    }
    at = after;
  }
  return found ?? refuseCutShort(file);
}

function parsed(begin, meta) {
  const parts = new Map();
  for (const { kind, body, begin: start } of boxes(meta)) {
    if (ONCE.includes(kind) && parts.has(kind)) throw new DamageError('two boxes where only one is allowed');
    parts.set(kind, { start, body });
  }
  const items = itemsOf(parts.get('iinf').body);
  const idat = parts.get('idat') ?? { start: 0, body: new Uint8Array() };
  locate(items, parts.get('iloc').body, [begin + idat.start, idat.body.length]);
  describe(items, parts.get('iprp').body);
  if (parts.has('iref')) connect(items, parts.get('iref').body);
  const { body: pitm, start } = parts.get('pitm');
  const width = pitm[0] === 0 ? 2 : 4;
  const primary = new Numbers(pitm, 4).take(width);
  const picture = items.get(primary);
  if (!propertyOf(picture, 'ispe')) throw new DamageError('the picture has no size');
  return { items, primary, picture, place: [begin + start + 4, width] };
}

const emptyItem = () => ({ kind: '', mime: '', hidden: false, extents: [], properties: [], uses: new Map() });

function itemsOf(iinf) {
  const items = new Map();
  for (const { kind, body } of boxes(iinf.subarray(iinf[0] === 0 ? 6 : 8))) {
    if (kind !== 'infe' || items.size >= MOST_ITEMS) continue;
    const numbers = new Numbers(body, 4);
    const number = numbers.take(body[0] < 3 ? 2 : 4);
    if (items.has(number)) throw new DamageError('two items of one number');
    const rest = latin1(body.subarray(numbers.at + 2));
    items.set(number, { ...emptyItem(), kind: rest.slice(0, 4), mime: rest.slice(4).split('\0')[1] ?? '',
      hidden: Boolean(body[3] & 1) });
  }
  return items;
}

/** Fills in where the items lie; `inside`: offset and length of the data that the index holds for some of them. */
function locate(items, data, inside) {
  const [version, numbers] = [data[0], new Numbers(data, 4)];
  const sizes = numbers.take(2);
  const [offsetSize, lengthSize, baseSize] = [sizes >> 12, (sizes >> 8) & 15, (sizes >> 4) & 15];
  const indexSize = version > 0 ? sizes & 15 : 0;
  if (!(offsetSize + lengthSize)) throw new DamageError('no item has a place'); // a small file could list very many
  for (let left = numbers.take(version === 2 ? 4 : 2); left > 0; left--) {
    const number = numbers.take(version === 2 ? 4 : 2);
    const method = version > 0 ? numbers.take(2) & 15 : 0;
    numbers.take(2);
    const base = numbers.take(baseSize);
    const item = items.get(number) ?? emptyItem();
    if (item.extents.length) throw new DamageError('an item with two places');
    for (let extents = numbers.take(2); extents > 0; extents--) {
      numbers.take(indexSize);
      const at = base + numbers.take(offsetSize);
      const length = numbers.take(lengthSize);
      if (method === IN_THE_INDEX && at + length > inside[1]) throw new DamageError('an item beyond the index');
      if (method === IN_THE_FILE || method === IN_THE_INDEX) item.extents.push([at + inside[0] * method, length]);
    }
  }
}

function describe(items, data) {
  const [properties] = [...boxes(data)].filter(({ kind }) => kind === 'ipco');
  const known = [...boxes(properties.body)];
  for (const { kind, body } of boxes(data)) {
    if (kind !== 'ipma') continue;
    const numbers = new Numbers(body, 4);
    for (let left = numbers.take(4); left > 0; left--) {
      const item = items.get(numbers.take(body[0] < 1 ? 2 : 4));
      for (let count = numbers.take(1); count > 0; count--) {
        const which = body[3] & 1 ? numbers.take(2) & 0x7fff : numbers.take(1) & 0x7f;
        if (which > known.length) throw new DamageError('a property that is not there');
        if (which) item?.properties.push(known[which - 1]);
      }
    }
  }
}

function connect(items, data) {
  const wide = data[0] === 0 ? 2 : 4;
  for (const { kind, body } of boxes(data.subarray(4))) {
    const numbers = new Numbers(body);
    const uses = (items.get(numbers.take(wide)) ?? emptyItem()).uses;
    const found = uses.get(kind) ?? [];
    uses.set(kind, found);
    for (let left = numbers.take(2); left > 0; left--) found.push(numbers.take(wide));
  }
}

/** The content of the first property of that kind. */
export const propertyOf = (item, kind) => item?.properties.find((one) => one.kind === kind)?.body;

/** Each item that refers to the picture in that way: metadata (cdsc), alpha and maps (auxl). */
export const about = ({ items, primary }, reference) =>
  [...items.values()].filter((item) => item.uses.get(reference)?.includes(primary));

/** The picture's alpha channel, if an item is declared to be one. */
export function alphaOf(index) {
  return about(index, 'auxl').find((item) => /:alpha|:auxid:1/.test(latin1(propertyOf(item, 'auxC') ?? [])));
}

/** Width and height in pixels, as the index states them. */
export function sizeOf(item) {
  const numbers = new Numbers(propertyOf(item, 'ispe') ?? [], 4);
  return [numbers.take(4), numbers.take(4)];
}

/** An item and the tiles it consists of. */
export function partsOf({ items }, item) {
  return [item, ...(item.uses.get('dimg') ?? []).slice(0, MOST_TILES).map((number) => {
    if (!items.has(number)) throw new DamageError('a tile that is not there');
    return items.get(number);
  })];
}
