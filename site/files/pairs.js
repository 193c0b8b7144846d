/** The two views of one photograph: from two files, two pictures of one file, or two halves of one picture. */

import { same } from './bytes.js';
import { PairError } from './errors.js';
import { developed, isPixel } from './pixel_phone.js';
import { LIMIT_MEGAPIXELS, MIN_SIDE_PX, countInWords, opened, picturesIn, read, readPicture } from './reading.js';

const MARK = /^(.+)[_-](?:l|r|left|right)$/i;
export const LAYOUTS = ['side-by-side', 'top-bottom'];

/** Reads a pair; what it takes and gives is told in index.js. */
export async function decode(things, { layout = null, limitMegapixels = LIMIT_MEGAPIXELS } = {}) {
  const given = [...things];
  if (given.length < 1 || given.length > 2) {
    throw new PairError(`${given.length} files were given; give the two views of one photograph, or one file of both.`);
  }
  if (layout !== null && !LAYOUTS.includes(layout)) {
    throw new PairError(`There is no layout "${layout}"; choose ${LAYOUTS.join(' or ')}.`);
  }
  if (given.length === 1) return ofOne(await opened(given[0]), layout, limitMegapixels);
  if (layout !== null) {
    throw new PairError(
      `${given[0].name} and ${given[1].name} are two files, to which the layout ${layout} does not apply; give one ` +
        'file, or leave the layout out.',
    );
  }
  const files = [await opened(given[0]), await opened(given[1])];
  const left = await readPicture(files[0], { limitMegapixels });
  const right = await readPicture(files[1], { limitMegapixels });
  const pair = pairOf(left, right, `${left.name} and ${right.name}`, nameOf(left.name));
  return files.every(isPixel) ? developed(pair) : pair;
}

/** A file's name without ending and side mark. */
export function nameOf(name) {
  const stem = stemOf(name);
  return MARK.exec(stem)?.[1] ?? stem;
}

const stemOf = (name) => name.replace(/(?<=.)\.[^.]*$/, '');

async function ofOne(file, layout, limitMegapixels) {
  if (layout !== null) return halvesOf(await readPicture(file, { limitMegapixels }), layout);
  const [pictures] = picturesIn(file);
  if (pictures.length === 2) return twoOf(file, pictures, limitMegapixels);
  if (pictures.length > 2) {
    throw new PairError(
      `${file.name} holds ${countInWords(pictures.length)} pictures of one size, not two views; give two files, or ` +
        'say how both lie in it.',
    );
  }
  await readPicture(file, { limitMegapixels }); // says what is wrong with a file that is no picture at all
  throw new PairError(
    `${file.name} is one picture; give the other view as well, or say how both lie in it: side by side, or one above ` +
      'the other.',
  );
}

async function twoOf(file, [first, second], limitMegapixels) {
  const left = await read(first, limitMegapixels);
  const right = await read(second, limitMegapixels);
  const pair = pairOf(left, right, `The two pictures of ${file.name}`, stemOf(file.name));
  const note =
    `${file.name} holds two pictures of one size: the first was taken for the left view, the second for the right.`;
  return { ...pair, notes: [note, ...new Set(pair.notes)] };
}

function halvesOf(picture, layout) {
  const isBeside = layout === 'side-by-side';
  const [side, length] = isBeside ? ['width', picture.width] : ['height', picture.height];
  if (length % 2) {
    throw new PairError(
      `${picture.name} has an odd ${side} of ${length} pixels, so it is not two equal views; cut it to size.`,
    );
  }
  const width = isBeside ? length / 2 : picture.width;
  const height = isBeside ? picture.height : length / 2;
  const half = (left, top) => {
    const levels = new picture.levels.constructor(3 * width * height);
    for (let y = 0; y < height; y++) {
      const at = 3 * ((top + y) * picture.width + left);
      levels.set(picture.levels.subarray(at, at + 3 * width), 3 * y * width);
    }
    return { ...picture, levels, width, height };
  };
  const names = `The two halves of ${picture.name}`;
  const pair = pairOf(half(0, 0), isBeside ? half(width, 0) : half(0, height), names, stemOf(picture.name));
  return { ...pair, notes: picture.notes };
}

function pairOf(left, right, names, name) {
  for (const [what, say] of [
    ['size', (view) => `${view.width} x ${view.height}`],
    ['bit depth', (view) => `${view.depth} bits`],
    ['channels', (view) => (view.grey ? 'grey' : 'colour')],
  ]) {
    const [a, b] = [say(left), say(right)];
    if (a !== b) throw new PairError(`${names} differ in ${what} (${a} and ${b}); export both views in the same way.`);
  }
  requirePair(left, right, names);
  const { width, height, depth, grey, format, metadata } = left;
  const [a, b] = alike(left, right);
  return {
    left: a.levels,
    right: b.levels,
    white: a.white,
    width,
    height,
    depth,
    grey,
    format,
    profile: metadata.icc,
    exif: metadata.exif,
    orientation: metadata.orientation,
    metadata,
    notes: notesOf(left, right),
    name,
  };
}

function requirePair(left, right, names) {
  if (Math.min(left.width, left.height) < MIN_SIDE_PX) {
    const size = `${left.width} x ${left.height}`;
    throw new PairError(`${names} have ${size} pixels each; both sides must have at least ${MIN_SIDE_PX}.`);
  }
  const [a, b] = alike(left, right);
  if (same(a.levels, b.levels)) {
    throw new PairError(`${names}: both views hold the same pixels; give the left and the right view, not one twice.`);
  }
}

/** Both views in levels of one kind: a float file and one of 16 bits may be a pair. */
function alike(left, right) {
  if (left.white === right.white) return [left, right];
  return [left, right].map((view) => ({
    white: 1,
    levels: view.white === 1 ? view.levels : Float32Array.from(view.levels, (level) => level / view.white),
  }));
}

function notesOf(left, right) {
  const notes = [...left.notes, ...right.notes];
  if (!same(left.metadata.icc, right.metadata.icc)) {
    notes.push('The two views carry different colour profiles; their numbers are used as they are.');
  }
  if (left.metadata.orientation !== right.metadata.orientation) {
    notes.push('The two views carry different orientations; check that they were exported in the same way.');
  }
  return notes;
}
