// Computes in a thread of its own, so that the page never freezes. Messages in: { call, id, given }; out: { id, done }
// or { id, failed } with a sentence or a mistake, and { id, told } meanwhile.

import { startNetwork } from "./compute/engine.js";
import { sentenceOf } from "./compute/errors.js";
import { Job } from "./compute/job.js";
import { LIMITS } from "./compute/network.js";

let network = null; // a promise
let job = null;
let isStopped = false;

const pause = () => new Promise((done) => setTimeout(done, 0)); // lets messages in

function networkOf(options) {
  network ??= startNetwork(options).catch((error) => {
    network = null; // another try may go well
    throw error;
  });
  return network;
}

const shown = () => ({ check: job.check, notes: job.notes });

const CALLS = {
  async prepare(options) {
    return (await networkOf(options)).told;
  },
  async open({ files, layout }) {
    job = null; // its memory is needed
    job = await Job.open(files, layout);
    return shown();
  },
  async swap() {
    job.swap();
    return shown();
  },
  async deblur(options, tell) {
    isStopped = false;
    const limits = options.memory ? [options.memory] : LIMITS[options.isPhone ? "phone" : "desktop"];
    return job.deblur(await networkOf(options), limits, async (bands_done, bands) => {
      tell({ bands_done, bands });
      await pause();
      if (isStopped) throw new Stopped();
    });
  },
  async stop() {
    isStopped = true;
  },
  async picture({ name }) {
    return job.picture(name);
  },
  async save({ wish }) {
    const { version, network: name, weights } = (await network).manifest;
    return job.save(wish, `dualpix ${version}, ${name}, weights ${weights}`);
  },
  async forget() {
    job = null;
  },
};

class Stopped extends Error {}

self.addEventListener("message", async ({ data: { call, id, given } }) => {
  try {
    const done = await CALLS[call](given, (told) => postMessage({ id, told }));
    postMessage({ id, done }, done?.bytes ? [done.bytes.buffer] : []);
  } catch (error) {
    const failed = {
      isStopped: error instanceof Stopped,
      sentence: sentenceOf(error),
      mistake: `${error?.message ?? error}`,
    };
    if (!failed.sentence && !failed.isStopped) console.error(error);
    postMessage({ id, failed });
  }
});
