// What goes wrong and can be told: one sentence for the user. Any other error is a mistake of the page.

export class Problem extends Error {
  // `mayPass`: the same may go well another time, so nothing that is there is thrown away.
  constructor(sentence, mayPass = false) {
    super(sentence);
    this.mayPass = mayPass;
  }
}

export const mayPass = (error) => error instanceof Problem && error.mayPass;

// What to show; of a mistake of the page also what it was, for the report.
export const sentenceOf = (error) => error instanceof Problem
  ? error.message
  : `Something went wrong in this page (${error.message}); reload it, and please report this.`;
