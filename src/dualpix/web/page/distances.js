// Distances in metres: what the user says of lens and sensor, what comes of it, and how far away a place is.

import { pixelsIn } from "./pixels.js";
import { sentenceOf } from "./problems.js";
import { complain, hush, part } from "./screen.js";

const INFINITE_MM = 2 ** 24 - 1;
const CAMERA = { focusdistance: "focus_m", fnumber: "f_number", focallength: "focal_mm", sensorwidth: "sensor_mm" };

// From the bytes of a picture, four for each pixel: metres.
export function decodeMetres(bytes) {
  const metres = new Float64Array(bytes.length / 4);
  for (let i = 0; i < metres.length; i++) {
    const millimetres = 65536 * bytes[4 * i] + 256 * bytes[4 * i + 1] + bytes[4 * i + 2];
    metres[i] = millimetres === INFINITE_MM ? Infinity : millimetres / 1000;
  }
  return metres;
}

export function distanceName(metres) {
  if (!Number.isFinite(metres)) return "beyond what can be told";
  if (metres >= 100) return `${Math.round(metres)} m`;
  return metres < 1 ? `${Math.round(100 * metres)} cm` : `${metres.toPrecision(3)} m`;
}

// What a file that `dualpix calibrate -o` wrote says of rho, as texts for the fields: the rules of the command line.
export function rhoIn(csv) {
  const [heads, ...rows] = csv.trim().split(/\r?\n/).map((line) => line.split(","));
  const [pair, quantity, value] = ["pair", "quantity", "value"].map((name) => heads.indexOf(name));
  const found = new Map(rows.filter((row) => row[pair] === "all").map((row) => [row[quantity], Number(row[value])]));
  const middle = found.get("rho at the middle"), fall = found.get("rho's share lost at the sides");
  const even = found.get("rho") ?? found.get("rho from views alone");
  const known = middle ?? even;
  if (!Number.isFinite(known)) return null;
  if (middle === undefined) return { rho: `${known}`, rhofall: "0" };
  return { rho: `${known}`, rhofall: Number.isFinite(fall) ? `${Math.min(Math.max(fall, 0), 0.99)}` : "" };
}

export class Distances {
  #map = null;

  // `stage` shows the picture; `viewer.placeOf(event)` says where in it an event is, or null.
  constructor(session, viewer) {
    Object.assign(this, { session, viewer });
    part("lens").addEventListener("submit", (event) => {
      event.preventDefault();
      this.measure();
    });
    part("rhofile").addEventListener("change", () => this.#takeRho(part("rhofile")));
    for (const kind of ["pointermove", "pointerdown"]) part("stage").addEventListener(kind, (event) => this.read(event));
    part("stage").addEventListener("pointerleave", (event) => {
      if (event.pointerType === "mouse") part("reading").hidden = true;
    });
  }

  // For a job with disparity; nothing without.
  offer(job) {
    part("metres").hidden = !job;
    this.#tell(null, "");
    if (!job) return;
    for (const [id, field] of Object.entries(CAMERA)) {
      const known = job.check.camera?.[field];
      part(id).placeholder = known == null ? "not in the files" : `${Number.isFinite(known) ? Number(known.toPrecision(4)) : known}`;
      part(id).value = "";
    }
    part("pixelpitch").value = "";
  }

  // What was said of the optics, as a wish; what was left out is looked for in the files.
  get optics() {
    const given = [...new FormData(part("lens"))].map(([name, text]) => [name, text.trim().replace(",", ".")]);
    return Object.fromEntries(given.filter(([, text]) => text));
  }

  get isMeasured() { return this.#map !== null; }

  async measure() {
    const { turn, job, backend } = this.session;
    hush();
    part("measure").disabled = true;
    this.#tell(null, "Measuring");
    let map = null, words = "", remarks = "";
    try {
      const { told, notes, picture } = await backend.distances(job, this.optics);
      const { bytes, width, height } = await pixelsIn(picture);
      map = { width, height, metres: decodeMetres(bytes) };
      words = `${told.charAt(0).toUpperCase()}${told.slice(1)}.`;
      remarks = notes.join(" ");
    } catch (error) {
      if (turn === this.session.turn) complain(sentenceOf(error));
    }
    part("measure").disabled = false;
    if (turn === this.session.turn) this.#tell(map, words, remarks);
  }

  read(event) {
    const place = this.#map && this.viewer.placeOf(event);
    part("reading").hidden = !place;
    if (!place) return;
    const { width, height, metres } = this.#map;
    const column = Math.floor(place[0] * width), row = Math.floor(place[1] * height);
    part("reading").textContent = distanceName(metres[row * width + column]);
  }

  async #takeRho(input) {
    const file = input.files[0];
    if (!file) return;
    hush();
    const found = rhoIn(await file.text());
    input.value = "";
    if (!found) return complain(`${file.name} holds no rho; give a number, or the file that dualpix calibrate -o wrote.`);
    for (const [id, text] of Object.entries(found)) part(id).value = text;
  }

  #tell(map, words, remarks = "") {
    this.#map = map;
    part("measured").textContent = words;
    part("measurednotes").textContent = remarks;
    part("measuring").hidden = !map;
    part("reading").hidden = true;
  }
}
