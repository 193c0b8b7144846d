/**
 * Colour spaces that a file states without an ICC profile: by chunks of PNG, or by tags of EXIF and TIFF. Few programs
 * know these, so each is turned into a profile, which every format and program knows.
 */

import { startsWith, viewOf } from './bytes.js';
import { DamageError, PictureError } from './errors.js';
import { EXIF_DIRECTORY, INTEROP_DIRECTORY, integer, openBlock, readDirectory } from './exif.js';
import { D65, SRGB_PRIMARIES, isLinear, isProfile, isSrgb, makeProfile } from './icc.js';

const CURVE_STEPS = 4096;

/** Adds a profile to the metadata where the file states its colour space in another way; gives notes on it, too. */
export function tellColours(header, given, kind, file) {
  const isDamaged = given.icc !== null && !isProfile(given.icc),
    metadata = isDamaged ? { ...given, icc: null } : given;
  const byTags = () => (metadata.icc ? null : toldByTags(header, metadata));
  const told = safely(() => kind.tellColours?.(file, header, given) ?? byTags());
  const notes = [];
  let known = metadata;
  if (isDamaged) {
    notes.push(`holds a damaged colour profile: it is left out${told ? '.' : ', and its values are used as sRGB.'}`);
  }
  if (told) {
    known = { ...metadata, icc: told.icc };
    if (!told.canBeKept) {
      notes.push(`states its colour space by ${told.by}, which cannot be carried over: its values are used as sRGB.`);
    } else if (told.icc) {
      notes.push(`states its colour space by ${told.by}: it is carried over as a colour profile.`);
    }
  }
  if (isLinear(known.icc)) {
    notes.push('is in linear light, on which the networks were not trained; export it as sRGB for a good result.');
  }
  return [known, notes];
}

/** A damaged statement is ignored. */
function safely(look) {
  try {
    return look();
  } catch (error) {
    if (error instanceof DamageError || error instanceof PictureError || error instanceof RangeError) return null;
    throw error;
  }
}

export const toldAs = (by, icc, canBeKept = true) => ({ by, icc, canBeKept });

/** A colour space, stated by `by`, as a profile; `curve` as in `makeProfile`. */
export function kept(by, white, primaries, curve, header) {
  const icc = makeProfile(white, primaries, curve, header.channels < 3);
  if (!icc) return toldAs(by, null, false);
  return toldAs(by, isSrgb(icc) ? null : icc);
}

// ITU-T H.273, by code: chromaticities of white, then of red, green and blue; exponents, or null for the sRGB curve.
const CICP_PRIMARIES = {
  1: [D65, SRGB_PRIMARIES],
  5: [D65, [0.64, 0.33, 0.29, 0.6, 0.15, 0.06]],
  6: [D65, [0.63, 0.34, 0.31, 0.595, 0.155, 0.07]],
  9: [D65, [0.708, 0.292, 0.17, 0.797, 0.131, 0.046]],
  11: [[0.314, 0.351], [0.68, 0.32, 0.265, 0.69, 0.15, 0.06]],
  12: [D65, [0.68, 0.32, 0.265, 0.69, 0.15, 0.06]],
};
const CICP_CURVES = { 4: 2.2, 5: 2.8, 8: 1, 13: null, 17: 2.6 };
const CICP_NAMES = { 16: 'PQ', 18: 'HLG' };
const CAMERA_CURVES = [1, 6, 14, 15]; // BT.709 and relatives: displays decode them by the sRGB curve or nearly so
const ADOBE_RGB = [0.64, 0.33, 0.21, 0.71, 0.15, 0.06];
const ADOBE_GAMMA = 563 / 256;

/** The colour space for code points of ITU-T H.273 ("CICP"). */
export function toldByNumbers(by, primaries, transfer, header) {
  const named = `${by} (primaries ${primaries}, ${CICP_NAMES[transfer] ?? `curve ${transfer}`})`;
  const curve = CAMERA_CURVES.includes(transfer) ? null : transfer in CICP_CURVES ? CICP_CURVES[transfer] : 0;
  if (!(primaries in CICP_PRIMARIES) || curve === 0) return toldAs(named, null, false);
  return kept(named, ...CICP_PRIMARIES[primaries], curve, header);
}

const [EXIF_COLOURS, EXIF_GAMMA, INTEROP_INDEX] = [40961, 42240, 1];
const [TRANSFER, WHITE, PRIMARIES] = [301, 318, 319];
const [SRGB, ADOBE, UNCALIBRATED] = [1, 2, 65535];

/** By the tags of EXIF and, in a TIFF, those of the file itself, which count more: `own` is {first, little}. */
export function toldByTags(header, metadata, own = null) {
  const { directories: [main, exposure, interop], little: ofExif } = directoriesOf(metadata);
  const space = exposure.has(EXIF_COLOURS) ? integer(exposure.get(EXIF_COLOURS), ofExif) : null;
  const isAdobe = interop.has(INTEROP_INDEX) && startsWith(interop.get(INTEROP_INDEX).value, 'R03');
  if (space === ADOBE || (space === UNCALIBRATED && isAdobe)) {
    return kept('EXIF (Adobe RGB)', D65, ADOBE_RGB, ADOBE_GAMMA, header);
  }
  const first = own?.first ?? main;
  const little = own?.little ?? ofExif;
  const [white, primaries] = [ratios(first, WHITE, 2, little), ratios(first, PRIMARIES, 6, little)];
  const gamma = ratios(exposure, EXIF_GAMMA, 1, little)?.[0];
  let curve = transferOf(first, little);
  if (!curve && gamma > 0 && Math.abs(gamma - 2.2) > 0.01) curve = gamma;
  if (space !== SRGB && (white || primaries || curve)) {
    return kept('tags of its primaries and curve', white ?? D65, primaries ?? SRGB_PRIMARIES, curve, header);
  }
  return space === UNCALIBRATED ? toldAs('EXIF (not sRGB, without saying which)', null, false) : null;
}

/** The main, Exif and interoperability directories of the EXIF block, and its byte order. */
function directoriesOf({ exif }) {
  if (!exif) return { directories: [new Map(), new Map(), new Map()], little: true };
  const block = openBlock(exif);
  const found = [readDirectory(block, block.first)];
  for (const pointer of [EXIF_DIRECTORY, INTEROP_DIRECTORY]) {
    const entry = found.at(-1).get(pointer);
    found.push((entry && safely(() => readDirectory(block, integer(entry, block.little)))) ?? new Map());
  }
  return { directories: found, little: block.little };
}

/** The first `count` unsigned rationals of a tag; null where they are missing or have a zero denominator. */
function ratios(directory, tag, count, little) {
  const entry = directory.get(tag);
  if (entry?.kind !== 5 || entry.value.length < 8 * count) return null;
  const view = viewOf(entry.value);
  const values = Array.from({ length: count }, (_, i) =>
    view.getUint32(8 * i, little) / view.getUint32(8 * i + 4, little));
  return values.every(Number.isFinite) ? values : null;
}

/** Linear light for evenly spaced encoded values, from TIFF's TransferFunction. */
function transferOf(directory, little) {
  const entry = directory.get(TRANSFER);
  if (entry?.kind !== 3) return null;
  const view = viewOf(entry.value);
  const count = Math.floor(entry.value.length / 2);
  const steps = count % 3 === 0 ? count / 3 : count;
  if (steps !== 256 && steps !== 65536) return null;
  return Float64Array.from({ length: CURVE_STEPS }, (_, i) => {
    const at = (i / (CURVE_STEPS - 1)) * (steps - 1);
    const below = Math.min(steps - 2, Math.floor(at));
    const [low, high] = [0, 1].map((j) => view.getUint16(2 * (below + j), little) / 65535);
    return low + (at - below) * (high - low);
  });
}
