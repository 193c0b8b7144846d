// A service worker keeps the page for use without a network, and sends it with the headers that threads need.

const TRIED = "dualpix isolated";

// Resolves when the page may start; it is loaded once more the first time, when it can be sent with those headers.
export async function isolate() {
  if (!("serviceWorker" in navigator)) return; // not over https: without threads, and with a network
  try {
    await navigator.serviceWorker.register("service-worker.js");
    await navigator.serviceWorker.ready;
  } catch (error) {
    console.warn(`The page cannot be kept for use without a network: ${error.message}`);
    return;
  }
  if (crossOriginIsolated || sessionStorage.getItem(TRIED)) return;
  sessionStorage.setItem(TRIED, "yes");
  location.reload();
  await new Promise(() => {});
}
