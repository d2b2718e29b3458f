// A model's page: what it has composed is heard there.
import { Pieces } from "./player/pieces.js";

const list = document.getElementById("pieces");
new Pieces(list).show(list.dataset.address).then((found) => {
  document.getElementById("sheet").hidden = found; // the rolls that can be played are the same
});
