// The result: looked at beside what was before, in part or refocused, and saved.

import { decode } from "./planes.js";
import { sentenceOf } from "./problems.js";
import { Refocusing } from "./refocus.js";
import { clock, complain, hush, part, show, sizeOf } from "./screen.js";
import { Selecting } from "./selecting.js";
import { Viewer } from "./viewer.js";

const KEPT_MS = 60000; // so long a browser may take to begin saving
const UNSEEN = "This cannot be shown; try again in a moment.";

export class Result {
  #wished = 0; // counts what the user asked to see
  #isMaking = false; // whether that is being fetched

  constructor(session) {
    this.session = session;
    const pieces = ["stage", "before", "after", "clip", "split", "handle", "veil"];
    this.viewer = new Viewer(Object.fromEntries(pieces.map((id) => [id, part(id)])), showZoom);
    this.selecting = new Selecting(() => this.preview());
    this.refocusing = new Refocusing(part, () => this.preview());
    const { formats } = session.backend.features;
    for (const option of [...part("format").options]) if (!formats.includes(option.value)) option.remove();
    this.listen();
  }

  listen() {
    const { viewer, refocusing, selecting } = this;
    part("fit").addEventListener("click", () => viewer.fit());
    part("full").addEventListener("click", () => viewer.full());
    part("strength").addEventListener("input", () => {
      part("percent").textContent = `${part("strength").value} %`;
      this.blend();
    });
    for (const id of ["some", "near", "far", "inverse", "anew"]) {
      part(id).addEventListener("change", () => {
        if (id === "anew") part("some").checked = false;
        if (id === "some") part("anew").checked = false;
        this.pickBy(null);
        this.draw();
        this.preview();
      });
    }
    part("pick").addEventListener("click", () => this.toggle("pick", (x, y) => selecting.pick(x, y)));
    part("aim").addEventListener("click", () => this.toggle("aim", (x, y) => refocusing.aim(x, y)));
    part("download").addEventListener("click", () => this.download());
    part("sweep").addEventListener("click", () => this.save("sweep", "sweep", { aperture: refocusing.wish.aperture }));
  }

  async show(job) {
    const { turn } = this.session;
    const isLate = () => turn !== this.session.turn;
    show("result");
    part("how").textContent = job.plan
      ? `${sizeOf(job.check).join(" × ")} pixels in ${clock(job.seconds)}. ${job.report || ""}` : "";
    part("saved").textContent = "Loading both pictures";
    try {
      const sources = ["before", "preview"].map((name) => this.session.backend.picture(job, name));
      await this.viewer.show(...await Promise.all(sources));
    } catch {
      if (!isLate()) complain("The result cannot be shown here, but it can be downloaded.");
      return;
    }
    if (isLate()) return;
    part("stage").focus({ preventScroll: true });
    part("saved").textContent = "";
    this.offer(job, null);
    const planes = await this.planesOf(job);
    if (!isLate()) this.offer(job, planes);
  }

  // What this result can be changed by.
  offer(job, planes) {
    const { features } = this.session.backend;
    this.selecting.offer(features.parts ? planes : null);
    this.pickBy(null);
    this.refocusing.offer(features.refocus ? job.refocus : null, sizeOf(job.check), planes);
    this.draw();
    this.viewer.draw();
  }

  async planesOf(job) {
    const picture = new Image();
    try {
      picture.src = await this.session.backend.picture(job, "planes");
      await picture.decode();
    } catch {
      return null; // these weights give none
    }
    const { naturalWidth: width, naturalHeight: height } = picture;
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    const pen = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
    pen.drawImage(picture, 0, 0);
    return decode(pen.getImageData(0, 0, width, height).data, width, height);
  }

  draw() {
    this.selecting.draw();
    this.refocusing.tell();
    this.blend();
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
      part("saved").textContent = "Making the picture";
      let words = "";
      try {
        part("after").src = await this.session.backend.picture(this.session.job, "preview", this.wish);
        await part("after").decode();
      } catch {
        words = UNSEEN;
      }
      if (made === this.#wished) part("saved").textContent = words;
    }
    this.#isMaking = false;
    this.selecting.draw();
  }

  async download() {
    const [format, depth] = part("format").value.split("-");
    const strength = this.refocusing.isOn ? 1 : part("strength").value / 100;
    const { job } = this.session;
    if (await this.save("download", "result", { format, depth, strength, ...this.wish })) job.fetched = true;
  }

  // Whether it could be saved, under the name of the pair.
  async save(button, kind, wish) {
    part(button).disabled = true;
    part("saved").textContent = "Writing the file";
    hush();
    try {
      const { blob, ending } = await this.session.backend.save(this.session.job, kind, wish);
      const link = document.createElement("a");
      link.href = URL.createObjectURL(blob);
      link.download = `${this.session.name}-${ending}`;
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
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
}

function showZoom(share, isFit) {
  part("zoom").textContent = `${Math.round(100 * share)} %`;
  part("fit").setAttribute("aria-pressed", isFit);
  part("full").setAttribute("aria-pressed", !isFit && Math.abs(share - 1) < 0.005);
}
