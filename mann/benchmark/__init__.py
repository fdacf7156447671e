"""Comparisons: one command, one table and one picture.

addressing: schemes of addressing on the same episodes
cells:      running many trainings in parallel, on one machine or several

speed:      the network beside what a user could take instead, and beside the least that it has to do
episodes:   our sampler of episodes beside learn2learn's
measuring:  time and memory of calls, side by side

writing:    what each leaves in its folder
"""
