/** What a photographer can put right: one sentence that says what was given, what is accepted and what to do. */

/** A file that cannot be read or written as a picture. */
export class PictureError extends Error {
  name = 'PictureError';
}

/** Pictures that cannot be the two views of one photograph. */
export class PairError extends Error {
  name = 'PairError';
}

/** Bytes inside a file that are not what they should be; whoever reads the file says so in a sentence. */
export class DamageError extends Error {
  name = 'DamageError';
}

/** A block of metadata that is longer, or unpacks to more, than is worth carrying. */
export class TooLongError extends DamageError {
  name = 'TooLongError';
}

/**
 * @param {{name: string}} file
 * @param {string} what what is wrong with it and what to do, to follow its name
 * @param {unknown} cause the error that it became known by
 * @returns {never}
 */
export function refuse(file, what, cause) {
  const sentence = `${file.name} ${what}.`.replace(/[\x00-\x1f\x7f]/g, '?'); // a damaged file may name its parts
  throw new PictureError(sentence, { cause });
}

/** For a file that ends before its pixels do. */
export function refuseCutShort(file) {
  return refuse(file, 'is cut short; copy or export it again');
}
