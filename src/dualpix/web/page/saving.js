// Files of a result, saved under the name of the pair.

import { sentenceOf } from "./problems.js";
import { complain, hush, part } from "./screen.js";

const KEPT_MS = 60000; // so long a browser may take to begin saving

// Whether it could be saved.
export async function save(session, button, kind, wish) {
  button.disabled = true;
  part("saved").textContent = "Writing the file";
  hush();
  try {
    const { blob, ending } = await session.backend.save(session.job, kind, wish);
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${session.name}-${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
    part("saved").textContent = `Saved as ${link.download}`;
    return true;
  } catch (error) {
    part("saved").textContent = "";
    complain(sentenceOf(error));
    return false;
  } finally {
    button.disabled = false;
  }
}
