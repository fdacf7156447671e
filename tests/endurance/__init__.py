"""Endurance checks: what the program is expected to survive, run by `python scripts/endure.py CHECK`.

command: the command and its options
kills:   trainings that are killed and resumed end as if they had never been interrupted
seeds:   trainings with many seeds at twice the learning rate stay finite
load:    long trainings and many evaluations need no more memory and open files than short ones
fuzz:    files with any content are read, or refused with the declared error
"""

from collections.abc import Callable

OnProgress = Callable[[int], None]
"""Receives how many kills, trainings, episodes, evaluations or contents are done."""
