// Many works at once: what is done to those that are chosen.
import { call } from "../api.js";
import { choosing } from "../choosing.js";
import { say } from "../notice.js";
import { view } from "../viewer.js";
import { cardOf, cards, works } from "./cards.js";

const AT_ONCE = 500; // ids that the API takes
const bar = document.getElementById("selection");
const tags = document.getElementById("tagging");
const words = bar.dataset;
const changed = (number) => {
  bar.hidden = !number;
  bar.querySelector("output").textContent = words.number.replace("NUMBER", number);
  bar.querySelector("[data-do=compare]")?.toggleAttribute("hidden", number < 2);
  bar.querySelector("[data-do=download]")?.toggleAttribute("disabled", number > AT_ONCE);
};
const { chosen, show, all, none } = choosing(cards, ".card", changed, () => act(actions.trash ?? actions.delete));

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
  none();
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
  all,
  none,
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
