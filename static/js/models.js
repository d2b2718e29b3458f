// Imports a checkpoint: a zip that another studio has exported, or the files of one.
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
