// The canvas beside the form: it follows the picture that is chosen, and what is painted in it goes along with the request.
import { call, placeOf, told, upload } from "../api.js";
import { Editor } from "../canvas/editor.js";
import { Mask, Paint, surface } from "../canvas/layers.js";

const KEPT = "canvas"; // what was painted, for the same picture after the page was left
const GROWS = 1.15; // a brush, by one key
const [LEAST, MOST] = [1, 1000]; // pixels of a brush
const KEYS = { b: "brush", e: "eraser", r: "rectangle", l: "lasso", h: "hand", k: "crop" };
const ACTS = { i: "invert", Delete: "clear", Backspace: "clear", "+": "in", "=": "in", "-": "out", 0: "fit" };
const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

export class Canvas {
  constructor(place, form, inputs) {
    Object.assign(this, { place, words: place.dataset, shown: "", version: 0, work: Promise.resolve(), sources: new WeakMap() });
    this.image = inputs.of(place.dataset.image);
    this.marks = place.dataset.mask && inputs.of(place.dataset.mask);
    const fields = Object.fromEntries(Object.entries(JSON.parse(place.dataset.sides)).map(([side, id]) => [side, form.querySelector(`#${id}`)]));
    this.editor = new Editor(place, { fields, marks: Boolean(this.marks), changed: () => this.changed(), altered: (picture) => this.altered(picture) });
    this.listen();
    this.choose(Object.keys(fields).length ? "hand" : "brush");
    this.image.place.addEventListener("change", () => (this.followed = this.follow()));
    this.marks?.place.addEventListener("change", () => (this.followed = this.followMask()));
    addEventListener("pagehide", () => this.keep());
    this.followed = this.follow();
  }

  // --- the picture ------------------------------------------------------------------------------------------------------

  async follow() {
    const [input] = this.image.given();
    const wanted = idOf(input);
    if (wanted === this.shown) return;
    this.shown = wanted;
    if (!input) return this.editor.close();
    const kept = JSON.parse(sessionStorage.getItem(KEPT) ?? "{}");
    try {
      const [picture, mask, paint] = await Promise.all([pictureOf(input), ...["mask", "paint"].map((name) => kept.of === wanted && kept[name] && drawn(kept[name]))]);
      if (this.shown !== wanted) return; // another was chosen meanwhile
      this.sources.set(picture, input);
      this.editor.open(picture, { mask: mask && Mask.of(mask), paint: paint && Paint.of(paint) });
      this.changed();
      await this.followMask();
    } catch (error) {
      this.shown = "";
      this.say(error);
    }
  }

  // A mask that is chosen as a picture is taken over, and can be painted on.
  async followMask() {
    const [input] = this.marks?.given() ?? [];
    if (!input || !this.editor.picture) return;
    this.say(null);
    try {
      const found = await pictureOf(input);
      const [own, other] = [this.editor.picture.canvas, found.canvas].map(({ width, height }) => `${width} x ${height}`);
      if (own !== other) throw new Error(this.words.other.replace("MASK", other).replace("PICTURE", own));
      this.editor.mark(found);
    } catch (error) {
      this.say(error);
    }
    this.marks.take([]);
  }

  // It was cropped or turned, or that was taken back: the request works from what it is now.
  altered(picture) {
    const known = this.sources.get(picture);
    this.work = (async () => {
      const input = known ?? (await uploaded(picture.canvas));
      this.sources.set(picture, input);
      if (this.editor.picture !== picture) return; // it is another by now
      this.shown = idOf(input);
      this.image.take([input]);
    })();
    this.work.catch((error) => this.say(error));
  }

  // What the request is to work from instead of what was chosen, by role. Rejects where that cannot be.
  async given() {
    const { editor } = this;
    await this.followed; // else what was painted on the picture before would go along
    if (!editor.picture) return {};
    await this.work;
    const found = {};
    if (this.made?.version !== this.version) {
      const painted = editor.painted();
      if (painted) found[this.words.image] = [await uploaded(painted)];
      if (this.marks) {
        if (editor.layers.mask.isEmpty()) throw new Error(this.words.unmarked);
        found[this.words.mask] = [await uploaded(editor.layers.mask.picture())];
      }
      this.made = { version: this.version, found };
    }
    return this.made.found;
  }

  // --- what is remembered while the page is away ------------------------------------------------------------------------

  keep() {
    const { editor } = this;
    sessionStorage.removeItem(KEPT);
    if (!editor.picture) return;
    const kept = { of: this.shown, mask: editor.layers.mask.picture().toDataURL() };
    if (!editor.layers.paint.isEmpty()) kept.paint = editor.layers.paint.shown.toDataURL();
    try {
      sessionStorage.setItem(KEPT, JSON.stringify(kept));
    } catch {
      // more than a browser keeps: it begins anew
    }
  }

  // --- what is pressed --------------------------------------------------------------------------------------------------

  listen() {
    const { place, editor } = this;
    place.addEventListener("click", ({ target }) => {
      const button = target.closest("[data-tool], [data-act]");
      if (button?.dataset.tool) this.choose(button.dataset.tool);
      else if (button) this.act(button.dataset.act);
    });
    place.addEventListener("input", ({ target }) => {
      if (target.matches("[data-size]")) this.resize(sizeAt(Number(target.value)));
      if (target.matches("[data-softness]")) editor.softness = Number(target.value);
      if (target.type === "color") editor.colour = [1, 3, 5].map((at) => Number.parseInt(target.value.slice(at, at + 2), 16));
      if (target.type === "radio") this.target(target.value);
    });
    place.addEventListener("keydown", (event) => this.key(event));
    place.addEventListener("keyup", ({ key }) => key === " " && (editor.isPanning = false));
    this.resize(editor.size);
  }

  key(event) {
    if (!this.editor.picture || event.target.matches("input")) return;
    const command = event.ctrlKey || event.metaKey;
    const onCanvas = event.target === this.editor.element;
    const letter = event.key.toLowerCase();
    const known = () => {
      if (command && letter === "z") return this.act(event.shiftKey ? "redo" : "undo");
      if (command) return letter === "y" && this.act("redo");
      if (event.altKey && !WAYS[event.key]) return false;
      if (KEYS[letter]) return this.choose(KEYS[letter]);
      if (ACTS[event.key] ?? ACTS[letter]) return this.act(ACTS[event.key] ?? ACTS[letter]);
      if (letter === "[" || letter === "]") return this.resize(this.editor.size * (letter === "]" ? GROWS : 1 / GROWS));
      if (!onCanvas) return false;
      if (letter === " ") return (this.editor.isPanning = true);
      if (letter === "enter") return this.press();
      return WAYS[event.key] ? this.step(WAYS[event.key], event.altKey) : false;
    };
    if (known() === false) return;
    event.preventDefault();
    event.stopPropagation();
  }

  choose(tool) {
    this.editor.tool = tool;
    for (const button of this.place.querySelectorAll("[data-tool]")) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
    this.editor.view.draw();
  }

  act(name) {
    const { editor } = this;
    if (!editor.picture) return;
    const does = {
      undo: () => editor.history.undo(),
      redo: () => editor.history.redo(),
      invert: () => this.marks && editor.invert(),
      clear: () => editor.clear(),
      in: () => editor.view.zoom(1.25),
      out: () => editor.view.zoom(0.8),
      fit: () => editor.view.fit(),
      turn: () => editor.turn(),
      alpha: () => editor.mark(editor.picture, true),
    };
    does[name]();
  }

  target(name) {
    this.editor.target = name;
    this.place.querySelector("[data-colour]").hidden = name !== "paint";
    this.editor.view.draw();
  }

  resize(size) {
    this.editor.size = Math.min(MOST, Math.max(LEAST, size));
    this.place.querySelector("[data-size]").value = Math.round(at(this.editor.size));
    this.editor.view.draw();
  }

  // --- the pen that keys move -------------------------------------------------------------------------------------------

  pen() {
    const { view, picture } = this.editor;
    this.where ??= { x: picture.canvas.width / 2, y: picture.canvas.height / 2 };
    const { x, y } = view.inWindow(this.where);
    const box = view.canvas.getBoundingClientRect();
    return { clientX: x + box.left, clientY: y + box.top, pointerType: "keys", button: 0, altKey: false };
  }

  press() {
    const { pointer } = this.editor;
    if (pointer.act) {
      pointer.act.end?.(this.pen());
      pointer.act = null;
    } else pointer.act = pointer.begin(this.pen());
    this.tellPen();
  }

  step([right, down], isFine) {
    const { editor } = this;
    this.pen();
    const length = isFine ? 1 : Math.max(1, editor.size / 4);
    const { width, height } = editor.picture.canvas;
    this.where = { x: Math.min(width, Math.max(0, this.where.x + right * length)), y: Math.min(height, Math.max(0, this.where.y + down * length)) };
    editor.pointer.act?.move(this.pen());
    editor.pointer.seenAt(this.pen());
    this.tellPen();
  }

  tellPen() {
    const place = this.place.querySelector("[data-said]");
    place.textContent = `${this.editor.pointer.act ? this.words.down : this.words.up} ${Math.round(this.where.x)}, ${Math.round(this.where.y)}`;
  }

  // --- what is shown ----------------------------------------------------------------------------------------------------

  changed() {
    this.version += 1;
    const { editor } = this;
    const is = (name, possible) => this.place.querySelector(`[data-act="${name}"]`)?.setAttribute("aria-disabled", String(!possible));
    is("undo", editor?.history.done.length);
    is("redo", editor?.history.undone.length);
    this.place.classList.toggle("open", Boolean(editor?.picture));
    this.place.querySelector("[data-none]").hidden = Boolean(editor?.picture);
    this.place.querySelector('[data-act="alpha"]').hidden = !(this.marks && editor?.picture && this.hasAlpha());
  }

  // Looked up once for each picture: it takes a moment.
  hasAlpha() {
    const { picture } = this.editor;
    if (this.looked?.picture !== picture) this.looked = { picture, alpha: this.editor.hasAlpha };
    return this.looked.alpha;
  }

  say(error) {
    this.place.querySelector("[data-problem]").textContent = error ? told(error, error instanceof TypeError ? this.words.lost : error.message) : "";
  }
}

// A brush's slider is finer where brushes are small.
const sizeAt = (place) => LEAST * (MOST / LEAST) ** (place / 100);
const at = (size) => (100 * Math.log(size / LEAST)) / Math.log(MOST / LEAST);

const idOf = (input) => input?.artwork ?? input?.upload ?? "";

async function pictureOf(input) {
  const blob = await call("GET", `${placeOf(input)}/file`);
  return surfaceOf(await createImageBitmap(blob));
}

async function drawn(address) {
  const image = new Image();
  image.src = address;
  await image.decode();
  return surfaceOf(image);
}

function surfaceOf(image) {
  const context = surface(image.width, image.height);
  context.drawImage(image, 0, 0);
  return context;
}

async function uploaded(canvas) {
  const blob = await new Promise((resolve) => canvas.toBlob(resolve));
  return { upload: (await upload(new File([blob], "canvas.png", { type: blob.type }))).id };
}
