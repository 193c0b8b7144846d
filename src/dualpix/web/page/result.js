// The result: looked at beside what was before, in part or refocused, measured, and saved.

import { Distances } from "./distances.js";
import { pixelsAt } from "./pixels.js";
import { decode } from "./planes.js";
import { Refocusing } from "./refocus.js";
import { save } from "./saving.js";
import { clock, complain, part, show, sizeOf, unsay } from "./screen.js";
import { Selecting } from "./selecting.js";
import { Viewer } from "./viewer.js";

const LOADING = "Loading both pictures";
const MAKING = "Making the picture";
const UNSEEN = "This cannot be shown; try again in a moment.";

export class Result {
  #wished = 0; // counts what the user asked to see
  #isMaking = false; // whether that is being fetched

  constructor(session) {
    this.session = session;
    const pieces = ["stage", "before", "after", "clip", "split", "handle", "veil"];
    this.viewer = new Viewer(Object.fromEntries(pieces.map((id) => [id, part(id)])), showZoom);
    this.selecting = new Selecting(session, () => this.preview());
    this.refocusing = new Refocusing(part, () => this.preview());
    this.distances = new Distances(session, this.viewer);
    const { formats } = session.backend.features;
    for (const option of [...part("format").options]) if (!formats.includes(option.value)) option.remove();
    this.listen();
  }

  listen() {
    const { viewer, refocusing, selecting, session } = this;
    part("fit").addEventListener("click", () => viewer.fit());
    part("full").addEventListener("click", () => viewer.full());
    part("twice").addEventListener("click", () => viewer.full(2));
    viewer.peeksBy(part("peek"));
    part("strength").addEventListener("input", () => {
      part("percent").textContent = `${part("strength").value} %`;
      this.blend();
    });
    for (const id of ["whole", "some", "anew", "near", "far", "inverse"]) {
      part(id).addEventListener("change", () => {
        this.pickBy(null);
        this.draw();
        this.preview();
      });
    }
    part("pick").addEventListener("click", () => this.toggle("pick", (x, y) => selecting.pick(x, y)));
    part("aim").addEventListener("click", () => this.toggle("aim", (x, y) => refocusing.aim(x, y)));
    part("download").addEventListener("click", () => this.download());
    part("sweep").addEventListener("click", () => {
      save(session, part("sweep"), "sweep", { aperture: refocusing.wish.aperture });
    });
    for (const button of document.querySelectorAll("[data-map]")) {
      button.addEventListener("click", () => save(session, button, button.dataset.map, this.mapWish(button.dataset.map)));
    }
    part("metres").addEventListener("toggle", () => this.offerMaps());
  }

  async show(job) {
    const { turn } = this.session;
    const isLate = () => turn !== this.session.turn;
    show("result");
    part("how").textContent = job.plan
      ? `${sizeOf(job.check).join(" × ")} pixels in ${clock(job.seconds)}. ${job.report || ""}` : "";
    part("saved").textContent = LOADING;
    try {
      const sources = ["before", "preview"].map((name) => this.session.backend.picture(job, name));
      await this.viewer.show(...await Promise.all(sources));
    } catch {
      if (isLate()) return;
      unsay(LOADING);
      complain("The result cannot be shown here, but it can be downloaded.");
      return;
    }
    if (isLate()) return;
    part("stage").focus({ preventScroll: true });
    unsay(LOADING);
    this.offer(job, null);
    const planes = job.planes ? await this.planesOf(job) : null;
    if (!isLate()) this.offer(job, planes);
  }

  // What this result can be changed by.
  offer(job, planes) {
    const { features } = this.session.backend;
    part("whole").checked = true;
    this.selecting.offer(features.parts ? planes : null, features.masks);
    this.pickBy(null);
    this.refocusing.offer(features.refocus ? job.refocus : null, sizeOf(job.check), planes);
    this.distances.offer(features.metres && job.planes ? job : null);
    part("modes").hidden = ["some", "anew"].every((id) => part(id).closest("label").hidden);
    this.draw();
    this.viewer.draw();
  }

  // The mask where there is one, and distances where the user asks for them.
  offerMaps() {
    const { backend, job } = this.session;
    const isThere = {
      mask: this.selecting.wish !== null,
      metres: backend.features.metres && part("metres").open,
    };
    for (const button of document.querySelectorAll("[data-map]")) {
      const { map } = button.dataset;
      const isFound = map === "mask" || Boolean(job?.planes);
      button.closest("li").hidden = !(backend.features.maps.includes(map) && isFound && (isThere[map] ?? true));
    }
    part("maps").hidden = [...part("maps").querySelectorAll("li")].every((item) => item.hidden);
  }

  mapWish(map) {
    const format = map === "metres" || part("format").value.startsWith("tif") ? "tif" : "png";
    if (map === "mask") return { format, ...this.selecting.wish };
    return map === "metres" ? { format, ...this.distances.optics } : { format };
  }

  async planesOf(job) {
    try {
      const { bytes, width, height } = await pixelsAt(await this.session.backend.picture(job, "planes"));
      return decode(bytes, width, height);
    } catch {
      return null; // the result is there, and is worth more than the choice of its parts
    }
  }

  draw() {
    this.selecting.draw();
    this.refocusing.tell();
    this.blend();
    this.offerMaps();
  }

  // A refocused picture is one of the whole result, at full strength.
  blend() {
    const { isOn } = this.refocusing;
    part("strength").disabled = isOn;
    this.viewer.strength = isOn ? 1 : part("strength").value / 100;
  }

  // What a click in the picture does, until there was one: `button` says so. Without, a click compares as usual.
  pickBy(button, act) {
    for (const id of ["pick", "aim"]) part(id).setAttribute("aria-pressed", id === button);
    part("stage").classList.toggle("picking", Boolean(button));
    this.viewer.picks = button && ((x, y) => { this.pickBy(null); act(x, y); });
  }

  toggle(button, act) {
    if (part(button).getAttribute("aria-pressed") === "true") this.pickBy(null);
    else this.pickBy(button, act);
  }

  get wish() { return this.refocusing.wish ?? this.selecting.wish ?? {}; }

  // One at a time: while one is made, only the last of what was wished for meanwhile is remembered.
  async preview() {
    this.#wished += 1;
    if (this.#isMaking) return;
    this.#isMaking = true;
    for (let made = 0; this.session.job && made !== this.#wished;) {
      made = this.#wished;
      part("saved").textContent = MAKING;
      let isSeen = true;
      try {
        part("after").src = await this.session.backend.picture(this.session.job, "preview", this.wish);
        await part("after").decode();
      } catch {
        isSeen = false;
      }
      if (made !== this.#wished) continue;
      if (isSeen) unsay(MAKING);
      else part("saved").textContent = UNSEEN;
    }
    this.#isMaking = false;
    this.draw();
  }

  async download() {
    const [format, depth] = part("format").value.split("-");
    const strength = this.refocusing.isOn ? 1 : part("strength").value / 100;
    const { session } = this, { id } = session.job;
    const isSaved = await save(session, part("download"), "result", { format, depth, strength, ...this.wish });
    if (isSaved && session.job?.id === id) session.job.fetched = true;
  }
}

function showZoom(share, isFit) {
  part("zoom").textContent = `${Math.round(100 * share)} %`;
  part("fit").setAttribute("aria-pressed", isFit);
  for (const [id, times] of [["full", 1], ["twice", 2]]) {
    part(id).setAttribute("aria-pressed", !isFit && Math.abs(share - times) < 0.005);
  }
}
