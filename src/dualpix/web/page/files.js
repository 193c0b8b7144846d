// What can be said of files before they are sent: which is the left view, and whether one is a picture at all.

export const MARK = /[_-](l|r|left|right)(?=\.[^.]*$)/i;
const ALONE = /\.({{endings of both views}}|mpo)$/i; // files that hold both views by themselves
const LOSSLESS = /\.(tiff?|{{endings of both views}})$/i;
const START_BYTES = 64;
const PICTURES = [{{starts of pictures}}];

// The first bytes of a file, as letters. Fails for what cannot be read, such as a folder.
export async function startOf(file) {
  return String.fromCharCode(...new Uint8Array(await file.slice(0, START_BYTES).arrayBuffer()));
}

// Whether this is one picture, of which only the user knows where the other view is. What it is not, the server tells.
export const isOnePicture = (file, start) => !ALONE.test(file.name) && PICTURES.some((mark) => mark.test(start));

// The usual format for what is made of a file, as `backend.js` names it: TIFF for photographers' formats.
export const endingFor = (file) => LOSSLESS.test(file.name) ? "tif-16" : "png-16";

// Left first, by the usual marks in the names; the check and the swap button mend what names get wrong.
export function inOrder(files, isAsGiven) {
  const side = (file) => (MARK.exec(file.name)?.[1] ?? "").charAt(0).toLowerCase();
  const [a, b] = files;
  if (side(a) === "r" || side(b) === "l") return [b, a];
  if (side(a) || side(b) || isAsGiven) return [a, b];
  return a.name <= b.name ? [a, b] : [b, a];
}
