// A dataset's page: send files, folders and zips; edit captions in place; delete items.
import { base } from "./base.js";
import { call, composes, told } from "./api.js";
import { choosing } from "./choosing.js";
import { onChoice, onDrop } from "./files.js";
import { say } from "./notice.js";

const drop = document.getElementById("drop");
const id = drop.dataset.dataset;
const words = drop.dataset;
const progress = document.getElementById("progress");
const report = document.getElementById("report");
const refusals = document.getElementById("refusals");
const BATCH_FILES = 200;
const BATCH_BYTES = 64 * 2 ** 20;
const CAPTIONS = /\.(txt|caption|jsonl|csv|tsv)$/i;
const REFUSED = [413, 415, 422]; // for what is in a file: the others may go on
let busy = false;
const waiting = []; // files that came while others were sent
const saves = new Map(); // of each caption the last, which begins when the one before has ended

// --- what was dropped -------------------------------------------------------------------------------------------------

async function filesOf(entry, path = "") {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ file, name: path + file.name }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!some.length) return found;
    for (const inner of some) for (const each of await filesOf(inner, `${path}${entry.name}/`)) found.push(each);
  }
}

onDrop(drop, async ({ items }) => {
  const entries = [...items].map((item) => item.webkitGetAsEntry()).filter(Boolean);
  try {
    send((await Promise.all(entries.map((entry) => filesOf(entry)))).flat());
  } catch (error) {
    report.textContent = told(error, words.failed); // a folder that went away, or may not be read
  }
});
for (const name of ["files", "folder"]) {
  onChoice(document.getElementById(name), (files) => send(files.map((file) => ({ file, name: file.webkitRelativePath || file.name }))));
}

// --- sending ----------------------------------------------------------------------------------------------------------

// Captions go last, so that whichever request they are in, their pictures are there.
function batches(files) {
  files.sort((a, b) => CAPTIONS.test(a.name) - CAPTIONS.test(b.name) || a.name.localeCompare(b.name));
  const made = [[]];
  let bytes = 0;
  for (const each of files) {
    if (made.at(-1).length && (made.at(-1).length >= BATCH_FILES || bytes + each.file.size > BATCH_BYTES)) {
      made.push([]);
      bytes = 0;
    }
    made.at(-1).push(each);
    bytes += each.file.size;
  }
  return made;
}

// XMLHttpRequest, because fetch does not tell how much of a body was sent.
function post(files, onSent) {
  const form = new FormData();
  for (const { file, name } of files) form.append("files", file, name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${base}/api/v1/datasets/${id}/items`);
    request.responseType = "json";
    request.upload.addEventListener("progress", (event) => onSent(event.loaded, event.loaded === event.total));
    request.addEventListener("load", () => {
      const said = request.response?.detail ?? "";
      if (request.status === 200) resolve(request.response);
      else if (files.length === 1 && REFUSED.includes(request.status)) resolve({ refused: 1, refusals: [{ name: files[0].name, reason: said }] });
      else reject(new Error(said));
    });
    request.addEventListener("error", () => reject(new Error("")));
    request.send(form);
  });
}

async function send(files) {
  if (busy) for (const each of files) waiting.push(each);
  if (busy || !files.length) return;
  busy = true;
  const total = files.reduce((sum, { file }) => sum + file.size, 0) || 1;
  const sum = { accepted: 0, repeated: 0, captions: 0, captions_unused: 0, refused: 0 };
  let sent = 0;
  let reading;
  progress.hidden = false;
  refusals.replaceChildren();
  try {
    const before = (await call("GET", `/datasets/${id}`)).accepted;
    for (const batch of batches(files)) {
      const size = batch.reduce((bytes, { file }) => bytes + file.size, 0);
      const result = await post(batch, (loaded, all) => {
        progress.value = Math.min(1, (sent + loaded) / total);
        report.textContent = `${words.sending} ${Math.round(100 * progress.value)} %`;
        if (all) reading ??= setInterval(async () => {
          const found = await call("GET", `/datasets/${id}`).catch(() => null); // the next look tries again
          if (found && reading) report.textContent = `${words.reading} · ${found.accepted - before} ${words.accepted}`;
        }, 1000);
      });
      reading = clearInterval(reading);
      sent += size;
      for (const key of Object.keys(sum)) sum[key] += result[key] ?? 0;
      for (const { name, reason } of [...result.refusals, ...(result.repeats ?? []), ...(result.remarks ?? [])].slice(0, Math.max(0, 20 - refusals.children.length))) {
        const line = document.createElement("li");
        line.textContent = `${name}: ${reason}`;
        refusals.append(line);
      }
    }
  } catch (error) {
    report.textContent = error.message || words.failed;
    waiting.length = 0;
    return;
  } finally {
    clearInterval(reading);
    busy = false;
    progress.hidden = true;
  }
  const text = Object.keys(sum).filter((key) => sum[key]).map((key) => `${sum[key]} ${words[key]}`).join(" · ");
  if (waiting.length) return send(waiting.splice(0));
  document.activeElement?.blur(); // a caption that is being typed is saved when it is left
  await Promise.all(saves.values());
  if (items.querySelector("[aria-invalid]")) return (report.textContent = text); // what could not be saved stays
  sessionStorage.setItem(`dataset-report-${id}`, JSON.stringify({ text, refusals: [...refusals.children].map((line) => line.textContent) }));
  location.assign(`${base}/datasets/${id}`);
}

// The page is loaded anew after an upload; what became of it is said there.
const said = JSON.parse(sessionStorage.getItem(`dataset-report-${id}`) ?? "null");
if (said) {
  sessionStorage.removeItem(`dataset-report-${id}`);
  report.textContent = said.text;
  for (const text of said.refusals) {
    const line = document.createElement("li");
    line.textContent = text;
    refusals.append(line);
  }
}

// --- items ------------------------------------------------------------------------------------------------------------

const items = document.getElementById("items");
items.addEventListener("change", ({ target }) => {
  if (target.matches(".item textarea")) saves.set(target, (saves.get(target) ?? Promise.resolve()).then(() => save(target)));
});

async function save(input) {
  const sent = input.value;
  input.removeAttribute("aria-invalid");
  try {
    const { caption } = await call("PATCH", `/datasets/${id}/items/${input.closest(".item").dataset.id}`, { caption: sent });
    input.removeAttribute("title");
    if (input.value === sent) input.value = caption; // and not what has been typed since
    input.classList.add("saved");
    setTimeout(() => input.classList.remove("saved"), 1200);
  } catch (error) {
    input.setAttribute("aria-invalid", "true");
    report.textContent = input.title = told(error, words.failed);
  }
}

items.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || composes(event) || event.shiftKey || !event.target.matches(".item textarea")) return;
  event.preventDefault();
  const inputs = [...items.querySelectorAll(".item textarea")];
  const next = inputs[inputs.indexOf(event.target) + 1];
  if (next) next.focus(); // which saves this one
  else event.target.blur();
});
items.addEventListener("click", async ({ target }) => {
  if (!target.matches("[data-delete]") || !confirm(items.dataset.ask)) return;
  const item = target.closest(".item");
  try {
    await call("DELETE", `/datasets/${id}/items/${item.dataset.id}`);
    const next = item.nextElementSibling ?? item.previousElementSibling;
    item.remove();
    next?.querySelector("[data-delete]")?.focus();
  } catch (error) {
    report.textContent = error.message;
  }
});
// A film plays while it is pointed at or its caption is edited; it may be pointed at before this script has come.
function play(item, plays) {
  const film = item?.querySelector("[data-film]");
  if (!film || film.classList.contains("plays") === plays) return;
  film.dataset.poster ??= film.src;
  film.src = plays ? film.dataset.film : film.dataset.poster;
  film.classList.toggle("plays", plays);
}
for (const [kind, plays] of [["pointerover", true], ["focusin", true], ["pointerout", false], ["focusout", false]]) {
  items.addEventListener(kind, ({ target }) => play(target.closest(".item"), plays));
}
play(items.querySelector(".item:hover"), true);

// --- many items at once -----------------------------------------------------------------------------------------------

const AT_ONCE = 500; // ids that the API takes
const bar = document.getElementById("selection");
const captioning = document.getElementById("captioning");
const { chosen, show, all, none } = choosing(items, ".item", (number) => {
  bar.hidden = !number;
  bar.querySelector("output").textContent = bar.dataset.number.replace("NUMBER", number);
});

async function change(wanted, said) {
  const ids = chosen();
  let changed = 0;
  try {
    for (let start = 0; start < ids.length; start += AT_ONCE) {
      changed += (await call("POST", `/datasets/${id}/items/selection`, { ids: ids.slice(start, start + AT_ONCE), ...wanted })).changed;
    }
    await reload();
    say(said.replace("NUMBER", changed));
  } catch (error) {
    say(told(error, words.failed));
  }
}

// The items that are shown, as they are now; what was chosen stays chosen.
async function reload() {
  const before = new Set(chosen());
  const found = await fetch(location.href, { headers: { "HX-Request": "true" } });
  if (!found.ok) return location.reload();
  items.innerHTML = await found.text();
  window.htmx?.process(items);
  for (const box of items.querySelectorAll(".pick input")) box.checked = before.has(box.value);
  show();
}

const actions = {
  all,
  none,
  edit: () => captioning.showModal(),
  delete: () => confirm(bar.dataset.ask.replace("NUMBER", chosen().length)) && change({ action: "delete" }, bar.dataset.deleted),
};
bar.addEventListener("click", ({ target }) => actions[target.closest("[data-do]")?.dataset.do]?.());
captioning.addEventListener("change", () => {
  document.getElementById("find").hidden = captioning.querySelector("[name=action]").value !== "replace";
});
captioning.addEventListener("close", () => {
  const { action, find, text } = Object.fromEntries(new FormData(captioning.querySelector("form")));
  if (captioning.returnValue !== "change") return;
  change({ action, text, ...(action === "replace" ? { find } : {}) }, bar.dataset.changed);
});

const wide = document.getElementById("wide");
function widen(on) {
  wide.setAttribute("aria-pressed", String(on));
  items.classList.toggle("wide", on);
  localStorage.setItem("wide-captions", on);
}
wide.addEventListener("click", () => widen(wide.getAttribute("aria-pressed") !== "true"));
widen(localStorage.getItem("wide-captions") === "true");

// --- name and description ---------------------------------------------------------------------------------------------

const about = document.getElementById("about");
document.getElementById("change").addEventListener("click", ({ currentTarget }) => {
  about.hidden = !about.hidden;
  currentTarget.setAttribute("aria-expanded", String(!about.hidden));
  if (!about.hidden) about.elements.name.focus();
});
about.addEventListener("submit", async (event) => {
  event.preventDefault();
  try {
    await call("PATCH", `/datasets/${id}`, { ...Object.fromEntries(new FormData(about)), visibility: about.elements.visibility.checked ? "studio" : "private" });
    location.reload();
  } catch (error) {
    about.querySelector("output").textContent = error.fields?.[0]?.msg ?? error.message;
  }
});
