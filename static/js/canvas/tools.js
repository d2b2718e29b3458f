// What a pointer does in the canvas: paint, mark shapes, move the view, draw the frame out.
const NEAR = 10; // window pixels from an edge of the frame where it can be taken
const FAINTEST = 0.35; // of the brush's size, for a pen that hardly presses

export class Pointer {
  // `canvas` is the editor: its view, its tool, its brush, and what it does with strokes and shapes.
  constructor(editor, element) {
    Object.assign(this, { editor, element, touching: new Map(), at: null, act: null });
    element.addEventListener("pointerdown", (event) => this.down(event));
    element.addEventListener("pointermove", (event) => this.move(event));
    for (const kind of ["pointerup", "pointercancel"]) element.addEventListener(kind, (event) => this.up(event, kind === "pointercancel"));
    element.addEventListener("pointerleave", () => this.seenAt(null));
    element.addEventListener("contextmenu", (event) => event.preventDefault());
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      const box = element.getBoundingClientRect();
      editor.view.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0015)), { x: event.clientX - box.left, y: event.clientY - box.top });
    }, { passive: false });
  }

  down(event) {
    if (!this.editor.picture) return;
    event.preventDefault();
    this.element.focus({ preventScroll: true });
    this.element.setPointerCapture(event.pointerId);
    this.touching.set(event.pointerId, event);
    if (this.touching.size === 2) {
      this.act?.cancel?.();
      this.act = new Pinch(this.editor.view, this.touching);
    } else if (this.touching.size === 1) this.act = this.begin(event);
  }

  begin(event) {
    const { editor } = this;
    const side = editor.frame?.sideAt(editor.view, event, NEAR);
    if (side) return editor.frame.drag(side, editor.view, event);
    if (editor.isPanning || editor.tool === "hand" || event.button === 1) return new Pan(editor.view, event);
    if (editor.tool === "brush" || editor.tool === "eraser") return new Stroke(editor, event);
    return new Shape(editor, event);
  }

  move(event) {
    if (this.touching.has(event.pointerId)) this.touching.set(event.pointerId, event);
    this.act?.move(event);
    this.seenAt(event);
  }

  up(event, isCancelled) {
    if (!this.touching.delete(event.pointerId)) return;
    if (isCancelled) this.act?.cancel?.();
    else this.act?.end?.(event);
    this.act = null;
    if (event.pointerType === "touch") this.seenAt(null);
  }

  // Where a brush would paint now.
  seenAt(event) {
    const { editor } = this;
    if (!editor.picture) return;
    this.at = event && editor.view.inPicture(event);
    const side = event && !this.act && editor.frame?.sideAt(editor.view, event, NEAR);
    this.element.style.cursor = side ? (["left", "right"].includes(side) ? "ew-resize" : "ns-resize") : editor.isPanning || editor.tool === "hand" ? "grab" : "crosshair";
    editor.view.draw();
  }
}

class Pan {
  constructor(view, event) {
    Object.assign(this, { view, last: event });
  }

  move(event) {
    this.view.pan(event.clientX - this.last.clientX, event.clientY - this.last.clientY);
    this.last = event;
  }
}

// Two fingers move and zoom.
class Pinch {
  constructor(view, touching) {
    Object.assign(this, { view, touching });
    this.last = this.measured();
  }

  measured() {
    const [a, b] = [...this.touching.values()];
    return { x: (a.clientX + b.clientX) / 2, y: (a.clientY + b.clientY) / 2, apart: Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY) };
  }

  move() {
    if (this.touching.size < 2) return;
    const now = this.measured();
    const box = this.view.canvas.getBoundingClientRect();
    this.view.pan(now.x - this.last.x, now.y - this.last.y);
    if (this.last.apart) this.view.zoom(now.apart / this.last.apart, { x: now.x - box.left, y: now.y - box.top });
    this.last = now;
  }
}

class Stroke {
  constructor(editor, event) {
    this.editor = editor;
    editor.beginStroke(editor.tool === "eraser" || event.altKey);
    this.last = this.point(event);
    editor.strokeTo(this.last);
  }

  point(event) {
    const share = event.pointerType === "pen" && event.pressure ? FAINTEST + (1 - FAINTEST) * event.pressure : 1;
    return { ...this.editor.view.inPicture(event), radius: (share * this.editor.size) / 2 };
  }

  move(event) {
    const passed = event.getCoalescedEvents?.() ?? [];
    for (const each of passed.length ? passed : [event]) {
      const point = this.point(each);
      this.editor.strokeTo(point, this.last);
      this.last = point;
    }
  }

  end() {
    this.editor.endStroke();
  }

  cancel() {
    this.editor.dropStroke();
  }
}

// A rectangle or a lasso: shown while it is drawn, taken when it is done.
class Shape {
  constructor(editor, event) {
    Object.assign(this, { editor, erases: event.altKey });
    const { x, y } = editor.view.inPicture(event);
    this.points = [{ x, y }];
    editor.band = this.points;
  }

  move(event) {
    const point = this.editor.view.inPicture(event);
    const [first] = this.points;
    if (this.editor.tool === "lasso") this.points.push(point);
    else this.points.splice(1, 3, { x: point.x, y: first.y }, point, { x: first.x, y: point.y });
    this.editor.view.draw();
  }

  end() {
    this.editor.band = null;
    if (this.points.length > 2) this.editor.takeShape(this.points, this.erases);
    this.editor.view.draw();
  }

  cancel() {
    this.editor.band = null;
    this.editor.view.draw();
  }
}
