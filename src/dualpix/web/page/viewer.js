// Two pictures laid over one another: a slider between them, one zoom and one position for both.

const FARTHEST = 16;

export class Viewer {
  constructor(parts, onZoom) {
    Object.assign(this, parts);
    this.onZoom = onZoom;
    this.pointers = new Map();
    this.view = { scale: 1, x: 0, y: 0 };
    this.isFit = true;
    this.size = { width: 1, height: 1 };
    this.listen();
    new ResizeObserver(() => this.isFit ? this.fit() : this.draw()).observe(this.stage);
  }

  // Resolves when both pictures can be seen.
  async show(before, after) {
    this.stage.classList.add("empty");
    this.before.src = before;
    this.after.src = after;
    await Promise.all([this.before.decode(), this.after.decode()]);
    this.size = { width: this.before.naturalWidth, height: this.before.naturalHeight };
    for (const picture of [this.before, this.after]) { // which later may be a reduced one
      picture.style.width = `${this.size.width}px`;
      picture.style.height = `${this.size.height}px`;
    }
    this.stage.style.setProperty("--aspect", this.size.width / this.size.height);
    this.stage.classList.remove("empty");
    this.fit();
  }

  get fitScale() {
    const { clientWidth, clientHeight } = this.stage;
    return Math.min(clientWidth / this.size.width, clientHeight / this.size.height) || 1;
  }

  get fullScale() { return 1 / devicePixelRatio; }

  fit() {
    this.isFit = true;
    this.view.scale = this.fitScale;
    this.draw();
  }

  zoomTo(scale, x = this.stage.clientWidth / 2, y = this.stage.clientHeight / 2) {
    const old = this.view;
    const least = Math.min(this.fitScale, this.fullScale);
    const next = Math.min(Math.max(scale, least), FARTHEST * this.fullScale);
    this.isFit = false;
    this.view = { scale: next, x: x - (x - old.x) * next / old.scale, y: y - (y - old.y) * next / old.scale };
    this.draw();
  }

  full(times = 1, x, y) { this.zoomTo(times * this.fullScale, x, y); }

  move(x, y) {
    this.view.x += x;
    this.view.y += y;
    this.draw();
  }

  set strength(share) { this.after.style.opacity = share; }

  get isMovable() {
    const { scale } = this.view;
    return this.size.width * scale > this.stage.clientWidth + 1 || this.size.height * scale > this.stage.clientHeight + 1;
  }

  draw() {
    if (this.stage.classList.contains("empty")) return;
    const { clientWidth, clientHeight } = this.stage;
    const { scale } = this.view;
    const within = (at, length, room) => length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, at));
    this.view.x = within(this.view.x, this.size.width * scale, clientWidth);
    this.view.y = within(this.view.y, this.size.height * scale, clientHeight);
    for (const picture of [this.before, this.after]) {
      picture.style.transform = `translate(${this.view.x}px, ${this.view.y}px) scale(${scale})`;
    }
    const larger = scale * this.size.width / this.veil.width;
    this.veil.style.transform = `translate(${this.view.x}px, ${this.view.y}px) scale(${larger})`;
    const percent = this.split.value / 10;
    this.clip.style.clipPath = `inset(0 0 0 ${percent}%)`;
    this.handle.style.left = `${percent}%`;
    this.split.setAttribute("aria-valuetext", `${Math.round(percent)} % before`);
    this.stage.querySelector(".tag.before").style.opacity = percent < 12 ? 0 : 1;
    this.stage.querySelector(".tag.after").style.opacity = percent > 88 ? 0 : 1;
    this.stage.classList.toggle("zoomed", this.isMovable);
    this.stage.classList.toggle("pixels", scale * devicePixelRatio >= 2);
    this.onZoom(scale / this.fullScale, this.isFit);
  }

  listen() {
    const { stage } = this;
    this.split.addEventListener("input", () => this.draw());
    stage.addEventListener("pointerdown", (event) => this.press(event));
    stage.addEventListener("pointermove", (event) => this.drag(event));
    for (const name of ["pointerup", "pointercancel"]) stage.addEventListener(name, (event) => this.release(event));
    stage.addEventListener("dblclick", (event) => {
      const { x, y } = this.place(event);
      if (this.isFit) this.full(1, x, y); else this.fit();
    });
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      const { x, y } = this.place(event);
      this.zoomTo(this.view.scale * Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.002)), x, y);
    }, { passive: false });
    stage.addEventListener("keydown", (event) => this.key(event));
    stage.addEventListener("keyup", (event) => event.key.toLowerCase() === "b" && stage.classList.remove("peek"));
    stage.addEventListener("focusout", () => stage.classList.remove("peek"));
  }

  place(event) {
    const box = this.stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  press(event) {
    if (event.button !== 0) return;
    if (this.picks && !this.handle.contains(event.target)) return this.pick(event);
    this.stage.setPointerCapture(event.pointerId);
    if (!this.pointers.size) this.isSplitting = this.handle.contains(event.target) || !this.isMovable;
    this.pointers.set(event.pointerId, this.place(event));
    if (this.isSplitting && this.pointers.size === 1) this.splitAt(this.place(event).x);
    else this.stage.classList.add("panning");
  }

  drag(event) {
    if (!this.pointers.has(event.pointerId)) return;
    const old = this.pointers.get(event.pointerId);
    const now = this.place(event);
    if (this.pointers.size === 2) {
      const other = [...this.pointers].find(([id]) => id !== event.pointerId)[1];
      const apart = (a, b) => Math.hypot(a.x - b.x, a.y - b.y) || 1;
      this.isSplitting = false;
      this.zoomTo(this.view.scale * apart(now, other) / apart(old, other), (now.x + other.x) / 2, (now.y + other.y) / 2);
      this.move((now.x - old.x) / 2, (now.y - old.y) / 2);
    } else if (this.isSplitting) {
      this.splitAt(now.x);
    } else {
      this.move(now.x - old.x, now.y - old.y);
    }
    this.pointers.set(event.pointerId, now);
  }

  release(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.stage.classList.remove("panning");
  }

  // Tells whoever waits for it where in the picture that is, from 0 to 1.
  pick(event) {
    const at = this.placeOf(event);
    if (at) this.picks(...at);
  }

  // Where in the picture an event is, both from 0 to 1; null beside it.
  placeOf(event) {
    const { x, y } = this.place(event);
    const { scale, x: left, y: top } = this.view;
    const at = [(x - left) / scale / this.size.width, (y - top) / scale / this.size.height];
    return at.every((share) => share >= 0 && share < 1) ? at : null;
  }

  // As long as this button is held, by whatever means, the picture before is seen.
  peeksBy(button) {
    const peek = (isHeld) => this.stage.classList.toggle("peek", isHeld);
    const isPressing = (event) => event.key === " " || event.key === "Enter";
    button.addEventListener("pointerdown", (event) => {
      button.setPointerCapture(event.pointerId);
      peek(true);
    });
    for (const kind of ["pointerup", "pointercancel", "blur"]) button.addEventListener(kind, () => peek(false));
    button.addEventListener("keydown", (event) => isPressing(event) && peek(true));
    button.addEventListener("keyup", (event) => isPressing(event) && peek(false));
    button.addEventListener("contextmenu", (event) => event.preventDefault()); // a long touch asks for one
  }

  splitAt(x) {
    this.split.value = Math.round(1000 * x / this.stage.clientWidth);
    this.draw();
  }

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key.toLowerCase() === "b") {
      this.stage.classList.add("peek");
      return;
    }
    const actions = {
      "+": () => this.zoomTo(this.view.scale * 1.25), "=": () => this.zoomTo(this.view.scale * 1.25),
      "-": () => this.zoomTo(this.view.scale / 1.25), "0": () => this.fit(), "1": () => this.full(), "2": () => this.full(2),
    };
    if (event.target === this.stage) {
      Object.assign(actions, {
        ArrowLeft: () => this.move(60, 0), ArrowRight: () => this.move(-60, 0),
        ArrowUp: () => this.move(0, 60), ArrowDown: () => this.move(0, -60),
      });
    }
    if (!actions[event.key]) return;
    event.preventDefault();
    actions[event.key]();
  }
}
