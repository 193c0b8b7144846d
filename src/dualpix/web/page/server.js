// The back end of `dualpix web`: everything is asked of the server that the page came from. See `backend.js`.

import { Problem } from "./problems.js";

const AWAY = "The server does not answer; is dualpix web still running?";
const BROKEN_OFF = "The upload broke off; is dualpix web still running?";
const PASSING = [409, 429, 503, 504];
const LOCAL = ["localhost", "127.0.0.1", "[::1]"];
const HERE = "Everything stays on this computer.";

const problem = (words, status) => new Problem(words, PASSING.includes(status));
const away = (words = AWAY) => new Problem(words, true);

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw away();
  }
  if (!answer.ok) throw problem(await reason(answer), answer.status);
  return answer;
}

async function fetchJson(path, options) {
  const answer = await ask(path, options);
  try {
    return await answer.json();
  } catch {
    throw away(); // it broke off
  }
}

async function reason(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error || answer.statusText;
  } catch {
    return text.slice(0, 200) || `The server answered ${answer.status}.`;
  }
}

function upload(form, onProgress) { // fetch cannot tell how much has been sent
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", "api/jobs");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => fail(away(BROKEN_OFF));
    request.onload = () => {
      let body = {};
      try { body = JSON.parse(request.responseText); } catch { /* reported below */ }
      if (request.status === 202) done(body);
      else fail(problem(body.error || `The server answered ${request.status}.`, request.status));
    };
    request.send(form);
  });
}

const jobOf = ({ status, error, ...told }) => ({ ...told, problem: error ? problem(error, status) : null });

const address = (job, name, wish) => {
  const query = String(new URLSearchParams(wish));
  return `api/jobs/${job.id}/${name}${query && `?${query}`}`;
};

const ENDINGS = { // of the names of files; those of maps are what they are called
  result: ({ format, aperture }) => `${aperture === undefined ? "sharp" : "refocused"}.${format}`,
  sweep: () => "sweep.webp",
};

const mapEnding = ({ format }, kind) => `${kind}.${format}`;

const MAPS = ["depth-mask", "mask", "metres", "disparity", "confidence"];

class Server {
  features = {
    where: LOCAL.includes(location.hostname)
      ? HERE
      : `The pictures go to ${location.hostname} and are deleted within the hour.`,
    formats: ["png-16", "tif-16", "jpg-8"],
    ask_ms: 400,
    resumes: true,
    parts: true,
    refocus: true,
    masks: true,
    metres: true,
    maps: MAPS,
  };

  limits() { return fetchJson("api/limits"); }

  async begin(files, layout, onProgress) {
    const form = new FormData();
    form.append("left", files[0]);
    if (files[1]) form.append("right", files[1]);
    if (layout) form.append("layout", layout);
    form.append("start", "no");
    return jobOf(await upload(form, onProgress));
  }

  async state(id) { return jobOf(await fetchJson(`api/jobs/${id}`)); }

  async command(job, verb) { return jobOf(await fetchJson(address(job, verb), { method: "POST" })); }

  async picture(job, name, wish) { return address(job, name, { version: job.version, ...wish }); }

  async save(job, kind, wish = {}) {
    const answer = await ask(address(job, MAPS.includes(kind) ? `maps/${kind}` : kind, wish));
    try {
      return { blob: await answer.blob(), ending: (ENDINGS[kind] ?? mapEnding)(wish, kind) };
    } catch {
      throw away();
    }
  }

  async mask(job, file) {
    const form = new FormData();
    form.append("mask", file);
    return jobOf(await fetchJson(address(job, "mask"), { method: "POST", body: form }));
  }

  async distances(job, optics) {
    const { picture, ...told } = await fetchJson(address(job, "distances", optics));
    const bytes = Uint8Array.from(atob(picture), (letter) => letter.charCodeAt(0));
    return { ...told, picture: new Blob([bytes], { type: "image/png" }) };
  }

  forget(job) { fetch(`api/jobs/${job.id}`, { method: "DELETE" }).catch(() => {}); }
}

export const open = async () => new Server();
