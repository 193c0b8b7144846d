// Computes in a thread of its own, so that the page never freezes. Messages in: { call, id, given }; out: { id, done }
// or { id, failed } with a sentence or a mistake, and { id, told } meanwhile.

import { startNetwork } from "./compute/engine.js";
import { isOutOfMemory, sentenceOf } from "./compute/errors.js";
import { Job } from "./compute/job.js";
import { unkept } from "./compute/keeping.js";
import { LIMITS } from "./compute/network.js";

let network = null; // a promise
let job = null;

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

const shown = () => ({ check: job.check, notes: job.notes });

const CALLS = {
  async prepare(options) {
    return (await networkOf(options)).told;
  },
  async open({ files, layout, isSwapped }) {
    job = null; // its memory is needed
    job = await Job.open(files, layout, isSwapped);
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
    const failed = {
      isOutOfMemory: isOutOfMemory(error),
      sentence: sentenceOf(error),
      mistake: `${error?.message ?? error}`,
    };
    if (!failed.sentence) console.error(error);
    postMessage({ id, failed });
  }
});
