// One stream for all jobs, and only while the page is seen: browsers allow few connections to a host, over all tabs.
// EventSource reconnects by itself, resumes by Last-Event-ID, and the stream starts with the state of every unfinished job;
// what ended in between is looked up.
import { base } from "../base.js";
import { hasEnded } from "./jobs.js";

const AGAIN = 3000; // milliseconds
const UNSEEN = 5000; // milliseconds from one look to the next while nobody looks

export class JobStream {
  // `out(isOut)` hears when who looks has been signed out, and when they are back.
  constructor(jobs, out) {
    Object.assign(this, { jobs, out, isOut: false });
    document.addEventListener("visibilitychange", () => this.follow());
    this.follow();
  }

  follow() {
    this.stream?.close();
    clearInterval(this.polling);
    if (document.hidden) {
      this.polling = setInterval(() => this.recheck(), UNSEEN); // a tab says that its pictures are done, see `Jobs.tell`
      return;
    }
    this.stream = new EventSource(`${base}/api/v1/events`);
    for (const type of ["status", "progress", "preview"]) {
      this.stream.addEventListener(type, (event) => {
        const data = JSON.parse(event.data);
        const element = this.jobs.find(data.generation);
        if (element && !hasEnded(element.dataset.status)) this.jobs[type](element, data);
        else if (!element && type === "status" && !hasEnded(data.status)) this.jobs.show(data.generation).catch(() => {}); // of another tab
      });
    }
    this.stream.addEventListener("open", () => {
      if (this.isOut) this.out(false);
      this.isOut = false;
      this.recheck();
    });
    this.stream.addEventListener("error", () => this.lost());
  }

  recheck() {
    for (const element of this.jobs.unfinished()) this.jobs.recheck(element.dataset.job).catch(() => {});
  }

  async lost() {
    if (this.stream.readyState !== EventSource.CLOSED || document.hidden) return;
    setTimeout(() => this.follow(), AGAIN);
    const answer = await fetch(`${base}/api/v1/users/me`).catch(() => null);
    if (answer?.status !== 401 || this.isOut) return; // said once
    this.isOut = true;
    this.out(true);
  }
}
