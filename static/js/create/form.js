// The request form: what it asks for, what is wrong with it, and how it is sent so that it makes one job.
import { ApiError, call, composes } from "../api.js";
import { insist } from "./insist.js";

export class RequestForm {
  // `inputs` are what the request works from; `done(made, path)` is awaited with each new job or grid.
  constructor(form, inputs, lost, done) {
    Object.assign(this, { form, inputs, lost, done, submitting: false, unanswered: { body: "", key: "" } });
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const button = form.querySelector("#submit");
      button.setAttribute("aria-disabled", "true"); // and not disabled, which would take the focus from it
      await this.submitWith(this.alongside);
      button.removeAttribute("aria-disabled");
    });
    form.querySelector(".field.prompt textarea")?.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || composes(event)) return;
      event.preventDefault();
      if (!event.repeat) form.requestSubmit();
    });
    form.querySelector("[data-dice]")?.addEventListener("click", () => {
      this.roll();
      hasChanged(form.elements.seed);
    });
    for (const slider of form.querySelectorAll("[data-for]")) tie(slider, document.getElementById(slider.dataset.for));
    for (const field of form.querySelectorAll("[data-needs]")) appearWith(field, form.elements[field.dataset.needs]);
    for (const text of form.querySelectorAll("[data-longest]")) countCharacters(text);
    if (form.querySelector("[data-style]")) styles(form);
    if (form.querySelector("[data-example]")) examples(form);
  }

  params() {
    const values = {};
    for (const input of this.form.elements) {
      if (!input.name || input.name.includes(".") || input.disabled || input.closest("[data-role]")) continue;
      if (input.dataset.type === "boolean") values[input.name] = input.checked;
      else if (input.value === "") continue;
      else if (input.dataset.type === "truth") values[input.name] = input.value === "true";
      else values[input.name] = input.dataset.type ? Number(input.value) : input.value;
    }
    for (const list of this.form.querySelectorAll("[data-adapters]")) {
      const weighted = [...list.querySelectorAll("[data-adapter]")].filter(({ value }) => Number(value));
      if (weighted.length) values[list.dataset.adapters] = weighted.map(({ dataset, value }) => ({ name: dataset.adapter, weight: Number(value) }));
    }
    return values;
  }

  request() {
    const { model, task } = this.form.dataset;
    const size = Number(this.form.elements["enlarge.size"]?.value);
    const enlarge = size ? { enlarge: { size, pixel_art: this.form.elements["enlarge.pixel_art"].checked } } : {};
    return { model, task, params: { ...this.params(), ...this.inputs.weights() }, inputs: this.inputs.given(), ...enlarge };
  }

  // Where nobody gave a seed, that of the live frame is drawn, and the next frame has another.
  withSeed(given) {
    if (this.spareSeed === undefined || given.params.seed !== undefined) return given;
    given.params.seed = this.spareSeed;
    this.spareSeed = anySeed();
    return given;
  }

  // `alongside()` makes what else the request works from, by role.
  async submitWith(alongside = async () => ({})) {
    try {
      if (!(await this.inputs.arrived())) return; // what did not come is said beside it
      const made = await alongside(); // first: what was chosen may be changed by it
      const given = this.request();
      const whole = { ...given, inputs: { ...given.inputs, ...made } };
      const grid = this.grid?.of(whole);
      await (grid ? this.submit(grid, "/grids") : this.submit(this.withSeed(whole)));
    } catch (error) {
      this.show(error instanceof TypeError ? new Error(this.lost) : error);
    }
  }

  roll() {
    this.form.elements.seed.value = anySeed();
  }

  show(error) {
    for (const place of this.form.querySelectorAll("[data-error]")) place.textContent = "";
    const problem = document.getElementById("problem");
    problem.textContent = "";
    if (!error) return;
    const named = error.fields?.filter((field) => this.placeOf(field)) ?? [];
    for (const field of named) {
      const place = this.placeOf(field);
      place.textContent = field.msg;
      const folded = place.closest("details");
      if (folded) folded.open = true;
    }
    const unplaced = error.fields?.filter((field) => !this.placeOf(field)) ?? []; // of several parameters together
    if (!named.length || unplaced.length) problem.textContent = unplaced.map((field) => field.msg).join(" ") || error.message;
  }

  // Of a parameter or a role; one input of a role is a number behind it.
  placeOf({ loc }) {
    const name = String(loc.findLast((part) => typeof part === "string"));
    return this.form.querySelector(`[data-error="${CSS.escape(name)}"]`);
  }

  // A request whose answer was lost keeps its key, so that sent again, by us or by hand, it makes one job.
  async submit(given, path = "/generations") {
    if (this.submitting) return;
    this.submitting = true;
    this.show(null);
    const body = JSON.stringify(given);
    if (this.unanswered.body !== body) this.unanswered = { body, key: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
    try {
      const job = await insist(() => call("POST", path, given, { "Idempotency-Key": this.unanswered.key }));
      this.unanswered = { body: "", key: "" };
      await this.done(job, path);
    } catch (error) {
      if (error instanceof ApiError) this.unanswered = { body: "", key: "" };
      this.show(error instanceof ApiError ? error : new Error(this.lost));
    } finally {
      this.submitting = false;
    }
  }
}

export const anySeed = () => crypto.getRandomValues(new Uint32Array(1))[0];

// Prompts to start from; the last button takes one of them by chance.
function examples(form) {
  const prompt = form.querySelector(".field.prompt textarea");
  const known = [...form.querySelectorAll("[data-example]")].map((button) => button.dataset.example);
  form.addEventListener("click", ({ target }) => {
    const button = target.closest("[data-example], [data-surprise]");
    if (!button) return;
    const others = known.filter((each) => each !== prompt.value);
    prompt.value = button.dataset.example ?? others[Math.floor(Math.random() * others.length)];
    hasChanged(prompt);
    prompt.focus();
  });
}

// As if somebody had typed it: the live frame follows.
const hasChanged = (input) => input.dispatchEvent(new Event("input", { bubbles: true }));

// How long a text is, once it comes near to what may be sent: nothing of what is pasted is cut without a word.
function countCharacters(text) {
  const most = Number(text.dataset.longest);
  const place = text.parentElement.querySelector("[data-length]");
  const count = () => {
    const length = [...text.value].length; // as the studio counts: an emoji is one
    place.hidden = length < 0.8 * most;
    place.textContent = `${length} / ${most}`;
    place.classList.toggle("error", length > most);
  };
  text.addEventListener("input", count);
  count();
}

// What has no effect without another parameter is not shown, nor sent, while that one is empty, 0 or off.
function appearWith(field, other) {
  const follow = () => {
    field.hidden = !(other.type === "checkbox" ? other.checked : other.type === "number" ? Number(other.value) : other.value);
    for (const input of field.querySelectorAll("[name]")) input.disabled = field.hidden;
  };
  for (const event of ["input", "change"]) other.addEventListener(event, follow);
  follow();
}

// A slider and its number follow each other.
function tie(slider, number) {
  const follow = () => (slider.value = number.value);
  slider.addEventListener("input", () => (number.value = slider.value));
  number.addEventListener("input", follow);
  follow();
}

// Chips that end a prompt with a style.
function styles(form) {
  const chips = [...form.querySelectorAll("[data-style]")];
  const prompt = form.querySelector(".field.prompt textarea");
  const endings = chips.flatMap((chip) => chip.dataset.all.split("|"));
  const show = () => {
    for (const chip of chips) {
      const on = chip.dataset.all.split("|").some((ending) => prompt.value.trimEnd().endsWith(ending));
      chip.setAttribute("aria-pressed", String(on));
    }
  };
  for (const chip of chips) {
    chip.addEventListener("click", () => {
      const on = chip.getAttribute("aria-pressed") === "true";
      let text = prompt.value.trimEnd();
      for (const ending of endings) if (text.endsWith(ending)) text = text.slice(0, -ending.length);
      prompt.value = on ? text : text + chip.dataset.style;
      hasChanged(prompt);
      prompt.focus();
    });
  }
  prompt.addEventListener("input", show);
  show();
}
