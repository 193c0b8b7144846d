/** The files that `fixtures.py` makes, once for all tests of a run. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const HERE = dirname(fileURLToPath(import.meta.url));
const folder = process.env.DUALPIX_FIXTURES ?? made();

/** Why the tests cannot run, or false. */
export const skip = existsSync(join(folder, 'expected.json')) ? false : 'dualpix cannot be run by $PYTHON here';

function made() {
  const place = mkdtempSync(join(tmpdir(), 'dualpix-files-'));
  process.on('exit', () => rmSync(place, { recursive: true, force: true }));
  const python = process.env.PYTHON ?? 'python3';
  const done = spawnSync(python, ['-W', 'ignore', join(HERE, 'fixtures.py'), place], { encoding: 'utf8' });
  if (done.status && !/ModuleNotFoundError/.test(done.stderr)) throw new Error(done.stderr);
  return place;
}

/** What Python says of the pictures, or in `within` of others; one that is skipped where Python cannot be run. */
export const expected = (within = '') =>
  skip ? { 'made by Python': {} } : JSON.parse(readFileSync(join(folder, within, 'expected.json')));
export const brokenFiles = () => readdirSync(join(folder, 'broken')).map((name) => join('broken', name));
export const fileOf = (name, within = '') =>
  ({ name, bytes: new Uint8Array(readFileSync(join(folder, within, name))) });

export function valuesOf(name) {
  const bytes = readFileSync(join(folder, `${name}.f32`));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

/** How many levels, of so many as `white` for 1, are not the expected ones, and by how much. */
export function differences(levels, white, values) {
  let [count, largest] = [Math.abs(levels.length - values.length), 0];
  for (let i = 0; i < levels.length; i++) {
    const difference = Math.abs(Math.fround(levels[i] / white) - values[i]);
    if (difference) count++;
    largest = Math.max(largest, difference);
  }
  return { count, largest };
}
