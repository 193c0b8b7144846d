// Answers from what is kept, so that the page works without a network; and adds the headers that let it use threads.

const VERSION = "{{version}}";
const FILES = {{files}};
const CACHE = `dualpix ${VERSION}`;
const TYPES = { ".wasm": "application/wasm", ".mjs": "text/javascript", ".js": "text/javascript" };
const ISOLATED = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
};

const coming = new Map(); // what is being fetched, so that nothing is fetched twice at once

self.addEventListener("install", (event) => {
  const asked = FILES.map((file) => new Request(file, { cache: "reload" }));
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(asked)).catch(withoutRoom));
});

// The page works without room for it, too, with a network; `keeping.js` sees it, and says so. An older version that
// is kept is worth more.
function withoutRoom(error) {
  if (error.name !== "QuotaExceededError" || self.registration.active) throw error;
  console.warn(`The page is not kept: ${error.message}`);
}

self.addEventListener("activate", (event) => {
  event.waitUntil(Promise.all([forgetOthers(), self.clients.claim()]));
});

self.addEventListener("fetch", (event) => {
  const { request } = event, address = new URL(request.url);
  if (request.method !== "GET" || address.origin !== location.origin) return;
  event.respondWith(answer(address.pathname.endsWith("/") ? new URL("index.html", address) : address));
});

async function forgetOthers() {
  const own = (await caches.keys()).filter((name) => name.startsWith("dualpix ") && name !== CACHE);
  await Promise.all(own.map((name) => caches.delete(name)));
}

async function answer(address) {
  const key = address.origin + address.pathname, cache = await caches.open(CACHE);
  const kept = await cache.match(key);
  if (kept) return isolated(kept, address.pathname);
  if (!coming.has(key)) {
    coming.set(key, fetch(key, { cache: "no-cache" }).finally(() => coming.delete(key)));
  }
  const found = (await coming.get(key)).clone();
  // Without room for it, it is fetched again next time.
  if (found.ok) cache.put(key, found.clone()).catch((error) => console.warn(`${key} is not kept: ${error.message}`));
  return isolated(found, address.pathname);
}

function isolated(response, path) {
  const headers = new Headers(response.headers);
  for (const [name, value] of Object.entries(ISOLATED)) headers.set(name, value);
  const type = TYPES[path.slice(path.lastIndexOf("."))];
  if (type) headers.set("Content-Type", type);
  return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
}
