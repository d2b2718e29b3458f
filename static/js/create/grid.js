// The part of the form that asks for a grid: which settings differ, and their values, one a line.
export class GridForm {
  constructor(place, inputs) {
    Object.assign(this, { place, inputs, sides: [...place.querySelectorAll("[data-axis]")].map((side) => new Axis(side, inputs)) });
    this.number = place.querySelector("[data-number]");
    for (const event of ["input", "change"]) place.closest("form").addEventListener(event, () => this.show());
    place.addEventListener("toggle", () => this.show());
    this.show();
  }

  show() {
    const [columns, rows] = this.sides;
    rows.place.hidden = !columns.name;
    const spread = this.axes().filter((side) => side.kind === "role").map((side) => side.name);
    for (const chooser of this.inputs.choosers) chooser.setApart(spread.includes(chooser.role));
    const number = this.axes().length ? this.axes().reduce((product, side) => product * side.values().length, 1) : 0;
    this.number.textContent = number ? this.number.dataset.number.replace("NUMBER", number) : "";
  }

  // None while the options are folded: nobody would see why a grid is drawn.
  axes() {
    return this.place.open ? this.sides.filter((side) => side.name && !side.place.hidden) : [];
  }

  // The request for a grid of which `request` is what the cells have in common; none where nothing is to differ.
  of(request) {
    const [columns, rows] = this.axes();
    if (!columns) return null;
    const { count, ...params } = request.params; // a cell has one work
    return { request: { ...request, params }, columns: columns.asked(), ...(rows && { rows: rows.asked() }) };
  }
}

class Axis {
  constructor(place, inputs) {
    Object.assign(this, { place, inputs, choice: place.querySelector("select"), text: place.querySelector("textarea") });
    this.choice.addEventListener("change", () => {
      this.text.value = this.proposed.join("\n");
      this.text.hidden = !this.name || this.kind === "role";
    });
    this.text.hidden = !this.name || this.kind === "role";
  }

  get name() {
    return this.choice.value.split(":")[1] ?? "";
  }

  get kind() {
    return this.choice.selectedOptions[0].dataset.kind;
  }

  get proposed() {
    return JSON.parse(this.choice.selectedOptions[0].dataset.values ?? "[]");
  }

  values() {
    if (this.kind === "role") return this.inputs.of(this.name).all();
    const lines = this.text.value.split("\n").map((line) => line.trim()).filter(Boolean);
    if (this.kind === "boolean") return lines.map((line) => ({ true: true, false: false })[line] ?? line);
    return this.kind === "number" ? lines.map(numeral) : lines;
  }

  asked() {
    return { [this.kind === "role" ? "role" : "parameter"]: this.name, values: this.values() };
  }
}

// What is no number, or neither true nor false, is left to the studio, which says so.
const numeral = (line) => (Number.isNaN(Number(line)) ? line : Number(line));
