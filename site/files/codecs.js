/**
 * Decoders and encoders in WebAssembly: libjpeg (mozjpeg), libwebp, libavif, as the package jSquash builds them.
 *
 * The browser's own decoders would change colours by profiles, turn pictures, and fill up what is missing, each in its
 * own way. Every picture gets an instance of its own: what one leaves in memory, or breaks, is gone with it.
 */

import { DamageError, PictureError } from './errors.js';

const VENDOR = new URL('../vendor/', import.meta.url);
const loaded = new Map();

/** A fresh instance of a codec, by the name of its file. */
export async function codec(name) {
  if (!loaded.has(name)) loaded.set(name, load(name));
  let found;
  try {
    found = await loaded.get(name);
  } catch (error) {
    loaded.delete(name); // a later try may have a network again
    throw new PictureError(`The decoder ${name} cannot be loaded; reload the page.`, { cause: error });
  }
  const { factory, module } = found;
  return factory({
    noInitialRun: true,
    print: () => {},
    printErr: () => {},
    instantiateWasm: (imports, done) => {
      WebAssembly.instantiate(module, imports).then(done);
      return {};
    },
  });
}

async function load(name) {
  const url = new URL(`${name}.wasm`, VENDOR);
  const [{ default: factory }, module] = await Promise.all([import(new URL(`${name}.js`, VENDOR)), compiled(url)]);
  return { factory, module };
}

async function compiled(url) {
  if (url.protocol === 'file:') {
    const { readFile } = await import('node:fs/promises');
    return WebAssembly.compile(await readFile(url));
  }
  return WebAssembly.compileStreaming(fetch(url));
}

/** Runs a codec, whose failures, aborts among them, become damage of the file. */
export function run(what) {
  try {
    const made = what();
    if (made) return made;
  } catch (error) {
    if (error instanceof RangeError) throw error; // of memory
    throw new DamageError('its decoder fails', { cause: error });
  }
  throw new DamageError('its decoder fails');
}
