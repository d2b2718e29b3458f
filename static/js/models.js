// Imports a checkpoint, from files or from those that others have published.
import { base } from "./base.js";
import { call, told } from "./api.js";

const form = document.getElementById("import");
const words = form?.dataset;

form?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const problem = document.getElementById("problem");
  const button = event.submitter ?? form.querySelector("button");
  if (button.getAttribute("aria-disabled")) return;
  problem.textContent = "";
  button.setAttribute("aria-disabled", "true");
  const before = button.textContent;
  button.textContent = words.busy;
  try {
    const made = await call("POST", "/checkpoints", new FormData(form));
    location.assign(`${base}/models/${made.name}`);
  } catch (error) {
    problem.textContent = told(error, words.lost);
    button.removeAttribute("aria-disabled");
    button.textContent = before;
  }
});

document.getElementById("starters")?.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-starter]");
  if (!button || button.getAttribute("aria-disabled")) return;
  const [words, problem] = [target.closest("ul").dataset, target.closest("li").querySelector(".error")];
  const before = button.textContent;
  problem.textContent = "";
  button.setAttribute("aria-disabled", "true");
  button.textContent = words.busy;
  try {
    const made = await call("POST", `/checkpoints/starters/${button.dataset.starter}`);
    location.assign(`${base}/models/${made.name}`);
  } catch (error) {
    problem.textContent = told(error, words.lost);
    button.removeAttribute("aria-disabled");
    button.textContent = before;
  }
});
