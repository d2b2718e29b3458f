// The canvas of the create page: marks what is to be drawn anew, paints colours over the picture, crops and turns it, and
// draws its frame out. What it makes goes along with the request.
import { Frame } from "./frame.js";
import { History } from "./history.js";
import { Coverage, Mask, Paint, isEmpty, joined, surface, whole } from "./layers.js";
import { Pointer } from "./tools.js";
import { View } from "./view.js";

const VEIL = 0.55; // of the mask over the picture

export class Editor {
  // `fields` are the form's numbers for the frame, by side; `marks` whether the task takes a mask. `changed()` is called
  // when something was done or taken back, `altered(picture)` when the picture itself is another now.
  constructor(place, { fields, marks, changed, altered }) {
    Object.assign(this, { place, changed, altered, tool: "brush", size: 40, softness: 0.4, colour: [214, 69, 51] });
    Object.assign(this, { target: marks ? "mask" : "paint", isPanning: false, band: null, stroke: null, picture: null });
    this.history = new History(changed);
    this.element = place.querySelector("canvas");
    const isFramed = Object.keys(fields).length > 0;
    this.view = new View(this.element, { paint: (context) => this.draw(context), over: (context) => this.drawOver(context), share: isFramed ? 0.7 : 0.92 }); // a frame has room to grow
    this.frame = isFramed ? new Frame(fields, () => this.picture && this.view.show(this.bounds)) : null;
    this.pointer = new Pointer(this, this.element);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.picture && this.tint());
  }

  // --- the picture and its layers ---------------------------------------------------------------------------------------

  // Takes a picture, a 2d context. A mask of its size stays; without one it begins anew, and so do colours.
  open(picture, { mask, paint } = {}) {
    const { width, height } = picture.canvas;
    const fits = (layer) => layer && layer.width === width && layer.height === height;
    const own = this.layers?.mask;
    this.set(picture, { mask: fits(mask) ? mask : fits(own) ? own : new Mask(width, height), paint: fits(paint) ? paint : new Paint(width, height) });
    this.history.clear();
    this.view.isFitted = true;
    this.view.show(this.bounds);
  }

  close() {
    Object.assign(this, { picture: null, stroke: null, band: null });
    this.view.bounds = null;
    this.view.draw();
    this.changed();
  }

  set(picture, layers) {
    Object.assign(this, { picture, layers });
    this.frame?.follow(picture.canvas);
    this.tint();
  }

  get layer() {
    return this.layers[this.target];
  }

  get bounds() {
    return this.frame ? this.frame.bounds(this.picture.canvas) : whole(this.picture.canvas);
  }

  // The mask has the studio's accent, in either theme.
  tint() {
    const context = surface(1, 1);
    context.fillStyle = getComputedStyle(this.place).getPropertyValue("--accent");
    context.fillRect(0, 0, 1, 1);
    this.layers.mask.tint = [...context.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    for (const layer of Object.values(this.layers)) layer.show();
    this.view.draw();
  }

  // --- what is done to them ---------------------------------------------------------------------------------------------

  get paintsWith() {
    return { erases: this.stroke.erases, colour: this.colour };
  }

  beginStroke(erases) {
    this.stroke = { coverage: new Coverage(this.layer.width, this.layer.height), layer: this.layer, erases };
  }

  // Covers the way to a point, and shows it before it is taken.
  strokeTo(point, from) {
    const { coverage, layer } = this.stroke;
    const before = coverage.box;
    coverage.box = { left: layer.width, top: layer.height, right: 0, bottom: 0 };
    if (from) coverage.line(from, point, this.softness);
    else coverage.dab(point.x, point.y, point.radius, this.softness);
    if (!isEmpty(coverage.box)) layer.show(coverage.box, layer.taken(coverage.box, coverage, this.paintsWith));
    coverage.box = joined(before, coverage.box);
    this.view.draw();
  }

  endStroke() {
    const { coverage, layer } = this.stroke;
    if (!isEmpty(coverage.box)) this.put(layer, coverage.box, layer.taken(coverage.box, coverage, this.paintsWith));
    this.stroke = null;
  }

  dropStroke() {
    this.stroke?.layer.show(this.stroke.coverage.box);
    this.stroke = null;
    this.view.draw();
  }

  takeShape(points, erases) {
    if (this.tool === "crop") return this.crop(points);
    this.beginStroke(erases);
    this.stroke.coverage.polygon(points);
    this.endStroke();
  }

  put(layer, box, numbers) {
    const before = layer.cut(box);
    const set = (values) => {
      layer.put(box, values);
      this.view.draw();
    };
    set(numbers);
    this.history.add({ undo: () => set(before), redo: () => set(numbers), bytes: 2 * numbers.length });
  }

  invert() {
    const { mask } = this.layers;
    this.put(mask, whole(mask), mask.inverted());
  }

  clear() {
    this.put(this.layer, whole(this.layer), new Uint8ClampedArray(this.layer.data.length));
  }

  // Another picture as mask, by how light it is, or this picture's own transparency.
  mark(context, isAlpha) {
    const { mask } = this.layers;
    this.put(mask, whole(mask), Mask.of(context, isAlpha).data);
  }

  get hasAlpha() {
    const { width, height } = this.picture.canvas;
    return this.picture.getImageData(0, 0, width, height).data.some((value, i) => i % 4 === 3 && value < 255);
  }

  crop(points) {
    const { width, height } = this.picture.canvas;
    const [xs, ys] = [points.map(({ x }) => x), points.map(({ y }) => y)];
    const limit = (value, most) => Math.round(Math.min(most, Math.max(0, value)));
    const box = { left: limit(Math.min(...xs), width), top: limit(Math.min(...ys), height), right: limit(Math.max(...xs), width), bottom: limit(Math.max(...ys), height) };
    if (isEmpty(box)) return;
    this.alter(box.right - box.left, box.bottom - box.top, (context) => context.translate(-box.left, -box.top));
  }

  // A quarter, clockwise.
  turn() {
    const { width, height } = this.picture.canvas;
    this.alter(height, width, (context) => context.transform(0, 1, -1, 0, height, 0));
  }

  // The picture and its layers as they are after a change of their places.
  alter(width, height, place) {
    const after = (source) => {
      const context = surface(width, height);
      context.imageSmoothingEnabled = false;
      place(context);
      context.drawImage(source, 0, 0);
      return context;
    };
    const { mask, paint } = this.layers;
    const old = { picture: this.picture, layers: this.layers };
    const made = { picture: after(old.picture.canvas), layers: { mask: Mask.of(after(mask.picture())), paint: Paint.of(after(paint.shown)) } };
    const become = ({ picture, layers }) => {
      this.set(picture, layers);
      this.view.isFitted = true;
      this.view.show(this.bounds);
      this.altered(picture);
    };
    become(made);
    this.history.add({ undo: () => become(old), redo: () => become(made), bytes: 9 * (mask.data.length + width * height) });
  }

  // --- what it makes ----------------------------------------------------------------------------------------------------

  // The picture with what was painted over it; null where nothing was.
  painted() {
    if (this.layers.paint.isEmpty()) return null;
    const { canvas } = this.picture;
    const context = surface(canvas.width, canvas.height);
    context.drawImage(canvas, 0, 0);
    context.drawImage(this.layers.paint.shown, 0, 0);
    return context.canvas;
  }

  // --- what is seen -----------------------------------------------------------------------------------------------------

  draw(context) {
    const { canvas } = this.picture;
    this.view.checks(context, this.bounds);
    context.drawImage(canvas, 0, 0);
    context.drawImage(this.layers.paint.shown, 0, 0);
    context.globalAlpha = VEIL;
    if (this.target === "mask") context.drawImage(this.layers.mask.shown, 0, 0);
    context.globalAlpha = 1;
  }

  drawOver(context) {
    const { view } = this;
    if (this.frame) {
      const { left, top, right, bottom } = this.bounds;
      const [from, to] = [view.inWindow({ x: left, y: top }), view.inWindow({ x: right, y: bottom })];
      context.strokeStyle = getComputedStyle(this.place).getPropertyValue("--accent");
      context.lineWidth = 2;
      context.strokeRect(from.x, from.y, to.x - from.x, to.y - from.y);
    }
    if (this.band) outline(context, () => {
      for (const point of this.band) context.lineTo(view.inWindow(point).x, view.inWindow(point).y);
      context.closePath();
    });
    const { at } = this.pointer;
    if (at && ["brush", "eraser"].includes(this.tool)) outline(context, () => {
      const { x, y } = view.inWindow(at);
      context.arc(x, y, Math.max(1, (view.scale * this.size) / 2), 0, 2 * Math.PI);
    });
  }
}

// Seen on light and on dark.
function outline(context, path) {
  for (const [colour, width] of [["#fff", 3], ["#000", 1]]) {
    context.beginPath();
    path();
    Object.assign(context, { strokeStyle: colour, lineWidth: width });
    context.stroke();
  }
}
