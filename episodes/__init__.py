"""Sequences to learn from: pure functions of (seed, step) that return whole batches on the device.

classification: label-offset episodes of image classes
few_shot:       the same cut into support sets and queries (N-way K-shot)
tasksets:       the same out of tasks of learn2learn
labels:         how classes are named in an episode: one-hot, or strings of characters
jitter:         random rotation and translation of drawings
randomness:     the random numbers of a step

The algorithmic tasks of the Neural Turing Machine, and regression:

tasks:              what they have in common
copy:               repeat a sequence
repeat_copy:        repeat it as often as a number says
associative_recall: name the item that came after the one shown
ngrams:             learn within a sequence how likely each next bit is
priority_sort:      name the vectors of highest priority, in order
regression:         learn a function from a few of its points (Gaussian processes)
"""

from collections.abc import Mapping
from types import MappingProxyType

from episodes.algorithmic.associative_recall import AssociativeRecall
from episodes.algorithmic.copy import Copy
from episodes.algorithmic.ngrams import NGrams, bayes_estimate, counting_bits
from episodes.algorithmic.priority_sort import PrioritySort
from episodes.algorithmic.regression import Regression, exact_posterior
from episodes.algorithmic.repeat_copy import RepeatCopy
from episodes.algorithmic.task import Task, TaskEpisode, TaskEpisodes
from episodes.jitter import Jitter
from episodes.label_offset import ClassificationEpisodes, Episode
from episodes.labels import LABELS, Labels, OneHot, Strings
from episodes.tasksets import TasksetEpisodes

TASKS: Mapping[str, type[Task]] = MappingProxyType(
    {
        "copy": Copy,
        "repeat-copy": RepeatCopy,
        "associative-recall": AssociativeRecall,
        "ngrams": NGrams,
        "priority-sort": PrioritySort,
        "regression": Regression,
    }
)
"""The algorithmic tasks by name: classes whose fields are their sizes."""

__all__ = [
    "LABELS",
    "TASKS",
    "AssociativeRecall",
    "ClassificationEpisodes",
    "Copy",
    "Episode",
    "Jitter",
    "Labels",
    "NGrams",
    "OneHot",
    "PrioritySort",
    "Regression",
    "RepeatCopy",
    "Strings",
    "Task",
    "TaskEpisode",
    "TaskEpisodes",
    "TasksetEpisodes",
    "bayes_estimate",
    "counting_bits",
    "exact_posterior",
]
