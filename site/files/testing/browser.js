/** Lets a worker read all pictures of `fixtures.py`, which lie at ../../../made/, and shows what it says. */

const worker = new Worker(new URL('browser_worker.js', import.meta.url), { type: 'module' });
worker.addEventListener('message', ({ data }) => {
  window.found = data;
  document.querySelector('#alert').textContent = 'done';
});
