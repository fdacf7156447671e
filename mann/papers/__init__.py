"""The papers' tables as data: published figures, the recipes of our rows, and stored results.

published: the figures that papers report
recipes:   the tables and their rows: settings and evaluation of each, as typed data
row_runs:  the rows that a name selects; the seeds, folders and settings of their runs
commands:  the commands that make a row, derived from its settings
results:   stored results, checked against their recipes
"""
