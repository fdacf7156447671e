"""Episodes to train and test on: pure functions of (seed, step) that return whole batches on the device.

label_offset: classification episodes, in which each image comes with the label of the preceding one
few_shot:     the same episodes as support sets and queries (N-way K-shot)
tasksets:     the same kind of episodes from tasks of learn2learn
labels:       how classes are labelled in an episode: one-hot, or strings of characters
jitter:       random rotation and translation of images; jitter.cpp: its loops for the CPU
randomness:   the random numbers of a step
native:       compilation of C++ on the machine where it runs
algorithmic:  the algorithmic tasks of the Neural Turing Machine, regression, and tasks of today's suites
"""

from episodes.algorithmic import (
    TASKS,
    AnswerKind,
    AssociativeRecall,
    BucketSort,
    ContinuousRecall,
    Copy,
    CycleNavigation,
    DuplicateString,
    ForgettingRecall,
    MissingDuplicate,
    NGrams,
    OddsFirst,
    Parity,
    PrioritySort,
    Recall,
    Regression,
    RepeatCopy,
    ReverseString,
    StackManipulation,
    StateTracking,
    StringTask,
    Task,
    TaskEpisode,
    TaskEpisodes,
    bayes_estimate,
    counting_bits,
    exact_posterior,
)
from episodes.jitter import Jitter
from episodes.label_offset import ClassificationEpisodes, Episode
from episodes.labels import LABELS, Labels, OneHot, Strings
from episodes.tasksets import TasksetEpisodes

__all__ = [
    "LABELS",
    "TASKS",
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
