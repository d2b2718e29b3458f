// A score on its page: played with a cursor over its roll, parts muted one by one, faster or slower.
import { Roll } from "./player/roll.js";
import { Transport } from "./player/transport.js";

for (const place of document.querySelectorAll("[data-listening]")) {
  const score = JSON.parse(place.dataset.listening);
  const transport = new Transport(score);
  const canvas = place.querySelector("canvas");
  const roll = new Roll(canvas, score, transport.end);
  const [play, time, problem] = ["play", "time", "problem"].map((name) => place.querySelector(`[data-${name}]`));
  const [tempo, tempoSaid] = [place.querySelector("[data-tempo]"), place.querySelector("[data-tempo-said]")];

  const minutes = (beats) => {
    const seconds = Math.floor((beats * 60) / transport.tempo);
    return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
  };

  const show = () => {
    const at = transport.position;
    roll.show(at, transport.muted);
    play.textContent = transport.isPlaying ? play.dataset.pauseLabel : play.dataset.playLabel;
    time.textContent = `${minutes(at)} / ${minutes(transport.end)}`;
    canvas.setAttribute("aria-valuemax", transport.end.toFixed(2));
    canvas.setAttribute("aria-valuenow", at.toFixed(2));
    canvas.setAttribute("aria-valuetext", time.textContent);
  };
  const follow = () => {
    show();
    if (transport.isPlaying) requestAnimationFrame(follow);
  };
  transport.onChange(follow);

  const toggle = async () => {
    if (play.disabled) return;
    if (transport.isPlaying) return transport.pause();
    problem.textContent = "";
    play.disabled = true; // until the sounds are there
    play.textContent = play.dataset.loadingLabel;
    try {
      await transport.play();
    } catch {
      problem.textContent = problem.dataset.lost;
    }
    play.disabled = false;
    show();
  };
  play.addEventListener("click", toggle);

  const seek = (event) => transport.seek(roll.placeOf(event));
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    seek(event);
  });
  canvas.addEventListener("pointermove", (event) => event.buttons && seek(event));
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -score.bar, PageDown: score.bar };
    if (event.key === " ") toggle();
    else if (event.key === "Home") transport.seek(0);
    else if (event.key === "End") transport.seek(transport.end);
    else if (event.key in steps) transport.seek(transport.position + steps[event.key]);
    else return;
    event.preventDefault();
    event.stopPropagation(); // elsewhere these keys turn the page
  });
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
  show();
}
