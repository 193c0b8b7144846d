/** The chunks of a PNG file that hold metadata, and those that state its colours. */

import { LARGEST_BLOCK, deflated, inflated, joined, latin1, ofLatin1, ofText, packed, startsWith, toText, viewOf,
  without } from './bytes.js';
import { kept, toldAs, toldByNumbers } from './colours.js';
import { DamageError, TooLongError } from './errors.js';
import { MARK as EXIF_MARK } from './exif.js';
import { D65, SRGB_PRIMARIES } from './icc.js';
import { CREDENTIALS, INCH_M, countsOf, textOf } from './metadata.js';
import { toText as profileText } from './photoshop.js';
import { chunk, chunks, contentOf, factsOf } from './png_chunks.js';
import { MARK as XMP_MARK } from './xmp.js';

const XMP_KEYWORD = 'XML:com.adobe.xmp';
const PROFILE_KEYWORD = 'Raw profile type ';
// Starts of keywords, used by ImageMagick and file managers, for dates and properties of the old file.
const OF_THE_FILE = ['Thumb::', 'date:', 'png:', 'jpeg:', 'tiff:', 'webp:'];
const PROFILE = /^\s*\w+\s+(\d{1,9})\s+([0-9a-fA-F\s]*)/;
const GAMMA_OF_SRGB = 45455;
const HEADER_END = 8 + 25;

export async function* readBlocks(file) {
  for (const found of chunks(file)) {
    if (found.kind === 'caBX') yield CREDENTIALS;
    else if (!READERS[found.kind]) yield null;
    else if (found.length > LARGEST_BLOCK) yield new TooLongError('a long chunk');
    else yield await partOf(file, found);
  }
}

async function partOf(file, found) {
  try {
    return await READERS[found.kind](contentOf(file, found), found.kind);
  } catch (error) {
    if (error instanceof DamageError) return error;
    throw error;
  }
}

const READERS = {
  iCCP: async (data) => ['icc', await unpacked(data.subarray(cut(data).at + 1))],
  eXIf: (data) => ['exif', without(data, EXIF_MARK)],
  pHYs: (data) => {
    if (data.length !== 9 || data[8] !== 1) return null; // without a unit it states only the aspect ratio of a pixel
    return ['density', [0, 4].map((at) => viewOf(data).getUint32(at) * INCH_M)];
  },
  tEXt: partOfText,
  zTXt: partOfText,
  iTXt: partOfText,
};

async function unpacked(data) {
  const content = await inflated([data], LARGEST_BLOCK + 1);
  if (content.length > LARGEST_BLOCK) throw new TooLongError('too large when decompressed');
  return content;
}

async function partOfText(data, kind) {
  const [text, content] = await textIn(data, kind);
  if (text.keyword === XMP_KEYWORD) return ['xmp', content];
  if (text.keyword.startsWith(PROFILE_KEYWORD)) {
    const name = text.keyword.slice(PROFILE_KEYWORD.length);
    const profile = rawProfile(content);
    if (name === 'icc' || name === 'icm') return ['icc', profile];
    if (name === 'xmp' || startsWith(profile, XMP_MARK)) return ['xmp', without(profile, XMP_MARK)];
    if (name === 'exif' || name === 'APP1') return ['exif', without(profile, EXIF_MARK)];
    if (name === 'iptc' || name === '8bim') return [startsWith(profile, '8BIM') ? 'photoshop' : 'iptc', profile];
  }
  if (OF_THE_FILE.some((start) => text.keyword.startsWith(start))) {
    return `texts about the old file ('${text.keyword.slice(0, 40)}')`;
  }
  return { text };
}

/** The text in a tEXt, zTXt or iTXt chunk, and its bytes before decoding. */
async function textIn(data, kind) {
  const { word: keyword, at } = cut(data);
  const rest = data.subarray(at);
  if (kind === 'tEXt') return [textOf(keyword, latin1(rest)), rest];
  if (kind === 'zTXt') {
    const content = await unpacked(rest.subarray(1));
    return [textOf(keyword, latin1(content)), content];
  }
  const behind = rest.subarray(2);
  const { word: language, at: translatedAt } = cut(behind);
  const end = behind.indexOf(0, translatedAt);
  const translated = toText(behind.subarray(translatedAt, end < 0 ? undefined : end));
  let content = end < 0 ? new Uint8Array() : behind.subarray(end + 1);
  if (rest[0] === 1) content = await unpacked(content);
  return [textOf(keyword, toText(content), language, translated), content];
}

function cut(data) {
  const end = data.indexOf(0);
  if (end < 0) throw new DamageError('a text without a keyword');
  return { word: latin1(data.subarray(0, end)), at: end + 1 };
}

/** The block in a text as ImageMagick writes it: name, length, hexadecimal digits. */
function rawProfile(text) {
  const match = PROFILE.exec(latin1(text));
  const digits = (match?.[2] ?? '').replace(/\s+/g, '');
  if (!match || digits.length !== 2 * Number(match[1])) throw new DamageError('a damaged profile');
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16));
}

const isLatin = (words) => /^[\x00-\xff]*$/.test(words);

/** Whether a text's keyword is allowed in PNG files. */
export const takesText = ({ keyword }) => /^[\x20-\x7e\xa1-\xac\xae-\xff]{1,79}$/.test(keyword);

function textChunk({ keyword, text, language, translated }) {
  const words = text.replaceAll('\0', ' ');
  const head = ofLatin1(`${keyword}\0`);
  if (isLatin(words) && !language && !translated) return chunk('tEXt', head, ofLatin1(words));
  const languages = [ofLatin1(`\0\0${language.replace(/[^\x00-\x7f]/gu, '?')}\0`), ofText(`${translated}\0`)];
  return chunk('iTXt', head, ...languages, ofText(words));
}

export async function embed(data, metadata) {
  const counts = countsOf(metadata.density, INCH_M, 2 ** 31);
  const parts = counts.length ? [chunk('pHYs', packed(false, 'IIB', ...counts, 1))] : [];
  if (metadata.icc) parts.push(chunk('iCCP', ofLatin1('ICC profile\0\0'), await deflated([metadata.icc])));
  if (metadata.exif) parts.push(chunk('eXIf', metadata.exif));
  if (metadata.xmp) parts.push(chunk('iTXt', ofLatin1(`${XMP_KEYWORD}\0\0\0\0\0`), metadata.xmp));
  if (metadata.photoshop) {
    const profile = await deflated([profileText(metadata.photoshop)]);
    parts.push(chunk('zTXt', ofLatin1(`${PROFILE_KEYWORD}iptc\0\0`), profile));
  }
  parts.push(...metadata.texts.map(textChunk));
  return joined(data.subarray(0, HEADER_END), ...parts, data.subarray(HEADER_END));
}

/** The first of cICP, ICC profile, sRGB, and gAMA with cHRM that is present: the standard's order of precedence. */
export function tellColours(file, header, metadata) {
  const facts = factsOf(file);
  const cicp = facts.get('cICP');
  if (cicp?.length === 4) {
    const told = toldByNumbers('a cICP chunk', cicp[0], cicp[1], header);
    return cicp[2] === 0 && cicp[3] === 1 ? told : toldAs(told.by, null, false);
  }
  if (metadata.icc) return null;
  if (facts.has('sRGB')) return toldAs('an sRGB chunk', null);
  return toldByGamma(facts, header);
}

function toldByGamma(facts, header) {
  const [gamma, corners] = [facts.get('gAMA') ?? [], facts.get('cHRM') ?? []];
  if (gamma.length !== 4 && corners.length !== 32) return null;
  const number = gamma.length === 4 ? viewOf(gamma).getUint32(0) : GAMMA_OF_SRGB;
  if (number === 0) return null;
  const points = corners.length === 32
    ? Array.from({ length: 8 }, (_, i) => viewOf(corners).getUint32(4 * i) / 100000) : [];
  // Programs that write sRGB state this gamma as well, for readers that do not know the sRGB curve.
  const curve = Math.abs(number - GAMMA_OF_SRGB) < 100 ? null : 100000 / number;
  const shown = Number((number / 100000).toPrecision(6));
  const names = [
    ...(gamma.length ? [curve ? `a gAMA chunk (gamma ${shown})` : 'a gAMA chunk'] : []),
    ...(corners.length ? ['a cHRM chunk'] : []),
  ];
  const [white, primaries] = points.length ? [points.slice(0, 2), points.slice(2)] : [D65, SRGB_PRIMARIES];
  return kept(names.join(' and '), white, primaries, curve, header);
}
