// The network's answer to the pending drawing, the names so far, and the score.

import { nameDrawing } from "./actions.js";
import { colourClass, element, htmlElement, nameColour, percent, thumbnail } from "./elements.js";
import { state } from "./state.js";

/** Display the answer, the names and the score. */
export function showAnswer() {
  element("answer").replaceChildren(...answerText());
  showNames();
  showScore();
}

function answerText() {
  const { view, outcome } = state;
  const { pending, names } = view;
  const small = (content) => htmlElement("small", {}, content);
  if (pending) {
    const probability = pending.best === null ? pending.new : pending.probabilities[pending.best];
    const answer = pending.best === null ? "Something new" : `This is ${names[pending.best]}`;
    const next = pending.truth
      ? truthButton(pending.truth)
      : "What is it? Tap its name, press its number, or type a new name.";
    return [`${answer}, ${percent(probability)} sure.`, small(next)];
  }
  if (outcome) {
    const [kind, sign] = outcome.right ? ["right", "\u2713 "] : ["wrong", "\u2717 "];
    const mark = htmlElement("span", { class: kind }, sign);
    return [mark, outcome.text, small("Draw a new character, or one of these again.")];
  }
  const hint = names.length ? "A new character, or one of these again." : "Anything that takes a few strokes of a pen.";
  return ["Draw a character.", small(hint)];
}

function truthButton(truth) {
  const key = htmlElement("kbd", {}, "Enter");
  const button = htmlElement("button", { type: "button", id: "truth" }, `It is ${truth} `, key);
  button.addEventListener("click", () => nameDrawing(truth));
  return button;
}

function showNames() {
  const { pending, names, drawings, classes, suggestion } = state.view;
  element("names").replaceChildren(...names.map((name, number) => nameItem(name, number)));
  const form = element("naming");
  form.hidden = names.length >= classes;
  form.classList.toggle("best", Boolean(pending) && pending.best === null);
  element("naming-key").textContent = names.length < 9 ? String(names.length + 1) : "";
  element("name").placeholder = suggestion;
  element("new-bar").style.width = pending ? `${100 * pending.new}%` : "0";
  element("new-share").textContent = pending && drawings.length ? percent(pending.new) : "";
  form.querySelector("button").disabled = !pending;
  element("guide").hidden = drawings.length > 0;
}

function nameItem(name, number) {
  const { pending, drawings, size } = state.view;
  const probability = pending?.probabilities[number];
  const first = drawings.find((drawing) => drawing.name === number);
  const fill = htmlElement("span");
  fill.style.width = pending ? `${100 * probability}%` : "0";
  const label = pending ? `${name}, ${percent(probability)}` : name;
  const button = htmlElement(
    "button",
    { type: "button", class: colourClass(number), "aria-label": label },
    htmlElement("kbd", {}, number < 9 ? String(number + 1) : ""),
    thumbnail(first.image, size, nameColour(number)),
    htmlElement("span", { class: "label" }, name),
    htmlElement("span", { class: "bar" }, fill),
    htmlElement("span", { class: "share" }, pending ? percent(probability) : ""),
  );
  button.disabled = !pending;
  button.classList.toggle("best", pending?.best === number);
  button.addEventListener("click", () => nameDrawing(name));
  return htmlElement("li", {}, button);
}

const SCORE_TITLES = {
  1: "recognised as new",
  2: "right at the 2nd drawing",
  3: "right at the 3rd drawing",
  4: "right at later drawings",
};

function showScore() {
  const scores = new Map(); // right answers and all answers, by how often the name has been drawn (4: or more)
  const counts = new Map();
  for (const { name, best } of state.view.drawings) {
    const count = (counts.get(name) ?? 0) + 1;
    counts.set(name, count);
    const key = Math.min(count, 4);
    const [right, all] = scores.get(key) ?? [0, 0];
    const isRight = best === (count === 1 ? null : name);
    scores.set(key, [right + isRight, all + 1]);
  }
  const tiles = [...scores]
    .sort(([one], [other]) => one - other)
    .map(([key, [right, all]]) =>
      htmlElement(
        "div",
        {},
        htmlElement("b", {}, `${right} of ${all}`),
        htmlElement("span", {}, SCORE_TITLES[key]),
      ),
    );
  element("score").replaceChildren(...tiles);
}
