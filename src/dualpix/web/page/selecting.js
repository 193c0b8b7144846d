// Only a part of the result made sharp: chosen by its disparity, and shown as a veil over what keeps its blur.

import { keepOf, rangeAt, span, veil } from "./planes.js";
import { part } from "./screen.js";

const CONTROLS = ["pick", "near", "far", "inverse", "masked"];
const IN_FOCUS_PX = [-0.5, 0.5];

export class Selecting {
  // `change` is called when another picture is wanted.
  constructor(change) {
    Object.assign(this, { planes: null, change });
    for (const id of ["near", "far"]) {
      part(id).addEventListener("input", () => {
        const [low, high] = this.range;
        if (low < high) this.choose([low, high]);
        else this.choose(id === "near" ? [high - 0.1, high] : [low, low + 0.1]);
        this.draw(true);
      });
    }
    part("masked").addEventListener("change", () => this.draw());
  }

  // `planes`: of a result, or nothing.
  offer(planes) {
    this.planes = planes;
    part("some").checked = false;
    part("selection").hidden = !planes;
    if (planes) {
      Object.assign(part("veil"), { width: planes.width, height: planes.height });
      const [low, high] = span(planes);
      for (const id of ["near", "far"]) Object.assign(part(id), { min: low.toFixed(2), max: high.toFixed(2) });
      this.choose(IN_FOCUS_PX);
    }
    this.draw();
  }

  get range() { return [part("near").valueAsNumber, part("far").valueAsNumber]; }

  get isOn() { return Boolean(this.planes) && part("some").checked; }

  get wish() { return this.isOn ? { keep: keepOf(this.range, part("inverse").checked) } : null; }

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
    this.choose(rangeAt(this.planes, x, y));
    this.draw();
    this.change();
  }

  // While the range is dragged the veil says what it is; the picture follows when it is let go.
  draw(isDragged = false) {
    for (const id of CONTROLS) (part(id).closest("label") ?? part(id)).hidden = !this.isOn;
    part("veil").hidden = !this.isOn || !(isDragged || part("masked").checked);
    if (part("veil").hidden) return;
    const { width, height } = this.planes;
    const bytes = veil(this.planes, this.range, part("inverse").checked);
    part("veil").getContext("2d").putImageData(new ImageData(bytes, width, height), 0, 0);
  }
}
