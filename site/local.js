// The back end that computes in the browser itself: nothing leaves the machine. See `backend.js`.

import { isolate } from "./isolating.js";
import { Problem } from "./problems.js";

const isPhone =
  navigator.userAgentData?.mobile ??
  (/Mobi|Android|iPhone|iPad/.test(navigator.userAgent) ||
    (/Mac/.test(navigator.userAgent) && navigator.maxTouchPoints > 1));
const LOST =
  "The part of the page that computes has ended, probably for lack of memory; load the page again, and close other" +
  " tabs or make both views smaller.";
const TIGHT = "The memory did not suffice at first; smaller bands were computed instead.";
const SHARES = [1, 1 / 2, 1 / 4]; // of the memory that may be used, tried one after the other where it does not suffice
const NO_PLANES = "The disparity of single pixels is not computed in the browser.";
const BUSY = "The page is still computing; wait for it, or stop it.";

// What the address may ask for: `?memory=800` (megabytes that computing may take), `?engine=wasm` (no GPU) and
// `?threads=1`.
function asked() {
  const given = new URLSearchParams(location.search),
    engine = given.get("engine");
  const [memory, threads] = ["memory", "threads"].map((name) => {
    const text = given.get(name);
    if (text === null || /^[1-9]\d*$/.test(text)) return text && Number(text);
    throw new Problem(
      `${name} in the address cannot be ${text}; give a whole number, such as ?memory=800 or ?threads=2.`,
    );
  });
  if (engine !== null && !["webgpu", "wasm"].includes(engine)) {
    throw new Problem(`There is no engine ${engine}; give ?engine=webgpu or ?engine=wasm in the address, or neither.`);
  }
  return { memory: memory && 1e6 * memory, threads, engine, isPhone };
}

// The worker, asked by messages. It holds one pair, which is lost when it ends.
class Worked {
  #asked = new Map();
  #count = 0;
  #worker = null;
  holds = null; // which pair that is

  constructor(options) {
    this.options = options;
    this.#prepare();
  }

  #prepare() {
    this.ask("prepare", this.options).catch(() => {}); // told when it is needed
  }

  #start() {
    this.#worker = new Worker("worker.js", { type: "module" });
    this.#worker.addEventListener("message", ({ data }) => this.#hear(data));
    this.#worker.addEventListener("error", (event) => {
      const lost = new Problem(event.message ? `${LOST} (${event.message})` : LOST);
      this.#end(Object.assign(lost, { isOutOfMemory: true }));
    });
  }

  // Whatever it does ends at once, and its memory is free.
  restart() {
    this.#end(Object.assign(new Problem("This was stopped."), { isStopped: true }));
    this.#prepare();
  }

  #end(error) {
    const waiting = [...this.#asked.values()];
    this.#asked.clear();
    this.holds = null;
    this.#worker?.terminate();
    this.#worker = null; // a new one is started when it is asked
    for (const { fail } of waiting) fail(error);
  }

  ask(call, given, told = () => {}) {
    return new Promise((done, fail) => {
      const id = ++this.#count;
      this.#asked.set(id, { done, fail, told });
      if (!this.#worker) this.#start();
      this.#worker.postMessage({ call, id, given });
    });
  }

  #hear({ id, told, done, failed }) {
    const asked = this.#asked.get(id);
    if (!asked) return;
    if (told) return asked.told(told);
    this.#asked.delete(id);
    if (!failed) return asked.done(done);
    const error = failed.sentence ? new Problem(failed.sentence) : new Error(failed.mistake);
    asked.fail(Object.assign(error, { isOutOfMemory: failed.isOutOfMemory }));
  }
}

class Local {
  features = {
    where: "Everything stays on this device: the page computes here, without a server.",
    formats: ["png-16", "tif-16", "jpg-8"],
    ask_ms: 100,
    resumes: false,
    parts: false,
    masks: false,
    maps: ["disparity", "confidence"],
    metres: false,
    refocus: false,
  };

  #worked;
  #holding = null; // what the worker is being given
  #job = null;
  #pictures = new Map(); // addresses, by name
  #ids = 0;

  constructor(options) {
    this.options = options;
    this.#worked = new Worked(options);
    addEventListener("beforeunload", (event) => {
      const state = this.#job?.state;
      if (state === "running" || (state === "done" && !this.#job.fetched)) event.preventDefault();
    });
  }

  async limits() {
    return { body_bytes: null, megapixels: 200, kept_s: null };
  }

  async begin(files, layout, onProgress) {
    onProgress(1);
    this.#drop();
    this.#job = {
      id: `pair-${++this.#ids}`,
      given: { files, layout },
      state: "checking",
      stopping: false,
      version: 0,
      swap: false,
      bands_done: 0,
      bands: 0,
      seconds: 0,
      check: null,
      notes: [],
      plan: null,
      report: null,
      refocus: null,
      planes: false,
      mask: 0,
      fetched: false,
      problem: null,
    };
    this.#compare(this.#job);
    return { ...this.#job };
  }

  async state(id) {
    if (this.#job?.id !== id) throw new Problem("These pictures are no longer here; choose them again.");
    if (this.#job.since) this.#job.seconds = (performance.now() - this.#job.since) / 1000;
    return { ...this.#job };
  }

  async command(job, verb) {
    const mine = this.#job;
    mine.fetched = job.fetched;
    if (verb === "stop") this.#stop(mine);
    else if (mine.state === "running" || mine.state === "checking") throw new Problem(BUSY, true);
    else if (verb === "start") this.#deblur(mine);
    else {
      const undone = { plan: null, report: null, planes: false, fetched: false };
      Object.assign(mine, { state: "checking", swap: !mine.swap, ...undone });
      this.#compare(mine);
    }
    return this.state(mine.id);
  }

  async picture(job, name) {
    if (name === "planes") throw new Problem(NO_PLANES);
    const key = `${name} ${job.version}`;
    if (!this.#pictures.has(key)) {
      const { bytes, mime } = await this.#drawn(name);
      this.#pictures.set(key, URL.createObjectURL(new Blob([bytes], { type: mime })));
    }
    return this.#pictures.get(key);
  }

  async save(job, kind, { format, depth, strength }) {
    const wish = { format, depth: Number(depth), strength: Number(strength ?? 1) };
    const { bytes, mime, ending } = await this.#worked.ask("save", { kind, wish, options: this.options });
    if (kind === "result") this.#job.fetched = true;
    return { blob: new Blob([bytes], { type: mime }), ending };
  }

  forget(job) {
    if (this.#job?.id !== job.id) return;
    this.#drop();
    if (["running", "checking"].includes(this.#job.state)) this.#worked.restart();
    this.#job = null;
    this.#worked.holds = null;
    this.#worked.ask("forget").catch(() => {});
  }

  async #compare(mine) {
    await this.#attempt(mine, async () => {
      await this.#hold(mine);
      mine.state = "ready";
    });
  }

  // The worker has this pair, in this order.
  async #hold(mine) {
    const key = held(mine);
    if (this.#holding?.key !== key) this.#holding = { key, done: this.#give(mine) };
    try {
      await this.#holding.done;
    } finally {
      if (this.#holding?.key === key) this.#holding = null;
    }
  }

  async #give(mine) {
    if (this.#worked.holds === held(mine)) return;
    const isSame = this.#worked.holds === held({ ...mine, swap: !mine.swap });
    const { check, notes } = await (isSame
      ? this.#worked.ask("swap")
      : this.#worked.ask("open", { ...mine.given, isSwapped: mine.swap }));
    this.#worked.holds = held(mine);
    if (mine.shown === held(mine)) return; // the same once more, after the worker was ended
    this.#drop();
    Object.assign(mine, { check, notes, version: mine.version + 1, shown: held(mine) });
  }

  // A picture of what the worker holds; of the pair itself also if the worker was ended meanwhile.
  async #drawn(name) {
    try {
      return await this.#worked.ask("picture", { name });
    } catch (error) {
      if (!error.isStopped || !this.#job) throw error;
      await this.#hold(this.#job);
      return this.#worked.ask("picture", { name });
    }
  }

  async #deblur(mine) {
    Object.assign(mine, { state: "running", problem: null, bands_done: 0, bands: 0, since: performance.now() });
    await this.#attempt(mine, async () => {
      const { notes, ...told } = await this.#computed(mine);
      Object.assign(mine, told, {
        state: "done",
        fetched: false,
        planes: true,
        version: mine.version + 1,
        notes: [...new Set([...mine.notes, ...notes])],
      });
    }, true);
    mine.seconds = (performance.now() - mine.since) / 1000;
    mine.since = null;
  }

  // In a worker whose memory does not suffice little is left to go on with, so the next try has a new one.
  async #computed(mine) {
    let failed = null;
    for (const share of SHARES) {
      try {
        await this.#hold(mine);
        const tell = (news) => Object.assign(mine, news);
        const done = await this.#worked.ask("deblur", { options: this.options, share }, tell);
        return failed ? { ...done, notes: [...done.notes, TIGHT] } : done;
      } catch (error) {
        if (error.isStopped) throw error;
        failed ??= error; // what comes later may say only that the bands cannot be smaller
        if (!error.isOutOfMemory) break;
        this.#worked.restart();
        Object.assign(mine, { bands_done: 0, bands: 0 });
      }
    }
    throw failed;
  }

  #stop(mine) {
    if (["running", "checking"].includes(mine.state)) this.#worked.restart();
  }

  // `isKept`: whatever is told, the pictures stay where they are.
  async #attempt(mine, act, isKept = false) {
    try {
      await act();
    } catch (error) {
      if (isKept && error instanceof Problem) error.mayPass = true;
      if (error.isStopped) mine.state = "ready";
      else Object.assign(mine, { state: "failed", problem: error });
    }
  }

  #drop() {
    for (const address of this.#pictures.values()) URL.revokeObjectURL(address);
    this.#pictures.clear();
  }
}

// Which pair, and in which order.
const held = ({ id, swap }) => `${id} ${swap}`;

export async function open() {
  const options = asked();
  await isolate();
  return new Local(options);
}
