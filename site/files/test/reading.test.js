/** Every kind of file gives what `dualpix.io` reads from it in Python: the same levels, metadata and notes. */

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';

import { PictureError, readPicture } from '../index.js';
import { differences, expected, fileOf, skip, valuesOf } from '../testing/made.js';

// What is read in Python alone, or refused there for another reason: by the part of the name.
const OTHERWISE = /heic|\.jxl|zstd|jpeg\.tif|jpeg-tiles|jpeg-grey|tiff-jpeg/;
const digest = (bytes) => bytes && createHash('sha256').update(bytes).digest('hex');

for (const [name, told] of Object.entries(expected())) {
  test(name, { skip }, async () => {
    if (told.error || OTHERWISE.test(name)) {
      await assert.rejects(readPicture(fileOf(name)), isSentence(name));
      return;
    }
    const picture = await readPicture(fileOf(name));
    for (const what of ['width', 'height', 'depth', 'grey', 'format']) assert.equal(picture[what], told[what], what);
    const { count, largest } = differences(picture.levels, picture.white, valuesOf(name));
    // Eight bits of AVIF lie in YCbCr, which two builds of libavif turn to RGB with different rounding.
    if (name.endsWith('.avif') && picture.depth === 8) assert.ok(largest < 1.01 / 255, `${largest}`);
    else assert.equal(count, 0, `${count} levels differ, by up to ${largest}`);
    const { metadata } = picture;
    assert.equal(metadata.orientation, told.orientation);
    for (const what of ['exif', 'xmp', 'photoshop']) assert.equal(digest(metadata[what]), told[what], what);
    assert.deepEqual(metadata.texts, told.texts);
    assert.deepEqual(metadata.density, told.density);
    assert.deepEqual(picture.notes, told.notes);
    if (!picture.notes.some((note) => note.includes('carried over as a colour profile'))) {
      assert.equal(digest(metadata.icc), told.icc, 'icc');
    }
  });
}

/** One sentence that names the file. */
function isSentence(name) {
  return (error) => {
    assert.ok(error instanceof PictureError, `${error.stack}`);
    assert.ok(error.message.startsWith(name) && error.message.endsWith('.'), error.message);
    assert.ok(error.message.length < 300 && !/[\x00-\x1f]/.test(error.message), error.message);
    return true;
  };
}

test('raw files are told what to do', async () => {
  const heads = [['photo.CR2', 'II*\0....CR\x02'], ['photo.CR3', '\0\0\0\x18ftypcrx '], ['photo.RAF', 'FUJIFILMCCD-RAW 0201']];
  for (const [name, head] of heads) {
    const bytes = Uint8Array.from(head.padEnd(200, '\0'), (letter) => letter.charCodeAt(0));
    const isCanon = name !== 'photo.RAF';
    await assert.rejects(readPicture({ name, bytes }), ({ message }) => {
      assert.equal(message.includes("Canon's Digital Photo Professional"), isCanon, message);
      return message.includes(isCanon ? 'give both' : 'holds one view');
    });
  }
});
