// A grid's page: its cells are filled as their jobs end; it is saved as one picture.
import { base } from "./base.js";
import { call, told } from "./api.js";
import { hasEnded } from "./create/jobs.js";
import { JobStream } from "./create/stream.js";
import { SIDE, sheet } from "./grid/sheet.js";

const SOON = 300; // milliseconds that ends are waited for together
const table = document.getElementById("grid");
const [left, save, cancel, problem] = ["left", "save", "cancel", "problem"].map((id) => document.getElementById(id));

// What a stream of jobs tells, see `JobStream`.
const cells = {
  find: (id) => table.querySelector(`[data-job="${CSS.escape(id)}"]`),
  unfinished: () => [...table.querySelectorAll("[data-job]")].filter((cell) => !hasEnded(cell.dataset.status)),
  show: async () => {}, // jobs of other pages
  progress: () => {},
  status(cell, { status }) {
    if (hasEnded(status)) this.recheck();
    else cell.dataset.status = status;
  },
  preview(cell, { index, image }) {
    const blank = index === 0 && image && cell.querySelector(".blank");
    if (blank) Object.assign(blank.querySelector("img") ?? blank.appendChild(document.createElement("img")), { alt: "", src: image });
  },
  // All that have ended since, by one look for many ends, and again until the studio answers.
  async recheck() {
    this.isWanted = true;
    if (this.isLooking) return;
    this.isLooking = true;
    for (let wait = SOON; this.isWanted; ) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      this.isWanted = false; // what ends from here on needs another look
      const hasLooked = await look().catch(() => false);
      this.isWanted ||= !hasLooked;
      wait = hasLooked ? SOON : Math.min(2 * wait, 15_000);
    }
    this.isLooking = false;
  },
};

let isDeleted = false; // from here on there is nothing to look at
document.querySelector("form[action$='/deletion']").addEventListener("submit", () => (isDeleted = true));

async function look() {
  if (isDeleted) return true;
  const answer = await fetch(location.href);
  if (!answer.ok || answer.redirected) return false;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const cell of cells.unfinished()) {
    const fresh = page.querySelector(`[data-job="${CSS.escape(cell.dataset.job)}"]`);
    if (fresh && hasEnded(fresh.dataset.status)) cell.replaceWith(document.adoptNode(fresh));
  }
  count();
  return true;
}

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
    cells.recheck();
  } catch (error) {
    problem.textContent = told(error, left.dataset.lost);
  }
});

save.addEventListener("click", async () => {
  const link = document.createElement("a");
  const pictures = (cell) => [...cell.querySelectorAll("[data-work]")].map(({ dataset }) => `${base}/api/v1/artworks/${dataset.work}/preview?size=${SIDE}`);
  const picture = await sheet(table, pictures);
  if (!picture) return (problem.textContent = left.dataset.lost);
  link.href = URL.createObjectURL(picture);
  link.download = save.dataset.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
});

count();
new JobStream(cells, (isOut) => (problem.textContent = isOut ? left.dataset.out : ""));
