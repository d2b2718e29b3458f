// A training run's page: follows it, steers it, publishes what it has made.
import { base } from "./base.js";
import { call, told } from "./api.js";
import { Charts, Curves } from "./curves.js";
import { Pieces } from "./player/pieces.js";

const page = document.getElementById("run");
const id = page.dataset.run;
const words = JSON.parse(page.dataset.words);
const language = document.documentElement.lang;
const charts = new Charts(document.getElementById("curves"), {
  translations: JSON.parse(page.dataset.metrics),
  stepLabel: words.at,
  otherName: page.dataset.otherName,
});
const atRest = (status) => ["paused", "succeeded", "failed", "cancelled"].includes(status);
let stream;
let hasFollowed = false;
let isPausing = false; // it was asked to
document.addEventListener("visibilitychange", () => (document.hidden || !hasFollowed || !atRest(page.dataset.status)) && follow());

// --- following --------------------------------------------------------------------------------------------------------

// Only while the page is seen: browsers allow few connections to a host, over all tabs.
function follow() {
  stream?.close();
  if (document.hidden) return;
  hasFollowed = true;
  stream = new EventSource(`${base}/api/v1/training-runs/${id}/events`);
  let fresh = true; // a new stream tells all from the start, unless it is a resumed one
  stream.addEventListener("open", () => {
    if (fresh) charts.own = new Curves();
    fresh = false;
  });
  stream.addEventListener("metrics", (event) => {
    for (const line of JSON.parse(event.data)) charts.own.add(line);
    document.getElementById("no-curves").hidden = true;
    charts.draw();
  });
  stream.addEventListener("samples", (event) => showSteps(JSON.parse(event.data)));
  stream.addEventListener("run", (event) => show(JSON.parse(event.data)));
  stream.addEventListener("error", () => {
    if (atRest(page.dataset.status)) stream.close();
    else if (stream.readyState === EventSource.CLOSED) setTimeout(follow, 3000);
  });
}

function duration(seconds) {
  const unit = (value, name) => new Intl.NumberFormat(language, { style: "unit", unit: name, maximumFractionDigits: 0 }).format(value);
  if (seconds < 90) return unit(seconds, "second");
  if (seconds < 5400) return unit(seconds / 60, "minute");
  return `${unit(Math.floor(seconds / 3600), "hour")} ${unit((seconds % 3600) / 60, "minute")}`;
}

function show(run) {
  const wasAtRest = atRest(page.dataset.status);
  page.dataset.status = run.status;
  const text = page.querySelector("[data-text]");
  isPausing &&= run.status === "running";
  const said = isPausing ? words.pausing : (run.status === "running" && words[run.phase]) || words[run.status];
  if (text.textContent !== said) text.textContent = said;
  text.dataset.status = run.status;
  page.querySelector("progress").value = run.progress.share;
  const number = new Intl.NumberFormat(language);
  const parts = [words.step.replace("STEP", number.format(run.progress.step)).replace("TOTAL", number.format(run.steps))];
  if (run.seconds) parts.push(words.trained.replace("TIME", duration(run.seconds)));
  if (run.seconds_left) parts.push(words.left.replace("TIME", duration(run.seconds_left)));
  document.getElementById("where").textContent = parts.join(" · ");
  if (run.error === null || !atRest(run.status)) document.getElementById("reason").textContent = "";
  else if (!document.getElementById("reason").textContent) document.getElementById("reason").textContent = run.error;
  document.getElementById("publish").hidden = !run.publishable;
  showControls(run);
  if (!atRest(run.status)) return;
  stream?.close();
  if (run.publishable && !wasAtRest) showFigures();
}

function showControls({ status, phase, saved_step: saved }) {
  for (const control of page.querySelectorAll("[data-when]")) {
    const { when, act, phase: only } = control.dataset;
    control.hidden = !when.split(" ").includes(status) || (only && only !== phase) || (act === "conclusion" && !saved);
  }
}

// What was measured comes with the page, but for a run that has just ended.
async function showFigures() {
  const answer = await fetch(location.href);
  if (!answer.ok) return;
  const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById("figures");
  if (found) document.getElementById("figures").replaceWith(found);
}

// --- samples ----------------------------------------------------------------------------------------------------------

const COLUMNS = 6; // of a sheet of prompts
const timeline = document.getElementById("timeline");
let steps = [];

function showSteps(found) {
  const newest = steps.length === 0 || Number(timeline.value) === steps.length - 1;
  steps = found;
  document.getElementById("samples").hidden = !steps.length;
  timeline.max = Math.max(0, steps.length - 1);
  timeline.hidden = steps.length < 2;
  if (newest) timeline.value = timeline.max;
  showSheet();
}

// A sheet of prompts is shown piece by piece, each with its prompt; any other as it is.
const sheet = document.getElementById("sheet");
const watched = document.getElementById("watched");

async function showPrompts() {
  const { prompts } = await call("GET", `/training-runs/${id}/samples`);
  watched.replaceChildren(
    ...prompts.map((prompt) => {
      const cell = document.createElement("li");
      const picture = cell.appendChild(document.createElement("div"));
      Object.assign(picture, { role: "img", ariaLabel: prompt });
      cell.append(prompt);
      return cell;
    }),
  );
  watched.hidden = !prompts.length;
  sheet.hidden = prompts.length > 0;
  cutSheet();
}

function cutSheet() {
  const rows = Math.ceil(watched.children.length / COLUMNS); // a sheet is COLUMNS wide, however few prompts there are
  [...watched.children].forEach((cell, index) => {
    const at = [index % COLUMNS, Math.floor(index / COLUMNS)];
    const share = at.map((place, axis) => (100 * place) / Math.max(1, [COLUMNS, rows][axis] - 1));
    Object.assign(cell.firstChild.style, {
      backgroundImage: `url("${sheet.src}")`,
      backgroundSize: `${100 * COLUMNS}% ${100 * rows}%`,
      backgroundPosition: `${share[0]}% ${share[1]}%`,
    });
  });
}

// Texts are read and music is heard, not looked at.
const { learns } = document.getElementById("samples").dataset;
const text = document.getElementById("sheet-text");
const pieces = document.getElementById("pieces") && new Pieces(document.getElementById("pieces"));

async function showText(address) {
  [text.hidden, sheet.hidden] = [false, true];
  const answer = await fetch(address);
  if (answer.ok) text.textContent = await answer.text();
}

// Steps of before have only a picture of their rolls.
async function showPieces(address) {
  sheet.hidden = await pieces.show(`${address}/notes`);
  if (!sheet.hidden) sheet.src = address;
}

function showSheet() {
  const step = steps[timeline.value];
  if (step === undefined) return;
  const address = `${base}/api/v1/training-runs/${id}/samples/${step}`;
  if (learns === "texts") showText(address);
  else if (pieces) showPieces(address);
  else sheet.src = address;
  if (watched.children.length) cutSheet();
  else if (learns !== "texts" && !pieces) showPrompts();
  document.getElementById("sheet-step").textContent = `${words.at} ${new Intl.NumberFormat(language).format(step)}`;
  timeline.setAttribute("aria-valuetext", `${words.at} ${step}`);
}
timeline.addEventListener("input", showSheet);

// --- steering ---------------------------------------------------------------------------------------------------------

async function act(button, work) {
  const problem = document.getElementById("problem");
  if (button.getAttribute("aria-disabled")) return;
  problem.textContent = "";
  button.setAttribute("aria-disabled", "true"); // and not disabled, which would take the focus from it
  try {
    await work();
  } catch (error) {
    problem.textContent = told(error, words.lost);
  } finally {
    button.removeAttribute("aria-disabled");
    if (!button.offsetParent) [...page.querySelectorAll("[data-act]")].find((other) => other.offsetParent)?.focus();
  }
}

page.addEventListener("click", (event) => {
  const button = event.target.closest("[data-act]");
  if (!button) return;
  const what = button.dataset.act;
  act(button, async () => {
    if (what === "deletion") {
      if (!confirm(words.sure)) return;
      await call("DELETE", `/training-runs/${id}`);
      location.assign(`${base}/train`);
      return;
    }
    const run = await call("POST", `/training-runs/${id}/${what}`);
    isPausing = what === "pause";
    show(run);
    if (what === "resumption" || what === "conclusion") follow();
  });
});

document.getElementById("extension").addEventListener("submit", (event) => {
  event.preventDefault();
  act(event.submitter, async () => {
    const given = [...new FormData(event.target)].filter(([, value]) => value).map(([name, value]) => [name, Number(value)]);
    show(await call("POST", `/training-runs/${id}/extension`, Object.fromEntries(given)));
    follow();
  });
});

document.getElementById("publication").addEventListener("submit", (event) => {
  event.preventDefault();
  const given = [...new FormData(event.target)].filter(([name, value]) => value && name !== "replace");
  const wanted = { ...Object.fromEntries(given), replace: event.target.elements.replace.checked };
  act(event.submitter, async () => {
    const made = await call("POST", `/training-runs/${id}/publication`, wanted);
    const place = document.getElementById("published");
    const links = [[`/models/${made.name}`, made.name], [`/create?model=${made.name}`, place.dataset.draw]].filter(([, text]) => text);
    place.replaceChildren(place.dataset.works, ...links.flatMap(([path, text]) => [" ", link(path, text)]));
  });
});

function link(path, text) {
  return Object.assign(document.createElement("a"), { href: `${base}${path}`, textContent: text });
}

// --- log, comparison --------------------------------------------------------------------------------------------------

const log = document.getElementById("log");
let readsAgain;
async function readLog() {
  clearTimeout(readsAgain);
  const answer = await fetch(`${base}/api/v1/training-runs/${id}/log`).catch(() => null);
  if (answer?.ok) log.querySelector("pre").textContent = await answer.text();
  clearTimeout(readsAgain); // of another reading that has begun meanwhile
  if (log.open && !atRest(page.dataset.status)) readsAgain = setTimeout(readLog, 3000);
}
log.addEventListener("toggle", () => log.open && readLog());

if (page.dataset.other) {
  call("GET", `/training-runs/${page.dataset.other}/metrics`).then(({ curves }) => {
    charts.other = Curves.of(curves);
    document.getElementById("no-curves").hidden = true;
    charts.draw();
  });
}
showControls({ status: page.dataset.status, phase: page.dataset.phase, saved_step: Number(page.dataset.saved) });
follow();
