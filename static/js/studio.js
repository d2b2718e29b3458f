// Every page: light or dark, a question before what cannot be undone, keys.
const root = document.documentElement;
const stored = localStorage.getItem("theme");
if (stored) root.dataset.theme = stored;
document.getElementById("theme")?.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});
document.addEventListener("submit", (event) => {
  if (event.target.dataset.ask && !confirm(event.target.dataset.ask)) event.preventDefault();
});
document.addEventListener("change", ({ target }) => "submits" in target.dataset && target.form.requestSubmit());
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select") || event.metaKey || event.ctrlKey || event.altKey) return;
  const search = document.querySelector("input[type=search]");
  const keys = document.getElementById("keys");
  if (event.key === "?" && keys && !keys.open) keys.showModal();
  if (event.key === "/" && search) {
    event.preventDefault(); // it would be typed
    search.focus();
  }
});
