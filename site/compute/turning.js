// Turn two views so that their disparity runs along rows: pairs/turning.py.

import { LIKELY_SHARE } from "./checks.js";
import { turned } from "./picture.js";
import { inspectViews } from "./verdict.js";

const LEFT = 1,
  RIGHT = 3;
const WORDS = { [LEFT]: "by a quarter to the left", [RIGHT]: "by a quarter to the right" };
const UPRIGHT =
  "The picture stands upright, and as much of it is in front of the focus as behind, so it is unclear which" +
  " way it was turned; if the result looks worse than the photograph, exchange the views.";

// The views along rows, how many quarter turns counter-clockwise that took, what their comparison shows, and notes.
export function layAlongRows(left, right, swap = false) {
  let found = inspectViews(left, right),
    turns = 0;
  const notes = [];
  if ("vertical" in found.odd) {
    turns = found.downwardShare >= 0.5 ? LEFT : RIGHT;
    notes.push(
      `The picture stands upright: it was turned ${WORDS[turns]} before processing, and the result turned back;` +
        " if it looks worse than the photograph, exchange the views.",
    );
    const share = Math.max(found.downwardShare, 1 - found.downwardShare);
    [left, right] = [turned(left, turns), turned(right, turns)];
    found = inspectViews(left, right);
    if (share < LIKELY_SHARE) found.odd.upright = UPRIGHT;
  }
  if (!swap) return { left, right, turns, found, notes };
  return { left: right, right: left, turns, found: inspectViews(right, left), notes };
}
