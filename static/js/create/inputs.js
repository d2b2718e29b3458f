// What a request works from, in each role: dropped, pasted, chosen, or taken from one's works; with weights where they are
// mixed.
import { base } from "../base.js";
import { call, fileOf, placeOf, told, upload } from "../api.js";
import { onChoice, onDrop } from "../files.js";

const OFFERED = { works: 12, items: 36 }; // to take, at a time
const EXAMPLES = "examples"; // as the choice of whose; datasets are `dataset:` and their id, starters `starter:` and their name
const MOST_APART = 24; // that are given in requests of their own
const PAUSE = 250; // milliseconds after the last key before it is searched

export class Inputs {
  constructor(form) {
    this.choosers = [...form.querySelectorAll("[data-role]")].map((place) => new Chooser(place));
    // What is pasted goes to the first that takes pictures.
    const first = this.choosers.find((chooser) => chooser.medium === "pictures");
    if (first) document.addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && first.upload([...clipboardData.files]));
  }

  given() {
    return Object.fromEntries(this.choosers.filter((chooser) => chooser.given().length).map((chooser) => [chooser.role, chooser.given()]));
  }

  // Waits for what is still being uploaded; whether all of it came.
  async arrived() {
    const all = await Promise.all(this.choosers.map((chooser) => chooser.arrived));
    return all.every(Boolean);
  }

  of(role) {
    return this.choosers.find((chooser) => chooser.role === role);
  }

  // These instead of what there is, in the roles that are named.
  take(given) {
    for (const chooser of this.choosers) if (given[chooser.role]?.length) chooser.take(given[chooser.role]);
  }

  weights() {
    return Object.assign({}, ...this.choosers.map((chooser) => chooser.weights()));
  }

  some() {
    return this.choosers.length > 0;
  }

  enough() {
    return this.choosers.every((chooser) => chooser.enough());
  }
}

class Chooser {
  constructor(place) {
    this.place = place;
    Object.assign(this, { role: place.dataset.role, medium: place.dataset.medium });
    this.list = place.querySelector(".chosen");
    this.most = Number(place.dataset.most);
    this.weighted = JSON.parse(place.dataset.weights); // name, title, usual and values of each weight that an input has
    this.examples = JSON.parse(place.dataset.examples); // what the model brings along
    this.strip = place.querySelector(".strip");
    this.arrived = Promise.resolve(true);
    this.take(JSON.parse(place.dataset.given));
    onDrop(place, ({ files }) => this.upload([...files]));
    const input = place.querySelector("[data-files]");
    onChoice(input, (files) => this.upload(files));
    const [words, whose] = [place.querySelector("[data-words]"), place.querySelector("[data-whose]")];
    words.addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.offer(words.value, whose.value), PAUSE);
    });
    words.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault()); // it is no form of its own
    whose.addEventListener("change", () => this.choose(whose, words.value));
    // Pictures that a model brings are styles to choose from, as few works are; pieces are ways to begin without any.
    if (this.examples.length && (this.medium === "pictures" || !this.strip.children.length)) {
      whose.value = EXAMPLES;
      this.show(this.examples.map(exemplary));
    }
    place.addEventListener("click", ({ target }) => {
      const picked = target.closest("[data-artwork]");
      if (picked) this.add({ artwork: picked.dataset.artwork });
      const example = target.closest("[data-example]");
      if (example) this.takeExample(example.dataset.example, example.dataset.file);
      if (target.closest(".chosen button")) {
        target.closest("li").remove();
        (this.list.querySelector("button") ?? input).focus();
        this.changed();
      }
    });
  }

  // These instead of what there is.
  take(given) {
    this.list.replaceChildren();
    for (const input of given.slice(0, this.most)) this.add(input);
  }

  // A starter collection is fetched by whoever chooses it first; from then on it is a dataset.
  async choose(whose, words) {
    const [kind, name] = whose.value.split(":");
    const before = this.whose ?? "";
    if (kind === "starter") {
      const chosen = whose.selectedOptions[0];
      whose.disabled = true;
      this.say("");
      this.strip.textContent = this.strip.dataset.fetching;
      try {
        const { dataset } = await call("POST", `/datasets/starters/${name}`);
        Object.assign(chosen, { value: `dataset:${dataset.id}`, textContent: dataset.name });
      } catch (error) {
        whose.value = before;
        this.say(told(error, this.place.dataset.lost));
      } finally {
        whose.disabled = false;
      }
    }
    this.whose = whose.value;
    await this.offer(words, whose.value);
  }

  // Works to take: those that fit the words, of one's own, one's favourites or the studio's; what the model brings; or items of
  // a dataset.
  async offer(words, whose) {
    const asked = (this.asked = Symbol());
    if (whose === EXAMPLES) {
      const fits = ({ title }) => title.toLowerCase().includes(words.trim().toLowerCase());
      this.show(this.examples.filter(fits).map(exemplary));
      return;
    }
    const [kind, id] = whose.split(":");
    if (kind === "starter") return; // it is being fetched
    const search = words.trim() && { q: words };
    const [path, wanted] =
      kind === "dataset" ? [`/datasets/${id}/items`, { limit: OFFERED.items, ...search }] : ["/artworks", { limit: OFFERED.works, ...search, ...(whose && { [whose]: true }) }];
    const found = await call("GET", `${path}?${new URLSearchParams(wanted)}`).catch(() => ({ items: [] }));
    if (asked !== this.asked) return; // an answer that came late
    if (kind === "dataset") {
      this.show(found.items.map((item) => exemplary({ ...itemOf(item, path), medium: this.medium })));
      return;
    }
    const works = found.items.filter((work) => work.medium === this.medium);
    this.show(works.map((work) => offered(work, this.strip.dataset.take)));
  }

  show(buttons) {
    this.strip.replaceChildren(...buttons);
    if (!buttons.length) this.strip.textContent = this.strip.dataset.none;
  }

  say(problem) {
    this.place.querySelector("[data-error]").textContent = problem;
  }

  // An example is used like a file of one's own.
  takeExample(path, name) {
    return this.upload([path], (each) => fileOf(each, name));
  }

  // One more than may be takes the place of the last. `remark` says what of a file was not kept.
  add(input, remark = null) {
    while (this.list.children.length >= this.most) this.list.lastElementChild.remove();
    const item = document.createElement("li");
    item.input = input;
    const shown = document.createElement("img");
    shown.src = `${base}/api/v1${placeOf(input)}/preview?size=128`;
    shown.alt = this.place.dataset.name;
    shown.width = shown.height = 96;
    shown.addEventListener("error", () => shown.replaceWith(this.place.dataset.name)); // there is no picture of a text
    const remove = document.createElement("button");
    remove.type = "button";
    remove.className = "quiet danger";
    remove.textContent = "✕";
    remove.title = this.place.dataset.remove;
    remove.setAttribute("aria-label", this.place.dataset.remove);
    item.append(shown, remove);
    const place = this.list.children.length;
    for (const { name, title, usual, values } of this.weighted) {
      const label = document.createElement("label");
      const slider = document.createElement("input");
      Object.assign(slider, { type: "range", min: 0, max: 1, step: 0.05, value: values[place] ?? Number(usual === "all") });
      slider.dataset.weight = name;
      slider.dataset.moved = place in values ? "true" : "";
      slider.addEventListener("input", () => (slider.dataset.moved = "true"));
      label.append(title, slider);
      item.append(label);
    }
    if (remark) {
      const said = document.createElement("small");
      Object.assign(said, { className: "hint", textContent: remark });
      said.setAttribute("role", "status");
      item.append(said);
    }
    this.list.append(item);
    this.changed();
  }

  // A form hears of a change as of any of its fields.
  changed() {
    for (const { name, usual } of this.weighted) {
      const sliders = this.sliders(name);
      if (usual === "all" || sliders.some((slider) => slider.dataset.moved)) continue;
      sliders.forEach((slider, i) => (slider.value = Number(i === (usual === "first" ? 0 : sliders.length - 1))));
    }
    this.list.dispatchEvent(new Event("change", { bubbles: true }));
  }

  enough() {
    return this.list.children.length >= Number(this.place.dataset.least);
  }

  // One after another; a request waits for what is on its way. `open` gives the file of what is listed.
  async upload(files, open = async (file) => file) {
    this.say("");
    const note = this.place.querySelector("[data-arriving]");
    note.hidden = false;
    const all = (this.arrived = Promise.all([this.arrived, this.store(files, open)]).then((came) => came.every(Boolean)));
    await all;
    if (all !== this.arrived) return; // more is on its way
    note.hidden = true;
    this.arrived = Promise.resolve(true);
  }

  // Whether all came.
  async store(files, open) {
    let came = true;
    for (const file of files) {
      try {
        const { id, remark } = await upload(await open(file));
        this.add({ upload: id }, remark);
      } catch (error) {
        came = false;
        this.say(told(error, this.place.dataset.lost));
      }
    }
    return came;
  }

  // Of those that are given apart, each in a request of its own, the first.
  given() {
    return this.isApart ? this.all().slice(0, 1) : this.all();
  }

  all() {
    return [...this.list.children].filter((item) => !item.hidden).map((item) => item.input);
  }

  setApart(isApart) {
    if (this.isApart === isApart) return;
    this.isApart = isApart;
    this.most = isApart ? MOST_APART : Number(this.place.dataset.most);
    this.list.classList.toggle("apart", isApart); // their weights say nothing
    this.place.querySelector("[data-files]").multiple = this.most > 1;
    [...this.list.children].forEach((item, i) => (item.hidden = i >= this.most)); // they are there again when they may be
  }

  sliders(name) {
    return [...this.list.querySelectorAll(`[data-weight="${name}"]`)];
  }

  weights() {
    if (this.list.children.length < 2 || this.isApart) return {}; // of one alone it says nothing
    return Object.fromEntries(this.weighted.map(({ name }) => [name, this.sliders(name).map((slider) => Number(slider.value))]));
  }
}

const itemOf = ({ id, name, caption }, items) => ({ path: `${items}/${id}/file`, shown: `${items}/${id}/preview?size=128`, title: caption || name, file: name });

function exemplary({ path, shown: small = path, title, file, medium }) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "pick", title });
  Object.assign(button.dataset, { example: path, file });
  if (medium === "pictures") {
    const shown = document.createElement("img");
    Object.assign(shown, { src: `${base}/api/v1${small}`, alt: title, width: 56, height: 56, loading: "lazy" });
    button.append(shown);
  } else Object.assign(button, { className: "chip", textContent: `♪ ${title}` });
  return button;
}

function offered(work, words) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "pick" });
  button.dataset.artwork = work.id;
  button.setAttribute("aria-label", `${words}: ${work.title || work.subject || work.model}`);
  if ("excerpt" in work.facts) {
    const lines = document.createElement("span");
    Object.assign(lines, { className: "lines", textContent: work.facts.excerpt });
    button.append(lines);
    return button;
  }
  const shown = document.createElement("img");
  Object.assign(shown, { src: `${base}/api/v1/artworks/${work.id}/preview?size=128`, alt: "", width: 56, height: 56 });
  button.append(shown);
  return button;
}
