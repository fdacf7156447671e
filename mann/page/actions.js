// The actions of a person: drawing, naming, undoing, clearing, and drawings by others.

import { element } from "./elements.js";
import { allAnswered, request } from "./requests.js";
import { changed, state } from "./state.js";

const MOST_WATCHED = 25; // drawings
const LOOK_TIME = 900; // milliseconds before a drawing is named
const REST_TIME = 450; // milliseconds after it was named

/** Present the strokes so far to the network. */
export async function present() {
  state.outcome = null;
  await request("present", { strokes: state.strokes });
}

/** Give the pending drawing a name. */
export async function nameDrawing(name) {
  if (!state.view?.pending && !state.strokes.length) return;
  await allAnswered(); // the last stroke may still be on its way to the server
  const pending = state.view?.pending;
  if (pending && (await request("name", { name }))) {
    state.outcome = outcome(pending, name);
    state.strokes = [];
    element("name").value = "";
    changed();
  }
}

function outcome(pending, name) {
  const { names, drawings } = state.view;
  const answer = pending.best === null ? null : names[pending.best];
  if (answer === name) return { right: true, text: `Right: ${name}.` };
  const isKnown = drawings.slice(0, -1).some((drawing) => names[drawing.name] === name);
  if (!isKnown && answer === null) return { right: true, text: `Right: something new, named ${name}.` };
  return { right: false, text: `Wrong: the answer was ${answer ?? "something new"}, the name is ${name}.` };
}

/** Undo the last stroke; without strokes, the pending drawing; without one, the last name or Forget all. */
export async function undo() {
  state.outcome = null;
  const { view } = state;
  if (!view.pending?.truth && state.strokes.length > 1) {
    state.strokes = state.strokes.slice(0, -1);
    await present();
  } else if (view.pending || state.strokes.length) {
    await clear();
  } else if (view.undo && (await request("undo"))) {
    state.strokes = state.view.pending?.strokes ?? [];
    changed();
  }
}

/** Remove the pending drawing. */
export async function clear() {
  state.strokes = [];
  state.stroke = null;
  await present();
}

/** Start again with a blank memory. */
export async function forget() {
  state.watching = false;
  state.outcome = null;
  state.strokes = [];
  await request("forget");
}

/** Present a drawing by others; resolves to whether there was one. */
export async function deal() {
  state.outcome = null;
  const succeeded = await request("deal", { source: element("source").value });
  state.strokes = state.view.pending?.strokes ?? [];
  changed();
  if (!state.watching) element("truth")?.focus();
  return succeeded;
}

/** Start or stop dealing and naming drawings automatically. */
export async function watch() {
  state.watching = !state.watching;
  changed();
  for (let count = 0; state.watching && count < MOST_WATCHED; count += 1) {
    if (!state.view.pending?.truth && !(await deal())) break;
    await pause(LOOK_TIME);
    if (!state.watching || !state.view.pending?.truth) break;
    await nameDrawing(state.view.pending.truth);
    await pause(REST_TIME);
  }
  state.watching = false;
  changed();
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
