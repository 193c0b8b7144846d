// Whether two pictures are the views of one dual-pixel photograph, and which is the left one: pairs/verdict.py.

import { MIN_BLOCKS, MOVED_SHARE, checkBrightness, checkDirections, leaning } from "./checks.js";
import { REACH_PX } from "./correlation.js";
import { MOVED_PX, matchBlocks, widestPx } from "./matching.js";
import { mean, quantile } from "./statistics.js";

const MIN_COARSE_BLOCKS = 6,
  MIN_FOUND = 0.5,
  FAR_SHARE = 0.4,
  FAR_BLOCKS = 0.02,
  FARTHER = 3,
  STILL_PX = 0.1;

// The worst first.
const VERDICTS = {
  strange: "not the two views of one photograph",
  still: "one photograph saved twice",
  stereo: "two sharp pictures moved apart, not a dual-pixel pair",
  vertical: "a dual-pixel pair lying on its side",
  misaligned: "views of one photograph, but moved apart",
  upright: "an upright dual-pixel pair; it is unclear which way it was turned",
  swapped: "a dual-pixel pair, but its views look swapped",
  brightness: "a dual-pixel pair, but one view is much brighter",
};
const UNKNOWN = "too little detail to tell";
const GOOD = "a dual-pixel pair, left and right in order";
const EITHER = "a dual-pixel pair; it is unclear which view is left";
const IN_FOCUS = "everything in focus, or one view twice";

const areFew = ({ textured, found }, least) => textured >= least && found < MIN_FOUND * textured;
const spreadOf = (values, times) =>
  values.length
    ? {
        low_px: times * quantile(values, 0.1),
        middle_px: times * quantile(values, 0.5),
        high_px: times * quantile(values, 0.9),
      }
    : null;

export class Inspection {
  constructor(matches, behind, inFront, brightnessRatio, odd) {
    Object.assign(this, { matches, behind, inFront, brightnessRatio, odd });
    this.across = spreadOf(matches.across, matches.reduction);
    this.down = spreadOf(matches.down, matches.reduction);
  }

  get isKnown() {
    return "strange" in this.odd || this.matches.across.length >= MIN_BLOCKS;
  }

  // "left, right", "swapped" or "unknown"
  get order() {
    const moved = this.behind + this.inFront;
    if ("swapped" in this.odd) return "swapped";
    const isWrong = ["strange", "still", "stereo", "vertical", "upright"].some((kind) => kind in this.odd);
    const isSure = this.isKnown && !isWrong && moved >= MIN_BLOCKS;
    return isSure && this.behind >= MOVED_SHARE * moved ? "left, right" : "unknown";
  }

  // Of the blocks that moved along columns.
  get downwardShare() {
    const steep = leaning(this.matches.across, this.matches.down);
    return steep.down ? steep.downwards / steep.down : 0.5;
  }

  get verdict() {
    if (!this.isKnown) return UNKNOWN;
    const kind = Object.keys(VERDICTS).find((one) => one in this.odd);
    if (kind) return VERDICTS[kind];
    if (this.order === "left, right") return GOOD;
    return quantile(this.matches.across.map(Math.abs), 0.9) < STILL_PX ? IN_FOCUS : EITHER;
  }
}

// The same matches; where they lie almost as far apart as they are found, with what larger blocks see of it.
function lookFarther(left, right, matches) {
  const { across } = matches,
    far = across.filter((x) => Math.abs(x) > FAR_SHARE * REACH_PX).length;
  if (across.length < MIN_BLOCKS || far < FAR_BLOCKS * across.length) return matches;
  const larger = matchBlocks(left, right, FARTHER);
  if (larger.across.length < MIN_BLOCKS || areFew(larger, MIN_COARSE_BLOCKS)) return matches;
  return { ...matches, fartherPx: widestPx(larger) };
}

export function inspectViews(left, right) {
  let matches = matchBlocks(left, right);
  if (areFew(matches, MIN_BLOCKS)) {
    // widely blurred views share little but coarse detail
    const coarser = matchBlocks(left, right, 2);
    if (coarser.textured >= MIN_COARSE_BLOCKS && !areFew(coarser, MIN_COARSE_BLOCKS)) matches = coarser;
  }
  matches = lookFarther(left, right, matches);
  let behind = 0,
    inFront = 0;
  matches.across.forEach((x, i) => {
    if (!(Math.abs(x) > MOVED_PX && Math.abs(x) > Math.abs(matches.down[i]))) return;
    if (x > 0) behind += 1;
    else inFront += 1;
  });
  const a = mean(left.data),
    b = mean(right.data);
  const odd = checkBrightness(a, b);
  if (areFew(matches, MIN_BLOCKS)) {
    odd.strange =
      "Hardly any detail of one view is found near the same place in the other: they may be of different " +
      "photographs, shifted far, or mirrored; give the two views of one photograph, unaltered.";
  } else if (matches.across.length >= MIN_BLOCKS) {
    Object.assign(odd, checkDirections(matches, behind, inFront));
  }
  return new Inspection(matches, behind, inFront, b / Math.max(a, 1e-6), odd);
}
