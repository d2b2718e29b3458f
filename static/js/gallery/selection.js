// Many works at once: chosen one by one, as a range (Shift) or all (Ctrl A), and what is done to them.
import { call } from "../api.js";
import { say } from "../notice.js";
import { view } from "../viewer.js";
import { cardOf, cards, shown, works } from "./cards.js";

const AT_ONCE = 500; // ids that the API takes
const bar = document.getElementById("selection");
const tags = document.getElementById("tagging");
const words = bar.dataset;
let last = null; // where a range begins

const boxes = () => shown().map((card) => card.querySelector(".pick input")).filter(Boolean);
const chosen = () => boxes().filter((box) => box.checked).map((box) => box.value);

function show() {
  const number = chosen().length;
  bar.hidden = !number;
  cards.classList.toggle("choosing", number > 0);
  bar.querySelector("output").textContent = words.number.replace("NUMBER", number);
  bar.querySelector("[data-do=compare]")?.toggleAttribute("hidden", number < 2);
  bar.querySelector("[data-do=download]")?.toggleAttribute("disabled", number > AT_ONCE);
}

function choose(some, on) {
  for (const box of some) box.checked = on;
  show();
}

cards.addEventListener("click", (event) => {
  const card = event.target.closest(".card");
  const box = card?.querySelector(".pick input");
  if (!box) return;
  const onBox = event.target === box;
  if (!onBox && (!cards.classList.contains("choosing") || !event.target.closest("a"))) return;
  if (!onBox) {
    event.preventDefault(); // while works are chosen, a work is no link
    box.checked = !box.checked;
  }
  const all = boxes();
  const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
  if (event.shiftKey && from >= 0) choose(all.slice(from, to + 1), box.checked);
  last = box;
  show();
});
document.addEventListener("htmx:after:swap", show);
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog, .pswp") || document.querySelector("dialog[open], .pswp")) return;
  const some = chosen().length;
  if (event.key === "a" && (event.ctrlKey || event.metaKey) && some) {
    event.preventDefault();
    choose(boxes(), true);
  } else if (event.key === "Escape" && some) choose(boxes(), false);
  else if (event.key === "Delete" && some) act(actions.trash ?? actions.delete);
});

// --- what is done to them ---------------------------------------------------------------------------------------------

async function change(ids, action, names = []) {
  let changed = 0;
  for (let start = 0; start < ids.length; start += AT_ONCE) {
    const some = ids.slice(start, start + AT_ONCE);
    changed += (await call("POST", "/artworks/selection", { ids: some, action, tags: names })).changed;
  }
  return changed;
}

function hide(ids, hidden) {
  for (const id of ids) cardOf(id)?.toggleAttribute("hidden", hidden);
  show();
}

async function away(action, back, text) {
  const ids = chosen();
  const number = await change(ids, action);
  choose(boxes(), false);
  hide(ids, true);
  const undo = async () => {
    await change(ids, back);
    hide(ids, false);
  };
  say(text.replace("NUMBER", number), back && undo);
}

async function favour() {
  const stars = chosen().map((id) => cardOf(id).querySelector(".star"));
  const on = stars.some((star) => star.hidden);
  await change(chosen(), on ? "favourite" : "unfavourite");
  for (const star of stars) star.hidden = !on;
}

const actions = {
  all: () => choose(boxes(), true),
  none: () => choose(boxes(), false),
  favourite: favour,
  tag: () => tags.showModal(),
  compare: () => view({ ...works(), items: works().items.filter(({ id }) => chosen().includes(id)), after: async () => [] }, chosen()[0], true),
  ...(words.trash
    ? { trash: () => away("trash", "restore", words.trash) }
    : {
        restore: () => away("restore", "trash", words.restored),
        delete: () => confirm(words.ask.replace("NUMBER", chosen().length)) && away("delete", null, words.deleted),
      }),
};

async function act(work) {
  try {
    await work();
  } catch (error) {
    say(error.message);
  }
}
bar.addEventListener("formdata", ({ formData }) => { // of the download
  for (const id of chosen()) formData.append("ids", id);
});
bar.addEventListener("click", (event) => {
  const action = actions[event.target.closest("[data-do]")?.dataset.do];
  if (action) act(action);
});
tags.addEventListener("close", () => {
  const names = tags.querySelector("input").value.split(/[,，]/).map((name) => name.trim()).filter(Boolean);
  if (!["tag", "untag"].includes(tags.returnValue) || !names.length) return;
  act(async () => say(words[tags.returnValue].replace("NUMBER", await change(chosen(), tags.returnValue, names))));
});
