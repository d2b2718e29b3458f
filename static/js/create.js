// The create page: submits jobs, shows them while they are drawn, survives a refresh.
import { base } from "./base.js";
import { Bars } from "./create/bars.js";
import { Canvas } from "./create/canvas.js";
import { GridForm } from "./create/grid.js";
import { Inputs } from "./create/inputs.js";
import { Jobs } from "./create/jobs.js";
import { LiveFrame } from "./create/live.js";
import { RequestForm } from "./create/form.js";
import { restoring } from "./create/restore.js";
import { JobStream } from "./create/stream.js";
import { carry } from "./draft.js";

const form = document.getElementById("create");
const place = document.getElementById("jobs");

if (form) {
  const inputs = new Inputs(form);
  const left = carry(form, ".models a, .task-tabs a", { others: () => ({ inputs: { ...left.inputs, ...inputs.given() } }), refresh: true });
  inputs.take(left.inputs ?? {});
  const chosen = form.querySelector(".models [aria-current]");
  if (chosen) chosen.parentElement.scrollTop = chosen.offsetTop - chosen.offsetHeight / 2; // in sight, among its neighbours
  const words = place.dataset;
  const request = new RequestForm(form, inputs, words.lost, (made, path) => (path === "/grids" ? location.assign(`${base}/grids/${made.id}`) : jobs.add(made.id)));
  const jobs = new Jobs(place, document.getElementById("ended"), (error) => request.show(error));
  jobs.onAgain((given) => request.submit(given));
  const canvas = document.getElementById("canvas");
  if (canvas) {
    const painted = new Canvas(canvas, form, inputs);
    request.alongside = () => painted.given();
  }
  const grid = document.getElementById("grid");
  if (grid) request.grid = new GridForm(grid, inputs);
  const bars = document.getElementById("bars");
  if (bars) new Bars(bars, form, inputs);
  const live = document.getElementById("live");
  if (live) new LiveFrame(live, request);
  restoring(request, document.getElementById("differences"));
  new JobStream(jobs, (isOut) => request.show(isOut ? new Error(words.out) : null));
}
