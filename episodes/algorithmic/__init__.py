"""The algorithmic tasks of Graves et al. 2014 (arXiv 1410.5401, section 4), regression, and tasks of today's suites.

task:               the base class, and episodes of a task
copy:               reproduce a sequence
repeat_copy:        reproduce a sequence a given number of times
associative_recall: recall the item that followed the one presented
ngrams:             predict each next bit from the statistics of its sequence
priority_sort:      return the vectors of highest priority, in order
regression:         predict a function from a few of its points (Gaussian processes)

tokens:             what the tasks of tokens share
parity:             whether the number of ones is odd
cycle_navigation:   the position on a circle after a walk
reverse_string:     a string backwards
stack_manipulation: a stack after pushes and pops
duplicate_string:   a string twice
missing_duplicate:  the masked token of a doubled string
odds_first:         the tokens at odd places, then the others
bucket_sort:        tokens in order

recall:             what the tasks of recall share
continuous_recall:  the values of keys
forgetting_recall:  the last values of keys

state_tracking:     the running product of elements of a group
"""

from collections.abc import Mapping
from typing import Final

from episodes.algorithmic.associative_recall import AssociativeRecall
from episodes.algorithmic.bucket_sort import BucketSort
from episodes.algorithmic.continuous_recall import ContinuousRecall
from episodes.algorithmic.copy import Copy
from episodes.algorithmic.cycle_navigation import CycleNavigation
from episodes.algorithmic.duplicate_string import DuplicateString
from episodes.algorithmic.forgetting_recall import ForgettingRecall
from episodes.algorithmic.missing_duplicate import MissingDuplicate
from episodes.algorithmic.ngrams import NGrams, bayes_estimate, counting_bits
from episodes.algorithmic.odds_first import OddsFirst
from episodes.algorithmic.parity import Parity
from episodes.algorithmic.priority_sort import PrioritySort
from episodes.algorithmic.recall import Recall
from episodes.algorithmic.regression import Regression, exact_posterior
from episodes.algorithmic.repeat_copy import RepeatCopy
from episodes.algorithmic.reverse_string import ReverseString
from episodes.algorithmic.stack_manipulation import StackManipulation
from episodes.algorithmic.state_tracking import StateTracking
from episodes.algorithmic.task import AnswerKind, Task, TaskEpisode, TaskEpisodes
from episodes.algorithmic.tokens import StringTask

TASKS: Final[Mapping[str, type[Task]]] = {
    task.name: task
    for task in (
        *(Copy, RepeatCopy, AssociativeRecall, NGrams, PrioritySort, Regression),
        *(Parity, CycleNavigation, ReverseString, StackManipulation),
        *(DuplicateString, MissingDuplicate, OddsFirst, BucketSort),
        *(ContinuousRecall, ForgettingRecall, StateTracking),
    )
}
"""The tasks by name: dataclasses whose fields are the sizes of their episodes."""

__all__ = [
    "BucketSort",
    "ContinuousRecall",
    "CycleNavigation",
    "DuplicateString",
    "ForgettingRecall",
    "MissingDuplicate",
    "OddsFirst",
    "Parity",
    "ReverseString",
    "StackManipulation",
    "StateTracking",
    "AnswerKind",
    "Recall",
    "StringTask",
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
