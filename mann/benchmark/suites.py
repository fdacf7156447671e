"""The suites of tasks by which memories are compared today: how much they hold, how far they generalise.

Every model is trained on each task of a suite with the same optimisation, until its answers on validation sequences are
right or its time is over, and tested on sequences of the sizes of the training and beyond them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, NamedTuple

from data import InputError
from episodes import (
    BucketSort,
    ContinuousRecall,
    Copy,
    CycleNavigation,
    DuplicateString,
    ForgettingRecall,
    MissingDuplicate,
    OddsFirst,
    Parity,
    ReverseString,
    StackManipulation,
    StateTracking,
    Task,
)
from mann.addressing import DNC, NTM, SCHEMES, Scheme
from mann.benchmark.schemes import HEADS, with_heads
from mann.evaluation.task_costs import RANGES, SWEEPS, Setting
from mann.settings import AnySequenceModel, DeltaLayers, Memory, Recurrent, TaskConfig, Transformer, default_scheme

Judged = Literal["longer", "largest"]
"""The score of a task is over all sizes beyond those of the training, or at the largest of the training."""


class Suite(NamedTuple):
    """A suite of tasks.

    Attributes:
        title: Its heading.
        tasks: The tasks with the sizes of the training, by the names of their columns; each has one size that grows.
        sizes: The sizes of the test, rising.
        slots, word_size: The memory in training.
        judged: The sizes that the score is an average over.
        solved: The score from which on a task counts as solved.
        grows: Whether memories are tested with more slots; see `mann.benchmark.suite_cells.with_room`.
    """

    title: str
    tasks: Mapping[str, Task]
    sizes: tuple[int, ...]
    slots: int
    word_size: int
    judged: Judged
    solved: float
    grows: bool


_STRINGS: Final = (
    *(Parity(), CycleNavigation(), ReverseString(), StackManipulation()),
    *(DuplicateString(), MissingDuplicate(), OddsFirst(), BucketSort()),
)

SUITES: Final[Mapping[str, Suite]] = {
    "chomsky": Suite(
        "Strings: trained on lengths 1 to 40, tested on up to 500 (Deletang et al. 2022)",
        {task.name: task for task in _STRINGS},
        (10, 20, 40, 100, 200, 300, 400, 500),
        # A slot for each step of the training.
        slots=128,
        word_size=16,
        judged="longer",
        solved=0.9,
        grows=True,
    ),
    "recall": Suite(
        "Recall of pairs: trained on 1 to 64 pairs, tested on up to 256 (Arora et al. 2023)",
        {task.name: task for task in (ContinuousRecall(), ForgettingRecall())},
        (4, 8, 16, 32, 64, 128, 256),
        slots=64,
        word_size=64,
        judged="largest",
        solved=0.99,
        grows=False,
    ),
    "tracking": Suite(
        "State tracking: trained on 3 to 40 steps, tested on up to 256 (Merrill et al. 2024, Beck et al. 2024)",
        {group: StateTracking(group) for group in ("S5", "parity")},
        (10, 20, 40, 80, 160, 256),
        slots=128,
        word_size=16,
        judged="longer",
        solved=0.9,
        grows=True,
    ),
    "copy": Suite(
        "Copying: trained on lengths 1 to 20, tested on up to 120 (Graves et al. 2014)",
        {"copy": Copy()},
        (5, 10, 20, 30, 50, 80, 120),
        slots=128,
        word_size=16,
        judged="longer",
        solved=0.99,
        grows=True,
    ),
}
"""The suites by name."""

BASELINES: Final[Mapping[str, AnySequenceModel]] = {
    "lstm": Recurrent(hidden_size=256),
    "transformer": Transformer(),
    "delta-layers": DeltaLayers(),
}
"""Models without an external memory that stand beside the schemes."""


class Size(NamedTuple):
    """The size of a comparison.

    Attributes:
        hidden_size: Units of the memories' controller.
        batch: Sequences in a training step.
        steps: Most training steps; the budget in minutes ends most trainings before.
        validate: Steps between two validations.
        test: Test sequences for each size.
        longest: The largest size of the training, with a memory of as many slots and a test at twice the size; None: as
            in the suite.
    """

    hidden_size: int
    batch: int
    steps: int
    validate: int
    test: int
    longest: int | None = None


FULL: Final = Size(hidden_size=100, batch=32, steps=100_000, validate=200, test=64)
QUICK: Final = Size(hidden_size=8, batch=4, steps=10, validate=5, test=8, longest=4)
"""Tiny trainings: a test that everything runs; the figures have no meaning."""


def settings_of_test(suite: Suite, task: Task, size: Size) -> list[Setting]:
    """Return the settings in which a task of a suite is tested."""
    sizes = suite.sizes if size.longest is None else (size.longest, 2 * size.longest)
    return [{_axis(task): value} for value in sizes]


def task_of(suite: Suite, column: str, size: Size) -> Task:
    """Return a task of a suite with the sizes of the training."""
    task = suite.tasks[column]
    if size.longest is None:
        return task
    smallest, largest = RANGES[_axis(task)]
    return replace(task, **{smallest: 1, largest: size.longest})


def _axis(task: Task) -> str:
    """Return the name of the size that grows."""
    (sweep,) = SWEEPS[task.name]
    return sweep.size


def models_named(names: Sequence[str], suite: Suite, size: Size) -> dict[str, AnySequenceModel]:
    """Return the models of a comparison by name: schemes, with the same controller and memory, and baselines.

    The controllers have no state, so that what is kept from step to step is kept by the memory.

    Raises:
        InputError: there is no such scheme or baseline.
    """
    memory = Memory(
        controller="feedforward",
        hidden_size=size.hidden_size,
        activation="relu",
        initial_biases=0.5,
        slots=suite.slots if size.longest is None else size.longest,
        word_size=suite.word_size,
        clip_emitted=20.0,
    )
    found: dict[str, AnySequenceModel] = {}
    for name in names:
        if name in SCHEMES:
            found[name] = replace(memory, scheme=with_heads(_scheme(name), HEADS))
        elif name in BASELINES:
            found[name] = BASELINES[name]
        else:
            raise InputError(f"no scheme is named {name!r}: use all, or some of {', '.join((*SCHEMES, *BASELINES))}")
    return found


def _scheme(name: str) -> Scheme:
    """Return a scheme with the options that generalise to long strings."""
    if name == "ntm":
        return NTM(start="tape", shift_range=2)
    return DNC(sharpness=True) if name == "dnc" else default_scheme(name, images=False)


def name_of(config: TaskConfig) -> str:
    """Return the name of a model."""
    if isinstance(config.model, Memory):
        return config.model.scheme.name
    return config.model.controller if isinstance(config.model, Recurrent) else config.model.kind
