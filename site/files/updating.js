/**
 * Bring the metadata of a photograph up to date with the file that they are written into.
 *
 * What they say about the photograph is kept byte for byte. What they say about the file they came from (its size, its
 * thumbnail, further pictures and films in it) is corrected or removed.
 */

import { same, without } from './bytes.js';
import { DamageError } from './errors.js';
import * as blocks from './exif.js';
import { withSize, withoutThumbnail } from './exif_edits.js';
import { orientationInXmp } from './metadata.js';
import * as xmp from './xmp.js';

const [GOOGLE, APPLE] = ['http://ns.google.com/photos/', 'http://ns.apple.com/'];
// XMP namespaces that only describe what is attached to the picture in its file: gain maps, depth maps, films, sounds.
const ATTACHMENTS = [
  'http://ns.adobe.com/hdr-gain-map/',
  ...['1.0/container/', 'dd/1.0/', '1.0/depthmap/', '1.0/image/', '1.0/audio/', '1.0/focus/'].map(
    (end) => GOOGLE + end),
  ...['HDRGainMap/', 'HDRToneMap/', 'depthData/', 'depthBlurEffect/', 'pixeldatainfo/', 'portraitEffectsMatte/',
    'semanticSegmentationMatte/'].map((end) => APPLE + end),
];
const FILMS = ['MotionPhoto', 'MicroVideo', 'RelatedMedia'].map((name) => `${GOOGLE}1.0/camera/ ${name}`);
const EXTENSION = 'http://ns.adobe.com/xmp/note/ HasExtendedXMP';
const THUMBNAILS = `${xmp.XAP} Thumbnails`;
// XMP properties of how the pixels were stored in the old file.
const STORED = ['BitsPerSample', 'Compression', 'PhotometricInterpretation', 'SamplesPerPixel', 'PlanarConfiguration',
  'YCbCrSubSampling'].map((name) => `${xmp.TIFF} ${name}`);
// The same as tags of EXIF's main directory, which are needed in TIFF files only.
const STORED_TAGS = [258, 259, 262, 273, 277, 278, 279, 284, 530];

const NO_ATTACHMENTS =
  'XMP described a gain map, a depth map, a film or a sound in the file, which is not carried over';
const NO_THUMBNAIL = 'The thumbnail showed the blurred view: it is left out.';

const isAttachment = (name) =>
  ATTACHMENTS.some((start) => name.startsWith(start)) || FILMS.some((start) => name.startsWith(start));
const isUnwanted = (name) =>
  STORED.includes(name) || name === EXTENSION || name === THUMBNAILS || isAttachment(name);

/**
 * @param {object} metadata of the picture that was read, with the orientation and software to be written
 * @param {{mime: string, takesDensity: boolean}} output `takesDensity`: EXIF need not state the pixels per inch
 * @param {[number, number]} size width and height of the new picture in pixels
 * @returns {[object, string[]]} the metadata to be written, and a sentence for each part that is left out
 */
export function updated(metadata, output, size) {
  const [packet, notes] = updatedXmp(metadata, output.mime, size);
  const [exif, more] = updatedExif({ ...metadata, xmp: packet }, size, output.takesDensity);
  return [{ ...metadata, xmp: packet, exif }, [...new Set([...more, ...notes])]];
}

function updatedExif(metadata, size, takesDensity) {
  const given = without(metadata.exif ?? new Uint8Array(), blocks.MARK);
  try {
    let exif = given.length ? withoutThumbnail(given) : blocks.EMPTY;
    const notes = !given.length || same(exif, given) ? [] : [NO_THUMBNAIL];
    exif = withSize(exif, ...size);
    blocks.checkBlock(exif);
    const block = blocks.openBlock(exif);
    const first = blocks.readDirectory(block, block.first);
    const stored = new Set(STORED_TAGS.filter((tag) => first.has(tag)));
    const changes = changesOf(metadata, first, block.little, takesDensity);
    if (changes.size || stored.size) exif = blocks.amend(exif, changes, stored);
    return [given.length || changes.size ? exif : null, notes];
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    const [fresh, notes] = updatedExif({ ...metadata, exif: null }, size, takesDensity);
    return [fresh, [`The EXIF block cannot be used (${error.message}): it is left out.`, ...notes]];
  }
}

/** The entries to be set in EXIF's main directory. */
function changesOf(metadata, first, little, takesDensity) {
  const changes = new Map();
  const isTold = first.has(blocks.ORIENTATION) || orientationInXmp(metadata.xmp) !== metadata.orientation;
  if (isTold && metadata.orientation !== blocks.orientationOf(first, little)) {
    changes.set(blocks.ORIENTATION, blocks.short(metadata.orientation, little));
  }
  if (metadata.software) changes.set(blocks.SOFTWARE, blocks.text(metadata.software));
  if (metadata.density && !takesDensity && !first.has(blocks.X_RESOLUTION)) {
    for (const [tag, entry] of blocks.densityEntries(metadata.density, little)) changes.set(tag, entry);
  }
  return changes;
}

function updatedXmp(metadata, mime, [width, height]) {
  if (!metadata.xmp) return [null, []];
  const values = new Map([
    [`${xmp.TIFF} Orientation`, `${metadata.orientation}`],
    [`${xmp.TIFF} ImageWidth`, `${width}`],
    [`${xmp.TIFF} ImageLength`, `${height}`],
    [`${xmp.EXIF} PixelXDimension`, `${width}`],
    [`${xmp.EXIF} PixelYDimension`, `${height}`],
    ['http://purl.org/dc/elements/1.1/ format', mime],
  ]);
  let packet, gone;
  try {
    [packet, gone] = xmp.edit(metadata.xmp, values, isUnwanted);
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    return [null, ['The XMP packet is not valid XML: it is left out.']];
  }
  const notes = gone.includes(THUMBNAILS) ? [NO_THUMBNAIL] : [];
  if (gone.includes(EXTENSION)) notes.push('Extended XMP, which lies outside of the main packet, is left out.');
  if (gone.some(isAttachment)) notes.push(`${NO_ATTACHMENTS}; these entries are left out.`);
  return [packet, notes];
}
