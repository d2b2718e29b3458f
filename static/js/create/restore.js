// Opens the form as it was when a work was made, from the work's own file; what would be different now is said there.
import { base } from "../base.js";
import { ApiError, call } from "../api.js";
import { onChoice } from "../files.js";

const KEPT = "differences";

export function restoring(request, differences) {
  const found = JSON.parse(sessionStorage.getItem(KEPT) ?? "[]");
  sessionStorage.removeItem(KEPT);
  for (const text of found) differences.appendChild(document.createElement("li")).textContent = text;
  differences.hidden = !differences.children.length;
  onChoice(document.getElementById("restore"), ([file]) => file && restore(request, file));
  for (const kind of ["dragover", "drop"]) {
    document.addEventListener(kind, (event) => {
      if (event.defaultPrevented || !event.dataTransfer.types.includes("Files")) return; // what has a place of its own
      event.preventDefault();
      if (kind === "drop" && event.dataTransfer.files.length) restore(request, event.dataTransfer.files[0]);
    });
  }
}

async function restore(request, file) {
  const body = new FormData();
  body.append("file", file);
  request.show(null);
  try {
    const found = await call("POST", "/generations/restoration", body);
    sessionStorage.setItem(KEPT, JSON.stringify(found.differences));
    location.assign(`${base}/create?request=${encodeURIComponent(JSON.stringify(found.request))}`);
  } catch (error) {
    request.show(error instanceof ApiError ? error : new Error(request.lost));
  }
}
