// A piece that is heard with a cursor over its roll: the button, the time, the place by pointer and keys.
import { Roll } from "./roll.js";
import { Transport } from "./transport.js";

let heard; // one at a time: they share a synthesizer

export class Player {
  // `place` has a canvas and elements with data-play, data-time and data-problem.
  constructor(place, score) {
    this.score = score;
    this.transport = new Transport(score);
    this.canvas = place.querySelector("canvas");
    this.roll = new Roll(this.canvas, score, this.transport.end);
    [this.button, this.time, this.problem] = ["play", "time", "problem"].map((name) => place.querySelector(`[data-${name}]`));
    this.transport.onChange(() => this.follow());
    this.button.addEventListener("click", () => this.toggle());
    this.canvas.addEventListener("pointerdown", (event) => {
      this.canvas.setPointerCapture(event.pointerId);
      this.seek(event);
    });
    this.canvas.addEventListener("pointermove", (event) => event.buttons && this.seek(event));
    this.canvas.addEventListener("keydown", (event) => this.press(event));
    this.show();
  }

  minutes(beats) {
    const seconds = Math.floor((beats * 60) / this.transport.tempo);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  }

  show() {
    const { button, canvas, time, transport } = this;
    const at = transport.position;
    this.roll.show(at, transport.muted);
    button.textContent = transport.isPlaying ? button.dataset.pauseLabel : button.dataset.playLabel;
    time.textContent = `${this.minutes(at)} / ${this.minutes(transport.end)}`;
    canvas.setAttribute("aria-valuemax", transport.end.toFixed(2));
    canvas.setAttribute("aria-valuenow", at.toFixed(2));
    canvas.setAttribute("aria-valuetext", time.textContent);
  }

  follow() {
    this.show();
    if (this.transport.isPlaying) requestAnimationFrame(() => this.follow());
  }

  async toggle() {
    const { button, problem, transport } = this;
    if (button.disabled) return;
    if (transport.isPlaying) return transport.pause();
    if (heard !== transport) heard?.pause();
    heard = transport;
    problem.textContent = "";
    button.disabled = true; // until the sounds are there
    button.textContent = button.dataset.loadingLabel;
    try {
      await transport.play();
      if (heard !== transport) transport.pause(); // another was begun meanwhile
    } catch {
      problem.textContent = problem.dataset.lost;
    }
    button.disabled = false;
    this.show();
  }

  pause() {
    this.transport.pause();
  }

  seek(event) {
    this.transport.seek(this.roll.placeOf(event));
  }

  press(event) {
    const { score, transport } = this;
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -score.bar, PageDown: score.bar };
    if (event.key === " ") this.toggle();
    else if (event.key === "Home") transport.seek(0);
    else if (event.key === "End") transport.seek(transport.end);
    else if (event.key in steps) transport.seek(transport.position + steps[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere these keys turn the page
  }
}
