// Both views and what the check said of them, and how far the work is.

import { bar, clock, complain, part, say, sizeOf } from "./screen.js";

const VIEWS = ["left", "right", "disparity"];
const STOPPING = "Stopping";
const CAN_DEBLUR = ["ready", "done", "failed"], CAN_STOP = ["checking", "waiting", "running"], CAN_SWAP = ["ready", "done"];

export class Pair {
  constructor(session) {
    this.session = session;
    for (const id of VIEWS) part(id).addEventListener("load", () => part(id).classList.add("loaded"));
  }

  clear() {
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

  // Nothing more can be asked until the answer to this is there.
  pause(verb) {
    for (const id of ["deblur", "stop", "swap"]) part(id).disabled = true;
    if (verb === "stop") say(STOPPING);
  }

  tell(job) {
    const { state } = job;
    part("deblur").hidden = !CAN_DEBLUR.includes(state);
    part("deblur").textContent = { done: "Show the result", failed: "Try again" }[state] ?? "Deblur";
    part("deblur").disabled = false;
    part("stop").disabled = job.stopping;
    part("stop").hidden = !CAN_STOP.includes(state);
    part("swap").disabled = !CAN_SWAP.includes(state);
    if (state === "checking") {
      part("verdict").textContent = "Reading the views";
      return bar(null, "Reading the views");
    }
    if (job.check) this.show(job); // one that was stopped while it was checked has none
    else part("verdict").textContent = "The views have not been read";
    if (state === "waiting") return bar(null, "Waiting for another picture to be done");
    if (state === "running") return bar(job.bands > 1 && job.bands_done ? job.bands_done / job.bands : null, pace(job));
    part("working").hidden = true;
    say("");
    if (state === "failed") complain(job.problem.message);
  }

  show(job) {
    const { check } = job;
    const odd = Object.values(check.odd);
    const notes = [...odd, ...job.notes.filter((note) => !odd.includes(note))];
    part("notes").replaceChildren(...notes.map((note) => {
      const item = document.createElement("li");
      item.textContent = note.replace(/ \(--[\w-]+\)/, "");
      item.classList.toggle("odd", odd.includes(note));
      return item;
    }));
    const shown = `${job.id} ${job.swap}`;
    if (part("views").dataset.version === shown) return;
    part("views").dataset.version = shown;
    const [width, height] = sizeOf(check);
    part("views").style.setProperty("--aspect", width / height);
    for (const id of VIEWS) {
      part(id).classList.remove("loaded");
      this.session.backend.picture(job, id).then((source) => { part(id).src = source; }, () => {});
    }
    part("verdict").textContent = check.verdict.charAt(0).toUpperCase() + check.verdict.slice(1);
    part("scale").textContent = `full colour at ${check.scale_px.toFixed(1)} px`;
  }
}

function pace({ stopping, seconds, bands, bands_done: done }) {
  if (stopping) return STOPPING;
  if (!bands) return "Deblurring: measuring what fits the memory";
  if (bands === 1 || !done) return `Deblurring: ${clock(seconds)}`;
  return `Deblurring: ${done} of ${bands} bands, about ${clock(seconds / done * (bands - done))} left`;
}
