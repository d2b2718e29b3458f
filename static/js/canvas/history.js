// What was done, and what was taken back: as many steps as may be kept in so much memory.
const MOST = 50;
const MOST_BYTES = 256 << 20;

export class History {
  constructor(changed) {
    Object.assign(this, { changed, done: [], undone: [] });
  }

  // A step that is done already: how to take it back, how to do it again, and what it keeps in memory.
  add(step) {
    this.done.push(step);
    this.undone = [];
    while (this.done.length > MOST || this.done.reduce((sum, { bytes }) => sum + bytes, 0) > MOST_BYTES) this.done.shift();
    this.changed();
  }

  undo() {
    const step = this.done.pop();
    if (!step) return;
    step.undo();
    this.undone.push(step);
    this.changed();
  }

  redo() {
    const step = this.undone.pop();
    if (!step) return;
    step.redo();
    this.done.push(step);
    this.changed();
  }

  clear() {
    this.done = [];
    this.undone = [];
    this.changed();
  }
}
