// What a live frame shows: a picture, or a piece that may be heard while sliders move.
import { Roll } from "../player/roll.js";
import { Transport } from "../player/transport.js";

const PIXEL_ART = 32;

export class LivePicture {
  constructor(image) {
    this.image = image;
    image.hidden = true;
    // Tiny works are looked at by their pixels, as in their previews.
    image.addEventListener("load", () => image.classList.toggle("pixels", image.naturalWidth <= PIXEL_ART));
  }

  show(blob) {
    const old = this.image.src;
    this.image.src = URL.createObjectURL(blob);
    this.image.hidden = false;
    URL.revokeObjectURL(old);
  }
}

export class LiveMusic {
  constructor(place, canvas) {
    [this.canvas, this.listen] = [canvas, place.querySelector("[data-listen]")];
    this.listen.addEventListener("click", () => this.toggle());
  }

  get isHeard() {
    return this.listen.getAttribute("aria-pressed") === "true";
  }

  // A new piece goes on from the place where the one before it was.
  show(score) {
    const before = this.transport;
    before?.pause();
    this.transport = new Transport(score);
    this.transport.from = Math.min(before?.from ?? 0, this.transport.end);
    this.roll = new Roll(this.canvas, score, this.transport.end);
    this.transport.onChange(() => this.follow());
    this.follow();
    if (this.isHeard) this.play();
  }

  follow() {
    this.roll.show(this.transport.position, this.transport.muted);
    if (this.transport.isPlaying) requestAnimationFrame(() => this.follow());
    else if (this.isHeard && this.transport.from >= this.transport.end) this.play(); // again and again
  }

  async play() {
    const { transport } = this;
    try {
      await transport.play();
      if (transport !== this.transport || !this.isHeard) transport.pause();
    } catch {
      this.listen.setAttribute("aria-pressed", "false");
      this.listen.textContent = this.listen.dataset.lost;
    }
  }

  toggle() {
    this.listen.setAttribute("aria-pressed", String(!this.isHeard));
    if (this.isHeard) this.play();
    else this.transport?.pause();
  }
}
