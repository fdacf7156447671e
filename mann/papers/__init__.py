"""The papers' tables beside ours.

published: the figures that papers report
recipes:   the tables and their rows: settings and evaluation of each, as typed data
commands:  the commands that make a row, derived from its settings
results:   stored results, checked against their recipes
tables:    docs/results.md and its picture, made from stored results
"""
