// The picture of the memory: a column for each drawing, a row for each slot.

import {
  colour,
  colourClass,
  element,
  htmlElement,
  nameColour,
  paintImage,
  percent,
  resized,
  svgElement,
  svgText,
  thumbnail,
} from "./elements.js";
import { state } from "./state.js";

// Pixels.
const LEFT = 50; // for the numbers of the slots
const RIGHT = 64; // for the usage of the slots
const ROW = 18;
const FOOTER = 20;

/** Display the summary of the last step, the slots that were read, and the history of all slots. */
export function showMemory() {
  const { memory } = state.view;
  element("summary").textContent = summary();
  element("reads").replaceChildren(...memory.reads.map((read) => readItem(read)));
  element("reads").hidden = !memory.reads.length;
  element("legend").hidden = element("history").hidden = !memory.rows.length;
  if (!memory.rows.length) return;
  const columns = visibleColumns(element("history").clientWidth);
  showStrip(columns);
  showSlots(columns);
}

function summary() {
  const { memory, pending } = state.view;
  if (memory.place === null) return "This network has no memory to show: it keeps all drawings so far, or the state of its layers.";
  if (!memory.rows.length) {
    return "The memory is empty. Drawings are written to free slots, and read when the same character is drawn again.";
  }
  const { writes, reads } = memory;
  const read = reads.length ? "and read:" : `and read no ${memory.place} in particular.`;
  if (memory.place === "step") {
    return `${pending ? "At this drawing" : "At the last drawing"}, the network wrote the name of the drawing before, ${read}`;
  }
  const written = writes.length ? `${writes.length > 1 ? "slots" : "slot"} ${writes.join(", ")}` : "no slot";
  return `${pending ? "At this drawing" : "At the last drawing"}, the network wrote to ${written} ${read}`;
}

const placeName = (number) => {
  const { place } = state.view.memory;
  return place === "step" ? `step ${number + 1}` : `slot ${number}`;
};

const allDrawings = () => [...state.view.drawings, ...(state.view.pending ? [state.view.pending] : [])];

function readItem({ slot, weight, drawing: step }) {
  const { names, size } = state.view;
  const all = allDrawings();
  const drawing = step === null ? undefined : all[step];
  const number = drawing?.name;
  const isCurrent = step === all.length - 1;
  const item = htmlElement("li", { class: colourClass(number) });
  if (drawing) item.append(thumbnail(drawing.image, size, nameColour(number)));
  let title = state.view.memory.place === "step" ? "no drawing" : "an empty slot";
  if (drawing) title = isCurrent || number === undefined ? "this drawing" : names[number];
  const details = [placeName(slot), percent(weight)];
  if (drawing) details.splice(1, 0, isCurrent ? "just written" : `drawing ${step + 1}`);
  item.append(
    htmlElement("span", {}, htmlElement("b", {}, `${title} `), htmlElement("span", {}, details.join(", "))),
  );
  return item;
}

/** Return the geometry of the columns: as many of the latest drawings as there is room for. */
function visibleColumns(width) {
  const total = allDrawings().length;
  const available = width - LEFT - RIGHT;
  const column = Math.max(28, Math.min(44, available / Math.max(total, 1)));
  const count = Math.min(total, Math.floor(available / column));
  const start = total - count; // earlier drawings are left out
  return { width, total, column, count, start, middle: (step) => LEFT + (step - start + 0.5) * column };
}

/** Display the drawings above their columns. */
function showStrip({ width, column, start, middle }) {
  const { drawings, names, size } = state.view;
  const side = Math.min(column - 4, 36);
  const height = side + 16;
  const strip = element("strip");
  strip.style.height = `${height}px`;
  const context = resized(strip, width, height);
  context.textAlign = "center";
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  allDrawings().forEach((drawing, step) => {
    if (step < start) return;
    const isPending = drawing.name === undefined;
    if (isPending) {
      context.fillStyle = colour("--guide");
      context.fillRect(middle(step) - column / 2, 0, column, height);
    }
    paintImage(context, drawing.image, size, nameColour(drawing.name), middle(step) - side / 2, 0, side);
    context.fillStyle = colour("--ink");
    const name = isPending ? "now" : names[drawing.name];
    const isFirst = drawings.findIndex((other) => other.name === drawing.name) === step;
    const isRight = isPending || drawing.best === (isFirst ? null : drawing.name);
    const text = name.length > 4 ? `${name.slice(0, 3)}\u2026` : name;
    context.fillText(isRight ? text : `${text} \u2717`, middle(step), height - 4, column);
  });
}

/** Display the writes, reads, content and usage of every slot that was in use in a visible column. */
function showSlots(columns) {
  const { memory, pending } = state.view;
  const { width, total, column, count, start, middle } = columns;
  const isVisible = ({ step }) => step >= start;
  const rows = memory.rows.filter((row) => row.writes.some(isVisible) || row.reads.some(isVisible));
  const height = ROW * rows.length + FOOTER;
  const usageLeft = LEFT + count * column + 12;
  const mostUsage = Math.max(1, ...memory.rows.map((row) => row.usage ?? 0));
  const nodes = [];
  if (pending) {
    const box = { x: middle(total - 1) - column / 2, y: 0, width: column, height: height - FOOTER };
    nodes.push(svgElement("rect", { ...box, class: "now" }));
  }
  rows.forEach((row, place) => {
    const y = (place + 0.5) * ROW;
    nodes.push(svgText(LEFT - 8, y + 4, placeName(row.slot), "end"));
    nodes.push(...heldBoxes(row, y, columns));
    for (const write of row.writes.filter(isVisible)) nodes.push(writeMark(write, row, middle(write.step), y));
    for (const read of row.reads.filter(isVisible)) nodes.push(readMark(read, row, middle(read.step), y));
    if (row.usage !== null) {
      const length = ((RIGHT - 16) * row.usage) / mostUsage;
      const bar = { x: usageLeft, y: y - 3, width: Math.max(1, length), height: 6, rx: 3 };
      const description = `${memory.usage}, ${placeName(row.slot)}: ${row.usage}`;
      nodes.push(svgElement("rect", { ...bar, class: "fill", opacity: 0.45 }, description));
    }
  });
  nodes.push(svgText(LEFT + 2, height - 4, start ? `\u2190 ${start} earlier` : "time \u2192", "start"));
  if (memory.usage) nodes.push(svgText(usageLeft, height - 4, memory.usage.split(" ")[0], "start"));
  const picture = element("slots");
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.setAttribute("height", height);
  picture.replaceChildren(...nodes);
}

const nameNumber = (step) => state.view.drawings[step]?.name;

/** Return boxes over the steps at which a slot holds a drawing, in the colour of its name. */
function heldBoxes(row, y, { total, column, start, middle }) {
  return row.held.flatMap(({ since, drawing }, part) => {
    const from = Math.max(since, start);
    const until = row.held[part + 1]?.since ?? total;
    if (until <= from) return [];
    const box = { x: middle(from) - column / 2, y: y - ROW / 2 + 1.5, width: (until - from) * column, height: ROW - 3 };
    return [svgElement("rect", { ...box, class: `tint ${colourClass(nameNumber(drawing))}` })];
  });
}

/** Return a square for a drawing that is written, or a diamond for the name of the drawing before. */
function writeMark(write, row, x, y) {
  const half = 6.5 * Math.sqrt(Math.min(1, write.weight));
  const isOwn = write.drawing === write.step;
  const corners = isOwn
    ? `M${x - half} ${y - half}h${2 * half}v${2 * half}h${-2 * half}z`
    : `M${x} ${y - half}l${half} ${half}l${-half} ${half}l${-half} ${-half}z`;
  const attributes = { d: corners, class: `stroke ${colourClass(nameNumber(write.drawing))}` };
  const event = isOwn ? "this drawing is written" : "the last name is added";
  return svgElement("path", attributes, tooltip(write, row, event));
}

/** Return a disc for a read. */
function readMark(read, row, x, y) {
  const disc = { cx: x, cy: y, r: 4.5 * Math.sqrt(Math.min(1, read.weight)) };
  const attributes = { ...disc, class: `fill ${colourClass(nameNumber(read.step))}` };
  return svgElement("circle", attributes, tooltip(read, row, "it is read"));
}

const tooltip = ({ step, weight }, { slot }, event) =>
  `drawing ${step + 1}, ${placeName(slot)}: ${event}, weight ${weight.toFixed(2)}`;
