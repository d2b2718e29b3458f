// Files, however they come: dropped on a place, or chosen with an input.
export function onDrop(place, take) {
  for (const kind of ["dragover", "dragleave", "drop"]) {
    place.addEventListener(kind, (event) => {
      event.preventDefault();
      place.classList.toggle("over", kind === "dragover");
      if (kind === "drop") take(event.dataTransfer);
    });
  }
}

export function onChoice(input, take) {
  const chosen = () => {
    take([...input.files]);
    input.value = ""; // so that the same file may be chosen again
  };
  input.addEventListener("change", chosen);
  if (input.files.length) setTimeout(chosen); // chosen before this script had come
}
