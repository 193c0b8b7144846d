/** The scans of a JPEG file: whether they hold the whole picture and no more, which the decoder does not report. */

import { joined, packed, viewOf } from './bytes.js';
import { codec, run } from './codecs.js';

// What the decoder supports: sequential and progressive, with Huffman or arithmetic coding.
export const FRAMES = [0xc0, 0xc1, 0xc2, 0xc9, 0xca];
export const [END, SCAN, INTERVAL] = [0xd9, 0xda, 0xdd];
const BLOCK_PX = 8;
const MOST_ROWS = 65500; // the decoder takes no more
const PADDING_BLOCKS = 20; // may be made of what encoders put behind a scan to fill up four bytes, two bits each
const NOTHING = 128; // what the decoder fills in, in all channels, where a scan has ended
const MORE = Uint8Array.from('6b2d94c1583ea7721d45b80c93e65a3f'.repeat(4).match(/../g), (pair) => parseInt(pair, 16));

/**
 * Decodes a JPEG, and finds out whether data are missing, which the decoder silently fills with grey, or left over.
 *
 * The file is decoded twice: once with bytes added behind each stretch of a scan, which are never read in a whole
 * picture and change nothing; and once with more rows declared, the last of which is grey unless the scans hold it.
 *
 * @returns {Promise<{levels: Uint8Array, goesOn: boolean} | null>} H x W x 4; null if some of it is missing
 */
export async function decodeJpeg(data) {
  const layout = layoutOf(data);
  if (!layout.scans.length || !layout.scans.every((scan) => restartsAreWhole(data, scan))) return null;
  // Missing data are decoded as zeros in arithmetic coding, as the standard has it: the trick would not work.
  if (layout.arithmetic) return { levels: (await pixelsOf(data)).data, goesOn: false };
  const more = [];
  let at = 0;
  for (const scan of layout.scans) {
    more.push(data.subarray(at, scan.begin));
    at = scan.begin;
    for (const { begin } of scan.restarts) {
      more.push(data.subarray(at, begin), MORE);
      at = begin;
    }
    more.push(data.subarray(at, scan.end), MORE);
    at = scan.end;
  }
  const picture = await pixelsOf(joined(...more, data.subarray(at)));
  return compare(picture, await pixelsOf(withMoreRows(data, layout)), layout);
}

async function pixelsOf(data) {
  const decoder = await codec('mozjpeg_dec');
  const { data: levels, width, height } = run(() => decoder.decode(data, false));
  return { data: new Uint8Array(levels.buffer, levels.byteOffset, levels.length), width, height };
}

/** The pixels decoded with more data, and with more rows. */
function compare(picture, taller, { frame }) {
  const { width, height } = picture;
  if (taller.width !== width) return null;
  // Half as many rows of colour are interpolated, so that the last of an even number depends on what lies below it; it
  // was coded together with the one above it.
  const alike = taller.height === height ? height : height - 1 + (height % 2);
  const end = 4 * width * Math.min(alike, taller.height);
  for (let i = 0; i < end; i++) if (picture.data[i] !== taller.data[i]) return null;
  const last = Math.floor((width - 1) / unitPx(frame)[0]) * unitPx(frame)[0];
  // The picture above gives colour to the rows below it.
  let goesOn = false;
  for (let y = Math.max(height, taller.height - BLOCK_PX) + 2; y < taller.height; y++) {
    for (let x = last; x < width; x++) {
      for (let c = 0; c < 3; c++) goesOn ||= taller.data[4 * (y * width + x) + c] !== NOTHING;
    }
  }
  return { levels: picture.data, goesOn };
}

/** The file as if it had more rows of units: so many that padding behind the scan cannot fill them. */
function withMoreRows(data, { frame, frameAt }) {
  const [height, width] = sidesOf(frame);
  const [columns, rows] = unitPx(frame);
  if (!columns || !rows) return data;
  const each = sharesOf(frame).reduce((sum, { across, down }) => sum + across * down, 0) * Math.ceil(width / columns);
  const taller = (Math.ceil(height / rows) + Math.ceil(PADDING_BLOCKS / each)) * rows;
  if (taller > MOST_ROWS) return data;
  return joined(data.subarray(0, frameAt + 1), packed(false, 'H', taller), data.subarray(frameAt + 3));
}

/** The scans ({begin, end, blocks, interval, restarts}), none if the end marker is missing; the frame header. */
function layoutOf(data) {
  const layout = { scans: [], arithmetic: false, frameAt: 0, frame: new Uint8Array() };
  let [at, interval, scan] = [2, 0, null];
  for (;;) {
    const restarts = [];
    const marker = nextMarker(data, at, scan ? restarts : null);
    if (!marker) return { ...layout, scans: [] };
    if (scan) {
      const blocks = blocksOf(layout.frame, scan);
      layout.scans.push({ begin: at, end: marker.begin, blocks, interval, restarts });
    }
    if (marker.code === END) return layout;
    const begin = marker.end + 2;
    const length = begin <= data.length ? (data[marker.end] << 8) | data[marker.end + 1] : 0;
    at = marker.end + Math.max(2, length);
    const content = data.subarray(begin, at);
    scan = marker.code === SCAN ? content : null;
    if (FRAMES.includes(marker.code)) {
      Object.assign(layout, { frame: content, frameAt: begin, arithmetic: marker.code >= 0xc9 });
    } else if (marker.code === INTERVAL && content.length >= 2) {
      interval = (content[0] << 8) | content[1];
    }
  }
}

/** The next marker that is no stuffed byte and no restart; restarts on the way are gathered. */
function nextMarker(data, from, restarts) {
  for (let at = data.indexOf(0xff, from); at >= 0; at = data.indexOf(0xff, at)) {
    let code = at;
    while (data[code] === 0xff) code++;
    if (code >= data.length) return null;
    const isRestart = data[code] >= 0xd0 && data[code] <= 0xd7;
    if (isRestart && restarts) restarts.push({ begin: code - 1, number: data[code] & 7 });
    if (!isRestart && data[code] > 1) return { begin: at, end: code + 1, code: data[code] };
    at = code;
  }
  return null;
}

const sidesOf = (frame) => (frame.length < 5 ? [0, 0] : [viewOf(frame).getUint16(1), viewOf(frame).getUint16(3)]);

/** How many blocks of each channel lie side by side and one below the other in a unit. */
function sharesOf(frame) {
  const shares = [];
  for (let at = 6; at + 2 < frame.length; at += 3) {
    shares.push({ channel: frame[at], across: frame[at + 1] >> 4, down: frame[at + 1] & 15 });
  }
  return shares;
}

/** Width and height of the unit in which all channels are coded together. */
function unitPx(frame) {
  return ['across', 'down'].map((axis) => BLOCK_PX * Math.max(0, ...sharesOf(frame).map((share) => share[axis])));
}

/** How many MCUs a scan has, from the contents of frame and scan header; 0 where these fit no picture. */
function blocksOf(frame, scan) {
  const [height, width] = sidesOf(frame);
  const [across, down] = unitPx(frame);
  if (!across || !down) return 0;
  // A scan of one channel codes single 8 x 8 blocks; one of several channels codes groups of them (MCUs).
  const own = scan[0] === 1 && scan.length > 1 ? sharesOf(frame).find((share) => share.channel === scan[1]) : null;
  const [wide, high] = scan[0] === 1 && scan.length > 1 ? [own?.across ?? 0, own?.down ?? 0] : [1, 1];
  return Math.ceil((width * wide) / across) * Math.ceil((height * high) / down);
}

/** Whether the restart markers are complete and in order. */
function restartsAreWhole(data, { blocks, interval, restarts }) {
  const wanted = interval ? Math.ceil(blocks / interval) - 1 : 0;
  return restarts.length >= wanted && restarts.every(({ number }, i) => number === i % 8);
}
