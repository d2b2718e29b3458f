// The API from our own pages, with JSON or a form: the session cookie goes along, pictures and music come as blobs, errors become
// messages.
import { base } from "./base.js";
export async function call(method, path, body, headers = {}) {
  const plain = body === undefined || body instanceof FormData;
  const answer = await fetch(`${base}/api/v1${path}`, {
    method,
    headers: plain ? headers : { "Content-Type": "application/json", ...headers },
    body: plain ? body : JSON.stringify(body),
  });
  const isMedia = /^(image|audio)\//.test(answer.headers.get("Content-Type"));
  const result = answer.status === 204 ? null : await (isMedia ? answer.blob() : answer.json());
  if (!answer.ok) throw new ApiError(answer.status, result);
  return result;
}

// A file that the studio has, as it calls it, or by the name that is given.
export async function fileOf(path, name) {
  const answer = await fetch(`${base}/api/v1${path}`);
  if (!answer.ok) throw new ApiError(answer.status, await answer.json());
  const own = /filename\*=UTF-8''([^;]+)/.exec(answer.headers.get("Content-Disposition"))?.[1];
  const content = await answer.blob();
  return new File([content], own ? decodeURIComponent(own) : name, { type: content.type });
}

// Keeps a file to work from; what the studio knows of it then.
export function upload(file) {
  const form = new FormData();
  form.append("file", file);
  return call("POST", "/uploads", form);
}

// Where what is given to work from lies.
export const placeOf = (input) => (input.artwork ? `/artworks/${input.artwork}` : `/uploads/${input.upload}`);

// What an error means to a reader; `lost` is for an answer that never came.
export const told = (error, lost) => (error instanceof ApiError ? (error.message || error.fields[0]?.msg) : lost);

// Whether an Enter only picks a candidate of an input method; Safari says so by the code alone.
export const composes = (event) => event.isComposing || event.keyCode === 229;

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `HTTP ${status}`);
    this.status = status;
    this.fields = problem?.errors ?? [];
  }
}
