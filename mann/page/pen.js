// Drawing with the mouse, a finger, a pen or the keyboard.

import { present } from "./actions.js";
import { colour, element, paintImage, resized } from "./elements.js";
import { state } from "./state.js";

// As fractions of the drawing area's side.
const PEN_WIDTH = 0.045;
const SHORTEST_MOVE = 0.004; // closer points are left out
const ARROW_MOVE = 0.04;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const canvas = element("canvas");

/** Display the strokes so far, or the image of the pending drawing where its strokes are not known. */
export function showDrawing() {
  const side = canvas.clientWidth;
  const { view, stroke, cursor } = state;
  const lines = stroke ? [...state.strokes, stroke] : state.strokes;
  const context = resized(canvas, side, side);
  context.lineWidth = PEN_WIDTH * side;
  context.lineCap = context.lineJoin = "round";
  context.strokeStyle = colour("--ink");
  if (!lines.length && view?.pending) {
    paintImage(context, view.pending.image, view.size, colour("--ink"), 0, 0, side);
  }
  for (const line of lines) drawLine(context, line.map(([x, y]) => [x * side, y * side]));
  if (cursor.visible) {
    context.lineWidth = 2;
    context.strokeStyle = colour(stroke ? "--c1" : "--c0");
    context.beginPath();
    context.arc(cursor.x * side, cursor.y * side, (PEN_WIDTH * side) / 2 + 4, 0, 2 * Math.PI);
    context.stroke();
  }
  element("invitation").hidden = lines.length > 0 || cursor.visible || Boolean(view?.pending);
}

function drawLine(context, points) {
  context.beginPath();
  context.moveTo(...points[0]);
  // Curves through the midpoints of the pieces, so that few points make a smooth line.
  for (let place = 1; place < points.length - 1; place += 1) {
    const [x, y] = points[place];
    const [nextX, nextY] = points[place + 1];
    context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
  }
  context.lineTo(...points[points.length - 1]);
  context.stroke();
}

const withinArea = (value) => Math.round(1e4 * Math.min(1, Math.max(0, value))) / 1e4;

function position(event) {
  const area = canvas.getBoundingClientRect();
  return [withinArea((event.clientX - area.left) / area.width), withinArea((event.clientY - area.top) / area.height)];
}

function beginStroke(point) {
  if (state.view?.pending?.truth) state.strokes = []; // replaces a drawing by others
  state.watching = false;
  state.outcome = null;
  state.stroke = [point];
}

function extendStroke(point) {
  const [x, y] = state.stroke[state.stroke.length - 1];
  if (Math.hypot(point[0] - x, point[1] - y) >= SHORTEST_MOVE) state.stroke.push(point);
}

async function endStroke() {
  if (!state.stroke) return;
  state.strokes = [...state.strokes, state.stroke];
  state.stroke = null;
  await present();
}

canvas.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  state.cursor.visible = false;
  beginStroke(position(event));
  showDrawing();
});
canvas.addEventListener("pointermove", (event) => {
  if (!state.stroke || !event.isPrimary || !canvas.hasPointerCapture(event.pointerId)) return;
  // Between two frames, the browser combines several movements into one event.
  const movements = event.getCoalescedEvents?.() ?? [];
  for (const movement of movements.length ? movements : [event]) extendStroke(position(movement));
  showDrawing();
});
canvas.addEventListener("pointerup", endStroke);
canvas.addEventListener("pointercancel", endStroke);

canvas.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey || (!arrow && event.key !== " ")) return;
  event.preventDefault();
  if (!arrow && event.repeat) return;
  state.cursor.visible = true;
  if (arrow) {
    state.cursor.x = withinArea(state.cursor.x + arrow[0] * ARROW_MOVE);
    state.cursor.y = withinArea(state.cursor.y + arrow[1] * ARROW_MOVE);
    if (state.stroke) extendStroke([state.cursor.x, state.cursor.y]);
  } else if (state.stroke) {
    endStroke();
  } else {
    beginStroke([state.cursor.x, state.cursor.y]);
  }
  showDrawing();
});
canvas.addEventListener("blur", () => {
  state.cursor.visible = false;
  endStroke();
  showDrawing();
});
