// From files to a download. The server holds the pictures; this page asks it, and shows what it says.

import { MARK, inOrder, isOnePicture, startOf } from "./files.js";
import { decode, keepOf, rangeAt, span, veil } from "./planes.js";
import { Refocusing } from "./refocus.js";
import { ask, fetchJson, mayPass, sentenceOf, upload } from "./server.js";
import { Viewer } from "./viewer.js";

const ASK_MS = 400;
const STOPPING = "Stopping";
const VIEWS = ["left", "right", "disparity"];

const part = (id) => document.getElementById(id);
const viewer = new Viewer(
  { stage: part("stage"), before: part("before"), after: part("after"), clip: part("clip"), split: part("split"),
    handle: part("handle"), veil: part("veil") },
  showZoom,
);

const refocusing = new Refocusing(part, preview);

let job = null; // as the server reported it last
let name = "picture";
let lonely = null; // the one file we asked about
let limits = null;
let planes = null; // the result's disparity, if the weights give one
let wish = 0; // counts what the user asked to see of it
let isMaking = false; // whether that is being fetched
let turn = 0; // counts what the user began, so that late answers to what was before are dropped

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// ---- files in

async function take(files) {
  files = [...files];
  hush();
  if (!files.length) return;
  if (files.length > 2) return complain("Those are more than two files; give the two views of one photograph.");
  if (files.length === 1 && lonely && !part("question").hidden) files = [lonely, files[0]];
  const starts = await Promise.all(files.map((file) => startOf(file).catch(() => null)));
  const unread = files[starts.indexOf(null)];
  if (unread) return complain(`${unread.name} cannot be read; choose a file.`);
  if (!mayBeForgotten()) return;
  if (files.length === 1 && isOnePicture(files[0], starts[0])) return question(files[0]);
  if (files.length === 2) files = inOrder(files, lonely !== null);
  begin(files);
}

// A result that nobody has downloaded is not thrown away unasked.
function mayBeForgotten() {
  return job?.state !== "done" || job.fetched || confirm("This result has not been downloaded. Throw it away?");
}

function question(file) {
  lonely = file;
  part("lonely").textContent = file.name;
  show("question");
  part("asked").focus();
}

async function begin(files, layout) {
  const mine = ++turn;
  lonely = null;
  if (limits && files.reduce((sum, file) => sum + file.size, 0) > limits.body_bytes) {
    show("welcome");
    return complain(`These files are larger than the ${Math.round(limits.body_bytes / 1e6)} MB that are allowed.`);
  }
  forget();
  name = files[0].name.replace(MARK, "").replace(/\.[^.]*$/, "") || "picture";
  part("format").value = /\.(tiff?|{{endings of both views}})$/i.test(files[0].name) ? "tif-16" : "png-16";
  const form = new FormData();
  form.append("left", files[0]);
  if (files[1]) form.append("right", files[1]);
  if (layout) form.append("layout", layout);
  form.append("start", "no");
  clearPair();
  show("pair");
  say("Uploading");
  try {
    const made = await upload(form, (share) => mine === turn && bar(share, share < 1 ? "Uploading" : "Reading the views"));
    if (mine !== turn) return void fetch(`api/jobs/${made.id}`, { method: "DELETE" });
    job = made;
    history.replaceState({ name }, "", `#${job.id}`);
    await follow(mine);
  } catch (error) {
    if (mine === turn) fail(error);
  }
}

// ---- following a job

async function follow(mine) {
  let isOut = false; // the server does not answer just now
  for (;;) {
    if (mine !== turn) return;
    tell();
    if (!["checking", "waiting", "running"].includes(job.state)) return;
    await sleep(ASK_MS);
    try {
      const next = await fetchJson(`api/jobs/${job.id}`);
      if (mine !== turn) return;
      job = next;
      if (isOut) hush();
      isOut = false;
    } catch (error) {
      if (mine !== turn) return;
      if (!mayPass(error)) throw error;
      isOut = true;
      complain(sentenceOf(error));
    }
  }
}

function tell() {
  const { state } = job;
  const failure = Object.assign(new Error(job.error), { status: job.status });
  if (state === "failed" && !mayPass(failure)) throw failure;
  part("deblur").hidden = !["ready", "done", "failed"].includes(state);
  part("deblur").textContent = { done: "Show the result", failed: "Try again" }[state] ?? "Deblur";
  part("deblur").disabled = false;
  part("stop").disabled = job.stopping;
  part("swap").disabled = !["ready", "done"].includes(state);
  part("stop").hidden = !["checking", "waiting", "running"].includes(state);
  if (state === "checking") {
    part("verdict").textContent = "Reading the views";
    return bar(null, "Reading the views");
  }
  if (job.check) showPair(); // one that was stopped while it was checked has none
  else part("verdict").textContent = "The views have not been read";
  if (state === "waiting") return bar(null, "Waiting for another picture to be done");
  if (state === "running") return bar(job.bands > 1 && job.bands_done ? job.bands_done / job.bands : null, pace());
  part("working").hidden = true;
  say("");
  if (state === "failed") complain(job.error);
  if (state === "done") showResult();
}

function pace() {
  const { seconds, bands, bands_done: done } = job;
  if (job.stopping) return STOPPING;
  if (!bands) return "Deblurring: measuring what fits the memory";
  if (bands === 1 || !done) return `Deblurring: ${clock(seconds)}`;
  return `Deblurring: ${done} of ${bands} bands, about ${clock(seconds / done * (bands - done))} left`;
}

function clock(seconds) {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

// ---- what is seen

function show(id) {
  for (const other of ["welcome", "question", "pair", "result"]) part(other).hidden = other !== id;
  part("again").hidden = id === "welcome";
}

function clearPair() {
  for (const id of VIEWS) {
    part(id).removeAttribute("src");
    part(id).classList.remove("loaded");
  }
  part("views").dataset.version = "";
  part("verdict").textContent = "Reading the views";
  part("notes").replaceChildren();
  part("scale").textContent = "";
  part("deblur").hidden = part("stop").hidden = true;
  part("swap").disabled = true;
}

const address = (picture) => `api/jobs/${job.id}/${picture}?version=${job.version}`;

// Width and height as the views lie in their files; they are checked with the disparity along the rows.
const size = ({ width, height, quarter_turns: turns }) => turns % 2 ? [height, width] : [width, height];

function showPair() {
  const { check } = job;
  const shown = `${job.id} ${job.swap}`;
  const notes = [...Object.values(check.odd), ...job.notes.filter((note) => !Object.values(check.odd).includes(note))];
  part("notes").replaceChildren(...notes.map((note) => {
    const item = document.createElement("li");
    item.textContent = note.replace(/ \(--[\w-]+\)/, "");
    item.classList.toggle("odd", Object.values(check.odd).includes(note));
    return item;
  }));
  if (part("views").dataset.version === shown) return;
  part("views").dataset.version = shown;
  const [width, height] = size(check);
  part("views").style.setProperty("--aspect", width / height);
  for (const id of VIEWS) {
    part(id).classList.remove("loaded");
    part(id).src = address(id);
  }
  part("verdict").textContent = check.verdict.charAt(0).toUpperCase() + check.verdict.slice(1);
  part("scale").textContent = `full colour at ${check.scale_px.toFixed(1)} px`;
}

async function showResult() {
  const mine = turn;
  show("result");
  part("how").textContent = job.plan ? `${size(job.check).join(" × ")} pixels in ${clock(job.seconds)}. ${job.report || ""}` : "";
  part("saved").textContent = "Loading both pictures";
  try {
    await viewer.show(address("before"), address("preview"));
    if (mine === turn) part("stage").focus({ preventScroll: true });
    part("saved").textContent = "";
    await loadPlanes(mine);
  } catch {
    if (mine === turn) complain("The result cannot be shown here, but it can be downloaded.");
  }
}

// ---- only a part of it

const PART = ["pick", "near", "far", "inverse", "masked"];
const range = () => [part("near").valueAsNumber, part("far").valueAsNumber];
const keep = () => planes && part("some").checked ? keepOf(range(), part("inverse").checked) : null;

async function loadPlanes(mine) {
  planes = null;
  part("some").checked = false;
  showPart();
  part("selection").hidden = true;
  picking();
  refocusing.offer(job.refocus, size(job.check), null);
  showRefocus();
  const picture = new Image();
  picture.src = address("planes");
  try { await picture.decode(); } catch { return; } // these weights give none
  if (mine !== turn) return;
  const { naturalWidth: width, naturalHeight: height } = picture;
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const pen = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  pen.drawImage(picture, 0, 0);
  planes = decode(pen.getImageData(0, 0, width, height).data, width, height);
  refocusing.planes = planes;
  Object.assign(part("veil"), { width, height });
  const [low, high] = span(planes);
  for (const id of ["near", "far"]) Object.assign(part(id), { min: low.toFixed(2), max: high.toFixed(2) });
  choose([-0.5, 0.5]);
  part("selection").hidden = false;
  viewer.draw();
}

function choose([low, high]) {
  part("near").value = low;
  part("far").value = high;
  for (const id of ["near", "far"]) part(`${id}px`).textContent = `${part(id).valueAsNumber.toFixed(1)} px`;
}

// What a click in the picture does, until there was one: `button` says so. Without, a click compares as usual.
function picking(button, act) {
  for (const id of ["pick", "aim"]) part(id).setAttribute("aria-pressed", id === button);
  part("stage").classList.toggle("picking", Boolean(button));
  viewer.picks = button && ((x, y) => { picking(); act(x, y); });
}

const toggle = (button, act) => part(button).getAttribute("aria-pressed") === "true" ? picking() : picking(button, act);

function pick(x, y) {
  choose(rangeAt(planes, x, y));
  showPart();
  preview();
}

// While the range is dragged the veil says what it is; the picture follows when it is let go.
function showPart(isDragged = false) {
  const isOn = keep() !== null;
  for (const id of PART) (part(id).closest("label") ?? part(id)).hidden = !isOn;
  part("veil").hidden = !isOn || !(isDragged || part("masked").checked);
  if (part("veil").hidden) return;
  const { width, height } = planes;
  const bytes = veil(planes, range(), part("inverse").checked);
  part("veil").getContext("2d").putImageData(new ImageData(bytes, width, height), 0, 0);
}

// One at a time: while one is made, only the last of what was wished for meanwhile is remembered.
async function preview() {
  wish += 1;
  if (isMaking) return;
  isMaking = true;
  for (let made = 0; job && made !== wish;) {
    made = wish;
    const chosen = keep(), focus = refocusing.query;
    part("saved").textContent = "Making the picture";
    part("after").src = address("preview") + (focus ? `&${focus}` : chosen ? `&keep=${encodeURIComponent(chosen)}` : "");
    let words = "";
    try { await part("after").decode(); } catch { words = "This cannot be shown; try again in a moment."; }
    if (made === wish) part("saved").textContent = words;
  }
  isMaking = false;
  showPart();
}

// A refocused picture is one of the whole result, at full strength.
function showRefocus() {
  refocusing.tell();
  part("strength").disabled = refocusing.isOn;
  viewer.strength = refocusing.isOn ? 1 : part("strength").value / 100;
}

function showZoom(share, isFit) {
  part("zoom").textContent = `${Math.round(100 * share)} %`;
  part("fit").setAttribute("aria-pressed", isFit);
  part("full").setAttribute("aria-pressed", !isFit && Math.abs(share - 1) < 0.005);
}

function bar(share, words) {
  part("working").hidden = false;
  if (share === null) part("progress").removeAttribute("value");
  else part("progress").value = share;
  say(words);
}

function say(words) {
  if (part("status").textContent !== words) part("status").textContent = words;
}

function complain(words) {
  part("alert").textContent = words;
  part("alert").hidden = false;
}

function hush() { part("alert").hidden = true; }

// What may go well another time loses nothing; all else ends the job: back to the beginning, with the reason.
function fail(error) {
  if (!mayPass(error)) forget();
  show(job ? "pair" : "welcome");
  complain(sentenceOf(error));
}

function forget() {
  if (job) fetch(`api/jobs/${job.id}`, { method: "DELETE" }).catch(() => {});
  job = null;
  history.replaceState(null, "", "./");
}

// ---- what the user does

async function command(verb) {
  const mine = ++turn;
  hush();
  for (const id of ["deblur", "stop", "swap"]) part(id).disabled = true;
  if (verb === "stop") say(STOPPING);
  try {
    const next = await fetchJson(`api/jobs/${job.id}/${verb}`, { method: "POST" });
    if (mine !== turn) return;
    job = next;
    await follow(mine);
  } catch (error) {
    if (mine !== turn) return;
    if (!mayPass(error)) return fail(error);
    tell();
    complain(sentenceOf(error));
  }
}

part("deblur").addEventListener("click", () => job.state === "done" ? showResult() : command("start"));
part("stop").addEventListener("click", () => command("stop"));
part("swap").addEventListener("click", () => mayBeForgotten() && command("swap"));
part("back").addEventListener("click", () => { show("pair"); part("verdict").focus(); });
part("again").addEventListener("click", () => {
  if (!mayBeForgotten()) return;
  turn += 1;
  lonely = null;
  hush();
  forget();
  show("welcome");
  part("files").focus();
});
for (const button of document.querySelectorAll("[data-layout]")) {
  button.addEventListener("click", () => begin([lonely], button.dataset.layout));
}
part("fit").addEventListener("click", () => viewer.fit());
part("full").addEventListener("click", () => viewer.full());
part("strength").addEventListener("input", (event) => {
  viewer.strength = event.target.value / 100;
  part("percent").textContent = `${event.target.value} %`;
});
for (const id of ["near", "far"]) {
  part(id).addEventListener("input", () => {
    const [low, high] = range();
    if (low >= high) choose(id === "near" ? [high - 0.1, high] : [low, low + 0.1]);
    else choose([low, high]);
    showPart(true);
  });
}
for (const id of ["some", "near", "far", "inverse", "anew"]) {
  part(id).addEventListener("change", () => {
    if (id === "anew") part("some").checked = false;
    if (id === "some") part("anew").checked = false;
    picking();
    showPart();
    showRefocus();
    preview();
  });
}
part("masked").addEventListener("change", () => showPart());
part("pick").addEventListener("click", () => toggle("pick", pick));
part("aim").addEventListener("click", () => toggle("aim", (x, y) => refocusing.aim(x, y)));
part("download").addEventListener("click", async () => {
  const [format, depth] = part("format").value.split("-");
  const asked = new URLSearchParams({ format, depth, strength: refocusing.isOn ? 1 : part("strength").value / 100 });
  for (const [key, value] of refocusing.query ?? []) asked.set(key, value);
  if (keep()) asked.set("keep", keep());
  const mine = job;
  if (await save("download", `result?${asked}`, `${refocusing.isOn ? "refocused" : "sharp"}.${format}`)) mine.fetched = true;
});
part("sweep").addEventListener("click", () => {
  save("sweep", `sweep?aperture=${part("aperture").valueAsNumber}`, "sweep.webp");
});

// Whether it could be saved, under the name of the pair and this ending.
async function save(button, path, ending) {
  part(button).disabled = true;
  part("saved").textContent = "Writing the file";
  hush();
  try {
    const answer = await ask(`api/jobs/${job.id}/${path}`);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await answer.blob());
    link.download = `${name}-${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    part("saved").textContent = `Saved as ${link.download}`;
    return true;
  } catch (error) {
    part("saved").textContent = "";
    complain(sentenceOf(error));
    return false;
  } finally {
    part(button).disabled = false;
  }
}

for (const id of VIEWS) part(id).addEventListener("load", () => part(id).classList.add("loaded"));
for (const id of ["files", "other"]) {
  part(id).addEventListener("change", (event) => {
    const files = [...event.target.files];
    event.target.value = "";
    take(files);
  });
}
addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dragging");
});
addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dragging"));
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dragging");
  if (event.dataTransfer.files.length) take(event.dataTransfer.files);
});

// ---- the beginning, or where a reload left off

part("place").textContent = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname)
  ? "Everything stays on this computer."
  : `The pictures go to ${location.hostname} and are deleted within the hour.`;
fetchJson("api/limits").then((given) => { limits = given; }, () => {});
const left = location.hash.slice(1);
if (/^[\w-]+$/.test(left)) {
  name = history.state?.name ?? name;
  clearPair();
  const mine = ++turn;
  fetchJson(`api/jobs/${left}`).then((found) => {
    job = found;
    show("pair");
    return follow(mine);
  }).catch((error) => mine === turn && fail(error));
}
