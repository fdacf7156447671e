"""The suites of tasks by which memories are compared today: how much they hold, how far they generalise.

Every model is trained on each task of a suite with the same optimisation, until its answers on validation
sequences are right or its time is over, and tested on sequences of the sizes of the training and beyond them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NamedTuple

import torch
from torch import Tensor, nn

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
from mann.addressing import NTM, SCHEMES, Scheme
from mann.benchmark.cells import Cell, Result
from mann.benchmark.schemes import HEADS, with_heads
from mann.evaluation.answers import answers_of
from mann.evaluation.task_costs import RANGES, SWEEPS, Setting, measure_at
from mann.models.building import build_network
from mann.problems.compiling import compile_if_long
from mann.settings import AnySequenceModel, DeltaLayers, Memory, Recurrent, TaskConfig, Transformer, default_scheme
from mann.support.trees import leaves_of
from mann.training import Problem

Judged = Literal["longer", "largest"]
"""The score of a task is over all sizes beyond those of the training, or at the largest of the training."""


class Suite(NamedTuple):
    """A suite of tasks.

    Attributes:
        title: Its heading.
        tasks: The tasks with the sizes of the training, by the names of their columns; each has one sweep.
        word_size: Numbers in a memory location.
        judged: The sizes that the score is an average over.
        solved: The score from which on a task counts as solved.
        test_slots: Memory locations in the test, of memories whose weights do not depend on how many there are; None:
            as many as in training.
    """

    title: str
    tasks: Mapping[str, Task]
    word_size: int
    judged: Judged
    solved: float
    test_slots: int | None = None


_STRINGS: Final = (
    *(Parity(), CycleNavigation(), ReverseString(), StackManipulation()),
    *(DuplicateString(), MissingDuplicate(), OddsFirst(), BucketSort()),
)

SUITES: Final[Mapping[str, Suite]] = {
    "chomsky": Suite(
        "Strings: trained on lengths 1 to 40, tested on 50 to 500 (Deletang et al. 2022)",
        {task.name: task for task in _STRINGS},
        16,
        "longer",
        0.9,
        test_slots=512,
    ),
    "recall": Suite(
        "Recall of pairs: trained on 1 to 64 pairs, tested on 4 to 256 (Arora et al. 2023)",
        {task.name: task for task in (ContinuousRecall(), ForgettingRecall())},
        64,
        "largest",
        0.99,
    ),
    "tracking": Suite(
        "State tracking: trained on 3 to 40 steps, tested on 80 to 256 (Merrill et al. 2024, Beck et al. 2024)",
        {group: StateTracking(group) for group in ("S5", "parity")},
        16,
        "longer",
        0.9,
    ),
    "copy": Suite(
        "Copying: trained on lengths 1 to 20, tested on 30 to 120 (Graves et al. 2014)",
        {"copy": Copy()},
        16,
        "longer",
        0.99,
        test_slots=256,
    ),
}
"""The suites by name."""

BASELINES: Final[Mapping[str, AnySequenceModel]] = {
    "lstm": Recurrent(hidden_size=256),
    "transformer": Transformer(),
    "delta-layers": DeltaLayers(),
}
"""Models without an external memory that stand beside the schemes."""


@dataclass(frozen=True)
class Size:
    """The size of a comparison.

    Attributes:
        memory: The memory and its controller, but for the scheme and the size of a word.
        batch: Sequences in a training step.
        steps: Most training steps; the budget in minutes ends most trainings before.
        validate: Steps between two validations.
        test_batches: Batches of test sequences for each setting.
        longest: Changes the largest size of the training; None: as in the suite.
    """

    memory: Memory
    batch: int
    steps: int
    validate: int
    test_batches: int
    longest: int | None = None


FULL: Final = Size(Memory(hidden_size=100, slots=64, clip_emitted=20.0), 32, 100_000, 200, 2)
QUICK: Final = Size(Memory(hidden_size=8, slots=8, clip_emitted=20.0), 4, 10, 5, 2, longest=4)
"""Tiny trainings: a test that everything runs; the figures have no meaning."""

VALIDATIONS_RIGHT: Final = 5
"""A training ends when as many validations in a row had (nearly) no mistakes."""
_NO_MISTAKES: Final = 0.999


class SuiteResult(Result):
    """The content of `cell.json` of a suite; see `SuiteCell.figures`."""

    suite: str
    column: str
    episodes: int
    learned: bool
    test_slots: int | None
    results: list[dict[str, Any]]


@dataclass(frozen=True)
class SuiteCell(Cell):
    """A training on a task of a suite.

    Attributes:
        suite: The name of the suite.
        column: The name of the task in the suite.
        budget: Most minutes of the training.
        settings: The sizes of the test.
        test_batches: Batches of test sequences for each setting.
        test_slots: See `Suite`.
    """

    content: ClassVar[type[Result]] = SuiteResult

    config: TaskConfig
    suite: str
    column: str
    budget: float
    settings: Sequence[Setting] = field(repr=False)
    test_batches: int
    test_slots: int | None

    def ended(self, metrics: Sequence[dict[str, Any]]) -> bool:
        """Return whether the task is learned or the time is over."""
        return bool(metrics) and (metrics[-1]["seconds"] >= 60 * self.budget or learned(metrics))

    def figures(self, problem: Problem, metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the figures of the test.

        Returns:
            suite, column: where they belong.
            episodes: sequences trained on.
            learned: whether the training ended because the validation had no more mistakes.
            test_slots: memory locations in the test, None where there are none.
            state_numbers: numbers of a sequence that a step of the test hands to the next, after its longest sequence.
            results: for each setting, `setting`, `accuracy`, and `low` and `high`, the ends of its 95% interval.
        """
        sizes, batch = self.config.sizes, self.config.batch
        network, slots = with_slots(problem.model, self.config, self.test_slots)
        results = []
        for setting in self.settings:
            found = measure_at(setting, network, sizes, torch.device("cpu"), batch, self.test_batches)
            results.append({"setting": setting, **accuracy(found, sizes.name)})
        longest = problem.episode(0).inputs[:, :1]
        return {
            "suite": self.suite,
            "column": self.column,
            "episodes": metrics[-1]["episodes"],
            "learned": learned(metrics),
            "test_slots": slots,
            "state_numbers": state_after(network, longest),
            "results": results,
        }


def learned(metrics: Sequence[dict[str, Any]]) -> bool:
    """Return whether the last validations had no mistakes."""
    last = [line["validation"] for line in metrics if "validation" in line][-VALIDATIONS_RIGHT:]
    return len(last) == VALIDATIONS_RIGHT and all(_share_right(figures) >= _NO_MISTAKES for figures in last)


def _share_right(figures: Mapping[str, float]) -> float:
    """Return the share of right answers: tokens, or bits."""
    return figures["token_accuracy"] if "token_accuracy" in figures else 1 - figures["bit_error_rate"]


def accuracy(measured: Mapping[str, Any], task: str) -> dict[str, float]:
    """Return the share of right tokens (of bits, for tasks that answer with bits) with its 95% interval."""
    if answers_of(task).share:
        low, high = measured["intervals"]["token_accuracy"]
    else:
        high, low = (1 - end for end in measured["intervals"]["bit_error_rate"])
    return {"accuracy": _share_right(measured), "low": low, "high": high}


def with_slots(network: nn.Module, config: TaskConfig, slots: int | None) -> tuple[nn.Module, int | None]:
    """Return a network with the same weights and more memory locations, if the weights allow that.

    Returns the network, and how many locations it has; None for a model without memory.
    """
    if not isinstance(config.model, Memory):
        return network, None
    if slots is None or slots == config.model.slots:
        return network, config.model.slots
    larger = replace(config, model=replace(config.model, slots=slots))
    other = build_network(larger.model, larger.seed, larger.sizes.input_size, larger.sizes.output_size)
    weights = network.state_dict()
    if any(weights[name].shape != value.shape for name, value in other.state_dict().items()):
        return network, config.model.slots
    other.load_state_dict(weights)
    compile_if_long(other, larger)
    return other, slots


@torch.no_grad()
def state_after(network: nn.Module, inputs: Tensor) -> int:
    """Return how many numbers of a sequence a network hands to the next step; inputs: [time, 1, input_size]."""
    _, state = network(inputs)
    return sum(part.numel() for part in leaves_of(state))


def models_named(names: Sequence[str], memory: Memory) -> dict[str, AnySequenceModel]:
    """Return the models of a comparison by name: schemes with this memory and controller, and baselines.

    Raises:
        InputError: there is no such scheme or baseline.
    """
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
    """Return a scheme with the options that suit strings and pairs alike."""
    return NTM(start="search") if name == "ntm" else default_scheme(name, images=False)


def name_of(config: TaskConfig) -> str:
    """Return the name of a model."""
    if isinstance(config.model, Memory):
        return config.model.scheme.name
    return config.model.controller if isinstance(config.model, Recurrent) else config.model.kind


def cells(
    folder: Path, suites: Sequence[str], names: Sequence[str], seeds: int, size: Size, budget: float
) -> list[SuiteCell]:
    """Return the cells of a comparison: every model on every task with seed 0, then with seed 1, ...

    Args:
        folder: The folder for the runs.
        suites: Names of suites.
        names: Names of schemes and baselines.
        seeds: Number of seeds.
        size: The size of the comparison.
        budget: Most minutes of a training.

    Raises:
        InputError: there is no such suite, scheme or baseline, `seeds` is less than 1 or `budget` not above 0.
    """
    if seeds < 1:
        raise InputError(f"`seeds` is {seeds}: at least 1 is needed")
    if not budget > 0:
        raise InputError(f"`budget` is {budget}: use minutes above 0")
    for name in suites:
        if name not in SUITES:
            raise InputError(f"no suite is named {name!r}: use all, or some of {', '.join(SUITES)}")
    found = []
    for seed, suite in product(range(seeds), suites):
        models = models_named(names, replace(size.memory, word_size=SUITES[suite].word_size))
        for (column, task), (name, model) in product(SUITES[suite].tasks.items(), models.items()):
            sizes, settings = _sizes(task, size)
            config = TaskConfig(
                sizes=sizes,
                model=model,
                schedule="constant",
                batch=size.batch,
                episodes=size.steps * size.batch,
                seed=seed,
            )
            found.append(
                SuiteCell(
                    folder / f"{suite}-{column}-{name}-{seed}",
                    config,
                    size.validate,
                    suite,
                    column,
                    budget,
                    settings,
                    size.test_batches,
                    SUITES[suite].test_slots if size.longest is None else None,
                )
            )
    return found


def _sizes(task: Task, size: Size) -> tuple[Task, list[Setting]]:
    """Return the sizes of a task in training, and the settings of its test."""
    (sweep,) = SWEEPS[task.name]
    if size.longest is None:
        return task, sweep.settings_for(task)
    smallest, largest = RANGES[sweep.size]
    smaller = replace(task, **{smallest: 1, largest: size.longest})
    return smaller, [{sweep.size: size.longest}, {sweep.size: 2 * size.longest}]
