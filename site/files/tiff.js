/** TIFF, classic and BigTIFF (TIFF 6.0), if the first page's tags describe one plain picture. */

import { checkLength, deflated, exactly, joined, packed, startsWith } from './bytes.js';
import { toldByTags } from './colours.js';
import { DamageError, TooLongError, refuse, refuseCutShort } from './errors.js';
import * as blocks from './exif.js';
import { CREDENTIALS } from './metadata.js';
import { iptcOf } from './photoshop.js';
import { COMPRESSIONS, DEFLATE, FLOATING, HORIZONTAL, NO_PREDICTOR, PACKBITS, PLAIN, checkRoom, samplesOf,
  unpacked } from './tiff_segments.js';

const [ICC_TAG, XMP_TAG, IPTC_TAG, PHOTOSHOP_TAG, CREDENTIALS_TAG] = [34675, 700, 33723, 34377, 52545];
const [STRIP_OFFSETS, STRIP_LENGTHS, TILE_OFFSETS, TILE_LENGTHS] = [273, 279, 324, 325];
// The tags that decide whether and how a page is read, with their defaults.
const DEFAULTS = { subfile: [254, 0], width: [256, 0], height: [257, 0], bits: [258, 1], compression: [259, 1],
  photometric: [262, -1], order: [266, 1], samples: [277, 1], rows: [278, 2 ** 32 - 1], planar: [284, 1],
  predictor: [317, 1], tileWidth: [322, 0], tileHeight: [323, 0], extra: [338, 0], sampleFormat: [339, 1],
  dngVersion: [50706, 0] };
const NAMES = new Map(Object.entries(DEFAULTS).map(([name, [tag]]) => [tag, name]));
const DNG_VERSION = 50706;
const INTEGERS = [1, 3, 4, 16];
const DEPTHS = { '1 8': 8, '1 16': 16, '3 16': 16, '3 32': 16, '3 64': 16 }; // by sample format and bits
const FLOAT = 3;
const [GREY, RGB] = [1, 2];
const COLOURS = { 0: 'negative grey (white is zero)', 3: 'palette colours', 5: 'CMYK', 6: 'YCbCr', 8: 'CIELab',
  9: 'CIELab', 10: 'CIELab', 32803: 'a colour filter mosaic' };
const MULTIPLIED = 'has premultiplied transparency: colours are too dark where it is not opaque.';
const STRIP_BYTES = 2 ** 20;

function opened(file) {
  const block = blocks.openBlock(file.bytes);
  return { ...block, first: file.directory ?? block.first };
}

function readHeader(file) {
  exactly(file, 0, 16);
  const tags = tagsOf(file);
  if (startsWith(file.bytes, 'CR', 8) || tags.dngVersion || tags.subfile & 1) {
    refuse(file, 'is a camera raw file, or its first page is only a thumbnail; export both views as 16-bit TIFF');
  }
  if (!COMPRESSIONS.includes(tags.compression)) {
    refuse(file, 'is a TIFF with an unusual compression; save it with none, LZW or Deflate');
  }
  const isPredicted = tags.predictor !== NO_PREDICTOR;
  const isFloat = tags.sampleFormat === FLOAT;
  if (isPredicted && (tags.compression === PLAIN || tags.compression === PACKBITS)) { // which some undo, others do not
    refuse(file, 'is a TIFF with a predictor, which its compression does not know; save it with none, LZW or Deflate');
  }
  if (isPredicted && tags.predictor !== (isFloat ? FLOATING : HORIZONTAL)) {
    refuse(file, 'is a TIFF with an unusual predictor; save it with none');
  }
  if (tags.photometric !== GREY && tags.photometric !== RGB) {
    const kind = COLOURS[tags.photometric] ?? 'an unknown kind of colour';
    refuse(file, `is a TIFF in ${kind}; save it as RGB, or as grey with black as zero`);
  }
  const depth = DEPTHS[`${tags.sampleFormat} ${tags.bits}`];
  const { samples } = tags;
  if (!depth || ![1, 2, 3, 4].includes(samples) || (tags.photometric === RGB) !== samples >= 3) {
    const what = `${samples} samples of ${tags.bits > 0 ? tags.bits : 'mixed'} bits`;
    refuse(file, `is a TIFF of ${what}; save it as grey or RGB of 8 or 16 bits, or float in [0, 1]`);
  }
  if (tags.tileWidth * tags.tileHeight > Math.max(tags.width * tags.height, 4096 * 4096)) {
    refuse(file, 'is a TIFF with tiles larger than the picture; save it again'); // a tile is decoded whole
  }
  const notes = samples % 2 === 0 && tags.extra === 1 ? [MULTIPLIED] : [];
  return { format: 'TIFF', width: tags.width, height: tags.height, channels: samples, depth, isFloat, notes, tags };
}

/** The tags that matter, by name; -1 for samples that differ in size or format. */
function tagsOf(file) {
  const found = new Map();
  for (const { tag, kind, count, entry } of entriesOf(file)) {
    if (!INTEGERS.includes(kind) || count < 1 || count > 16) {
      refuse(file, `has a damaged TIFF directory (tag ${tag} is not a small whole number); save it again`);
    }
    const values = blocks.integers(entry(), file.bytes[0] === 0x49);
    const one = tag === DNG_VERSION || values.every((value) => value === values[0]) ? values[0] : -1;
    if ((found.get(tag) ?? one) !== one) { // readers differ in which of the two they take
      refuse(file, `has a damaged TIFF directory (tag ${tag} occurs twice); save it again`);
    }
    found.set(tag, one);
  }
  return Object.fromEntries(Object.entries(DEFAULTS).map(([name, [tag, value]]) => [name, found.get(tag) ?? value]));
}

function entriesOf(file) {
  try {
    const block = opened(file);
    const fields = [...blocks.fieldsOf(block, block.first)];
    if (!fields.length) throw new DamageError('an empty directory');
    const offset = blocks.measures(block).field;
    return fields.filter(({ tag }) => NAMES.has(tag)).map((field) => ({ ...field, entry: () => {
      const length = blocks.SIZES[field.kind] * field.count;
      const at = field.at + offset;
      const begin = length <= (block.big ? 8 : 4) ? at : blocks.pointerAt(block, at);
      return { kind: field.kind, value: exactly(file, begin, length) };
    } }));
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
    return refuse(file, 'has a damaged TIFF directory; copy it again');
  }
}

async function decode(file, header) {
  checkLength(file, header);
  const { tags } = header;
  const layout = layoutOf(file, tags);
  const kind = header.isFloat ? Float32Array : tags.bits === 16 ? Uint16Array : Uint8Array;
  const levels = new kind(tags.width * tags.height * tags.samples);
  const how = { bits: tags.bits, isFloat: header.isFloat, little: layout.little, predictor: tags.predictor };
  for (const part of layout.parts) {
    const data = file.bytes.subarray(part.at, part.at + part.length);
    const bytes = await unpackedPart(file, tags.order === 2 ? data.map(reversed) : data, tags.compression, part);
    place(samplesOf(bytes, layout.columns, layout.samples, how), levels, part, layout, tags);
  }
  return { levels, channels: tags.samples };
}

const reversed = (byte) => [0, 1, 2, 3, 4, 5, 6, 7].reduce((sum, bit) => sum | (((byte >> bit) & 1) << (7 - bit)), 0);

async function unpackedPart(file, data, compression, { size, most }) {
  try {
    return await unpacked(data, compression, size, most);
  } catch (error) {
    if (error instanceof TooLongError) refuse(file, 'holds far more data than its pixels need; export it again');
    throw error;
  }
}

/** Where strips or tiles lie in the file and in the picture. */
function layoutOf(file, tags) {
  const block = opened(file);
  const directory = blocks.readDirectory(block, block.first);
  const isTiled = tags.tileWidth > 0;
  const columns = isTiled ? tags.tileWidth : tags.width;
  const rows = isTiled ? tags.tileHeight : Math.min(tags.rows, tags.height);
  if (!columns || !rows) throw new DamageError('its strips have no rows');
  const planes = tags.planar === 2 ? tags.samples : 1;
  const samples = tags.samples / planes;
  const [across, down] = [Math.ceil(tags.width / columns), Math.ceil(tags.height / rows)];
  const [ats, lengths] = (isTiled ? [TILE_OFFSETS, TILE_LENGTHS] : [STRIP_OFFSETS, STRIP_LENGTHS]).map((tag) =>
    directory.has(tag) ? blocks.integers(directory.get(tag), block.little) : []);
  const isWhole = ats.length === planes * across * down && lengths.length === ats.length &&
    ats.every((at, i) => at > 0 && lengths[i] > 0 && at + lengths[i] <= file.bytes.length);
  if (!isWhole) refuseCutShort(file);
  const rowBytes = (columns * samples * tags.bits) / 8;
  const parts = ats.map((at, i) => {
    const inPlane = i % (across * down);
    const [x, y] = [(inPlane % across) * columns, Math.floor(inPlane / across) * rows];
    const own = isTiled ? rows : Math.min(rows, tags.height - y);
    const [size, most] = [own * rowBytes, rows * rowBytes];
    checkRoom(tags.compression, lengths[i], size);
    return { at, length: lengths[i], x, y, plane: Math.floor(i / (across * down)), size, most };
  });
  if (tags.compression === PLAIN && !areApart(parts)) {
    refuse(file, 'is damaged: its strips are shorter than its pixels, or overlap; save it again');
  }
  return { parts, columns, rows, samples, little: block.little };
}

/** Whether each uncompressed part shares none of its bytes with another; parts of equal pixels may lie in one place. */
function areApart(parts) {
  const sizes = new Map(parts.map(({ at, size }) => [at, size]));
  const begins = [...sizes].sort(([a], [b]) => a - b);
  return begins.every(([at, size], i) => i + 1 === begins.length || at + size <= begins[i + 1][0]);
}

function place(values, levels, { x, y, plane }, { columns, samples }, { width, height, samples: all }) {
  const rows = Math.min(values.length / (columns * samples), height - y);
  const wide = Math.min(columns, width - x);
  for (let v = 0; v < rows; v++) {
    const from = v * columns * samples;
    const to = ((y + v) * width + x) * all;
    if (samples === all) levels.set(values.subarray(from, from + wide * samples), to);
    else for (let u = 0; u < wide; u++) levels[to + u * all + plane] = values[from + u];
  }
}

async function encode({ levels, width, height, channels, depth, little }) {
  const row = width * channels;
  const rows = Math.max(1, Math.min(height, Math.floor(STRIP_BYTES / ((row * depth) / 8))));
  const strips = [];
  for (let y = 0; y < height; y += rows) {
    const strip = differences(levels.subarray(y * row, Math.min(height, y + rows) * row), row, channels, little);
    const data = await deflated([strip]);
    strips.push(data, new Uint8Array(data.length % 2));
  }
  const numbers = (...values) => ({ kind: blocks.LONG, value: packed(little, 'I'.repeat(values.length), ...values) });
  const shorts = (...values) => ({ kind: blocks.SHORT, value: packed(little, 'H'.repeat(values.length), ...values) });
  const lengths = strips.filter((_, i) => i % 2 === 0).map((strip) => strip.length);
  const one = { kind: blocks.RATIONAL, value: packed(little, 'II', 1, 1) };
  const directory = new Map([
    [256, numbers(width)], [257, numbers(height)], [258, shorts(...Array(channels).fill(depth))],
    [259, shorts(DEFLATE)], [262, shorts(channels === 1 ? GREY : RGB)], [277, shorts(channels)],
    [STRIP_OFFSETS, numbers(...offsetsOf(strips))],
    [278, numbers(rows)], [STRIP_LENGTHS, numbers(...lengths)],
    [282, one], [283, one], [296, shorts(1)], [284, shorts(1)], [317, shorts(HORIZONTAL)],
  ]);
  const at = 8 + strips.reduce((sum, strip) => sum + strip.length, 0);
  const head = joined(little ? packed(true, 'HHI', 0x4949, 42, at) : packed(false, 'HHI', 0x4d4d, 42, at));
  return joined(head, ...strips, blocks.pack(directory, little, at));
}

function offsetsOf(strips) {
  let at = 8;
  return strips.map((strip) => (at += strip.length) - strip.length).filter((_, i) => i % 2 === 0);
}

/** Each sample less that of the pixel before it, as bytes. */
function differences(levels, row, channels, little) {
  const made = levels.slice();
  for (let at = 0; at < levels.length; at += row) {
    for (let i = at + channels; i < at + row; i++) made[i] = levels[i] - levels[i - channels];
  }
  if (made.BYTES_PER_ELEMENT === 1) return made;
  const view = new DataView(made.buffer);
  for (let i = 0; i < made.length; i++) view.setUint16(2 * i, made[i], little);
  return new Uint8Array(made.buffer);
}

function* readBlocks(file) {
  const block = opened(file);
  const first = blocks.readDirectory(block, block.first);
  for (const [name, tag] of [['icc', ICC_TAG], ['xmp', XMP_TAG], ['iptc', IPTC_TAG], ['photoshop', PHOTOSHOP_TAG]]) {
    if (first.has(tag)) yield [name, first.get(tag).value];
  }
  yield ['density', blocks.densityOf(first, block.little)];
  yield ['exif', blocks.gather(block)];
  yield first.has(CREDENTIALS_TAG) ? CREDENTIALS : null;
}

/** The EXIF block becomes the start of the file, so that its offsets stay right; the pixels follow it. */
function embed(data, metadata) {
  const own = blocks.openBlock(data);
  const { little } = own;
  const directory = blocks.readDirectory(own, own.first);
  let exif = metadata.exif ?? new Uint8Array();
  exif = joined(exif, new Uint8Array(exif.length % 2));
  let first = new Map();
  if (exif.length) {
    const block = blocks.openBlock(exif);
    first = blocks.readDirectory(block, block.first);
    const moved = blocks.integers(directory.get(STRIP_OFFSETS), little).map((at) => at + exif.length);
    directory.set(STRIP_OFFSETS, { kind: blocks.LONG, value: packed(little, 'I'.repeat(moved.length), ...moved) });
  }
  const kept = new Map([...directory].filter(([tag]) => blocks.STORAGE.has(tag) || !first.has(tag)));
  const photoshop = metadata.photoshop ?? new Uint8Array();
  for (const [tag, kind, value] of [[ICC_TAG, 7, metadata.icc], [XMP_TAG, 1, metadata.xmp],
    [IPTC_TAG, 7, iptcOf(photoshop)], [PHOTOSHOP_TAG, 7, photoshop]]) {
    if (value?.length) kept.set(tag, { kind, value });
  }
  return blocks.amend(exif.length ? joined(exif, data) : data, kept, blocks.STORAGE);
}

function tellColours(file, header, metadata) {
  if (metadata.icc) return null;
  const block = opened(file);
  return toldByTags(header, metadata, { first: blocks.readDirectory(block, block.first), little: block.little });
}

/** The file again for each further directory, as if that were the first; no directory is visited twice. */
function* further(file) {
  const block = opened(file);
  const seen = new Set([0, block.first]);
  for (let at = block.first; ; ) {
    try {
      at = blocks.nextDirectory(block, at);
    } catch (error) {
      if (!(error instanceof DamageError)) throw error;
      return;
    }
    if (seen.has(at)) return;
    seen.add(at);
    yield { ...file, directory: at };
  }
}

export const TIFF = {
  name: 'TIFF',
  endings: ['.tif', '.tiff'],
  mime: 'image/tiff',
  recognises: (bytes) => ['II*\0', 'II+\0', 'MM\0*', 'MM\0+'].some((mark) => startsWith(bytes, mark)),
  readHeader,
  decode,
  readBlocks,
  tellColours,
  further,
  output: { ending: '.tif', encode, embed, bits: [8, 16], longestSide: 2 ** 31 - 1 },
};
