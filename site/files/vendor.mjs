/** Copies the decoders that pages fetch at run time from the installed packages to site/vendor/. */

import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SITE = dirname(dirname(fileURLToPath(import.meta.url)));
const CODECS = ['jpeg/codec/dec/mozjpeg_dec', 'jpeg/codec/enc/mozjpeg_enc', 'webp/codec/dec/webp_dec',
  'avif/codec/dec/avif_dec'];

mkdirSync(join(SITE, 'vendor'), { recursive: true });
for (const codec of CODECS) {
  for (const ending of ['js', 'wasm']) {
    const from = join(SITE, 'node_modules', '@jsquash', `${codec}.${ending}`);
    copyFileSync(from, join(SITE, 'vendor', from.split(/[\\/]/).at(-1)));
  }
}
