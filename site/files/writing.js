/** Write a picture as the bytes of a file, with the metadata that its format can hold. */

import { PictureError } from './errors.js';
import { roundHalfEven } from './exif.js';
import { FORMATS } from './formats.js';
import { BARE, fitsChannels, isBare, namedTexts } from './metadata.js';
import { updated } from './updating.js';

const LUMINANCE = [0.299, 0.587, 0.114];
const written = () => FORMATS.filter((kind) => kind.output);
const keyOf = (kind) => kind.name.toLowerCase();

/** The format in which the command line would write a result of this pair: that of its views, or TIFF. */
export function formatFor(pair) {
  const kind = written().find((one) => one.name === pair.format);
  return kind ? keyOf(kind) : 'tiff';
}

/** What a result made of a pair takes over from it, for `encode`; see index.js. */
export function outputOf(pair, { levels, planar = false, depth = pair.depth, software = null, strip = false }) {
  const { width, height, grey } = pair;
  const metadata = strip ? { ...BARE, orientation: pair.orientation } : { ...pair.metadata, software };
  return { levels, planar, width, height, depth, grey, metadata };
}

/** Encodes a picture; what it takes and gives is told in index.js. */
export async function encode(picture, format) {
  const kind = written().find((one) => keyOf(one) === format);
  if (!kind) {
    throw new PictureError(`Pictures are not written as "${format}"; choose ${written().map(keyOf).join(' or ')}.`);
  }
  const depth = Math.min(picture.depth ?? 8, Math.max(...kind.output.bits));
  const given = { ...BARE, ...picture.metadata, ...(picture.software ? { software: picture.software } : {}) };
  check(picture, kind, depth);
  const [stored, turned] = isBare(given) ? upright(picture, given) : [picture, given];
  const grey = Boolean(picture.grey);
  const levels = toLevels(stored, depth, grey);
  const size = [stored.width, stored.height];
  const [metadata, notes] = select(turned, kind, grey ? 1 : 3, size);
  const [width, height] = size;
  const order = { little: !(metadata.exif?.[0] === 0x4d) };
  const { shown = false } = picture;
  const data = await kind.output.encode({ levels, width, height, channels: grey ? 1 : 3, depth, shown, ...order });
  const bytes = metadata.density || !isBare(metadata) ? await kind.output.embed(data, metadata) : data;
  return { bytes, mime: kind.mime, ending: kind.output.ending, notes };
}

function check({ levels, width, height }, kind, depth) {
  if (depth !== 8 && depth !== 16) throw new PictureError(`${depth} bits are not possible; choose 8 or 16.`);
  if (levels.length !== 3 * width * height) {
    throw new PictureError(`${levels.length} levels are not ${width} x ${height} pixels of three channels; give all.`);
  }
  const limit = kind.output.longestSide;
  if (Math.max(width, height) > limit) {
    throw new PictureError(`${kind.name} allows at most ${limit} pixels on a side; choose PNG or TIFF.`);
  }
}

/** A picture turned or mirrored as its orientation says, so that it no longer needs one. */
function upright(picture, metadata) {
  const { orientation } = metadata;
  if (orientation === 1) return [picture, metadata];
  const isTurned = orientation > 4;
  const [across, down] = [picture.width, picture.height];
  const [width, height] = isTurned ? [down, across] : [across, down];
  const levels = new picture.levels.constructor(picture.levels.length);
  const [pixel, channel] = picture.planar ? [1, width * height] : [3, 1];
  const isMirrored = [2, 3, 6, 7].includes(orientation);
  const isUpsideDown = [3, 4, 7, 8].includes(orientation);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const [v, u] = [isUpsideDown ? height - 1 - y : y, isMirrored ? width - 1 - x : x];
      const from = (isTurned ? u * across + v : v * across + u) * pixel;
      const to = (y * width + x) * pixel;
      for (let c = 0; c < 3; c++) levels[to + c * channel] = picture.levels[from + c * channel];
    }
  }
  const density = metadata.density && isTurned ? [metadata.density[1], metadata.density[0]] : metadata.density;
  return [{ ...picture, levels, width, height }, { ...metadata, orientation: 1, density }];
}

/** H x W x 3 integers, or H x W of the luminance if `grey`, as Python's `to_levels` rounds them. */
function toLevels({ levels, planar, width, height }, depth, grey) {
  const white = levels instanceof Uint8Array ? 255 : levels instanceof Uint16Array ? 65535 : 1;
  const top = 2 ** depth - 1;
  if (!planar && !grey && white === top) return levels;
  const count = width * height;
  const [pixel, channel] = planar ? [1, count] : [3, 1];
  const made = new (depth === 8 ? Uint8Array : Uint16Array)(grey ? count : 3 * count);
  const value = (i, c) => {
    const share = Math.fround(levels[i * pixel + c * channel] / white);
    if (!Number.isFinite(share)) {
      throw new PictureError('The picture holds values that are not finite (NaN or Inf); it was not written.');
    }
    return Math.min(1, Math.max(0, share));
  };
  for (let i = 0; i < count; i++) {
    if (grey) {
      const light = LUMINANCE.reduce((sum, weight, c) => sum + weight * value(i, c), 0);
      made[i] = roundHalfEven(Math.fround(Math.fround(light) * top));
    } else {
      for (let c = 0; c < 3; c++) made[3 * i + c] = roundHalfEven(Math.fround(value(i, c) * top));
    }
  }
  return made;
}

/** What of the metadata a file can hold, brought up to date with it, and a sentence for each part that is left out. */
function select(given, kind, channels, size) {
  const { output } = kind;
  let [metadata, notes] = updated(given, { mime: kind.mime, takesDensity: output.takesDensity }, size);
  const kept = metadata.texts.filter((text) => output.takesText?.(text));
  const unkept = metadata.texts.filter((text) => !kept.includes(text));
  if (unkept.length) {
    notes.push(`A ${output.ending} file has no place for the texts ${namedTexts(unkept)}: they are left out.`);
  }
  metadata = { ...metadata, texts: kept };
  if (!fitsChannels(metadata.icc, channels)) {
    notes.push('The colour profile is for pictures with another number of channels: it is left out.');
    metadata = { ...metadata, icc: null };
  }
  if (output.fit) {
    const [fitting, more] = output.fit(metadata, size);
    return [fitting, [...notes, ...more]];
  }
  return [metadata, notes];
}
