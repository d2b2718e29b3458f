// A piano roll: time to the right, pitch upwards, a colour a part, bar lines, and a cursor.
const INKS = ["#b5402f", "#2f5d8a", "#4f7d4a", "#8a6a2f", "#6b4a8a", "#3f8a86"]; // as on posters
const [MARGIN, HEIGHT, MOST_LINES] = [2, 220, 200]; // semitones, CSS pixels, bar lines

export class Roll {
  constructor(canvas, score, end) {
    [this.canvas, this.score, this.end] = [canvas, score, end || 1];
    const pitches = score.notes.map((note) => note[2]);
    [this.low, this.high] = [Math.min(...pitches) - MARGIN, Math.max(...pitches) + MARGIN];
    canvas.sizes?.disconnect(); // it may have shown another piece
    canvas.sizes = new ResizeObserver(() => this.resize());
    canvas.sizes.observe(canvas);
    this.muted = new Set();
    this.at = 0;
  }

  resize() {
    const scale = devicePixelRatio || 1;
    this.canvas.width = this.canvas.clientWidth * scale;
    this.canvas.height = HEIGHT * scale;
    this.draw();
  }

  // The place under a pointer, in quarters.
  placeOf(event) {
    const { left, width } = this.canvas.getBoundingClientRect();
    return (Math.max(0, Math.min(1, (event.clientX - left) / width)) * this.end);
  }

  // Marks the quarters between two places.
  choose(from, to) {
    this.chosen = [from, to];
    this.draw();
  }

  show(at, muted) {
    [this.at, this.muted] = [at, muted];
    this.draw();
  }

  draw() {
    const { canvas, score, end } = this;
    const pen = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    const [width, height] = [canvas.width, canvas.height];
    const row = height / (this.high - this.low + 1);
    const x = (beats) => (beats / end) * width;
    pen.clearRect(0, 0, width, height);
    pen.fillStyle = style.getPropertyValue("--line");
    const bars = score.bar * Math.ceil(end / score.bar / MOST_LINES); // of a long piece only some have a line
    for (let line = score.pickup; line < end; line += bars) pen.fillRect(x(line), 0, 1, height);
    if (this.chosen) {
      pen.globalAlpha = 0.16;
      pen.fillStyle = style.getPropertyValue("--accent");
      const [from, to] = this.chosen.map(x);
      pen.fillRect(from, 0, to - from, height);
      pen.globalAlpha = 1;
    }
    for (const [start, duration, pitch, part] of score.notes) {
      pen.globalAlpha = this.muted.has(part) ? 0.2 : start <= this.at && this.at < start + duration ? 1 : 0.75;
      pen.fillStyle = INKS[part % INKS.length];
      pen.fillRect(x(start), (this.high - pitch) * row, Math.max(1, x(duration) - 1), Math.max(1, row - 1));
    }
    pen.globalAlpha = 1;
    if (this.chosen) return; // it is not played there
    pen.fillStyle = style.getPropertyValue("--ink");
    pen.fillRect(Math.min(width - 2, x(this.at)), 0, 2, height);
  }
}
