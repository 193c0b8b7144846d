// Requests to the server; what goes wrong becomes an Error with a sentence to show and a status: 0 where no answer came.
// An error without a status is a mistake of the page.

const problem = (words, status) => Object.assign(new Error(words), { status });
const AWAY = "The server does not answer; is dualpix web still running?";

export async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw problem(AWAY, 0);
  }
  if (!answer.ok) throw problem(await reason(answer), answer.status);
  return answer;
}

export async function fetchJson(path, options) {
  const answer = await ask(path, options);
  try {
    return await answer.json();
  } catch {
    throw problem(AWAY, 0); // it broke off
  }
}

// Whether the same may go well another time: the server does not answer, is busy, or was short of room or time.
export const mayPass = (error) => [0, 409, 429, 503, 504].includes(error.status);

// What to show; of a mistake of the page also what it was, for the report.
export const sentenceOf = (error) => error.status === undefined
  ? `Something went wrong in this page (${error.message}); reload it, and please report this.`
  : error.message;

async function reason(answer) {
  const text = await answer.text();
  try {
    return JSON.parse(text).error || answer.statusText;
  } catch {
    return text.slice(0, 200) || `The server answered ${answer.status}.`;
  }
}

export function upload(form, onProgress) { // fetch cannot tell how much has been sent
  return new Promise((done, fail) => {
    const request = new XMLHttpRequest();
    request.open("POST", "api/jobs");
    request.upload.onprogress = (event) => event.lengthComputable && onProgress(event.loaded / event.total);
    request.onerror = () => fail(problem("The upload broke off; is dualpix web still running?", 0));
    request.onload = () => {
      let body = {};
      try { body = JSON.parse(request.responseText); } catch { /* reported below */ }
      if (request.status === 202) done(body);
      else fail(problem(body.error || `The server answered ${request.status}.`, request.status));
    };
    request.send(form);
  });
}
