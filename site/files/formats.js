/** The formats of picture files: one file for each, and one line here. */

import { AVIF } from './avif.js';
import { startsWith } from './bytes.js';
import { refuse } from './errors.js';
import { JPEG } from './jpeg.js';
import { NETPBM } from './netpbm.js';
import { PNG } from './png.js';
import { TIFF } from './tiff.js';
import { WEBP } from './webp.js';

/** Messages list formats in this order. */
export const FORMATS = [PNG, TIFF, JPEG, WEBP, AVIF, NETPBM];

/** For a file dialog. */
export const ACCEPT = FORMATS.flatMap((kind) => [...kind.endings, kind.mime]).join(',');

// No maintained WebAssembly build of LibRaw gives the second frame of a Canon Dual Pixel RAW: libraw-wasm 1.6.0 counts
// both frames and decodes the first only, since it does not pass on LibRaw's `shot_select`.
const EXPORT =
  'which cannot be read here; export its two views as 16-bit TIFF by Canon\'s Digital Photo Professional (how ' +
  'is shown at the foot of this page), or by "dualpix extract" on the command line, and give both';
const ONE_VIEW =
  'which cannot be read here and holds one view; give both views of a dual-pixel photograph as pictures';

// Common formats that cannot be read here, to be named in the message: offset, bytes there, name, and for raw files what
// to do.
const STRANGERS = [
  [8, 'CR\x02', 'a Canon CR2 raw file', EXPORT],
  [4, 'ftypcrx', 'a Canon CR3 raw file', EXPORT],
  [0, 'IIU\0', 'a Panasonic raw file', ONE_VIEW],
  [0, 'FUJIFILMCCD-RAW', 'a Fujifilm raw file', ONE_VIEW],
  [4, 'ftyphei', 'HEIF (HEIC)'],
  [4, 'ftyphev', 'HEIF (HEIC)'],
  [4, 'ftypmif1', 'HEIF (HEIC)'],
  [4, 'ftypmsf1', 'HEIF (HEIC)'],
  [4, 'ftyp', 'a video'],
  [0, '\xff\x0a', 'JPEG XL'],
  [4, 'JXL \r\n\x87\n', 'JPEG XL'],
  [0, 'GIF8', 'GIF'],
  [0, 'BM', 'BMP'],
  [0, '8BPS', 'Photoshop'],
  [0, 'v/1\x01', 'OpenEXR'],
  [0, 'P1', 'PBM'],
  [0, 'P4', 'PBM'],
  [0, 'P7', 'PAM'],
  [0, 'PF\n', 'PFM'],
  [0, 'Pf\n', 'PFM'],
  [4, 'jP  ', 'JPEG 2000'],
  [0, '\xff\x4f\xff\x51', 'JPEG 2000'],
  [0, 'PK\x03\x04', 'a zip archive'],
  [0, '%PDF', 'PDF'],
];

/** The format of a file, by its content. Refuses one that cannot be read. */
export function formatOf(file) {
  if (!file.bytes.length) refuse(file, 'is empty (0 bytes); copy it again');
  const stranger = STRANGERS.find(([at, mark]) => startsWith(file.bytes, mark, at));
  if (stranger?.[3]) refuse(file, `is ${stranger[2]}, ${stranger[3]}`);
  const kind = FORMATS.find((one) => one.recognises(file.bytes));
  if (kind) return kind;
  const names = FORMATS.flatMap((one) => one.names ?? [one.name]);
  const list = names.length > 1 ? `${names.slice(0, -1).join(', ')} or ${names.at(-1)}` : names[0];
  const named = stranger ? ` (it looks like ${stranger[2]})` : '';
  return refuse(file, `is not a ${list} file${named}; convert it to one of these, 16-bit if possible`);
}
