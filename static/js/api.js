// The JSON API from our own pages: the session cookie goes along, errors become messages.
export async function call(method, path, body, headers = {}) {
  const answer = await fetch(`/api/v1${path}`, {
    method,
    headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const result = answer.status === 204 ? null : await answer.json();
  if (!answer.ok) throw new ApiError(answer.status, result);
  return result;
}

export class ApiError extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `HTTP ${status}`);
    this.status = status;
    this.fields = problem?.errors ?? [];
  }
}
