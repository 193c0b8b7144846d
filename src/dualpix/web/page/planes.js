// The disparity of a result, and which part of the picture a range of it is. As inference/kept.py reckons it.

const ZERO = 32768, PER_PX = 512;
export const SOFT_PX = 0.3, WIDTH_PX = 0.7;
const AROUND = 3; // pixels on either side that have a say in what was clicked on

// From the bytes of a picture, four for each pixel: disparity in pixels, and confidence from 0 to 1.
export function decode(bytes, width, height) {
  const disparity = new Float32Array(width * height), confidence = new Float32Array(width * height);
  for (let i = 0; i < disparity.length; i++) {
    disparity[i] = (256 * bytes[4 * i] + bytes[4 * i + 1] - ZERO) / PER_PX;
    confidence[i] = bytes[4 * i + 2] / 255;
  }
  return { width, height, disparity, confidence };
}

// The least and the largest disparity that the sure pixels have, but for the outermost hundredth.
export function span(planes) {
  const sure = [...planes.disparity.filter((_, i) => planes.confidence[i] > 0.5)].sort((a, b) => a - b);
  const values = sure.length ? sure : [...planes.disparity].sort((a, b) => a - b);
  const at = (share) => values[Math.round(share * (values.length - 1))];
  return [Math.floor(10 * at(0.01)) / 10 - WIDTH_PX, Math.ceil(10 * at(0.99)) / 10 + WIDTH_PX];
}

// The disparity at a place, both coordinates from 0 to 1: the middle of what the surest there say.
export function middleAt(planes, x, y) {
  const { width, height, disparity, confidence } = planes;
  const column = Math.min(width - 1, Math.floor(x * width)), row = Math.min(height - 1, Math.floor(y * height));
  const near = [];
  for (let r = Math.max(0, row - AROUND); r <= Math.min(height - 1, row + AROUND); r++) {
    for (let c = Math.max(0, column - AROUND); c <= Math.min(width - 1, column + AROUND); c++) near.push(r * width + c);
  }
  const least = near.map((i) => confidence[i]).sort((a, b) => a - b)[Math.floor(near.length / 2)];
  const values = near.filter((i) => confidence[i] >= least).map((i) => disparity[i]).sort((a, b) => a - b);
  return values[Math.floor(values.length / 2)];
}

// The range around the disparity at a place.
export function rangeAt(planes, x, y) {
  const middle = middleAt(planes, x, y);
  return [middle - WIDTH_PX, middle + WIDTH_PX];
}

const rise = (past) => {
  const share = Math.min(1, Math.max(0, past / (2 * SOFT_PX) + 0.5));
  return share * share * (3 - 2 * share);
};

// How far what has this disparity lies in the range, 0 to 1.
export const inside = (px, [low, high]) => rise(px - low) * rise(high - px);

// What is to keep its blur, as a wish: all but the range, or the range.
export function keepOf([low, high], inverse) {
  const range = `${low.toFixed(2)}..${high.toFixed(2)}`;
  return inverse ? range : `outside ${range}`;
}

// The bytes of a veil over what keeps its blur.
export function veil(planes, range, inverse) {
  const bytes = new Uint8ClampedArray(4 * planes.width * planes.height);
  planes.disparity.forEach((px, i) => {
    const share = inside(px, range);
    bytes[4 * i + 3] = 170 * (inverse ? share : 1 - share);
  });
  return bytes;
}
