// Pictures to work from: dropped, pasted, chosen, or taken from one's works; each with a weight where they are mixed.
import { call, told } from "./api.js";
import { onChoice, onDrop } from "./files.js";

const OFFERED = 12; // works to take, at a time
const PAUSE = 250; // milliseconds after the last key before it is searched

export class Pictures {
  constructor(place) {
    this.place = place;
    this.list = place.querySelector("#chosen");
    this.most = Number(place.dataset.most);
    this.weighted = JSON.parse(place.dataset.weights); // name, title, usual and values of each weight that a picture has
    this.take(JSON.parse(place.dataset.given));
    onDrop(place, ({ files }) => this.upload([...files]));
    document.addEventListener("paste", (event) => event.clipboardData.files.length && this.upload([...event.clipboardData.files]));
    const input = place.querySelector("#picture-files");
    onChoice(input, (files) => this.upload(files));
    const [words, whose] = [place.querySelector("#find-works"), place.querySelector("#whose-works")];
    words.addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.offer(words.value, whose.value), PAUSE);
    });
    words.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault()); // it is no form of its own
    whose.addEventListener("change", () => this.offer(words.value, whose.value));
    place.addEventListener("click", ({ target }) => {
      const picked = target.closest("[data-artwork]");
      if (picked) this.add({ artwork: picked.dataset.artwork });
      if (target.closest("#chosen button")) {
        target.closest("li").remove();
        (this.list.querySelector("button") ?? input).focus();
        this.changed();
      }
    });
  }

  // These instead of what there is.
  take(given) {
    this.list.replaceChildren();
    for (const picture of given.slice(0, this.most)) this.add(picture);
  }

  // Works to take: those that fit the words, of one's own, one's favourites or the studio's.
  async offer(words, whose) {
    const asked = (this.asked = Symbol());
    const wanted = new URLSearchParams({ limit: OFFERED, ...(words.trim() && { q: words }), ...(whose && { [whose]: true }) });
    const found = await call("GET", `/artworks?${wanted}`).catch(() => ({ items: [] }));
    if (asked !== this.asked) return; // an answer that came late
    const strip = this.place.querySelector(".strip");
    strip.replaceChildren(...found.items.map((work) => offered(work, strip.dataset.take)));
    if (!found.items.length) strip.textContent = strip.dataset.none;
  }

  // One more than may be takes the place of the last.
  add(picture) {
    while (this.list.children.length >= this.most) this.list.lastElementChild.remove();
    const item = document.createElement("li");
    item.picture = picture;
    const shown = document.createElement("img");
    shown.src = picture.artwork ? `/api/v1/artworks/${picture.artwork}/preview?size=128` : `/api/v1/uploads/${picture.upload}/file`;
    shown.alt = this.place.dataset.picture;
    shown.width = shown.height = 96;
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

  async upload(files) {
    const problem = this.place.querySelector("[data-error]");
    problem.textContent = "";
    for (const file of files) {
      const form = new FormData();
      form.append("file", file);
      try {
        this.add({ upload: (await call("POST", "/uploads", form)).id });
      } catch (error) {
        problem.textContent = told(error, this.place.dataset.lost);
      }
    }
  }

  inputs() {
    return [...this.list.children].map((item) => item.picture);
  }

  sliders(name) {
    return [...this.list.querySelectorAll(`[data-weight="${name}"]`)];
  }

  weights() {
    if (!this.list.children.length) return {};
    return Object.fromEntries(this.weighted.map(({ name }) => [name, this.sliders(name).map((slider) => Number(slider.value))]));
  }
}

function offered(work, words) {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "pick" });
  button.dataset.artwork = work.id;
  button.setAttribute("aria-label", `${words}: ${work.title || work.prompt || work.model}`);
  const shown = document.createElement("img");
  Object.assign(shown, { src: `/api/v1/artworks/${work.id}/preview?size=128`, alt: "", width: 56, height: 56 });
  button.append(shown);
  return button;
}
