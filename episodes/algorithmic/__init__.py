"""The algorithmic tasks of Graves et al. 2014 (arXiv 1410.5401, section 4), and regression.

task:               the base class, and episodes of a task
copy:               reproduce a sequence
repeat_copy:        reproduce a sequence a given number of times
associative_recall: recall the item that followed the one presented
ngrams:             predict each next bit from the statistics of its sequence
priority_sort:      return the vectors of highest priority, in order
regression:         predict a function from a few of its points (Gaussian processes)
"""

from collections.abc import Mapping
from typing import Final

from episodes.algorithmic.associative_recall import AssociativeRecall
from episodes.algorithmic.copy import Copy
from episodes.algorithmic.ngrams import NGrams, bayes_estimate, counting_bits
from episodes.algorithmic.priority_sort import PrioritySort
from episodes.algorithmic.regression import Regression, exact_posterior
from episodes.algorithmic.repeat_copy import RepeatCopy
from episodes.algorithmic.task import Task, TaskEpisode, TaskEpisodes

TASKS: Final[Mapping[str, type[Task]]] = {
    task.name: task for task in (Copy, RepeatCopy, AssociativeRecall, NGrams, PrioritySort, Regression)
}
"""The tasks by name: dataclasses whose fields are the sizes of their episodes."""

__all__ = [
    "TASKS",
    "AssociativeRecall",
    "Copy",
    "NGrams",
    "PrioritySort",
    "Regression",
    "RepeatCopy",
    "Task",
    "TaskEpisode",
    "TaskEpisodes",
    "bayes_estimate",
    "counting_bits",
    "exact_posterior",
]
