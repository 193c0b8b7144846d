/** Photoshop's image resources, in which JPEG and TIFF files keep IPTC: caption, keywords, by-line. */

import { joined, latin1, ofLatin1, packed, viewOf } from './bytes.js';
import { DamageError } from './errors.js';

export const MARK = 'Photoshop 3.0\0';
export const IPTC = 0x0404;
// Those about the photograph: IPTC, the copyright flag, its web address, the digest of the IPTC. All others concern the
// old file: its thumbnails, layers and print settings.
const KEPT = new Set([IPTC, 0x040a, 0x040b, 0x0425]);
const MARKS = ['8BIM', 'MeSa', 'PHUT', 'AgHg', 'DCSR'];

function* resources(data) {
  const view = viewOf(data);
  for (let at = 0; at + 12 <= data.length; ) {
    if (!MARKS.includes(latin1(data.subarray(at, at + 4)))) throw new DamageError('damaged image resources');
    const number = view.getUint16(at + 4);
    const name = 1 + data[at + 6];
    at += 6 + name + (name % 2);
    if (at + 4 > data.length) throw new DamageError('damaged image resources');
    const length = view.getUint32(at);
    if (at + 4 + length > data.length) throw new DamageError('damaged image resources');
    yield [number, data.subarray(at + 4, at + 4 + length)];
    at += 4 + length + (length % 2);
  }
}

/** Only the resources about the photograph. Throws DamageError where they are damaged. */
export function ofPhotograph(data) {
  const kept = [...resources(data)].filter(([number, content]) => KEPT.has(number) && content.length);
  return joined(...kept.map(([number, content]) => resource(number, content)));
}

/** One image resource as bytes, without a name. */
export function resource(number, content) {
  const head = packed(false, 'HHI', number, 0, content.length);
  return joined(ofLatin1('8BIM'), head, content, new Uint8Array(content.length % 2));
}

/** The IPTC records among image resources; empty if there are none or the resources are damaged. */
export function iptcOf(data) {
  try {
    for (const [number, content] of resources(data)) if (number === IPTC) return content;
  } catch (error) {
    if (!(error instanceof DamageError)) throw error;
  }
  return new Uint8Array();
}

/** Image resources as PNG files carry them: a text of name, length and hexadecimal digits (ImageMagick's way). */
export function toText(data) {
  const digits = Array.from(data, (byte) => byte.toString(16).padStart(2, '0')).join('');
  const lines = digits.match(/.{1,72}/g)?.join('\n') ?? '';
  return ofLatin1(`\niptc\n${String(data.length).padStart(8)}\n${lines}\n`);
}
