// HTML and SVG elements, images of drawings, colours and percentages.

const COLOURS = 8;

export const element = (id) => document.getElementById(id);

/** Return a new HTML element. */
export function htmlElement(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

/** Return a new SVG element, with a title that appears as a tooltip. */
export function svgElement(tag, attributes, title = "") {
  const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  if (title) {
    const inner = document.createElementNS("http://www.w3.org/2000/svg", "title");
    inner.textContent = title;
    node.append(inner);
  }
  return node;
}

/** Return a new SVG text; anchor: start, middle or end. */
export function svgText(x, y, content, anchor) {
  const node = svgElement("text", { x, y, "text-anchor": anchor });
  node.textContent = content;
  return node;
}

/** Return the value of a colour of the style sheet, such as "--ink". */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

/** Return the class of a name by its number; undefined is a drawing without a name. */
export const colourClass = (number) => (number === undefined ? "nameless" : `c${number % COLOURS}`);

/** Return the colour of a name by its number. */
export const nameColour = (number) => colour(number === undefined ? "--ink" : `--${colourClass(number)}`);

/** Return a probability in percent; values near 0 and 1 are not rounded to them. */
export function percent(probability) {
  if (probability > 0 && probability < 0.005) return "<1%";
  if (probability < 1 && probability >= 0.995) return ">99%";
  return `${Math.round(100 * probability)}%`;
}

/** Resize a canvas to a number of CSS pixels at the resolution of the screen; returns its context, in CSS pixels. */
export function resized(canvas, width, height) {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  return context;
}

/** Paint the network's input image of a drawing; image: base64 of size * size bytes, ink: #rrggbb. */
export function paintImage(context, image, size, ink, x, y, side) {
  const small = document.createElement("canvas");
  small.width = small.height = size;
  const [red, green, blue] = ink.match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16));
  const pixels = new ImageData(size, size);
  Array.from(atob(image)).forEach((byte, place) => {
    pixels.data.set([red, green, blue, byte.charCodeAt(0)], 4 * place);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, x, y, side, side);
}

/** Return a canvas with a small image of a drawing. */
export function thumbnail(image, size, ink, side = 44) {
  const canvas = htmlElement("canvas", { class: "thumb", "aria-hidden": "true" });
  paintImage(resized(canvas, side, side), image, size, ink, 3, 3, side - 6);
  return canvas;
}
