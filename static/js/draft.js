// What was filled in, by hand or from a work (`data-filled`), goes along when a form is left for the same one of another
// model, task, family or language; with `refresh` also when the page is left in any other way and comes back empty.
const place = () => `draft ${location.pathname}`;

// Fills in what the last form of this page has left, of all fields or of those named; returns what else it has left,
// which `others` is asked for when this one is left by one of the links. What this form has no field for goes along too.
export function carry(form, links, { names, others = () => ({}), refresh = false }) {
  const carried = () => [...form.elements].filter((input) => input.name && input.type !== "file" && !input.closest("[data-undrafted]") && (names?.includes(input.name) ?? true));
  const { fields = {}, byItself = false, ...rest } = JSON.parse(sessionStorage.getItem(place()) ?? "{}");
  sessionStorage.removeItem(place());
  if (byItself && form.hasAttribute("data-filled")) return carry(form, links, { names, others, refresh });
  for (const input of carried()) {
    if (!(input.name in fields)) continue;
    const before = state(input);
    set(input, fields[input.name]);
    if (!input.checkValidity() || state(input) !== fields[input.name]) set(input, before); // not one of this form's choices
  }
  let isLeft = false;
  const leave = (event) => {
    if (event.type === "pagehide" && isLeft) return;
    isLeft = event.type !== "pagehide";
    const given = carried().filter((input) => form.hasAttribute("data-filled") || state(input) !== initial(input));
    const own = new Set(carried().map((input) => input.name));
    const foreign = Object.entries(fields).filter(([name]) => !own.has(name));
    const left = { fields: Object.fromEntries([...foreign, ...given.map((input) => [input.name, state(input)])]), byItself: event.type === "pagehide", ...others() };
    sessionStorage.setItem(place(), JSON.stringify(left));
  };
  for (const link of document.querySelectorAll(links)) link.addEventListener("click", leave);
  if (refresh) addEventListener("pagehide", leave);
  document.querySelector('form[action$="/language"]')?.addEventListener("submit", leave); // the page comes back in another
  return rest;
}

const state = (input) => (input.type === "checkbox" ? input.checked : input.value);
const set = (input, to) => (input[input.type === "checkbox" ? "checked" : "value"] = to);

function initial(input) {
  if (input.type === "checkbox") return input.defaultChecked;
  if (input instanceof HTMLSelectElement) return [...input.options].find((option) => option.defaultSelected)?.value ?? input.options[0]?.value;
  return input.defaultValue;
}
