// A score on its page: played, parts muted one by one, faster or slower.
import { Player } from "./player/player.js";

for (const place of document.querySelectorAll("[data-listening]")) {
  const player = new Player(place, JSON.parse(place.dataset.listening));
  const { transport } = player;
  const [tempo, tempoSaid] = [place.querySelector("[data-tempo]"), place.querySelector("[data-tempo-said]")];
  tempo.addEventListener("input", () => {
    tempoSaid.textContent = tempo.value;
    transport.setTempo(Number(tempo.value));
  });
  for (const button of place.querySelectorAll("[data-part]")) {
    button.addEventListener("click", () => {
      const isHeard = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!isHeard));
      transport.setMuted(Number(button.dataset.part), isHeard);
    });
  }
}
