// The front page's picture comes alive: a slider between the bundled pair and what dualpix makes of it. Without this
// script the picture that stands in the page remains.

const FILES = new URL("./", document.currentScript.src);
const ARROWS = '<svg viewBox="0 0 24 24" width="22" height="22" aria-hidden="true"><path d="m9 7-5 5 5 5m6-10 5 5-5 5"/></svg>';

function compare(still) {
  const figure = document.createElement("div");
  figure.className = "compare";
  figure.innerHTML =
    '<img alt="Old houses, blurred: the bundled pair before"><img alt="The same houses, sharp everywhere: after">' +
    '<span class="tag">Before</span><span class="tag">After</span>' +
    `<input type="range" min="0" max="100" value="50" aria-label="Before and after"><span class="handle">${ARROWS}</span>`;
  const [before, after] = figure.querySelectorAll("img"),
    [wordBefore, wordAfter] = figure.querySelectorAll(".tag"),
    range = figure.querySelector("input");

  const draw = () => {
    const percent = Number(range.value);
    figure.style.setProperty("--at", `${percent}%`);
    range.setAttribute("aria-valuetext", `${percent} % before`);
    wordBefore.hidden = percent < 18;
    wordAfter.hidden = percent > 82;
  };
  const moveTo = (event) => {
    const { left, width } = figure.getBoundingClientRect();
    range.value = Math.round((100 * (event.clientX - left)) / width);
    draw();
  };
  figure.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    event.preventDefault(); // or the pictures would be dragged away
    figure.setPointerCapture(event.pointerId);
    range.focus({ preventScroll: true, focusVisible: false });
    moveTo(event);
  });
  figure.addEventListener("pointermove", (event) => {
    if (figure.hasPointerCapture(event.pointerId)) moveTo(event);
  });
  range.addEventListener("input", draw);
  draw();
  for (const [picture, name] of [[before, "before.jpg"], [after, "after.jpg"]]) picture.src = new URL(name, FILES);
  // Both or neither: where a picture is missing, the still one stays.
  Promise.all([before.decode(), after.decode()]).then(() => still.replaceWith(figure), (error) => console.warn(error));
}

const still = document.querySelector('img[src$="before-after.png"]');
if (still) compare(still);
