// What is painted, pixel by pixel, apart from where it is shown: strokes cover pixels, layers take what is covered.

// A box of pixels: left, top, right, bottom, the last two outside of it.
export const whole = ({ width, height }) => ({ left: 0, top: 0, right: width, bottom: height });
export const isEmpty = (box) => box.right <= box.left || box.bottom <= box.top;
export const joined = (a, b) => (isEmpty(b) ? a : isEmpty(a) ? b : { left: Math.min(a.left, b.left), top: Math.min(a.top, b.top), right: Math.max(a.right, b.right), bottom: Math.max(a.bottom, b.bottom) });

// How much of each pixel one stroke covers, 0 to 255: where it crosses itself it covers no more.
export class Coverage {
  constructor(width, height) {
    Object.assign(this, { width, height, values: new Uint8Array(width * height), box: { left: width, top: height, right: 0, bottom: 0 } });
  }

  // Pixels of a box that are in the picture; they count as touched.
  touch(left, top, right, bottom) {
    const box = { left: Math.max(0, Math.floor(left)), top: Math.max(0, Math.floor(top)), right: Math.min(this.width, Math.ceil(right)), bottom: Math.min(this.height, Math.ceil(bottom)) };
    this.box = joined(this.box, box);
    return box;
  }

  // A round brush of this radius; with softness 1 it fades from its middle, with 0 at its edge alone.
  dab(x, y, radius, softness) {
    const inner = Math.min(radius - 0.5, radius * (1 - softness));
    const outer = radius + 0.5;
    const box = this.touch(x - outer, y - outer, x + outer, y + outer);
    for (let row = box.top; row < box.bottom; row++) {
      for (let column = box.left; column < box.right; column++) {
        const left = (outer - Math.hypot(column + 0.5 - x, row + 0.5 - y)) / (outer - inner);
        if (left <= 0) continue;
        const share = Math.min(1, left);
        const covered = Math.round(255 * share * share * (3 - 2 * share));
        const at = row * this.width + column;
        if (covered > this.values[at]) this.values[at] = covered;
      }
    }
  }

  // Dabs from one point to another; the first is left out, for it is where the last line ended.
  line(from, to, softness) {
    const length = Math.hypot(to.x - from.x, to.y - from.y);
    const count = Math.max(1, Math.ceil(length / Math.max(0.5, Math.min(from.radius, to.radius) / 4)));
    for (let i = 1; i <= count; i++) {
      const share = i / count;
      const between = (name) => from[name] + share * (to[name] - from[name]);
      this.dab(between("x"), between("y"), between("radius"), softness);
    }
  }

  // What lies inside of a closed line of points.
  polygon(points) {
    const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
    const box = this.touch(Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys));
    if (isEmpty(box)) return;
    const [width, height] = [box.right - box.left, box.bottom - box.top];
    const context = surface(width, height);
    context.beginPath();
    for (const { x, y } of points) context.lineTo(x - box.left, y - box.top);
    context.fill();
    const { data } = context.getImageData(0, 0, width, height);
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        this.values[(row + box.top) * this.width + column + box.left] = data[4 * (row * width + column) + 3];
      }
    }
  }

  everything() {
    this.touch(0, 0, this.width, this.height);
    this.values.fill(255);
  }
}

export function surface(width, height) {
  return Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true });
}

// Pixels of `channels` numbers each, and the surface that shows them.
class Layer {
  constructor(width, height, channels) {
    Object.assign(this, { width, height, channels, data: new Uint8ClampedArray(width * height * channels), context: surface(width, height) });
  }

  get shown() {
    return this.context.canvas;
  }

  isEmpty() {
    return !this.data.some((value, at) => at % this.channels === this.channels - 1 && value > 0);
  }

  // A copy of the numbers in a box.
  cut({ left, top, right, bottom }) {
    const row = (right - left) * this.channels;
    const cut = new Uint8ClampedArray(row * (bottom - top));
    for (let y = top; y < bottom; y++) {
      const from = (y * this.width + left) * this.channels;
      cut.set(this.data.subarray(from, from + row), (y - top) * row);
    }
    return cut;
  }

  put(box, numbers) {
    const row = (box.right - box.left) * this.channels;
    for (let y = box.top; y < box.bottom; y++) this.data.set(numbers.subarray((y - box.top) * row, (y - box.top + 1) * row), (y * this.width + box.left) * this.channels);
    this.show(box);
  }

  // Numbers of a box as they are once a stroke is taken.
  taken(box, coverage, paint) {
    const numbers = this.cut(box);
    const width = box.right - box.left;
    for (let y = box.top; y < box.bottom; y++) {
      for (let x = box.left; x < box.right; x++) {
        const covered = coverage.values[y * this.width + x];
        if (covered) this.mix(numbers, ((y - box.top) * width + x - box.left) * this.channels, covered / 255, paint);
      }
    }
    return numbers;
  }

  show(box = whole(this), numbers = this.cut(box)) {
    if (isEmpty(box)) return;
    const image = new ImageData(box.right - box.left, box.bottom - box.top);
    for (let i = 0, at = 0; i < numbers.length; i += this.channels, at += 4) this.colour(image.data, at, numbers, i);
    this.context.putImageData(image, box.left, box.top);
  }
}

// How much of each pixel is marked.
export class Mask extends Layer {
  constructor(width, height) {
    super(width, height, 1);
    this.tint = [255, 255, 255];
  }

  mix(numbers, at, covered, { erases }) {
    numbers[at] = erases ? numbers[at] * (1 - covered) : Math.max(numbers[at], 255 * covered);
  }

  colour(image, at, numbers, i) {
    image.set(this.tint, at);
    image[at + 3] = numbers[i];
  }

  inverted() {
    return this.data.map((value) => 255 - value);
  }

  // White where it marks, on black: what a task is given.
  picture() {
    const context = surface(this.width, this.height);
    const image = context.createImageData(this.width, this.height);
    this.data.forEach((value, i) => image.data.set([value, value, value, 255], 4 * i));
    context.putImageData(image, 0, 0);
    return context.canvas;
  }

  // By how light a picture is, or by how transparent.
  static of(context, isAlpha = false) {
    const { width, height } = context.canvas;
    const made = new Mask(width, height);
    const { data } = context.getImageData(0, 0, width, height);
    for (let i = 0; i < made.data.length; i++) {
      const [red, green, blue, alpha] = data.subarray(4 * i, 4 * i + 4);
      made.data[i] = isAlpha ? 255 - alpha : ((red + green + blue) / 3) * (alpha / 255);
    }
    return made;
  }
}

// Colours over the picture.
export class Paint extends Layer {
  constructor(width, height) {
    super(width, height, 4);
  }

  mix(numbers, at, covered, { erases, colour }) {
    const before = numbers[at + 3] / 255;
    if (erases) {
      numbers[at + 3] *= 1 - covered;
      return;
    }
    const alpha = covered + before * (1 - covered);
    for (let i = 0; i < 3; i++) numbers[at + i] = (colour[i] * covered + numbers[at + i] * before * (1 - covered)) / alpha;
    numbers[at + 3] = 255 * alpha;
  }

  colour(image, at, numbers, i) {
    image.set(numbers.subarray(i, i + 4), at);
  }

  static of(context) {
    const { width, height } = context.canvas;
    const made = new Paint(width, height);
    made.data.set(context.getImageData(0, 0, width, height).data);
    return made;
  }
}
