"""A page on which one draws characters and sees a trained memory learn them from single examples.

drawing:  from the way of a pen to an image as the network was trained on
deck:     characters for those who will not draw
session:  the drawings shown so far, what the network answered, what its memory did
server:   the page and its questions, on this machine alone

page.html, page.css, page.js: what the browser gets; nothing comes from elsewhere.
"""
