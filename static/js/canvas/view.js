// Where the picture stands in the window's part that is given to it: zoom, pan, and what is drawn over it.
const FINEST = 32; // window pixels a picture's pixel
const SMOOTH = 3; // from here on pixels are shown as squares
const CHECKS = 8; // window pixels of a square that means nothing is there

export class View {
  // `paint(context)` draws the picture in its own pixels, `over(context)` in the window's; `share` of the window is filled.
  constructor(canvas, { paint, over, share }) {
    Object.assign(this, { canvas, paint, over, share, context: canvas.getContext("2d"), scale: 1, x: 0, y: 0, isFitted: true });
    new ResizeObserver(() => this.resize()).observe(canvas);
  }

  // What has to be in sight: of a picture, or of its frame.
  show(bounds) {
    this.bounds = bounds;
    if (this.isFitted) this.fit();
    else this.draw();
  }

  resize() {
    const ratio = devicePixelRatio;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    if (!width) return;
    Object.assign(this.canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    if (this.isFitted) this.fit();
    else this.draw();
  }

  fit() {
    if (!this.bounds) return;
    const { left, top, right, bottom } = this.bounds;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    this.scale = Math.min(FINEST, (this.share * width) / (right - left), (this.share * height) / (bottom - top));
    this.x = (width - this.scale * (left + right)) / 2;
    this.y = (height - this.scale * (top + bottom)) / 2;
    this.isFitted = true;
    this.draw();
  }

  // Around a point of the window, which stays where it is.
  zoom(factor, at = { x: this.canvas.clientWidth / 2, y: this.canvas.clientHeight / 2 }) {
    const least = Math.min(1, this.scale, 32 / Math.max(this.bounds.right - this.bounds.left, this.bounds.bottom - this.bounds.top));
    const scale = Math.min(FINEST, Math.max(least, this.scale * factor));
    this.x = at.x - ((at.x - this.x) * scale) / this.scale;
    this.y = at.y - ((at.y - this.y) * scale) / this.scale;
    Object.assign(this, { scale, isFitted: false });
    this.draw();
  }

  pan(x, y) {
    this.x += x;
    this.y += y;
    this.isFitted = false;
    this.draw();
  }

  // From the window to the picture's pixels, and back.
  inPicture({ clientX, clientY }) {
    const box = this.canvas.getBoundingClientRect();
    return { x: (clientX - box.left - this.x) / this.scale, y: (clientY - box.top - this.y) / this.scale };
  }

  inWindow({ x, y }) {
    return { x: this.x + this.scale * x, y: this.y + this.scale * y };
  }

  // At the window's next frame, however often it is asked for.
  draw() {
    if (this.waits) return;
    this.waits = requestAnimationFrame(() => {
      this.waits = 0;
      this.drawNow();
    });
  }

  drawNow() {
    const { context, scale, x, y } = this;
    const ratio = this.canvas.width / (this.canvas.clientWidth || 1);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.canvas.clientWidth, this.canvas.clientHeight);
    if (!this.bounds) return;
    context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * x, ratio * y);
    context.imageSmoothingEnabled = scale * ratio < SMOOTH;
    context.imageSmoothingQuality = "high";
    this.paint(context);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.over(context);
  }

  // Squares where nothing is, between two corners of the picture.
  checks(context, { left, top, right, bottom }) {
    const [from, to] = [this.inWindow({ x: left, y: top }), this.inWindow({ x: right, y: bottom })];
    const tile = document.createElement("canvas");
    tile.width = tile.height = 2 * CHECKS;
    const squares = tile.getContext("2d");
    squares.fillStyle = "#8884";
    squares.fillRect(0, 0, CHECKS, CHECKS);
    squares.fillRect(CHECKS, CHECKS, CHECKS, CHECKS);
    context.save();
    const ratio = this.canvas.width / (this.canvas.clientWidth || 1);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = context.createPattern(tile, "repeat");
    context.fillRect(from.x, from.y, to.x - from.x, to.y - from.y);
    context.restore();
  }
}
