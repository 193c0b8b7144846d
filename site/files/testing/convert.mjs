/**
 * Reads every picture of a folder that can be read, and writes it in every format.
 *
 *   node convert.mjs FOLDER OUT    OUT gets NAME.png, NAME.tif and NAME.jpg for each, and notes.json
 */

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { PictureError, encode, readPicture } from '../index.js';

const [folder, out] = process.argv.slice(2);
const LEFT_OUT = /^tiff-|\.(f32|json)$/; // many that differ only in how their pixels lie in the file
const notes = {};
const files = readdirSync(folder, { withFileTypes: true }).filter((one) => one.isFile() && !LEFT_OUT.test(one.name));
for (const { name } of files) {
  try {
    const picture = await readPicture({ name, bytes: new Uint8Array(readFileSync(join(folder, name))) });
    for (const format of ['png', 'tiff', 'jpeg']) {
      const file = await encode({ ...picture, software: 'dualpix 1, a network' }, format);
      writeFileSync(join(out, name + file.ending), file.bytes);
      notes[name + file.ending] = file.notes;
    }
  } catch (error) {
    if (!(error instanceof PictureError)) throw error;
  }
}
writeFileSync(join(out, 'notes.json'), JSON.stringify(notes));
