// Computes in a thread of its own, so that the page never freezes. Messages in: { call, id, given }; out: { id, done }
// or { id, failed } with a sentence or a mistake, and { id, told } meanwhile.

import { startNetwork } from "./compute/engine.js";
import { ComputeError, failureOf } from "./compute/errors.js";
import { Job } from "./compute/job.js";
import { unkept } from "./compute/keeping.js";
import { LIMITS } from "./compute/network.js";

const ENDED =
  "The part of the page that reads pictures could not be started, or has ended for lack of memory; load the page" +
  " again, and close other tabs.";

let network = null; // a promise
let job = null;
let checking = null; // the thread that does

function networkOf(options) {
  network ??= startNetwork(options).catch((error) => {
    network = null; // another try may go well
    throw error;
  });
  return network;
}

function limitsOf({ memory, isPhone }, share) {
  const limits = memory ? [memory] : LIMITS[isPhone ? "phone" : "desktop"];
  return limits.map((limit) => share * limit);
}

// The pair in `files`, read and compared in another thread. Throws { failed } as messages have it.
async function opened(given) {
  checking?.terminate(); // another pair is asked for
  const mine = new Worker(new URL("checking.js", import.meta.url), { type: "module" });
  checking = mine;
  try {
    return await new Promise((done, fail) => {
      mine.addEventListener("message", ({ data }) => (data.failed ? fail(data) : done(Job.from(data.done))));
      mine.addEventListener("error", ({ message }) => fail(new ComputeError(message ? `${ENDED} (${message})` : ENDED)));
      mine.postMessage(given);
    });
  } finally {
    mine.terminate();
  }
}

const shown = () => ({ check: job.check, notes: job.notes });

const CALLS = {
  async prepare(options) {
    return (await networkOf(options)).told;
  },
  async open(given) {
    job = null; // its memory is needed
    job = await opened(given);
    return shown();
  },
  async swap() {
    job.swap();
    return shown();
  },
  // `share` of the memory that may be used otherwise.
  async deblur({ options, share }, tell) {
    const network = await networkOf(options);
    const tellBands = async (bands_done, bands) => tell({ bands_done, bands });
    const done = await job.deblur(network, limitsOf(options, share), tellBands);
    return { ...done, notes: [...done.notes, ...(await unkept(network.addresses))] };
  },
  async picture({ name }) {
    return job.picture(name);
  },
  // The result, or a map beside it.
  async save({ kind, wish, options }) {
    const used = await networkOf(options),
      { version, network: name, weights } = used.manifest,
      software = `dualpix ${version}, ${name}, weights ${weights}`;
    return kind === "result" ? job.save(wish, software) : job.map(kind, wish, used, limitsOf(options, 1), software);
  },
  async forget() {
    job = null;
  },
};

self.addEventListener("message", async ({ data: { call, id, given } }) => {
  try {
    const done = await CALLS[call](given, (told) => postMessage({ id, told }));
    postMessage({ id, done }, done?.bytes ? [done.bytes.buffer] : []);
  } catch (error) {
    const failed = error?.failed ?? failureOf(error);
    postMessage({ id, failed });
  }
});
