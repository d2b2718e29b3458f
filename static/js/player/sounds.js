// A synthesizer with the soundfont of the studio; it is made when something is first to be heard, once a page.
import { base } from "../base.js";

const VENDOR = `${base}/static/vendor`;
const DRUMS = 9; // a channel that parts leave out
let made;

export const channelOf = (part) => (part < DRUMS ? part : part + 1) % 16;

// {context, synth}; rejects where the sounds cannot be had. To be called from a click: browsers keep silent before one.
export function sounds() {
  made ??= make().catch((error) => {
    made = undefined;
    throw error;
  });
  return made;
}

async function make() {
  const context = new AudioContext({ latencyHint: "interactive" });
  const [{ WorkletSynthesizer }, bank] = await Promise.all([
    import(`${VENDOR}/spessasynth.js`),
    fetch(`${VENDOR}/soundfont.sf3`).then((answer) => {
      if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
      return answer.arrayBuffer();
    }),
    context.audioWorklet.addModule(`${VENDOR}/spessasynth_processor.min.js`),
  ]);
  const synth = new WorkletSynthesizer(context);
  const loudness = context.createAnalyser(); // what is heard can be looked at
  synth.connect(loudness);
  loudness.connect(context.destination);
  await synth.soundBankManager.addSoundBank(bank, "main");
  await synth.isReady;
  await context.resume();
  return { context, synth, loudness };
}
