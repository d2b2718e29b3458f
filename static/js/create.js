// The create page: submits jobs, draws them while they are drawn, survives a refresh.
import { ApiError, call } from "./api.js";

const form = document.getElementById("create");
const jobs = document.getElementById("jobs");
const words = jobs?.dataset;

// --- the form -------------------------------------------------------------------------------------------------------

function params() {
  const values = {};
  for (const input of form.elements) {
    if (!input.name) continue;
    if (input.dataset.type === "boolean") values[input.name] = input.checked;
    else if (input.value === "") continue;
    else values[input.name] = input.dataset.type ? Number(input.value) : input.value;
  }
  return values;
}

function showProblem(error) {
  for (const place of form.querySelectorAll("[data-error]")) place.textContent = "";
  const problem = document.getElementById("problem");
  problem.textContent = "";
  if (!error) return;
  const named = error.fields?.filter((field) => form.querySelector(`[data-error="${CSS.escape(String(field.loc.at(-1)))}"]`)) ?? [];
  for (const field of named) form.querySelector(`[data-error="${CSS.escape(String(field.loc.at(-1)))}"]`).textContent = field.msg;
  if (!named.length) problem.textContent = error.message;
}

async function submit(request) {
  showProblem(null);
  // A key of our own: a request that is sent twice by a bad connection makes one job.
  const key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
  try {
    const job = await call("POST", "/generations", request, { "Idempotency-Key": key });
    document.getElementById("nothing")?.remove();
    jobs.prepend(await card(job.id));
    follow(jobs.firstElementChild);
    jobs.firstElementChild.scrollIntoView({ block: "nearest" });
  } catch (error) {
    showProblem(error instanceof ApiError ? error : new Error(words.lost));
  }
}

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = document.getElementById("submit");
  button.disabled = true;
  await submit({ model: form.dataset.model, task: form.dataset.task, params: params() });
  button.disabled = false;
});

form?.querySelector("textarea")?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
    event.preventDefault();
    form.requestSubmit();
  }
});

form?.querySelector("[data-dice]")?.addEventListener("click", () => {
  form.elements.seed.value = crypto.getRandomValues(new Uint32Array(1))[0];
});

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
    showStyle();
    prompt.focus();
  });
}
prompt?.addEventListener("input", showStyle);
if (prompt) showStyle();

// --- jobs -----------------------------------------------------------------------------------------------------------

async function card(id) {
  const answer = await fetch(`/create/jobs/${id}`);
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  return holder.content.firstElementChild;
}

async function replace(element) {
  const fresh = await card(element.dataset.job);
  element.replaceWith(fresh);
  return fresh;
}

// One stream a job that has not ended; EventSource reconnects by itself and resumes by Last-Event-ID.
function follow(element) {
  if (!["queued", "running"].includes(element.dataset.status)) return;
  const stream = new EventSource(`/api/v1/generations/${element.dataset.job}/events`);
  const text = () => element.querySelector("[data-text]");
  stream.addEventListener("status", async (event) => {
    const { status } = JSON.parse(event.data);
    if (status === "running") text().textContent = words.drawing;
    if (status === "queued" && element.dataset.status === "running") text().textContent = words.waiting;
    element.dataset.status = status;
    if (["succeeded", "failed", "cancelled"].includes(status)) {
      stream.close();
      await replace(element);
    }
  });
  stream.addEventListener("progress", (event) => {
    const { step, total } = JSON.parse(event.data);
    element.querySelector("progress").value = (100 * step) / total;
  });
  stream.addEventListener("preview", (event) => {
    const { index, image } = JSON.parse(event.data);
    const place = element.querySelector(`[data-index="${index}"]`);
    if (!place) return;
    const picture = place.firstElementChild ?? place.appendChild(document.createElement("img"));
    picture.alt = "";
    picture.src = image;
  });
  stream.addEventListener("error", () => {
    if (stream.readyState === EventSource.CLOSED) setTimeout(() => replace(element).then(follow, () => follow(element)), 3000);
  });
}

jobs?.addEventListener("click", async (event) => {
  const element = event.target.closest("[data-job]");
  if (event.target.closest("[data-cancel]")) {
    event.target.disabled = true;
    try {
      const job = await call("POST", `/generations/${element.dataset.job}/cancellation`);
      if (job.status === "cancelled") await replace(element);
    } catch {
      await replace(element); // it had ended already
    }
  }
  const again = event.target.closest("[data-again]");
  if (again) await submit(JSON.parse(again.dataset.again));
});

for (const element of document.querySelectorAll("[data-job]")) follow(element);
