// What was just done, at the foot of the page until something else is done, and how to take it back.
const bar = document.getElementById("said");
let takeBack;

export function say(text, undo) {
  takeBack = undo;
  bar.querySelector("output").textContent = text;
  bar.querySelector("[data-undo]").hidden = !undo;
  bar.hidden = false;
}

async function undo() {
  bar.hidden = true;
  try {
    await takeBack();
  } catch (error) {
    say(error.message);
  }
}

bar.addEventListener("click", (event) => {
  if (event.target.closest("[data-undo]")) undo();
  else if (event.target.closest("button")) bar.hidden = true;
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.target.closest("input:not([type=checkbox]), textarea") || bar.hidden || !takeBack) return;
  event.preventDefault();
  undo();
});
