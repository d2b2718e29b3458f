// Cards of works as the viewer takes them.
import { slide } from "../viewer.js";

const PATIENCE = 10_000; // milliseconds

export const cards = document.getElementById("cards");

export const cardOf = (id) => cards.querySelector(`.card[data-id="${CSS.escape(id)}"]`);

export const shown = () => [...cards.querySelectorAll(".card:not([hidden])")];

export function works() {
  const known = new Set(shown());
  return {
    items: [...known].map(work),
    before: async () => [],
    async after() {
      const fresh = () => shown().filter((card) => !known.has(card)); // scrolling may have loaded them already
      if (!fresh().length) await more();
      const found = fresh();
      for (const card of found) known.add(card);
      return found.map(work);
    },
    changed(id, { trashed, favourite }) {
      const card = cardOf(id);
      if (trashed !== undefined) card.hidden = trashed;
      if (favourite !== undefined) card.querySelector(".star").hidden = !favourite;
    },
  };
}

function work(card) {
  const { id, medium, width, height, excerpt, own } = card.dataset;
  const [alt, href] = [card.querySelector(".caption").textContent, card.querySelector("a").href];
  return slide({ id, medium, width, height, excerpt, alt, href, own: own !== undefined, favourite: !card.querySelector(".star").hidden });
}

// Loads the next cards, as scrolling does.
async function more() {
  const link = cards.querySelector(".more");
  if (!link) return;
  const changed = new Promise((resolve) => {
    new MutationObserver((_, observer) => resolve(observer.disconnect())).observe(cards, { childList: true });
    setTimeout(resolve, PATIENCE);
  });
  link.scrollIntoView();
  await changed;
}
