// Sends again what no answer came to, after growing pauses; an answer that refuses is one.
import { ApiError } from "../api.js";

export async function insist(send, tries = 4) {
  for (let wait = 500; ; wait *= 2) {
    try {
      return await send();
    } catch (error) {
      if (error instanceof ApiError || --tries === 0) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}
