"""Comparisons: one command, many trainings, one table and one picture.

addressing: schemes of addressing on the same episodes
cells:      running many trainings in parallel, on one machine or several
"""
