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
  const begun = await call("POST", "/checkpoints/transfers", { files: files.map(([name, { size }]) => ({ name, size })) });
  const whole = total(files);
  let done = begun.files.reduce((sum, { received }) => sum + received, 0);
  for (const [number, { received }] of begun.files.entries()) {
    const file = files[number][1];
    for (let offset = received; offset < file.size; offset += PIECE) {
      const piece = file.slice(offset, offset + PIECE);
      await patiently(() => add(`/checkpoints/transfers/${begun.id}/files/${number}`, offset, piece));
      done += piece.size;
      say(Math.floor((100 * done) / whole));
    }
  }
  return begun.id;
}

// A piece that has come although its answer was lost counts as sent.
async function add(path, offset, piece) {
  const headers = { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(offset) };
  const answer = await fetch(`${base}/api/v1${path}`, { method: "PATCH", headers, body: piece });
  if (answer.ok || Number(answer.headers.get("Upload-Offset")) === offset + piece.size) return;
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
