// Reads the files of one pair and compares the views, in a thread of its own beside the engine's, which starts
// meanwhile. Message in: what `Job.open` takes; out: { done }, what makes the job once more, or { failed }.

import { failureOf } from "./compute/errors.js";
import { Job } from "./compute/job.js";

self.addEventListener("message", async ({ data: { files, layout, isSwapped } }) => {
  try {
    const job = await Job.open(files, layout, isSwapped);
    postMessage({ done: { ...job } }, job.buffers);
  } catch (error) {
    postMessage({ failed: failureOf(error) });
  }
});
