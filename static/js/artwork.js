// The artwork page: arrow keys, favourite, title and tags, copy as curl.
import { base } from "./base.js";
import { call } from "./api.js";

const id = document.querySelector("[data-id]").dataset.id;

document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select, pre, form, dialog") || event.metaKey || event.ctrlKey || event.altKey) return;
  if (event.key === "ArrowLeft") document.querySelector(".turn.left")?.click();
  if (event.key === "ArrowRight") document.querySelector(".turn.right")?.click();
});

document.getElementById("favourite")?.addEventListener("click", async (event) => {
  const button = event.currentTarget;
  const on = button.getAttribute("aria-pressed") !== "true";
  const problem = document.getElementById("problem");
  problem.textContent = "";
  try {
    await call("PATCH", `/artworks/${id}`, { favourite: on });
  } catch (error) {
    problem.textContent = error.message;
    return;
  }
  button.setAttribute("aria-pressed", String(on));
  button.textContent = `${on ? "★" : "☆"} ${button.textContent.trim().slice(2)}`;
});

document.getElementById("labels")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = event.target.elements;
  const output = event.target.querySelector("output");
  const tags = fields.tags.value.split(/[,，]/).map((tag) => tag.trim()).filter(Boolean);
  try {
    await call("PATCH", `/artworks/${id}`, { title: fields.title.value, tags, visibility: fields.visibility.checked ? "studio" : "private" });
    output.textContent = output.dataset.saved;
  } catch (error) {
    output.textContent = `${output.dataset.failed}: ${error.message}`;
  }
});

document.getElementById("curl")?.addEventListener("click", async (event) => {
  const button = event.currentTarget;
  const body = button.dataset.body.replaceAll("'", "\\u0027");
  const command = `curl -H 'Authorization: Bearer dq_...' -H 'Content-Type: application/json' -H 'Prefer: wait=30' -d '${body}' ${location.origin}${base}/api/v1/generations`;
  try {
    await navigator.clipboard.writeText(command);
    button.textContent = button.dataset.done;
  } catch {
    const shown = document.getElementById("command"); // a page that did not come over TLS has no clipboard
    shown.hidden = false;
    shown.textContent = command;
    getSelection().selectAllChildren(shown);
  }
});
