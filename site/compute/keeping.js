// Whether the page and what it computes with are kept for use without a network.

const UNKEPT =
  "The browser has no room to keep this page, as its storage is full, so the page works only with a network; free" +
  " some of the disk, then load it again.";

// A sentence if one of `addresses` is not kept, where the page is one that could be.
export async function unkept(addresses) {
  if (!self.caches) return []; // not over https
  try {
    const isKept = await Promise.all(addresses.map((address) => caches.match(address)));
    return isKept.every(Boolean) ? [] : [UNKEPT];
  } catch {
    return [UNKEPT]; // a browser that is short of room may refuse to open what it kept
  }
}
