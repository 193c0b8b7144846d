/**
 * What a photographer with a camera raw file is told. No maintained WebAssembly build of LibRaw gives the second frame
 * of a Canon Dual Pixel RAW: libraw-wasm 1.6.0 counts both frames and decodes the first only, since it does not pass on
 * LibRaw's `shot_select`.
 */

/** The end of a sentence that refuses a raw file. */
export const HOW_TO_EXPORT = 'export its two views as 16-bit TIFF by Canon\'s Digital Photo Professional, or by ' +
  '"dualpix extract" on the command line, and give both';

/** For the page: how to get both views, step by step. By the authors of the first data sets, who made theirs so. */
export const STEPS = [
  'Switch "Dual Pixel RAW" on in the camera\'s menu before you take the picture: without it the file holds one view.',
  'Open the raw file in Canon\'s Digital Photo Professional 4 and start its tool "Dual Pixel RAW Optimizer".',
  'Choose "Bokeh Shift", move it to one end, and save the picture as 16-bit TIFF, named with _L before its ending.',
  'Move it to the other end and save again, named with _R; leave all other settings as they are.',
  'Give both files here. If the page says that the views look swapped, exchange them.',
];

/** The same without Canon's program, where Python is at hand. */
export const COMMANDS = ["pip install -e '.[raw]'", 'dualpix extract photo.CR3 -o views'];
