// Cards of jobs: shown as they are drawn, put in place when they have ended, cancelled, asked for again.
import { base } from "../base.js";
import { call, told } from "../api.js";
import { insist } from "./insist.js";

const SECONDS = new Intl.NumberFormat(document.documentElement.lang, { style: "unit", unit: "second" });
const SOON = 2; // seconds: less is not worth saying

export const hasEnded = (status) => ["succeeded", "failed", "cancelled"].includes(status);
const isOpen = (element) => element && !hasEnded(element.dataset.status);

export class Jobs {
  // `ended` is the one place that says an end to who cannot see it; `problem(error)` says what went wrong.
  constructor(place, ended, problem) {
    Object.assign(this, { place, ended, problem, words: place.dataset, settling: new Set(), showing: new Map(), began: new WeakMap() });
    place.addEventListener("click", ({ target }) => target.closest("[data-cancel]") && this.cancel(target, target.closest("[data-job]")));
  }

  // `again(request)` is asked for the same once more.
  onAgain(again) {
    this.place.addEventListener("click", ({ target }) => {
      const asked = target.closest("[data-again]");
      if (asked) again(JSON.parse(asked.dataset.again));
    });
  }

  async add(id) {
    await this.show(id);
    this.find(id).scrollIntoView({ block: "nearest" });
  }

  // Once, whoever tells of it first: the answer to its request, or the stream. Cells are shown by their grids.
  show(id) {
    if (this.showing.has(id)) return this.showing.get(id);
    const shown = this.prepend(id);
    this.showing.set(id, shown);
    shown.catch(() => this.showing.delete(id)); // it may be asked for again
    return shown;
  }

  async prepend(id) {
    const shown = await insist(() => card(id));
    if (!shown || this.find(id)) return;
    document.getElementById("nothing")?.remove();
    this.place.prepend(shown);
    for (const wait of [500, 3000]) setTimeout(() => this.recheck(id).catch(() => {}), wait); // it may have ended before its card was there
  }

  find(id) {
    return this.place.querySelector(`[data-job="${CSS.escape(id)}"]`);
  }

  unfinished() {
    return [...this.place.querySelectorAll("[data-job]")].filter(isOpen);
  }

  // Puts the card of a job that has ended in place, says so, and keeps the focus where it was.
  async recheck(id) {
    if (!isOpen(this.find(id))) return; // most have been put in place by the stream
    const fresh = await card(id);
    const element = this.find(id);
    if (!isOpen(element) || !hasEnded(fresh.dataset.status)) return;
    const focused = element.contains(document.activeElement);
    element.replaceWith(fresh);
    if (focused) fresh.querySelector("a, button")?.focus();
    if (document.hidden) this.tell(fresh.dataset.status === "succeeded");
    this.ended.textContent = [fresh.querySelector(".prompt"), fresh.querySelector("[data-text]")].map((part) => part.textContent.trim()).join(": ");
  }

  // The tab says that something is done until somebody looks.
  tell(isGood) {
    this.title ??= document.title;
    document.title = `${isGood ? "✓" : "✗"} ${this.title}`;
    document.addEventListener("visibilitychange", () => (document.title = this.title), { once: true });
  }

  // However long the studio takes to answer.
  async settle(id) {
    if (this.settling.has(id)) return;
    this.settling.add(id);
    for (let wait = 500; this.find(id); wait = Math.min(2 * wait, 15000)) {
      try {
        await this.recheck(id);
        break;
      } catch {
        await new Promise((resolve) => setTimeout(resolve, wait));
      }
    }
    this.settling.delete(id);
  }

  async cancel(button, element) {
    button.setAttribute("aria-disabled", "true");
    try {
      const job = await insist(() => call("POST", `/generations/${element.dataset.job}/cancellation`));
      if (job.status === "cancelled") this.settle(element.dataset.job);
    } catch (error) {
      if ([404, 409].includes(error.status)) return this.settle(element.dataset.job); // it had ended already
      button.removeAttribute("aria-disabled");
      this.problem(new Error(told(error, this.words.lost)));
    }
  }

  // --- what the stream says of a job whose card is `element`

  status(element, { status, queue_position: place }) {
    if (hasEnded(status)) return this.settle(element.dataset.job);
    const text = element.querySelector("[data-text]");
    const said = status === "running" ? this.words.drawing : place ? this.words.place.replace("0", place) : this.words.next;
    if (text.textContent !== said) text.textContent = said;
    element.dataset.status = status;
  }

  // The time left goes by that which the steps since the first seen one took.
  progress(element, { step, total }) {
    element.querySelector("progress").value = (100 * step) / total;
    const start = this.began.get(element) ?? { step, at: performance.now() };
    this.began.set(element, start);
    const seconds = ((performance.now() - start.at) / 1000 / (step - start.step)) * (total - step);
    const place = element.querySelector("[data-left]");
    place.hidden = !(seconds >= SOON && Number.isFinite(seconds));
    if (!place.hidden) place.textContent = this.words.left.replace("TIME", SECONDS.format(Math.round(seconds)));
  }

  // Of a text its words so far, of anything else a picture.
  preview(element, { index, image, text }) {
    const place = element.querySelector(`[data-index="${index}"]`);
    if (!place) return;
    const kind = text === null || text === undefined ? "img" : "span";
    const shown = place.querySelector(kind) ?? place.appendChild(document.createElement(kind));
    if (kind === "img") Object.assign(shown, { alt: "", src: image });
    else Object.assign(shown, { className: "lines", textContent: text });
  }
}

async function card(id) {
  const answer = await fetch(`${base}/create/jobs/${id}`);
  if (!answer.ok || answer.redirected) throw new Error(`HTTP ${answer.status}`); // redirected: to the sign-in
  if (answer.status === 204) return null;
  const holder = document.createElement("template");
  holder.innerHTML = await answer.text();
  return holder.content.firstElementChild;
}
