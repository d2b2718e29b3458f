// Imports a checkpoint, from files or from those that others have published.
import { base } from "./base.js";
import { ApiError, call, told } from "./api.js";

const LARGE = 64 << 20; // bytes: what has more comes in pieces
const PIECE = 16 << 20;

const form = document.getElementById("import");
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter ?? form.querySelector("button");
  bring(button, form.dataset, document.getElementById("problem"), async (say) => {
    const data = new FormData(form);
    const files = chosen();
    if (total(files) > LARGE) data.append("transfer", await send(files, say));
    else for (const [name, file] of files) data.append("files", file, name);
    say();
    return call("POST", "/checkpoints", data);
  });
});

// Files of a folder are named as they lie in it.
const chosen = () =>
  [...form.querySelectorAll("[data-files]")].flatMap((input) => [...input.files].map((file) => [file.webkitRelativePath || file.name, file]));

const total = (files) => files.reduce((sum, [, file]) => sum + file.size, 0);

// In pieces, going on where an earlier try, or a lost connection, has left them; the id of what is here then.
async function send(files, say) {
  const begun = await call("POST", "/checkpoints/transfers", { files: files.map(([name, { size, lastModified }]) => ({ name, size, mark: String(lastModified) })) });
  const whole = total(files);
  const here = begun.files.map(({ received }) => received);
  for (const [number, [, file]] of files.entries()) {
    while (here[number] < file.size) {
      const piece = file.slice(here[number], here[number] + PIECE);
      here[number] = await patiently(() => add(`/checkpoints/transfers/${begun.id}/files/${number}`, here[number], piece));
      say(Math.floor((100 * here.reduce((sum, each) => sum + each, 0)) / whole));
    }
  }
  return begun.id;
}

// How much of the file is there then: also where it goes on elsewhere, since an answer was lost or another tab sends too.
async function add(path, offset, piece) {
  const headers = { "Content-Type": "application/octet-stream", "Upload-Offset": String(offset) };
  const answer = await fetch(`${base}/api/v1${path}`, { method: "PATCH", headers, body: piece });
  const end = answer.headers.get("Upload-Offset");
  if (end !== null) return Number(end);
  throw new ApiError(answer.status, await answer.json());
}

// Again after growing pauses where the connection was lost, or the studio is busy.
async function patiently(act) {
  for (const pause of [1, 2, 4, 8, 16, 30]) {
    try {
      return await act();
    } catch (error) {
      if (error instanceof ApiError && error.status < 500) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 1000 * pause));
  }
  return act();
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
  const say = (percent) => (button.textContent = percent === undefined ? words.busy : words.sending.replace("0", percent));
  say();
  try {
    const made = await work(say);
    location.assign(`${base}/models/${made.name}`);
  } catch (error) {
    problem.textContent = told(error, words.lost);
    button.removeAttribute("aria-disabled");
    button.textContent = before;
  }
}
