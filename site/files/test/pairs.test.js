/** Two files, or one with both views, are taken or refused as `dualpix.open_views` does in Python. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PairError, PictureError, decode, encode, formatFor, outputOf } from '../index.js';
import { differences, expected, fileOf, skip, valuesOf } from '../testing/made.js';

for (const [name, told] of Object.entries(expected('pairs'))) {
  test(name, { skip }, async () => {
    const files = told.files.map((file) => fileOf(file, `pairs/${name}`));
    if (told.error) {
      await assert.rejects(decode(files, { layout: told.layout }), (error) => {
        assert.ok(error instanceof PairError || error instanceof PictureError, error.stack);
        assert.ok(told.files.some((file) => error.message.includes(file)), error.message);
        assert.ok(error.message.endsWith('.'), error.message);
        return true;
      });
      return;
    }
    const pair = await decode(files, { layout: told.layout });
    for (const what of ['name', 'depth', 'grey']) assert.equal(pair[what], told[what], what);
    assert.deepEqual(pair.notes, told.notes);
    for (const side of ['left', 'right']) {
      const { count, largest } = differences(pair[side], pair.white, valuesOf(`pairs/${name}/${side}`));
      if (name.startsWith('pixel')) assert.ok(largest < 1e-5, `${largest}`); // a curve, by other libraries
      else assert.equal(count, 0, side);
    }
  });
}

test('no file, three files, and a layout that there is not', { skip }, async () => {
  const file = skip ? null : fileOf('one.png', 'pairs/one');
  await assert.rejects(decode([]), PairError);
  await assert.rejects(decode([file, file, file]), PairError);
  await assert.rejects(decode([file], { layout: 'diagonal' }), PairError);
});

test('a planar result of floats is written as its levels are, without metadata upright', { skip }, async () => {
  const pair = await decode(['garden_L.png', 'garden_R.png'].map((name) => fileOf(name, 'pairs/two-png')));
  const count = pair.width * pair.height;
  const at = (i) => 3 * (i % count) + Math.floor(i / count);
  const planar = Float32Array.from({ length: 3 * count }, (_, i) => pair.left[at(i)] / 65535);
  const result = outputOf({ ...pair, orientation: 6 }, { levels: planar, planar: true, strip: true });
  const file = await encode(result, formatFor(pair));
  assert.equal(file.ending, '.png');
  const { readPicture } = await import('../index.js');
  const picture = await readPicture({ name: 'result.png', bytes: file.bytes });
  assert.deepEqual([picture.width, picture.height, picture.depth], [pair.height, pair.width, 16]);
  // A quarter turn to the right: the first row is the first column, read upwards.
  for (let x = 0; x < picture.width; x++) {
    const from = 3 * ((pair.height - 1 - x) * pair.width);
    assert.deepEqual(picture.levels.slice(3 * x, 3 * x + 3), pair.left.slice(from, from + 3));
  }
});

test('what cannot be written is refused', { skip }, async () => {
  const levels = new Float32Array(3 * 16 * 16);
  const picture = { levels, width: 16, height: 16, depth: 16 };
  await assert.rejects(encode(picture, 'webp'), PictureError);
  await assert.rejects(encode({ ...picture, width: 17 }, 'png'), PictureError);
  await assert.rejects(encode({ ...picture, depth: 12 }, 'png'), PictureError);
  levels[5] = NaN;
  await assert.rejects(encode(picture, 'png'), PictureError);
  const long = { levels: new Uint8Array(3 * 16 * 65501), width: 65501, height: 16, depth: 8 };
  await assert.rejects(encode(long, 'jpeg'), PictureError);
});
