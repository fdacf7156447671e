// Requests to the server, one after the other.

import { element } from "./elements.js";
import { changed, state } from "./state.js";

let queue = Promise.resolve();
let waiting = 0;

/** Send an action after all earlier ones; resolves to whether it succeeded. The response replaces the view. */
export function request(action, body = {}) {
  countWaiting(1);
  queue = queue.then(() => send(action, body)).finally(() => countWaiting(-1));
  return queue;
}

/** Wait until all requests so far have been answered. */
export const allAnswered = () => queue;

function countWaiting(change) {
  waiting += change;
  document.body.ariaBusy = String(waiting > 0);
}

async function send(action, body) {
  const post = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  try {
    const response = await fetch(action, action === "session" ? {} : post);
    const content = await response.json();
    if (!response.ok) throw new Error(content.error);
    state.view = content;
    showError(null);
    return true;
  } catch (error) {
    // fetch fails with a TypeError where there is no response at all.
    showError(error instanceof TypeError ? "The server does not answer. Is it still running?" : error.message);
    return false;
  } finally {
    changed();
  }
}

function showError(message) {
  element("error").hidden = message === null;
  element("error").textContent = message ?? "";
}
