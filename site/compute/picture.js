// Pictures in memory: { width, height, data }, float32 RGB, one plane after another, 0 to 1, display-encoded.

const WHITE = 65535;

export const blank = (width, height, channels = 3) => ({
  width,
  height,
  data: new Float32Array(channels * width * height),
});

// The mean of both views.
export function meanView(left, right) {
  const mean = blank(left.width, left.height);
  for (let i = 0; i < mean.data.length; i++) mean.data[i] = (left.data[i] + right.data[i]) / 2;
  return mean;
}

// Turned by quarters, counter-clockwise.
export function turned(picture, quarters) {
  const turns = ((quarters % 4) + 4) % 4;
  if (!turns) return picture;
  const { width, height } = picture,
    size = width * height;
  const result = turns === 2 ? blank(width, height) : blank(height, width);
  // Of the source: where the first pixel of the result is, and the steps to the next column and row.
  const [start, right, down] = {
    1: [width - 1, width, -1],
    2: [size - 1, -1, -width],
    3: [(height - 1) * width, -width, 1],
  }[turns];
  let place = 0;
  for (let channel = 0; channel < 3; channel++) {
    for (let row = 0; row < result.height; row++) {
      let from = channel * size + start + row * down;
      for (let column = 0; column < result.width; column++, from += right) result.data[place++] = picture.data[from];
    }
  }
  return result;
}

// Reduced by whole numbers, to the means of `by` x `by` pixels; what is left over at the edges is dropped.
export function pooled(plane, width, height, by) {
  const w = Math.floor(width / by),
    h = Math.floor(height / by),
    small = new Float32Array(w * h);
  if (by === 1) return { width: w, height: h, data: plane.slice() };
  for (let row = 0; row < h; row++) {
    for (let column = 0; column < w; column++) {
      let total = 0;
      for (let y = 0; y < by; y++) {
        const start = (row * by + y) * width + column * by;
        for (let x = 0; x < by; x++) total += plane[start + x];
      }
      small[row * w + column] = total / (by * by);
    }
  }
  return { width: w, height: h, data: small };
}

// Levels of 16 bits of a picture that is clipped, half its size.
export function packed({ width, height, data }) {
  const levels = new Uint16Array(data.length);
  for (let i = 0; i < data.length; i++) levels[i] = Math.round(data[i] * WHITE);
  return { width, height, levels };
}

export function unpacked({ width, height, levels }) {
  const picture = blank(width, height);
  for (let i = 0; i < levels.length; i++) picture.data[i] = levels[i] / WHITE;
  return picture;
}
