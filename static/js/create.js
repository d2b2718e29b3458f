// The create page: submits jobs, draws them while they are drawn, survives a refresh.
import { ApiError, call, composes, told } from "./api.js";
import { carry } from "./draft.js";
import { onChoice } from "./files.js";
import { Pictures } from "./pictures.js";

const form = document.getElementById("create");
const jobs = document.getElementById("jobs");
const words = jobs?.dataset;
const ended = document.getElementById("ended"); // the one place that says so to who cannot see it
const pictures = document.getElementById("pictures") ? new Pictures(document.getElementById("pictures")) : null;

const SECONDS = new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit: "second" });
const SOON = 2; // seconds: less is not worth saying

const left = form ? carry(form, ".models a, .task-tabs a", { others: () => ({ pictures: pictures?.inputs() ?? left.pictures }) }) : {};
if (pictures && left.pictures?.length) pictures.take(left.pictures);

// --- the form -------------------------------------------------------------------------------------------------------

function params() {
  const values = {};
  for (const input of form.elements) {
    if (!input.name || input.closest("#pictures")) continue;
    if (input.dataset.type === "boolean") values[input.name] = input.checked;
    else if (input.value === "") continue;
    else values[input.name] = input.dataset.type ? Number(input.value) : input.value;
  }
  return values;
}

function request() {
  const given = { model: form.dataset.model, task: form.dataset.task, params: params() };
  if (pictures) Object.assign(given, { inputs: { images: pictures.inputs() }, params: { ...given.params, ...pictures.weights() } });
  return given;
}

function showProblem(error) {
  for (const place of form.querySelectorAll("[data-error]")) place.textContent = "";
  const problem = document.getElementById("problem");
  problem.textContent = "";
  if (!error) return;
  const named = error.fields?.filter((field) => form.querySelector(`[data-error="${CSS.escape(String(field.loc.at(-1)))}"]`)) ?? [];
  for (const field of named) {
    const place = form.querySelector(`[data-error="${CSS.escape(String(field.loc.at(-1)))}"]`);
    place.textContent = field.msg;
    const folded = place.closest("details");
    if (folded) folded.open = true;
  }
  if (!named.length) problem.textContent = error.message;
}

// A request whose answer was lost keeps its key, so that sent again, by us or by hand, it makes one job.
let unanswered = { body: "", key: "" };
let submitting = false;

async function submit(given) {
  if (submitting) return;
  submitting = true;
  showProblem(null);
  const body = JSON.stringify(given);
  if (unanswered.body !== body) unanswered = { body, key: crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}` };
  try {
    const job = await insist(() => call("POST", "/generations", given, { "Idempotency-Key": unanswered.key }));
    unanswered = { body: "", key: "" };
    const shown = await insist(() => card(job.id));
    document.getElementById("nothing")?.remove();
    jobs.prepend(shown);
    shown.scrollIntoView({ block: "nearest" });
    for (const wait of [500, 3000]) setTimeout(recheck, wait, job.id); // it may have ended before its card was there
  } catch (error) {
    if (error instanceof ApiError) unanswered = { body: "", key: "" };
    showProblem(error instanceof ApiError ? error : new Error(words.lost));
  } finally {
    submitting = false;
  }
}

async function insist(send, tries = 4) {
  for (let wait = 500; ; wait *= 2) {
    try {
      return await send();
    } catch (error) {
      if (error instanceof ApiError || --tries === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = document.getElementById("submit");
  button.setAttribute("aria-disabled", "true"); // and not disabled, which would take the focus from it
  await submit(request());
  button.removeAttribute("aria-disabled");
});

form?.querySelector("textarea")?.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.shiftKey || composes(event)) return;
  event.preventDefault();
  if (!event.repeat) form.requestSubmit();
});

// As if somebody had typed it: the live frame follows.
const hasChanged = (input) => input.dispatchEvent(new Event("input", { bubbles: true }));

function roll() {
  form.elements.seed.value = crypto.getRandomValues(new Uint32Array(1))[0];
}
form?.querySelector("[data-dice]")?.addEventListener("click", () => {
  roll();
  hasChanged(form.elements.seed);
});

// A slider and its number follow each other.
for (const slider of form?.querySelectorAll("[data-for]") ?? []) {
  const number = document.getElementById(slider.dataset.for);
  const follow = () => (slider.value = number.value);
  slider.addEventListener("input", () => (number.value = slider.value));
  number.addEventListener("input", follow);
  follow();
}

const chips = [...(form?.querySelectorAll("[data-style]") ?? [])];
const prompt = form?.elements.prompt;
const endings = chips.flatMap((chip) => chip.dataset.all.split("|"));

function showStyle() {
  for (const chip of chips) {
    const on = chip.dataset.all.split("|").some((ending) => prompt.value.trimEnd().endsWith(ending));
    chip.setAttribute("aria-pressed", String(on));
  }
}

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
prompt?.addEventListener("input", showStyle);
if (prompt) showStyle();

// --- live frames ------------------------------------------------------------------------------------------------------

const live = document.getElementById("live");
const PIXEL_ART = 32;
const SLOW = 1500; // milliseconds after which somebody wonders whether anything comes
const BUSY = 2000; // milliseconds until a frame that nobody could draw is asked for again
const caption = live?.querySelector("figcaption");
const usual = caption?.textContent;
let asking = false;
let asked = "";

function sayLive(text) {
  caption.textContent = text;
  live.querySelector("img").hidden = !live.querySelector("img").src;
  live.hidden = false;
}

function askAgain() {
  asked = "";
  showLive();
}

function wantedFrame() {
  const given = request();
  given.params = { ...given.params, count: 1, ...("path" in given.params ? { path: false } : {}) };
  return JSON.stringify(given);
}

// One request at a time: while a slider moves, the next frame is asked for when the last has come.
async function showLive() {
  if (!live || asking || (pictures ? !pictures.enough() : !form.elements.seed.value)) return;
  if (!form.elements.seed.value) roll(); // so that what is drawn after it is this picture
  const text = wantedFrame();
  if (text === asked) return;
  asking = true;
  asked = text;
  const slow = setTimeout(sayLive, SLOW, caption.dataset.slow);
  try {
    const frame = await call("POST", "/explorations", JSON.parse(text));
    if (frame) { // none: another tab has asked since
      const image = live.querySelector("img");
      const old = image.src;
      image.src = URL.createObjectURL(frame);
      URL.revokeObjectURL(old);
      sayLive(usual);
    }
  } catch (error) {
    if (error.status === 503) {
      sayLive(caption.dataset.busy);
      setTimeout(askAgain, BUSY);
    } else if (error instanceof ApiError) sayLive(error.fields[0]?.msg ?? error.message);
    // else no answer came: the next change asks again
  } finally {
    clearTimeout(slow);
    asking = false;
  }
  if (wantedFrame() !== asked) showLive();
}
if (live) {
  // Tiny works are looked at by their pixels, as in their previews.
  live.firstElementChild.addEventListener("load", ({ target }) => target.classList.toggle("pixels", target.naturalWidth <= PIXEL_ART));
  for (const kind of ["input", "change"]) form.addEventListener(kind, showLive);
  showLive();
}

// --- a request from a picture's file -----------------------------------------------------------------------------------

const DIFFERENCES = "differences";
const differences = document.getElementById("differences");

// Opens the form as it was when the picture was made; what would be different now is said there.
async function restore(file) {
  const body = new FormData();
  body.append("file", file);
  showProblem(null);
  try {
    const found = await call("POST", "/generations/restoration", body);
    sessionStorage.setItem(DIFFERENCES, JSON.stringify(found.differences));
    location.assign(`/create?request=${encodeURIComponent(JSON.stringify(found.request))}`);
  } catch (error) {
    showProblem(error instanceof ApiError ? error : new Error(words.lost));
  }
}

if (differences) {
  const found = JSON.parse(sessionStorage.getItem(DIFFERENCES) ?? "[]");
  sessionStorage.removeItem(DIFFERENCES);
  for (const text of found) differences.appendChild(document.createElement("li")).textContent = text;
  differences.hidden = !differences.children.length;
  onChoice(document.getElementById("restore"), ([file]) => file && restore(file));
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (event.defaultPrevented || !event.dataTransfer.types.includes("Files")) return; // what has a place of its own
      event.preventDefault();
      if (kind === "drop" && event.dataTransfer.files.length) restore(event.dataTransfer.files[0]);
    });
  }
}

// --- jobs -----------------------------------------------------------------------------------------------------------

async function card(id) {
  const answer = await fetch(`/create/jobs/${id}`);
  if (!answer.ok || answer.redirected) throw new Error(`HTTP ${answer.status}`); // redirected: to the sign-in
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  return holder.content.firstElementChild;
}

const find = (id) => jobs.querySelector(`[data-job="${CSS.escape(id)}"]`);
const hasEnded = (status) => ["succeeded", "failed", "cancelled"].includes(status);

// Puts the card of a job that has ended in place, says so, and keeps the focus where it was.
async function recheck(id) {
  const fresh = await card(id);
  const element = find(id);
  if (!element || !hasEnded(fresh.dataset.status) || hasEnded(element.dataset.status)) return;
  const focused = element.contains(document.activeElement);
  element.replaceWith(fresh);
  if (focused) fresh.querySelector("a, button")?.focus();
  ended.textContent = [fresh.querySelector(".prompt"), fresh.querySelector("[data-text]")].map((part) => part.textContent.trim()).join(": ");
}

// However long the studio takes to answer.
const settling = new Set();
async function settle(id) {
  if (settling.has(id)) return;
  settling.add(id);
  for (let wait = 500; find(id); wait = Math.min(2 * wait, 15000)) {
    try {
      await recheck(id);
      break;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  settling.delete(id);
}

// By the time that the steps since the first seen one took.
const began = new WeakMap();
function showLeft(element, step, total) {
  const start = began.get(element) ?? { step, at: performance.now() };
  began.set(element, start);
  const seconds = ((performance.now() - start.at) / 1000 / (step - start.step)) * (total - step);
  const place = element.querySelector("[data-left]");
  place.hidden = !(seconds >= SOON);
  if (!place.hidden) place.textContent = words.left.replace("TIME", SECONDS.format(Math.round(seconds)));
}

// One stream for all jobs, and only while the page is seen: browsers allow few connections to a host, over all tabs.
// EventSource reconnects by itself, resumes by Last-Event-ID, and the stream starts with the state of every unfinished
// job; what ended in between is looked up.
let stream;
function follow() {
  stream?.close();
  if (document.hidden) return;
  stream = new EventSource("/api/v1/events");
  const on = (type, handle) =>
    stream.addEventListener(type, (event) => {
      const data = JSON.parse(event.data);
      const element = find(data.generation);
      if (element && !hasEnded(element.dataset.status)) handle(element, data);
    });
  on("status", (element, { status, queue_position: place }) => {
    if (hasEnded(status)) return settle(element.dataset.job);
    const text = element.querySelector("[data-text]");
    const said = status === "running" ? words.drawing : place ? words.place.replace("0", place) : words.next;
    if (text.textContent !== said) text.textContent = said;
    element.dataset.status = status;
  });
  on("progress", (element, { step, total }) => {
    element.querySelector("progress").value = (100 * step) / total;
    showLeft(element, step, total);
  });
  on("preview", (element, { index, image }) => {
    const place = element.querySelector(`[data-index="${index}"]`);
    if (!place) return;
    const picture = place.firstElementChild ?? place.appendChild(document.createElement("img"));
    picture.alt = "";
    picture.src = image;
  });
  stream.addEventListener("open", () => {
    if (isOut) showProblem(null);
    isOut = false;
    for (const element of jobs.querySelectorAll("[data-job]")) if (!hasEnded(element.dataset.status)) recheck(element.dataset.job).catch(() => {});
  });
  stream.addEventListener("error", async () => {
    if (stream.readyState !== EventSource.CLOSED || document.hidden) return;
    setTimeout(follow, 3000);
    const answer = await fetch("/api/v1/users/me").catch(() => null);
    if (answer?.status !== 401 || isOut) return; // said once
    isOut = true;
    showProblem(new Error(words.out));
  });
}
let isOut = false;

jobs?.addEventListener("click", async (event) => {
  const element = event.target.closest("[data-job]");
  if (event.target.closest("[data-cancel]")) {
    event.target.setAttribute("aria-disabled", "true");
    try {
      const job = await insist(() => call("POST", `/generations/${element.dataset.job}/cancellation`));
      if (job.status === "cancelled") settle(element.dataset.job);
    } catch (error) {
      if ([404, 409].includes(error.status)) return settle(element.dataset.job); // it had ended already
      event.target.removeAttribute("aria-disabled");
      showProblem(new Error(told(error, words.lost)));
    }
  }
  const again = event.target.closest("[data-again]");
  if (again) await submit(JSON.parse(again.dataset.again));
});

if (jobs) {
  document.addEventListener("visibilitychange", follow);
  follow();
}
