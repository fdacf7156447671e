"""The papers' tables as data: published figures, the recipes of our rows, and stored results.

published: the figures that papers report
recipes:   the tables and their rows: settings and evaluation of each, as typed data
commands:  the commands that make a row, derived from its settings
results:   stored results, checked against their recipes
"""
