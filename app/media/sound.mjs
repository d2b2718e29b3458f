// Plays a MIDI file into a WAV: node sound.mjs CORE SOUNDFONT < score.mid > score.wav
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const RATE = 48000; // which Opus takes as it is
const TAIL = 2; // seconds in which the last notes die away
const BLOCK = 128; // samples
const [core, soundfont] = process.argv.slice(2);
const { BasicMIDI, SoundBankLoader, SpessaSynthProcessor, SpessaSynthSequencer, audioToWav } = await import(
  pathToFileURL(core).href
);
const bytes = (buffer) => buffer.buffer.slice(buffer.byteOffset, buffer.byteOffset + buffer.byteLength);
const midi = BasicMIDI.fromArrayBuffer(bytes(readFileSync(0)));
const synth = new SpessaSynthProcessor(RATE, { eventsEnabled: false });
await synth.processorInitialized;
synth.soundBankManager.addSoundBank(SoundBankLoader.fromArrayBuffer(bytes(readFileSync(soundfont))), "main");
const sequencer = new SpessaSynthSequencer(synth);
sequencer.loadNewSongList([midi]);
sequencer.loopCount = 0;
sequencer.play();

const length = Math.ceil(RATE * (midi.duration + TAIL));
const [left, right] = [new Float32Array(length), new Float32Array(length)];
for (let at = 0; at < length; at += BLOCK) {
  sequencer.processTick();
  synth.process(left, right, at, Math.min(BLOCK, length - at));
}
writeFileSync(1, Buffer.from(audioToWav([left, right], RATE)));
