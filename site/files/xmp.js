/**
 * XMP packets as bytes: properties are found by name, changed or cut out where they stand; all else is kept as it is.
 *
 * A property may be written as an attribute or as an element, and its prefix is the writer's choice, so names are
 * resolved by namespace (XMP specification, part 1; ISO 16684-1). Workers have no XML parser, so tags are found here; a
 * packet is handled as a text of bytes, in which offsets are those of the bytes. A name is "NAMESPACE LOCAL".
 */

import { latin1, ofLatin1 } from './bytes.js';
import { DamageError } from './errors.js';

export const MARK = 'http://ns.adobe.com/xap/1.0/\0'; // stands before the packet in JPEG, and in PNG texts made from it
export const TIFF = 'http://ns.adobe.com/tiff/1.0/';
export const EXIF = 'http://ns.adobe.com/exif/1.0/';
export const XAP = 'http://ns.adobe.com/xap/1.0/';
// For packets that do not declare the prefixes they use.
const USUAL_PREFIXES = { tiff: TIFF, exif: EXIF, xmp: XAP, dc: 'http://purl.org/dc/elements/1.1/' };
const MOST_DEPTH = 1000;

const PART = /<!--[^]*?-->|<\?[^]*?\?>|<!\[CDATA\[[^]*?\]\]>|<[^]/y;
const TAG = /<([^\s/>]+)((?:\s+[^\s=>]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*)\s*(\/?)>/y;
const END_TAG = /<\/([^\s>]+)\s*>/y;
const ATTRIBUTE = /\s+([^\s=>]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/g;
const PLAIN_REFERENCE = /&(?!(?:[a-zA-Z][\w.-]*|#\d+|#x[0-9a-fA-F]+);)/;

/** The first plain value of that name, undefined if there is none. */
export function valueOf(packet, name) {
  const { words, found } = propertiesOf(packet);
  const one = found.find((property) => property.name === name && property.plain);
  return one && words.slice(...one.value);
}

/**
 * @param {Uint8Array} packet
 * @param {Map<string, string>} values new values by name, for plain properties that are there already
 * @param {(name: string) => boolean} isUnwanted says which properties to remove
 * @returns {[Uint8Array, string[]]} the new packet, and the names of what was removed
 */
export function edit(packet, values, isUnwanted) {
  const { words, found } = propertiesOf(packet);
  const changes = [];
  const gone = [];
  for (const { name, begin, end, value, plain } of found) {
    if (isUnwanted(name)) {
      changes.push([begin, end, '']);
      gone.push(name);
    } else if (plain && values.has(name) && words.slice(...value) !== values.get(name)) {
      changes.push([...value, values.get(name)]);
    }
  }
  changes.sort(([a, b], [c, d]) => a - c || d - b);
  let [text, at] = ['', 0];
  for (const [begin, end, value] of changes) {
    if (begin < at) continue; // it lies inside of what was cut out already
    text += words.slice(at, begin) + value;
    at = end;
  }
  return [ofLatin1(text + words.slice(at)), gone];
}

/** All properties, in the order of their ends. Throws DamageError for a packet that is not XML in UTF-8. */
function propertiesOf(packet) {
  try {
    new TextDecoder('utf-8', { fatal: true }).decode(packet);
  } catch {
    throw new DamageError('not UTF-8');
  }
  const words = latin1(packet);
  const reader = { words, found: [], open: [], hasChildren: [false], roots: 0 };
  const end = words.replace(/[\0 \r\n\t]+$/, '').length;
  let at = words.startsWith('\xef\xbb\xbf') ? 3 : 0;
  while (at < end) {
    const next = words.indexOf('<', at);
    checkText(reader, words.slice(at, next < 0 ? end : next));
    if (next < 0) break;
    at = step(reader, next);
  }
  if (reader.open.length || reader.roots !== 1) throw new DamageError('not XML');
  return reader;
}

function checkText({ open }, text) {
  if (PLAIN_REFERENCE.test(text) || (!open.length && text.trim())) throw new DamageError('not XML');
}

/** Reads what begins with the "<" at `at`, and gives the offset behind it. */
function step(reader, at) {
  const { words } = reader;
  PART.lastIndex = at;
  const part = PART.exec(words)?.[0] ?? '';
  if (part.length > 2) return at + part.length;
  if (part === '<!' || part === '<?' || part.length < 2) throw new DamageError('not the XML of a packet');
  const pattern = part === '</' ? END_TAG : TAG;
  pattern.lastIndex = at;
  const match = pattern.exec(words);
  if (!match) throw new DamageError('not XML');
  if (part === '</') end(reader, at, match);
  else begin(reader, at, match);
  return at + match[0].length;
}

function begin(reader, at, [whole, tag, attributes, isEmpty]) {
  const above = reader.open.at(-1);
  if (reader.open.length > MOST_DEPTH || (!above && reader.roots++)) throw new DamageError('not the XML of a packet');
  const found = [...attributes.matchAll(ATTRIBUTE)];
  if (new Set(found.map((one) => one[1])).size < found.length) throw new DamageError('not XML');
  const declared = {};
  for (const [, key, double, single] of found) {
    if (key === 'xmlns' || key.startsWith('xmlns:')) declared[key.slice(6)] = double ?? single;
  }
  const prefixes = { ...(above?.prefixes ?? USUAL_PREFIXES), ...declared };
  reader.hasChildren[reader.hasChildren.length - 1] = true;
  for (const one of found) {
    const [text, key, double, single] = one;
    if (PLAIN_REFERENCE.test(double ?? single)) throw new DamageError('not XML');
    const start = at + 1 + tag.length + one.index;
    const last = start + text.length - 1;
    // A declaration is removed together with the properties of its namespace, and kept with them.
    const isDeclaration = key === 'xmlns' || key.startsWith('xmlns:');
    const name = isDeclaration ? `${declared[key.slice(6)]} ` : resolved(key, { ...prefixes, '': '' });
    const value = [last - (double ?? single).length, last];
    reader.found.push({ name, begin: start, end: last + 1, value, plain: !isDeclaration });
  }
  const inside = at + whole.length;
  const name = resolved(tag, prefixes);
  if (isEmpty) reader.found.push({ name, begin: at, end: inside, value: [inside, inside], plain: false });
  else reader.open.push({ tag, name, at, inside, prefixes });
  if (!isEmpty) reader.hasChildren.push(false);
}

function end(reader, at, [whole, tag]) {
  const one = reader.open.pop();
  if (one?.tag !== tag) throw new DamageError('not XML');
  const plain = !reader.hasChildren.pop();
  reader.found.push({ name: one.name, begin: one.at, end: at + whole.length, value: [one.inside, at], plain });
}

function resolved(name, prefixes) {
  const colon = name.lastIndexOf(':');
  const prefix = name.slice(0, Math.max(0, colon));
  return `${Object.hasOwn(prefixes, prefix) ? prefixes[prefix] : prefix} ${name.slice(colon + 1)}`;
}
