// Every page: light or dark, and buttons that say that they wait.
const root = document.documentElement;
const stored = localStorage.getItem("theme");
if (stored) root.dataset.theme = stored;
document.getElementById("theme")?.addEventListener("click", () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});

// A form that is answered only when all is done: its button cannot be pressed again meanwhile.
document.addEventListener("submit", ({ submitter }) => {
  const waiting = submitter?.dataset.waiting;
  if (waiting) Object.assign(submitter, { textContent: waiting, disabled: true });
});
addEventListener("pageshow", ({ persisted }) => persisted && document.querySelector("[data-waiting]:disabled") && location.reload());
