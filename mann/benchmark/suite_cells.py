"""The cells of the suites: when a training ends, and how what it learned is tested."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, Final

import torch
from torch import Tensor, nn

from data import InputError
from mann.benchmark.cells import Cell, Result
from mann.benchmark.suites import SUITES, Size, models_named, settings_of_test, task_of
from mann.evaluation.answers import answers_of
from mann.evaluation.task_costs import Setting, measure_at
from mann.models.building import build_network
from mann.problems.compiling import compile_if_long
from mann.settings import Memory, TaskConfig
from mann.support.trees import leaves_of
from mann.training import Problem

VALIDATIONS_RIGHT: Final = 5
"""A training ends when as many validations in a row had (nearly) no mistakes."""
_NO_MISTAKES: Final = 0.999

ROOM: Final = (2048, 1024)
"""Slots in the test of suites with long sequences: as many as there are steps, or as an answer of one string has."""
MOST_NUMBERS: Final = 2**21
"""Largest state of a sequence in the test, in numbers: the links of a DNC grow with the square of the slots."""
MOST_IN_BATCH: Final = 2**23
"""Largest state of a batch in the test, in numbers: a DNC answers fewer sequences at a time, and fewer in all."""

TEST_BATCHES: Final = 2
"""Batches of a size in the test, whose differences give the intervals."""


class SuiteResult(Result):
    """The content of `cell.json` of a suite; see `SuiteCell.figures`."""

    suite: str
    column: str
    episodes: int
    learned: bool
    test_slots: int | None
    sequences: int
    results: list[dict[str, Any]]


@dataclass(frozen=True)
class SuiteCell(Cell):
    """A training on a task of a suite.

    Attributes:
        suite: The name of the suite.
        column: The name of the task in the suite.
        budget: Most minutes of the training.
        settings: The sizes of the test.
        test: Test sequences for each of them, if the state is not too large for that.
        room: Slots to be tried for the test, the most first; empty: as many as in training.
    """

    content: ClassVar[type[Result]] = SuiteResult

    config: TaskConfig
    suite: str
    column: str
    budget: float
    settings: Sequence[Setting] = field(repr=False)
    test: int
    room: Sequence[int]

    def ended(self, metrics: Sequence[dict[str, Any]]) -> bool:
        """Return whether the task is learned or the time is over."""
        return bool(metrics) and (metrics[-1]["seconds"] >= 60 * self.budget or learned(metrics))

    def figures(self, problem: Problem, metrics: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Return the figures of the test.

        Returns:
            suite, column: where they belong.
            episodes: sequences trained on.
            learned: whether the last validations had no mistakes.
            test_slots: memory locations in the test, None where there are none.
            state_numbers: numbers of a sequence that a step of the test hands to the next, after the first sequence of
                the training.
            sequences: test sequences for each setting.
            results: for each setting, `setting`, `accuracy`, and `low` and `high`, the ends of its 95% interval.
        """
        sizes = self.config.sizes
        first = problem.episode(0).inputs[:, :1]
        network, slots = with_room(problem.model, self.config, self.room, first)
        state = state_after(network, first)
        batch = max(1, min(self.test // TEST_BATCHES, MOST_IN_BATCH // state))
        results = []
        for setting in self.settings:
            found = measure_at(setting, network, sizes, torch.device("cpu"), batch, TEST_BATCHES)
            results.append({"setting": setting, **accuracy(found, sizes.name)})
        return {
            "suite": self.suite,
            "column": self.column,
            "episodes": metrics[-1]["episodes"],
            "learned": learned(metrics),
            "test_slots": slots,
            "state_numbers": state,
            "sequences": batch * TEST_BATCHES,
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


def with_room(
    network: nn.Module, config: TaskConfig, room: Sequence[int], inputs: Tensor
) -> tuple[nn.Module, int | None]:
    """Return a network with the same weights and more memory locations, where the weights allow that.

    A memory that was trained with short sequences has too few slots for long ones. Where keys or the initial memory
    have a number for each slot, the number of slots stays.

    Args:
        network: The trained network.
        config: Its settings.
        room: Slots to try, the most first; the first whose state has at most `MOST_NUMBERS` is chosen.
        inputs: A sequence, [time, 1, input_size].

    Returns the network, and how many locations it has; None for a model without memory.
    """
    if not isinstance(config.model, Memory):
        return network, None
    weights = network.state_dict()
    for slots in room:
        larger = replace(config, model=replace(config.model, slots=slots))
        other = build_network(larger.model, larger.seed, larger.sizes.input_size, larger.sizes.output_size)
        if any(weights[name].shape != value.shape for name, value in other.state_dict().items()):
            break
        if state_after(other, inputs) <= MOST_NUMBERS:
            other.load_state_dict(weights)
            compile_if_long(other, larger)
            return other, slots
    return network, config.model.slots


@torch.no_grad()
def state_after(network: nn.Module, inputs: Tensor) -> int:
    """Return how many numbers of a sequence a network hands to the next step; inputs: [time, 1, input_size]."""
    _, state = network(inputs)
    return sum(part.numel() for part in leaves_of(state))


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
    for seed, name in product(range(seeds), suites):
        suite = SUITES[name]
        models = models_named(names, suite, size)
        for column, (model_name, model) in product(suite.tasks, models.items()):
            config = TaskConfig(
                sizes=task_of(suite, column, size),
                model=model,
                epsilon=1e-6,
                schedule="constant",
                batch=size.batch,
                episodes=size.steps * size.batch,
                seed=seed,
            )
            found.append(
                SuiteCell(
                    folder / f"{name}-{column}-{model_name}-{seed}",
                    config,
                    size.validate,
                    suite=name,
                    column=column,
                    budget=budget,
                    settings=settings_of_test(suite, suite.tasks[column], size),
                    test=size.test,
                    room=ROOM if suite.grows and size.longest is None else (),
                )
            )
    return found
