// The artwork page: keys, the viewer, favourite, title and tags, copy as curl.
import { base } from "./base.js";
import { call } from "./api.js";
import { slide, view } from "./viewer.js";

const article = document.querySelector("article.artwork");
const { id } = article.dataset;
const favourite = document.getElementById("favourite");

const KEYS = {
  ArrowLeft: ".turn.left",
  ArrowRight: ".turn.right",
  f: "#favourite",
  Delete: "#trash",
  " ": "#view",
};
document.addEventListener("keydown", (event) => {
  if (event.target.closest("input, textarea, select, button, pre, form, dialog, .pswp") || event.metaKey || event.ctrlKey || event.altKey) return;
  const found = KEYS[event.key] && !document.querySelector(".pswp") && document.querySelector(KEYS[event.key]);
  if (!found) return;
  event.preventDefault(); // a space would scroll
  found.click();
});

favourite?.addEventListener("click", async () => {
  const on = favourite.getAttribute("aria-pressed") !== "true";
  const problem = document.getElementById("problem");
  problem.textContent = "";
  try {
    await call("PATCH", `/artworks/${id}`, { favourite: on });
    marked(on);
  } catch (error) {
    problem.textContent = error.message;
  }
});

function marked(on) {
  favourite.setAttribute("aria-pressed", String(on));
  favourite.textContent = `${on ? "★" : "☆"} ${favourite.textContent.trim().slice(2)}`;
}

// --- the viewer -------------------------------------------------------------------------------------------------------

const list = JSON.parse(article.dataset.list); // what the API narrows the list to in which the work is
const backwards = { newest: "oldest", oldest: "newest" }[list.order];

// The works of the list that come after this one in an order, page by page.
function pages(order) {
  let cursor = article.dataset.cursor;
  return async () => {
    if (!cursor) return [];
    const page = await call("GET", `/artworks?${new URLSearchParams({ ...list, order, cursor, limit: 100 })}`);
    cursor = page.next_cursor;
    return page.items.map(shown);
  };
}

function shown(work) {
  const address = new URL(location.href);
  address.pathname = `${base}/artworks/${work.id}`;
  const own = list.studio === undefined || work.own === true;
  return slide({ ...work, own, alt: work.title || work.subject || work.model, excerpt: work.facts?.excerpt, href: address.href });
}

const [newer, older] = [pages(backwards), pages(list.order)];
const before = async () => (await newer()).reverse();

async function look() {
  const around = await Promise.all([before(), older()]);
  const here = { ...shown(JSON.parse(article.dataset.work)), own: article.dataset.own !== undefined };
  const changed = (which, what) => which === id && what.favourite !== undefined && marked(what.favourite);
  const closed = (work) => {
    if (!work) location.reload(); // it is in the trash now
    else if (work.id !== id) location.href = work.href;
  };
  await view({ items: [...around[0], here, ...around[1]], before, after: older, changed, closed }, id);
}
document.getElementById("view")?.addEventListener("click", look);

document.getElementById("labels")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = event.target.elements;
  const output = event.target.querySelector("output");
  const tags = fields.tags.value.split(/[,，]/).map((tag) => tag.trim()).filter(Boolean);
  try {
    const work = await call("PATCH", `/artworks/${id}`, { title: fields.title.value, tags, visibility: fields.visibility.checked ? "studio" : "private" });
    name(work.title);
    output.textContent = output.dataset.saved;
  } catch (error) {
    output.textContent = `${output.dataset.failed}: ${error.message}`;
  }
});

// The heading is the title; what the work is of stands under it then.
function name(title) {
  const [heading, subject] = [article.querySelector("h1"), article.querySelector("[data-subject]")];
  document.title = document.title.replace(heading.textContent, title || subject.textContent);
  heading.textContent = title || subject.textContent;
  subject.hidden = !title;
}

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
