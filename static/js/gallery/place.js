// Whoever comes back to the gallery finds it where it was left: as many works, as far down.
import { cards, shown } from "./cards.js";

const key = () => `place ${location.href}`;
const came = performance.getEntriesByType("navigation")[0]?.type;

addEventListener("pagehide", () => {
  sessionStorage.setItem(key(), JSON.stringify({ count: shown().length, top: scrollY }));
});

async function comeBack({ count, top }) {
  history.scrollRestoration = "manual";
  if (count > shown().length) {
    const address = new URL(location.href);
    address.searchParams.set("limit", Math.min(count, Number(cards.dataset.most)));
    const answer = await fetch(address, { headers: { "HX-Request": "true" } });
    if (!answer.ok) return;
    cards.innerHTML = await answer.text();
    window.htmx?.process(cards);
  }
  scrollTo(0, top);
}

const left = JSON.parse(sessionStorage.getItem(key()) ?? "null");
if (left?.top && (came === "back_forward" || came === "reload")) comeBack(left);
