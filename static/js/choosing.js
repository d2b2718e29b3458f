// Cards are chosen one by one by the box in their corner, as a range (Shift), or all (Ctrl A).

// `place` holds the cards; `card` is their selector; `changed(number)` is told whenever others are chosen; `trash()` is
// what the key Delete does with them.
export function choosing(place, card, changed, trash = () => {}) {
  let last = null; // where a range begins
  const cards = () => [...place.querySelectorAll(`${card}:not([hidden])`)];
  const boxes = () => cards().map((each) => each.querySelector(".pick input")).filter(Boolean);
  const chosen = () => boxes().filter((box) => box.checked).map((box) => box.value);

  function show() {
    const number = chosen().length;
    place.classList.toggle("choosing", number > 0);
    changed(number);
  }

  function choose(some, on) {
    for (const box of some) box.checked = on;
    show();
  }

  place.addEventListener("click", (event) => {
    const box = event.target.closest(card)?.querySelector(".pick input");
    if (!box) return;
    const onBox = event.target === box;
    if (!onBox && (!place.classList.contains("choosing") || !event.target.closest("a, img"))) return;
    if (!onBox) {
      event.preventDefault(); // while some are chosen, a card is no link
      box.checked = !box.checked;
    }
    const all = boxes();
    const [from, to] = [all.indexOf(last), all.indexOf(box)].sort((a, b) => a - b);
    if (event.shiftKey && from >= 0) choose(all.slice(from, to + 1), box.checked);
    last = box;
    show();
  });
  document.addEventListener("htmx:after:swap", show);
  document.addEventListener("keydown", (event) => {
    if (event.target.closest("input:not([type=checkbox]), textarea, select, dialog, .pswp") || document.querySelector("dialog[open], .pswp") || !chosen().length) return;
    if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      choose(boxes(), true);
    } else if (event.key === "Escape") choose(boxes(), false);
    else if (event.key === "Delete") trash();
  });
  return { chosen, show, all: () => choose(boxes(), true), none: () => choose(boxes(), false) };
}
