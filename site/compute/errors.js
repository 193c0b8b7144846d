// What can be told: one sentence for the user. Any other error is a mistake of ours.

export class ComputeError extends Error {
  name = "ComputeError";
}

const TOLD = ["ComputeError", "PictureError", "PairError"];
const OUT_OF_MEMORY = /allocat|out of memory|bad_alloc|OOM|memory access out of bounds|Aborted/i;

// Whether less to compute at once may go well.
export function isOutOfMemory(error) {
  if (TOLD.includes(error?.name)) return false;
  return error instanceof RangeError || OUT_OF_MEMORY.test(`${error?.message ?? error}`);
}

// A sentence for whatever went wrong, or null for a mistake of ours.
export function sentenceOf(error) {
  if (TOLD.includes(error?.name)) return error.message;
  if (isOutOfMemory(error)) {
    return "The memory of this tab does not suffice for these views; close other tabs, or make both views smaller.";
  }
  return null;
}
