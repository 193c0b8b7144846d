// Files in: chosen, dropped or the sample; and the question where the other view is.

import { MARK, endingFor, inOrder, isOnePicture, startOf } from "./files.js";
import { bar, complain, hush, isShown, part, say, show } from "./screen.js";

const SAMPLE = ["sample/left.png", "sample/right.png"];

export class Intake {
  #lonely = null; // the one file we asked about

  // `cleared` is called before a new pair is begun.
  constructor(session, cleared) {
    Object.assign(this, { session, cleared, limits: null });
    for (const id of ["files", "other"]) {
      part(id).addEventListener("change", (event) => {
        const files = [...event.target.files];
        event.target.value = "";
        this.take(files);
      });
    }
    for (const button of document.querySelectorAll("[data-layout]")) {
      button.addEventListener("click", () => this.begin([this.#lonely], button.dataset.layout));
    }
    part("sample").addEventListener("click", () => this.trySample());
    this.listen();
  }

  // Takes what was chosen before anybody listened; whether there was something.
  takeWaiting() {
    const files = [...part("files").files];
    part("files").value = "";
    this.take(files);
    return files.length > 0;
  }

  listen() {
    addEventListener("dragover", (event) => {
      event.preventDefault();
      document.body.classList.add("dragging");
    });
    addEventListener("dragleave", (event) => event.relatedTarget || document.body.classList.remove("dragging"));
    addEventListener("drop", (event) => {
      event.preventDefault();
      document.body.classList.remove("dragging");
      if (event.dataTransfer.files.length) this.take([...event.dataTransfer.files]);
    });
  }

  async take(files) {
    hush();
    if (!files.length) return;
    if (files.length > 2) return complain("Those are more than two files; give the two views of one photograph.");
    const asked = isShown("question") && this.#lonely;
    if (files.length === 1 && asked) files = [asked, files[0]];
    const starts = await Promise.all(files.map((file) => startOf(file).catch(() => null)));
    const unread = files[starts.indexOf(null)];
    if (unread) return complain(`${unread.name} cannot be read; choose a file.`);
    if (!this.session.mayBeForgotten()) return;
    if (files.length === 1 && isOnePicture(files[0], starts[0])) return this.ask(files[0]);
    this.begin(files.length === 2 ? inOrder(files, Boolean(asked)) : files);
  }

  ask(file) {
    this.#lonely = file;
    part("lonely").textContent = file.name;
    show("question");
    part("asked").focus();
  }

  async begin(files, layout) {
    this.forget();
    const most = this.limits?.body_bytes;
    if (most && files.reduce((sum, file) => sum + file.size, 0) > most) {
      show("welcome");
      return complain(`These files are larger than the ${Math.round(most / 1e6)} MB that are allowed.`);
    }
    const name = files[0].name.replace(MARK, "").replace(/\.[^.]*$/, "") || "picture";
    this.cleared(endingFor(files[0]));
    show("pair");
    part("verdict").focus();
    say("Reading the files");
    await this.session.begin(files, layout, name, (share) => bar(share, share < 1 ? "Uploading" : "Reading the views"));
  }

  async trySample() {
    hush();
    part("sample").disabled = true;
    try {
      const files = await Promise.all(SAMPLE.map(async (path) => {
        const answer = await fetch(path);
        if (!answer.ok) throw new Error(answer.statusText);
        return new File([await answer.blob()], path.replace(/.*\/(.*)\./, "sample_$1."));
      }));
      await this.begin(files);
    } catch {
      complain("The sample pair cannot be loaded just now; try again, or choose files of your own.");
    } finally {
      part("sample").disabled = false;
    }
  }

  forget() { this.#lonely = null; }
}
