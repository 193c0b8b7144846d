// A picture deblurred at several scales, from the coarsest to full size: inference/pyramid.py.

import { noiseOf } from "./matching.js";
import { finenessOf, join, reduced, shareOfFiner, shareOfViews } from "./scales.js";

// The sharp picture, not clipped, and the rows that are held at once at full size. `steps` are the reductions, the
// coarsest first; `tell` is called between strips of all scales, since it may throw to stop, and counts those of full
// size.
export async function runScales(network, left, right, steps, limits, tell) {
  if (steps.length === 1) return network.run(left, right, limits, tell);
  const [coarsest] = steps,
    quiet = () => tell(0, 1);
  const found = await disparityAt(network, left, right, coarsest, limits, quiet);
  let correction = null,
    done = null;
  for (const [number, step] of steps.entries()) {
    const views = { left: reduced(left, step), right: reduced(right, step) };
    const held = found.data.byteLength + (correction?.data.byteLength ?? 0) + (step > 1 ? 2 * left.data.byteLength : 0);
    done = await network.run(views.left, views.right, limits, step > 1 ? quiet : tell, held);
    if (correction) {
      const times = coarsest / step,
        kept = step === 1 ? keptOf(views, found, times) : null;
      join(done.picture, views, correction, steps[number - 1] / step, shareOfFiner(found, times), times, kept);
    }
    if (step > 1) correction = less(done.picture, views);
  }
  return done;
}

// The weight of the mean of the views in the final picture, `times` smaller.
function keptOf(views, found, times) {
  const noise = noiseOf(views.left);
  return shareOfViews(found, times, noise, finenessOf(views, times, noise));
}

function disparityAt(network, left, right, step, limits, tell) {
  return network.find(reduced(left, step), reduced(right, step), limits, tell, 2 * left.data.byteLength);
}

// What a result adds to the mean of its views; in its place.
function less(picture, { left, right }) {
  for (let i = 0; i < picture.data.length; i++) picture.data[i] -= (left.data[i] + right.data[i]) / 2;
  return picture;
}
