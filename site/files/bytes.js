/** Bytes: numbers in them, texts, checksums, and zlib streams that are unpacked no further than asked for. */

import { DamageError, TooLongError, refuse } from './errors.js';

export const LARGEST_BLOCK = 2 ** 23; // bytes of one block of metadata; larger ones cost memory and help nobody
const PIECE = 2 ** 15; // a piece of this length unpacks to 33 MB at the most before its size is looked at
const MOST_DEFLATED = 1032; // how often longer a deflated stream can become

export const viewOf = (bytes) => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
export const latin1 = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
export const ofLatin1 = (words) => Uint8Array.from(words, (letter) => letter.charCodeAt(0));
export const ofText = (words) => new TextEncoder().encode(words);
export const toText = (bytes) => new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes);

/** Whether `bytes` have those of `mark` (a text of bytes) at `at`. */
export function startsWith(bytes, mark, at = 0) {
  for (let i = 0; i < mark.length; i++) if (bytes[at + i] !== mark.charCodeAt(i)) return false;
  return true;
}

export const without = (bytes, mark) => (startsWith(bytes, mark) ? bytes.subarray(mark.length) : bytes);

export function same(one, other) {
  if (!one || !other) return !one && !other;
  if (one.length !== other.length) return false;
  for (let i = 0; i < one.length; i++) if (one[i] !== other[i]) return false;
  return true;
}

export function joined(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** `count` bytes from `at` on. Refuses the file if it ends before. */
export function exactly(file, at, count) {
  if (at + count > file.bytes.length) refuse(file, 'is cut short; copy it again');
  return file.bytes.subarray(at, at + count);
}

/** Refuses a file that is absurdly large for its picture: `bytesEach` are the most that one pixel needs. */
export function checkLength(file, header, bytesEach = 8) {
  if (file.bytes.length > header.width * header.height * bytesEach + 2 ** 26) {
    const size = `${header.width} x ${header.height} pixels`;
    refuse(file, `is far larger than a file of ${size} can be; export it again`);
  }
}

/** Bytes of numbers, written by a layout such as "HHI" of unsigned 1, 2 and 4 bytes (B, H, I). */
export function packed(little, layout, ...values) {
  const sizes = { B: 1, H: 2, I: 4 };
  const bytes = new Uint8Array([...layout].reduce((sum, letter) => sum + sizes[letter], 0));
  const view = viewOf(bytes);
  let at = 0;
  for (const [i, letter] of [...layout].entries()) {
    view[{ B: 'setUint8', H: 'setUint16', I: 'setUint32' }[letter]](at, values[i], little);
    at += sizes[letter];
  }
  return bytes;
}

const CRC = Uint32Array.from({ length: 256 }, (_, start) => {
  let value = start;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xedb88320 ^ (value >>> 1) : value >>> 1;
  return value;
});

/** The checksum of PNG and zip, of several stretches of bytes as of one. */
export function crc32(...parts) {
  let sum = -1;
  for (const part of parts) for (let i = 0; i < part.length; i++) sum = CRC[(sum ^ part[i]) & 255] ^ (sum >>> 8);
  return (sum ^ -1) >>> 0;
}

/**
 * Unpacks a zlib stream.
 *
 * @param {Uint8Array[]} parts the stream, in pieces
 * @param {number} size how many bytes are wanted; more than `slack` beyond them are too many
 * @returns {Promise<Uint8Array>} as many bytes as wanted, or fewer where the stream ends before
 * @throws {DamageError} it is damaged or cut short
 * @throws {TooLongError} it holds more than `size + slack` bytes
 */
export async function inflated(parts, size, slack = 0) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const out = new Uint8Array(Math.min(size, length * MOST_DEFLATED));
  let at = 0;
  await through(new DecompressionStream('deflate'), parts, (piece) => {
    out.set(piece.subarray(0, Math.max(0, out.length - at)), Math.min(at, out.length));
    at += piece.length;
    if (at > size + slack) throw new TooLongError('too large when decompressed');
  });
  return at < out.length ? out.subarray(0, at) : out;
}

/** Packs an iterable of stretches of bytes as one zlib stream. */
export async function deflated(parts) {
  const packedParts = [];
  await through(new CompressionStream('deflate'), parts, (piece) => packedParts.push(piece));
  return joined(...packedParts);
}

async function through(stream, parts, take) {
  const writer = stream.writable.getWriter();
  writer.closed.catch(() => {}); // the reader meets the same error, and reports it
  const fed = feed(writer, parts).catch(() => {});
  const reader = stream.readable.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      take(value);
    }
  } catch (error) {
    await Promise.allSettled([reader.cancel(), writer.abort()]);
    throw error instanceof DamageError ? error : new DamageError('a damaged or cut zlib stream');
  }
  await fed;
}

async function feed(writer, parts) {
  for (const part of parts) {
    for (let at = 0; at < part.length; at += PIECE) {
      await writer.ready;
      await writer.write(part.subarray(at, at + PIECE));
    }
  }
  await writer.close();
}
