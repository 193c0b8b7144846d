/**
 * What a picture file says about its photograph, kept as the bytes it is; pixels are not touched here.
 *
 * Metadata are an object:
 *   icc          ICC colour profile, or null
 *   exif         EXIF block, a TIFF stream from its byte order mark on, or null
 *   xmp          XMP packet, or null
 *   orientation  1 to 8; it takes precedence over what `exif` and `xmp` state
 *   software     note to be written as EXIF's Software, or null
 *   photoshop    Photoshop's image resources, which hold IPTC, or null
 *   density      pixels per inch, [horizontal, vertical], or null
 *   texts        [{keyword, text, language, translated}]: title, author, copyright or comment
 *   leftOut      what could not be read or cannot be carried over, one sentence each
 *
 * A format's `readBlocks` yields, one at a time: [name, bytes], where the density is [name, [across, down]]; {text}; a
 * description, as text, of what cannot be carried over; a DamageError where a part is damaged or too long; null else.
 */

import { LARGEST_BLOCK, joined, latin1, startsWith } from './bytes.js';
import { DamageError, PictureError, TooLongError } from './errors.js';
import { ORIENTATION, checkBlock, openBlock, orientationOf, readDirectory, roundHalfEven } from './exif.js';
import { IPTC, iptcOf, ofPhotograph, resource } from './photoshop.js';
import { TIFF, valueOf } from './xmp.js';

const MOST_PARTS = 2 ** 18;
const NAMES = { icc: 'Its colour profile', exif: 'Its EXIF block', xmp: 'Its XMP packet',
  photoshop: 'Its IPTC block', iptc: 'Its IPTC block' };
const TOO_LONG = `A part of its metadata is longer than ${LARGEST_BLOCK / 2 ** 20} MB: it is left out.`;
export const CREDENTIALS = 'its content credentials (C2PA), which are signed for the old file';
export const GAIN_MAP = 'a gain map';
export const [INCH_M, INCH_CM] = [0.0254, 2.54];

export const BARE = Object.freeze({ icc: null, exif: null, xmp: null, orientation: 1, software: null, photoshop: null,
  density: null, texts: [], leftOut: [] });

/** Whether there is nothing but perhaps an orientation and a pixel density. */
export function isBare({ icc, exif, xmp, software, photoshop, texts }) {
  return !(icc || exif || xmp || software || photoshop || texts.length);
}

/** A resolution as whole numbers per unit of length (`unitInch`); empty if either is 0 or reaches the limit. */
export function countsOf(density, unitInch, limit) {
  const counts = (density ?? []).map((value) => roundHalfEven(Math.min(value / unitInch, limit)));
  return counts.every((count) => count > 0 && count < limit) ? counts : [];
}

/** A description of a JUMBF block, most of which hold content credentials. */
export const sealed = (data) => (latin1(data.subarray(0, 4096)).includes('c2pa') ? CREDENTIALS : 'a JUMBF block');

/** The text of a JPEG comment. JPEG does not state the encoding: UTF-8 is tried first, then Latin-1. */
export function textOfComment(data) {
  let end = data.length;
  while (end && !data[end - 1]) end--;
  const kept = data.subarray(0, end);
  try {
    return textOf('Comment', new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(kept));
  } catch {
    return textOf('Comment', latin1(kept));
  }
}

export const textOf = (keyword, text, language = '', translated = '') => ({ keyword, text, language, translated });

/** The keywords of some texts, quoted, for a sentence; of many only the first four. */
export function namedTexts(texts) {
  const words = [...new Set(texts.map((text) => text.keyword))];
  const shown = words.slice(0, 4).map((word) => `'${word.slice(0, 40)}'`).join(', ');
  return words.length > 4 ? `${shown} and ${words.length - 4} more` : shown;
}

/**
 * Collects the metadata of a picture file. A damaged block is left out and mentioned in `leftOut`; it is no error,
 * since the picture itself is still good.
 */
export async function readMetadata(kind, file, header) {
  const found = new Map();
  const [gone, notes] = [[], []];
  let texts = [];
  let count = 0;
  try {
    for await (const item of kind.readBlocks?.(file, header) ?? []) {
      if (count++ >= MOST_PARTS) break;
      if (item?.text) texts.push(item.text);
      else if (typeof item === 'string') gone.push(item);
      else if (item instanceof Error) notes.push(item instanceof TooLongError ? TOO_LONG : DAMAGED_PART);
      else if (item && item[1].length > LARGEST_BLOCK) notes.push(tooLong(item[0]));
      else if (item?.[1].length && !found.has(item[0])) found.set(...item);
    }
  } catch (error) {
    if (!(error instanceof DamageError || error instanceof PictureError || error instanceof RangeError)) throw error;
    notes.push('Its metadata is damaged: what follows the damage is left out.');
  }
  if (texts.reduce((sum, { text }) => sum + text.length, 0) > LARGEST_BLOCK) {
    texts = [];
    notes.push(TOO_LONG);
  }
  if (gone.length) notes.push(`Left out: ${[...new Set(gone)].join(', ')}.`);
  const [exif, more] = soundExif(found.get('exif') ?? null);
  const density = found.get('density');
  const metadata = { ...BARE, icc: found.get('icc') ?? null, exif, xmp: found.get('xmp') ?? null,
    photoshop: aboutPhotograph(found), density: density?.every((value) => value > 0) ? density : null, texts,
    leftOut: [...new Set([...notes, ...more])] };
  return { ...metadata, orientation: findOrientation(metadata, header) };
}

const DAMAGED_PART = 'A part of its metadata is damaged: it is left out.';
const tooLong = (name) => `${NAMES[name]} is longer than ${LARGEST_BLOCK / 2 ** 20} MB: it is left out.`;

/** The block if it can be read and changed; otherwise null and a sentence that says why. */
function soundExif(exif) {
  if (!exif) return [null, []];
  try {
    checkBlock(exif);
    return [exif, []];
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    return [null, [`Its EXIF block cannot be used (${error.message}): it is left out.`]];
  }
}

/** The image resources that describe the photograph, and IPTC records that the file keeps outside of them. */
function aboutPhotograph(found) {
  let kept = new Uint8Array();
  try {
    kept = ofPhotograph(found.get('photoshop') ?? kept);
  } catch (error) {
    if (!(error instanceof DamageError)) throw error; // a damaged one counts as none
  }
  if (!iptcOf(kept).length && found.has('iptc')) kept = joined(kept, resource(IPTC, found.get('iptc')));
  return kept.length ? kept : null;
}

/** The header's orientation if it has one, else that of EXIF, else that of XMP, else 1. */
function findOrientation({ exif, xmp }, header) {
  if (header.orientation) return header.orientation;
  if (exif) {
    const block = openBlock(exif);
    const first = readDirectory(block, block.first);
    if (first.has(ORIENTATION)) return orientationOf(first, block.little);
  }
  return orientationInXmp(xmp) ?? 1;
}

/** The orientation that an XMP packet states, 1 to 8; null where it states none. */
export function orientationInXmp(packet) {
  if (!packet) return null;
  try {
    const value = valueOf(packet, `${TIFF} Orientation`)?.trim();
    return /^[1-8]$/.test(value ?? '') ? Number(value) : null;
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    return null;
  }
}

/** Whether a profile suits pictures of so many channels; data that are not an ICC profile at all are let through. */
export function fitsChannels(icc, channels) {
  return !icc || !startsWith(icc, 'acsp', 36) || startsWith(icc, channels === 1 ? 'GRAY' : 'RGB ', 16);
}

