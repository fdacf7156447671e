// The state of the page, and the function that displays it. The session itself is stored on the server.

export const state = {
  view: null, // the session, as the server last sent it
  strokes: [], // of the pending drawing, each a list of points [x, y] in [0, 1]
  stroke: null, // the stroke that is being drawn
  cursor: { x: 0.5, y: 0.5, visible: false }, // the pen of the keyboard
  outcome: null, // whether the last answer was right: { right, text }
  watching: false, // whether drawings are dealt and named automatically
};

let display = () => {};

/** Set the function that displays the state. */
export function displayWith(show) {
  display = show;
}

/** Display the state after a change. */
export function changed() {
  display();
}
