// Live curves of a run, and of another one beside it: a small chart for each metric, all losses in one.
import uPlot from "../vendor/uPlot.esm.js";

const HEIGHT = 190;
const WHOLE = Array.from({ length: 8 }, (_, power) => [1, 2, 5].map((digit) => digit * 10 ** power)).flat(); // steps
const NUMBER = new Intl.NumberFormat(document.documentElement.lang, { maximumSignificantDigits: 4 });
const HIDDEN = new Set(["step", "seconds"]);
const words = (name) => name.replaceAll("_", " ");

function groupOf(name) {
  if (name.includes("loss")) return "loss";
  return name.endsWith("_share") ? "shares" : name;
}

// Of every metric its [steps, values]. Where a run went back to a checkpoint, what came after it is dropped.
export class Curves {
  constructor() {
    this.series = new Map();
    this.newest = 0;
  }

  add(line) {
    const { step } = line;
    if (step < this.newest) {
      for (const points of this.series.values()) while (points.length && points.at(-1)[0] >= step) points.pop();
    }
    this.newest = step;
    for (const [name, value] of Object.entries(line)) {
      if (HIDDEN.has(name)) continue;
      const points = this.series.get(name) ?? this.series.set(name, []).get(name);
      if (points.at(-1)?.[0] === step) points.pop();
      points.push([step, value]);
    }
  }

  static of(curves) {
    const made = new Curves();
    for (const [name, points] of Object.entries(curves)) if (!HIDDEN.has(name)) made.series.set(name, points);
    return made;
  }
}

export class Charts {
  constructor(place, { translations, stepLabel, otherName }) {
    Object.assign(this, { place, translations, stepLabel, otherName, charts: new Map(), own: new Curves(), other: new Curves() });
    new ResizeObserver(() => this.resize()).observe(place);
    new MutationObserver(() => this.rebuild()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.rebuild());
  }

  label(name) {
    for (const [start, word] of Object.entries(this.translations)) {
      if (words(name) === start) return word;
    }
    const held = "held out loss";
    return words(name).startsWith(held) ? `${this.translations[held] ?? held}${words(name).slice(held.length)}` : words(name);
  }

  draw() {
    const groups = new Map();
    for (const name of [...this.own.series.keys(), ...this.other.series.keys()]) {
      const names = groups.get(groupOf(name)) ?? groups.set(groupOf(name), []).get(groupOf(name));
      if (!names.includes(name)) names.push(name);
    }
    for (const [group, names] of groups) {
      const known = this.charts.get(group);
      if (known && known.names.join() === names.join()) known.chart.setData(this.data(names));
      else {
        const before = known ? known.holder.nextSibling : group === "loss" ? this.place.firstChild : null;
        known?.chart.destroy();
        known?.holder.remove();
        this.charts.set(group, this.make(group, names, before)); // each chart keeps its place, losses come first
      }
    }
  }

  // uPlot wants one column of steps for all series of a chart.
  data(names) {
    const runs = this.otherName ? [this.own, this.other] : [this.own];
    const columns = names.flatMap((name) => runs.map((curves) => new Map(curves.series.get(name) ?? [])));
    const steps = [...new Set(columns.flatMap((column) => [...column.keys()]))].sort((a, b) => a - b);
    return [steps, ...columns.map((column) => steps.map((step) => column.get(step) ?? null))];
  }

  make(group, names, before) {
    const style = getComputedStyle(document.documentElement);
    const colours = ["--accent", "--curve-2", "--curve-3", "--curve-4"].map((name) => style.getPropertyValue(name).trim());
    const [faint, line] = ["--faint", "--line"].map((name) => style.getPropertyValue(name).trim());
    const holder = document.createElement("figure");
    holder.className = "curve";
    const caption = holder.appendChild(document.createElement("figcaption"));
    caption.textContent = this.label(group);
    this.place.insertBefore(holder, before);
    const axis = { stroke: faint, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1 }, font: "12px system-ui" };
    const series = names.flatMap((name, i) => {
      const base = { spanGaps: true, points: { show: (chart, index) => chart.data[index].filter((v) => v !== null).length < 30, size: 4 } };
      const colour = (at) => colours[at % colours.length];
      const own = { ...base, stroke: colour(i), label: this.label(name), width: 1.8 };
      const other = { ...base, stroke: colour(names.length + i), label: `${this.label(name)} · ${this.otherName}`, width: 1.2, dash: [5, 4] };
      return this.otherName ? [own, other] : [own];
    });
    const chart = new uPlot(
      {
        width: Math.max(200, holder.clientWidth),
        height: HEIGHT,
        scales: { x: { time: false } },
        axes: [
          { ...axis, size: 28, incrs: WHOLE, values: (_, ticks) => ticks.map((tick) => NUMBER.format(tick)) },
          { ...axis, size: (_, shown) => Math.max(...(shown ?? [""]).map((text) => 7 * text.length)) + 18, values: (_, ticks) => ticks.map((tick) => NUMBER.format(tick)) },
        ],
        legend: { show: names.length > 1 || Boolean(this.otherName) },
        cursor: { drag: { x: true, y: false } },
        series: [{ label: this.stepLabel }, ...series],
      },
      this.data(names),
      holder,
    );
    return { names, chart, holder };
  }

  resize() {
    for (const { chart, holder } of this.charts.values()) chart.setSize({ width: Math.max(200, holder.clientWidth), height: HEIGHT });
  }

  rebuild() {
    for (const { chart, holder } of this.charts.values()) {
      chart.destroy();
      holder.remove();
    }
    this.charts.clear();
    this.draw();
  }
}
