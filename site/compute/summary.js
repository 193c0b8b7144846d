// What a run changed, in one line: inference/summary.py.

import { percent } from "./guard.js";
import { widestPx } from "./matching.js";

const NOISE = 2,
  LEVEL = 1 / 255,
  LEAST_BLOCKS = 12;

// `steps`: the reductions at which the pair was run, the coarsest first.
export function summarise(comparison, noise, matches, trainedPx, steps) {
  const least = Math.max(2 * LEVEL, NOISE * noise),
    change = comparison.change[0];
  const changed = change.reduce((count, value) => count + (Math.sqrt(value) > least), 0) / change.length;
  const start = `Changed ${percent(changed)} of the picture`;
  if (matches.across.length < LEAST_BLOCKS) return `${start}; too little detail to tell how far the views lie apart.`;
  const widest = widestPx(matches),
    apart = `${start}; the views lie up to ${widest.toFixed(1)} pixels apart`;
  if (!trainedPx) return `${apart}.`;
  if (widest <= trainedPx) return `${apart}, and the weights were trained on up to ${trainedPx.toFixed(1)}.`;
  const beyond = `${apart}, more than the ${trainedPx.toFixed(1)} that the weights were trained on`;
  if (steps.length > 1) return `${beyond}, so 1/${steps[0]} of the size was joined in.`;
  return `${beyond}; reduce both views to 1/${Math.ceil(widest / trainedPx)} of their size first.`;
}
