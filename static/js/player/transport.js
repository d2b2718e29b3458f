// Where a piece is, and the notes that are to sound next. Times are in quarters; the tempo may change at any moment.
import { channelOf, sounds } from "./sounds.js";

const AHEAD = 0.25; // seconds of notes that are handed over before they sound
const EVERY = 80; // milliseconds

export class Transport {
  // `score` has notes [start, duration, pitch, part] by start, programs by part, and a tempo in quarters a minute.
  constructor(score) {
    this.score = score;
    this.tempo = score.tempo;
    this.end = Math.max(...score.notes.map(([start, duration]) => start + duration), 0);
    this.muted = new Set();
    this.listeners = [];
    this.from = 0; // the place where it stands, or last began to play
  }

  get isPlaying() {
    return this.timer !== undefined;
  }

  get position() {
    if (!this.isPlaying) return this.from;
    return Math.min(this.end, this.from + ((this.context.currentTime - this.since) * this.tempo) / 60);
  }

  onChange(listener) {
    this.listeners.push(listener);
  }

  changed() {
    for (const listener of this.listeners) listener();
  }

  async play() {
    const { context, synth } = await sounds();
    if (this.isPlaying) return;
    [this.context, this.synth] = [context, synth];
    await context.resume();
    this.score.programs.forEach((program, part) => synth.programChange(channelOf(part), program));
    if (this.from >= this.end) this.from = 0;
    this.begin();
    this.changed();
  }

  begin() {
    this.since = this.context.currentTime + 0.05;
    this.next = this.score.notes.findIndex(([start, duration]) => start + duration > this.from);
    this.timer = setInterval(() => this.hand(), EVERY);
    this.hand();
  }

  // Gives the synthesizer what sounds within AHEAD.
  hand() {
    const second = this.tempo / 60;
    const until = this.from + (this.context.currentTime + AHEAD - this.since) * second;
    const { notes } = this.score;
    for (; this.next >= 0 && this.next < notes.length && notes[this.next][0] < until; this.next++) {
      const [start, duration, pitch, part] = notes[this.next];
      if (this.muted.has(part) || start + duration <= this.from) continue;
      const on = this.since + Math.max(0, start - this.from) / second;
      const off = this.since + (start + duration - this.from) / second;
      this.synth.noteOn(channelOf(part), pitch, 80, { time: on });
      this.synth.noteOff(channelOf(part), pitch, { time: Math.max(on + 0.02, off - 0.02) });
    }
    if (this.position >= this.end) this.stop(this.end);
  }

  pause() {
    if (this.isPlaying) this.stop(this.position);
  }

  stop(at) {
    clearInterval(this.timer);
    this.timer = undefined;
    this.from = at;
    this.synth?.stopAll(true);
    this.changed();
  }

  seek(to) {
    this.anew(() => (this.from = Math.max(0, Math.min(this.end, to))));
  }

  setTempo(tempo) {
    this.anew(() => (this.tempo = tempo));
  }

  setMuted(part, is) {
    this.anew(() => (is ? this.muted.add(part) : this.muted.delete(part)));
  }

  // What was handed over holds no more: it goes on from where it is.
  anew(change) {
    const was = this.isPlaying;
    this.from = this.position;
    if (was) {
      clearInterval(this.timer);
      this.synth.stopAll(true);
    }
    change();
    if (was) this.begin();
    this.changed();
  }
}
