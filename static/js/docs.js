// The API's reference: find an operation, open what an address names, try it with one's own session.
import { base } from "./base.js";

const words = document.getElementById("operations").dataset;

const find = document.getElementById("find");
find.addEventListener("input", show);

function show() {
  const wanted = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  for (const section of document.querySelectorAll("#operations section")) {
    const operations = [...section.querySelectorAll(".operation")];
    for (const each of operations) each.hidden = !wanted.every((word) => each.dataset.words.includes(word));
    section.hidden = operations.every((each) => each.hidden);
  }
}

function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!(named instanceof HTMLDetailsElement)) return;
  find.value = ""; // which may hide it
  show();
  named.open = true;
  named.scrollIntoView();
}
addEventListener("hashchange", openNamed);
openNamed();

// --- try it -----------------------------------------------------------------------------------------------------------

function request(form) {
  const given = [...form.querySelectorAll("[data-place]")].filter((input) => input.value !== "");
  const at = (place) => given.filter((input) => input.dataset.place === place);
  const path = at("path").reduce((text, input) => text.replace(`{${input.name}}`, encodeURIComponent(input.value)), form.dataset.path);
  const query = new URLSearchParams(at("query").map((input) => [input.name, input.value])).toString();
  const options = { method: form.dataset.method };
  const [json] = at("json");
  if (json) Object.assign(options, { body: json.value, headers: { "Content-Type": "application/json" } });
  if (at("body").length) {
    options.body = new FormData();
    for (const input of at("body")) for (const value of input.files ?? [input.value]) options.body.append(input.name, value);
  }
  return [`${base}${path}${query && `?${query}`}`, options];
}

function lines(text) {
  return Object.assign(document.createElement("pre"), { className: "scroll", tabIndex: 0, textContent: text });
}

async function shown(answer) {
  const type = answer.headers.get("Content-Type") ?? "";
  if (type.startsWith("image/")) return Object.assign(document.createElement("img"), { src: URL.createObjectURL(await answer.blob()), alt: type });
  if (type.includes("json")) return lines(JSON.stringify(await answer.json(), null, 2));
  return lines(type.startsWith("text/") ? await answer.text() : type);
}

for (const form of document.querySelectorAll(".try")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const output = form.querySelector("output");
    try {
      const answer = await fetch(...request(form));
      output.replaceChildren(`${answer.status} ${answer.statusText}`, await shown(answer));
    } catch {
      output.replaceChildren(words.failed);
    }
  });
}
