// A text on its page: Chinese verse also in vertical columns, and in the other script. What was chosen stays chosen.
const KEPT = "reading";
const chosen = JSON.parse(localStorage.getItem(KEPT) ?? "{}");

for (const place of document.querySelectorAll("[data-reading]")) {
  const [own, other] = [place.querySelector(".page"), place.querySelector("[data-alternative]")];
  const [vertical, script] = [place.querySelector("[data-vertical]"), place.querySelector("[data-script]")];

  const show = () => {
    if (vertical) {
      place.classList.toggle("vertical", Boolean(chosen.vertical));
      vertical.setAttribute("aria-pressed", String(Boolean(chosen.vertical)));
    }
    if (!script) return;
    const isOther = chosen.script !== undefined && chosen.script !== script.dataset.script;
    [own.hidden, other.hidden] = [isOther, !isOther];
    script.textContent = isOther ? script.dataset.own : script.dataset.other;
  };

  const choose = (what) => {
    Object.assign(chosen, what);
    localStorage.setItem(KEPT, JSON.stringify(chosen));
    show();
  };
  vertical?.addEventListener("click", () => choose({ vertical: !chosen.vertical }));
  script?.addEventListener("click", () => choose({ script: own.hidden ? script.dataset.script : otherThan(script.dataset.script) }));
  show();
}

function otherThan(script) {
  return script === "traditional" ? "simplified" : "traditional";
}
