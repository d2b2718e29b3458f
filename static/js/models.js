// Imports a checkpoint: a zip that another studio has exported, or the files of one.
import { ApiError } from "./api.js";

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
    const answer = await fetch("/api/v1/checkpoints", { method: "POST", body: new FormData(form) });
    const made = await answer.json();
    if (!answer.ok) throw new ApiError(answer.status, made);
    location.assign(`/models/${made.name}`);
  } catch (error) {
    problem.textContent = error instanceof ApiError ? error.message : words.lost;
    button.removeAttribute("aria-disabled");
    button.textContent = before;
  }
});
