// Another focus and aperture for a result: what the user chose, as a wish to the back end.

import { middleAt } from "./planes.js";

// Column and row in the file of a place in the picture as it is seen, both from 0 to 1. As io/writing.py turns pictures.
export function inFile(x, y, [width, height], orientation) {
  const across = [2, 3, 6, 7].includes(orientation) ? 1 - x : x;
  const down = [3, 4, 7, 8].includes(orientation) ? 1 - y : y;
  const [column, row] = orientation > 4 ? [down, across] : [across, down];
  const within = (share, length) => Math.min(length - 1, Math.floor(share * length));
  return [within(column, width), within(row, height)];
}

// Focus on a point of the file, or, if there is none, on a disparity.
export const wishOf = (point, focus, aperture) => point
  ? { aperture, focus_at: point.join() }
  : { aperture, focus: focus.toFixed(2) };

export function apertureName(aperture) {
  if (aperture === 0) return "all sharp";
  return aperture === 1 ? "as taken" : `${aperture.toFixed(1)} ×`;
}

// The controls. `part` finds one by its id, and `change` is called when another picture is wanted.
export class Refocusing {
  constructor(part, change) {
    Object.assign(this, { part, change, point: null, planes: null });
    for (const id of ["focus", "aperture"]) {
      part(id).addEventListener("input", () => {
        if (id === "focus") this.point = null;
        this.tell();
      });
      part(id).addEventListener("change", change);
    }
  }

  // `offered`: what the back end says of a result that can be refocused, or nothing.
  offer(offered, size, planes) {
    Object.assign(this, { offered, size, planes, point: null });
    const asks = this.part("anew").closest("label") ?? this.part("anew");
    asks.hidden = !offered;
    if (offered) { // in whole steps of the slider, so that it can stand at 0, the plane that was in focus
      const min = Math.floor(20 * offered.low_px) / 20, max = Math.ceil(20 * offered.high_px) / 20;
      Object.assign(this.part("focus"), { min, max, value: 0 });
    }
    this.part("aperture").value = 1;
    this.tell();
  }

  get isOn() { return Boolean(this.offered) && this.part("anew").checked; }

  get wish() {
    const { part } = this;
    return this.isOn ? wishOf(this.point, part("focus").valueAsNumber, part("aperture").valueAsNumber) : null;
  }

  // Focus on a place in the picture as it is seen; the slider shows about where that lies.
  aim(x, y) {
    this.point = inFile(x, y, this.size, this.offered.orientation);
    if (this.planes) this.part("focus").value = middleAt(this.planes, x, y);
    this.tell();
    this.change();
  }

  tell() {
    const { part } = this;
    part("refocus").hidden = !this.isOn;
    const words = { focus: `${part("focus").valueAsNumber.toFixed(1)} px`, aperture: apertureName(part("aperture").valueAsNumber) };
    for (const [id, text] of Object.entries(words)) {
      part(`${id}told`).textContent = text;
      part(id).setAttribute("aria-valuetext", text);
    }
    part("sweep").disabled = part("aperture").valueAsNumber === 0;
  }
}
