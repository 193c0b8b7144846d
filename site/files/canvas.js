/**
 * JPEG by the browser's own encoder, for pictures that are only shown: tens of times as fast as libjpeg in WebAssembly.
 *
 * Files to keep are not made by it: each browser has its own, of 8 bits and with its own tables. Some browsers give
 * other pixels than those that were drawn, so that nobody is told apart by them; there it is not used.
 */

import { joined } from './bytes.js';

const [SCAN, JFIF, LAST_APPLICATION, COMMENT] = [0xda, 0xe0, 0xef, 0xfe]; // markers
const LONGEST_SIDE_PX = 16384; // of a canvas, in Chromium
const PROBE_PX = 16;
let probed = null;

/** A JPEG of W x H pixels, R G B A each; null where the browser has no canvas, or one that is not to be trusted. */
export async function drawnJpeg(rgba, width, height) {
  if (typeof OffscreenCanvas === 'undefined' || Math.max(width, height) > LONGEST_SIDE_PX) return null;
  probed ??= isFaithful();
  if (!probed) return null;
  try {
    const blob = await drawn(rgba, width, height).canvas.convertToBlob({ type: 'image/jpeg', quality: 1 });
    return blob.type === 'image/jpeg' ? bare(new Uint8Array(await blob.arrayBuffer())) : null;
  } catch {
    return null; // too large for this browser's canvas
  }
}

function drawn(rgba, width, height) {
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.putImageData(new ImageData(rgba, width, height), 0, 0);
  return context;
}

/** Without what the browser writes beside the picture: its profile, that of the canvas and not of the picture. */
function bare(file) {
  const kept = [file.subarray(0, 2)];
  let at = 2;
  while (file[at] === 0xff && file[at + 1] !== SCAN) {
    const next = at + 2 + 256 * file[at + 2] + file[at + 3];
    const isExtra = (file[at + 1] > JFIF && file[at + 1] <= LAST_APPLICATION) || file[at + 1] === COMMENT;
    if (!isExtra) kept.push(file.subarray(at, next));
    at = next;
  }
  return joined(...kept, file.subarray(at));
}

function isFaithful() {
  const given = Uint8ClampedArray.from({ length: 4 * PROBE_PX ** 2 }, (_, i) => (i % 4 === 3 ? 255 : (37 * i) % 256));
  try {
    const found = drawn(given, PROBE_PX, PROBE_PX).getImageData(0, 0, PROBE_PX, PROBE_PX).data;
    return given.every((value, i) => value === found[i]);
  } catch {
    return false;
  }
}
