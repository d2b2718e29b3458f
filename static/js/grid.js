// A grid's page: its cells are filled as their jobs end; it is saved as one picture.
import { base } from "./base.js";
import { call, told } from "./api.js";
import { hasEnded } from "./create/jobs.js";
import { JobStream } from "./create/stream.js";
import { SIDE, sheet } from "./grid/sheet.js";

const table = document.getElementById("grid");
const [left, save, cancel, problem] = ["left", "save", "cancel", "problem"].map((id) => document.getElementById(id));

// What a stream of jobs tells, see `JobStream`.
const cells = {
  find: (id) => table.querySelector(`[data-job="${CSS.escape(id)}"]`),
  unfinished: () => [...table.querySelectorAll("[data-job]")].filter((cell) => !hasEnded(cell.dataset.status)),
  show: async () => {}, // jobs of other pages
  progress: () => {},
  status(cell, { status }) {
    if (hasEnded(status)) return this.recheck(cell.dataset.job).catch(() => {});
    cell.dataset.status = status;
  },
  preview(cell, { index, image }) {
    const blank = index === 0 && image && cell.querySelector(".blank");
    if (blank) Object.assign(blank.querySelector("img") ?? blank.appendChild(document.createElement("img")), { alt: "", src: image });
  },
  async recheck(id) {
    const answer = await fetch(`${base}/grids/${table.dataset.grid}/cells/${id}`);
    if (!answer.ok || answer.redirected) return;
    const holder = document.createElement("template");
    holder.innerHTML = await answer.text();
    const [cell, fresh] = [this.find(id), holder.content.firstElementChild];
    if (!cell || hasEnded(cell.dataset.status) || !hasEnded(fresh.dataset.status)) return;
    cell.replaceWith(fresh);
    count();
  },
};

function count() {
  const number = cells.unfinished().length;
  left.textContent = number ? left.dataset.left.replace("NUMBER", number) : "";
  cancel.hidden = !number;
  save.hidden = number > 0 || !table.querySelector("td img");
}

cancel.addEventListener("click", async () => {
  const ids = cells.unfinished().map((cell) => cell.dataset.job);
  try {
    await call("POST", "/generations/cancellations", { ids });
    for (const id of ids) cells.recheck(id).catch(() => {});
  } catch (error) {
    problem.textContent = told(error, left.dataset.lost);
  }
});

save.addEventListener("click", async () => {
  const link = document.createElement("a");
  const pictures = (cell) => [...cell.querySelectorAll("[data-work]")].map(({ dataset }) => `${base}/api/v1/artworks/${dataset.work}/preview?size=${SIDE}`);
  link.href = URL.createObjectURL(await sheet(table, pictures));
  link.download = save.dataset.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

count();
new JobStream(cells, () => {});
