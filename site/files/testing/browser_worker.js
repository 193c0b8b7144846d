import { encode, readPicture } from '../index.js';

const MADE = new URL('/made/', import.meta.url);
const found = {};
const expected = await (await fetch(new URL('expected.json', MADE))).json();
for (const name of Object.keys(expected)) {
  const blob = await (await fetch(new URL(encodeURIComponent(name), MADE))).blob();
  try {
    const picture = await readPicture(new File([blob], name));
    found[name] = { digest: await digest(picture), notes: picture.notes };
    if (!name.startsWith('tiff-')) found[name].again = await again(picture);
  } catch (error) {
    found[name] = { error: error.message, kind: error.name };
  }
}
postMessage(found);

async function digest({ levels, white }) {
  const values = Float32Array.from(levels, (level) => level / white);
  const bytes = new Uint8Array(await crypto.subtle.digest('SHA-256', values));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/** What is read from the picture as it was written, without loss. */
async function again(picture) {
  const found = [];
  for (const format of ['png', 'tiff']) {
    const { bytes, ending } = await encode(picture, format);
    found.push(await digest(await readPicture({ name: `again${ending}`, bytes })));
  }
  return found;
}
