// How far a picture is to go on beyond its edges: drawn out with a pointer, or written into the form's fields.
export class Frame {
  // `fields` are the form's numbers by side; `changed()` is called whenever one of them is.
  constructor(fields, changed) {
    this.fields = fields;
    for (const field of Object.values(fields)) for (const kind of ["input", "change"]) field.addEventListener(kind, changed);
  }

  // By how many pixels on a side.
  added(side) {
    const field = this.fields[side];
    return field ? Math.min(Number(field.max) || Infinity, Math.max(0, Math.round(Number(field.value) || 0))) : 0;
  }

  // The whole, in the picture's own pixels.
  bounds({ width, height }) {
    return { left: -this.added("left"), top: -this.added("top"), right: width + this.added("right"), bottom: height + this.added("bottom") };
  }

  follow(picture) {
    this.picture = picture;
  }

  // The side whose edge is near a point of the window.
  sideAt(view, event, near) {
    const bounds = this.bounds(this.picture);
    const { x, y } = view.inPicture(event);
    const reach = near / view.scale;
    if (x < bounds.left - reach || x > bounds.right + reach || y < bounds.top - reach || y > bounds.bottom + reach) return null;
    const away = { left: Math.abs(x - bounds.left), right: Math.abs(x - bounds.right), top: Math.abs(y - bounds.top), bottom: Math.abs(y - bounds.bottom) };
    const [side] = Object.keys(this.fields).sort((a, b) => away[a] - away[b]);
    return away[side] <= reach ? side : null;
  }

  drag(side, view, event) {
    const [axis, sign] = { left: ["x", -1], right: ["x", 1], top: ["y", -1], bottom: ["y", 1] }[side];
    const from = { at: view.inPicture(event)[axis], added: this.added(side) };
    view.isFitted = false; // it stays where it is while the frame grows
    return {
      move: (moved) => {
        const field = this.fields[side];
        field.value = Math.min(Number(field.max), Math.max(0, Math.round(from.added + sign * (view.inPicture(moved)[axis] - from.at))));
        field.dispatchEvent(new Event("input", { bubbles: true }));
      },
    };
  }
}
