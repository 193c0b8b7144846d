/** What is only shown is coded by the browser's canvas: here one that codes as this package does, with a profile. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { encode } from '../index.js';

const [width, height] = [32, 16];
const levels = Float32Array.from({ length: 3 * width * height }, (_, i) => i / (3 * width * height));
const picture = { levels, planar: true, width, height, depth: 8, grey: false };
const JFIF_ENDS = 20;

/** A canvas of a browser that writes a profile and a comment into its files. */
function browser(file) {
  const extra = [0xff, 0xe2, 0, 18, ...Buffer.from('ICC_PROFILE\0'), 1, 1, 7, 7, 0xff, 0xfe, 0, 4, 65, 66];
  const coded = Uint8Array.from([...file.subarray(0, JFIF_ENDS), ...extra, ...file.subarray(JFIF_ENDS)]);
  globalThis.ImageData = class { constructor(data) { this.data = data; } };
  globalThis.OffscreenCanvas = class {
    getContext() { return { canvas: this, putImageData: ({ data }) => { this.data = data; },
      getImageData: () => ({ data: this.data }) }; }
    async convertToBlob() { return new Blob([coded], { type: 'image/jpeg' }); }
  };
}

test('the profile and the comment of a canvas are left out, and the rest stays', async () => {
  const { bytes } = await encode(picture, 'jpeg');
  browser(bytes);
  assert.deepEqual((await encode({ ...picture, shown: true }, 'jpeg')).bytes, bytes);
});
