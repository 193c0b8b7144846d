/**
 * Picture files, read and written in the browser (and in Node) as `dualpix` does it in Python. No DOM is needed, so all
 * of it runs in a worker. Nothing leaves the machine, and nothing is fetched but the decoders in `site/vendor/`.
 *
 *   import { decode, encode, PictureError, PairError } from './files/index.js';
 *
 *   const pair = await decode([left, right]);                    // two files, or
 *   const pair = await decode([both], { layout: 'side-by-side' });
 *   const file = await encode(outputOf(pair, { levels, software: 'dualpix 1.0, mccnet, weights shipped' }), 'png');
 *   download(new Blob([file.bytes], { type: file.mime }), `${pair.name}${file.ending}`);
 *
 * decode(files, { layout = null, limitMegapixels = 200 }) -> Promise<Pair>
 *   files    one or two, the left view first: a File, or {name, bytes: Uint8Array}.
 *   layout   of one file: null (two pages of a TIFF, an .mpo, two PPMs), 'side-by-side' or 'top-bottom'.
 *   Pair:
 *     left, right   H x W x 3 levels, interleaved RGB, rows from the top as they lie in the file (orientation is not
 *                   applied, so that rows stay rows of the sensor): Uint8Array, Uint16Array, or Float32Array in [0, 1]
 *                   for floating-point files, PGM and PPM whose white is neither 255 nor 65535, 10 and 12 bits of
 *                   AVIF, and the files of Google's app for Pixel phones (TIME_left.pgm, TIME_right.pgm).
 *     white         255, 65535 or 1: a level divided by it is the value in [0, 1], display-encoded, that networks take.
 *     width, height in pixels, as stored.
 *     depth         8 or 16, bits of the result.
 *     grey          whether the files have one channel, which is repeated in left and right; so has the result then.
 *     format        'PNG', 'TIFF', 'JPEG', 'WebP', 'AVIF' or 'Netpbm': of the left file.
 *     profile       ICC profile of the left view, Uint8Array, or null (which means sRGB).
 *     exif          EXIF block of the left view from its byte order mark on, Uint8Array, or null.
 *     orientation   1 to 8 as in EXIF: how a viewer has to turn the picture for showing it.
 *     metadata      all that the left file says of its photograph (see metadata.js): hand it to `encode`.
 *     notes         sentences for the photographer: what was changed on reading or looks odd.
 *     name          of the photograph: the left file's name without ending and side mark (_L).
 *
 * readPicture(file, { limitMegapixels }) -> Promise<Picture>
 *   One picture: {name (of the file), levels, white, width, height, depth, grey, format, metadata, notes}.
 *
 * encode(picture, format) -> Promise<{bytes: Uint8Array, mime, ending, notes}>
 *   picture:
 *     levels        H x W x 3, lying as the views do in their file: Uint8Array, Uint16Array, or Float32Array in [0, 1]
 *                   (clipped). With `planar: true` it is 3 x H x W, as networks give it.
 *     width, height in pixels.
 *     depth         8 or 16; JPEG holds 8.
 *     grey          write one channel, the luminance.
 *     metadata      as in Pair; null or left out for a bare picture. Profile, EXIF, XMP, IPTC, texts and density are
 *                   carried; size, thumbnail and the like are brought up to date, as on the command line.
 *     software      written as EXIF's Software, if given.
 *     shown         it is only looked at: a JPEG may then be the browser's own.
 *   format          'png', 'tiff' or 'jpeg' (quality 95, 4:4:4); `formatFor(pair)` is what the command line chooses.
 *   notes           a sentence for each part of the metadata that is left out.
 *   A picture of which only the orientation is known (no metadata else) is turned upright.
 *
 * outputOf(pair, { levels, planar, depth, software, strip }) -> a picture for `encode` that takes over from `pair` what
 *   a result does; `strip` leaves out all metadata and turns it upright.
 *
 * ACCEPT         for a file dialog.
 *
 * Everything that a photographer can put right throws PictureError or PairError, whose message is one sentence: what
 * was given, what is accepted and what to do. Declared sizes are checked before anything is decoded.
 */

export { PairError, PictureError } from './errors.js';
export { encode, formatFor, outputOf } from './writing.js';
export { decode } from './pairs.js';
export { readPicture } from './reading.js';
export { ACCEPT } from './formats.js';
