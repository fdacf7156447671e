"""A web page on which one draws characters, and a pretrained memory learns them from single examples.

learner:      a pretrained network, its answers, and the snapshots of a session
session:      the actions of a person, which can be undone
session_view: everything that the page displays, as plain data
deck:         characters drawn by others: the built-in strokes, or Omniglot
pen:          rendering pen strokes as an image like those of the training
server:       the web server, for this machine alone

The browser loads page.html, icon.svg, the style sheets page.css, answer.css and memory.css, and the modules of page.js,
and nothing from elsewhere:

page.js:      the start of the page, keyboard shortcuts and buttons
actions.js:   the actions of a person
pen.js:       drawing with the mouse, a finger, a pen or the keyboard
answer.js:    the network's answer, the names and the score
memory.js:    the picture of the memory
elements.js:  HTML and SVG elements, images, colours
requests.js:  requests to the server, one after the other
state.js:     the state of the page
"""
