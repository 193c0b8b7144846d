/** The files that `fixtures.py` makes, once for all tests of a run. */

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
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

export const expected = () => (skip ? { 'made by Python': {} } : JSON.parse(readFileSync(join(folder, 'expected.json'))));
export const fileOf = (name) => ({ name, bytes: new Uint8Array(readFileSync(join(folder, name))) });

export function valuesOf(name) {
  const bytes = readFileSync(join(folder, `${name}.f32`));
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}
