// The form of a new training run: presets fill it in, an estimate follows it, the launch leads to the run's page.
import { base } from "./base.js";
import { ApiError, call } from "./api.js";
import { carry } from "./draft.js";

const form = document.getElementById("new-run"); // its field "dataset" hides form.dataset: use getAttribute
const words = document.getElementById("estimate").dataset;
const language = document.documentElement.lang;
const OWN = ["name", "dataset", "preset", "steps", "minutes", "patience", "seed", "evaluate"];

function value(input) {
  if (input.type === "checkbox") return input.checked;
  if (input.dataset.type === "lines") return input.value.split("\n").map((line) => line.trim()).filter(Boolean);
  if (input.value.trim() === "") return undefined;
  if (input.dataset.type === "numbers") return input.value.split(/[\s,，]+/).filter(Boolean).map(Number);
  return input.type === "number" || input.dataset.type === "number" ? Number(input.value) : input.value;
}

function request() {
  const made = { family: form.getAttribute("data-family"), params: {} };
  for (const input of form.elements) {
    if (!input.name || input.disabled || (input.type === "radio" && !input.checked)) continue;
    const given = value(input);
    if (given === undefined) continue;
    const [group, part] = input.name.split(".");
    if (group === "preparation") (made.preparation ??= {})[part] = given;
    else if (part) (made.params[group] ??= {})[part] = given;
    else (OWN.includes(group) ? made : made.params)[group] = given;
  }
  return made;
}

function reset(field) {
  if (field instanceof HTMLSelectElement) field.selectedIndex = Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
  else field.value = field.defaultValue;
}

function usePreset() {
  const { steps, params } = form.querySelector("[name=preset]:checked").dataset;
  form.elements.steps.value = steps;
  const presets = [...form.querySelectorAll("[name=preset]")].map((preset) => JSON.parse(preset.dataset.params));
  for (const name of new Set(presets.flatMap(Object.keys))) reset(form.elements[name]); // what another preset has set
  for (const [name, given] of Object.entries(JSON.parse(params))) form.elements[name].value = given;
}

// A starter collection is square already, and says of each picture whether it may be mirrored.
function showOwn() {
  document.getElementById("own-pictures").hidden = form.elements.dataset.selectedOptions[0]?.hasAttribute("data-starter") ?? true;
}

// The checkpoint that a run starts from says what network it is, and so how large its pictures are.
function followStart() {
  const { start_from: start } = form.elements;
  const size = form.elements.size ?? form.elements["network.size"];
  if (!start) return;
  for (const input of form.elements) if (input === size || input.name.startsWith("network.")) input.disabled = start.value !== "";
  if (size?.disabled) size.value = JSON.parse(form.getAttribute("data-sizes"))[start.value];
}

function duration(seconds) {
  const unit = (number, name) => new Intl.NumberFormat(language, { style: "unit", unit: name, maximumFractionDigits: 0 }).format(number);
  return seconds < 5400 ? unit(Math.max(1, seconds / 60), "minute") : unit(seconds / 3600, "hour");
}

const PAUSE = 400; // milliseconds
let turn = 0;
let touched = false; // nothing is wrong with a form that nobody has filled in
async function estimate() {
  const mine = ++turn;
  const place = document.getElementById("estimate");
  try {
    const found = await call("POST", "/training-runs/estimates", { ...request(), name: "?" });
    if (mine !== turn) return; // an answer that came late
    const memory = `${(found.memory_bytes / 2 ** 30).toFixed(1)} GiB`;
    place.textContent = [
      words.words.replace("TIME", duration(found.seconds)).replace("MEMORY", memory),
      { here: words.here, runs: words.runs, speed: words.speed }[found.measured] ?? words.elsewhere,
      form.elements.evaluate.checked ? words.measuring : "",
      found.pieces > 1 ? words.pieces.replace("NUMBER", found.pieces) : "",
    ].join(" ");
    if (touched) showProblem(null, "name");
  } catch (error) {
    if (mine !== turn) return;
    place.textContent = "";
    if (touched && error instanceof ApiError) showProblem(error, "name"); // which an estimate does without
  }
}

function showProblem(error, kept) {
  for (const place of form.querySelectorAll("[data-error]")) if (place.dataset.error !== kept) place.textContent = "";
  const problem = document.getElementById("problem");
  problem.textContent = "";
  if (!error) return;
  const left = [];
  for (const field of error.fields ?? []) {
    const names = [...field.loc.map(String), field.loc.slice(field.loc.indexOf("network")).slice(0, 2).join(".")]; // the most exact last
    const place = names.map((name) => form.querySelector(`[data-error="${CSS.escape(name)}"]`)).findLast(Boolean);
    if (place) place.textContent = field.msg;
    else left.push(field.msg);
  }
  if (left.length || !error.fields?.length) problem.textContent = [error.message, ...left.filter(Boolean)].join(": ");
  for (const place of form.querySelectorAll("details [data-error]:not(:empty)")) place.closest("details").open = true;
}

let soon;
form.addEventListener("input", () => {
  clearTimeout(soon);
  soon = setTimeout(estimate, PAUSE); // a number is being typed
});
form.addEventListener("change", (event) => {
  clearTimeout(soon);
  touched = true;
  if (event.target.name === "preset") usePreset();
  showOwn();
  followStart();
  estimate();
});
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = document.getElementById("launch");
  if (button.getAttribute("aria-disabled")) return;
  turn++; // an estimate that comes late says nothing more
  button.setAttribute("aria-disabled", "true"); // and not disabled, which would take the focus from it
  try {
    const run = await call("POST", "/training-runs", request());
    location.assign(`${base}/train/${run.id}`);
  } catch (error) {
    showProblem(error instanceof ApiError ? error : new Error(form.getAttribute("data-lost")));
    button.removeAttribute("aria-disabled");
  }
});
usePreset();
carry(form, ".tabs a", { names: ["name", "dataset", "preparation.fit", "preparation.mirror", "minutes", "patience", "seed", "evaluate"] });
showOwn();
followStart();
estimate();
