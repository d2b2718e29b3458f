// Imports a checkpoint, from files or from those that others have published.
import { base } from "./base.js";
import { call, told } from "./api.js";

const form = document.getElementById("import");
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter ?? form.querySelector("button");
  bring(button, form.dataset, document.getElementById("problem"), () => call("POST", "/checkpoints", filled()));
});

// Files of a folder are named as they lie in it.
function filled() {
  const data = new FormData(form);
  for (const input of form.querySelectorAll("[data-files]")) {
    for (const file of input.files) data.append("files", file, file.webkitRelativePath || file.name);
  }
  return data;
}

document.getElementById("starters")?.addEventListener("click", ({ target }) => {
  const button = target.closest("[data-starter]");
  if (!button) return;
  const [words, problem] = [target.closest("ul").dataset, target.closest("li").querySelector(".error")];
  bring(button, words, problem, () => call("POST", `/checkpoints/starters/${button.dataset.starter}`));
});

// Goes to the model's page once it is here; its button says meanwhile that it comes.
async function bring(button, words, problem, work) {
  if (button.getAttribute("aria-disabled")) return;
  const before = button.textContent;
  problem.textContent = "";
  button.setAttribute("aria-disabled", "true");
  button.textContent = words.busy;
  try {
    const made = await work();
    location.assign(`${base}/models/${made.name}`);
  } catch (error) {
    problem.textContent = told(error, words.lost);
    button.removeAttribute("aria-disabled");
    button.textContent = before;
  }
}
