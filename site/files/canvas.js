/**
 * JPEG by the browser's own encoder, for pictures that are only shown: tens of times as fast as libjpeg in WebAssembly.
 *
 * Files to keep are not made by it: each browser has its own, of 8 bits and with its own tables. Some browsers give
 * other pixels than those that were drawn, so that nobody is told apart by them; there it is not used.
 */

const LONGEST_SIDE_PX = 16384; // of a canvas, in Chromium
const PROBE_PX = 16;
let probed = null;

/** A JPEG of W x H pixels, R G B A each, with a profile of the canvas in some browsers; null where the browser has no canvas, or one that is not to be trusted. */
export async function drawnJpeg(rgba, width, height) {
  if (typeof OffscreenCanvas === 'undefined' || Math.max(width, height) > LONGEST_SIDE_PX) return null;
  probed ??= isFaithful();
  if (!probed) return null;
  try {
    const blob = await drawn(rgba, width, height).canvas.convertToBlob({ type: 'image/jpeg', quality: 1 });
    return blob.type === 'image/jpeg' ? new Uint8Array(await blob.arrayBuffer()) : null;
  } catch {
    return null; // too large for this browser's canvas
  }
}

function drawn(rgba, width, height) {
  const context = new OffscreenCanvas(width, height).getContext('2d');
  context.putImageData(new ImageData(rgba, width, height), 0, 0);
  return context;
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
