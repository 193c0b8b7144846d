// Match the brightness of the two views: pairs/brightness.py.

const CLIPPED = 0.98,
  LEAST_RATIO = 1.15;

// Both views, and a sentence on what was done; empty where nothing was.
export function matchBrightness(left, right) {
  let a = 0,
    b = 0,
    isCounted = false;
  for (let i = 0; i < left.data.length; i++) {
    if (!(left.data[i] < CLIPPED && right.data[i] < CLIPPED)) continue;
    a += left.data[i];
    b += right.data[i];
    isCounted = true;
  }
  const ratio = Math.max(a, b) / Math.max(Math.min(a, b), 1e-6);
  if (ratio < LEAST_RATIO || !isCounted) return { left, right, note: "" };
  const note =
    `The ${a > b ? "left" : "right"} view is ${ratio.toFixed(2)} times as bright as the other, which was` +
    " brightened to match.";
  const brighter = (view) => ({ ...view, data: view.data.map((value) => Math.min(Math.max(value * ratio, 0), 1)) });
  return a > b ? { left, right: brighter(right), note } : { left: brighter(left), right, note };
}
