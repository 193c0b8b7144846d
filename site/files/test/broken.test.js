/** Files broken at random, as many as `fixtures.py` was asked for: each ends in a picture or in one sentence, soon. */

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { PictureError, decode, readPicture } from '../index.js';
import { PairError } from '../errors.js';
import { brokenFiles, fileOf, skip } from '../testing/made.js';

const SLOW_MS = 5000; // of the processor
const LARGE_KB = 700_000;

test('broken files', { skip }, async () => {
  const names = brokenFiles();
  assert.ok(names.length > 150);
  const outcomes = { read: 0, refused: 0 };
  for (const name of names) {
    for (const look of [readPicture, (file) => decode([file]), (file) => decode([file], { layout: 'side-by-side' })]) {
      const before = process.resourceUsage();
      const wrong = await complaint(look, name, outcomes);
      assert.equal(wrong, '', name);
      const used = process.resourceUsage();
      assert.ok(used.userCPUTime - before.userCPUTime < 1000 * SLOW_MS, `${name} takes long`);
      assert.ok(used.maxRSS - before.maxRSS < LARGE_KB, `${name} takes ${(used.maxRSS - before.maxRSS) / 1000} MB`);
    }
  }
  assert.ok(outcomes.read > names.length / 10 && outcomes.refused > names.length / 2, JSON.stringify(outcomes));
});

async function complaint(look, name, outcomes) {
  try {
    const { width, height, levels, left } = await look(fileOf(name), { limitMegapixels: 4 });
    outcomes.read++;
    return (levels ?? left).length === 3 * width * height ? '' : 'a picture of another size';
  } catch (error) {
    if (!(error instanceof PictureError || error instanceof PairError)) return error.stack;
    outcomes.refused++;
    return error.message.length > 300 || /[\x00-\x1f\x7f]/.test(error.message) ? error.message : '';
  }
}
