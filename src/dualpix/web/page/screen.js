// The parts of the page by their ids, and what is said on it.

export const part = (id) => document.getElementById(id);

const SECTIONS = ["welcome", "question", "pair", "result"];

export const isShown = (id) => !part(id).hidden;

export function show(id) {
  if (!isShown(id)) scrollTo(0, 0);
  for (const other of SECTIONS) part(other).hidden = other !== id;
  part("again").hidden = id === "welcome";
}

export function say(words) {
  if (part("status").textContent !== words) part("status").textContent = words;
}

// How far work is, from 0 to 1, or null while that is not known.
export function bar(share, words) {
  part("working").hidden = false;
  if (share === null) part("progress").removeAttribute("value");
  else part("progress").value = share;
  say(words);
}

export function complain(words) {
  part("alert").textContent = words;
  part("alert").hidden = false;
}

// What was said beside *Download* of work that is over goes, unless something else has been said since.
export function unsay(words) {
  if (part("saved").textContent === words) part("saved").textContent = "";
}

export function hush() { part("alert").hidden = true; }

export function clock(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

// Width and height as the views lie in their files; they are checked with the disparity along the rows.
export const sizeOf = ({ width, height, quarter_turns: turns }) => turns % 2 ? [height, width] : [width, height];
