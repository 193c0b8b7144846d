// What a run changed, in one line: inference/summary.py.

import { percent } from "./guard.js";
import { widestPx } from "./matching.js";
import { roundEven } from "./statistics.js";

const NOISE = 2,
  LEVEL = 1 / 255,
  LEAST_BLOCKS = 12,
  HOME_PX = 8.5;

export function summarise(comparison, noise, matches, trainedPx) {
  const least = Math.max(2 * LEVEL, NOISE * noise),
    change = comparison.change[0];
  const changed = change.reduce((count, value) => count + (Math.sqrt(value) > least), 0) / change.length;
  const start = `Changed ${percent(changed)} of the picture`;
  if (matches.across.length < LEAST_BLOCKS) return `${start}; too little detail to tell how far the views lie apart.`;
  const widest = widestPx(matches),
    apart = `${start}; the views lie up to ${widest.toFixed(1)} pixels apart`;
  if (!trainedPx) return `${apart}.`;
  if (widest <= trainedPx) return `${apart}, and the weights were trained on up to ${trainedPx.toFixed(1)}.`;
  return (
    `${apart}, more than the ${trainedPx.toFixed(1)} that the weights were trained on; reduce both views to` +
    ` 1/${Math.ceil(widest / trainedPx)} of their size first.`
  );
}

// A sentence where the command line would join several scales, which this page does not.
export function wideBlur(matches) {
  const widest = widestPx(matches);
  if (matches.across.length < LEAST_BLOCKS || widest <= HOME_PX) return [];
  return [
    `The views lie up to ${roundEven(widest)} pixels apart. This page deblurs at full size alone, where such blur` +
      " stays; dualpix on the command line joins several sizes.",
  ];
}
