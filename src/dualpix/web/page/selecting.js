// Only a part of the result made sharp: chosen by its disparity and shown as a veil over what keeps its blur, or by a
// mask of the user's own.

import { keepOf, rangeAt, span, veil } from "./planes.js";
import { sentenceOf } from "./problems.js";
import { complain, hush, part, unsay } from "./screen.js";

const SENDING = "Sending the mask";
const IN_FOCUS_PX = [-0.5, 0.5];

export class Selecting {
  #planes = null;
  #mask = null; // the number of the user's own, if that is what says it

  // `change` is called when another picture is wanted.
  constructor(session, change) {
    Object.assign(this, { session, change });
    for (const id of ["near", "far"]) {
      part(id).addEventListener("input", () => {
        const [low, high] = this.range;
        if (low < high) this.choose([low, high]);
        else this.choose(id === "near" ? [high - 0.1, high] : [low, low + 0.1]);
        this.draw(true);
      });
    }
    part("masked").addEventListener("change", () => this.draw());
    part("ownmask").addEventListener("change", (event) => {
      const [file] = event.target.files;
      event.target.value = "";
      if (file) this.send(file);
    });
    part("unmask").addEventListener("click", () => {
      this.#mask = null;
      this.draw();
      this.change();
      part("pick").focus();
    });
  }

  // `planes`: of a result, or nothing; `masks`: whether masks of the user's own are understood.
  offer(planes, masks) {
    this.#planes = planes;
    this.#mask = null;
    part("some").closest("label").hidden = !planes && !masks;
    part("offermask").hidden = !masks;
    if (planes) {
      Object.assign(part("veil"), { width: planes.width, height: planes.height });
      const [low, high] = span(planes);
      for (const id of ["near", "far"]) Object.assign(part(id), { min: low.toFixed(2), max: high.toFixed(2) });
      this.choose(IN_FOCUS_PX);
    }
    this.draw();
  }

  get range() { return [part("near").valueAsNumber, part("far").valueAsNumber]; }

  get isOn() { return part("some").checked; }

  get wish() {
    if (!this.isOn) return null;
    if (this.#mask) return { mask: this.#mask };
    return this.#planes && { keep: keepOf(this.range, part("inverse").checked) };
  }

  choose([low, high]) {
    part("near").value = low;
    part("far").value = high;
    for (const id of ["near", "far"]) {
      const text = `${part(id).valueAsNumber.toFixed(1)} px`;
      part(`${id}px`).textContent = text;
      part(id).setAttribute("aria-valuetext", text);
    }
  }

  pick(x, y) {
    this.choose(rangeAt(this.#planes, x, y));
    this.draw();
    this.change();
  }

  async send(file) {
    const { session } = this, { turn } = session;
    hush();
    part("saved").textContent = SENDING;
    try {
      const job = await session.backend.mask(session.job, file);
      if (turn !== session.turn) return;
      session.job = job;
      this.#mask = job.mask;
      part("maskname").textContent = file.name;
      this.draw();
      this.change();
    } catch (error) {
      unsay(SENDING);
      if (turn === session.turn) complain(sentenceOf(error));
    }
  }

  // While the range is dragged the veil says what it is; the picture follows when it is let go.
  draw(isDragged = false) {
    part("selection").hidden = !this.isOn;
    part("bydisparity").hidden = !this.#planes || Boolean(this.#mask);
    part("bymask").hidden = !this.#mask;
    part("unmask").hidden = !this.#planes;
    part("veil").hidden = !this.isOn || part("bydisparity").hidden || !(isDragged || part("masked").checked);
    if (part("veil").hidden) return;
    const { width, height } = this.#planes;
    const bytes = veil(this.#planes, this.range, part("inverse").checked);
    part("veil").getContext("2d").putImageData(new ImageData(bytes, width, height), 0, 0);
  }
}
