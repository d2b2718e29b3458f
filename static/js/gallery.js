// The gallery: an address that says only what narrows it, its place kept, many works selected, the viewer.
import "./gallery/place.js";
import "./gallery/selection.js";
import { cards, works } from "./gallery/cards.js";
import { view } from "./viewer.js";

// --- filters ----------------------------------------------------------------------------------------------------------

const filters = document.getElementById("filters");
filters.elements.zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone;

function unneeded(values) {
  const dated = values.get("since") || values.get("through");
  return [...values.keys()].filter((name) => !values.get(name) || (name === "zone" && !dated) || values.get(name) === "newest");
}
document.addEventListener("htmx:config:request", (event) => {
  const values = event.detail.ctx.request.body;
  if (event.target.closest("#filters") && values instanceof FormData) for (const name of unneeded(values)) values.delete(name);
});
filters.addEventListener("formdata", (event) => {
  for (const name of unneeded(event.formData)) event.formData.delete(name);
});

// --- the viewer -------------------------------------------------------------------------------------------------------

const look = (id) => view(works(), id);
cards.addEventListener("click", (event) => {
  const button = event.target.closest("[data-view]");
  if (button) look(button.closest(".card").dataset.id);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== " " || event.target.closest("input, button, dialog, .pswp")) return;
  const card = event.target.closest(".card") ?? cards.querySelector(".card:hover");
  if (!card) return;
  event.preventDefault(); // it would scroll
  look(card.dataset.id);
});
