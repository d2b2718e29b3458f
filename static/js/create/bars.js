// Bars of a piece that are chosen on its roll: two fields of the form say which, and show the same.
import { call, placeOf } from "../api.js";
import { Roll } from "../player/roll.js";

export class Bars {
  constructor(place, form, inputs) {
    this.place = place;
    this.role = place.dataset.role;
    this.fields = [place.dataset.first, place.dataset.last].map((id) => document.getElementById(id));
    this.inputs = inputs;
    this.canvas = place.querySelector("canvas");
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.begun = this.barOf(event);
      this.take(this.begun, this.begun);
    });
    this.canvas.addEventListener("pointermove", (event) => event.buttons && this.take(this.begun, this.barOf(event)));
    for (const field of this.fields) field.addEventListener("input", () => this.show());
    form.addEventListener("change", () => this.look());
    this.look();
  }

  // At the piece that is given now.
  async look() {
    const [given] = this.inputs.of(this.role)?.given() ?? [];
    const where = given && `${placeOf(given)}/notes`;
    if (where === this.where) return this.show();
    this.where = where;
    const score = where && (await call("GET", where).catch(() => null));
    if (where !== this.where) return; // another came meanwhile
    this.place.hidden = !score;
    if (!score) return;
    const end = Math.max(...score.notes.map(([start, duration]) => start + duration));
    this.score = score;
    this.roll = new Roll(this.canvas, score, end);
    this.count = Math.max(1, Math.ceil((end - score.pickup) / score.bar - 0.001));
    for (const field of this.fields) field.max = this.count;
    this.show();
  }

  barOf(event) {
    const { pickup, bar } = this.score;
    return Math.max(1, Math.min(this.count, 1 + Math.floor((this.roll.placeOf(event) - pickup) / bar)));
  }

  take(a, b) {
    [Math.min(a, b), Math.max(a, b)].forEach((bar, i) => {
      this.fields[i].value = bar;
      this.fields[i].dispatchEvent(new Event("input", { bubbles: true }));
    });
    this.fields[1].dispatchEvent(new Event("change", { bubbles: true }));
  }

  show() {
    if (!this.roll) return;
    const { pickup, bar } = this.score;
    const [first, last] = this.fields.map((field) => Number(field.value) || 1);
    this.roll.choose(pickup + (first - 1) * bar, pickup + last * bar);
  }
}
