// From files to a download: puts the pieces of the page together around one back end.

import { open } from "./backend.js";
import { Intake } from "./intake.js";
import { Pair } from "./pair.js";
import { sentenceOf } from "./problems.js";
import { Result } from "./result.js";
import { complain, hush, part, show } from "./screen.js";
import { Session } from "./session.js";

async function begin() {
  const backend = await open();
  const session = new Session(backend, {
    tell: (job) => {
      pair.tell(job);
      if (job.state === "done") result.show(job);
    },
    away: (error) => error ? complain(sentenceOf(error)) : hush(),
    lost: (error) => {
      show("welcome");
      complain(sentenceOf(error));
    },
    refused: (error) => {
      show("pair");
      pair.tell(session.job);
      complain(sentenceOf(error));
    },
  });
  const pair = new Pair(session);
  const result = new Result(session);
  const intake = new Intake(session, (format) => {
    pair.clear();
    if (backend.features.formats.includes(format)) part("format").value = format;
  });
  part("place").textContent = backend.features.where;
  listen({ session, pair, result, intake });
  backend.limits().then((limits) => { intake.limits = limits; }, () => {}); // without, the back end refuses by itself
  if (!intake.takeWaiting()) session.resume(() => { pair.clear(); show("pair"); });
}

function listen({ session, pair, result, intake }) {
  const command = (verb) => {
    hush();
    pair.pause(verb);
    session.command(verb);
  };
  part("deblur").addEventListener("click", () => session.job.state === "done" ? result.show(session.job) : command("start"));
  part("stop").addEventListener("click", () => command("stop"));
  part("swap").addEventListener("click", () => session.mayBeForgotten() && command("swap"));
  part("back").addEventListener("click", () => {
    show("pair");
    part("verdict").focus();
  });
  part("again").addEventListener("click", () => {
    if (!session.mayBeForgotten()) return;
    hush();
    intake.forget();
    session.forget();
    show("welcome");
    part("files").focus();
  });
}

begin().catch((error) => complain(sentenceOf(error))).finally(() => { document.documentElement.dataset.ready = "yes"; });
