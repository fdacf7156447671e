"""Tables and pictures.

instances:  accuracy by instance, and how training went
tasks:      what the answers to algorithmic tasks cost, at which sizes
memory:     what memory did in an episode
comparison: several runs side by side
results:    the papers' tables beside ours
reports:    which files a run's folder is given
steps:      a sequence step by step, as plain data
html:       everything about a run on one page
files:      whole files or none
style:      colours and axes
"""
