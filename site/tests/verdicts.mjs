// What the page finds in pairs of views: node verdicts.mjs FOLDER, with pairs.json, a list of { width, height }, and
// pairs.bin, float32 planes of left and right after one another. Prints a list.

import { readFileSync } from "node:fs";

import { matchBrightness } from "../compute/brightness.js";
import { disparityPicture, scalePx } from "../compute/drawing.js";
import { noiseOf } from "../compute/matching.js";
import { layAlongRows } from "../compute/turning.js";

const folder = process.argv[2];
const content = readFileSync(`${folder}/pairs.bin`);
let place = 0;

function view(width, height) {
  const bytes = content.buffer.slice(content.byteOffset + place, content.byteOffset + place + 12 * width * height);
  place += bytes.byteLength;
  return { width, height, data: new Float32Array(bytes) };
}

const found = JSON.parse(readFileSync(`${folder}/pairs.json`, "utf8")).map(({ width, height }) => {
  const laid = layAlongRows(view(width, height), view(width, height));
  const { across, down, textured, found: matched, reduction } = laid.found.matches;
  const matched2 = matchBrightness(laid.left, laid.right);
  const drawn = disparityPicture(laid.left, laid.found);
  return {
    verdict: laid.found.verdict,
    odd: laid.found.odd,
    order: laid.found.order,
    turns: laid.turns,
    notes: laid.notes,
    across: [...across],
    down: [...down],
    textured,
    found: matched,
    reduction,
    behind: laid.found.behind,
    in_front: laid.found.inFront,
    ratio: laid.found.brightnessRatio,
    noise: noiseOf(laid.left),
    scale_px: scalePx(laid.found),
    matched: matched2.note,
    mean: matched2.right.data.reduce((sum, value) => sum + value, 0) / matched2.right.data.length,
    drawn: [...drawn.data.filter((_, i) => i % 997 === 0)],
  };
});
console.log(JSON.stringify(found));
