// The start of the page: the display of the state, buttons and keyboard shortcuts.

import { clear, deal, forget, nameDrawing, undo, watch } from "./actions.js";
import { showAnswer } from "./answer.js";
import { element, htmlElement } from "./elements.js";
import { showMemory } from "./memory.js";
import { showDrawing } from "./pen.js";
import { request } from "./requests.js";
import { changed, displayWith, state } from "./state.js";

function show() {
  showDrawing();
  const { view } = state;
  if (!view) return;
  const hasDrawing = Boolean(view.pending) || state.strokes.length > 0;
  element("undo").disabled = !hasDrawing && !view.undo;
  element("clear").disabled = !hasDrawing;
  element("forget").disabled = !view.pending && !view.drawings.length;
  element("watch").setAttribute("aria-pressed", String(state.watching));
  showSources();
  showAnswer();
  showMemory();
  element("about").textContent =
    `Network: ${view.model}, ${view.slots === null ? "no memory slots" : `${view.slots} memory slots`}, up to ${view.classes} names. ` +
    "Nothing leaves this machine.";
}

function showSources() {
  const { sources } = state.view;
  const select = element("source");
  if (select.options.length === sources.length) return;
  select.replaceChildren(...sources.map((name) => htmlElement("option", { value: name }, name)));
  element("source-choice").hidden = sources.length < 2;
}

document.addEventListener("keydown", (event) => {
  const { view } = state;
  if (!view || event.altKey || event.repeat) return;
  const isTyping = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !isTyping) {
    event.preventDefault();
    undo();
    return;
  }
  if (event.ctrlKey || event.metaKey) return;
  if (event.key === "Escape") {
    if (isTyping) event.target.blur();
    else clear();
    return;
  }
  if (isTyping) return;
  const number = Number(event.key);
  if (number >= 1 && number <= view.names.length) nameDrawing(view.names[number - 1]);
  else if (number === view.names.length + 1 && number <= view.classes) nameDrawing(view.suggestion);
  else if (event.key === "Enter" && view.pending?.truth && !(event.target instanceof HTMLButtonElement)) {
    nameDrawing(view.pending.truth);
  } else if (event.key === "z" || event.key === "Backspace") undo();
  else if (event.key === "d") deal();
  else if (event.key === "w") watch();
  else if (event.key === "n" && view.names.length < view.classes) {
    event.preventDefault();
    element("name").focus();
  }
});

element("naming").addEventListener("submit", (event) => {
  event.preventDefault();
  element("name").blur();
  nameDrawing(element("name").value.trim() || state.view.suggestion);
});
element("undo").addEventListener("click", undo);
element("clear").addEventListener("click", clear);
element("forget").addEventListener("click", forget);
element("deal").addEventListener("click", deal);
element("watch").addEventListener("click", watch);
window.addEventListener("resize", show);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);

displayWith(show);
request("session").then(() => {
  state.strokes = state.view?.pending?.strokes ?? [];
  changed();
});
