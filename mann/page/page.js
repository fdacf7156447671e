// The page: it shows what the server says of the session, and sends what the person does. The session lives there.

const PEN = 0.045; // of the drawing area's side
const NEAREST = 0.004; // points closer to each other than this are one
const STEP = 0.04; // the way of the pen for an arrow key
const COLOURS = 8;
const WATCHED = 25; // drawings
const PAUSE = 900; // milliseconds in which a drawing can be looked at

const element = (id) => document.getElementById(id);
const canvas = element("canvas");
const pen = canvas.getContext("2d");

let view = null; // what the server said last
let strokes = []; // of the drawing without a name
let stroke = null; // the one being drawn
let cursor = { x: 0.5, y: 0.5, shown: false }; // the pen of the keyboard
let told = null; // what came out when the last drawing was named
let watching = false;

// --- asking the server, one thing after the other

let queue = Promise.resolve();
let waiting = 0;

function ask(action, body = {}) {
  wait(1);
  queue = queue.then(() => answered(action, body)).finally(() => wait(-1));
  return queue;
}

function wait(change) {
  waiting += change;
  document.body.ariaBusy = String(waiting > 0);
}

async function answered(action, body) {
  const request = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  try {
    const response = await fetch(action, action === "session" ? {} : request);
    const content = await response.json();
    if (!response.ok) throw new Error(content.error);
    view = content;
    say(null);
    return true;
  } catch (error) {
    say(error instanceof TypeError ? "The program behind this page does not answer: is it still running?" : error.message);
    return false;
  } finally {
    show();
  }
}

function say(problem) {
  element("error").hidden = problem === null;
  element("error").textContent = problem ?? "";
}

// --- what the person does

async function look() {
  told = null;
  await ask("look", { strokes });
}

async function call(name) {
  if (!view?.pending && !strokes.length) return;
  await queue; // the answer to the last stroke
  const pending = view?.pending;
  if (pending && (await ask("call", { name }))) {
    told = outcome(pending, name);
    strokes = [];
    element("name").value = "";
    show();
  }
}

function outcome(pending, name) {
  const said = pending.best === null ? null : view.names[pending.best];
  if (said === name) return { right: true, text: `Right: ${name}.` };
  const before = view.drawings.slice(0, -1).some((drawing) => view.names[drawing.name] === name);
  if (!before && said === null) return { right: true, text: `Something new indeed: ${name}.` };
  return { right: false, text: `It said ${said ?? "something new"}. Now it has been told: ${name}.` };
}

async function undo() {
  told = null;
  if (!view.pending?.truth && strokes.length > 1) {
    strokes = strokes.slice(0, -1);
    await look();
  } else if (view.pending || strokes.length) {
    await clear();
  } else if (view.undo && (await ask("undo"))) {
    strokes = view.pending?.strokes ?? [];
    show();
  }
}

async function clear() {
  strokes = [];
  stroke = null;
  await look();
}

async function forget() {
  watching = false;
  told = null;
  strokes = [];
  await ask("forget");
}

async function deal() {
  told = null;
  const done = await ask("deal", { source: element("source").value });
  strokes = view.pending?.strokes ?? [];
  show();
  if (!watching) element("truth")?.focus();
  return done;
}

async function watch() {
  watching = !watching;
  show();
  for (let shown = 0; watching && shown < WATCHED; shown += 1) {
    if (!view.pending?.truth && !(await deal())) break;
    await pause(PAUSE);
    if (!watching || !view.pending?.truth) break;
    await call(view.pending.truth);
    await pause(PAUSE / 2);
  }
  watching = false;
  show();
}

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// --- drawing with the mouse, a finger, a pen

function place(event) {
  const area = canvas.getBoundingClientRect();
  const within = (value) => Math.round(1e4 * Math.min(1, Math.max(0, value))) / 1e4;
  return [within((event.clientX - area.left) / area.width), within((event.clientY - area.top) / area.height)];
}

function extend(point) {
  const [x, y] = stroke[stroke.length - 1];
  if (Math.hypot(point[0] - x, point[1] - y) >= NEAREST) stroke.push(point);
}

function begin(point) {
  if (view?.pending?.truth) strokes = []; // a drawing of one's own in place of one by others
  watching = false;
  told = null;
  stroke = [point];
}

async function end() {
  if (!stroke) return;
  strokes = [...strokes, stroke];
  stroke = null;
  await look();
}

canvas.addEventListener("pointerdown", (event) => {
  if (!event.isPrimary || event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  cursor.shown = false;
  begin(place(event));
  draw();
});
canvas.addEventListener("pointermove", (event) => {
  if (!stroke || !event.isPrimary || !canvas.hasPointerCapture(event.pointerId)) return;
  const seen = event.getCoalescedEvents?.() ?? [];
  for (const part of seen.length ? seen : [event]) extend(place(part));
  draw();
});
canvas.addEventListener("pointerup", end);
canvas.addEventListener("pointercancel", end);

// --- the keyboard

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

canvas.addEventListener("keydown", (event) => {
  const arrow = ARROWS[event.key];
  if (event.ctrlKey || event.metaKey || event.altKey || (!arrow && event.key !== " ")) return;
  event.preventDefault();
  if (!arrow && event.repeat) return;
  cursor.shown = true;
  if (arrow) {
    const moved = (from, way) => Math.round(1e4 * Math.min(1, Math.max(0, from + way * STEP))) / 1e4;
    cursor = { x: moved(cursor.x, arrow[0]), y: moved(cursor.y, arrow[1]), shown: true };
    if (stroke) extend([cursor.x, cursor.y]);
  } else if (stroke) {
    end();
  } else {
    begin([cursor.x, cursor.y]);
  }
  draw();
});
canvas.addEventListener("blur", () => {
  cursor.shown = false;
  end();
  draw();
});

document.addEventListener("keydown", (event) => {
  if (!view || event.altKey || event.repeat) return;
  const typing = event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement;
  if (event.key.toLowerCase() === "z" && (event.ctrlKey || event.metaKey) && !typing) {
    event.preventDefault();
    undo();
    return;
  }
  if (event.ctrlKey || event.metaKey) return;
  if (event.key === "Escape") {
    if (typing) event.target.blur();
    else clear();
    return;
  }
  if (typing) return;
  const number = Number(event.key);
  if (number >= 1 && number <= view.names.length) call(view.names[number - 1]);
  else if (number === view.names.length + 1 && number <= view.classes) call(view.suggestion);
  else if (event.key === "Enter" && view.pending?.truth && !(event.target instanceof HTMLButtonElement)) {
    call(view.pending.truth);
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
  call(element("name").value.trim() || view.suggestion);
});
element("undo").addEventListener("click", undo);
element("clear").addEventListener("click", clear);
element("forget").addEventListener("click", forget);
element("deal").addEventListener("click", deal);
element("watch").addEventListener("click", watch);

// --- showing

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const ofName = (number) => (number === undefined ? "nameless" : `c${number % COLOURS}`);
const rounded = (share) => (share > 0 && share < 0.005 ? "<1" : share < 1 && share >= 0.995 ? ">99" : Math.round(100 * share));
const percent = (share) => `${rounded(share)}%`;
const allShown = () => (view.pending ? [...view.drawings, view.pending] : view.drawings);

function made(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Fit a canvas to its place and to the screen's pixels; returns its context, in CSS pixels. */
function sized(target, width, height) {
  const scale = window.devicePixelRatio || 1;
  target.width = Math.round(width * scale);
  target.height = Math.round(height * scale);
  const context = target.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
}

/** Paint what the network saw of a drawing. */
function paint(context, image, ink, x, y, side) {
  const small = document.createElement("canvas");
  small.width = small.height = view.size;
  const [red, green, blue] = ink.match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  const pixels = new ImageData(view.size, view.size);
  Array.from(atob(image)).forEach((byte, place) => {
    pixels.data.set([red, green, blue, byte.charCodeAt(0)], 4 * place);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, x, y, side, side);
}

function thumb(image, ink, side = 44) {
  const target = made("canvas", { class: "thumb", "aria-hidden": "true" });
  paint(sized(target, side, side), image, ink, 3, 3, side - 6);
  return target;
}

function draw() {
  const side = canvas.clientWidth;
  const lines = stroke ? [...strokes, stroke] : strokes;
  sized(canvas, side, side);
  pen.lineWidth = PEN * side;
  pen.lineCap = pen.lineJoin = "round";
  pen.strokeStyle = pen.fillStyle = colour("--ink");
  if (!lines.length && view?.pending) paint(pen, view.pending.image, colour("--ink"), 0, 0, side);
  for (const line of lines) {
    pen.beginPath();
    pen.moveTo(line[0][0] * side, line[0][1] * side);
    // Through the middles, so that few points make a smooth line.
    for (let place = 1; place < line.length - 1; place += 1) {
      const [x, y] = line[place];
      const [nextX, nextY] = line[place + 1];
      pen.quadraticCurveTo(x * side, y * side, ((x + nextX) / 2) * side, ((y + nextY) / 2) * side);
    }
    const [x, y] = line[line.length - 1];
    pen.lineTo(x * side, y * side);
    pen.stroke();
  }
  if (cursor.shown) {
    pen.lineWidth = 2;
    pen.strokeStyle = colour(stroke ? "--c1" : "--c0");
    pen.beginPath();
    pen.arc(cursor.x * side, cursor.y * side, (PEN * side) / 2 + 4, 0, 2 * Math.PI);
    pen.stroke();
  }
  element("invitation").hidden = lines.length > 0 || cursor.shown || Boolean(view?.pending);
}

function show() {
  draw();
  if (!view) return;
  const drawn = Boolean(view.pending) || strokes.length > 0;
  element("undo").disabled = !drawn && !view.undo;
  element("clear").disabled = !drawn;
  element("forget").disabled = !view.pending && !view.drawings.length;
  element("watch").setAttribute("aria-pressed", String(watching));
  showSources();
  showSaid();
  showNames();
  showScore();
  showMemory();
  element("about").textContent =
    `Network: ${view.model}, ${view.slots} slots of memory, up to ${view.classes} names. ` +
    "Everything stays on this machine.";
}

function showSources() {
  const select = element("source");
  if (select.options.length === view.sources.length) return;
  select.replaceChildren(...view.sources.map((name) => made("option", { value: name }, name)));
  element("source-choice").hidden = view.sources.length < 2;
}

function showSaid() {
  const { pending, names } = view;
  const said = element("said");
  if (pending) {
    const share = pending.best === null ? pending.new : pending.probabilities[pending.best];
    const first = pending.best === null ? "Something new" : `This is ${names[pending.best]}`;
    const next = pending.truth ? truthButton(pending.truth) : "What is it? Tap its name, press its number, or type a new one.";
    said.replaceChildren(`${first}, ${percent(share)} sure.`, made("small", {}, next));
  } else if (told) {
    const mark = made("span", { class: told.right ? "right" : "wrong" }, told.right ? "\u2713 " : "\u2717 ");
    said.replaceChildren(mark, told.text, made("small", {}, "Draw the next one, or one of these again."));
  } else {
    const hint = names.length ? "A new one, or one of these again." : "Anything that takes a few strokes of a pen.";
    said.replaceChildren("Draw a character.", made("small", {}, hint));
  }
}

function truthButton(truth) {
  const button = made("button", { type: "button", id: "truth" }, `It is ${truth} `, made("kbd", {}, "Enter"));
  button.addEventListener("click", () => call(truth));
  return button;
}

function showNames() {
  const { pending, names, drawings, classes } = view;
  element("names").replaceChildren(...names.map((name, number) => nameButton(name, number)));
  const full = names.length >= classes;
  const form = element("naming");
  form.hidden = full;
  form.classList.toggle("best", Boolean(pending) && pending.best === null);
  element("naming-key").textContent = names.length < 9 ? String(names.length + 1) : "";
  element("name").placeholder = view.suggestion;
  element("new-bar").style.width = pending ? `${100 * pending.new}%` : "0";
  element("new-share").textContent = pending && drawings.length ? percent(pending.new) : "";
  form.querySelector("button").disabled = !pending;
  element("guide").hidden = drawings.length > 0;
}

function nameButton(name, number) {
  const { pending, drawings } = view;
  const share = pending?.probabilities[number];
  const first = drawings.find((drawing) => drawing.name === number);
  const fill = made("span");
  fill.style.width = pending ? `${100 * share}%` : "0";
  const label = pending ? `${name}, ${percent(share)}` : name;
  const button = made(
    "button",
    { type: "button", class: ofName(number), "aria-label": label },
    made("kbd", {}, number < 9 ? String(number + 1) : ""),
    thumb(first.image, colour(`--${ofName(number)}`)),
    made("span", { class: "called" }, name),
    made("span", { class: "bar" }, fill),
    made("span", { class: "share" }, pending ? percent(share) : ""),
  );
  button.disabled = !pending;
  button.classList.toggle("best", pending?.best === number);
  button.addEventListener("click", () => call(name));
  return made("li", {}, button);
}

function showScore() {
  const times = new Map(); // by how often a name had been shown: right answers and all
  const shown = new Map();
  for (const { name, best } of view.drawings) {
    const time = (shown.get(name) ?? 0) + 1;
    shown.set(name, time);
    const key = Math.min(time, 4);
    const [right, all] = times.get(key) ?? [0, 0];
    times.set(key, [right + (best === (time === 1 ? null : name)), all + 1]);
  }
  const titles = { 1: "new, and it said so", 2: "right, 2nd time", 3: "right, 3rd time", 4: "right, later" };
  const tiles = [...times].sort(([one], [other]) => one - other).map(([time, [right, all]]) =>
    made("div", {}, made("b", {}, `${right} of ${all}`), made("span", {}, titles[time])),
  );
  element("score").replaceChildren(...tiles);
}

// --- the picture of the memory: a column for each drawing, a row for each slot

const LEFT = 50; // pixels for the names of the slots
const RIGHT = 64; // and for their usage
const ROW = 18;

function showMemory() {
  const { memory, drawings, pending } = view;
  element("did").textContent = did();
  element("reads").replaceChildren(...memory.reads.map((read) => readCard(read)));
  element("reads").hidden = !memory.reads.length;
  element("legend").hidden = element("history").hidden = !memory.rows.length;
  if (!memory.rows.length) return;
  const width = element("history").clientWidth;
  const all = allShown();
  const column = Math.max(28, Math.min(44, (width - LEFT - RIGHT) / Math.max(all.length, 1)));
  const columns = Math.min(all.length, Math.floor((width - LEFT - RIGHT) / column));
  const start = all.length - columns; // earlier ones have no room
  showStrip(all.slice(start), column, width, start);
  const seen = ({ step }) => step >= start;
  const rows = memory.rows.filter((row) => row.writes.some(seen) || row.reads.some(seen));
  const height = ROW * rows.length + 20;
  const most = Math.max(1, ...memory.rows.map((row) => row.usage ?? 0));
  const beside = LEFT + columns * column + 12;
  const nodes = [];
  const x = (step) => LEFT + (step - start + 0.5) * column;
  const numberOf = (step) => drawings[step]?.name;
  if (pending) {
    nodes.push(shape("rect", { x: x(all.length - 1) - column / 2, y: 0, width: column, height: height - 20, class: "now" }));
  }
  rows.forEach((row, place) => {
    const y = (place + 0.5) * ROW;
    nodes.push(text(LEFT - 8, y + 4, `slot ${row.slot}`, "end"));
    row.held.forEach(({ since, of }, part) => {
      const from = Math.max(since, start);
      const until = row.held[part + 1]?.since ?? all.length;
      if (until <= from) return;
      const box = { x: x(from) - column / 2, y: y - ROW / 2 + 1.5, width: (until - from) * column, height: ROW - 3 };
      nodes.push(shape("rect", { ...box, class: `tint ${ofName(numberOf(of))}` }));
    });
    for (const write of row.writes.filter(seen)) {
      const half = 6.5 * Math.sqrt(Math.min(1, write.weight));
      const own = write.of === write.step;
      const middle = x(write.step);
      const corners = own
        ? `M${middle - half} ${y - half}h${2 * half}v${2 * half}h${-2 * half}z`
        : `M${middle} ${y - half}l${half} ${half}l${-half} ${half}l${-half} ${-half}z`;
      const what = own ? "this drawing was written" : "the name before was added";
      nodes.push(shape("path", { d: corners, class: `stroke ${ofName(numberOf(write.of))}` }, note(write, row, what)));
    }
    for (const read of row.reads.filter(seen)) {
      const circle = { cx: x(read.step), cy: y, r: 4.5 * Math.sqrt(Math.min(1, read.weight)) };
      nodes.push(shape("circle", { ...circle, class: `fill ${ofName(numberOf(read.step))}` }, note(read, row, "it was read")));
    }
    if (row.usage !== null) {
      const length = ((RIGHT - 16) * row.usage) / most;
      const bar = { x: beside, y: y - 3, width: Math.max(1, length), height: 6, rx: 3 };
      nodes.push(shape("rect", { ...bar, class: "fill", opacity: 0.45 }, `${memory.usage}, slot ${row.slot}: ${row.usage}`));
    }
  });
  nodes.push(text(LEFT + 2, height - 4, start ? `\u2190 ${start} earlier` : "time \u2192", "start"));
  if (memory.usage) nodes.push(text(beside, height - 4, memory.usage.split(" ")[0], "start"));
  const picture = element("traffic");
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  picture.setAttribute("height", height);
  picture.replaceChildren(...nodes);
}

const note = (mark, row, what) => `drawing ${mark.step + 1}, slot ${row.slot}: ${what}, weight ${mark.weight.toFixed(2)}`;

function did() {
  const { memory, pending } = view;
  if (!memory.rows.length) return "Nothing is in it yet. What you draw is written to free slots, and read when it comes again.";
  const slots = memory.writes.map((slot) => String(slot));
  const where = slots.length ? `wrote to ${slots.length > 1 ? "slots" : "slot"} ${slots.join(", ")}` : "wrote to no slot";
  const what = memory.reads.length ? "and read:" : "and read nothing in particular.";
  return `${pending ? "For this drawing it" : "For the last drawing it"} ${where} ${what}`;
}

function readCard({ slot, weight, of }) {
  const all = allShown();
  const shown = of === null ? undefined : all[of];
  const number = shown?.name;
  const itself = of === all.length - 1;
  const title = shown === undefined ? "an empty place" : itself ? "this drawing" : (view.names[number] ?? "this drawing");
  const card = made("li", { class: ofName(number) });
  if (shown) card.append(thumb(shown.image, colour(number === undefined ? "--ink" : `--${ofName(number)}`)));
  const when = shown === undefined ? "" : itself ? "just written" : `drawing ${of + 1}`;
  card.append(
    made("span", {}, made("b", {}, `${title} `), made("span", {}, `slot ${slot}, ${[when, percent(weight)].filter(Boolean).join(", ")}`)),
  );
  return card;
}

function showStrip(all, column, width, start) {
  const side = Math.min(column - 4, 36);
  const height = side + 16;
  const strip = element("strip");
  strip.style.height = `${height}px`;
  const context = sized(strip, width, height);
  context.textAlign = "center";
  context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
  all.forEach((drawing, place) => {
    const middle = LEFT + (place + 0.5) * column;
    const ink = colour(drawing.name === undefined ? "--ink" : `--${ofName(drawing.name)}`);
    if (drawing.name === undefined) {
      context.fillStyle = colour("--guide");
      context.fillRect(middle - column / 2, 0, column, height);
    }
    paint(context, drawing.image, ink, middle - side / 2, 0, side);
    context.fillStyle = colour("--ink");
    const name = drawing.name === undefined ? "now" : view.names[drawing.name];
    const first = view.drawings.findIndex((other) => other.name === drawing.name) === start + place;
    const mark = drawing.name === undefined ? "" : drawing.best === (first ? null : drawing.name) ? "" : " \u2717";
    context.fillText((name.length > 4 ? `${name.slice(0, 3)}\u2026` : name) + mark, middle, height - 4, column);
  });
}

function shape(tag, attributes, title = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (title) {
    const inner = document.createElementNS("http://www.w3.org/2000/svg", "title");
    inner.textContent = title;
    node.append(inner);
  }
  return node;
}

function text(x, y, content, anchor) {
  const node = shape("text", { x, y, "text-anchor": anchor });
  node.textContent = content;
  return node;
}

// --- from the start

window.addEventListener("resize", show);
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
ask("session").then(() => {
  strokes = view?.pending?.strokes ?? [];
  show();
});
