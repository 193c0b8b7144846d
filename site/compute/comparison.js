// A result beside the mean of its views, by blocks: inference/comparison.py.

export const BLOCK_PX = 16;
const SHIFT = 0,
  LEVEL = 3,
  CHANGE = 6,
  SQUARES = 8,
  SUMS = 10; // places among the sums of a block

// Of a picture in [0, 1] beside its views: what changed in each block of `side` pixels, and what was there to be
// changed, as planes of `width` x `height`.
export function compare(picture, views, side = BLOCK_PX) {
  const { width, height } = picture,
    w = Math.ceil(width / side),
    h = Math.ceil(height / side);
  const sums = sumsOf(picture, views, w, h, side);
  const means = (kind) =>
    Float32Array.from({ length: w * h }, (_, i) => sums[SUMS * i + kind] / pixelsOf(i, w, width, height, side));
  const three = (kind) => [0, 1, 2].map((channel) => means(kind + channel));
  const level = three(LEVEL),
    squares = [means(SQUARES), means(SQUARES + 1)];
  const explained = [(r, g, b) => (r * r + g * g + b * b) / 3, (r, g, b) => ((r + g + b) / 3) ** 2];
  const texture = squares.map((plane, kind) =>
    plane.map((value, i) => Math.max(0, value - explained[kind](level[0][i], level[1][i], level[2][i]))),
  );
  return { width: w, height: h, shift: three(SHIFT), level, change: [means(CHANGE), means(CHANGE + 1)], texture };
}

function sumsOf({ width, height, data }, views, w, h, side) {
  const size = width * height,
    sums = new Float64Array(SUMS * w * h),
    [left, right] = [views.left.data, views.right.data];
  for (let y = 0, i = 0; y < height; y++) {
    const row = SUMS * w * Math.floor(y / side);
    for (let x = 0; x < width; x++, i++) {
      const at = row + SUMS * Math.floor(x / side);
      const r = (left[i] + right[i]) / 2,
        g = (left[size + i] + right[size + i]) / 2,
        b = (left[2 * size + i] + right[2 * size + i]) / 2;
      const dr = data[i] - r,
        dg = data[size + i] - g,
        db = data[2 * size + i] - b;
      sums[at] += dr;
      sums[at + 1] += dg;
      sums[at + 2] += db;
      sums[at + LEVEL] += r;
      sums[at + LEVEL + 1] += g;
      sums[at + LEVEL + 2] += b;
      sums[at + CHANGE] += (dr * dr + dg * dg + db * db) / 3;
      sums[at + CHANGE + 1] += ((dr + dg + db) / 3) ** 2;
      sums[at + SQUARES] += (r * r + g * g + b * b) / 3;
      sums[at + SQUARES + 1] += ((r + g + b) / 3) ** 2;
    }
  }
  return sums;
}

// How many pixels block `i` holds; the last of a row or column may hold fewer.
export function pixelsOf(i, w, width, height, side) {
  const rows = Math.min(side, height - Math.floor(i / w) * side);
  return rows * Math.min(side, width - (i % w) * side);
}
