// Samples of a model of music: a list of small players, made from the template in it.
import { Player } from "./player.js";

export class Pieces {
  constructor(list) {
    this.list = list;
    this.template = list.querySelector("template");
    this.players = [];
  }

  // Shows the pieces that an address has; says whether there are any.
  async show(address) {
    const answer = await fetch(address);
    const scores = answer.ok ? await answer.json() : [];
    for (const player of this.players) player.pause();
    const items = scores.map(() => this.template.content.firstElementChild.cloneNode(true));
    this.list.replaceChildren(this.template, ...items);
    this.players = items.map((item, i) => {
      const file = item.querySelector("[data-file]");
      if (file) file.href = file.dataset.file.replace("NUMBER", i + 1);
      return new Player(item, scores[i]);
    });
    this.list.hidden = !items.length;
    return items.length > 0;
  }
}
