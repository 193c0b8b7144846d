// The correlation of two blocks by Fourier transforms: pairs/matching.py, `_correlation`.

export const BLOCK_PX = 64,
  REACH_PX = 12,
  SPAN = 2 * REACH_PX + 1;
const SIZE = 2 * BLOCK_PX,
  BITS = Math.log2(SIZE);

const cosine = new Float64Array(SIZE / 2),
  sine = new Float64Array(SIZE / 2),
  mirrored = new Uint8Array(SIZE);
for (let i = 0; i < SIZE / 2; i++) {
  cosine[i] = Math.cos((2 * Math.PI * i) / SIZE);
  sine[i] = Math.sin((2 * Math.PI * i) / SIZE);
}
for (let i = 0; i < SIZE; i++) {
  for (let bit = 0; bit < BITS; bit++) if (i & (1 << bit)) mirrored[i] |= 1 << (BITS - 1 - bit);
}

// In place, of SIZE numbers that lie `step` apart; `sign` is -1 forth and 1 back, where nothing is divided.
function transform(re, im, start, step, sign) {
  for (let i = 0; i < SIZE; i++) {
    const j = mirrored[i];
    if (j <= i) continue;
    const a = start + i * step,
      b = start + j * step,
      r = re[a],
      m = im[a];
    re[a] = re[b];
    im[a] = im[b];
    re[b] = r;
    im[b] = m;
  }
  for (let half = 1; half < SIZE; half *= 2) {
    const stride = SIZE / (2 * half),
      far = half * step;
    for (let k = 0; k < half; k++) {
      const c = cosine[k * stride],
        s = sign * sine[k * stride];
      for (let i = k; i < SIZE; i += 2 * half) {
        const a = start + i * step,
          b = a + far;
        const r = c * re[b] - s * im[b],
          m = c * im[b] + s * re[b];
        re[b] = re[a] - r;
        im[b] = im[a] - m;
        re[a] += r;
        im[a] += m;
      }
    }
  }
}

const re = new Float64Array(SIZE * SIZE),
  im = new Float64Array(SIZE * SIZE);
const productRe = new Float64Array(SIZE * SIZE),
  productIm = new Float64Array(SIZE * SIZE);

// Of two blocks BLOCK_PX x BLOCK_PX, for displacements up to REACH_PX either way: SPAN x SPAN.
export function correlate(a, b) {
  re.fill(0);
  im.fill(0);
  for (let row = 0; row < BLOCK_PX; row++) {
    // both at once, as the two parts of complex numbers
    re.set(a.subarray(row * BLOCK_PX, (row + 1) * BLOCK_PX), row * SIZE);
    im.set(b.subarray(row * BLOCK_PX, (row + 1) * BLOCK_PX), row * SIZE);
    transform(re, im, row * SIZE, 1, -1);
  }
  for (let column = 0; column < SIZE; column++) transform(re, im, column, SIZE, -1);
  multiply();
  for (let column = 0; column < SIZE; column++) transform(productRe, productIm, column, SIZE, 1);
  const surface = new Float32Array(SPAN * SPAN),
    scale = 1 / (SIZE * SIZE);
  for (let row = 0; row < SPAN; row++) {
    const start = ((row - REACH_PX + SIZE) % SIZE) * SIZE;
    transform(productRe, productIm, start, 1, 1);
    for (let column = 0; column < SPAN; column++) {
      surface[row * SPAN + column] = scale * productRe[start + ((column - REACH_PX + SIZE) % SIZE)];
    }
  }
  return surface;
}

// The spectrum of the one, conjugated, times that of the other, from the spectrum of both at once.
function multiply() {
  for (let row = 0; row < SIZE; row++) {
    for (let column = 0; column < SIZE; column++) {
      const i = row * SIZE + column,
        j = ((SIZE - row) % SIZE) * SIZE + ((SIZE - column) % SIZE);
      const aRe = (re[i] + re[j]) / 2,
        aIm = (im[i] - im[j]) / 2,
        bRe = (im[i] + im[j]) / 2,
        bIm = (re[j] - re[i]) / 2;
      productRe[i] = aRe * bRe + aIm * bIm;
      productIm[i] = aRe * bIm - aIm * bRe;
    }
  }
}
