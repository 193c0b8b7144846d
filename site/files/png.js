/** PNG: its header and pixels (PNG specification, third edition), unpacked no further than the header declares. */

import { checkLength, deflated, exactly, inflated, joined, ofLatin1, packed, same, startsWith,
  viewOf } from './bytes.js';
import { DamageError, TooLongError, refuse, refuseCutShort } from './errors.js';
import { MARK, chunk, chunks, contentOf, factsOf } from './png_chunks.js';
import { embed, readBlocks, takesText, tellColours } from './png_metadata.js';
import { filteredRows, passesOf, pixelsOf } from './png_rows.js';

const CHANNELS = { 0: 1, 2: 3, 3: 3, 4: 2, 6: 4 };
const BITS = { 0: [1, 2, 4, 8, 16], 3: [1, 2, 4, 8] }; // of grey and of indices; all others have 8 or 16
const PALETTE = 3;
const SLACK = 2 ** 16; // some writers pad the last row
const LONGEST_CHUNK = 2 ** 20;

function readHeader(file) {
  const start = exactly(file, MARK.length, 18);
  const view = viewOf(start);
  const [width, height, bits, colour] = [view.getUint32(8), view.getUint32(12), start[16], start[17]];
  const channels = CHANNELS[colour];
  if (!startsWith(start, 'IHDR', 4) || !channels || !(BITS[colour] ?? [8, 16]).includes(bits)) {
    refuse(file, 'has a damaged PNG header; copy it again');
  }
  const frames = factsOf(file).get('acTL');
  if (frames?.length >= 4 && viewOf(frames).getUint32(0) > 1) refuse(file, 'is an animation; give a still picture');
  return { format: 'PNG', width, height, channels, depth: bits === 16 ? 16 : 8, notes: [] };
}

async function decode(file, header) {
  checkLength(file, header);
  const found = [...chunks(file)];
  const last = found.at(-1);
  if (last?.kind !== 'IEND' || !same(file.bytes.subarray(last.at, last.at + 4), ofLatin1('\xaeB`\x82'))) {
    refuseCutShort(file);
  }
  const first = found.findIndex((one) => one.kind === 'IDAT');
  if (first < 0) throw new DamageError('it has no pixels');
  let end = first;
  while (found[end].kind === 'IDAT') end++;
  const parts = found.slice(first, end).map((one) => contentOf(file, one));
  const [bits, colour, interlace] = [file.bytes[24], file.bytes[25], file.bytes[28]];
  if (interlace > 1 || file.bytes[26] || file.bytes[27]) throw new DamageError('an unknown way of storing pixels');
  const samples = colour === PALETTE ? 1 : header.channels;
  const passes = passesOf(header, samples * bits, interlace === 1);
  const size = passes.reduce((sum, pass) => sum + pass.rows * (1 + pass.rowBytes), 0);
  const raw = await unpacked(file, parts, size);
  const facts = factsOf(file);
  const palette = colour === PALETTE ? (facts.get('PLTE') ?? new Uint8Array()) : null;
  const pixels = pixelsOf(raw, header, { passes, samples, bits, palette });
  if (pixels.highest !== undefined && pixels.highest * 3 + 3 > palette.length) {
    const what = `has a palette of ${Math.floor(palette.length / 3)} colours, but pixels of number ${pixels.highest}`;
    refuse(file, `is damaged: it ${what}; export it again`);
  }
  return { ...pixels, hasAlpha: colour > PALETTE || facts.has('tRNS') };
}

async function unpacked(file, parts, size) {
  try {
    const raw = await inflated(parts, size, SLACK);
    if (raw.length < size) throw new DamageError('it holds fewer pixels than it declares');
    return raw;
  } catch (error) {
    if (error instanceof TooLongError) refuse(file, 'holds far more data than its pixels need; export it again');
    throw error;
  }
}

async function encode({ levels, width, height, channels, depth }) {
  const head = packed(false, 'IIBBBBB', width, height, depth, channels === 1 ? 0 : 2, 0, 0, 0);
  const pixels = await deflated(filteredRows(levels, width * channels, height, channels));
  const parts = [ofLatin1(MARK), chunk('IHDR', head)];
  for (let at = 0; at < pixels.length; at += LONGEST_CHUNK) {
    parts.push(chunk('IDAT', pixels.subarray(at, at + LONGEST_CHUNK)));
  }
  return joined(...parts, chunk('IEND'));
}

export const PNG = {
  name: 'PNG',
  endings: ['.png', '.apng'],
  mime: 'image/png',
  recognises: (bytes) => startsWith(bytes, MARK),
  readHeader,
  decode,
  readBlocks,
  tellColours,
  output: { ending: '.png', encode, embed, bits: [8, 16], longestSide: 2 ** 31 - 1, takesDensity: true, takesText },
};
