// The live frame: what the form asks for, at once; it follows every change.
import { ApiError, call } from "../api.js";
import { anySeed } from "./form.js";
import { LiveMusic, LivePicture } from "./live_works.js";

const SLOW = 1500; // milliseconds after which somebody wonders whether anything comes
const BUSY = 2000; // milliseconds until a frame that nobody could draw is asked for again

export class LiveFrame {
  constructor(place, request) {
    this.place = place;
    this.request = request; // a RequestForm
    const canvas = place.querySelector("canvas");
    this.shown = canvas ? new LiveMusic(place, canvas) : new LivePicture(place.querySelector("img"));
    this.caption = place.querySelector("figcaption");
    this.usual = this.caption.textContent;
    this.asking = false;
    this.asked = "";
    if (!request.form.querySelector("[data-role]")) request.spareSeed = anySeed(); // from chance alone: shown at once
    request.form.addEventListener("submit", () => this.follow());
    for (const kind of ["input", "change"]) request.form.addEventListener(kind, () => this.follow());
    this.follow();
  }

  say(text) {
    this.caption.textContent = text;
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
        this.say(this.usual);
        this.shown.show(frame);
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
