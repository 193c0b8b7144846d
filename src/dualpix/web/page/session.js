// One job of the back end at a time, followed until it rests. Whoever shows it gives `handlers`:
//   tell(job)            the job as it is now
//   away(error | null)   the back end does not answer just now, or does again
//   lost(error)          this ended the job, and there is none now
//   refused(error)       this was not done, and the job is as it was

import { mayPass } from "./problems.js";

const ACTIVE = ["checking", "waiting", "running"];

const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

export class Session {
  #turn = 0; // counts what the user began, so that late answers to what was before are dropped

  constructor(backend, handlers) {
    Object.assign(this, { backend, handlers, job: null, name: "picture" });
  }

  // For asking later whether the user has begun something else meanwhile.
  get turn() { return this.#turn; }

  // A result that nobody has saved is not thrown away unasked.
  mayBeForgotten() {
    const { job } = this;
    return job?.state !== "done" || job.fetched || confirm("This result has not been downloaded. Throw it away?");
  }

  async begin(files, layout, name, onProgress) {
    this.forget();
    const mine = ++this.#turn;
    this.name = name;
    await this.#attempt(mine, async () => {
      const made = await this.backend.begin(files, layout, (share) => mine === this.#turn && onProgress(share));
      if (mine !== this.#turn) return this.backend.forget(made);
      this.job = made;
      if (this.backend.features.resumes) history.replaceState({ name }, "", `#${made.id}`);
      await this.#follow(mine);
    });
  }

  // Goes on with the job whose id stands in the address, as after a reload. Whether there is one.
  resume(onFound) {
    const id = location.hash.slice(1);
    if (!this.backend.features.resumes || !/^[\w-]+$/.test(id)) return false;
    this.name = history.state?.name ?? this.name;
    const mine = ++this.#turn;
    this.#attempt(mine, async () => {
      const found = await this.backend.state(id);
      if (mine !== this.#turn) return;
      this.job = found;
      onFound();
      await this.#follow(mine);
    });
    return true;
  }

  async command(verb) {
    const mine = ++this.#turn;
    await this.#attempt(mine, async () => {
      const next = await this.backend.command(this.job, verb);
      if (mine !== this.#turn) return;
      this.job = next;
      await this.#follow(mine);
    });
  }

  forget() {
    this.#turn += 1;
    if (this.job) this.backend.forget(this.job);
    this.job = null;
    history.replaceState(null, "", location.pathname + location.search);
  }

  async #follow(mine) {
    let isAway = false;
    for (;;) {
      const failed = this.job.problem;
      if (failed && !mayPass(failed)) throw failed;
      this.handlers.tell(this.job);
      if (!ACTIVE.includes(this.job.state)) return;
      await sleep(this.backend.features.ask_ms);
      if (mine !== this.#turn) return;
      try {
        const next = await this.backend.state(this.job.id);
        if (mine !== this.#turn) return;
        this.job = next;
        if (isAway) this.handlers.away(null);
        isAway = false;
      } catch (error) {
        if (mine !== this.#turn) return;
        if (!mayPass(error)) throw error;
        isAway = true;
        this.handlers.away(error);
      }
    }
  }

  // What may go well another time loses nothing; all else ends the job.
  async #attempt(mine, act) {
    try {
      await act();
    } catch (error) {
      if (mine !== this.#turn) return;
      if (mayPass(error) && this.job) return this.handlers.refused(error);
      if (!mayPass(error)) this.forget();
      this.handlers.lost(error);
    }
  }
}
