"""Settings of tasks whose networks train in a second."""

from typing import Any

from episodes import (
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
    Regression,
    RepeatCopy,
    ReverseString,
    StackManipulation,
    StateTracking,
    Task,
)
from mann.settings import TaskConfig, changed, preset

SMALL: dict[str, Task] = {
    "copy": Copy(bits=2, shortest=1, longest=2),
    "repeat-copy": RepeatCopy(bits=2, longest=2, most=2, trained_most=2),
    "associative-recall": AssociativeRecall(bits=3, vectors=1, most=3),
    "ngrams": NGrams(context=1, length=20),
    "priority-sort": PrioritySort(bits=3, items=3, answers=2),
    "regression": Regression(points=15, length_scale=1.0),
    "parity": Parity(longest=3),
    "cycle-navigation": CycleNavigation(longest=2),
    "reverse-string": ReverseString(longest=3),
    "stack-manipulation": StackManipulation(longest=3),
    "duplicate-string": DuplicateString(longest=2),
    "missing-duplicate": MissingDuplicate(longest=4),
    "odds-first": OddsFirst(longest=3),
    "bucket-sort": BucketSort(longest=4, vocabulary=2),
    "continuous-recall": ContinuousRecall(most=2, keys=3, values=2),
    "forgetting-recall": ForgettingRecall(most=2, keys=3, values=2),
    "state-tracking": StateTracking("parity", longest=5),
}
"""For each task, short sequences."""


def tiny(task: str = "copy", **options: Any) -> TaskConfig:
    """Return settings of short sequences and a small network."""
    config = preset(task)
    assert isinstance(config, TaskConfig)
    return changed(config, {"sizes": SMALL[task], "hidden_size": 8, "slots": 5, "word_size": 4, "batch": 4, **options})
