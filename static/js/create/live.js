// The live frame: what the form asks for, at once; it follows every change.
import { ApiError, call } from "../api.js";
import { anySeed } from "./form.js";

const PIXEL_ART = 32;
const SLOW = 1500; // milliseconds after which somebody wonders whether anything comes
const BUSY = 2000; // milliseconds until a frame that nobody could draw is asked for again

export class LiveFrame {
  constructor(place, request) {
    this.place = place;
    this.request = request; // a RequestForm
    this.image = place.querySelector("img");
    this.caption = place.querySelector("figcaption");
    this.usual = this.caption.textContent;
    this.asking = false;
    this.asked = "";
    // Tiny works are looked at by their pixels, as in their previews.
    this.image.addEventListener("load", () => this.image.classList.toggle("pixels", this.image.naturalWidth <= PIXEL_ART));
    if (!request.form.querySelector("[data-role]")) request.spareSeed = anySeed(); // from chance alone: shown at once
    request.form.addEventListener("submit", () => this.follow());
    for (const kind of ["input", "change"]) request.form.addEventListener(kind, () => this.follow());
    this.follow();
  }

  say(text) {
    this.caption.textContent = text;
    this.image.hidden = !this.image.src;
    this.place.hidden = false;
  }

  wanted() {
    const { enlarge, ...given } = this.request.request(); // a frame is as it is drawn
    const path = this.request.form.dataset.path; // the parameter that spreads a job's works between its inputs
    given.params = { seed: this.request.spareSeed, ...given.params, count: 1, ...(path in given.params ? { [path]: false } : {}) };
    return JSON.stringify(given);
  }

  // One request at a time: while a slider moves, the next frame is asked for when the last has come.
  async follow() {
    const { seed, prompt } = this.request.form.elements;
    const hasSeed = !seed || seed.disabled || seed.value || this.request.spareSeed !== undefined; // or needs none
    if (this.asking || (this.request.inputs.some() ? !this.request.inputs.enough() : !hasSeed)) return;
    if (prompt && !prompt.value.trim()) return;
    if (!hasSeed) this.request.roll(); // so that what is drawn after it is this picture
    const text = this.wanted();
    if (text === this.asked) return;
    this.asking = true;
    this.asked = text;
    const slow = setTimeout(() => this.say(this.caption.dataset.slow), SLOW);
    try {
      const frame = await call("POST", "/explorations", JSON.parse(text));
      if (frame) { // none: another tab has asked since
        const old = this.image.src;
        this.image.src = URL.createObjectURL(frame);
        URL.revokeObjectURL(old);
        this.say(this.usual);
      }
    } catch (error) {
      if (error.status === 503) {
        this.say(this.caption.dataset.busy);
        setTimeout(() => {
          this.asked = "";
          this.follow();
        }, BUSY);
      } else if (error instanceof ApiError) this.say(error.fields[0]?.msg ?? error.message);
      // else no answer came: the next change asks again
    } finally {
      clearTimeout(slow);
      this.asking = false;
    }
    if (this.wanted() !== this.asked) this.follow();
  }
}
