// What scales.js makes of numbers: node joined.mjs CASE.JSON prints { small, finer, fineness, views, joined, steps }.

import { readFileSync } from "node:fs";

import { chooseScales, finenessOf, join, reduced, shareOfFiner, shareOfViews } from "../compute/scales.js";

const asked = JSON.parse(readFileSync(process.argv[2], "utf8"));
const picture = (data, [, height, width]) => ({ width, height, data: Float32Array.from(data) });
const left = picture(asked.left, asked.shape),
  right = picture(asked.right, asked.shape),
  found = picture(asked.found, asked.found_shape),
  { by, ratio, times, noise } = asked;
const finer = shareOfFiner(found, times),
  fineness = finenessOf({ left, right }, by, noise),
  views = shareOfViews(found, times, noise, fineness),
  fine = picture(asked.fine, asked.shape);
join(fine, { left, right }, picture(asked.correction, asked.correction_shape), ratio, finer, by, views);
const steps = asked.pairs.map(([apart, blocks, width, height]) =>
  chooseScales({ across: new Float32Array(blocks).fill(apart), reduction: 1 }, width, height),
);
const numbers = ({ data }) => [...data];
const made = { small: reduced(left, ratio), finer, fineness, views, joined: fine };
const lists = Object.fromEntries(Object.entries(made).map(([name, picture]) => [name, numbers(picture)]));
console.log(JSON.stringify({ ...lists, steps }));
