// Order statistics by the same conventions as PyTorch, so that verdicts agree with the command line's.

// The middle value, the lower one of two.
export function median(values) {
  const sorted = Float32Array.from(values).sort();
  return sorted.length ? sorted[(sorted.length - 1) >> 1] : NaN;
}

// Between two values, linear.
export function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  const place = share * (sorted.length - 1),
    low = Math.floor(place),
    high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (place - low) * (sorted[high] - sorted[low]);
}

export function mean(values) {
  let total = 0;
  for (const value of values) total += value;
  return total / values.length;
}

// Of a sample: divided by one less than there are.
export function deviation(values) {
  const middle = mean(values);
  let total = 0;
  for (const value of values) total += (value - middle) ** 2;
  return Math.sqrt(total / (values.length - 1));
}

// Halves go to the even neighbour.
export function roundEven(value) {
  const floor = Math.floor(value),
    rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2) ? floor + 1 : floor;
}

export const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
