"""Comparisons, each of which writes JSON, CSV, a table and a picture.

schemes:         addressing schemes, trained on the same episodes
suites:          suites of tasks, and the models that are compared on them
suite_cells:     their trainings, tested beyond the sizes of the training
suite_tables:    tables, plots and files of the suites
cells:           many trainings in parallel, on one machine or several

speed:           the time of the network beside alternatives and a lower bound
workloads:       networks and sizes of inputs to measure with
implementations: the network, its alternatives and the lower bound, ready to be timed
floor:           the lower bound: the matrix products alone

samplers:        the time of our sampler of episodes beside learn2learn's

measuring:       time and memory of calls
writing:         the files of a comparison
"""
