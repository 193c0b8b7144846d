// Requests to the server; what goes wrong becomes an Error with a sentence to show.

export async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer; is dualpix web still running?");
  }
  if (!answer.ok) throw Object.assign(new Error(await reason(answer)), { status: answer.status });
  return answer;
}

// Whether the same may go well another time: the server does not answer, is busy, or was short of room or time.
export const mayPass = (error) => [undefined, 409, 429, 503, 504].includes(error.status);

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
    request.onerror = () => fail(new Error("The upload broke off; is dualpix web still running?"));
    request.onload = () => {
      let body = {};
      try { body = JSON.parse(request.responseText); } catch { /* told below */ }
      if (request.status === 202) done(body);
      else fail(new Error(body.error || `The server answered ${request.status}.`));
    };
    request.send(form);
  });
}
