/** JPEG: segments up to the scans (ITU-T T.81), in which programs keep metadata; an index of more pictures (.mpo). */

import { LARGEST_BLOCK, checkLength, exactly, joined, latin1, ofLatin1, ofText, packed, startsWith, viewOf,
  without } from './bytes.js';
import { drawnJpeg } from './canvas.js';
import { codec, run } from './codecs.js';
import { DamageError, refuse, refuseCutShort } from './errors.js';
import * as blocks from './exif.js';
import { END, FRAMES, SCAN, decodeJpeg } from './jpeg_scans.js';
import { BARE, GAIN_MAP, INCH_CM, countsOf, sealed, textOfComment } from './metadata.js';
import { MARK as PHOTOSHOP_MARK } from './photoshop.js';
import { updated } from './updating.js';
import { MARK as XMP_MARK } from './xmp.js';

const MIME = 'image/jpeg';
const QUALITY = 95;
const LONGEST_SIDE_PX = 65500;
const OTHER_FRAMES = [0xc3, 0xc5, 0xc6, 0xc7, 0xcb, 0xcd, 0xce, 0xcf];
const FARTHEST_MARKER = 65536;
const ICC_MARK = 'ICC_PROFILE\0';
const XMP_EXTENSION = 'http://ns.adobe.com/xmp/extension/\0';
const COMMENT = 0xfe;
const LONGEST_SEGMENT = 65533; // without marker and length
const [INDEX_MARK, INDEX_ENTRIES, INDEX_ENTRY] = ['MPF\0', 45058, 16];
const [KINDS, PREVIEWS] = [0xffffff, [0x010001, 0x010002]];
const STEPPED_OVER = 'holds stray bytes between its segments: they were skipped.';
const GOES_ON = 'the rest is left out; if the picture looks wrong, copy the file again.';

/** Every segment up to the first scan or the end marker: {code, at, data, stray}; stray bytes between are skipped. */
function* segmentsOf(file) {
  for (let at = 2; ; ) {
    const { code, end, stray } = markerIn(file, at);
    at = end;
    if (code === 0x01 || (code >= 0xd0 && code <= 0xd8)) continue; // markers without a segment
    let length = 0;
    if (code !== END) {
      length = viewOf(exactly(file, at, 2)).getUint16(0) - 2;
      at += 2;
      if (length < 0) refuse(file, 'has a damaged JPEG header; copy it again');
    }
    yield { code, at, data: file.bytes.subarray(at, at + length), length, stray };
    if (code === END || code === SCAN) return;
    at += length;
  }
}

function markerIn({ bytes, name }, from) {
  const limit = Math.min(bytes.length, from + FARTHEST_MARKER);
  for (let at = bytes.indexOf(0xff, from); at >= 0 && at < limit; at = bytes.indexOf(0xff, at)) {
    let code = at;
    while (code < limit && bytes[code] === 0xff) code++;
    if (code >= limit) break;
    if (bytes[code]) return { code: bytes[code], end: code + 1, stray: at - from };
    at = code;
  }
  return refuse({ name }, 'has a damaged JPEG header, or is cut short; copy it again');
}

function readHeader(file) {
  let [header, stray] = [null, 0];
  for (const segment of segmentsOf(file)) {
    stray += segment.stray;
    if (OTHER_FRAMES.includes(segment.code)) refuse(file, 'is a lossless or hierarchical JPEG; save it as PNG or TIFF');
    if (FRAMES.includes(segment.code) && !header) {
      const view = viewOf(exactly(file, segment.at, 6));
      const [bits, channels] = [view.getUint8(0), view.getUint8(5)];
      const [height, width] = [view.getUint16(1), view.getUint16(3)];
      if (bits !== 8 || (channels !== 1 && channels !== 3)) {
        const what = channels === 4 ? 'in CMYK' : `of ${channels} channels of ${bits} bits`;
        refuse(file, `is a JPEG ${what}; save it as 8-bit RGB or as PNG`);
      }
      header = { format: 'JPEG', width, height, channels, depth: 8, notes: [] };
    }
  }
  if (!header) refuse(file, 'has a damaged JPEG header; copy it again');
  return stray ? { ...header, notes: [STEPPED_OVER] } : header;
}

async function decode(file, header) {
  checkLength(file, header);
  const scanned = await decodeJpeg(file.bytes);
  if (!scanned) refuseCutShort(file);
  const { levels, goesOn } = scanned;
  if (levels.length !== 4 * header.width * header.height) throw new DamageError('it has another size than it declares');
  const size = `${header.width} x ${header.height}`;
  const notes = goesOn ? [`holds more pixels than the ${size} that it declares: ${GOES_ON}`] : [];
  const grey = header.channels === 1;
  return { levels: grey ? everyFourth(levels) : levels, channels: grey ? 1 : 4, hasAlpha: false, notes };
}

function everyFourth(levels) {
  const one = new Uint8Array(levels.length / 4);
  for (let i = 0; i < one.length; i++) one[i] = levels[4 * i];
  return one;
}

async function encode({ levels, width, height, channels, shown = false }) {
  const rgba = new Uint8ClampedArray(4 * width * height).fill(255);
  for (let i = 0; i < width * height; i++) {
    for (let c = 0; c < 3; c++) rgba[4 * i + c] = levels[channels * i + (channels === 3 ? c : 0)];
  }
  const quick = shown && channels === 3 && (await drawnJpeg(rgba, width, height));
  if (quick) return bare(quick);
  const encoder = await codec('mozjpeg_enc');
  const bytes = run(() => encoder.encode(rgba, width, height, {
    quality: QUALITY, baseline: true, arithmetic: false, progressive: false, optimize_coding: true, smoothing: 0,
    color_space: channels === 1 ? 1 : 3, quant_table: 0, trellis_multipass: false, trellis_opt_zero: false,
    trellis_opt_table: false, trellis_loops: 1, auto_subsample: false, chroma_subsample: 1,
    separate_chroma_quality: false, chroma_quality: QUALITY,
  }));
  return Uint8Array.from(bytes);
}

/** Without what a browser writes beside the picture: its profile is that of the canvas, and not of the picture. */
function bare(bytes) {
  const kept = [bytes.subarray(0, 2)];
  for (const { code, at, length } of segmentsOf({ bytes, name: 'The preview' })) {
    const isExtra = code === COMMENT || (code > 0xe0 && code <= 0xef);
    if (!isExtra) kept.push(bytes.subarray(at - 4, code === SCAN ? undefined : at + length));
  }
  return joined(...kept);
}

function* readBlocks(file) {
  const [exif, resources, profile] = [[], [], new Map()];
  const room = (parts) => parts.reduce((sum, part) => sum + part.length, 0) <= LARGEST_BLOCK;
  let count = 0;
  for (const { code, data } of segmentsOf(file)) {
    if (code === 0xe1 && startsWith(data, blocks.MARK)) {
      if (room(exif)) exif.push(without(data, blocks.MARK)); // a long block is spread over several segments
    } else if (code === 0xe1 && startsWith(data, XMP_MARK)) {
      yield ['xmp', without(data, XMP_MARK)];
    } else if (code === 0xed && startsWith(data, PHOTOSHOP_MARK)) {
      if (room(resources)) resources.push(without(data, PHOTOSHOP_MARK));
    } else if (code === 0xe0 && startsWith(data, 'JFIF\0') && data.length >= 12) {
      const unit = { 1: 1, 2: INCH_CM }[data[7]] ?? 0;
      yield ['density', [8, 10].map((at) => viewOf(data).getUint16(at) * unit)];
    } else if (code === 0xe2 && startsWith(data, ICC_MARK) && data.length > 14) {
      profile.set(data[12], data.subarray(14));
      count = data[13];
    } else {
      yield code === COMMENT ? { text: textOfComment(data) } : toldOfSegment(code, data);
    }
  }
  yield ['exif', joined(...exif)];
  yield ['photoshop', joined(...resources)];
  // Other readers also take a profile only if all of its parts are there.
  const parts = [...profile].sort(([a], [b]) => a - b).map(([, part]) => part);
  yield parts.length === count ? ['icc', joined(...parts)] : new DamageError('parts of the profile are missing');
}

/** A description of a segment that cannot be carried over; null for those about how the old file was stored. */
function toldOfSegment(code, data) {
  if (code === 0xeb && startsWith(data, 'JP')) return sealed(data);
  if (code === 0xe2 && startsWith(data, 'urn:iso:std:iso:ts:21496:')) return GAIN_MAP;
  const marks = ['JFIF\0', 'JFXX\0', INDEX_MARK, ICC_MARK, XMP_EXTENSION, 'Ducky', 'Adobe'];
  const isKnown = marks.some((mark) => startsWith(data, mark));
  return isKnown || code < 0xe0 || code > 0xef ? null : `a block of its maker or software (APP${code - 0xe0})`;
}

const takesText = ({ keyword, text }) => keyword === 'Comment' && ofText(text).length <= LONGEST_SEGMENT;

/** Cuts EXIF and XMP down to one segment each; of a long EXIF block only the main directories' tags are kept. */
function fit(metadata, size) {
  const notes = [];
  let fitting = metadata;
  const room = LONGEST_SEGMENT - blocks.MARK.length;
  if (metadata.exif?.length > room) {
    const short = blocks.gather(blocks.openBlock(metadata.exif), blocks.STORAGE);
    const isShort = short.length <= room;
    const { orientation, software, density } = metadata;
    const bare = updated({ ...BARE, orientation, software, density }, { mime: MIME, takesDensity: true }, size)[0].exif;
    fitting = { ...fitting, exif: isShort ? short : bare };
    const lost = isShort ? 'everything but the tags of its main directories is' : 'all but the orientation is';
    notes.push(`The EXIF block is too long for a JPEG file: ${lost} left out.`);
  }
  if (metadata.xmp?.length > LONGEST_SEGMENT - XMP_MARK.length) {
    fitting = { ...fitting, xmp: null };
    notes.push('The XMP packet is too long for a JPEG file: it is left out.');
  }
  return [fitting, notes];
}

function embed(data, metadata) {
  // Behind the JFIF segment, which has to be the first one.
  const hasJfif = data[2] === 0xff && data[3] === 0xe0;
  const at = hasJfif ? 4 + viewOf(data).getUint16(4) : 2;
  const start = data.slice(0, at);
  const counts = countsOf(metadata.density, 1, 2 ** 16);
  if (hasJfif && counts.length) start.set(packed(false, 'BHH', 1, ...counts), 13);
  const parts = [];
  if (metadata.exif) parts.push(segment(0xe1, ofLatin1(blocks.MARK), metadata.exif));
  if (metadata.xmp) parts.push(segment(0xe1, ofLatin1(XMP_MARK), metadata.xmp));
  const profile = cut(metadata.icc, LONGEST_SEGMENT - ICC_MARK.length - 2);
  profile.forEach((part, i) =>
    parts.push(segment(0xe2, ofLatin1(ICC_MARK), Uint8Array.of(i + 1, profile.length), part)));
  for (const part of cut(metadata.photoshop, LONGEST_SEGMENT - PHOTOSHOP_MARK.length)) {
    parts.push(segment(0xed, ofLatin1(PHOTOSHOP_MARK), part)); // a long block continues in the next segment
  }
  for (const { text } of metadata.texts) parts.push(segment(COMMENT, ofText(text)));
  return joined(start, ...parts, data.subarray(at));
}

function cut(bytes, length) {
  const parts = [];
  for (let at = 0; at < (bytes?.length ?? 0); at += length) parts.push(bytes.subarray(at, at + length));
  return parts;
}

function segment(code, ...parts) {
  const body = joined(...parts);
  return joined(packed(false, 'BBH', 0xff, code, body.length + 2), body);
}

/** The pictures listed in a multi-picture index (CIPA DC-007), whose offsets count from its own byte order mark. */
function* further(file) {
  for (const { code, at, data } of segmentsOf(file)) {
    if (code !== 0xe2 || !startsWith(data, INDEX_MARK)) continue;
    yield* listed(file, at + 4, data.subarray(4));
    return;
  }
}

function listed(file, base, index) {
  try {
    const block = blocks.openBlock(index);
    const entries = blocks.readDirectory(block, block.first).get(INDEX_ENTRIES)?.value ?? new Uint8Array();
    const view = viewOf(entries);
    return Array.from({ length: Math.floor(entries.length / INDEX_ENTRY) }, (_, i) => {
      const [kind, length, offset] = [0, 4, 8].map((at) => view.getUint32(INDEX_ENTRY * i + at, block.little));
      if (!offset || PREVIEWS.includes(kind & KINDS)) return null; // offset 0 is the first picture itself
      return { name: file.name, bytes: file.bytes.subarray(base + offset, base + offset + length) };
    }).filter(Boolean);
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    return [];
  }
}

export const JPEG = {
  name: 'JPEG',
  endings: ['.jpg', '.jpeg', '.jpe', '.jif', '.jfif', '.jfi', '.mpo'],
  mime: MIME,
  recognises: (bytes) => startsWith(bytes, '\xff\xd8\xff'),
  readHeader,
  decode,
  readBlocks,
  further,
  output: { ending: '.jpg', encode, embed, bits: [8], longestSide: LONGEST_SIDE_PX, takesDensity: true, takesText,
    fit },
};
